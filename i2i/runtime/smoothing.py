"""Outputs of a clip smoothed over time, where the input stays as it was."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from i2i.images import Array, from_unit, to_channels, to_unit
from i2i.runtime.fit import cropped

_MOVED = 0.06
"""A change of the input, of the range from black to white, at which the weight has fallen to a third (1 / e)."""
_NEAR_PX = 5
"""The change of a pixel is the mean over a square of this side, so that noise does not count as motion."""


class Smoothing:
    """A running mean of each pixel, which starts anew where the input changes: frames in order, one call for each.

    weight: of what came before, from 0, no smoothing, to below 1.
    """

    def __init__(self, weight: float):
        self.weight = weight
        self.before: tuple[Array, Array] | None = None
        """The last input (H, W, 3) in [-1, 1] float32, and what came out, (H, W, C) float32 the same."""

    def __call__(self, frame: Array, output: Array) -> Array:
        """Return `output`, (H, W, C), made of the input `frame`, (H, W, 1 to 4), smoothed, in the type of `output`."""
        if not self.weight:
            return output
        seen = _unit(to_channels(cropped(frame, *output.shape[:2]), 3))
        made = _unit(output)
        if self.before is not None and self.before[1].shape == made.shape:
            change = np.abs(seen - self.before[0]).max(axis=2) / 2
            still = np.exp(-((_near_mean(change) / _MOVED) ** 2))[:, :, None]
            made += self.weight * still * (self.before[1] - made)
        self.before = (seen, made)
        return from_unit(made.transpose(2, 0, 1), output.dtype)

    @property
    def state(self) -> dict[str, Array]:
        """What the next frame needs, by name."""
        return {} if self.before is None else {"seen": self.before[0], "made": self.before[1]}

    def restore(self, state: Mapping[str, Array]) -> None:
        """Go on from a `state`, or begin anew if it is empty."""
        if self.weight and "seen" in state:
            self.before = (state["seen"], state["made"])


def _near_mean(values: Array) -> Array:
    """Return (H, W) with the mean around each pixel; the picture is mirrored beyond its borders."""
    edge = _NEAR_PX // 2
    for axis, side in enumerate(values.shape):
        wide = np.pad(values, [(edge, edge) if one == axis else (0, 0) for one in (0, 1)], "reflect")
        first, *rest = (wide[k : k + side] if axis == 0 else wide[:, k : k + side] for k in range(_NEAR_PX))
        values = sum(rest, first)
    return values / np.float32(_NEAR_PX**2)


def _unit(array: Array) -> Any:
    return to_unit(array).transpose(1, 2, 0).copy()
