"""A picture as overlapping tiles, and the tiles as one picture again; arithmetic only.

Along each side, tiles begin at multiples of what the network asks for, and one fades into the next in the
middle of their overlap: their outer margins, where a network sees the edge of the tile instead of the
picture, count for nothing. Weights are the same for all rows (and columns) of a tile, and over any pixel
they sum to one. Pixels stay integers but for the tiles that are open, so that a picture of 60 megapixels
takes no gigabytes.
"""

import itertools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from i2i.images import Array, from_unit

_WRITTEN_ROWS = 64
"""Rows that become integers at a time."""


class Line(NamedTuple):
    """Tiles along one side.

    tile: their length in pixels. origins: where each begins, ascending, the first at 0. weights: (tiles, tile)
    float32, what each pixel of each tile counts.
    """

    tile: int
    origins: list[int]
    weights: Array


def make_line(side: int, tile: int, multiple: int, overlap: int, blend: int) -> Line:
    """Cover `side` px, a multiple of `multiple`, by as few tiles as overlap by at least `overlap`; all in pixels.

    tile and overlap: multiples of `multiple` too. blend: length of the fade, at most `overlap`. A side that is no
    longer than a tile is one tile.
    """
    assert side % multiple == tile % multiple == overlap % multiple == 0
    assert overlap < tile
    assert blend <= overlap
    tile = min(tile, side)
    steps = -(-(side - tile) // (tile - overlap)) if side > tile else 0
    # Evenly spread, then rounded down: no step becomes longer than tile - overlap, itself a multiple.
    origins = [(side - tile) * k // (steps * multiple) * multiple for k in range(steps + 1)] if steps else [0]
    middles = [(here + before + tile) / 2 for before, here in itertools.pairwise(origins)]
    pixels = np.array(origins)[:, None] + np.arange(tile) + 0.5
    rises = [_fade((pixels[k + 1] - middle) / blend) for k, middle in enumerate(middles)]
    falls = [_fade((pixels[k] - middle) / blend) for k, middle in enumerate(middles)]
    ones, zeros = np.ones(tile), np.zeros(tile)
    # Each tile counts what has faded in with it, less what has faded in with the next: the sum telescopes to one.
    return Line(tile, origins, (np.array([ones, *rises]) - np.array([*falls, zeros])).astype(np.float32))


def _fade(place: Array) -> Array:
    """From 0 at -1/2 to 1 at 1/2, without a kink (3x^2 - 2x^3)."""
    x = np.clip(place + 0.5, 0.0, 1.0)
    return x * x * (3.0 - 2.0 * x)


def run_tiles(run: Callable[[slice, slice], Array], lines: tuple[Line, Line], output: Array) -> None:
    """Fill `output`, (H, W, C) integers, with what `run` makes of every tile.

    run: takes rows and columns, which may reach beyond the picture on the right and at the bottom, and gives
    (C, h, w) float32 in [-1, 1].
    """
    rows, columns = lines
    height, width, channels = output.shape
    open_rows = np.zeros((channels, rows.tile, columns.origins[-1] + columns.tile), np.float32)
    for top, row_weights, following in zip(
        rows.origins, rows.weights, [*rows.origins[1:], rows.origins[-1] + rows.tile], strict=True
    ):
        for left, column_weights in zip(columns.origins, columns.weights, strict=True):
            across = slice(left, left + columns.tile)
            made = run(slice(top, top + rows.tile), across)
            open_rows[:, :, across] += made * row_weights[:, None] * column_weights
        for row in range(top, min(following, height), _WRITTEN_ROWS):
            stop = min(row + _WRITTEN_ROWS, following, height)
            output[row:stop] = from_unit(open_rows[:, row - top : stop - top, :width], output.dtype)
        done = following - top
        open_rows[:, : rows.tile - done] = open_rows[:, done:]
        open_rows[:, rows.tile - done :] = 0
