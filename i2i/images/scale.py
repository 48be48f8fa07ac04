"""What black and white are in each channel of a side's files, measured or given; values are mapped there and back."""

import math
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, model_validator

from i2i.errors import ImageError
from i2i.images.encode import Array

Range = tuple[float, float]
"""Values of black and white in a file."""
Type = Literal["uint8", "uint16", "float32"]


class Scale(BaseModel):
    """Black and white of each channel."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    ranges: tuple[Range, ...]
    """Of each channel, or one for all."""
    clips: bool = False
    """Whether values outside become black or white, as where ranges were measured; otherwise files are refused."""
    type: Type = "float32"
    """Of the files, and so of outputs, which have the values of such files."""

    @model_validator(mode="after")
    def _are_ranges(self) -> Self:
        if not self.ranges or not all(math.isfinite(high - low) and low < high for low, high in self.ranges):
            raise ValueError("each range is the value of black, then a larger one for white")
        return self

    def of_type(self, array: Array) -> Array:
        """Return values as outputs have them: of the type of the files, integers rounded and cut off at its ends."""
        if self.type == "float32":
            return array.astype(np.float32)
        limits = np.iinfo(self.type)
        return np.rint(array).clip(limits.min, limits.max).astype(self.type)

    @property
    def depth(self) -> int:
        """Bits of a value in the files."""
        return 8 * np.dtype(self.type).itemsize


def scaled(array: Array, path: Path, scale: Scale, alpha: bool) -> Array:
    """Map (H, W, C), values as stored, to float32 in [0, 1].

    alpha: whether the last channel is alpha, which uses the full range of its type. Raises ImageError for values that
    are not finite and, unless the scale clips, outside its ranges.
    """
    if not np.isfinite(array).all():
        raise ImageError(f"{path} holds values that are not finite. Replace them with numbers first.")
    colours = array[:, :, :-1] if alpha else array
    low, high = _ends(scale, colours.shape[2], path)
    done = (colours - low) / (high - low)
    slack = 1e-6
    if not scale.clips and (done.min() < -slack or done.max() > 1 + slack):
        worst = int(np.argmax(np.maximum(-done.min(axis=(0, 1)), done.max(axis=(0, 1)) - 1)))
        least, most = colours[:, :, worst].min(), colours[:, :, worst].max()
        raise ImageError(
            f"{path} holds values from {least:g} to {most:g} in channel {worst + 1}, outside the range "
            f"{low[worst]:g} to {high[worst]:g}.\nTraining takes another range (data.normalise_a, normalise_b), or "
            "measures it with percentiles."
        )
    if alpha:
        top = 1 if array.dtype.kind == "f" else np.iinfo(array.dtype).max
        done = np.concatenate([done, array[:, :, -1:] / top], axis=2)
    return done.clip(0, 1).astype(np.float32)


def unscaled(array: Array, scale: Scale, alpha: bool) -> Array:
    """Map (H, W, C) float32 in [0, 1] back to values, in float64; alpha stays as it is."""
    colours = array[:, :, :-1] if alpha else array
    low, high = _ends(scale, colours.shape[2], Path("The output"))
    values: Array = low + colours.astype(np.float64) * (high - low)
    return np.concatenate([values, array[:, :, -1:]], axis=2) if alpha else values


def _ends(scale: Scale, channels: int, path: Path) -> tuple[Any, Any]:
    if len(scale.ranges) not in (1, channels):
        raise ImageError(f"{path} has {channels} channels, and there are ranges for {len(scale.ranges)}.")
    low, high = np.array(scale.ranges, np.float64).T
    return np.broadcast_to(low, channels), np.broadcast_to(high, channels)
