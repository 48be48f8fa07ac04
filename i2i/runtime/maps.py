"""Pictures of any size from noise: networks that take a map of latents, and the sizes that they make."""

import numpy as np

from i2i.errors import OutOfMemoryError, UsageError
from i2i.files import show_size
from i2i.images import Array
from i2i.machine import available_bytes
from i2i.models.spec import Part
from i2i.runtime.plan import Sides, estimated_bytes


def chosen_sides(part: Part, size: Sides | None) -> Sides:
    """Return the (height, width) of the pictures that a part makes: `size`, or its own side.

    Raises UsageError for a size that it does not make.
    """
    if size is None or size == (part.out_px, part.out_px):
        return part.out_px, part.out_px
    if not part.place_px:
        if part.out_meaning == "points":
            raise UsageError("This model makes points, which have no size. Leave out --size.")
        raise UsageError(
            f"This model makes {part.out_px}x{part.out_px} px only. Leave out --size, or train one of any size, as "
            "with `i2i train cppn_emoji`."
        )
    return size


def refuse_huge(part: Part, sides: Sides, device: str) -> None:
    """Raise OutOfMemoryError for pictures that cannot be made in the memory that is free."""
    needed, free = estimated_bytes(part, sides[0] * sides[1]), available_bytes()
    if device == "cpu" and free is not None and needed > free:
        raise OutOfMemoryError(
            f"A picture of {sides[1]}x{sides[0]} px needs about {show_size(needed)} of memory, and {show_size(free)} "
            "are free. Use a smaller --size."
        )


def to_maps(latents: Array, sides: Sides) -> Array:
    """Return (N, latent, H, W) with the same latent of (N, latent) at every place of images with these sides."""
    return np.array(np.broadcast_to(latents[:, :, None, None], (*latents.shape, *sides)))
