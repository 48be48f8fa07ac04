"""`i2i evaluate`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from i2i import status
from i2i.cli import json_output, options
from i2i.cli.commands import ModelCommand
from i2i.errors import UsageError

if TYPE_CHECKING:
    from rich.table import Table

    from i2i.evaluation import Evaluation, SetEvaluation


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
            from i2i.evaluation.choosing import choose_data, directions, kind_of_evaluation
            from i2i.evaluation.keeping import run_of
            from i2i.files import check_output

        for name, suffixes in _OUTPUTS.items():
            if choices[name]:
                check_output(choices[name], True, *suffixes)
        if choices["sheet"] and choices["sheet"] == choices["worst"]:
            raise UsageError(f"--sheet and --worst are both {choices['sheet']}. Give each a file of its own.")
        paths = choose_data(model, data)
        kind = kind_of_evaluation(model, paths, choices["split"])
        kind = "sets" if choices["sets"] and kind == "pairs" else kind
        _refuse_unread(kind, choices)
        todo = directions(model, choices["direction"])
        choices["run"] = run_of(model)
        for name, suffixes in _OUTPUTS.items():
            for direction in todo if choices[name] else ():
                check_output(_of_direction(choices[name], direction, todo), choices["overwrite"], *suffixes)
    score = _score_pairs if kind == "pairs" else _score_sets
    scores = [score(model, paths, kind, direction, todo, choices) for direction in todo]
    if choices["as_json"]:
        json_output.print_json("evaluate", {"model": model, "data": paths, "kind": kind, "scores": scores})


Direction = str | None
_OUTPUTS: dict[str, tuple[str, ...]] = {"rows": (".csv", ".jsonl"), "sheet": (".png",), "worst": (".png",)}


_UNREAD = {
    "pairs": (("network", "mode", "count", "side"), "these pictures are compared as pairs"),
    "sets": (
        ("metrics", "rows", "sheet", "worst", "count", "side", "value_range", "output_value_range"),
        "these pictures are compared as sets",
    ),
    "samples": (
        (
            *("metrics", "rows", "sheet", "worst", "sets", "direction", "label", "table", "fit"),
            *("value_range", "output_value_range"),
        ),
        "this model makes pictures from noise",
    ),
}
"""Options that a kind of evaluation does not read, and why."""


def _refuse_unread(kind: str, choices: dict[str, Any]) -> None:
    """Raise UsageError for an option that would do nothing."""
    names, reason = _UNREAD[kind]
    for name in names:
        if choices[name]:
            flag = {"table": "labels"}.get(name, name.replace("_", "-"))
            raise UsageError(f"--{flag} does not apply: {reason}. Leave it out.")


def _of_direction(path: Path, direction: Direction, todo: Sequence[Direction]) -> Path:
    """Return the file for a direction: of the two of a model that holds both, each has its own."""
    return path.with_name(f"{path.stem}.{direction}{path.suffix}") if len(todo) > 1 else path


def _score_pairs(
    model: str, paths: list[str], kind: str, direction: Direction, todo: Sequence[Direction], choices: dict[str, Any]
) -> dict[str, object]:
    from i2i.cli.tables import score_caption, score_table
    from i2i.evaluation import evaluate as score_pairs
    from i2i.files import write_bytes
    from i2i.runtime.fit import make_fit
    from i2i.runtime.foreign import Values

    with status.shown():
        result = score_pairs(
            model,
            paths,
            choices["split"],
            direction,
            choices["device"],
            choices["sheet"] is not None,
            values=Values(choices["value_range"], choices["output_value_range"]),
            say=_note,
            metrics=choices["metrics"],
            worst=choices["worst"] is not None or choices["run"] is not None,
            fit=make_fit(choices["fit"], None, None),
            labels=choices["label"],
            table=choices["table"],
        )
    if not choices["as_json"]:  # before anything that may fail
        _show(score_table(result), score_caption(result), result)
    for note in result.notes:
        _note(note)
    if choices["rows"]:
        _write_rows(_of_direction(choices["rows"], direction, todo), result)
    for name in ("sheet", "worst"):
        content: bytes | None = getattr(result, name)
        if choices[name] and content:
            write_bytes(_of_direction(choices[name], direction, todo), content)
    return _keep(kind, result.to_json(), paths, choices, result.worst)


def _score_sets(
    model: str, paths: list[str], kind: str, direction: Direction, todo: Sequence[Direction], choices: dict[str, Any]
) -> dict[str, object]:
    from i2i.cli.tables import set_caption, set_table
    from i2i.evaluation import evaluate_samples, evaluate_translations, make_ruler
    from i2i.runtime.fit import make_fit

    ruler = make_ruler(choices["network"], choices["mode"] or "clean")
    split, device = choices["split"], choices["device"]
    with status.shown():
        if kind == "samples":
            result = evaluate_samples(model, paths, split, choices["count"], choices["side"], device, ruler)
        else:
            fit = make_fit(choices["fit"], None, None)
            result = evaluate_translations(
                model, paths, split, direction, device, ruler, fit, choices["label"], choices["table"]
            )
    if not choices["as_json"]:
        _show(set_table(result), set_caption(result), result)
    for note in result.notes():
        _note(note)
    return _keep(kind, result.to_json(), paths, choices)


def _keep(
    kind: str, scores: dict[str, object], paths: list[str], choices: dict[str, Any], worst: bytes | None = None
) -> dict[str, object]:
    """Keep the scores of a run's own model in its folder, say where they are shown, and return them."""
    from i2i.evaluation.keeping import keep_evaluation

    run: Path | None = choices["run"]
    if run is None:
        return scores
    try:
        page = keep_evaluation(run, kind, scores, paths, choices["split"], worst)
    except OSError as error:
        _note(f"{run} does not keep these scores: {error.strerror or error}.")
    else:
        click.echo(f"Report: {page}", err=choices["as_json"])
    return scores


def _show(table: "Table", caption: str, result: "Evaluation | SetEvaluation") -> None:
    from i2i.cli.tables import cycle_line, print_table

    print_table(table)
    click.echo(caption)
    if result.cycle and result.direction:
        click.echo(cycle_line(result.cycle, result.direction))


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
