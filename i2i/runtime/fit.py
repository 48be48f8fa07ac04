"""How pictures come to sizes that a network takes: the choices, and the pixel operations they need."""

import math
from typing import Literal, NamedTuple, get_args

import numpy as np
from PIL import Image

from i2i.errors import UsageError
from i2i.images import Array, largest

How = Literal["pad", "resize", "crop", "tile"]
Tiling = Literal["frozen", "exact"]


class Fit(NamedTuple):
    """How pictures come to sizes that the network takes.

    how: pad on the right and at the bottom, and crop back; resize to the scale of training, and back; crop the
        centre; tile; None pads what fits into memory and tiles the rest.
    tile: where tiles get their norm statistics. frozen: from a smaller copy of the whole picture. exact: from the
        picture itself. None: frozen if the model file allows it.
    tile_px: side of the tiles; None derives it from a memory limit.
    """

    how: How | None = None
    tile: Tiling | None = None
    tile_px: int | None = None


AUTO = Fit()
_ROWS = 64
"""Rows that are reduced at a time."""
NATIVE_SCALE = "To keep their scale, train on such pictures with --set data.resize_px=null."


def large_note(side_px: int, trained_px: int) -> str:
    """Say how much larger a picture, by its shorter side, is than those of training, and what to do about it."""
    ratio = side_px / trained_px
    resize = "would blur the output" if ratio > 4 else "may look better, but costs detail"
    return (
        f"{ratio:.2g} times as large as the {trained_px} px that the model was trained at.\n"
        f"--fit resize {resize}: it works at {trained_px} px. {NATIVE_SCALE}"
    )


def make_fit(how: How | None, tile: Tiling | None, tile_px: int | None, windows: bool = False) -> Fit:
    """Combine the options of the command line; raises UsageError for unknown and contradictory ones."""
    if how is not None and how not in (known := get_args(How)):
        raise UsageError(f"--fit takes {', '.join(known)}; got {how}.")
    if (tile or tile_px) and how not in (None, "tile"):
        raise UsageError(f"--tile and --tile-px go with --fit tile, not with --fit {how}. Leave one of them out.")
    if tile == "exact" and tile_px and not windows:
        raise UsageError(
            "--tile exact works in strips of rows, which have no side. Leave out --tile-px, or add --windows."
        )
    return Fit("tile" if tile or tile_px else how, tile, tile_px)


def padded_side(side: int, multiple: int, least: int) -> int:
    """Return the smallest side from `side` that the network takes, in pixels."""
    return max(-(-side // multiple) * multiple, least)


def pad(values: Array, height: int, width: int) -> Array:
    """Pad (C, h, w) on the right and at the bottom to (C, height, width).

    Reflects without the border pixel. Where the pad is not smaller than the side, the edge is repeated until it is.
    """
    for axis, target in ((1, height), (2, width)):
        side = values.shape[axis]
        if side == target:
            continue
        # Reflecting n pixels needs a side over n, so repeat the edge up to the first side s with s > target - s.
        start = side if side > target - side else target // 2 + 1
        for mode, length in (("edge", start), ("reflect", target)):
            widths = [(0, 0)] * 3
            widths[axis] = (0, length - values.shape[axis])
            values = np.pad(values, widths, mode=mode)  # type: ignore[call-overload]
    return np.ascontiguousarray(values)


def cropped(array: Array, height: int, width: int) -> Array:
    """Cut the centre out of (H, W, C)."""
    top, left = (array.shape[0] - height) // 2, (array.shape[1] - width) // 2
    return array[top : top + height, left : left + width]


def resized(array: Array, height: int, width: int) -> Array:
    """Resize (H, W, C) by Pillow's bicubic filter, within two of 255 levels of what training does."""
    if array.shape[:2] == (height, width):
        return array
    top = largest(array.dtype)
    output = np.empty((height, width, array.shape[2]), array.dtype)
    for channel in range(array.shape[2]):  # beyond 8 bits Pillow resizes floats of one channel only
        plane = array[:, :, channel]
        image = Image.fromarray(plane if plane.dtype == np.uint8 else plane.astype(np.float32))
        made = np.asarray(image.resize((width, height), Image.Resampling.BICUBIC))
        output[:, :, channel] = made.clip(0, 1) if array.dtype == np.float32 else np.rint(made.clip(0, top))
    return output


def reduced_sides(height: int, width: int, pixels: int, multiple: int, least: int) -> tuple[int, int]:
    """Return the sides of a picture reduced to about `pixels` pixels at most, or its own if it has no more.

    Reduced sides are such as the network takes.
    """
    scale = math.sqrt(pixels / (height * width))
    if scale >= 1:
        return height, width
    high, wide = (max(int(side * scale) // multiple * multiple, least) for side in (height, width))
    return high, wide


def reduced(array: Array, sides: tuple[int, int]) -> Array:
    """Return (H, W, C) reduced by area averaging to other sides."""
    if array.shape[:2] == sides:
        return array
    reduction = Reduction(array.shape[:2], sides)
    for top in range(0, len(array), _ROWS):
        reduction.add(array[top : top + _ROWS])
    return reduction.done()


class Reduction:
    """Area averaging of a picture that comes some rows at a time; how many makes no difference to any value."""

    def __init__(self, source: tuple[int, int], sides: tuple[int, int]):
        """Both (height, width); a side that grows is interpolated by the nearest pixel."""
        self.source, self.sides, self.row = source, sides, 0
        self.edges = np.linspace(0, source[1], sides[1] + 1)

    def add(self, rows: Array) -> None:
        """Take the next rows, (N, W, C)."""
        if not self.row:
            self.dtype = rows.dtype
            self.averages = np.zeros((*self.sides, rows.shape[2]))
            self.open = np.zeros(rows.shape[1:])
        ratio = self.sides[0] / self.source[0]
        for row in rows:
            start, stop = self.row * ratio, (self.row + 1) * ratio
            for place in range(int(start), min(math.ceil(stop), self.sides[0])):
                self.open += (min(stop, place + 1) - max(start, place)) * row
                if stop >= place + 1 or self.row == self.source[0] - 1:
                    self.averages[place] = self._across(self.open)
                    self.open[:] = 0
            self.row += 1

    def _across(self, row: Array) -> Array:
        """Average along a row (W, C): differences of the sums up to each edge, the part of a pixel included."""
        sums = np.zeros((len(row) + 1, row.shape[1]))
        np.cumsum(row, axis=0, out=sums[1:])
        whole = np.minimum(self.edges.astype(int), len(row) - 1)
        upto = sums[whole] + (self.edges - whole)[:, None] * row[whole]
        done: Array = np.diff(upto, axis=0) * (self.sides[1] / self.source[1])
        return done

    def done(self) -> Array:
        """Return the reduced picture, (H, W, C) of the type of the rows."""
        if self.dtype == np.float32:
            return self.averages.clip(0, 1).astype(np.float32)
        return np.rint(self.averages).clip(0, largest(self.dtype)).astype(self.dtype)
