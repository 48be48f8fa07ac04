"""Holes in pictures: which pixels they are, and how what fills them goes into the picture.

Whatever the network returns, pixels outside a hole are the picture's own: they are copied, not computed.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from i2i.config.derive import Mask
from i2i.errors import ImageError, UsageError
from i2i.images import FORMATS, Array, cut_out, from_unit, largest, read_image, to_channels, to_unit
from i2i.models.spec import ModelSpec

AUTO_MASK = "auto"
"""In place of a mask: what is transparent in the picture is the hole."""


def fills_holes(spec: ModelSpec) -> bool:
    """Whether a model was trained with masks."""
    return spec.derivation is not None and isinstance(spec.derivation.settings, Mask)


def refuse_mask(mask: str, spec: ModelSpec) -> None:
    """Raise UsageError for a model that fills no holes, and for a mask that does not exist."""
    if mask != AUTO_MASK and not Path(mask).exists():
        raise UsageError(f"{mask} does not exist. Give a mask, white where the hole is, a folder of them, or auto.")
    if not fills_holes(spec):
        raise UsageError(
            "--mask is for models that fill holes, and this one was not trained with masks. Train one with "
            "`i2i train inpaint_emoji --data FOLDER`, or leave out --mask."
        )


def find_hole(mask: str, path: Path, frame: Array) -> Array:
    """Return the hole (H, W) bool in a picture (H, W, 1 to 4).

    mask: AUTO_MASK, a picture that is white in the hole, or a folder of such pictures with the names of the pictures.
    Raises ImageError for a picture without a hole, and for a mask that is missing or of another size.
    """
    if mask == AUTO_MASK:
        hole = frame[:, :, -1] < largest(frame.dtype) if frame.shape[2] in (2, 4) else np.zeros(frame.shape[:2], bool)
        reason = "nothing in it is transparent. Erase what is to be filled, or give a mask with --mask"
    else:
        file = _mask_of(Path(mask), path)
        hole = _white(read_image(file))
        if hole.shape != frame.shape[:2]:
            sides = [f"{shape[1]}x{shape[0]}" for shape in (hole.shape, frame.shape)]
            raise ImageError(f"{path} is {sides[1]}, but its mask {file} is {sides[0]}. Give a mask of its size.")
        reason = f"the mask {file} is white nowhere. White is what is to be filled"
    if not hole.any():
        raise ImageError(f"{path} has no hole: {reason}.")
    return hole


def cut_holes(mask: str, path: Path, frames: Sequence[Array]) -> tuple[list[Array], list[Array]]:
    """Return the hole of each frame, as `find_hole` does, and what the network gets: (H, W, 4), transparent in it.

    A soft eraser stays soft.
    """
    holes = [find_hole(mask, path, frame) for frame in frames]
    if mask == AUTO_MASK:
        return holes, [*frames]
    return holes, [cut_out(frame, hole) for frame, hole in zip(frames, holes, strict=True)]


def composited(output: Array, frame: Array, hole: Array, keep_alpha: bool) -> Array:
    """Return `frame` with `output` (H, W, 3) in its hole (H, W) bool, in the type of `output`.

    keep_alpha: whether what is transparent outside the hole stays so; otherwise it is laid on white. A hole is opaque.
    """
    own = frame if frame.dtype == output.dtype else from_unit(to_unit(frame), output.dtype)
    keep_alpha = keep_alpha and own.shape[2] in (2, 4) and bool((own[~hole, -1] < largest(own.dtype)).any())
    channels = 4 if keep_alpha else 3
    return np.where(hole[:, :, None], to_channels(output, channels), to_channels(own, channels))


def _mask_of(mask: Path, path: Path) -> Path:
    if not mask.is_dir():
        return mask
    found = [file for suffix in FORMATS if (file := mask / f"{path.stem}{suffix}").is_file()]
    if not found:
        raise ImageError(f"{path} has no mask: {mask} holds no picture of the name {path.stem}.")
    return found[0]


def _white(array: Array) -> Array:
    """Return where a picture is nearer to white than to black, (H, W) bool; what is transparent in it is black."""
    top = largest(array.dtype)
    colour, alpha = (array[:, :, :-1], array[:, :, -1]) if array.shape[2] in (2, 4) else (array, np.array(top))
    return to_channels(colour, 1)[:, :, 0] / top * (alpha / top) > 1 / 2
