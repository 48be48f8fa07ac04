"""Norm statistics that all frames of a clip share: with its own, each gets other colours when anything changes."""

from collections.abc import Sequence
from typing import TypeVar

from i2i.images import Array, to_channels, to_unit
from i2i.runtime.backends import TorchBackend
from i2i.runtime.fit import cropped, pad, resized
from i2i.runtime.pictures import DecodedPicture
from i2i.runtime.plan import Way
from i2i.runtime.tiles import statistics_copy, uses_own_statistics
from i2i.runtime.translator import Translator

T = TypeVar("T", bound=Translator)
_SAMPLES = 8


def for_animation(translator: T, picture: DecodedPicture) -> T:
    """Return a translator for the frames of a picture, which share statistics if it is an animation."""
    if len(picture.frames) < 2 or picture.kind == "TIFF":  # whose pages are pictures of their own
        return translator
    return for_clip(translator, picture.inputs[:: -(-len(picture.inputs) // _SAMPLES)])


def for_clip(translator: T, samples: Sequence[Array]) -> T:
    """Return a translator with the norm statistics of `samples`, some of the clip's frames, as `translate` takes them.

    A recurrent model keeps each frame's own, as in training: what it makes follows the frame before.
    In an .onnx file statistics cannot be set, which a note says.
    """
    backend = translator.backend
    if translator.generator.recurrent:
        return translator
    if not isinstance(backend, TorchBackend):
        if uses_own_statistics(translator.spec, translator.generator):
            translator.notes[
                "Each frame has its own norm statistics in an .onnx file, so colours may flicker;\n"
                "a .safetensors file shares the clip's among its frames."
            ] = None
        return translator
    try:
        return translator.with_backend(backend.frozen(_input(translator, one) for one in samples))
    except MemoryError:
        return translator.with_backend(backend.frozen(_input(translator, one, "tiles") for one in samples))


def _input(translator: Translator, array: Array, way: Way | None = None) -> Array:
    """Return what gives a frame its norm statistics, (1, C, H, W): itself, or a reduced copy."""
    height, width = array.shape[:2]
    plan = translator.planner.plan(height, width, way=way)
    array = to_channels(array, translator.generator.in_channels)
    array = resized(array, *plan.sides) if plan.resizes else cropped(array, *plan.sides)
    if plan.way == "whole":
        return pad(to_unit(array), *plan.padded)[None]
    return statistics_copy(plan, translator.generator, array)
