"""Frames of one clip: which pictures they are, those in one folder in the order of their names; and thumbnails."""

import re
from collections.abc import Iterable
from itertools import pairwise
from pathlib import PurePath

import numpy as np
from PIL import Image

from i2i.errors import DataError
from i2i.images.encode import Array
from i2i.images.image import largest, to_channels

SIDE = 12
"""Rows and columns of a thumbnail."""


def clip_of(name: str | PurePath) -> str:
    """Return the folder of a picture, which is its clip."""
    return str(PurePath(name).parent)


def refuse_disorder(names: Iterable[str | PurePath]) -> None:
    """Raise DataError where names, sorted as strings, count in another order: 10 before 9."""
    for one, other in pairwise(map(PurePath, names)):
        if one.parent == other.parent and _counted(other.stem) < _counted(one.stem):
            raise DataError(
                f"{other} counts before {one}, but comes after it in the order of names, which is that of frames.\n"
                "Rename the frames with as many digits each, as in 0009 and 0010."
            )


def thumbnail(frame: Array) -> Array:
    """Return (H, W, 1 to 4) as (SIDE * SIDE,) float32: the mean grey of each part, black 0 and white 255."""
    grey = to_channels(frame, 1)[:, :, 0] * np.float32(255 / largest(frame.dtype))
    return np.asarray(Image.fromarray(grey).resize((SIDE, SIDE), Image.Resampling.BOX)).ravel()


def _counted(stem: str) -> list[tuple[bool, int, str]]:
    """Return the parts of a name as a person sorts them: numbers by their value."""
    parts = re.findall(r"\d+|\D+", stem, re.ASCII)
    return [(part.isdigit(), int(part) if part.isdigit() else 0, "" if part.isdigit() else part) for part in parts]
