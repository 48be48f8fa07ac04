"""How files become images: as pictures, or as bands, whose channels are measurements with names.

Of a picture, channels mean grey, RGB and alpha, and are converted into one another. Of bands, none is alpha, none is a
colour, and none is converted: there are as many in each file as the model takes.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Protocol

import numpy as np
from pydantic import BeforeValidator, Field

from i2i.errors import ImageError
from i2i.images.encode import Array
from i2i.images.label_maps import LABEL, coloured
from i2i.images.planes import Plane
from i2i.images.scale import Range, Scale, scaled

MOST_BANDS = 1024
"""Channels of a file, at most: memory depends on it before any value is read."""
BandName = Annotated[str, Field(pattern=r"^[\w.+-][\w.+ -]{0,39}$")]
"""The name of a band, on one line and without commas."""
Nodata = Annotated[
    Annotated[float, Field(allow_inf_nan=False)] | Literal["nan"],
    BeforeValidator(lambda value: "nan" if value != value else value),
]
"""The value of pixels without data; NaN by name, which equals itself and which JSON holds."""
ClassValue = Annotated[int, Field(ge=0, le=65535)]
"""The value of a class in a label map."""
ANY_BANDS = ("*",)
"""In place of names: as many bands as a file has."""
_COLOURS = ("red", "green", "blue")


class Layout(NamedTuple):
    """How the files of one side become images."""

    channels: int | None = None
    """Channels that the networks get; None: as many as each file has."""
    bands: tuple[str, ...] = ()
    """Their names if they are bands; empty for pictures."""
    value_range: Range | None = None
    """Black and white in files of 16 bits and floats; see `from_range`."""
    scale: Scale | None = None
    """Black and white of each channel, in place of it."""
    select: tuple[int, ...] = ()
    """Which channels of a file are the bands, from 1, in their order; empty: all."""
    nodata: Nodata | None = None
    """The value of pixels without data; None: what the file says, if it does."""
    values: tuple[int, ...] = ()
    """Of the classes, which the bands are, if files are label maps; see i2i.images.label_maps."""
    plane: Plane = ()
    """Which plane of a TIFF with several is the picture."""
    stack: str | None = None
    """The pattern of files that make up one picture; see i2i.images.stacking."""
    composite: tuple[str, ...] = ()
    """The names of the bands that people see: three as red, green and blue, or one; empty: see `composite`."""
    each_plane: bool = False
    """Whether each depth and time of a file is a frame, where no plane is chosen."""

    @property
    def black(self) -> Array:
        """The value of black in files, of all channels or of each."""
        if self.scale:
            return np.array([low for low, _ in self.scale.ranges])
        return np.array([self.value_range[0] if self.value_range else 0.0])

    @property
    def opens(self) -> tuple[str, ...]:
        """The bands that a file must have to be opened: of a selection, any."""
        if self.values:
            return LABEL
        return ANY_BANDS if self.select else self.bands

    def taken(self, array: Array, path: Path) -> Array:
        """Return the channels of a file (H, W, C) that are the image's; raises ImageError where there are others."""
        if not self.select:
            refuse_other_count(path, array.shape[2], LABEL if self.values else self.bands)
            return array
        if max(self.select) > array.shape[2]:
            raise ImageError(
                f"{path} has {array.shape[2]} channels, and channel {max(self.select)} of them is expected "
                f"({', '.join(self.bands)})."
            )
        return np.ascontiguousarray(array[:, :, [place - 1 for place in self.select]])


PICTURE = Layout()
Layouts = tuple[Layout, Layout]
"""Of A and of B."""
PICTURES: Layouts = (PICTURE, PICTURE)


def band_names(channels: int | Sequence[str], select: Sequence[int] = ()) -> tuple[str, ...]:
    """Return the names of bands, given as a count or as names; none for 1, 3 and 4 channels, which are a picture.

    select: which channels of a file they are, if not all; these have names in any case.
    """
    if isinstance(channels, int) and select:
        return tuple(map(str, select))
    if isinstance(channels, int):
        return () if channels in (1, 3, 4) else tuple(str(number) for number in range(1, channels + 1))
    return tuple(channels)


def channel_count(channels: int | Sequence[str]) -> int:
    """Return the number of channels, given as a count or as names."""
    return channels if isinstance(channels, int) else len(channels)


def refuse_other_count(path: Path, count: int, bands: Sequence[str]) -> None:
    """Raise ImageError for a file that has more or fewer channels than there are bands."""
    if bands and bands != ANY_BANDS and count != len(bands):
        wanted = "1 is" if len(bands) == 1 else f"{len(bands)} are"
        raise ImageError(f"{path} has {count} channel{'s' * (count != 1)}, but {wanted} expected: {', '.join(bands)}.")


class ImageKind(Protocol):
    """What is known of the images of one side: a Layout, or a side in the description of a model."""

    @property
    def bands(self) -> tuple[str, ...]:
        """The names of bands; empty for pictures."""

    @property
    def values(self) -> tuple[int, ...]:
        """Those of classes, if the bands are classes."""

    @property
    def composite(self) -> tuple[str, ...]:
        """The names of the bands that people see; empty: chosen by their names."""


def shown(array: Array, side: ImageKind | None) -> Array:
    """Return what shows images (H, W, C) of a side to people: bands as a composite, classes in colours."""
    if side is None:
        return array
    return coloured(array) if side.values else composite(array, side.bands, side.composite)


def composite(array: Array, bands: Sequence[str], chosen: Sequence[str] = ()) -> Array:
    """Return what shows bands (H, W, C) to people: those chosen by name, three as red, green and blue, or one.

    By default (H, W, 3) of red, green and blue by name, or of the first three.

    With fewer than three, the first alone, (H, W, 1). Without `bands` it is a picture, and stays as it is.
    """
    if not bands or array.shape[2] == 1:
        return array
    if chosen:
        return array[:, :, [list(bands).index(name) for name in chosen]]
    names = [name.lower() for name in bands]
    if all(colour in names for colour in _COLOURS):
        return array[:, :, [names.index(colour) for colour in _COLOURS]]
    return array[:, :, :3] if array.shape[2] >= 3 else array[:, :, :1]


def to_image(array: Array, path: Path, layout: Layout) -> Array:
    """Map values as stored to an image, by the scale of a layout or else its range; raises ImageError."""
    if layout.scale:
        return scaled(array, path, layout.scale, alpha=array.shape[2] in (2, 4) and not layout.bands)
    return from_range(array, path, layout.value_range, bool(layout.bands))


def from_range(array: Array, path: Path, value_range: Range | None, bands: bool = False) -> Array:
    """Map deep pixels from `value_range` to the full range of their type: uint16, or float32 in [0, 1].

    None means the full range for integers, and 0 to 1 for floats. 8-bit pixels and, but for bands, 16-bit alpha do not
    change. Raises ImageError for NaN, infinity and values outside the range.
    """
    if array.dtype == np.uint8 or (value_range is None and array.dtype == np.uint16):
        return array
    if array.dtype == np.uint16 and array.shape[2] in (2, 4) and not bands:  # alpha has no range of its own
        return np.concatenate([from_range(array[:, :, :-1], path, value_range), array[:, :, -1:]], axis=2)
    low, high = value_range or (0.0, 1.0)
    least, most = float(array.min()), float(array.max())
    if not (math.isfinite(least) and math.isfinite(most)):
        raise ImageError(_non_finite(array, path))
    slack = 1e-6 * (high - low)  # rounding in other programs
    if not (low - slack <= least and most <= high + slack):
        raise ImageError(
            f"{path} holds values from {least:g} to {most:g}, outside the range {low:g} to {high:g}.\n"
            "Give the values of black and white with --input-range, or data.input_range in training."
        )
    if array.dtype == np.uint16:
        return np.rint((array - np.float64(low)) * (65535 / (high - low))).clip(0, 65535).astype(np.uint16)
    return np.clip((array - np.float32(low)) / np.float32(high - low), 0, 1)


def to_range(array: Array, value_range: Range | None, bands: bool = False) -> Array:
    """Map pixels back to the range that `from_range` took them from."""
    if value_range is None or array.dtype == np.uint8:
        return array
    if array.dtype == np.uint16 and array.shape[2] in (2, 4) and not bands:
        return np.concatenate([to_range(array[:, :, :-1], value_range), array[:, :, -1:]], axis=2)
    low, high = value_range
    if array.dtype == np.uint16:
        return np.rint(low + array * ((high - low) / 65535)).clip(0, 65535).astype(np.uint16)
    return array * np.float32(high - low) + np.float32(low)


def _non_finite(array: Array, path: Path) -> str:
    count = int(np.count_nonzero(~np.isfinite(array)))
    kinds: list[tuple[str, Any]] = [("NaN", np.isnan(array).any()), ("infinity", np.isinf(array).any())]
    found = " and ".join(name for name, is_there in kinds if is_there)
    return f"{path} holds {found}: {count:,} of {array.size:,} values. Replace them with numbers first."
