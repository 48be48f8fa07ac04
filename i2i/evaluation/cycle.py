"""There and back again: what a model of both directions makes of its own translations."""

from pathlib import Path
from typing import NamedTuple, Self

import numpy as np

from i2i.evaluation.labelled import Labelled
from i2i.images import Array, from_unit, to_channels, to_unit
from i2i.images.label_maps import decided
from i2i.metrics import METRICS
from i2i.metrics.intervals import mean_interval
from i2i.runtime.fit import Fit


class CycleScores(NamedTuple):
    """Mean L1 (0 to 255) between inputs and their translations translated back, with 95% intervals.

    l1: the translation is rounded to 8 bits in between, as in a file. l1_unrounded: it is not. What a model hides in
    the lowest bits shows in the difference.
    """

    l1: float
    interval: tuple[float, float]
    l1_unrounded: float
    interval_unrounded: tuple[float, float]

    def to_json(self) -> dict[str, object]:
        """Return all as plain values; docs/json.md describes them."""
        return {
            "cycle_l1": self.l1,
            "cycle_interval": [*self.interval],
            "cycle_l1_unrounded": self.l1_unrounded,
            "cycle_interval_unrounded": [*self.interval_unrounded],
        }


class Cycle:
    """Both directions of a model, and the scores of going there and back so far."""

    def __init__(self, there: Labelled, back: Labelled):
        self.there, self.back = there, back
        self.rounded: list[float] = []
        self.unrounded: list[float] = []

    @classmethod
    def open(cls, model: str | Path, there: Labelled, device: str, fit: Fit) -> Self | None:
        """Open the other direction of a model; None if it has one direction only."""
        back = there.way_back(model, device, fit)
        return cls(there, back) if back else None

    def add(self, name: str, x: Array, output: Array, valid: Array | None = None) -> None:
        """Score an input (H, W, C) of this name, and its translation, where there is data."""
        there, back = self.there.of(name), self.back.of(name)
        if there.generator.outputs and there.generator.outputs.values:
            output = decided(output)
        elif output.dtype != np.uint8:
            output = there.translate(x, np.uint8)
        self.rounded.append(self._l1(back.translate(output, x.dtype), x, valid))
        unrounded = there.translate(from_unit(to_unit(x), np.float32))
        self.unrounded.append(self._l1(back.translate(unrounded), x, valid))

    def scores(self) -> CycleScores:
        """Return the means over the inputs so far."""
        each = (self.rounded, self.unrounded)
        (one, interval), (other, interval_unrounded) = ((float(np.mean(part)), mean_interval(part)) for part in each)
        return CycleScores(one, interval, other, interval_unrounded)

    def _l1(self, back: Array, x: Array, valid: Array | None) -> float:
        bands = self.there.translator.generator.in_bands
        return METRICS["l1"].of(back, to_channels(x, back.shape[2]), bool(bands), valid)
