"""Notes on the pictures before training: grey files for RGB settings, values far below white, enlarged ones."""

import contextlib
import statistics
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from i2i.config.settings import DataSettings
from i2i.data.checking import Seen
from i2i.data.folders import spread
from i2i.data.items import Item, Pair, Picture, read_picture
from i2i.data.watch import watched
from i2i.errors import ImageError
from i2i.images import Array, Header
from i2i.images import is_transparent as has_transparency
from i2i.words import show_count

SIDES: tuple[Literal["A", "B"], ...] = ("A", "B")

_DEEP, _ALPHA = 4, 8
"""How many pictures of a side are decoded: of those with more than 8 bits, and of those that may have alpha."""
_DARK = 0.3
"""If 16-bit values stay under this share of their range, white is most likely not 65,535."""


ENLARGED = 1.5
"""Pictures that training enlarges more than this many times are worth a note."""
SLACK = 1.12
"""`data.resize_px` by the crop, as pix2pix has it: 286 to 256."""
CROPS_PX = (256, 128, 64, 32)
"""Crops to suggest."""


class Side(NamedTuple):
    """The pictures that one setting of channels is for."""

    name: str
    """All pictures, all pictures of A, ..."""
    setting: str
    channels: int
    pictures: list[Picture]

    @property
    def bands(self) -> bool:
        """Whether channels are bands."""
        return bool(self.pictures and self.pictures[0].layout.bands)


def sides_of(
    lists: Sequence[Sequence[Item]], channels: Sequence[tuple[int, ...]], usable: AbstractSet[Item], setting: str
) -> list[Side]:
    """Return the usable pictures of each side: of A and B, or of pictures without sides.

    setting: gives the channels of pictures without sides.
    """
    found = []
    for one, counts in zip(lists, channels, strict=True):
        items = [item for item in one if item in usable]
        for side, count in zip(SIDES, counts, strict=False):
            found.append((count, [item.side(side) if isinstance(item, Pair) else item for item in items]))
    names = [(f"All pictures of {side}", f"data.channels_{side.lower()}") for side in SIDES]
    names = names if len(found) == 2 else [("All pictures", f"data.{setting}")]
    return [Side(*name, *each) for name, each in zip(names, found, strict=True)]


def is_transparent(side: Side, seen: Seen, data: DataSettings) -> bool:
    """Whether pictures of a side have alpha below the full value; decodes a few that may have it by their headers."""

    def look(picture: Picture) -> bool:
        with contextlib.suppress(ImageError):  # a broken one is reported elsewhere
            return has_transparency(read_picture(picture))
        return False

    if side.bands:
        return False
    chosen = spread([picture for picture in side.pictures if picture.path in seen.alpha], _ALPHA)
    return any(watched(look, chosen, data.timeout_s))


def notes(sides: list[Side], transparent: Sequence[bool], seen: Seen, data: DataSettings) -> list[str]:
    """Return the notes, a line each; raises ImageError where no deep picture of a side fits into `data.input_range`.

    transparent: what `is_transparent` says of each side.
    """
    found = seen.notes()
    for side in sides:
        found += [*_grey(side, seen.grey), *_range(side, seen.deep, data)]
    return found + [
        f"{side.name} that are transparent are composited on white, since {side.setting} is {side.channels}."
        for side, has_alpha in zip(sides, transparent, strict=True)
        if has_alpha and side.channels != 4
    ]


def _grey(side: Side, grey: AbstractSet[Path]) -> list[str]:
    if side.channels < 3 or side.bands or not all(picture.path in grey for picture in side.pictures):
        return []
    return [
        f"{side.name} are grey files, and {side.setting} is {side.channels}: all channels will be equal. "
        f"Set {side.setting}=1 for a grey model."
    ]


def _range(side: Side, deep: AbstractSet[Path], data: DataSettings) -> list[str]:
    """Decode some deep pictures: a range that none fits into would end the training, or make them all black."""
    chosen = spread([picture for picture in side.pictures if picture.path in deep], _DEEP)

    def look(picture: Picture) -> Array | ImageError:
        try:
            return read_picture(picture)
        except ImageError as error:
            return error

    looked = watched(look, chosen, data.timeout_s)
    errors = [one for one in looked if isinstance(one, ImageError)]
    if errors and len(errors) == len(looked):
        raise errors[0]
    values = [one for one in looked if isinstance(one, np.ndarray) and one.dtype == np.uint16]
    if data.input_range or not values:
        return []
    least, most = min(int(one.min()) for one in values), max(int(one.max()) for one in values)
    if most >= _DARK * 65535:
        return []
    checked, white = show_count(len(values), "picture"), (1 << most.bit_length()) - 1
    return [
        f"{side.name}: the 16-bit values go from {least:,} to {most:,} of 65,535 ({checked} checked), which is "
        f"{most / 65535:.1%} of white. Set data.input_range=[0,{white}], or to the value that white has."
    ]


def enlarged(sizes: Sequence[Header | None], data: DataSettings) -> str | None:
    """Return a note if most pictures are much enlarged, and other settings would enlarge them less.

    A preset's `data.resize_px` stays when only `data.crop_px` is set: crops then show a small part of each picture.
    """
    side = statistics.median(min(size) for size in sizes if size)
    if data.resize_px is None or data.resize_px <= ENLARGED * side:
        return None
    fitting = [crop for crop in (data.crop_px, *CROPS_PX) if SLACK * crop <= ENLARGED * side]
    crop = fitting[0] if fitting else CROPS_PX[-1]
    resize = crop if data.resize_px == data.crop_px else round(SLACK * crop)
    if resize >= data.resize_px:
        return None
    change = f"data.resize_px={resize}" if crop == data.crop_px else f"data.crop_px={crop} and data.resize_px={resize}"
    return (
        f"Pictures are enlarged {data.resize_px / side:.1f} times: their shorter side is {side:g} px (median), and "
        f"data.resize_px is {data.resize_px}. They gain no detail, and a crop of {data.crop_px} px shows "
        f"{data.crop_px / data.resize_px:.0%} of that side. Set {change}."
    )
