"""A picture through a network in overlapping tiles, put together again.

Along each side, tiles begin at multiples that the network asks for, and one fades into the next in the middle of
their overlap. Their outer margins, where a network sees the edge of the tile instead of the picture, get no weight.
Weights are the same for all rows (and columns) of a tile and sum to one over any pixel. Only open tiles are floats:
all other pixels stay in the type of the output, so that a picture of 60 megapixels does not take gigabytes.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from i2i.images import Array, from_unit, to_unit
from i2i.models.spec import ModelSpec, Part
from i2i.runtime.backends import Backend, TorchBackend
from i2i.runtime.fit import pad, reduced, reduced_sides
from i2i.runtime.plan import Plan, Sides, overlap_side, padded_sides
from i2i.runtime.torch_backend import PicturePart

_BLEND_PX = 64
_WRITTEN_ROWS = 64
"""Rows that are converted to the output's type at a time."""


def in_tiles(
    plan: Plan,
    spec: ModelSpec,
    generator: Part,
    backend: Backend,
    array: Array,
    dtype: Any,
    before_tile: Callable[[], None] = lambda: None,
) -> Array:
    """Translate (H, W, in_channels) integers, or float32 in [0, 1], to (H, W, out_channels) in `dtype`.

    All tiles share the norm statistics of a reduced copy of the picture if the backend takes them.
    before_tile: may raise, and so end the work. Raises MemoryError.
    """
    copies = (statistics_copy(plan, generator, one) for one in [array])
    output, done = np.empty((*plan.sides, generator.out_channels), dtype), 0
    for rows in through_tiles(plan, spec, generator, backend, lambda *place: array[place], copies, before_tile):
        output[done : done + rows.shape[1]] = from_unit(rows, dtype)
        done += rows.shape[1]
    return output


def through_tiles(
    plan: Plan,
    spec: ModelSpec,
    generator: Part,
    backend: Backend,
    read: Callable[[slice, slice], Array],
    copies: Iterable[Array] | None,
    before_tile: Callable[[], None] = lambda: None,
) -> Iterator[Array]:
    """Yield the output row by row, (C, some rows, W) float32 in [-1, 1]; the rest is as for `in_tiles`.

    read: takes rows and columns, which may reach beyond the picture on the right and at the bottom, and returns what
    there is, (H, W, in_channels). copies: what gives norm statistics, asked for only where they are needed; None: the
    picture itself, whose tiles are then read once for each norm layer.
    """
    lines = planned_lines(plan, spec, generator, backend)

    def values(rows: slice, columns: slice) -> Array:
        before_tile()
        pixels, tile = read(rows, columns), (rows.stop - rows.start, columns.stop - columns.start)
        if pixels.shape[:2] != tile:
            pixels = pad(pixels.transpose(2, 0, 1), *tile).transpose(1, 2, 0)
        return to_unit(pixels, contiguous=not isinstance(backend, TorchBackend))[None]

    if isinstance(backend, TorchBackend):
        backend = backend.frozen_in_parts(lambda: _parts(lines, values)) if copies is None else backend.frozen(copies)
    return blended(lambda *place: backend.run(values(*place))[0], lines, plan.sides, generator.out_channels)


def planned_lines(plan: Plan, spec: ModelSpec, generator: Part, backend: Backend) -> "tuple[Line, Line]":
    """Return the tiles of a plan, down and across."""
    return tile_lines(plan.padded, plan.tile, generator.size_multiple, tiles_agree(spec, generator, backend))


def _parts(lines: "tuple[Line, Line]", values: Callable[[slice, slice], Array]) -> Iterator[PicturePart]:
    """Yield all tiles of a picture, each with the pixels that it alone stands for."""
    down, across = lines
    for top, rows in zip(down.origins, down.inner, strict=True):
        for left, columns in zip(across.origins, across.inner, strict=True):
            yield values(slice(top, top + down.tile), slice(left, left + across.tile)), (top, left), (rows, columns)


def statistics_copy(plan: Plan, generator: Part, array: Array) -> Array:
    """Return the reduced copy (1, C, H, W) of a picture (H, W, C) that gives its tiles their norm statistics."""
    height, width = array.shape[:2]
    sides = reduced_sides(height, width, plan.statistics_px**2, generator.size_multiple, generator.size_minimum)
    return as_statistics(generator, reduced(array, sides))


def as_statistics(generator: Part, copy: Array) -> Array:
    """Return a reduced copy (H, W, C) as the network takes it, (1, C, H, W)."""
    values = to_unit(copy)
    return pad(values, *padded_sides(generator, *values.shape[1:]))[None]


def tiles_agree(spec: ModelSpec, generator: Part, backend: Backend) -> bool:
    """Whether tiles differ only by what each sees at its edges: they share norm statistics, or have none."""
    return isinstance(backend, TorchBackend) or not uses_own_statistics(spec, generator)


def uses_own_statistics(spec: ModelSpec, generator: Part) -> bool:
    """Whether the network normalises by statistics of the picture itself, as far as the spec says."""
    norm = generator.arguments.get("norm", "instance")
    return norm in ("instance", "group", "layer") or (norm == "batch" and spec.norm_statistics == "image")


class Line(NamedTuple):
    """Tiles along one side.

    tile: their length in pixels. origins: where each begins, ascending, the first at 0. weights: (tiles, tile)
    float32, the weight of each pixel of each tile.
    """

    tile: int
    origins: list[int]
    weights: Array

    @property
    def inner(self) -> list[tuple[int, int]]:
        """The pixels from and up to which each tile stands for the picture: half of every overlap is its own."""
        middles = [(before + self.tile + here) // 2 for before, here in itertools.pairwise(self.origins)]
        return list(itertools.pairwise([0, *middles, self.origins[-1] + self.tile]))


def tile_lines(sides: Sides, tiles: Sides, multiple: int, seamless: bool) -> tuple[Line, Line]:
    """Cover a picture by tiles; all (height, width) in pixels and multiples of `multiple`.

    seamless: whether tiles differ only by what each sees at its edges; otherwise they overlap by half and fade over
    all of it.
    """
    lines = []
    for side, tile in zip(sides, tiles, strict=True):
        # A file of fixed size may be no longer than one multiple; then tiles cannot keep to multiples.
        step = multiple if tile >= 2 * multiple else max(tile // 4, 1)
        half = tile // (2 * step) * step
        overlap = min(overlap_side(multiple), half) if seamless else half
        covered = max(-(-(side - tile) // step) * step + tile, tile)
        lines.append(make_line(covered, tile, step, overlap, min(_BLEND_PX, overlap // 2) if seamless else overlap))
    return lines[0], lines[1]


def make_line(side: int, tile: int, multiple: int, overlap: int, blend: int) -> Line:
    """Cover `side` px, a multiple of `multiple`, with the fewest tiles that overlap by at least `overlap`, in pixels.

    tile and overlap: multiples of `multiple` too. blend: length of the fade, at most `overlap`. A side no longer than
    a tile is one tile.
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
    # A tile's weight is what has faded in with it, less what has faded in with the next: the sum telescopes to one.
    return Line(tile, origins, (np.array([ones, *rises]) - np.array([*falls, zeros])).astype(np.float32))


def _fade(place: Array) -> Array:
    """Rise from 0 at -1/2 to 1 at 1/2, without a kink (3x^2 - 2x^3)."""
    x = np.clip(place + 0.5, 0.0, 1.0)
    return x * x * (3.0 - 2.0 * x)


def _weighted(weights: Array) -> slice:
    """Return the places of a line of weights between its outermost zeros."""
    (places,) = np.nonzero(weights)
    return slice(places[0], places[-1] + 1)


def blended(
    translate: Callable[[slice, slice], Array], lines: tuple[Line, Line], sides: Sides, channels: int
) -> Iterator[Array]:
    """Yield what `translate` makes of all tiles, put together: (C, some rows, W) float32, from top to bottom.

    translate: takes rows and columns, which may reach beyond the picture on the right and at the bottom, and returns
    (C, h, w) float32 in [-1, 1].
    """
    rows, columns = lines
    height, width = sides
    # Pixels of a row side by side, with all channels of each together, as they are in files.
    open_rows = np.zeros((rows.tile, (columns.origins[-1] + columns.tile) * channels), np.float32)
    for top, row_weights, following in zip(
        rows.origins, rows.weights, [*rows.origins[1:], rows.origins[-1] + rows.tile], strict=True
    ):
        for left, column_weights in zip(columns.origins, columns.weights, strict=True):
            made = translate(slice(top, top + rows.tile), slice(left, left + columns.tile))
            flat, across = made.transpose(1, 2, 0).reshape(rows.tile, -1), np.repeat(column_weights, channels)
            inner, within = _weighted(row_weights), _weighted(across)
            place = slice(left * channels + within.start, left * channels + within.stop)
            open_rows[inner, place] += flat[inner, within] * (row_weights[inner, None] * across[within])
        for row in range(top, min(following, height), _WRITTEN_ROWS):
            stop = min(row + _WRITTEN_ROWS, following, height)
            yield open_rows[row - top : stop - top].reshape(stop - row, -1, channels)[:, :width].transpose(2, 0, 1)
        done = following - top
        open_rows[: rows.tile - done] = open_rows[done:]
        open_rows[rows.tile - done :] = 0
