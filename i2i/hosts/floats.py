"""Pictures as hosts pass them, floats from 0 to 1, through a Translator.

What has 8 bits goes in and comes out as 8 bits, so that it has the very pixels of `i2i.translate`; the rest goes as 16.
"""

import numpy as np

from i2i.errors import ModelError
from i2i.images import Array, cut_out, largest
from i2i.models.spec import Part
from i2i.runtime.holes import AUTO_MASK, composited, refuse_mask
from i2i.runtime.picture_options import Alpha
from i2i.runtime.translator import Translator

_ROUNDING = 1e-6
"""Of float32, as where ComfyUI inverts alpha twice; a step of uint16 is 15 times as large."""


def translate_floats(
    translator: Translator, image: Array, hole: Array | None = None, alpha: Alpha | None = None
) -> Array:
    """Translate (H, W, 1 to 4) float32 in [0, 1], clipped to that, to the same sides.

    hole: (H, W) bool, what a model that fills holes replaces. alpha: as Translator takes it. Raises UsageError for a
    hole where the model fills none, and ModelError for NaN and for models whose sides are not pictures.
    """
    refuse_values(translator.generator)
    if not np.isfinite(image).all():
        raise ModelError("The picture holds NaN or infinity. Look at what made it.")
    array = _as_integers(image, only_8_bits=translator.spec.io == "image")
    if hole is not None:
        refuse_mask(AUTO_MASK, translator.spec)
        output = composited(translator(cut_out(array, hole)), array, hole, keep_alpha=alpha != "drop")
    else:
        output = translator(array, alpha)
    return to_floats(output)


def to_floats(array: Array) -> Array:
    """Return integers as float32 from 0 to 1."""
    return array.astype(np.float32) / np.float32(largest(array.dtype))


def refuse_values(part: Part) -> None:
    """Raise ModelError for a model of bands, classes or values with a scale, which floats from 0 to 1 cannot tell."""
    if any(side and (side.bands or side.values or side.scale) for side in (part.inputs, part.outputs)):
        raise ModelError(
            "This model takes or makes bands, classes or values with a scale, and this program passes pictures.\n"
            "Use `i2i translate`."
        )


def _as_integers(image: Array, only_8_bits: bool) -> Array:
    """Return uint8 where that loses less than a step of uint16, or nothing else is taken, and else uint16."""
    clipped = np.clip(image, 0, 1).astype(np.float32)
    eight = np.rint(clipped * 255).astype(np.uint8)
    if only_8_bits or np.abs(to_floats(eight) - clipped).max() < _ROUNDING:
        return eight
    return np.rint(clipped * 65535).astype(np.uint16)
