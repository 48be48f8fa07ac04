"""The curves of a page: rows of metrics.jsonl, thinned and by chart, as the page's script draws them."""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from i2i.images import Array
from i2i.report.record import CHOICE_KEYS, Row, RunRecord

_MOST_POINTS = 500
"""Of a curve: more than a chart has pixels across. Longer ones are means of that many stretches."""


def charts(runs: Sequence[RunRecord]) -> dict[str, Any]:
    """Return {"axes": [...], "charts": [...]} of several runs.

    An axis has `run`, the place of its run in `runs`, and for each point the images, epochs and seconds of training.
    A chart has a title and lines; a line has a name, the place of its axis, and a value or None for each of its points.
    """
    axes: list[dict[str, Any]] = []
    found: dict[str, list[dict[str, Any]]] = {}
    for place, run in enumerate(runs):
        for split in dict.fromkeys(row.split for row in run.rows):
            rows = [row for row in run.rows if row.split == split]
            names = [
                name for name in dict.fromkeys(name for row in rows for name in row.values) if name not in CHOICE_KEYS
            ]
            points = _thinned(_table(rows, names))
            images, epochs, seconds, *curves = map(_numbers, points.T)
            axes.append({"run": place, "images": images, "epochs": epochs, "seconds": seconds})
            for name, values in zip(names, curves, strict=True):
                line = {"name": name, "axis": len(axes) - 1, "values": values}
                found.setdefault(_chart(name, split), []).append(line)
    return {"axes": axes, "charts": [{"title": title, "lines": lines} for title, lines in found.items()]}


def _table(rows: Sequence[Row], names: Sequence[str]) -> Array:
    """Return images, epochs, seconds and values of each row; NaN stands for what is missing."""
    known = [[row.images, row.epochs, row.seconds, *map(row.values.get, names)] for row in rows]
    return np.array(known, dtype=float)  # which makes NaN of None


def _thinned(table: Array) -> Array:
    """Return means of as many stretches as a curve may have points; the first and last points stay as they are."""
    if len(table) <= _MOST_POINTS:
        return table
    edges = np.linspace(1, len(table) - 1, _MOST_POINTS - 1).round().astype(int)
    return np.array([table[0], *(_mean(table[a:b]) for a, b in itertools.pairwise(edges)), table[-1]])


def _mean(stretch: Array) -> Array:
    known = np.isfinite(stretch)
    mean: Array = np.where(known, stretch, 0).sum(axis=0) / np.where(known.any(axis=0), known.sum(axis=0), np.nan)
    return mean


def _numbers(column: Array) -> list[float | None]:
    """Return a column with four digits a value, and None where one is missing: JSON has no NaN."""
    return list(_rounded(column))


def _rounded(column: Array) -> Iterator[float | None]:
    for value in column.tolist():
        short = float(f"{value:.5g}")
        yield None if not np.isfinite(short) else int(short) if short == int(short) else short


def _chart(name: str, split: str) -> str:
    """Return the title of the chart that a value belongs on: its own, or one of values that are best compared."""
    if name.endswith("_accuracy"):
        return "accuracy of the discriminator"
    if name.startswith("grad."):
        return "norm of the gradient"
    if "near_duplicates" in name:
        return "share of near duplicates"
    return name if split == "train" else f"{name} ({split})"
