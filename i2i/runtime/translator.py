"""Pictures through a model: any size in, the same size out.

The model file says what it needs. Sides are padded on the right and at the bottom to what the network
takes and cropped back; nothing is resized. Every picture goes through alone, so that its statistics
are its own whatever its neighbours. Previews, evaluation and export use this same path.
"""

import copy
from pathlib import Path
from typing import Any, Self

import numpy as np
from PIL import Image

from i2i.errors import ModelError
from i2i.images import Array, from_pil, from_unit, read_image, to_channels, to_pil, to_unit
from i2i.runtime.backends import Backend, open_backend
from i2i.spec import GeneratorSpec, ModelSpec


class Translator:
    """A model, opened for one direction: call it with a picture."""

    def __init__(self, spec: ModelSpec, backend: Backend, direction: str):
        self.spec = spec
        self.backend = backend
        self.direction = direction
        self.generator: GeneratorSpec = spec.generators[direction]

    @classmethod
    def open(
        cls,
        path: str | Path,
        direction: str | None = None,
        device: str = "auto",
        backend: str = "auto",
        threads: int | None = None,
    ) -> Self:
        """Open a run folder, a .safetensors, .onnx or .pth file.

        direction: A2B or B2A; needed only when the model holds both.
        device, backend: one of DEVICES and of BACKENDS in i2i.runtime.backends.
        threads: how many one call computes with on a CPU, by default all. Raises ModelError and UsageError.
        """
        spec, opened, chosen = open_backend(path, lambda spec: spec.pick(direction), device, backend, threads)
        return cls(spec, opened, chosen)

    def with_backend(self, backend: Backend) -> Self:
        """Return the same with something else that runs it."""
        other = copy.copy(self)
        other.backend = backend
        return other

    def __call__(self, image: "Image.Image | Array | str | Path") -> Any:
        """Translate one picture of any size.

        A path or PIL image returns a PIL image of 8 bits; an array (H, W) or (H, W, C) in uint8 or uint16 returns
        an array (H, W, C) of the same type. Raises ImageError and ModelError.
        """
        if isinstance(image, np.ndarray):
            return self.translate(_three_axes(image))
        array = from_pil(image, "The picture") if isinstance(image, Image.Image) else read_image(Path(image))
        return to_pil(self.translate(array, np.uint8))

    def translate(self, array: Array, dtype: Any = None, name: str = "The picture") -> Array:
        """(H, W, 1..4) integers to (H, W, out_channels) in `dtype`, by default the same type.

        Errors speak of `name`. Raises ModelError for what a file exported with --io image or --size does not take.
        """
        pixels = to_channels(array, self.generator.in_channels)
        if self.spec.io == "image" and pixels.dtype == np.uint8:
            return self._run_pixels(pixels, name)
        return from_unit(self.run(to_unit(pixels), name), dtype or array.dtype)

    def run(self, values: Array, name: str = "The picture") -> Array:
        """(C, H, W) float32 in [-1, 1] to the same size: padded, translated, cropped back. Raises ModelError."""
        if self.spec.io == "image":
            raise ModelError(
                f"{name} has more than 8 bits, but this model was exported for 8-bit pictures.\n"
                "Export it again with --io tensor, or give pictures of 8 bits."
            )
        height, width = values.shape[1:]
        padded = pad(values, *self._padded_sides(height, width, name))
        return self.backend.run(padded[None])[0, :, :height, :width]

    def _run_pixels(self, pixels: Array, name: str) -> Array:
        """(H, W, C) uint8 to the same size, through a file that normalises, pads and crops inside."""
        height, width = pixels.shape[:2]
        if self.spec.fixed_size:
            padded = pad(pixels.transpose(2, 0, 1), *self._padded_sides(height, width, name))
            pixels = padded.transpose(1, 2, 0)
        return self.backend.run(np.ascontiguousarray(pixels)[None])[0, :height, :width]

    def _padded_sides(self, height: int, width: int, name: str) -> tuple[int, int]:
        """Return the height and width that the network takes for such a picture; raises ModelError."""
        multiple, least = self.generator.size_multiple, self.generator.size_minimum
        if self.spec.fixed_size is None:
            return padded_side(height, multiple, least), padded_side(width, multiple, least)
        high, wide = self.spec.fixed_size
        if height > high or width > wide:
            sides = f"{high}" if high == wide else f"{wide}x{high}"
            raise ModelError(
                f"{name} is {width}x{height}, but this model was exported with fixed sides of {sides}.\n"
                "Export it again with --size dynamic, or use --fit resize."
            )
        return high, wide


def padded_side(side: int, multiple: int, least: int) -> int:
    """Return the smallest side that the network takes and that is no smaller than `side`, in pixels."""
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


def _three_axes(array: Array) -> Array:
    if (
        array.dtype not in (np.uint8, np.uint16)
        or array.ndim not in (2, 3)
        or not array.size
        or (array.ndim == 3 and array.shape[2] > 4)
    ):
        raise ModelError(
            f"A picture array is (H, W) or (H, W, 1 to 4) in uint8 or uint16; got {array.shape} in {array.dtype}."
        )
    return array if array.ndim == 3 else array[:, :, None]
