"""`i2i evaluate`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from i2i import status
from i2i.cli import options
from i2i.words import show_count

if TYPE_CHECKING:
    from rich.table import Table

    from i2i.evaluation import Evaluation, SetEvaluation


@click.command(
    epilog="""\b
Examples:
  i2i evaluate -m runs/lineart --data datasets/lineart
  i2i evaluate -m runs/lineart
  i2i evaluate -m model.onnx --data datasets/lineart --split val --json scores.json --sheet sheet.png
  i2i evaluate -m runs/lineart --data datasets/lineart --rows scores.csv --worst worst.png
"""
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
@options.device
@click.option("--metrics", type=options.NameList(), help="Of pairs: l1,psnr,ssim,ms_ssim,lpips,lpips_vgg,dists.")
@click.option("--sets", is_flag=True, help="Compare translations and targets as sets, even if they are pairs.")
@click.option("--network", help="Of sets: inception (FID), alexnet, vgg16 or random; by default the best one here.")
@click.option(
    "--mode",
    type=click.Choice(["clean", "legacy"]),
    default="clean",
    show_default=True,
    help="Of sets: how pictures come to the network's size, antialiased or not.",
)
@click.option("--count", type=click.IntRange(min=10), help="Of models from noise: samples.  [default: as many as real]")
@click.option("--side", type=click.Choice(["A", "B"]), help="Of models from noise: which side of data with two.")
@click.option(
    "--fit", type=click.Choice(["pad", "resize", "crop", "tile"]), help="How pictures come to the network's size."
)
@options.value_range
@options.output_value_range
@click.option("--json", "json_file", type=options.OutputPath(), help="Also write the scores to this file.")
@click.option("--rows", type=options.OutputPath(), help="Write the scores of each pair to this .csv or .jsonl file.")
@click.option(
    "--sheet", type=options.OutputPath(), help="Write a .png file with input | output | truth of some pictures."
)
@click.option("--worst", type=options.OutputPath(), help="The same of the ten worst pairs.")
@options.overwrite
def evaluate(model: str, data: tuple[str, ...], **choices: Any) -> None:
    """Score a model beside trivial answers, with 95% intervals.

    Pairs are compared one by one: L1 (grey levels), PSNR (dB), SSIM, and LPIPS if its weights are here (`i2i
    weights`). Pictures without partners, and samples of a model from noise, are compared as sets: KID, Fréchet
    distance (FID on Inception's features), precision, recall, density and coverage.
    """
    with status.shown():
        with status.doing("Loading libraries"):
            from i2i.evaluation.choosing import choose_data, kind_of_evaluation
            from i2i.files import check_output

        for name, suffixes in _OUTPUTS.items():
            if choices[name]:
                check_output(choices[name], choices["overwrite"], *suffixes)
        paths = choose_data(model, data)
        kind = "sets" if choices["sets"] else kind_of_evaluation(model, paths, choices["split"])
    if kind == "pairs":
        _score_pairs(model, paths, choices)
    else:
        _score_sets(model, paths, kind, choices)


_OUTPUTS: dict[str, tuple[str, ...]] = {
    "json_file": (),
    "rows": (".csv", ".jsonl"),
    "sheet": (".png",),
    "worst": (".png",),
}


def _score_pairs(model: str, paths: list[str], choices: dict[str, Any]) -> None:
    from rich.console import Console

    from i2i.evaluation import evaluate as score_pairs
    from i2i.files import write_bytes, write_json
    from i2i.runtime.fit import make_fit
    from i2i.runtime.foreign import Values

    with status.shown():
        result = score_pairs(
            model,
            paths,
            choices["split"],
            choices["direction"],
            choices["device"],
            choices["sheet"] is not None,
            values=Values(choices["value_range"], choices["output_value_range"]),
            say=_note,
            metrics=choices["metrics"],
            worst=choices["worst"] is not None,
            fit=make_fit(choices["fit"], None, None),
        )
    Console().print(score_table(result))  # before anything that may fail
    if result.cycle_l1 is not None:
        click.echo(
            f"There and back again: L1 {result.cycle_l1:.1f} to the inputs, "
            f"{result.cycle_l1_unrounded:.1f} without rounding to a picture in between."
        )
    for note in result.notes:
        _note(note)
    if choices["json_file"]:
        write_json(choices["json_file"], result.to_json())
    if choices["rows"]:
        _write_rows(choices["rows"], result)
    for path, content in ((choices["sheet"], result.sheet), (choices["worst"], result.worst)):
        if path and content:
            write_bytes(path, content)


def _score_sets(model: str, paths: list[str], kind: Literal["sets", "samples"], choices: dict[str, Any]) -> None:
    from rich.console import Console

    from i2i.errors import UsageError
    from i2i.evaluation import evaluate_samples, evaluate_translations, make_ruler
    from i2i.files import write_json
    from i2i.runtime.fit import make_fit

    for name in ("metrics", "rows", "sheet", "worst"):
        if choices[name]:
            raise UsageError(f"--{name} is about pairs; these pictures are compared as sets. Leave it out.")
    ruler = make_ruler(choices["network"], choices["mode"])
    split, device = choices["split"], choices["device"]
    with status.shown():
        if kind == "samples":
            result = evaluate_samples(model, paths, split, choices["count"], choices["side"], device, ruler)
        else:
            fit = make_fit(choices["fit"], None, None)
            result = evaluate_translations(model, paths, split, choices["direction"], device, ruler, fit)
    Console().print(set_table(result))
    click.echo(set_caption(result))
    for note in result.notes():
        _note(note)
    if choices["json_file"]:
        write_json(choices["json_file"], result.to_json())


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


def score_table(result: "Evaluation") -> "Table":
    """Return the scores of pairs as a table for the terminal; arrows say what is better."""
    from rich.table import Table

    from i2i.metrics import METRICS

    table = Table(title=f"{show_count(result.pairs, 'pair')} of {result.split}", title_justify="left")
    table.add_column("")
    chosen = {name: METRICS[name] for name in result.model}
    for metric in chosen.values():
        table.add_column(f"{metric.label} {'↓' if metric.better == 'lower' else '↑'}", justify="right")
    for answer, scores in {"model": result.model, **result.baselines}.items():
        cells = [f"{scores[name]:.{metric.decimals}f}" if scores else "–" for name, metric in chosen.items()]
        table.add_row(answer.replace("_", " "), *cells)
        if answer == "model":
            ends = {name: result.intervals[name] for name in chosen}
            bounds = [
                f"{low:.{chosen[name].decimals}f}–{high:.{chosen[name].decimals}f}"
                for name, (low, high) in ends.items()
            ]
            table.add_row("  95%", *bounds)
    return table


def set_table(result: "SetEvaluation") -> "Table":
    """Return the scores of sets as a table for the terminal."""
    from rich.table import Table

    table = Table(title=result.what, title_justify="left")
    table.add_column("")
    frechet = result.ruler.frechet_name
    columns = {
        "kid": "KID x 1000 ↓",
        frechet: f"{frechet.upper() if frechet == 'fid' else 'Fréchet'} ↓",
        "sliced_wasserstein": "SW ↓",
        "precision": "precision ↑",
        "recall": "recall ↑",
        "density": "density ↑",
        "coverage": "coverage ↑",
    }
    for title in ("n", *columns.values()):
        table.add_column(title, justify="right")
    for answer, scores in {"model": result.model, **result.baselines}.items():
        low, high = (1000 * end for end in scores.kid_interval)
        kid = f"{1000 * scores.scores['kid']:.1f} ({low:.1f} to {high:.1f})"
        others = [f"{scores.scores[name]:.3g}" for name in columns if name != "kid"]
        table.add_row(answer.replace("_", " "), f"{scores.made:,}", kid, *others)
    return table


def set_caption(result: "SetEvaluation") -> str:
    """Return what the figures of sets depend on."""
    ruler = result.ruler
    weights = f", weights {ruler.sha256[:12]}" if ruler.sha256 else ""
    return (
        f"{ruler.network} features, {ruler.mode}{weights}; "
        f"{result.real:,} real pictures, {result.reference_sha256[:12]}; KID with its 95% interval."
    )
