"""Scores as tables for the terminal, and the line under each that says what its figures depend on."""

from typing import TYPE_CHECKING

from i2i.words import show_count

if TYPE_CHECKING:
    from rich.table import Table

    from i2i.evaluation import Evaluation, SetEvaluation
    from i2i.evaluation.cycle import CycleScores


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
            table.add_row("  95%", *bounds)
    return table


def score_caption(result: "Evaluation") -> str:
    """Return what the scores of pairs depend on."""
    from i2i.metrics import METRICS

    black_white = "{:g} to {:g}".format(*result.value_range) if result.value_range else "the full range"
    seen = [METRICS[name].label for name in result.model if METRICS[name].weights]
    parts = [
        f"{result.compared}, {black_white} as 0 to 255",
        *([f"fit {result.fit}"] if result.fit else []),
        *([f"{' and '.join(seen)} on an RGB rendering"] if seen else []),
        *(f"weights {name} {sha256[:12]}" for name, sha256 in result.weights_sha256.items()),
        f"targets {result.reference_sha256[:12]}",
    ]
    return f"{'; '.join(parts)}."


def set_table(result: "SetEvaluation") -> "Table":
    """Return the scores of sets as a table."""
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
    for title in ("n", "real", *columns.values()):
        table.add_column(title, justify="right")
    for answer, scores in {"model": result.model, **result.baselines}.items():
        low, high = (1000 * end for end in scores.kid_interval)
        kid = f"{1000 * scores.scores['kid']:.1f} ({low:.1f} to {high:.1f})"
        others = [f"{scores.scores[name]:.3g}" for name in columns if name != "kid"]
        table.add_row(answer.replace("_", " "), f"{scores.made:,}", f"{scores.real:,}", kid, *others)
    return table


def set_caption(result: "SetEvaluation") -> str:
    """Return what the figures of sets depend on."""
    ruler = result.ruler
    weights = f", weights {ruler.sha256[:12]}" if ruler.sha256 else ""
    fit = f"; fit {result.fit}" if result.fit else ""
    return (
        f"{ruler.network} features of 8-bit RGB, {ruler.mode}{weights}; "
        f"{result.real:,} real pictures, {result.reference_sha256[:12]}{fit}; KID with its 95% interval."
    )


def cycle_line(cycle: "CycleScores", direction: str) -> str:
    """Return what going there and back again costs."""
    back = direction[::-1]
    rounded = "{:.2f} ({:.2f} to {:.2f})".format(cycle.l1, *cycle.interval)
    unrounded = "{:.2f} ({:.2f} to {:.2f})".format(cycle.l1_unrounded, *cycle.interval_unrounded)
    return f"{direction} and back by {back}: L1 {rounded} to the inputs, {unrounded} if not rounded to 8 bits between."
