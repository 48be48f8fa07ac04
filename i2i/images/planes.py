"""Planes of a TIFF: which of its depths, times, channels or pages is the picture."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from i2i.errors import ImageError

Axis = Literal["z", "t", "c", "page"]
Plane = tuple[tuple[Axis, Annotated[int, Field(ge=1)]], ...]
"""Axes and the place on each, from 1."""
AXIS_NAMES = {"Z": "depth (z)", "T": "time (t)", "L": "exposures", "V": "events", "P": "phases", "H": "lifetimes"}
"""Of tifffile's letters."""
CHANNEL_AXES = "CSIQR"
"""tifffile's letters for channels, samples and pages without a meaning of their own."""
_LETTERS = {"z": "Z", "t": "T", "c": "C", "page": "IQR"}


def choose(plane: Plane, axes: str, shape: Sequence[int], path: Path) -> dict[int, int]:
    """Return the place, from 0, on each axis that a plane names, by the number of the axis; raises ImageError."""
    chosen = {}
    for name, number in plane:
        index = next((index for index, letter in enumerate(axes) if letter in _LETTERS[name]), None)
        size = 1 if index is None else shape[index]
        if number > size:
            raise ImageError(f"{path} has {size} along {name}, and number {number} is asked for; its axes are {axes}.")
        if index is not None:
            chosen[index] = number - 1
    return chosen
