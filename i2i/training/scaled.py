"""Previews and val at the scale of training, and where they have data."""

import functools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from i2i.config.settings import DataSettings, by_direction
from i2i.data.derive import Derived
from i2i.data.items import Pair, Picture, read_masked_pair
from i2i.data.previews import at_training_scale, read_at_training_scale, valid_at_training_scale
from i2i.data.watch import watched
from i2i.images import Array, to_channels
from i2i.metrics import METRICS
from i2i.runtime.translator import Translator
from i2i.training.inference import truth_channels

MaskedPair = tuple[Array, Array, Array | None]
"""Two images, and where both have data, (H, W) bool; None: everywhere."""


class PreviewSide(NamedTuple):
    """One side of the previews, its scale in words, and where each has data, (H, W) bool; None: everywhere."""

    images: list[Array]
    words: str
    valid: list[Array | None]


def read_previews(pictures: Sequence[Picture | Derived], data: DataSettings, channels: int) -> PreviewSide:
    """Read previews with `channels`; raises DataError and LoaderError."""
    read_all = watched(
        functools.partial(read_at_training_scale, data=data, channels=channels), pictures, data.timeout_s
    )
    images, words, valid = zip(*read_all, strict=True) if read_all else ((), (), ())
    return PreviewSide([*images], max(words, default=""), [*valid])


def both_valid(one: PreviewSide, other: PreviewSide) -> list[Array | None]:
    """Return where both of two sides have data."""
    pairs = zip(one.valid, other.valid, strict=True)
    return [b if a is None else a if b is None else a & b for a, b in pairs]


def mean_l1(
    outputs: list[Array], truths: list[Array], bands: bool = False, valid: Sequence[Array | None] = ()
) -> float:
    """Return the mean over previews, but for those without any data; 0 where there are no others."""
    metric, valid = METRICS["l1"], valid or [None] * len(outputs)
    each = [one for one in zip(outputs, truths, valid, strict=True) if metric.counts(one[2])]
    return float(np.mean([metric.of(output, truth, bands, known) for output, truth, known in each] or [0.0]))


def val_sides(pair: Pair | Derived, data: DataSettings, through: Mapping[str, Translator]) -> dict[str, MaskedPair]:
    """Read a pair; return input and truth of each direction. Raises DataError and LoaderError."""
    ((a, b, valid),) = watched(functools.partial(_read_val, data=data), [pair], data.timeout_s)
    found = {}
    for direction, translator in through.items():
        x, truth = by_direction(direction, a, b)
        if isinstance(pair, Pair):
            of_x, of_truth = (bool(one.values) for one in by_direction(direction, *pair.layouts))
            x, _ = at_training_scale(to_channels(x, translator.generator.in_channels), data, of_x)
            truth, _ = at_training_scale(to_channels(truth, truth_channels(translator)), data, of_truth)
        found[direction] = (x, truth, valid)
    return found


def _read_val(pair: Pair | Derived, data: DataSettings) -> MaskedPair:
    """Read A and B, (H, W, C) each: derived ones at the scale of training, files as they are."""
    if isinstance(pair, Pair):
        a, b, blank = read_masked_pair(pair)
        return a, b, valid_at_training_scale(blank, a, data)
    whole, blank = pair.read_masked_target()
    target, _ = at_training_scale(whole, data)
    return pair.input_from(target), target, valid_at_training_scale(blank, whole, data)
