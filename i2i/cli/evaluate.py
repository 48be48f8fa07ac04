"""`i2i evaluate`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from i2i import status
from i2i.cli import options
from i2i.words import show_count

if TYPE_CHECKING:
    from rich.table import Table

    from i2i.evaluation import Evaluation


@click.command(
    epilog="""\b
Examples:
  i2i evaluate -m runs/lineart --data datasets/lineart
  i2i evaluate -m model.onnx --data datasets/lineart --split val --json scores.json --sheet sheet.png
"""
)
@options.model
@click.option("--data", multiple=True, required=True, help="Data folder; give it twice for A's and B's folders.")
@click.option(
    "--split",
    type=click.Choice(["train", "val", "test"]),
    default="test",
    show_default=True,
    help="Which pairs to score.",
)
@options.direction
@options.device
@options.value_range
@options.output_value_range
@click.option("--json", "json_file", type=options.OutputPath(), help="Also write the scores to this file.")
@click.option(
    "--sheet", type=options.OutputPath(), help="Write a .png file with input | output | truth of some pictures."
)
@options.overwrite
def evaluate(
    model: str,
    data: tuple[str, ...],
    split: str,
    direction: str | None,
    device: str,
    value_range: tuple[float, float] | None,
    output_value_range: tuple[float, float] | None,
    json_file: Path | None,
    sheet: Path | None,
    overwrite: bool,
) -> None:
    """Score a model against the truth: L1 (grey levels), PSNR (dB) and SSIM, beside trivial baselines."""
    with status.shown():
        with status.doing("Loading libraries"):
            from rich.console import Console

            from i2i.evaluation import evaluate as run_evaluation
            from i2i.files import check_output, write_bytes, write_json
            from i2i.runtime.foreign import Values

        if json_file:
            check_output(json_file, overwrite)
        if sheet:
            check_output(sheet, overwrite, ".png")
        result = run_evaluation(
            model,
            data,
            split,
            direction,
            device,
            sheet is not None,
            values=Values(value_range, output_value_range),
            say=lambda note: click.echo(f"Note: {note}", err=True),
        )
    Console().print(score_table(result))  # before anything that may fail
    if result.cycle_l1 is not None:
        click.echo(f"There and back again: L1 {result.cycle_l1:.1f} to the inputs.")
    for note in result.notes:
        click.echo(f"Note: {note}", err=True)
    if json_file:
        write_json(json_file, result.to_json())
    if sheet and result.sheet:
        write_bytes(sheet, result.sheet)


def score_table(result: "Evaluation") -> "Table":
    """Return the scores as a table for the terminal."""
    from rich.table import Table

    table = Table(title=f"{show_count(result.pairs, 'pair')} of {result.split}", title_justify="left")
    table.add_column("")
    for column in ("L1", "PSNR", "SSIM"):
        table.add_column(column, justify="right")
    for name, scores in {"model": result.model, **result.baselines}.items():
        cells = [f"{scores['l1']:.1f}", f"{scores['psnr']:.2f}", f"{scores['ssim']:.3f}"] if scores else ["–"] * 3
        table.add_row(name.replace("_", " "), *cells)
    return table
