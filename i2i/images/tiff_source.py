"""A TIFF or an OME-Zarr that is open: as a picture, page by page, or as a stack of bands and planes."""

import functools
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from PIL import Image

from i2i.errors import ImageError
from i2i.images import tiff
from i2i.images.axes import Axes
from i2i.images.encode import Array
from i2i.images.geo import Place, in_utf8, read_place
from i2i.images.layout import Layout, refuse_other_count
from i2i.images.masks import PageMask, read_beside
from i2i.images.omezarr import ZarrStack
from i2i.images.pixels import decode, turn
from i2i.images.source import MOST_COUNTED, Header, Source
from i2i.images.stack import Stack, placeholder

_PLAIN = (1, 2)
"""Photometric kinds of planes: black is 0, and RGB."""


class StackSource(Source):
    """A TIFF whose channels are bands, or of which a plane is the picture."""

    may_have_alpha = False

    def __init__(self, file: BinaryIO, path: Path, layout: Layout):
        self.settle(Stack(file, path, layout.plane, layout.each_plane), path, layout)

    def settle(self, stack: Stack, path: Path, layout: Layout) -> None:
        """Take a stack; raises ImageError for channels that the layout does not take."""
        self.path, self.kind, self.stack = path, "TIFF", stack
        self.image = placeholder(stack.icc)
        count = self.stack.channels
        refuse_other_count(path, count, layout.opens)
        if not layout.bands and (count not in (1, 3) or self.stack.photometric not in _PLAIN):
            raise ImageError(
                f"{path} has planes of {count} channels, which are neither grey nor RGB. Name them as bands in "
                "training, or save the plane as a file of its own."
            )
        self.grey = count == 1 and not layout.bands
        self.stored, self.deep = self.stack.sides, self.stack.dtype.itemsize > 1

    @property
    def header(self) -> Header:
        """The size as stored."""
        width, height = self.stored
        return Header(height, width)

    @property
    def _first(self) -> tiff.Page:
        return next(tiff.pages(self.stack.file))

    def count(self) -> int:
        """Return the number of depths and times that are frames; other pages are bands, or refused."""
        return math.prod(self.stack.steps.values())

    def left_out(self) -> int:
        """Return the number of images after the first that are no reduced copies of it."""
        return self.stack.left_out

    def mask(self, frame: int = 0) -> PageMask | None:
        """Return the mask of the first page, which is that of all."""
        pages = tiff.pages(self.stack.file)
        if page := tiff.mask_of(next(pages), pages):
            return PageMask(self.path, self.stack.file, page)
        return read_beside(self.beside, self.path, self.stored) if self.beside else None

    def missing(self, frame: int = 0) -> Array | None:
        """Return which pixels the mask leaves out."""
        mask = self.mask()
        return mask.missing() if mask else None

    @property
    def place(self) -> Place:
        """Where the picture lies on the Earth, by the first page."""
        return read_place(self._first.tags)

    @property
    def axes(self) -> Axes | None:
        """What its axes and channels mean, if it is an OME-TIFF."""
        from i2i.images.ometiff import read_ome

        stack, axes = self.stack, read_ome(in_utf8(self._first.description), self.stack.series)
        if axes is None:
            return None
        planes = tuple((stack.axes[place].lower(), size) for place, size in stack.steps.items())
        return replace(axes, planes=planes).at({stack.axes[place].lower(): one for place, one in stack.chosen.items()})

    def decode(self, frame: int = 0) -> Array:
        """Return all bands, as stored."""
        return self.stack.decode(frame)


class TiffSource(Source):
    """A TIFF. Pillow decodes each page, or tifffile where Pillow would misread it."""

    def __init__(self, file: BinaryIO, path: Path):
        self.path = path
        self.kind = "TIFF"
        self.file = file
        self._rest = tiff.pages(file)
        self._pages = list(itertools.islice(self._rest, 1))
        if not self._pages:
            raise SyntaxError("it has no pages")
        first = self._pages[0]
        try:
            file.seek(0)
            self.image = Image.open(file, formats=["TIFF"])
        except Exception:  # Pillow knows about a hundred layouts; the tags tell whether tifffile can read others
            self.image = Image.new("L", (1, 1))
            tiff.refuse_unsupported(first, path)
            if 34675 in first.tags:
                self.image.info["icc_profile"] = first.tags[34675]
        if first.for_tifffile:
            tiff.refuse_unsupported(first, path)
        self.stored = (first.width, first.height)
        self.grey, self.deep = first.grey, max(first.bits) > 8

    @property
    def header(self) -> Header:
        """The size as shown."""
        width, height = self.stored
        return Header(width, height) if self._pages[0].orientation >= 5 else Header(height, width)

    def pages(self, count: int | None = None) -> Sequence[tiff.Page]:
        """Return the first `count` pages, or all."""
        self._pages += itertools.islice(self._rest, None if count is None else max(0, count - len(self._pages)))
        return self._pages[:count]

    def mask(self, frame: int = 0) -> PageMask | None:
        """Return the mask of a page; the one beside the file is that of the first."""
        number = self._number(frame)
        if page := tiff.mask_of(self._pages[number], self._after(number)):
            return PageMask(self.path, self.file, page)
        return read_beside(self.beside, self.path, self.stored) if self.beside and not frame else None

    def _after(self, number: int) -> Iterator[tiff.Page]:
        """Yield the pages after one, read no further than they are asked for."""
        for following in itertools.count(number + 1):
            if len(found := self.pages(following + 1)) <= following:
                return
            yield found[following]

    def missing(self, frame: int = 0) -> Array | None:
        """Return which pixels of a page its mask leaves out."""
        mask = self.mask(frame)
        if mask is None:
            return None
        return turn(mask.missing()[:, :, None], self._page(frame).orientation)[:, :, 0]

    @functools.cached_property
    def _frames(self) -> list[int]:
        """The numbers of the pages that are pictures: the first, and others that are no reduced copies or masks."""
        return [0, *(number for number, page in enumerate(self.pages()) if number and page.full_size)]

    def _number(self, frame: int) -> int:
        """Return the number of a frame's page; of the first, no other page is read for it."""
        return self._frames[frame] if frame else 0

    def _page(self, frame: int) -> tiff.Page:
        number = self._number(frame)
        return self.pages(number + 1)[number]

    def count(self) -> int:
        """Return the number of pages that are pictures."""
        return len(self._frames)

    def left_out(self) -> int:
        """Return the number of pictures after the first: pages, and planes that ImageJ stores without pages."""
        first = self._pages[0]
        if not first.next:
            return first.planes() - 1
        return tiff.count_full_size(itertools.islice(self.pages(MOST_COUNTED), 1, None))

    @property
    def place(self) -> Place:
        """Where the picture lies on the Earth, by the first page."""
        return read_place(self._pages[0].tags)

    @property
    def axes(self) -> Axes | None:
        """What its axes and channels mean, if it is an OME-TIFF."""
        from i2i.images.ometiff import read_ome

        return read_ome(in_utf8(self._pages[0].description))

    def lost(self, keep_metadata: bool) -> list[str]:
        """Name what the first page says and a translated picture loses."""
        return self._pages[0].lost()

    def pixels(self, count: int) -> int:
        """Return the number of pixels in the first `count` pictures."""
        pages = [self._page(frame) for frame in range(count)]
        return sum(page.width * page.height for page in pages)

    def decode(self, frame: int = 0) -> Array:
        """Return the pixels of a page."""
        page = self._page(frame)
        tiff.refuse_huge_tiles(page, self.path)
        if page.for_tifffile or self.image.format != "TIFF":
            return turn(tiff.decode(self.file, page, self.path), page.orientation)
        try:
            self.image.seek(self._number(frame))
        except SyntaxError:  # a layout that Pillow does not know
            return turn(tiff.decode(self.file, page, self.path), page.orientation)
        return decode(self.image, self.path)


class ZarrSource(StackSource):
    """A folder that is an OME-Zarr picture."""

    def __init__(self, path: Path, layout: Layout):
        self.zarr = ZarrStack(path, layout.plane, layout.each_plane)
        self.settle(self.zarr, path, layout)

    @property
    def place(self) -> Place:
        """The size of its pixels."""
        return Place(resolution=self.zarr.resolution)

    @property
    def axes(self) -> Axes:
        """What its axes and channels mean."""
        return self.zarr.described

    def mask(self, frame: int = 0) -> None:
        """Return nothing: it has no masks."""

    def missing(self, frame: int = 0) -> None:
        """Return nothing: it has no masks."""

    def part(self, rows: slice, columns: slice) -> Array:
        """Return a part of the picture, as stored."""
        return self.zarr.part(rows, columns)
