"""The few pictures that show what a run has learned, and on which exports are compared."""

import functools
from collections.abc import Sequence
from typing import NamedTuple

from i2i.config.settings import DataKind, DataSettings, by_direction
from i2i.data.augment import resize, resize_valid
from i2i.data.checking import check_pairs, check_pictures
from i2i.data.derive import Derived, find_derived
from i2i.data.folders import Lister, find_images, find_pairs, find_sides, has_split, in_time, spread
from i2i.data.items import Pair, Picture, read_masked_picture
from i2i.errors import DataError
from i2i.images import Array, Header, to_channels
from i2i.images.listing import list_pictures

SHOWN_PX = 512
"""Largest side of a preview, unless twice the crop is more; larger pictures show their middle."""
_LIKE = 1.25  # a picture larger or smaller than in training by up to this factor is not resized

Shown = Sequence[Picture | Derived]
"""Pictures, or derived pairs in place of their inputs."""


class Previews(NamedTuple):
    """Inputs of one direction, their truths if they have partners, and the split they come from."""

    split: str
    inputs: Shown
    truths: Shown | None


def at_training_scale(image: Array, data: DataSettings, nearest: bool = False) -> tuple[Array, str]:
    """Return integers (H, W, C) at the scale of training, cropped to the middle if large; and words for a title.

    The scale is `data.resize_px`. Images within a quarter of it keep their pixels: training is often a little larger
    than its crop only to vary the crop. The words are empty if nothing changed. nearest: as in `resize`.
    """
    words = ""
    if data.resize_px and _is_resized(min(image.shape[:2]), data.resize_px):
        image, words = resize(image, data.resize_px, nearest), f" at {data.resize_px} px"
    most = max(SHOWN_PX, 2 * data.crop_px)
    if max(image.shape[:2]) > most:
        words += f", middle {most} px"
    top, left = (max(0, side - most) // 2 for side in image.shape[:2])
    return image[top : top + most, left : left + most], words


def side_at_training_scale(size: Header, data: DataSettings) -> int:
    """Return the shorter side of what `at_training_scale` makes of pictures of this size, in pixels."""
    side = min(size)
    scaled = data.resize_px if data.resize_px and _is_resized(side, data.resize_px) else side
    return min(scaled, max(SHOWN_PX, 2 * data.crop_px))


def _is_resized(side_px: int, resize_px: int) -> bool:
    return not 1 / _LIKE <= resize_px / side_px <= _LIKE


def valid_at_training_scale(blank: Array | None, image: Array, data: DataSettings) -> Array | None:
    """Return where data alone makes up what `at_training_scale` makes of an image, (H, W) bool; None: everywhere.

    blank: where the image has no data.
    """
    if blank is None:
        return None
    sides = image.shape[0], image.shape[1]
    return resize_valid(blank, sides, lambda values: at_training_scale(values, data)[0])[:, :, 0] > 0


class Scaled(NamedTuple):
    """A picture at the scale of training, how it came there in words, and where it has data; None: everywhere."""

    image: Array
    words: str
    valid: Array | None


def read_at_training_scale(picture: Picture | Derived, data: DataSettings, channels: int) -> Scaled:
    """Return an input or a truth as `at_training_scale` does, in `channels` unless in bands; raises DataError."""
    if isinstance(picture, Derived):
        array, blank = picture.read_masked_target()
        target, words = at_training_scale(array, data)
        image = to_channels(picture.input_from(target), channels)
    else:
        array, blank = read_masked_picture(picture)
        layout = picture.layout
        array = array if layout.bands else to_channels(array, channels)
        image, words = at_training_scale(array, data, nearest=bool(layout.values))
    return Scaled(image, words, valid_at_training_scale(blank, array, data))


def find_previews(
    data: DataSettings, kind: DataKind, direction: str, count: int, notes: list[str] | None = None
) -> Previews:
    """Check and return the first `count` pictures of val, or of train without a val split; raises DataError.

    notes: receives a line for each kind of entry that the listing left out.

    Unpaired data counts as matched in val if every name has a partner of the same size. Training pictures never count
    as matched.
    """
    split = "val" if in_time(data, lambda paths: has_split(paths, "val")) else "train"
    left_out = [] if notes is None else notes
    lister = functools.partial(list_pictures, notes=left_out)
    if data.derive:
        return _derived_previews(data, split, direction, count, lister)
    pairs: list[Pair] = []
    if kind == "paired" or split == "val":
        try:
            pairs = in_time(data, lambda paths: find_pairs(paths, split, lister, data.layouts))[:count]
            checked = check_pairs(pairs, data, full=True)
            pairs = [pair for pair, size in zip(pairs, checked, strict=True) if size]
        except DataError:  # names without partners, or equal by chance
            if kind == "paired":
                raise
            pairs = []
            left_out.clear()  # the listing below repeats them
    if pairs:
        inputs, truths = by_direction(direction, *([pair.side(side) for pair in pairs] for side in ("A", "B")))
        return Previews(split, inputs, truths)
    disjoint = data.disjoint and split == "train"
    sides = in_time(data, lambda paths: find_sides(paths, split, disjoint, lister, data.layouts))
    inputs, _ = by_direction(direction, *sides)
    inputs = inputs[:count]
    checked = check_pictures(inputs, data, full=True)
    return Previews(split, [picture for picture, size in zip(inputs, checked, strict=True) if size], None)


def _derived_previews(data: DataSettings, split: str, direction: str, count: int, lister: Lister) -> Previews:
    pairs = _find_derived(data, split, lister)[:count]
    checked = check_pictures([pair.target for pair in pairs], data, full=True)
    pairs = [pair for pair, size in zip(pairs, checked, strict=True) if size]
    sides: tuple[Shown, Shown] = (pairs, [pair.target for pair in pairs])
    inputs, truths = by_direction(direction, *sides)
    return Previews(split, inputs, truths)


def _find_derived(data: DataSettings, split: str, lister: Lister = list_pictures) -> list[Derived]:
    settings = data.derive
    assert settings is not None
    return in_time(data, lambda paths: find_derived(paths, split, settings, data.layouts[1], data.side, lister))


def find_val_pairs(data: DataSettings, most: int) -> list[Pair | Derived]:
    """Return the pairs of val that pass a check, at most so many from all over the split; raises DataError.

    Of clips, they are the first ones, in order.
    """
    if data.derive:
        return list(_find_val_derived(data, most))
    found = in_time(data, lambda paths: find_pairs(paths, "val", layouts=data.layouts))
    pairs = found[:most] if data.clip_frames > 1 else spread(found, most)  # frames in order
    return [pair for pair, size in zip(pairs, check_pairs(pairs, data), strict=True) if size]


def find_val_sides(data: DataSettings, most: int) -> tuple[Shown, Shown]:
    """Return the pictures of A and of B of val, at most so many of each; raises DataError."""
    if data.derive:
        pairs = _find_val_derived(data, most)
        return pairs, [pair.target for pair in pairs]
    a, b = in_time(data, lambda paths: find_sides(paths, "val", layouts=data.layouts))
    return _checked(a, data, most), _checked(b, data, most)


def find_val_images(data: DataSettings, most: int) -> Shown:
    """Return the pictures of val, at most so many, where training pictures have no sides; raises DataError."""
    found = in_time(data, lambda paths: find_images(paths, "val", data.side, layout=data.layout))
    return _checked(found, data, most)


def _find_val_derived(data: DataSettings, most: int) -> list[Derived]:
    pairs = spread(_find_derived(data, "val"), most)
    sizes = check_pictures([pair.target for pair in pairs], data)
    return [pair for pair, size in zip(pairs, sizes, strict=True) if size]


def _checked(pictures: Sequence[Picture], data: DataSettings, most: int) -> list[Picture]:
    chosen = spread(pictures, most)
    return [one for one, size in zip(chosen, check_pictures(chosen, data), strict=True) if size]
