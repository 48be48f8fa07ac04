"""Parts of a picture that is too large to decode whole, and a file that is written as its rows come.

Only the strips and tiles that a part touches are decoded, and the last of them are kept.
"""

import itertools
import math
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np

from i2i.errors import ImageError
from i2i.images import tiff
from i2i.images.arrays import NpySource
from i2i.images.decode import StackSource, TiffSource, ZarrSource
from i2i.images.encode import Array, Extras, tiff_layout
from i2i.images.explained import explained
from i2i.images.geo import without_data
from i2i.images.image import Masked, as_masked
from i2i.images.layout import Layout
from i2i.images.source import Source
from i2i.images.tiff_codecs import load_tifffile

CACHE_BYTES = 2**30
"""Decoded strips and tiles kept at most, unless a single row of them needs more."""
_OF_JPEG = (6, 7, 34892, 33007)
"""Compressions whose tables are in a tag of their own."""
_YCBCR, _JPEG = 6, 7
_TILE_PX = 256
_CLASSIC_BYTES = 2**32 - 2**26
"""A file of more must be a BigTIFF; its tags and a poor compression included."""


class Windows:
    """The first picture of an open TIFF, read in parts."""

    def __init__(self, source: Source, layout: Layout):
        """Raise ImageError for a file whose parts cannot be decoded alone."""
        tifffile = load_tifffile()
        self.path, self.layout = source.path, layout
        self.mean: Array | None = None
        self.has_blank = False
        """Whether pixels without data are anywhere; both are known once `find_mean` has read the picture."""
        self.nodata = source.place.nodata if layout.nodata is None else float(layout.nodata)
        self.sides: tuple[int, int] = source.stored[::-1]
        self._array = source if isinstance(source, NpySource | ZarrSource) else None
        if self._array:
            return
        if not isinstance(source, TiffSource | StackSource):
            raise ImageError(f"{self.path} cannot be read in parts. Leave out --windows.")
        self._stack = source.stack if isinstance(source, StackSource) else None
        file = source.stack.file if isinstance(source, StackSource) else source.file
        self._own = next(tiff.pages(file))
        file.seek(0)
        self._tiff = tifffile.TiffFile(file, is_lsm=False, is_scanimage=False, is_ndpi=False)
        self._page: Any = cast(Any, self._tiff.pages[0])
        self._refuse()
        tiff.check_storage(self._page, self._tiff.filehandle.size, self.path)
        tiled = self._page.is_tiled
        rows = min(int(self._page.rowsperstrip), self.sides[0]) if not tiled else int(self._page.tilelength)
        self._segment = rows, int(self._page.tilewidth) if tiled else self.sides[1]
        self._kept: OrderedDict[int, Array] = OrderedDict()
        together = self._page.samplesperpixel if self._page.planarconfig != 2 else 1
        values = math.prod(self._segment) * together
        self._most = max(1, CACHE_BYTES // (values * np.dtype(self._page.dtype).itemsize))

    def _refuse(self) -> None:
        page, own = self._page, self._own
        found = ""
        if self._stack and (self._stack.chosen or self._stack.channels != page.samplesperpixel):
            found = "several pages or planes for one picture"
        elif own.orientation != 1:
            found = "a picture that is turned"
        elif not self._stack and not own.for_tifffile:
            jpeg = own.photometric == _YCBCR and int(own.tags.get(259, 1)) == _JPEG
            found = "" if jpeg or (own.photometric <= 2 and set(own.bits) == {8}) else "a palette, CMYK or single bits"
        if found:
            raise ImageError(f"{self.path} holds {found}, which is not read in windows. Leave out --windows.")

    def image(self, rows: slice, columns: slice) -> Masked:
        """Return a part as an image; it may reach beyond the picture on the right and at the bottom, and is cut."""
        array = self.stored(rows, columns)
        return as_masked(array, self.path, self.layout, self.nodata, self.mean)

    def find_mean(self, tops: Iterable[int], rows: int) -> None:
        """Read the whole picture, so many rows from each top, for the mean of what has data, which fills the rest."""
        if self.nodata is None:
            return
        sums, count = np.zeros(1), 0
        for top in tops:
            array = self.stored(slice(top, top + rows), slice(0, self.sides[1]))
            blank = without_data(array, self.nodata)
            self.has_blank |= blank is not None
            known = array.reshape(-1, array.shape[2]) if blank is None else array[~blank]
            sums, count = sums + known.sum(axis=0, dtype=np.float64), count + len(known)
        self.mean = sums / count if count else np.broadcast_to(self.layout.black, sums.shape)

    def stored(self, rows: slice, columns: slice) -> Array:
        """Return a part, (H, W, C), as stored; raises ImageError."""
        with explained(self.path):
            return self._stored(rows, columns)

    def _stored(self, rows: slice, columns: slice) -> Array:
        if self._array:
            return self.layout.taken(self._array.part(rows, columns), self.path)
        top, left = rows.start, columns.start
        bottom, right = min(rows.stop, self.sides[0]), min(columns.stop, self.sides[1])
        page, (high, wide) = self._page, self._segment
        across, down = math.ceil(self.sides[1] / wide), math.ceil(self.sides[0] / high)
        apart = page.samplesperpixel if page.planarconfig == 2 else 1
        array = np.empty((bottom - top, right - left, page.samplesperpixel), page.dtype)
        for sample in range(apart):
            into = array[:, :, sample : sample + 1] if apart > 1 else array
            for row in range(top // high, math.ceil(bottom / high)):
                for column in range(left // wide, math.ceil(right / wide)):
                    part = self._decoded((sample * down + row) * across + column)
                    y, x = row * high, column * wide
                    stop_y, stop_x = min(bottom, y + part.shape[0]), min(right, x + part.shape[1])
                    y_0, x_0 = max(top, y), max(left, x)
                    into[y_0 - top : stop_y - top, x_0 - left : stop_x - left] = part[
                        y_0 - y : stop_y - y, x_0 - x : stop_x - x
                    ]
        straight = self._stack.plain(array) if self._stack else np.ascontiguousarray(tiff.plain(array, self._own))
        return self.layout.taken(straight, self.path)

    def _decoded(self, index: int) -> Array:
        """Return a strip or tile, (H, W, samples)."""
        if index in self._kept:
            self._kept.move_to_end(index)
            return self._kept[index]
        page, file = self._page, self._tiff.filehandle
        file.seek(page.dataoffsets[index])
        tables = {"jpegtables": page.jpegtables} if page.compression in _OF_JPEG else {}
        found: Array = page.decode(file.read(page.databytecounts[index]), index, **tables)[0][0]
        self._kept[index] = found
        while len(self._kept) > self._most:
            self._kept.popitem(last=False)
        return found


def write_npy(path: Path, rows: Iterator[Array], sides: tuple[int, int]) -> None:
    """Write an array, (H, W, C) or (H, W), whose rows come some at a time, (N, W, C) of one type."""
    first = next(rows)
    shape = (*sides, *first.shape[2:]) if first.shape[2] > 1 else sides
    header = {"descr": np.lib.format.dtype_to_descr(first.dtype), "fortran_order": False, "shape": shape}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for some in itertools.chain([first], rows):
            file.write(np.ascontiguousarray(some).data)


def write_tiff(path: Path, rows: Iterator[Array], sides: tuple[int, int], extras: Extras, bands: bool) -> None:
    """Write a tiled TIFF, a BigTIFF if it is large, whose rows come some at a time, (N, W, C) of one type.

    bands: whether the channels are bands, and not colours and alpha.
    """
    tifffile = load_tifffile()
    first = next(rows)
    layout = tiff_layout(first, bands)
    shape = (*sides, *layout.pop("data").shape[2:])
    layout.pop("rowsperstrip")
    resolution = extras.resolution
    with tifffile.TiffWriter(path, byteorder="<", bigtiff=math.prod(shape) * first.itemsize > _CLASSIC_BYTES) as writer:
        writer.write(
            _tiles(first, rows, bands),
            shape=shape,
            dtype=first.dtype,
            tile=(_TILE_PX, _TILE_PX),
            **layout,
            compression="zlib",
            compressionargs={"level": 1},
            resolution=resolution and resolution[:2],
            resolutionunit=resolution and resolution[2],
            iccprofile=extras.icc,
            extratags=extras.tags,
            software=False,
            metadata=None,
            maxworkers=1,
        )


def _tiles(first: Array, rows: Iterator[Array], bands: bool) -> Iterator[Array]:
    """Cut rows into tiles, zeros beyond the picture."""
    waiting = tiff_layout(first, bands)["data"]
    while True:
        while len(waiting) < _TILE_PX and (more := next(rows, None)) is not None:
            waiting = np.concatenate([waiting, tiff_layout(more, bands)["data"]])
        if not len(waiting):
            return
        strip, waiting = waiting[:_TILE_PX], waiting[_TILE_PX:]
        for left in range(0, strip.shape[1], _TILE_PX):
            part = strip[:, left : left + _TILE_PX]
            tile = np.zeros((_TILE_PX, _TILE_PX, *strip.shape[2:]), strip.dtype)
            tile[: part.shape[0], : part.shape[1]] = part
            yield tile
