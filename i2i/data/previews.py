"""The few pictures on which a run shows what it has learned, and on which exports are proved."""

from typing import NamedTuple

import numpy as np

from i2i.data.folders import Pair, Picture, check_pairs, check_pictures, find_pairs, find_sides, has_split, in_time
from i2i.errors import DataError
from i2i.settings import DataKind, DataSettings, by_direction

MOST_SCORED = 500
"""Val pairs, at most, that choose the best weights: enough to tell two models, and few beside the training."""


class Previews(NamedTuple):
    """Inputs of one direction and, where they have partners, the truths; and the split they are from."""

    split: str
    inputs: list[Picture]
    truths: list[Picture] | None


def find_previews(data: DataSettings, kind: DataKind, direction: str, count: int) -> Previews:
    """Return the first `count` pictures of val, or of train where there is no val, each decoded once; raises DataError.

    Unpaired data may be matched in val: when all names have a partner of the same size. The pictures it trains
    on never count as matched.
    """
    split = "val" if in_time(data, lambda paths: has_split(paths, "val")) else "train"
    pairs: list[Pair] = []
    if kind == "paired" or split == "val":
        try:
            pairs = in_time(data, lambda paths: find_pairs(paths, split))[:count]
            checked = check_pairs(pairs, data, full=True)
            pairs = [pair for pair, size in zip(pairs, checked, strict=True) if size]
        except DataError:  # names that are not matched, or that meet by chance
            if kind == "paired":
                raise
            pairs = []
    if pairs:
        inputs, truths = by_direction(direction, *([pair.side(side) for pair in pairs] for side in ("A", "B")))
        return Previews(split, inputs, truths)
    sides = in_time(data, lambda paths: find_sides(paths, split, data.disjoint and split == "train"))
    inputs, _ = by_direction(direction, *sides)
    inputs = inputs[:count]
    checked = check_pictures(inputs, data, full=True)
    return Previews(split, [picture for picture, size in zip(inputs, checked, strict=True) if size], None)


def find_val_pairs(data: DataSettings) -> list[Pair]:
    """Return the pairs of val, or MOST_SCORED of them from all over the split, checked; raises DataError."""
    pairs = in_time(data, lambda paths: find_pairs(paths, "val"))
    places = np.linspace(0, len(pairs) - 1, min(len(pairs), MOST_SCORED)).round().astype(int)
    chosen = [pairs[place] for place in places]
    return [pair for pair, size in zip(chosen, check_pairs(chosen, data), strict=True) if size]
