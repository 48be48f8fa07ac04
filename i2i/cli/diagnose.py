"""`i2i diagnose`."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from i2i import status
from i2i.cli import json_output, options
from i2i.cli.commands import ModelCommand
from i2i.words import show_duration

if TYPE_CHECKING:
    from rich.table import Table

    from i2i.diagnosis import Diagnosis


@click.command(
    cls=ModelCommand,
    short_help="Name what ails a run, and the setting to turn.",
    epilog="""\b
Examples:
  i2i diagnose runs/lineart
  i2i diagnose runs/lineart --pictures 16 --json
""",
)
@options.model
@click.option(
    "--pictures",
    type=click.IntRange(4, 256),
    default=32,
    show_default=True,
    help="How many go through the networks at most.",
)
@click.option(
    "--device", type=click.Choice(options.TRAINING_DEVICES), default="auto", show_default=True, help="Where to compute."
)
@json_output.flag
def diagnose(model: str, pictures: int, device: str, as_json: bool) -> None:
    """Examine a run folder, and name illnesses with their number and the setting to turn.

    A discriminator that has won or overfits, oscillation, mode collapse and dropped modes, outputs that ignore or copy
    their input, inverted colours, checkerboards, hidden information in cycles, memorised pictures, non-finite values,
    norm statistics that differ, and a training that waits for data or host. What was found is written to
    RUN/diagnosis.json. The exit code is 0 whether there are findings or not.
    """
    with status.shown():
        with status.doing("Loading libraries"):
            from pathlib import Path

            from i2i.diagnosis import diagnose as examine
            from i2i.report.page import write_report

        result = examine(model, pictures, device)
    if as_json:
        json_output.print_json("diagnose", result.to_json())
    else:  # before anything that may fail
        from i2i.cli.tables import print_table

        print_table(_table(result))
        for line in _lines(result):
            click.echo(line)
    unkept = result.unkept
    try:
        write_report(Path(model))
    except OSError as error:
        unkept = unkept or error.strerror or str(error)
    if unkept:
        click.echo(f"Note: {model} does not keep these findings: {unkept}.", err=True)


def _table(result: "Diagnosis") -> "Table":
    from rich.table import Table

    from i2i.diagnosis import ILLNESSES

    table = Table()
    for title in ("", "number", "ill if", "", "where"):
        table.add_column(title, justify="right" if title in ("number", "ill if") else "left")
    marks = {"error": "ill", "warning": "ill?"}
    for one in (*result.found, *result.healthy):
        sign = ">" if ILLNESSES[one.name].ill == "above" else "<"
        verdict = marks[one.severity] if one in result.found else "ok"
        table.add_row(one.name, f"{one.number:.3g}", f"{sign} {one.threshold:g}", verdict, result.where[one.name])
    return table


def _lines(result: "Diagnosis") -> Iterator[str]:
    for one in result.found:
        yield f"{one.name}: {one.advice}"
    if not result.found:
        yield f"No illness found by {len(result.healthy)} of {len(result.healthy) + len(result.not_measured)} checks."
    reasons: dict[str, list[str]] = {}
    for name, reason in result.not_measured.items():
        reasons.setdefault(reason, []).append(name)
    for reason, names in reasons.items():
        yield f"Not measured: {', '.join(names)}, since {reason}."
    yield f"Examined on {result.pictures}, in {show_duration(result.seconds)}."
