"""How a picture comes to sizes that a network takes, and when it is too big to go through whole.

Memory is estimated, not measured, and by figures that are the same on every machine: what becomes of a
picture must not depend on what else is running.
"""

import math
from typing import Literal, NamedTuple

import numpy as np
from PIL import Image

from i2i.errors import ImageError, ModelError, UsageError
from i2i.images import Array, largest
from i2i.models.spec import ModelSpec, Part
from i2i.runtime.tiles import Line, make_line

How = Literal["pad", "resize", "crop", "tile"]
Tiling = Literal["frozen", "exact"]

WHOLE_BYTES = 4 * 2**30
"""A picture that is estimated to take more than this goes through in tiles."""
WHOLE_PIXELS = 2**21
"""And one of more pixels than this, far beyond what any model is trained at, if it is to take more than a tile."""
TILE_BYTES = 2**29
"""What a tile may take."""
_LARGEST_TILE_PX = 1024
"""Larger ones would save little time, and the rows of tiles that are open take memory too."""
_OVERLAP_PX = 256
_BLEND_PX = 64


class Fit(NamedTuple):
    """How pictures come to sizes that the network takes.

    how: pad on the right and at the bottom, and crop back; resize to the scale trained at, and back; crop the
        centre; tile; None pads what fits into memory and tiles the rest.
    tile: where tiles get their norm statistics from: frozen, from a smaller copy of the whole picture; exact,
        from the picture itself. None is frozen where the model's file allows.
    tile_px: side of the tiles; None takes it from TILE_BYTES.
    """

    how: How | None = None
    tile: Tiling | None = None
    tile_px: int | None = None


AUTO = Fit()
NATIVE_SCALE = "To keep their scale, train on such pictures with --set data.resize_px=null."


def large_note(side_px: int, trained_px: int) -> str:
    """Return how much larger a picture, by its shorter side, is than those of training, and what to do about it."""
    ratio = side_px / trained_px
    resize = "would blur the output" if ratio > 4 else "may look better, but costs detail"
    return (
        f"{ratio:.2g} times as large as the {trained_px} px that the model was trained at.\n"
        f"--fit resize {resize}: it works at {trained_px} px. {NATIVE_SCALE}"
    )


def make_fit(how: How | None, tile: Tiling | None, tile_px: int | None) -> Fit:
    """Put the words of a command line together; raises UsageError where they contradict one another."""
    if (tile or tile_px) and how not in (None, "tile"):
        raise UsageError(f"--tile and --tile-px go with --fit tile, not with --fit {how}. Leave one of them out.")
    if tile == "exact" and tile_px:
        raise UsageError("--tile exact goes in strips of rows, which have no side. Leave out --tile-px.")
    return Fit("tile" if tile or tile_px else how, tile, tile_px)


def estimated_bytes(generator: Part, pixels: int) -> int:
    """Return roughly what a run on so many pixels takes: at most, of what was measured (docs/benchmarks.md)."""
    return pixels * (72 + 26 * int(generator.arguments.get("width", 64)))


def is_too_big(spec: ModelSpec, generator: Part, pixels: int) -> bool:
    """Whether a picture, padded to so many pixels, goes through in tiles. Files of pixels take none, hence more."""
    most = WHOLE_BYTES if pixels <= WHOLE_PIXELS or spec.io == "image" else TILE_BYTES
    return estimated_bytes(generator, pixels) > most


def padded_pixels(generator: Part, height: int, width: int) -> int:
    """Return how many pixels the network sees of such a picture, hundreds a pixel where it is 1 px high."""
    multiple, least = generator.size_multiple, generator.size_minimum
    return padded_side(height, multiple, least) * padded_side(width, multiple, least)


def own_statistics(spec: ModelSpec, generator: Part) -> bool:
    """Whether the network normalises by statistics of the picture itself, as far as the spec says."""
    norm = generator.arguments.get("norm", "instance")
    return norm in ("instance", "group", "layer") or (norm == "batch" and spec.norm_statistics == "image")


def tile_side(generator: Part) -> int:
    """Return the side of a tile that is estimated to take TILE_BYTES, and more where less makes no tile."""
    multiple = generator.size_multiple
    known = min(math.isqrt(TILE_BYTES // estimated_bytes(generator, 1)), _LARGEST_TILE_PX) // multiple * multiple
    return rounded_tile(generator, max(known, _overlap(multiple) + multiple))


def rounded_tile(generator: Part, tile_px: int) -> int:
    """Return the smallest side of tiles, in pixels, that the network takes and that leaves room to overlap."""
    return padded_side(tile_px, generator.size_multiple, max(2 * generator.size_multiple, generator.size_minimum))


def tile_lines(sides: tuple[int, int], tiles: tuple[int, int], multiple: int, seamless: bool) -> tuple[Line, Line]:
    """Cover a picture by tiles; all (height, width) in pixels and multiples of `multiple`.

    seamless: whether tiles agree but for what each sees at its edges; else they overlap by half and fade over
    all of that.
    """
    lines = []
    for side, tile in zip(sides, tiles, strict=True):
        # A file of fixed size may be no longer than one multiple; then tiles cannot keep to multiples.
        step = multiple if tile >= 2 * multiple else max(tile // 4, 1)
        half = tile // (2 * step) * step
        overlap = min(_overlap(step), half) if seamless else half
        covered = max(-(-(side - tile) // step) * step + tile, tile)
        lines.append(make_line(covered, tile, step, overlap, min(_BLEND_PX, overlap // 2) if seamless else overlap))
    return lines[0], lines[1]


def _overlap(multiple: int) -> int:
    return -(-_OVERLAP_PX // multiple) * multiple


def padded_side(side: int, multiple: int, least: int) -> int:
    """Return the smallest side that the network takes and that is at least `side`, in pixels."""
    return max(-(-side // multiple) * multiple, least)


def pad(values: Array, height: int, width: int) -> Array:
    """Pad (C, h, w) on the right and at the bottom to (C, height, width).

    Reflects without the border pixel; where the pad is not smaller than the side, the edge is repeated
    until it is.
    """
    for axis, target in ((1, height), (2, width)):
        side = values.shape[axis]
        # Reflecting n pixels needs a side over n, so repeat the edge up to the first side s with s > target - s.
        start = side if side > target - side else target // 2 + 1
        for mode, length in (("edge", start), ("reflect", target)):
            widths = [(0, 0)] * 3
            widths[axis] = (0, length - values.shape[axis])
            values = np.pad(values, widths, mode=mode)  # type: ignore[call-overload]
    return np.ascontiguousarray(values)


def cropped_sides(spec: ModelSpec, generator: Part, height: int, width: int, name: str) -> tuple[int, int]:
    """Return the largest sides within a picture's that need no padding; raises ImageError where there are none."""
    if spec.fixed_size:
        return min(height, spec.fixed_size[0]), min(width, spec.fixed_size[1])
    multiple, least = generator.size_multiple, generator.size_minimum
    if min(height, width) < max(least, multiple):
        raise ImageError(
            f"{name} is {width}x{height}, but sides that this model takes begin at {max(least, multiple)} px.\n"
            "There is nothing to crop; use --fit pad or --fit resize."
        )
    return height // multiple * multiple, width // multiple * multiple


def known_sides(spec: ModelSpec, height: int, width: int) -> tuple[int, int]:
    """Return the sides of a picture at the scale trained at, or as they fit into a file of fixed size.

    Raises ModelError where that scale is not known.
    """
    if spec.fixed_size:
        scale = min(spec.fixed_size[0] / height, spec.fixed_size[1] / width)
    elif spec.trained_side_px:
        scale = spec.trained_side_px / min(height, width)
    else:
        raise ModelError("This model does not say at which scale it was trained: leave out --fit resize.")
    return max(round(height * scale), 1), max(round(width * scale), 1)


def cropped(array: Array, height: int, width: int) -> Array:
    """Cut the centre out of (H, W, C)."""
    top, left = (array.shape[0] - height) // 2, (array.shape[1] - width) // 2
    return array[top : top + height, left : left + width]


def resized(array: Array, height: int, width: int) -> Array:
    """Resize (H, W, C) by Pillow's bicubic, as training does within two of 255 levels."""
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


def reduced(array: Array, pixels: int, multiple: int, least: int) -> Array:
    """Return (H, W, C) with about so many pixels at most, each the mean of those it stands for.

    What had to be reduced has sides that the network takes.
    """
    import cv2  # 0.1 s, which smaller pictures need not wait for

    height, width = array.shape[:2]
    scale = math.sqrt(pixels / (height * width))
    if scale >= 1:
        return array
    sides = [max(int(side * scale) // multiple * multiple, least) for side in (width, height)]
    made = cv2.resize(array, sides, interpolation=cv2.INTER_AREA)
    return made.reshape(*made.shape[:2], -1)
