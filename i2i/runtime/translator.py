"""Pictures through a model: any size in, the same size out.

A Plan comes first and settles how a picture goes through; then its pixels become the network's values once, go
through, and become pixels again. Sides are padded on the right and at the bottom to what the network takes and
cropped back; what is too big for memory goes through in tiles. Nothing is resized or cropped unasked. Every picture
goes through alone, so its statistics are its own whatever its neighbours are. Previews, evaluation and export use
this same path.
"""

import copy
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self, TypeVar, overload

import numpy as np
from PIL import Image

from i2i.arguments import kind_of
from i2i.errors import ImageError, ModelError, UsageError
from i2i.images import MAX_PIXELS, Array, from_pil, from_unit, one_hot, to_channels, to_image, to_labels, to_unit
from i2i.images.decode import opened
from i2i.images.geo import filled, without_data
from i2i.images.label_maps import LABEL, nearest_to
from i2i.models.spec import ModelSpec, Part
from i2i.runtime.backends import Backend, TorchBackend, open_backend, picking
from i2i.runtime.described import marked
from i2i.runtime.fit import AUTO, Fit, cropped, pad, resized
from i2i.runtime.foreign import UNSAID, Values
from i2i.runtime.latents import choose_labels
from i2i.runtime.picture_options import Alpha, PictureOptions
from i2i.runtime.pictures import in_values, read, with_alpha
from i2i.runtime.plan import Plan, Planner, Sides
from i2i.runtime.recurrence import Recurrence
from i2i.runtime.tiles import in_tiles, tiles_agree
from i2i.runtime.translated import Translated, pil_image


class Translator:
    """A model, opened for one direction: call it with a picture."""

    def __init__(
        self, spec: ModelSpec, backend: Backend, direction: str, fit: Fit = AUTO, model: str | Path = "this model"
    ):
        """Use `open` to make one from a file; model: what errors call the model."""
        if fit.tile and not isinstance(backend, TorchBackend):
            raise UsageError(
                f"--tile {fit.tile} needs a .safetensors file or a run folder: in an .onnx file norm statistics\n"
                "cannot be set from outside. Leave it out, and tiles overlap by half."
            )
        self.spec = spec
        self.backend = backend
        self.direction = direction
        self.generator: Part = spec.generators[direction]
        self.planner = Planner(spec, self.generator, fit, model)
        self.notes: dict[str, None] = {}
        """What the user should know about the pictures so far, each line once, in order."""
        self.before_tile: Callable[[], None] = lambda: None
        """Called before each tile of a large picture; may raise, and so end the work."""
        self.recurrence: Recurrence | None = None
        """Of a recurrent model, what it knows of the clip; None: each picture is the first frame of its own."""

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
        labels: Sequence[str] = (),
    ) -> Self:
        """Open a run folder, a .safetensors, .onnx or .pth file.

        direction: A2B or B2A; needed only when the model holds both, and neither is usual.
        device, backend: one of DEVICES and of BACKENDS in i2i.runtime.backends.
        threads: CPU threads for each picture, by default all. fit: how pictures come to sizes that the network takes.
        values: black and white in an .onnx file of another project. labels: as `with_labels` takes them.
        Raises ModelError and UsageError.
        """
        spec, opened, chosen = open_backend(path, picking(direction), device, backend, threads, values)
        return cls(spec, opened, chosen, fit, path).with_labels(labels)

    def with_backend(self, backend: Backend) -> Self:
        """Return the same translator with another backend."""
        other = copy.copy(self)
        other.backend = backend
        return other

    def with_labels(self, names: Sequence[str]) -> Self:
        """Return the translator to classes by name, one of each label set of the model: shoe, or kind=shoe.

        Raises UsageError for unknown and missing ones.
        """
        blocks = self.generator.blocks
        return for_classes(self, choose_labels(names, blocks)) if blocks or names else self

    def in_order(self) -> Self:
        """Return a translator for the frames of one clip in order, from which a recurrent model makes each next one."""
        other = copy.copy(self)
        other.recurrence = Recurrence(self.generator) if self.generator.recurrent else None
        return other

    def begin(self, clip: object) -> None:
        """Say which clip the next frame belongs to; the first frame of another one has none before it."""
        if self.recurrence:
            self.recurrence.begin(clip)

    @overload
    def __call__(self, image: str | Path, alpha: Alpha | None = None, mask: str | None = None) -> Translated: ...
    @overload
    def __call__(self, image: Image.Image, alpha: Alpha | None = None) -> Image.Image: ...
    @overload
    def __call__(self, image: Array, alpha: Alpha | None = None) -> Array: ...
    def __call__(self, image: Any, alpha: Alpha | None = None, mask: str | None = None) -> Any:
        """Translate one picture of any size, as `i2i translate` does; alpha, mask: as its options, the mask of a path.

        A path returns a Translated: `array` holds the pixels in the file's depth, `image` is a PIL image, and `save`
        writes the very file that the command writes. A PIL image returns a PIL image of 8 bits (of 16, I;16, where both
        are grey); an array (H, W) or (H, W, C) in uint8 or uint16 returns an array (H, W, C) of the same type. Where
        the model knows the scale of values, arrays hold values as files do, and may be floats. Raises ImageError and
        ModelError.
        """
        if isinstance(image, np.ndarray):
            array = _three_axes(image, self.generator)
            return _translate_array(self, array, alpha)
        if isinstance(image, Image.Image):
            array = from_pil(image, "The picture")
            deep = array.shape[2] == self.generator.out_channels == 1  # the one kind that PIL has in 16 bits
            output = self.translate(array, array.dtype if deep else np.uint8)
            return pil_image(with_alpha(output, array, self.generator, alpha), image.info.get("icc_profile"))
        options = PictureOptions(alpha=alpha, mask=mask).for_model(self.spec, self.generator)
        with opened(_path(image), MAX_PIXELS, options.layout) as source:
            picture = read(source, 1, options)
        return Translated(self, picture, options)

    def translate(self, array: Array, dtype: Any = None, name: str = "The picture") -> Array:
        """Translate (H, W, 1 to 4) integers, or float32 in [0, 1], to (H, W, out_channels).

        dtype: of the output, by default the same, or float32 for the scores of classes. name: what errors call the
        picture. Alpha that the network does not take is composited on white, as in training, and not put back. With Fit
        "crop" the output is smaller. Raises ImageError for a picture too small to crop, ModelError for one that a file
        exported with --io image or --size does not take, and OutOfMemoryError.
        """
        height, width = array.shape[:2]
        plan = self.planner.plan(height, width, name)
        of_classes = bool(self.generator.outputs and self.generator.outputs.values)
        dtype = np.dtype(dtype or (np.float32 if of_classes else array.dtype))  # integers would have ties
        array = to_channels(array, self.generator.in_channels)
        array = (_resizing(self.generator) if plan.resizes else cropped)(array, *plan.sides)
        recurrence = self.recurrence or (Recurrence(self.generator) if self.generator.recurrent else None)
        array = recurrence.joined(array) if recurrence else array
        while True:
            try:
                output = self._carry_out(plan, array, np.dtype(np.float32) if recurrence else dtype)
            except MemoryError:
                plan, note = self.planner.after_out_of_memory(plan, self.backend.device)
                self.notes[note] = None
            else:
                output = recurrence.keep(array, output, dtype) if recurrence else output
                return resized(output, *plan.source) if plan.resizes else output

    def translate_values(self, values: Array, name: str = "The picture") -> Array:
        """Translate (C, H, W) float32 in [-1, 1] whole, to the same size. Raises ModelError."""
        _check_takes_values(self, name)
        height, width = values.shape[1:]
        return _padded_through(self.backend, values, self.planner.padded(height, width, name))

    def _carry_out(self, plan: Plan, array: Array, dtype: np.dtype[Any]) -> Array:
        """Translate a picture that has the sides and channels planned; raises MemoryError."""
        if plan.way == "tiles":
            if not tiles_agree(self.spec, self.generator, self.backend):
                self.notes[
                    "Tiles of an .onnx file differ in brightness, since each has its own norm statistics;\n"
                    "a .safetensors file shares one picture's among them."
                ] = None
            return in_tiles(plan, self.spec, self.generator, self.backend, array, dtype, self.before_tile)
        if self.spec.io == "image" and array.dtype == dtype == np.uint8:
            return _pixels_through(self.backend, array, plan.padded)
        _check_takes_values(self, plan.name)
        backend = self.backend
        if plan.way == "strips":
            assert isinstance(backend, TorchBackend)
            backend = backend.in_strips()
        return from_unit(_padded_through(backend, to_unit(array), plan.padded), dtype)


T = TypeVar("T", bound=Translator)


def for_classes(translator: T, numbers: Sequence[int]) -> T:
    """Return a translator to classes by number, one of each label set of the model."""
    if not (blocks := translator.generator.blocks):
        return translator
    other = copy.copy(translator)
    if isinstance(translator.backend, TorchBackend):
        parts = [np.eye(block.size, dtype=np.float32)[one] for block, one in zip(blocks, numbers, strict=True)]
        other.backend = translator.backend.with_condition(np.concatenate(parts))
    chosen = tuple(block.only(one) for block, one in zip(blocks, numbers, strict=True))
    other.generator = translator.generator.model_copy(update={"blocks": chosen})
    return other


def _resizing(part: Part) -> Callable[[Array, int, int], Array]:
    """Return how inputs come to other sides: classes by the nearest pixel."""
    return nearest_to if part.inputs and part.inputs.values else resized


def _padded_through(backend: Backend, values: Array, padded: Sides) -> Array:
    """Run (C, H, W) float32 in [-1, 1], padded to the sides that the backend takes; return the same size."""
    height, width = values.shape[1:]
    return backend.run(pad(values, *padded)[None])[0, :, :height, :width]


def _pixels_through(backend: Backend, pixels: Array, padded: Sides) -> Array:
    """Translate (H, W, C) uint8 to the same size with a file that normalises, pads and crops inside."""
    height, width = pixels.shape[:2]
    if padded != (height, width):  # a file of fixed size
        pixels = pad(pixels.transpose(2, 0, 1), *padded).transpose(1, 2, 0)
    return backend.run(np.ascontiguousarray(pixels)[None])[0, :height, :width]


def _check_takes_values(translator: Translator, name: str) -> None:
    if translator.spec.io == "image":
        raise ModelError(
            f"{name} needs more than 8 bits, but {translator.planner.model} was exported for 8-bit pictures.\n"
            "Export it again with --io tensor, or use 8-bit pictures."
        )


def _translate_array(translator: Translator, array: Array, alpha: Alpha | None) -> Array:
    """Translate (H, W, C), values as stored in files, to such values."""
    part = translator.generator
    layout = PictureOptions().for_model(translator.spec, part).layout
    blank = without_data(array, None if layout.nodata is None else float(layout.nodata))
    if layout.values:
        array = one_hot(array, Path("The array"), layout.values, blank)
    elif blank is not None:
        array = filled(array, blank, layout.black)
    if layout.scale:
        array = to_image(array, Path("The array"), layout)
    made = part.outputs
    assert made is not None
    output = with_alpha(translator.translate(array, np.float32 if made.scale else None), array, part, alpha)
    if made.values:
        output = to_labels(output, made.values)
    elif made.scale:
        output = in_values(output, made.scale, bool(part.out_bands), None, "NPY")
    return output if made.nodata is None else marked(output, blank, float(made.nodata))


def _path(image: Any) -> Path:
    """Return the path of a picture; raises ImageError for what is none."""
    if not isinstance(image, (str, os.PathLike)):
        wanted = "a path, an array (H, W, C) or a PIL image, or a list of them for i2i.translate"
        raise ImageError(f"A picture is {wanted}; got {kind_of(image)}.")
    return Path(image)


def _three_axes(array: Array, part: Part) -> Array:
    """Return an array as (H, W, C); raises ModelError for one that the part does not take."""
    scaled = part.inputs is not None and part.inputs.scale is not None
    bands = LABEL if part.inputs and part.inputs.values else part.in_bands
    channels = array.shape[2] if array.ndim == 3 else 1
    known = array.dtype in (np.uint8, np.uint16) or (scaled and array.dtype.kind == "f")
    fits = channels == len(bands) if bands else channels <= 4
    if not known or array.ndim not in (2, 3) or not array.size or not fits:
        wanted = f"(H, W, {len(bands)})" if bands else "(H, W) or (H, W, 1 to 4)"
        types = "uint8, uint16 or float" if scaled else "uint8 or uint16"
        raise ModelError(
            f"A picture array is {wanted} in {types}; got {array.shape} in {array.dtype}.{_remedy(array, known)}"
        )
    return array if array.ndim == 3 else array[:, :, None]


def _remedy(array: Array, known: bool) -> str:
    """Return how to convert an array that is no picture, where that is plain. known: whether its type is allowed."""
    if array.ndim == 3 and array.shape[0] in (1, 3, 4) and array.shape[2] > 4:
        return " To put channels last: array.transpose(1, 2, 0)."
    if not known and array.dtype.kind in "iu":
        return " From values of 0 to 255: array.astype(numpy.uint8)."
    if not known and array.dtype.kind in "bf":
        return " From values of 0 to 1: (255 * array).round().astype(numpy.uint8)."
    return ""
