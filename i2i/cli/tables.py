"""Tables for the terminal: how they are printed, those of scores, and the line under each of these."""

import math
from typing import TYPE_CHECKING

from i2i.words import show_count

if TYPE_CHECKING:
    from rich.table import Table

    from i2i.evaluation import Evaluation, SetEvaluation
    from i2i.evaluation.cycle import CycleScores

_WIDEST = 240  # characters of a line in a file


def print_table(table: "Table") -> None:
    """Print all of a table: cells are broken where a terminal is narrow, and whole in a file or a pipe."""
    from rich.console import Console
    from rich.measure import Measurement

    console = Console()
    for column in table.columns:
        column.overflow = "fold"  # in place of three dots, which hide figures
    if not console.is_terminal:
        options = console.options.update(width=_WIDEST)
        console.width = max(console.width, Measurement.get(console, options, table).maximum)
    console.print(table)


def score_table(result: "Evaluation") -> "Table":
    """Return the scores of pairs as a table; arrows say what is better."""
    from rich.table import Table

    from i2i.metrics import ARROWS, METRICS

    title = f"{result.direction}: {show_count(result.pairs, 'pair')} of {result.split}"
    table = Table(title=title, title_justify="left")
    table.add_column("")
    chosen = {name: METRICS[name] for name in result.model}
    for metric in chosen.values():
        table.add_column(f"{metric.label} {ARROWS[metric.better]}", justify="right")
    for answer, scores in {"model": result.model, **result.baselines}.items():
        cells = [f"{scores[name]:.{metric.decimals}f}" if scores else "–" for name, metric in chosen.items()]
        table.add_row(answer.replace("_", " "), *cells)
        if answer == "model":
            ends = {name: result.intervals[name] for name in chosen}
            bounds = [
                f"{low:.{chosen[name].decimals}f}–{high:.{chosen[name].decimals}f}"
                for name, (low, high) in ends.items()
            ]
            table.add_row("  95%", *(bounds if result.pairs > 1 else ["–"] * len(bounds)))
            for band, own in result.bands.items():
                each = (f"{own[name]:.{one.decimals}f}" if name in own else "–" for name, one in chosen.items())
                table.add_row(f"  {band}", *each)
    return table


def score_caption(result: "Evaluation") -> str:
    """Return what the scores of pairs depend on."""
    from i2i.metrics import METRICS

    black_white = "{:g} to {:g}".format(*result.value_range) if result.value_range else "the full range"
    seen = [METRICS[name].label for name in result.model if METRICS[name].weights]
    parts = [
        result.compared if "accuracy" in result.model else f"{result.compared}, {black_white} as 0 to 255",
        *([f"fit {result.fit}"] if result.fit else []),
        *(f"to {label}" for label in result.labels),
        *([f"{' and '.join(seen)} on an RGB rendering"] if seen else []),
        *(f"weights {name} {sha256[:12]}" for name, sha256 in result.weights_sha256.items()),
        f"targets {result.reference_sha256[:12]}",
    ]
    return f"{'; '.join(parts)}."


def set_table(result: "SetEvaluation") -> "Table":
    """Return the scores of sets as a table, a column for each answer."""
    from rich.table import Table

    table = Table(title=result.what, title_justify="left")
    table.add_column("", no_wrap=True)
    answers = {"model": result.model, **result.baselines}
    for answer in answers:
        table.add_column(answer.replace("_", " "), justify="right")
    table.add_row("n", *(f"{one.made:,}" for one in answers.values()))
    table.add_row("real", *(f"{one.real:,}" for one in answers.values()))
    table.add_row("KID x 1000 ↓", *(f"{1000 * one.scores['kid']:.1f}" for one in answers.values()))
    intervals = ([1000 * end for end in one.kid_interval] for one in answers.values())
    table.add_row("  95%", *("{:.1f} to {:.1f}".format(*ends) for ends in intervals))
    titles = {
        "fid": "FID ↓",
        "frechet": "Fréchet ↓",
        "mind": "MIND ↓",
        "sliced_wasserstein": "SW ↓",
        "precision": "precision ↑",
        "recall": "recall ↑",
        "density": "density ↑",
        "coverage": "coverage ↑",
    }
    for name, title in titles.items():
        if name in result.model.scores:
            table.add_row(title, *(f"{one.scores[name]:.3g}" for one in answers.values()))
    return table


def set_caption(result: "SetEvaluation") -> str:
    """Return what the figures of sets depend on."""
    ruler = result.ruler
    weights = f", weights {ruler.sha256[:12]}" if ruler.sha256 else ""
    how = [*([f"fit {result.fit}"] if result.fit else []), *(f"to {label}" for label in result.labels)]
    parts = [f"{result.real:,} real pictures, {result.reference_sha256[:12]}", *how, "KID with its 95% interval."]
    return "; ".join([f"{ruler.network} features of 8-bit RGB, {ruler.mode}{weights}", *parts])


def cycle_line(cycle: "CycleScores", direction: str) -> str:
    """Return what going there and back again costs."""
    rounded, unrounded = (
        f"{mean:.2f}" if math.isnan(ends[0]) else f"{mean:.2f} ({ends[0]:.2f} to {ends[1]:.2f})"
        for mean, ends in ((cycle.l1, cycle.interval), (cycle.l1_unrounded, cycle.interval_unrounded))
    )
    back = direction[::-1]
    return f"{direction} and back by {back}: L1 {rounded} to the inputs, {unrounded} if not rounded to 8 bits between."
