"""The pages of a TIFF: their tags, whether i2i reads them, and decoding where Pillow would misread them.

Pillow decodes most 8-bit pages, palettes, CMYK and JPEG. tifffile decodes deeper pages, and 8-bit pages that Pillow
misreads or does not read. Their tags are checked first, because tifffile trusts the sizes that a file states.
"""

import itertools
import logging
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from i2i.errors import ImageError
from i2i.images.encode import Array
from i2i.images.tiff_codecs import can_unpack, has_imagecodecs, load_tifffile, unreadable

STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
"""First bytes of TIFF and BigTIFF, in both byte orders."""

_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _CMYK = 0, 1, 2, 5
_UNSIGNED, _FLOAT = 1, 3
_SAMPLE_FORMATS = {2: "signed integers", 5: "complex integers", 6: "complex numbers"}
_ALPHA = (1, 2, 999)  # 1: colours are multiplied by it; 999: CorelDRAW's
_MASK = 4
REDUCED_OR_MASK = 1 | _MASK
_MOST_SAMPLES = 8
_FOR_PILLOW = {1, 2, 3, 4, 5, 6, 7, 8, 32771, 32773, 32946, 34925, 50000}
"""Compressions: none, fax, LZW, JPEG, deflate, PackBits, LZMA, zstd."""
_WITHOUT_PREDICTOR = {1, 32773}
"""Compressions for which Pillow ignores a predictor: none, PackBits."""
_PREDICTORS = (2, 3)  # differences of integers, and of the bytes of floats
_WHOLE_BITS = (1, 8, 16, 32, 64)
"""Of a value that tifffile unpacks itself; single bits are those of masks."""
_NOT_READ = -1
_TILE_PIXELS = 1 << 24  # a tile of any picture may have so many: 4,096 px a side

# tifffile logs what it tolerates. What matters is checked here, and errors raise exceptions.
logging.getLogger("tifffile").addHandler(logging.NullHandler())


class Page:
    """One page, by its tags."""

    def __init__(self, place: int, tags: ImageFileDirectory_v2):
        self.place = place
        self.next = int(tags.next)
        self.tags = tags
        self.width, self.height = int(tags[256]), int(tags[257])
        self.samples = int(tags.get(277, 1))
        bits = tuple(tags.get(258, (1,)))
        self.bits = bits * self.samples if len(bits) == 1 else bits
        formats = set(tags.get(339, (_UNSIGNED,)))
        self.formats = {_UNSIGNED if one == 4 else one for one in formats}  # 4: undefined
        self.photometric = int(tags.get(262, _BLACK_IS_ZERO))
        colours = {_WHITE_IS_ZERO: 1, _BLACK_IS_ZERO: 1, _RGB: 3}.get(self.photometric, self.samples)
        extras = tuple(tags.get(338, ()))
        if not extras and self.photometric == _RGB and self.samples == 4:
            extras = (2,)  # as other programs take it
        self.colours = colours
        self.alpha = next((colours + k for k, kind in enumerate(extras) if kind in _ALPHA), None)
        self.multiplied = self.alpha is not None and extras[self.alpha - colours] == 1

    @property
    def grey(self) -> bool:
        """Whether it has no colours."""
        return self.photometric in (_WHITE_IS_ZERO, _BLACK_IS_ZERO)

    @property
    def full_size(self) -> bool:
        """Whether it is neither a reduced copy nor a mask of another page."""
        return not int(self.tags.get(254, 0)) & REDUCED_OR_MASK

    def masks(self, page: "Page") -> bool:
        """Whether it says which pixels of a page are there."""
        same = (self.width, self.height) == (page.width, page.height)
        return same and int(self.tags.get(254, 0)) & REDUCED_OR_MASK == _MASK

    @property
    def orientation(self) -> int:
        """The EXIF orientation, 1 to 8."""
        found = self.tags.get(274, 1)
        return int(found) if found in range(1, 9) else 1

    @property
    def for_tifffile(self) -> bool:
        """Whether Pillow would misread it. Pillow always decodes CMYK, to 8 bits."""
        if self.photometric == _CMYK:
            return False
        if max(self.bits) > 8 or self.formats != {_UNSIGNED} or self.unnamed_channels() or self.tags.get(32997, 1) != 1:
            return True
        compression, predictor = int(self.tags.get(259, 1)), int(self.tags.get(317, 1))
        apart = int(self.tags.get(284, 1)) == 2 and self.samples > 1
        odd = compression not in _FOR_PILLOW or (predictor != 1 and compression in _WITHOUT_PREDICTOR)
        return (self.grey or self.photometric == _RGB) and min(self.bits) == 8 and (apart or odd)

    def unsupported(self) -> str:
        """Return what i2i cannot read in it; empty if nothing."""
        bits, planes = set(self.bits), self.tags.get(32997, 1)
        if self.formats - {_UNSIGNED, _FLOAT}:
            return f"{max(bits)}-bit {_SAMPLE_FORMATS.get(max(self.formats), 'values of an unknown sample format')}"
        if len(bits) > 1 or len(self.formats) > 1:
            return "channels of different types"
        allowed = (16, 32, 64) if self.formats == {_FLOAT} else range(8, 17)
        if self.bits[0] not in allowed:
            return f"{self.bits[0]}-bit {'floats' if self.formats == {_FLOAT} else 'integers'}"
        if planes != 1 or self.tags.get(32998, 1) != 1:
            return f"a volume of {planes} planes in one page"
        return self._unsupported_channels()

    def _unsupported_channels(self) -> str:
        kind = "float" if self.formats == {_FLOAT} else f"{self.bits[0]}-bit"
        if not self.grey and self.photometric != _RGB:
            tifffile = load_tifffile()
            known = self.photometric in set(tifffile.PHOTOMETRIC)
            name = tifffile.PHOTOMETRIC(self.photometric).name if known else str(self.photometric)
            return f"{kind} values of the photometric kind {name}"
        if self.photometric == _WHITE_IS_ZERO and self.formats == {_FLOAT}:
            return "floats where 0 is white"
        if self.samples < self.colours or self.samples > _MOST_SAMPLES:
            return f"{self.samples} channels of {'grey' if self.grey else 'RGB'}"
        return self.unnamed_channels()

    def unnamed_channels(self) -> str:
        """Describe the extra channels of a grey page, perhaps spectral bands, if the file does not name them."""
        if self.grey and self.samples > 1 and not (self.samples == 2 and self.alpha == 1):
            return f"{self.samples} channels without saying what they are (grey, and {self.samples - 1} extra)"
        return ""

    def lost(self) -> list[str]:
        """Name what else the page says and a translated picture loses."""
        dropped = self.samples - self.colours - (self.alpha is not None)
        return ["extra channels"] if dropped > 0 and self.photometric == _RGB else []

    def planes(self) -> int:
        """Return the number of planes that ImageJ stores under this page, without pages of their own."""
        words = self.description.split()
        count = next((word.removeprefix("images=") for word in words if word.startswith("images=")), "")
        return int(count) if self.description.startswith("ImageJ=") and count.isdecimal() and not self.next else 1

    @property
    def description(self) -> str:
        """What a program wrote about the picture."""
        found = self.tags.get(270, "")
        return found if isinstance(found, str) else ""


def pages(file: BinaryIO) -> Iterator[Page]:
    """Yield each page; raises SyntaxError if they form a loop, or if the file ends among them."""
    file.seek(0)
    start = file.read(8)
    order = start[:2]
    if b"+" in start[2:4]:  # BigTIFF, which Pillow recognises by the third byte
        start = b"II+\0" + start[4:] + file.read(8)
    place = ImageFileDirectory_v2(start, order).next
    seen = set[int]()
    while place:
        if place in seen:
            raise SyntaxError("its pages form a loop")
        seen.add(place)
        file.seek(place)
        tags = ImageFileDirectory_v2(start, order)
        tags.next = _NOT_READ  # Pillow stops at the end of the file, and says nothing
        tags.load(file)
        if tags:
            yield Page(place, tags)
        if not tags or tags.next == _NOT_READ:
            raise SyntaxError("it ends before its tags")
        place = tags.next


def count_full_size(found: Iterator[Page]) -> int:
    """Count the pages that are neither reduced copies nor masks of others."""
    return sum(page.full_size for page in found)


def mask_of(page: Page, following: Iterable[Page]) -> Page | None:
    """Return the mask of a page, which stands before the next picture; None if it has none."""
    own = itertools.takewhile(lambda one: not one.full_size, following)
    return next((one for one in own if one.masks(page)), None)


def decode(file: BinaryIO, page: Page, path: Path) -> Array:
    """Return a page as (H, W, C) in uint8, uint16 or float32, black as 0, its orientation not applied.

    Raises ImageError that names what i2i does not read.
    """
    refuse_unsupported(page, path)
    with open_tifffile(file) as opened:
        planes = page_in(opened, page, path).asarray(squeeze=False, maxworkers=1)
    if planes.shape[1:4] != (1, page.height, page.width) or planes.shape[0] * planes.shape[4] != page.samples:
        raise ImageError(f"{path} is damaged: its tags contradict one another.")
    array = planes[:, 0, :, :, 0].transpose(1, 2, 0) if page.samples == planes.shape[0] else planes[0, 0]
    return np.ascontiguousarray(plain(array, page))


def open_tifffile(file: BinaryIO) -> Any:
    """Open a file as a TiffFile, without the special cases for microscopes, which would read other pages than ours."""
    file.seek(0)
    return load_tifffile().TiffFile(file, is_lsm=False, is_scanimage=False, is_ndpi=False)


def page_in(opened: Any, page: Page, path: Path) -> Any:
    """Return a page of an open TiffFile as a TiffPage; raises ImageError for one whose pixels cannot be read."""
    opened.filehandle.seek(page.place)
    found = load_tifffile().TiffPage(opened, index=0)
    check_storage(found, opened.filehandle.size, path)
    return found


def refuse_huge_tiles(page: Page, path: Path) -> None:
    """Raise ImageError for tiles far larger than the picture: decoders allocate whole tiles."""
    width, height = int(page.tags.get(322, 1)), int(page.tags.get(323, 1))
    if width * height > max(_TILE_PIXELS, page.width * page.height):
        raise ImageError(f"{path} is damaged: its tiles are {width}x{height}.")


def refuse_unsupported(page: Page, path: Path) -> None:
    """Raise ImageError for a page that i2i does not read."""
    reason = page.unsupported()
    if reason:
        raise ImageError(
            f"{path} holds {reason}, which i2i does not read. It reads grey and RGB, with or without alpha, "
            "as integers of 8 to 16 bits or as floats; and any other channels as bands, whose number or names a "
            "training is told by data.channels_a and channels_b."
        )


def check_storage(found: Any, size: int, path: Path) -> None:
    """Raise ImageError for strips or tiles that are outside the file, too many, or stored as tifffile cannot read."""
    tifffile = load_tifffile()
    compression = found.compression
    if not can_unpack(compression):
        known = compression in set(tifffile.COMPRESSION)
        name = tifffile.COMPRESSION(compression).name if known else str(compression)
        raise unreadable(path, f"is compressed with {name}", "with deflate or LZW", known)
    known = has_imagecodecs() or found.predictor in _PREDICTORS  # the others are in the table, and fail
    if found.predictor != 1 and not (known and found.predictor in tifffile.TIFF.UNPREDICTORS):
        raise unreadable(path, f"has the predictor {found.predictor}", "without")
    if found.bitspersample not in _WHOLE_BITS and not has_imagecodecs():
        raise unreadable(path, f"packs values of {found.bitspersample} bits", "in 16 bits")
    height, width = found.imagelength, found.imagewidth
    if found.is_tiled:
        expected = math.ceil(height / found.tilelength) * math.ceil(width / found.tilewidth)
    else:
        expected = math.ceil(height / min(found.rowsperstrip, height))
    expected *= found.samplesperpixel if found.planarconfig == 2 else 1
    places, lengths = found.dataoffsets, found.databytecounts
    if len(places) != expected or len(lengths) != expected:
        raise ImageError(f"{path} is damaged: it has {len(places)} strips or tiles, but its size needs {expected}.")
    if not all(lengths):
        raise ImageError(f"{path} leaves out empty tiles (a sparse TIFF), which i2i does not read. Save it in full.")
    if any(place + length > size for place, length in zip(places, lengths, strict=True)):
        raise ImageError(f"{path} is damaged: it ends before its pixels.")


def plain(array: Array, page: Page) -> Array:
    """Return straight colours and alpha, black as 0; integers use the full range of their type."""
    chosen = [*range(page.colours), *([page.alpha] if page.alpha is not None else [])]
    array = array if len(chosen) == array.shape[2] else array[:, :, chosen]
    if page.formats == {_FLOAT}:
        array = array.astype(np.float32)
    elif page.bits[0] not in (8, 16):
        array = np.rint(array * (65535 / ((1 << page.bits[0]) - 1))).astype(np.uint16)
    colours = array[:, :, : page.colours]
    if page.photometric == _WHITE_IS_ZERO:
        colours = ~colours
    if page.alpha is None:
        return colours
    alpha = array[:, :, -1:]
    return np.concatenate([_divided(colours, alpha) if page.multiplied else colours, alpha], axis=2)


def _divided(colours: Array, alpha: Array) -> Array:
    """Undo premultiplied alpha, as Pillow does for 8 bits; where alpha is 0, colours are 0."""
    if colours.dtype == np.float32:
        return np.divide(colours, alpha, out=np.zeros_like(colours), where=alpha > 0)
    top = int(np.iinfo(colours.dtype).max)
    done = np.minimum(colours.astype(np.int64) * top // np.maximum(alpha, 1), top)
    return np.where(alpha == 0, 0, done).astype(colours.dtype)
