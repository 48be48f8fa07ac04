"""Pictures through a model: any size in, the same size out, one or a whole folder.

The model file says what it needs. Sides are padded on the right and at the bottom to what the network
takes and cropped back; nothing is resized. Every picture goes through alone, so that its statistics
are its own whatever its neighbours. Previews, evaluation and export use this same path.
"""

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
from PIL import Image

from i2i.errors import I2IError, ModelError, UsageError
from i2i.images import (
    FORMATS,
    Array,
    from_pil,
    from_unit,
    holds,
    is_picture,
    list_pictures,
    read_image,
    to_channels,
    to_pil,
    to_unit,
    write_image,
)
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
    def open(cls, path: str | Path, direction: str | None = None, device: str = "auto") -> Self:
        """Open a run folder, a .safetensors or an .onnx file.

        direction: A2B or B2A; needed only when the model holds both.
        device: auto, cpu, cuda or mps. Raises ModelError and UsageError.
        """
        spec, backend, chosen = open_backend(path, lambda spec: spec.pick(direction), device)
        return cls(spec, backend, chosen)

    def __call__(self, image: "Image.Image | Array | str | Path") -> Any:
        """Translate one picture of any size.

        A path or PIL image returns a PIL image of 8 bits; an array (H, W) or (H, W, C) in uint8 or uint16 returns
        an array (H, W, C) of the same type. Raises ImageError and ModelError.
        """
        if isinstance(image, np.ndarray):
            return self.translate(_three_axes(image))
        array = from_pil(image, "The picture") if isinstance(image, Image.Image) else read_image(Path(image))
        output = from_unit(self.run(to_unit(to_channels(array, self.generator.in_channels))))
        return to_pil(output)

    def translate(self, array: Array, dtype: Any = None) -> Array:
        """(H, W, 1..4) integers to (H, W, out_channels) in `dtype`, by default the same type."""
        values = self.run(to_unit(to_channels(array, self.generator.in_channels)))
        return from_unit(values, dtype or array.dtype)

    def run(self, values: Array) -> Array:
        """(C, H, W) float32 in [-1, 1] to the same size: padded, translated, cropped back."""
        height, width = values.shape[1:]
        multiple, least = self.generator.size_multiple, self.generator.size_minimum
        padded = pad(values, padded_side(height, multiple, least), padded_side(width, multiple, least))
        return self.backend.run(padded[None])[0, :, :height, :width]


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


class Task(NamedTuple):
    """One picture of a folder run."""

    source: Path
    output: Path


class Refused(NamedTuple):
    """A picture that could not be translated, and why."""

    source: Path
    reason: str


class Result(NamedTuple):
    """What a folder run has to say at its end.

    large: pictures with a side over twice the scale that the model was trained at.
    """

    refused: list[Refused]
    large: list[Path]


def plan(
    source: Path, output: Path, out_channels: int, skip_existing: bool = False, overwrite: bool = False
) -> list[Task]:
    """Say which file becomes which, before anything is done.

    A folder keeps names and subfolders; a format that cannot hold the output becomes .png, and where two
    names would meet both endings stay: a.gif.png. Raises UsageError when there is nothing to do, when
    outputs exist and neither flag says what to do with them, or when an input would be overwritten.
    """
    here, there = Path(os.path.abspath(source)), Path(os.path.abspath(output))  # noqa: PTH100 - links must not be followed
    if source.is_dir():
        if output.resolve() == source.resolve():
            raise UsageError(f"{output} is the input folder itself. Give another folder for the output.")
        if output.exists() and not output.is_dir():
            raise UsageError(f"{output} is a file, but {source} is a folder. Give a folder for the output.")
        names = [path.relative_to(source) for path in list_pictures(source)]
        names = [name for name in names if there not in (here / name).parents]
        if not names:
            raise UsageError(f"{source} holds no pictures ({', '.join(FORMATS)}).")
        tasks = [
            Task(source / name, output / new) for name, new in zip(names, _rename(names, out_channels), strict=True)
        ]
    else:
        is_file = is_picture(output) and not output.is_dir()
        tasks = [Task(source, output if is_file else output / _rename([Path(source.name)], out_channels)[0])]
        if tasks[0].output.resolve() == source.resolve():
            raise UsageError(f"{output} is the input itself. Give another name for the output.")
    existing = [task.output for task in tasks if task.output.exists()]
    if skip_existing:
        return [task for task in tasks if not task.output.exists()]
    if existing and not overwrite:
        more = f" and {len(existing) - 1} more" if len(existing) > 1 else ""
        raise UsageError(
            f"{existing[0]}{more} exists already.\nAdd --skip-existing to do only the rest, or --overwrite."
        )
    return tasks


def translate_files(
    translator: Translator, tasks: list[Task], progress: Callable[[Task], None] = lambda task: None
) -> Result:
    """Translate every task, whole files only; a picture that cannot be done does not stop the others."""
    for folder in sorted({task.output.parent for task in tasks}):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"{folder} cannot be made: {error.strerror}. Give another output.") from error
        if not os.access(folder, os.W_OK):
            raise UsageError(f"{folder} cannot be written to. Give another output.")
    refused, large = [], []
    for task in tasks:
        try:
            array = read_image(task.source)
            if min(array.shape[:2]) > 2 * translator.spec.trained_side_px:
                large.append(task.source)
            deep = array.dtype == np.uint16 and holds(task.output.suffix, depth=16)
            write_image(task.output, translator.translate(array, np.uint16 if deep else np.uint8))
        except I2IError as error:
            refused.append(Refused(task.source, str(error)))
        progress(task)
    return Result(refused, large)


def _rename(names: list[Path], channels: int) -> list[Path]:
    """Give every name a suffix that can hold the output, and no two the same."""
    wanted = [name if holds(name.suffix, channels=channels) else name.with_suffix(".png") for name in names]
    counts, taken = Counter(wanted), set(names)
    renamed = []
    for name, new in zip(names, wanted, strict=True):
        if new != name:
            while new in taken or counts[new] > 1:
                new = name = name.with_name(f"{name.name}.png")
            taken.add(new)
        renamed.append(new)
    return renamed


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
