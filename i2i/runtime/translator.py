"""Pictures through a model: any size in, the same size out.

The model file says what it needs. Sides are padded on the right and at the bottom to what the network
takes and cropped back, and what is too big for memory goes through in tiles; nothing is resized or cropped
unasked. Every picture goes through alone, so that its statistics
are its own whatever its neighbours. Previews, evaluation and export use this same path.
"""

import copy
from pathlib import Path
from typing import Any, Self, overload

import numpy as np
from PIL import Image

from i2i.errors import ImageError, ModelError, OutOfMemoryError, UsageError
from i2i.images import MAX_PIXELS, Array, from_pil, from_unit, to_channels, to_unit
from i2i.images.decode import opened
from i2i.models.spec import ModelSpec, Part
from i2i.runtime.backends import Backend, TorchBackend, open_backend
from i2i.runtime.big import in_tiles, tiles_agree
from i2i.runtime.fit import (
    AUTO,
    Fit,
    cropped,
    cropped_sides,
    is_too_big,
    known_sides,
    padded_pixels,
    resized,
    rounded_tile,
    tile_side,
)
from i2i.runtime.fit import pad as pad
from i2i.runtime.fit import padded_side as padded_side
from i2i.runtime.foreign import UNSAID, Values
from i2i.runtime.pictures import Alpha, PictureOptions, read, with_alpha
from i2i.runtime.translated import Translated, pil_image

_MOST_PADDING = 8
"""Pictures too large for memory as a whole are refused where padding makes more than so many times their pixels."""


class Translator:
    """A model, opened for one direction: call it with a picture."""

    def __init__(
        self, spec: ModelSpec, backend: Backend, direction: str, fit: Fit = AUTO, model: str | Path = "this model"
    ):
        """Take what `open` makes of a file; model: how errors call it."""
        self.spec = spec
        self.model = model
        self.backend = backend
        self.direction = direction
        self.generator: Part = spec.generators[direction]
        self.fit = fit
        if fit.tile and not isinstance(backend, TorchBackend):
            raise UsageError(
                f"--tile {fit.tile} needs a .safetensors file or a run folder: in an .onnx file norm statistics\n"
                "cannot be set from outside. Leave it out, and tiles overlap by half."
            )
        if fit.how == "resize":
            known_sides(spec, 1, 1)  # raises now what it would for every picture
        self._statistics_px = tile_side(self.generator)
        self._tile_px = rounded_tile(self.generator, fit.tile_px or self._statistics_px)
        self.notes: dict[str, None] = {}
        """What the user should know of the pictures so far, each line once, in order."""

    @classmethod
    def open(
        cls,
        path: str | Path,
        direction: str | None = None,
        device: str = "auto",
        backend: str = "auto",
        threads: int | None = None,
        fit: Fit = AUTO,
        values: Values = UNSAID,
    ) -> Self:
        """Open a run folder, a .safetensors, .onnx or .pth file.

        direction: A2B or B2A; needed only when the model holds both.
        device, backend: one of DEVICES and of BACKENDS in i2i.runtime.backends.
        threads: how many one call computes with on a CPU, by default all. fit: how pictures come to sizes that
        the network takes. values: what black and white are in an .onnx file of another project.
        Raises ModelError and UsageError.
        """
        spec, opened, chosen = open_backend(path, lambda spec: spec.pick(direction), device, backend, threads, values)
        return cls(spec, opened, chosen, fit, path)

    def with_backend(self, backend: Backend) -> Self:
        """Return the same with something else that runs it."""
        other = copy.copy(self)
        other.backend = backend
        return other

    @overload
    def __call__(self, image: str | Path, alpha: Alpha | None = None) -> Translated: ...
    @overload
    def __call__(self, image: Image.Image, alpha: Alpha | None = None) -> Image.Image: ...
    @overload
    def __call__(self, image: Array, alpha: Alpha | None = None) -> Array: ...
    def __call__(self, image: Any, alpha: Alpha | None = None) -> Any:
        """Translate one picture of any size, as `i2i translate` does; alpha: as its option --alpha.

        A path returns a Translated: `array` holds the pixels in the file's depth, `image` is a PIL image, and `save`
        writes the very file that the command writes. A PIL image returns a PIL image of 8 bits (of 16, I;16, where
        both are grey); an array (H, W) or (H, W, C) in uint8 or uint16 returns an array (H, W, C) of the same type.
        Raises ImageError and ModelError.
        """
        if isinstance(image, np.ndarray):
            array = _three_axes(image)
            return with_alpha(self.translate(array), array, self.generator, alpha)
        if isinstance(image, Image.Image):
            array = from_pil(image, "The picture")
            deep = array.shape[2] == self.generator.out_channels == 1  # the one kind that PIL has in 16 bits
            output = self.translate(array, array.dtype if deep else np.uint8)
            return pil_image(with_alpha(output, array, self.generator, alpha), image.info.get("icc_profile"))
        options = PictureOptions(alpha=alpha).for_model(self.spec)
        with opened(Path(image), MAX_PIXELS) as source:
            picture = read(source, 1, options)
        return Translated(self, picture, options)

    def translate(self, array: Array, dtype: Any = None, name: str = "The picture") -> Array:
        """(H, W, 1..4) integers, or float32 in [0, 1], to (H, W, out_channels) in `dtype`, by default the same type.

        Alpha that the network does not take is laid on white, as in training, and not put back. Sizes are met as
        `fit` says; with "crop", less comes out. Errors speak of `name`. Raises ImageError for what is too small to
        crop, ModelError for what a file exported with --io image or --size does not take, OutOfMemoryError.
        """
        height, width = array.shape[:2]
        dtype = dtype or array.dtype
        array = to_channels(array, self.generator.in_channels)
        if self.fit.how == "crop":
            array = cropped(array, *cropped_sides(self.spec, self.generator, height, width, name))
        if self.fit.how == "resize":
            small = resized(array, *known_sides(self.spec, height, width))
            return resized(self._whole_or_tiles(small, dtype, name), height, width)
        return self._whole_or_tiles(array, dtype, name)

    def _whole_or_tiles(self, array: Array, dtype: Any, name: str) -> Array:
        how, pixels = self.fit.how, padded_pixels(self.generator, *array.shape[:2])
        too_big = is_too_big(self.spec, self.generator, pixels)
        if too_big and pixels > _MOST_PADDING * array.shape[0] * array.shape[1]:
            raise ImageError(
                f"{name} is {array.shape[1]}x{array.shape[0]}; padded to {self.generator.size_multiple} px, which this "
                "model needs, it is too large. Cut it into shorter pieces."
            )
        if how == "tile" or (how != "pad" and too_big):
            return self._tiles(array, dtype, name)
        try:
            return self._whole(array, dtype, name)
        except MemoryError as error:
            if how == "pad":
                raise OutOfMemoryError(
                    f"{name} is {array.shape[1]}x{array.shape[0]}: too large for the memory of {self.backend.device}.\n"
                    "Leave out --fit pad, and it goes through in tiles."
                ) from error
        self._tile_px = min(self._tile_px, rounded_tile(self.generator, max(array.shape[:2]) // 2))
        self._note(f"Out of memory on {self.backend.device}: large pictures go through in tiles.")
        return self._tiles(array, dtype, name)

    def _whole(self, array: Array, dtype: Any, name: str) -> Array:
        if self.spec.io == "image" and array.dtype == np.dtype(dtype) == np.uint8:
            return self._run_pixels(array, name)
        return from_unit(self.run(to_unit(array), name), dtype)

    def _tiles(self, array: Array, dtype: Any, name: str) -> Array:
        """As `translate`, tile by tile; each time memory runs out, with tiles of half the side."""
        if self.fit.tile == "exact":
            assert isinstance(self.backend, TorchBackend)
            exact = Translator(self.spec, self.backend.in_strips(), self.direction, Fit("pad"))
            try:
                return exact._whole(array, dtype, name)
            except MemoryError as error:
                raise OutOfMemoryError(
                    f"{name} is {array.shape[1]}x{array.shape[0]}: too large for the memory of {self.backend.device}, "
                    "even in strips.\nLeave out --tile exact, and it goes through in tiles."
                ) from error
        if self.spec.io == "image":
            raise ModelError(
                f"{name} needs tiles, but {self.model} was exported for whole pictures, with padding inside.\n"
                "Export it again with --io tensor, or use smaller pictures or --fit resize."
            )
        if not tiles_agree(self.spec, self.generator, self.backend):
            self._note(
                "Tiles of an .onnx file differ in brightness, since each has its own norm statistics;\n"
                "a .safetensors file shares one picture's among them."
            )
        while True:
            tile_px, statistics_px = self._tile_px, self._statistics_px
            try:
                return in_tiles(self.spec, self.generator, self.backend, array, dtype, tile_px, statistics_px)
            except MemoryError as error:
                smaller = rounded_tile(self.generator, tile_px // 2)
                if smaller == tile_px or self.spec.fixed_size:
                    raise OutOfMemoryError(
                        f"{name}: not even tiles of {tile_px} px fit into the memory of {self.backend.device}.\n"
                        "Close other programs, or use another device."
                    ) from error
                # Halves of what was tried here: another thread may have run out of memory at the same time.
                self._tile_px = min(self._tile_px, smaller)
                self._statistics_px = min(self._statistics_px, statistics_px // 2)
                self._note(f"Out of memory on {self.backend.device}: tiles are {smaller} px now, not {tile_px}.")

    def _note(self, text: str) -> None:
        self.notes[text] = None

    def run(self, values: Array, name: str = "The picture") -> Array:
        """(C, H, W) float32 in [-1, 1] to the same size: padded, translated, cropped back. Raises ModelError."""
        if self.spec.io == "image":
            raise ModelError(
                f"{name} has, or is to have, more than 8 bits; {self.model} was exported for pictures of 8 bits, "
                "without ranges.\nExport it again with --io tensor, or use pictures of 8 bits."
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
            tile = " or --fit tile" if self.spec.io == "tensor" else ""
            raise ModelError(
                f"{name} is {width}x{height}, but {self.model} was exported with fixed sides of {sides}.\n"
                f"Export it again with --size dynamic, or use --fit resize{tile}."
            )
        return high, wide


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
