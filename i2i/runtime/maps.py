"""Pictures of any size from noise: networks that take a map of latents, and the sizes that they make.

A latent is a row of numbers here as everywhere, so that walks, children and files of latents know no maps. Blocks that
are drawn at each place of a map have all their places in the row; what goes into the network is the row's numbers,
each where it belongs.
"""

from collections.abc import Sequence

import numpy as np

from i2i.errors import OutOfMemoryError, UsageError
from i2i.files import show_size
from i2i.images import Array
from i2i.machine import available_bytes
from i2i.models.spec import PHASE, Part
from i2i.runtime.latents import seed_latents
from i2i.runtime.plan import Sides, estimated_bytes


def chosen_sides(part: Part, size: Sides | None, tile: bool) -> Sides:
    """Return the (height, width) of the pictures that a part makes: `size`, or its own side.

    tile: whether their borders shall meet. Raises UsageError for what the part does not make.
    """
    if tile and not any(block.each_place for block in part.blocks):
        raise UsageError(
            "This model makes no textures, and only they can tile. Leave out --tile, or train one with "
            "`i2i train texture_relief`."
        )
    if tile and any(block.name == PHASE for block in part.blocks):
        raise UsageError("The waves of this texture (generator.waves) do not meet at its borders. Leave out --tile.")
    if size is None or size == (part.out_px, part.out_px):
        return part.out_px, part.out_px
    if part.out_meaning == "points":
        raise UsageError("This model makes points, which have no size. Leave out --size.")
    step = part.place_px
    if not step:
        raise UsageError(
            f"This model makes {part.out_px}x{part.out_px} px only. Leave out --size, or train one of any size, as "
            "with `i2i train cppn_emoji`."
        )
    if size[0] % step or size[1] % step:
        height, width = (-(-side // step) * step for side in size)
        raise UsageError(
            f"--size {size[1]}x{size[0]}: this model makes sides that are multiples of {step}. Use --size "
            f"{width}x{height}."
        )
    return size


def refuse_huge(part: Part, sides: Sides, device: str, held: int = 0) -> None:
    """Raise OutOfMemoryError for pictures that cannot be made in the memory that is free.

    held: how many pictures stay in memory until all are made, as those of a grid.
    """
    pixels, free = sides[0] * sides[1], available_bytes()
    needed = (estimated_bytes(part, pixels) if device == "cpu" else 0) + 2 * held * pixels * part.out_channels
    if free is not None and needed > free:
        what = f"A grid of {held} pictures" if held > 1 else "A picture"
        raise OutOfMemoryError(
            f"{what} of {sides[1]}x{sides[0]} px needs about {show_size(needed)} of memory, and {show_size(free)} are "
            f"free. Use a smaller --size{', fewer pictures or --separate' if held > 1 else ''}."
        )


def map_index(part: Part, sides: Sides, tile: bool = False) -> Array:
    """Return which number of a row goes where, (latent, rows, columns) of whole numbers, for `row[:, index]`.

    The row is that of `part.at` for the same places. tile: go on beyond each border of the map with the places of the
    border opposite, so that pictures continue there.
    """
    rows, columns = part.places(sides, tile)
    found, start = [], 0
    for block in part.blocks:
        numbers = np.arange(start, start + block.at(rows * columns).size)
        each = numbers.reshape(block.size, rows, columns) if block.each_place else numbers[:, None, None]
        found.append(np.broadcast_to(each, (block.size, rows, columns)))
        start += len(numbers)
    border = part.border_places if tile else 0
    return np.pad(np.concatenate(found), ((0, 0), (border, border), (border, border)), mode="wrap")


def seeded_inputs(part: Part, seeds: Sequence[int]) -> Array:
    """Return what the network of a part takes for seeds, at its own size: latents (N, latent), or maps of them."""
    if not part.place_px:
        return seed_latents(seeds, part.blocks)
    sides = part.out_px, part.out_px
    rows = seed_latents(seeds, part.at(*part.places(sides)).blocks)
    return rows[:, map_index(part, sides)]
