"""A picture through a network in tiles, with one set of norm statistics where the backend takes them."""

from typing import Any

import numpy as np

from i2i.images import Array, to_unit
from i2i.models.spec import ModelSpec, Part
from i2i.runtime.backends import Backend, TorchBackend
from i2i.runtime.fit import own_statistics, pad, padded_side, reduced, rounded_tile, tile_lines
from i2i.runtime.tiles import run_tiles


def tiles_agree(spec: ModelSpec, generator: Part, backend: Backend) -> bool:
    """Whether tiles can share their norm statistics, or have none."""
    return isinstance(backend, TorchBackend) or not own_statistics(spec, generator)


def in_tiles(
    spec: ModelSpec,
    generator: Part,
    backend: Backend,
    array: Array,
    dtype: Any,
    tile_px: int,
    statistics_px: int,
) -> Array:
    """(H, W, in_channels) integers, or float32 in [0, 1], to (H, W, out_channels) in `dtype`.

    tile_px: side of the tiles, rounded up to what the network takes. statistics_px: norm statistics are
    those of a copy of the picture with as many pixels as a square of this side. Raises MemoryError.
    """
    multiple, least = generator.size_multiple, generator.size_minimum
    height, width = array.shape[:2]
    sides = padded_side(height, multiple, least), padded_side(width, multiple, least)
    tile = rounded_tile(generator, tile_px)
    tiles = spec.fixed_size or (min(tile, sides[0]), min(tile, sides[1]))
    agree = tiles_agree(spec, generator, backend)
    if isinstance(backend, TorchBackend):
        copy = to_unit(reduced(array, statistics_px**2, multiple, least))
        backend = backend.frozen(pad(copy, *(padded_side(side, multiple, least) for side in copy.shape[1:]))[None])

    def run(rows: slice, columns: slice) -> Array:
        pixels = array[rows, columns].transpose(2, 0, 1)
        pixels = pad(pixels, rows.stop - rows.start, columns.stop - columns.start).transpose(1, 2, 0)
        return backend.run(to_unit(pixels)[None])[0]

    output = np.empty((height, width, generator.out_channels), dtype)
    run_tiles(run, tile_lines(sides, tiles, multiple, agree), output)
    return output
