"""A TIFF as a stack of bands: samples, planes and pages, by the axes that the file states.

tifffile decodes it. i2i.images.tiff reads TIFFs as pictures.
"""

from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from i2i.errors import ImageError
from i2i.images.encode import Array
from i2i.images.planes import AXIS_NAMES, CHANNEL_AXES, Plane, choose
from i2i.images.tiff import REDUCED_OR_MASK, check_storage
from i2i.images.tiff_codecs import load_tifffile

_FULL_BITS = (8, 16, 32, 64)


class Stack:
    """What the tags of a file say of its first image, at full size."""

    def __init__(self, file: BinaryIO, path: Path, plane: Plane = (), each: bool = False):
        """Raise ImageError for a file with other axes than rows, columns and channels, or of a type without meaning.

        plane: which place to take on other axes. each: whether all depths and times that are left are frames.
        """
        self.file, self.path = file, path
        with _opened(file) as tiff:
            pages = dict(plane).get("page", 1)
            self.series = pages - 1 if 1 < pages <= len(tiff.series) else 0  # pages of different sizes
            plane = tuple(one for one in plane if one[0] != "page") if self.series else plane
            series = tiff.series[self.series]
            page = series.keyframe
            self.axes, self.shape, self.dtype = series.axes, series.shape, series.dtype
            others = [one.keyframe for place, one in enumerate(tiff.series) if place != self.series]
            self.left_out = sum(not int(one.subfiletype or 0) & REDUCED_OR_MASK for one in others)
            self.bits = int(page.bitspersample)
            self.icc, self.photometric = page.iccprofile, int(page.photometric)
            if page.is_tiled and page.tilelength * page.tilewidth > max(1 << 24, page.imagelength * page.imagewidth):
                raise ImageError(f"{path} is damaged: its tiles are {page.tilewidth}x{page.tilelength}.")
            check_storage(page, tiff.filehandle.size, path)
        self.check(plane, each)

    def check(self, plane: Plane, each: bool = False) -> None:
        """Choose the places on other axes, and raise ImageError where axes or type have no meaning."""
        path, self.chosen = self.path, choose(plane, self.axes, self.shape, self.path)
        free = [index for index, axis in enumerate(self.axes) if axis in "ZT" and index not in self.chosen]
        self.steps = {index: self.shape[index] for index in free if self.shape[index] > 1} if each else {}
        """The axes along which frames follow one another, by their number, and their sizes."""
        self._refuse_axes()
        if self.dtype.kind not in "uif" or (self.dtype.kind != "f" and self.dtype.itemsize > 4):
            raise ImageError(f"{path} holds {self.dtype} values; i2i reads integers of up to 32 bits, and floats.")

    @property
    def sides(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.shape[self.axes.index("X")], self.shape[self.axes.index("Y")]

    @property
    def channels(self) -> int:
        """The product of the sizes of all axes but rows and columns, and those on which a place is chosen."""
        width, height = self.sides
        fixed = {*self.chosen, *self.steps}
        rest = [size for index, size in enumerate(self.shape) if index not in fixed]
        return int(np.prod(rest, dtype=object)) // (width * height)

    def at(self, frame: int) -> dict[int, int]:
        """Return the place on each axis on which a frame has one, by the number of the axis."""
        places = np.unravel_index(frame, [*self.steps.values()]) if self.steps else ()
        return self.chosen | dict(zip(self.steps, map(int, places), strict=True))

    def decode(self, frame: int = 0) -> Array:
        """Return (H, W, C) in uint8, uint16 or float32, as stored; packed integers use all of 16 bits."""
        with _opened(self.file) as tiff:
            return self.in_order(self._planes(tiff.series[self.series], self.at(frame)))

    def in_order(self, array: Array) -> Array:
        """Return the chosen places, axes as in the file, as (H, W, C) in one of the three types."""
        axes = [axis for index, axis in enumerate(self.axes) if index not in self.chosen and index not in self.steps]
        places = [axes.index("Y"), axes.index("X")]
        rest = [place for place in range(len(axes)) if place not in places]
        array = array.transpose(*places, *rest)
        return self.plain(array.reshape(*array.shape[:2], -1))

    def plain(self, array: Array) -> Array:
        """Return (H, W, C), as tifffile gives it, in one of the three types."""
        if array.dtype.kind == "u" and self.bits < 16 and self.bits not in _FULL_BITS:
            array = np.rint(array * (65535 / ((1 << self.bits) - 1))).astype(np.uint16)
        wanted = array.dtype if array.dtype in (np.uint8, np.uint16) else np.float32
        return np.ascontiguousarray(array.astype(wanted))

    def page_numbers(self, series: Any, chosen: dict[int, int]) -> Array | None:
        """Return the numbers of a series' pages at these places, by the other axes; None: planes are no pages."""
        leading = self.shape[: self.axes.index("Y")]
        if max(chosen, default=-1) >= len(leading) or len(series.pages) != np.prod(leading):
            return None
        where = tuple(chosen.get(index, slice(None)) for index in range(len(leading)))
        found: Array = np.arange(len(series.pages)).reshape(leading)[where]
        return found

    def _planes(self, series: Any, chosen: dict[int, int]) -> Array:
        """Return a series at these places alone; other pages are not read if planes are pages."""
        numbers = self.page_numbers(series, chosen) if chosen else None
        if numbers is None:
            where = tuple(chosen.get(index, slice(None)) for index in range(len(self.shape)))
            whole: Array = series.asarray(maxworkers=1)[where]
            return whole
        read = [series.pages[int(number)].asarray(maxworkers=1) for number in numbers.ravel()]
        return np.stack(read).reshape(*numbers.shape, *self.shape[self.axes.index("Y") :])

    def _refuse_axes(self) -> None:
        if not {"Y", "X"} <= set(self.axes):
            raise ImageError(f"{self.path} has the axes {self.axes}, and no rows and columns.")
        for index, (axis, size) in enumerate(zip(self.axes, self.shape, strict=True)):
            if axis not in "YX" + CHANNEL_AXES and size > 1 and index not in self.chosen | self.steps:
                name = AXIS_NAMES.get(axis, axis)
                way_on = (
                    f"Choose one with --plane {axis.lower()}=1, in training with data.plane_a={{{axis.lower()}: 1}}. "
                    "--frames all translates each."
                    if axis in "ZT"
                    else "Save each as a file of its own."
                )
                raise ImageError(f"{self.path} has {size} images along {name}, and one makes a picture. {way_on}")


def _opened(file: BinaryIO) -> Any:
    tifffile = load_tifffile()
    file.seek(0)
    return tifffile.TiffFile(file)


def placeholder(icc: bytes | None) -> Image.Image:
    """Return the stand-in for a picture that Pillow has opened, with the file's profile."""
    image = Image.new("L", (1, 1))
    if icc:
        image.info["icc_profile"] = icc
    return image
