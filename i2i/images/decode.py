"""Open picture files in every format that i2i reads, and check the header before decoding.

The decoders in i2i.images.pixels and i2i.images.tiff have no guard against pictures that decode to gigabytes.
"""

import contextlib
import itertools
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from PIL import Image, UnidentifiedImageError

from i2i.errors import I2IError, ImageError, one_line
from i2i.images import tiff
from i2i.images.encode import Array
from i2i.images.pixels import ALPHA_MODES, decode, is_16_bit, orientation_of, reason_of, turn

PILLOW_KINDS = ["AVIF", "BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP"]

_NPY_START = b"\x93NUMPY"
_MOST_COUNTED = 10_000
"""Pages counted at most; the count only goes into a message."""
_USUAL_DPI = {1, 72, 96}
"""Resolutions that programs write by default."""


class Header(NamedTuple):
    """Size of a picture in pixels, as shown (EXIF orientation applied), read without decoding it."""

    height: int
    width: int


class Source:
    """A file of an allowed kind and size, opened by Pillow; nothing is decoded yet."""

    def __init__(self, image: Image.Image, path: Path):
        self.image = image
        self.path = path
        self.kind = "JPEG" if image.format == "MPO" else image.format or ""
        self.stored = image.size
        """Width and height in the file."""
        self.grey = image.mode in ("1", "L", "LA", "La") or image.mode.startswith("I")
        """Whether the header says that the first frame is grey; a palette of greys counts as colour."""
        self.deep = image.mode.startswith("I") or (image.mode in ("RGB", "RGBA") and is_16_bit(image))
        """Whether the first frame has more than 8 bits a channel, or floats."""

    @property
    def header(self) -> Header:
        """The size as shown."""
        width, height = self.stored
        # A PNG's getexif() decodes the whole file to look for EXIF after the pixels; EXIF before them is enough.
        known = self.image.format != "PNG" or "exif" in self.image.info
        if known and orientation_of(self.image) >= 5:
            width, height = height, width
        return Header(height, width)

    @property
    def may_have_alpha(self) -> bool:
        """Whether the header allows for alpha."""
        return "transparency" in self.image.info or self.image.mode in ALPHA_MODES

    def count(self) -> int:
        """Return the number of frames or pages; the second picture of a camera's MPO does not count."""
        return 1 if self.kind == "JPEG" else getattr(self.image, "n_frames", 1)

    def left_out(self) -> int:
        """Return the number of frames after the first."""
        return self.count() - 1

    def lost(self, keep_metadata: bool) -> list[str]:
        """Name the metadata on position and scale that a translated picture loses."""
        dpi = self.image.info.get("dpi", ()) if self.kind in ("PNG", "TIFF") and not keep_metadata else ()
        return ["resolution"] if any(round(float(value)) not in _USUAL_DPI for value in dpi) else []

    def pixels(self, count: int) -> int:
        """Return the number of pixels in the first `count` frames."""
        width, height = self.stored
        return count * width * height

    def decode(self, frame: int = 0) -> Array:
        """Return the pixels of a frame, as i2i.images.image describes them; float32 values stay as stored."""
        if frame:
            self.image.seek(frame)
        return decode(self.image, self.path)


class NpySource(Source):
    """An array that numpy saved: (H, W), or (H, W, C) with 1, 3 or 4 channels."""

    may_have_alpha = True

    def __init__(self, file: BinaryIO, path: Path):
        self.path = path
        self.kind = "NPY"
        self.image = Image.new("L", (1, 1))  # has no profile and no metadata
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(file)
        if dtype.newbyteorder("=") not in (np.uint8, np.uint16, np.float16, np.float32, np.float64):
            raise ImageError(f"{path} holds {dtype}; i2i reads uint8, uint16 and float.")
        if len(shape) == 3 and shape[2] == 2:
            raise ImageError(
                f"{path} has the shape {shape}, and does not say what its 2 channels are. Save grey as (H, W), and an "
                "image with alpha as (H, W, 4)."
            )
        if len(shape) not in (2, 3) or (len(shape) == 3 and shape[2] not in (1, 3, 4)) or min(shape) < 1:
            raise ImageError(f"{path} has the shape {shape}; an image is (H, W), or (H, W, C) with 1, 3 or 4 channels.")
        if path.stat().st_size - file.tell() < dtype.itemsize * int(np.prod(shape, dtype=object)):
            raise ImageError(f"{path} is damaged: it is too short for {shape} values of {dtype}.")
        self.stored = (shape[1], shape[0])
        self.grey, self.deep = len(shape) == 2 or shape[2] == 1, dtype.itemsize > 1

    def decode(self, frame: int = 0) -> Array:
        """Return the array, in the byte order of this machine."""
        array = np.load(self.path, allow_pickle=False)
        array = array.astype(array.dtype.newbyteorder("=") if array.dtype.kind == "u" else np.float32)
        return np.ascontiguousarray(array.reshape(*array.shape[:2], -1))


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

    def lost(self, keep_metadata: bool) -> list[str]:
        """Name what the first page says and a translated picture loses."""
        first = self._pages[0]
        unit = "PhysicalSizeX" in first.description or (
            first.description.startswith("ImageJ=") and "unit=" in first.description
        )
        return [*first.lost(), *(["pixel size"] if unit and not keep_metadata else []), *super().lost(keep_metadata)]

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


@contextlib.contextmanager
def opened(path: Path, max_pixels: int) -> Iterator[Source]:
    """Open a regular file as a picture; a failure in the body becomes an ImageError that names the file."""
    name = one_line(path)
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # a FIFO would block for ever
            raise ImageError(f"{name} is not a regular file.")
        if status.st_size == 0:
            raise ImageError(f"{name} is empty (0 bytes).")
        if Image.MAX_IMAGE_PIXELS is not None and max_pixels > Image.MAX_IMAGE_PIXELS:
            Image.MAX_IMAGE_PIXELS = max_pixels  # else Pillow refuses what the user has allowed
        with path.open("rb") as file:
            source = _identify(file, path)
            width, height = source.stored
            if width * height > max_pixels:
                raise ImageError(f"{name} is {width}x{height}, over the limit of {max_pixels:,} pixels.")
            yield source
    except ImageError as error:
        raise ImageError(str(error).replace(str(path), name)) from error.__cause__
    except I2IError:  # raised by the body, about something else
        raise
    except FileNotFoundError:
        raise ImageError(f"{name} does not exist.") from None
    except PermissionError:
        raise ImageError(f"{name} cannot be read: permission denied.") from None
    except UnidentifiedImageError:
        kinds = ", ".join([*PILLOW_KINDS, "NPY"])
        raise ImageError(f"{name} is not a picture in a format that i2i reads ({kinds}).") from None
    except Image.DecompressionBombError:
        raise ImageError(f"{name} is over the limit of {max_pixels:,} pixels.") from None
    except MemoryError as error:
        raise ImageError(f"{name}: not enough memory to decode it.") from error
    except Exception as error:  # decoders raise whatever they like on broken files
        if isinstance(error, OSError) and error.strerror:  # from the system: a loop of links, a failing disk
            raise ImageError(f"{name} cannot be read: {error.strerror}.") from error
        raise ImageError(f"{name} is damaged: {reason_of(error)}.") from error


def _identify(file: BinaryIO, path: Path) -> Source:
    start = file.read(6)
    file.seek(0)
    if start == _NPY_START:
        return NpySource(file, path)
    if start[:4] in tiff.STARTS:
        return TiffSource(file, path)
    return Source(Image.open(file, formats=PILLOW_KINDS), path)
