"""`i2i evaluate`."""

from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from i2i import status
from i2i.cli import json_output, options
from i2i.cli.commands import ModelCommand
from i2i.errors import UsageError

if TYPE_CHECKING:
    from i2i.evaluation import Evaluation, EvaluationOptions, SetEvaluation
    from i2i.evaluation.asking import Kind


@click.command(
    cls=ModelCommand,
    epilog="""\b
Examples:
  i2i evaluate -m runs/lineart --data datasets/lineart
  i2i evaluate -m runs/lineart
  i2i evaluate -m model.onnx --data datasets/lineart --split val --json
  i2i evaluate -m runs/lineart --data datasets/lineart --rows scores.csv --worst worst.png
""",
)
@options.model
@click.option(
    "--data", multiple=True, help="Data folder; give it twice for A's and B's folders. A run folder knows its own."
)
@click.option(
    "--split",
    type=click.Choice(["train", "val", "test"]),
    default="test",
    show_default=True,
    help="Which pictures to score.",
)
@options.direction
@options.translated_label
@click.option(
    "--labels", "table", help="Classes of each picture, for such models: folders, or a CSV file. A run knows its own."
)
@options.device
@click.option("--metrics", type=options.NameList(), help="Of pairs: l1,psnr,ssim,ms_ssim,lpips,lpips_vgg,dists.")
@click.option("--sets", is_flag=True, help="Compare translations and targets as sets, even if they are pairs.")
@click.option("--network", help="Of sets: inception (FID), alexnet, vgg16 or random; by default the best one here.")
@click.option(
    "--mode",
    type=click.Choice(["clean", "legacy"]),
    help="Of sets: how pictures come to the network's size, antialiased or not.  [default: clean]",
)
@click.option("--count", type=click.IntRange(min=10), help="Of models from noise: samples.  [default: as many as real]")
@click.option("--side", type=click.Choice(["A", "B"]), help="Of models from noise: which side of data with two.")
@click.option(
    "--fit", type=click.Choice(["pad", "resize", "crop", "tile"]), help="How pictures come to the network's size."
)
@options.value_range
@options.output_value_range
@json_output.flag
@click.option("--rows", type=options.OutputPath(), help="Write the scores of each pair to this .csv or .jsonl file.")
@click.option(
    "--sheet", type=options.OutputPath(), help="Write a .png file with input | output | truth of some pictures."
)
@click.option("--worst", type=options.OutputPath(), help="The same of the ten worst pairs.")
@options.overwrite
def evaluate(model: str, data: tuple[str, ...], **choices: Any) -> None:
    """Score a model beside trivial answers, with 95% intervals.

    A model of both directions is scored in both, unless --direction picks one; files then come in pairs, as
    rows.A2B.csv and rows.B2A.csv.

    Pairs are compared one by one: L1 (grey levels), PSNR (dB), SSIM, and LPIPS if its weights are here (`i2i
    weights`). Pictures without partners, and samples of a model from noise, are compared as sets: KID, Fréchet and
    sliced Wasserstein distances (FID and MIND on Inception's features), precision, recall, density and coverage. A run
    folder keeps its scores and shows them in its report.
    """
    with status.shown():
        with status.doing("Loading libraries"):
            from i2i.evaluation import EvaluationOptions, run_of
            from i2i.evaluation.choosing import choose_data, directions
            from i2i.files import check_output

        files = {name: choices[name] for name in _OUTPUTS if choices[name]}
        for name, path in files.items():
            check_output(path, True, *_OUTPUTS[name])
        if choices["sheet"] and choices["sheet"] == choices["worst"]:
            raise UsageError(f"--sheet and --worst are both {choices['sheet']}. Give each a file of its own.")
        paths, run = choose_data(model, data), run_of(model)
        asked = {field.name: choices[field.name] for field in fields(EvaluationOptions) if field.name in choices}
        asked |= {"labels": choices["label"], "sheet": "sheet" in files, "worst": "worst" in files}
        options = EvaluationOptions(**asked)
        kind = options.choose_kind(model, paths, rows="rows" in files)
        todo = directions(model, options.direction)
        for name, path in files.items():
            for direction in todo:
                check_output(_of_direction(path, direction, todo), choices["overwrite"], *_OUTPUTS[name])
    options = replace(options, worst=kind == "pairs" and (options.worst or run is not None))
    scores = []
    for direction in todo:
        result = _score(model, paths, kind, replace(options, direction=direction), choices["as_json"])
        _write(result, {name: _of_direction(path, direction, todo) for name, path in files.items()})
        scores.append(result.to_json())
        if run is not None:
            _keep(run, kind, result, paths, options.split, choices["as_json"])
    if choices["as_json"]:
        json_output.print_json("evaluate", {"model": model, "data": paths, "kind": kind, "scores": scores})


Direction = str | None
_OUTPUTS: dict[str, tuple[str, ...]] = {"rows": (".csv", ".jsonl"), "sheet": (".png",), "worst": (".png",)}


def _of_direction(path: Path, direction: Direction, todo: Sequence[Direction]) -> Path:
    """Return the file for a direction: of the two of a model that holds both, each has its own."""
    return path.with_name(f"{path.stem}.{direction}{path.suffix}") if len(todo) > 1 else path


def _score(
    model: str, paths: list[str], kind: "Kind", options: "EvaluationOptions", as_json: bool
) -> "Evaluation | SetEvaluation":
    """Score a model in one direction, and print the scores before anything that may fail."""
    from i2i.cli.tables import cycle_line, print_table, score_caption, score_table, set_caption, set_table
    from i2i.evaluation import Evaluation, score_model

    with status.shown():
        result = score_model(model, paths, kind, options, _note)
    if not as_json:
        if isinstance(result, Evaluation):
            print_table(score_table(result))
            click.echo(score_caption(result))
        else:
            print_table(set_table(result))
            click.echo(set_caption(result))
        if result.cycle and result.direction:
            click.echo(cycle_line(result.cycle, result.direction))
    for note in result.notes:
        _note(note)
    return result


def _write(result: "Evaluation | SetEvaluation", files: dict[str, Path]) -> None:
    """Write what was asked for of a result of pairs; files: by option."""
    from i2i.evaluation import Evaluation
    from i2i.files import write_bytes

    if isinstance(result, Evaluation):
        for name, path in files.items():
            content = None if name == "rows" else getattr(result, name)
            if name == "rows":
                _write_rows(path, result)
            elif content:
                write_bytes(path, content)


def _keep(
    run: Path, kind: str, result: "Evaluation | SetEvaluation", paths: list[str], split: str, as_json: bool
) -> None:
    """Keep the scores of a run's own model in its folder, and say where they are shown."""
    from i2i.evaluation import keep_evaluation

    try:
        page = keep_evaluation(run, kind, result.to_json(), paths, split, getattr(result, "worst", None))
    except OSError as error:
        _note(f"{run} does not keep these scores: {error.strerror or error}.")
    else:
        click.echo(f"Report: {page}", err=as_json)


def _note(text: str) -> None:
    click.echo(f"Note: {text}", err=True)


def _write_rows(path: Path, result: "Evaluation") -> None:
    import csv
    import io
    import json

    from i2i.files import write_text

    if path.suffix == ".jsonl":
        write_text(path, "".join(f"{json.dumps(row)}\n" for row in result.rows))
        return
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, ["name", *result.model], lineterminator="\n")
    writer.writeheader()
    writer.writerows(result.rows)
    write_text(path, buffer.getvalue())
