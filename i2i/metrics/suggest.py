"""The preset and settings that `i2i doctor DATA` suggests for a set of pictures and a machine."""

from collections.abc import Sequence
from itertools import zip_longest
from typing import NamedTuple

from i2i.data.notes import CROPS_PX, SLACK
from i2i.machine import core_count, has_nvidia_gpu

NIGHT_H = 8.0
"""Without a GPU, crop and schedule are chosen so that a training takes no longer, if it can be."""
PASSES, LEAST_IMAGES, MOST_IMAGES = 100, 20_000, 200_000
"""Passes over a set with two sides, within these limits; the preset has 100 for the 400 shipped pairs of line art."""
_PIXELS_PER_S = {"paired": 140_000.0, "unpaired": 105_000.0, "images": 240_000.0}
"""That one core trains with the suggested settings, by kind of data; docs/evaluate.md says how fast that is."""
_PRESETS = {"paired": "modern", "unpaired": "modern_cut"}
_BATCHES = {"paired": 8, "unpaired": 4, "generate": 16}
"""Of the presets; a set with fewer pictures gets as many."""
GENERATE_PX, GENERATE_IMAGES = 32, 100_000
"""Side of the pictures that the preset generate makes, and its schedule."""


class Suggestion(NamedTuple):
    """A preset, the settings to change, and about how many hours that takes; None on a GPU, where that varies."""

    preset: str
    changes: tuple[str, ...]
    hours: float | None


class Machine(NamedTuple):
    """What the suggestion depends on."""

    cores: int
    gpu: bool

    @classmethod
    def here(cls) -> "Machine":
        """Return this machine."""
        return cls(core_count(), has_nvidia_gpu())

    def hours(self, kind: str, images: int, crop_px: int) -> float | None:
        """Return about how long a training takes."""
        return None if self.gpu else images * crop_px**2 / (_PIXELS_PER_S[kind] * self.cores) / 3600


def suggest(
    kind: str,
    side_px: int,
    count: int,
    machine: Machine,
    grey: Sequence[bool] = (),
    bands: Sequence[int] = (),
    white: int = 0,
) -> Suggestion:
    """Return what to train with.

    kind: paired, clips (pairs of frames), unpaired or images. side_px: the median of the shorter sides. count: images
    in an epoch. grey: of each side, whether all its pictures are. bands: how many channels each side has if they are
    bands, else 0. white: of 16-bit files, if it is not 65,535; else 0.
    """
    largest = 64 if kind == "images" else 256  # dcgan makes up to 128 px; the paper's 64 are what it is good at
    crops = [size for size in CROPS_PX if size <= min(side_px, largest)] or [32]
    if kind == "clips":
        found = _of_clips(crops, count, machine)
    else:
        found = _of_images(crops[0], count, machine) if kind == "images" else _of_sides(kind, crops, count, machine)
    names = ("channels",) if kind == "images" else ("channels_a", "channels_b")
    bands = () if kind == "images" else bands  # models from noise make pictures
    counts = [one or int(plain) for one, plain in zip_longest(bands, grey, fillvalue=0)]
    told = [f"data.{name}={count}" for name, count in zip(names, counts, strict=False) if count]
    return found._replace(changes=(*found.changes, *told, *([f"data.input_range=[0,{white}]"] if white else [])))


def _of_sides(kind: str, crops: list[int], count: int, machine: Machine) -> Suggestion:
    images = _in_limits(count)
    in_time = [crop for crop in crops if crop >= 64 and (machine.hours(kind, images, crop) or 0) <= NIGHT_H]
    crop = (in_time or [one for one in crops if one >= 64][-1:] or crops)[0]
    if (hours := machine.hours(kind, images, crop)) and hours > NIGHT_H:
        images = max(_thousands(images * NIGHT_H / hours), 1000)
    changes = [f"data.crop_px={crop}", f"data.resize_px={round(SLACK * crop)}"]
    changes.append(f"train.batch={min(_BATCHES[kind], max(count, 1))}")
    changes += ["generator.depth=4"] if crop < 64 and kind == "paired" else []
    changes += [f"schedule.images={images}", f"schedule.decay_images={images // 2}"]
    return Suggestion(_PRESETS[kind], tuple(changes), machine.hours(kind, images, crop))


def _of_clips(crops: list[int], frames: int, machine: Machine) -> Suggestion:
    """Return the preset with its own schedule; how long that takes was not measured."""
    crop = next((one for one in crops if machine.gpu or one <= 64), crops[-1])
    changes = [f"data.crop_px={crop}", f"train.batch={min(4, max(frames // 6, 1))}"]
    changes += ["generator.width=32", "discriminator.width=32"] if machine.gpu else []
    return Suggestion("clips", tuple(changes), None)


def _of_images(crop: int, count: int, machine: Machine) -> Suggestion:
    """Return DCGAN on a GPU for its 64 px, else generate, which is ahead of it on a core, at 32 px (docs/gan.md)."""
    if machine.gpu and crop > GENERATE_PX:
        epochs = min(400, max(PASSES, MOST_IMAGES // max(count, 1)))
        changes = [f"data.crop_px={crop}", f"data.resize_px={crop}"]
        changes += [f"train.batch={min(256, max(count, 1))}", f"schedule.epochs={epochs}"]
        return Suggestion("dcgan", tuple(changes), None)
    images = max(_in_limits(count), GENERATE_IMAGES)
    if (hours := machine.hours("images", images, GENERATE_PX)) and hours > NIGHT_H:
        images = _thousands(images * NIGHT_H / hours)
    changes = [f"data.crop_px={GENERATE_PX}", f"data.resize_px={GENERATE_PX}"]
    changes += [f"train.batch={min(_BATCHES['generate'], max(count, 1))}", f"schedule.images={images}"]
    return Suggestion("generate", tuple(changes), machine.hours("images", images, GENERATE_PX))


def _in_limits(count: int) -> int:
    """Return the images that so many pictures are trained for."""
    return _thousands(max(min(max(PASSES * count, LEAST_IMAGES), MOST_IMAGES), count))


def _thousands(images: float) -> int:
    return 1000 * round(images / 1000)
