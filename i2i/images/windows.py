"""Parts of a picture that is too large to decode whole, and a file that is written as its rows come.

Only the strips and tiles that a part touches are decoded, and the last of them are kept.
"""

import contextlib
import itertools
import math
import tempfile
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from i2i.errors import ImageError
from i2i.images import tiff
from i2i.images.arrays import NpySource
from i2i.images.encode import Array, Extras, tiff_layout
from i2i.images.explained import explained
from i2i.images.geo import joined, without_data
from i2i.images.image import Masked, as_masked
from i2i.images.layout import Layout
from i2i.images.source import Source
from i2i.images.tiff_codecs import load_tifffile
from i2i.images.tiff_source import StackSource, TiffSource, ZarrSource

CACHE_BYTES = 2**30
"""Decoded strips and tiles kept at most, unless a single row of them needs more."""
_OF_JPEG = (6, 7, 34892, 33007)
"""Compressions whose tables are in a tag of their own."""
_YCBCR, _JPEG = 6, 7
_TILE_PX = 256
_CLASSIC_BYTES = 2**32 - 2**26
"""A file of more must be a BigTIFF; its tags and a poor compression included."""


class Segments:
    """Strips or tiles of pages of one size and kind, of which the last that were decoded are kept."""

    def __init__(self, file: Any, pages: list[Any], path: Path):
        """file: tifffile's handle. pages: one, or one of a single sample for each band. Raises ImageError."""
        self._file, self.pages = file, pages
        for page in pages:
            tiff.check_storage(page, file.size, path)
        page = pages[0]
        self.sides = int(page.imagelength), int(page.imagewidth)
        rows = int(page.tilelength) if page.is_tiled else min(int(page.rowsperstrip), self.sides[0])
        self._segment = rows, int(page.tilewidth) if page.is_tiled else self.sides[1]
        self.kept: OrderedDict[tuple[int, int], Array] = OrderedDict()
        values = math.prod(self._segment) * (page.samplesperpixel if page.planarconfig != 2 else 1)
        self._most = max(1, CACHE_BYTES // (values * np.dtype(page.dtype).itemsize))

    def read(self, rows: slice, columns: slice) -> Array:
        """Return a part, (H, W, samples or pages), cut at the ends of the picture."""
        top, left = rows.start, columns.start
        bottom, right = min(rows.stop, self.sides[0]), min(columns.stop, self.sides[1])
        page, several, (high, wide) = self.pages[0], len(self.pages) > 1, self._segment
        across, down = math.ceil(self.sides[1] / wide), math.ceil(self.sides[0] / high)
        planes = len(self.pages) if several else page.samplesperpixel
        apart = planes if several or page.planarconfig == 2 else 1
        array = np.empty((bottom - top, right - left, planes), page.dtype)
        for sample in range(apart):
            into = array[:, :, sample : sample + 1] if apart > 1 else array
            for row in range(top // high, math.ceil(bottom / high)):
                for column in range(left // wide, math.ceil(right / wide)):
                    number, plane = (sample, 0) if several else (0, sample)
                    part = self._decoded(number, (plane * down + row) * across + column)
                    y, x = row * high, column * wide
                    stop_y, stop_x = min(bottom, y + part.shape[0]), min(right, x + part.shape[1])
                    y_0, x_0 = max(top, y), max(left, x)
                    into[y_0 - top : stop_y - top, x_0 - left : stop_x - left] = part[
                        y_0 - y : stop_y - y, x_0 - x : stop_x - x
                    ]
        return array

    def _decoded(self, number: int, index: int) -> Array:
        """Return a strip or tile of a page, (H, W, samples)."""
        key = number, index
        if key in self.kept:
            self.kept.move_to_end(key)
            return self.kept[key]
        page, file = self.pages[number], self._file
        file.seek(page.dataoffsets[index])
        tables = {"jpegtables": page.jpegtables} if page.compression in _OF_JPEG else {}
        found: Array = page.decode(file.read(page.databytecounts[index]), index, **tables)[0][0]
        self.kept[key] = found
        while len(self.kept) > self._most:
            self.kept.popitem(last=False)
        return found


class Windows:
    """The first picture of an open TIFF, read in parts."""

    def __init__(self, source: Source, layout: Layout):
        """Raise ImageError for a file whose parts cannot be decoded alone."""
        self.path, self.layout = source.path, layout
        self.mean: Array | None = None
        self.has_blank = False
        """Whether pixels without data are anywhere; both are known once `find_mean` has read the picture."""
        self._mask: Segments | None = None
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
        self._tiff = tiff.open_tifffile(file)
        self._pages = self._found_pages()
        self._refuse()
        self._segments = Segments(self._tiff.filehandle, self._pages, self.path)
        if mask := source.mask():
            opened = tiff.open_tifffile(mask.file)
            self._mask = Segments(opened.filehandle, [tiff.page_in(opened, mask.page, mask.path)], mask.path)

    def _found_pages(self) -> list[Any]:
        """Return the page of the picture, or that of each of its bands."""
        if not self._stack:
            return [self._tiff.pages[0]]
        series = self._tiff.series[self._stack.series]
        numbers = self._stack.page_numbers(series, self._stack.chosen)
        if numbers is None:
            return [series.keyframe]
        return [series.pages[int(number)].aspage() for number in numbers.ravel()]

    def _refuse(self) -> None:
        page, own, pages = self._pages[0], self._own, self._pages
        found, stack = "", self._stack
        alike = len({(one.is_tiled, one.tile, one.rowsperstrip, one.compression, one.dtype) for one in pages}) == 1
        apart = len(pages) > 1 and (page.samplesperpixel > 1 or not alike)
        if stack and (apart or stack.channels != len(pages) * page.samplesperpixel):
            found = "planes that are no pages, or pages of several kinds"
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
        return as_masked(array, self.path, self.layout, self._blank(array, rows, columns), self.mean)

    def _blank(self, array: Array, rows: slice, columns: slice) -> Array | None:
        """Return where a part has no data, (H, W) bool; None: nowhere."""
        blank = without_data(array, self.nodata)
        if self._mask:
            with explained(self.path):
                blank = joined(blank, self._mask.read(rows, columns)[:, :, 0] == 0)
        return blank

    def find_mean(self, tops: Iterable[int], rows: int) -> None:
        """Read the whole picture, so many rows from each top, for the mean of what has data, which fills the rest."""
        if self.nodata is None and not self._mask:
            return
        sums, count = np.zeros(1), 0
        for top in tops:
            where = slice(top, top + rows), slice(0, self.sides[1])
            array = self.stored(*where)
            blank = self._blank(array, *where)
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
        array = self._segments.read(rows, columns)
        straight = self._stack.plain(array) if self._stack else np.ascontiguousarray(tiff.plain(array, self._own))
        return self.layout.taken(straight, self.path)


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

    bands: whether the channels are bands, and not colours and alpha. Those of an OME-TIFF are pages of their own, which
    wait in a file without a name beside it, uncompressed.
    """
    tifffile = load_tifffile()
    first = next(rows)
    every = itertools.chain([first], rows)
    size = math.prod(sides) * tiff_layout(first[:1], bands)["data"][0, 0].size * first.itemsize
    with (
        tifffile.TiffWriter(path, byteorder="<", bigtiff=size > _CLASSIC_BYTES, ome=False) as writer,
        contextlib.ExitStack() as stack,
    ):
        pages: Iterable[Iterator[Array]] = [every]
        if extras.ome and bands:
            pages = _apart(stack.enter_context(tempfile.TemporaryFile(dir=path.parent)), every, sides)
        for place, page in enumerate(pages):
            start = next(page)
            layout = tiff_layout(start, bands)
            shape = (*sides, *layout.pop("data").shape[2:])
            layout.pop("rowsperstrip")
            writer.write(
                _tiles(start, page, bands),
                shape=shape,
                dtype=start.dtype,
                tile=(_TILE_PX, _TILE_PX),
                **layout,
                compression="zlib",
                compressionargs={"level": 1},
                resolution=extras.resolution and extras.resolution[:2],
                resolutionunit=extras.resolution and extras.resolution[2],
                iccprofile=extras.icc,
                extratags=() if place else extras.tags,
                description=None if place else extras.ome,
                software=False,
                metadata=None,
                maxworkers=1,
            )


def _apart(file: BinaryIO, rows: Iterator[Array], sides: tuple[int, int]) -> Iterator[Iterator[Array]]:
    """Write rows, (N, W, C), into a file, channel by channel; then yield the rows of each channel, (N, W, 1)."""
    top, (height, width) = 0, sides
    for some in rows:
        for place in range(some.shape[2]):
            file.seek((place * height + top) * width * some.itemsize)
            file.write(np.ascontiguousarray(some[:, :, place]).data)
        top += len(some)
    for place in range(some.shape[2]):
        yield _rows_in(file, some.dtype, place, sides)


def _rows_in(file: BinaryIO, dtype: Any, place: int, sides: tuple[int, int]) -> Iterator[Array]:
    height, width = sides
    for top in range(0, height, _TILE_PX):
        count = min(_TILE_PX, height - top)
        file.seek((place * height + top) * width * dtype.itemsize)
        yield np.frombuffer(file.read(count * width * dtype.itemsize), dtype).reshape(count, width, 1)


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
