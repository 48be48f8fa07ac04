"""Open picture files in every format that i2i reads, and check the header before decoding.

The decoders in i2i.images.pixels and i2i.images.tiff have no guard against pictures that decode to gigabytes.
"""

import contextlib
import itertools
import math
import stat
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

from i2i.errors import ImageError, one_line
from i2i.images import tiff
from i2i.images.arrays import NpySource, NpzSource
from i2i.images.axes import Axes
from i2i.images.encode import Array
from i2i.images.explained import PILLOW_KINDS, explained
from i2i.images.geo import Place, in_utf8, read_place
from i2i.images.label_maps import LABEL
from i2i.images.layout import PICTURE, Layout, refuse_other_count
from i2i.images.omezarr import ZarrStack, is_zarr
from i2i.images.pixels import decode, turn
from i2i.images.shards import is_member, open_file, stored
from i2i.images.source import Header, Source
from i2i.images.stack import Stack, placeholder
from i2i.images.stacking import files_of

_NPY_START, _ZIP_START = b"\x93NUMPY", b"PK\x03\x04"
_PLAIN = (1, 2)
"""Photometric kinds of planes: black is 0, and RGB."""
_MOST_COUNTED = 10_000
"""Pages counted at most; the count only goes into a message."""


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

    def count(self) -> int:
        """Return the number of pages."""
        return len(self.pages())

    def left_out(self) -> int:
        """Return the number of pictures after the first: pages, and planes that ImageJ stores without pages."""
        first = self._pages[0]
        if not first.next:
            return first.planes() - 1
        return tiff.count_full_size(itertools.islice(self.pages(_MOST_COUNTED), 1, None))

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
        """Return the number of pixels in the first `count` pages."""
        return sum(page.width * page.height for page in self.pages(count))

    def decode(self, frame: int = 0) -> Array:
        """Return the pixels of a page."""
        page = self.pages(frame + 1)[frame]
        tiff.refuse_huge_tiles(page, self.path)
        if page.for_tifffile or self.image.format != "TIFF":
            return turn(tiff.decode(self.file, page, self.path), page.orientation)
        try:
            self.image.seek(frame)
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

    def part(self, rows: slice, columns: slice) -> Array:
        """Return a part of the picture, as stored."""
        return self.zarr.part(rows, columns)


class FilesSource(Source):
    """Several files of one channel each as one picture."""

    may_have_alpha = False

    def __init__(self, paths: Sequence[Path], path: Path, max_pixels: int, layout: Layout):
        self.path, self.kind, self.paths, self.max_pixels = path, "TIFF", paths, max_pixels
        self.image = placeholder(None)
        self.layout = Layout(1, ("band",), plane=layout.plane)
        refuse_other_count(path, len(paths), layout.opens)
        if not layout.bands and len(paths) not in (1, 3, 4):
            raise ImageError(
                f"{path} has {len(paths)} channels; a picture has 1, 3 or 4. Name them as bands in training."
            )
        facts = []
        for one in paths:
            with opened(one, max_pixels, self.layout) as source:
                facts.append((source.header, source.deep, source.place))
        sizes, deep, places = zip(*facts, strict=True)
        if len({*sizes}) > 1:
            named = ", ".join(
                f"{one.name} is {size.width}x{size.height}" for one, size in zip(paths, sizes, strict=True)
            )
            raise ImageError(f"{path} has files of different sizes: {named}.")
        self.stored, self.deep, self.grey = (sizes[0].width, sizes[0].height), any(deep), False
        self._place: Place = places[0]

    @property
    def header(self) -> Header:
        """The size as stored."""
        width, height = self.stored
        return Header(height, width)

    @property
    def place(self) -> Place:
        """Where the picture lies on the Earth, by the first file."""
        return self._place

    def count(self) -> int:
        """Return 1: it is one picture."""
        return 1

    def decode(self, frame: int = 0) -> Array:
        """Return all channels, of the type that holds each."""
        arrays = []
        for one in self.paths:
            with opened(one, self.max_pixels, self.layout) as source:
                arrays.append(self.layout.taken(source.decode(), one))
        return np.concatenate(arrays, axis=2)


@contextlib.contextmanager
def opened(path: Path, max_pixels: int, layout: Layout = PICTURE) -> Iterator[Source]:
    """Open a regular file as a picture; a failure in the body becomes an ImageError that names the file.

    layout: says whether its channels are bands or classes, which plane of several is meant, and whether the path may
    stand for a stack of files.
    """
    with explained(path, max_pixels), opened_bare(path, max_pixels, layout) as source:
        yield source


@contextlib.contextmanager
def opened_bare(path: Path, max_pixels: int, layout: Layout = PICTURE) -> Iterator[Source]:
    """Open it for a body that does more than read: what goes wrong there has its own name."""
    name = one_line(path)
    if layout.stack and len(paths := files_of(path)) > 1:
        yield FilesSource(paths, path, max_pixels, layout)
        return
    if is_zarr(path):
        source: Source = ZarrSource(path, layout)
        _refuse_size(source, name, max_pixels)
        yield source
        return
    if not is_member(path) and not stat.S_ISREG(path.stat().st_mode):  # a FIFO would block for ever
        raise ImageError(f"{name} is not a regular file.")
    if stored(path).size == 0:
        raise ImageError(f"{name} is empty (0 bytes).")
    if Image.MAX_IMAGE_PIXELS is not None and max_pixels > Image.MAX_IMAGE_PIXELS:
        Image.MAX_IMAGE_PIXELS = max_pixels  # else Pillow refuses what the user has allowed
    with open_file(path) as file:
        source = _identify(file, path, layout)
        _refuse_size(source, name, max_pixels)
        yield source


def _refuse_size(source: Source, name: str, max_pixels: int) -> None:
    width, height = source.stored
    if width * height > max_pixels:
        raise ImageError(f"{name} is {width}x{height}, over the limit of {max_pixels:,} pixels.")


def _identify(file: BinaryIO, path: Path, layout: Layout) -> Source:
    start, bands = file.read(6), layout.opens
    file.seek(0)
    if start[:4] not in tiff.STARTS and any(number > 1 for _, number in layout.plane):
        raise ImageError(f"{path} is no TIFF, and has no planes to choose from.")
    if start == _NPY_START:
        return NpySource(file, path, bands)
    if start[:4] == _ZIP_START:
        return NpzSource(file, path, bands)
    if start[:4] in tiff.STARTS:
        return StackSource(file, path, layout) if bands or layout.plane else TiffSource(file, path)
    Image.preinit()  # of these kinds only: asked for any other, it loads all of its forty
    kinds = sorted(PILLOW_KINDS, key=lambda kind: kind not in Image.OPEN)
    return Source(Image.open(file, formats=kinds), path, bands == LABEL)
