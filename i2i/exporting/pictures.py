"""The pictures that an export is proved on."""

import functools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from i2i import status
from i2i.algorithms import find_algorithm
from i2i.config import load_config
from i2i.data.derive import read_input
from i2i.data.folders import find_images, has_split, spread
from i2i.data.items import read_picture
from i2i.data.previews import find_previews
from i2i.errors import ConfigError, DataError, UsageError, one_line
from i2i.exporting.options import ExportOptions
from i2i.exporting.proof import ProofBatch
from i2i.images import Array, from_unit, is_transparent, read_image, to_channels, to_unit
from i2i.images.listing import list_pictures
from i2i.models.mistaken import shown
from i2i.models.modelfile import read_spec
from i2i.models.shipped import SHEET, card_of
from i2i.models.spec import Part
from i2i.report.sheets import cut_sheet
from i2i.runtime.fit import pad, padded_side
from i2i.runtime.plan import padded_sides
from i2i.runtime.translator import Translator

Named = tuple[list[tuple[str, Array]], str]
"""Pictures, (H, W, C) uint8, each with its name, and where they come from."""
PROOF_PICTURES = 3
UNKNOWN_PX = 128
"""Side to prove at if the model does not state the size it was trained at."""
MOST_PX = 512
"""Largest side to prove at: what an untrusted file says about its training must not decide how much memory is taken."""


def proof_batches(
    pictures: Sequence[tuple[str, Array]], options: ExportOptions, generator: Part, trained_px: int
) -> Iterator[ProofBatch]:
    """Yield a batch of named (H, W, C) pictures at each of three sizes, or at the one given, and its first one alone.

    Each picture is cut where it has most detail. At the first size, flat pictures and a nearly flat one come too: norms
    divide by their contrast, which is nothing.
    """
    if len(pictures) == 1:  # only a batch of different pictures shows whether they mix
        ((name, picture),) = pictures
        pictures = [(name, picture), (f"{name}, darkened", picture // 2)]
    multiple = generator.size_multiple
    base = padded_side(min(trained_px or UNKNOWN_PX, MOST_PX), multiple, generator.size_minimum)
    sizes = [(base, base), (base + multiple, base), (base, base + 2 * multiple)]
    if options.io == "image":  # needs padding: a little, and more than there is
        sizes[1:] = [(base + 1, base - 1), (max(base // 3, 1), base + multiple // 2)]
    if options.size:
        sizes = [options.size]

    def batch(chosen: Sequence[tuple[str, Array]], given: bool) -> ProofBatch:
        padded = [pad(picture.transpose(2, 0, 1), height, width).transpose(1, 2, 0) for _, picture in chosen]
        inputs = np.stack(padded if options.io == "image" else [to_unit(picture) for picture in padded])
        return ProofBatch(inputs, [name for name, _ in chosen], given)

    for height, width in sizes:
        several = batch([(name, busiest(picture, height, width)) for name, picture in pictures], given=True)
        yield several
        yield ProofBatch(several.inputs[:1], several.names[:1])
    height, width = sizes[0]
    yield batch(_plain_pictures(height, width, generator.network_channels), given=False)


def _plain_pictures(height: int, width: int, channels: int) -> list[tuple[str, Array]]:
    """Return flat pictures and a nearly flat one, (H, W, C) uint8, each with its name."""
    flat = np.full((height, width, channels), 128, np.uint8)
    ramp = (np.arange(width) * 3 // width).astype(np.uint8)[:, None]
    return [("a black picture", 0 * flat), ("a grey picture", flat), ("a gradient of two grey levels", flat + ramp)]


def busiest(picture: Array, height: int, width: int) -> Array:
    """Cut (H, W, C) to at most that size, where neighbouring pixels differ most; a flat one at its upper left."""
    height, width = min(height, picture.shape[0]), min(width, picture.shape[1])
    values = picture.sum(axis=2, dtype=np.int64)
    steps = np.abs(np.diff(values, axis=0, prepend=values[:1])) + np.abs(np.diff(values, axis=1, prepend=values[:, :1]))
    sums = np.pad(steps.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    windows = sums[height:, width:] - sums[:-height, width:] - sums[height:, :-width] + sums[:-height, :-width]
    top, left = np.unravel_index(windows.argmax(), windows.shape)
    return picture[top : top + height, left : left + width]


def sampled(picture: Array, options: ExportOptions, generator: Part) -> Array:
    """Return a batch of one picture, whole up to MOST_PX, in the form that the file takes."""
    height, width = options.size or (min(side, MOST_PX) for side in picture.shape[:2])
    if options.io == "tensor" and not options.size:
        height, width = padded_sides(generator, height, width)
    padded = pad(busiest(picture, height, width).transpose(2, 0, 1), height, width).transpose(1, 2, 0)
    return padded[None] if options.io == "image" else to_unit(padded)[None]


def proof_pictures(
    source: Path, translator: Translator, verify: str | Path | None, most: int = PROOF_PICTURES
) -> Named:
    """Return a few real inputs of the model. Raises UsageError."""
    notes = list[str]()
    if verify is not None:
        found, pictures_from = _of_folder(Path(verify), translator, notes, most)
    elif card_of(source):
        found, pictures_from = _of_sheet(source, translator, most)
    else:
        found, pictures_from = _of_run(source, translator, notes, most)
    for note in notes:
        status.say(f"Note: {note}")
    channels = translator.generator.in_channels
    arrays = [from_unit(to_unit(to_channels(array, channels))) for _, array in found]
    if translator.generator.recurrent:  # as if each frame came twice
        arrays = [np.concatenate([one, one, translator.translate(one)], axis=2) for one in arrays]
    return [(shown(name), array) for (name, _), array in zip(found, arrays, strict=True)], pictures_from


def _of_folder(
    folder: Path, translator: Translator, notes: list[str], most: int
) -> tuple[list[tuple[str, Array]], str]:
    inputs = translator.generator.inputs
    assert inputs is not None
    layout, name = inputs.layout(translator.spec.input_range), one_line(folder.resolve().name or folder)
    lister = functools.partial(list_pictures, notes=notes, skip_unreadable=True)
    split = next((one for one in ("val", "train") if has_split([str(folder)], one)), None)
    if split and not translator.spec.derivation:  # of which inputs are made, and not stored
        side: Literal["A", "B"] = "A" if translator.direction == "A2B" else "B"
        pictures = spread(find_images([str(folder)], split, side, lister, layout), most)
        return [(one_line(one.name), read_picture(one)) for one in pictures], f"{split} of {name}"
    files = lister(folder) if folder.is_dir() else []
    if not files:
        wrong = "holds no pictures" if folder.is_dir() else "is not a folder"
        left_out = "".join(f"\n{note}" for note in notes)
        raise UsageError(f"{folder} {wrong}. --verify takes a folder of inputs for the model.{left_out}")
    found = [(one_line(file.name), read_image(file, layout=layout)) for file in files[:most]]
    fills = translator.generator.arguments.get("fills_holes", False)
    if fills and not any(is_transparent(array) for _, array in found):  # which would come out as they went in
        raise UsageError(f"This model fills holes, and {folder} holds no picture with a transparent one.")
    return found, name  # a path would tell of the machine


def _of_sheet(source: Path, translator: Translator, most: int) -> Named:
    """Return the test pictures that a shipped model brings along: its inputs, or the truths of its first direction."""
    sheet = source.with_suffix(".png")
    place = 0 if translator.direction == next(iter(read_spec(source).generators)) else 2
    rows = cut_sheet(read_image(sheet), len(SHEET))[:most]
    return [(f"{SHEET[place]} {number} of {sheet.name}", row[place]) for number, row in enumerate(rows, 1)], sheet.name


def _of_run(source: Path, translator: Translator, notes: list[str], most: int) -> Named:
    settings = source.parent / "config.yaml"
    if not settings.exists():
        raise UsageError(f"{source} lies in no run folder. Add --verify FOLDER with pictures to prove the export on.")
    try:
        config = load_config(settings)
        kind = find_algorithm(config.algorithm).data
        previews = find_previews(config.data, kind, translator.direction, most, notes)
    except (ConfigError, DataError) as error:
        reason = str(error).splitlines()[0]
        raise UsageError(
            f"The pictures of the run cannot be read: {reason}\nAdd --verify FOLDER with others."
        ) from error
    return [(one_line(one.path.name), read_input(one)) for one in previews.inputs], previews.split
