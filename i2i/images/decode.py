"""Open picture files in every format that i2i reads, and check the header before decoding.

The decoders in i2i.images.pixels and i2i.images.tiff have no guard against pictures that decode to gigabytes.
"""

import contextlib
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

from i2i.errors import ImageError, one_line
from i2i.images import tiff
from i2i.images.arrays import NpySource, NpzSource
from i2i.images.beside import mask_beside
from i2i.images.encode import Array
from i2i.images.explained import PILLOW_KINDS, explained
from i2i.images.geo import Place, joined
from i2i.images.label_maps import LABEL
from i2i.images.layout import PICTURE, Layout, refuse_other_count
from i2i.images.omezarr import is_zarr
from i2i.images.shards import is_local, open_file, stored
from i2i.images.source import Header, Source
from i2i.images.stack import placeholder
from i2i.images.stacking import files_of
from i2i.images.tiff_source import StackSource, TiffSource, ZarrSource

_NPY_START, _ZIP_START = b"\x93NUMPY", b"PK\x03\x04"


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
                facts.append((source.header, source.deep, source.place, source.has_mask))
        sizes, deep, places, masked = zip(*facts, strict=True)
        if len({*sizes}) > 1:
            named = ", ".join(
                f"{one.name} is {size.width}x{size.height}" for one, size in zip(paths, sizes, strict=True)
            )
            raise ImageError(f"{path} has files of different sizes: {named}.")
        self.stored, self.deep, self.grey = (sizes[0].width, sizes[0].height), any(deep), False
        self._place: Place = places[0]
        self._has_mask = any(masked)

    @property
    def header(self) -> Header:
        """The size as stored."""
        width, height = self.stored
        return Header(height, width)

    @property
    def place(self) -> Place:
        """Where the picture lies on the Earth, by the first file."""
        return self._place

    @property
    def has_mask(self) -> bool:
        """Whether any file has a mask."""
        return self._has_mask

    def count(self) -> int:
        """Return 1: it is one picture."""
        return 1

    def missing(self, frame: int = 0) -> Array | None:
        """Return which pixels the mask of any file leaves out."""
        found: Array | None = None
        for one in self.paths:
            with opened(one, self.max_pixels, self.layout) as source:
                found = joined(found, source.missing())
        return found

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
    if is_local(path) and not stat.S_ISREG(path.stat().st_mode):  # a FIFO would block for ever
        raise ImageError(f"{name} is not a regular file.")
    if stored(path).size == 0:
        raise ImageError(f"{name} is empty (0 bytes).")
    if Image.MAX_IMAGE_PIXELS is not None and max_pixels > Image.MAX_IMAGE_PIXELS:
        Image.MAX_IMAGE_PIXELS = max_pixels  # else Pillow refuses what the user has allowed
    with open_file(path) as file, contextlib.ExitStack() as stack:
        source = _identify(file, path, layout)
        _refuse_size(source, name, max_pixels)
        if source.kind == "TIFF" and (beside := mask_beside(path)).is_file():
            source.beside = stack.enter_context(beside.open("rb"))
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
