"""The bytes of a file to pixels: every format that i2i reads, checked before it is decoded.

Pillow reads most of them. 16-bit colour of PNG and PPM, which Pillow silently makes 8-bit, goes through OpenCV,
deep TIFF through tifffile, whole JPEGs, which take twice as long and hide damage there, through simplejpeg: after
the header has been checked, since none of them has a guard against pictures that decode to gigabytes.
"""

import contextlib
import ctypes
import itertools
import logging
import os
import stat
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from PIL import Image, UnidentifiedImageError, _imaging

from i2i.errors import I2IError, ImageError, one_line
from i2i.images import tiff
from i2i.images.encode import Array

PILLOW_KINDS = ["AVIF", "BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP"]
ORIENTATION = 0x0112

_JPEG_END = b"\xff\xd9"
_JPEG_SPOILT = ("premature end of data", "bad Huffman code", "instead of RST", "Inconsistent progression")
"""What libjpeg warns of when it makes pixels up; of stray bytes and odd headers it warns too, of whole pictures."""
_SEE_THROUGH = ("LA", "La", "PA", "RGBA", "RGBa")
_NPY_START = b"\x93NUMPY"
_MOST_COUNTED = 10_000
"""Pages that are counted only to say how many there are."""
_USUAL_DPI = {1, 72, 96}
"""What programs write where nobody has said anything."""

# What Pillow warns of, large sizes and odd tags, we check or can do without; it would stand between our lines.
warnings.filterwarnings("ignore", module="PIL")
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
logging.getLogger("PIL").addHandler(logging.NullHandler())
os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")  # read when OpenCV is loaded, which is later
# Pillow silences its libtiff's warnings, but not the errors, which come with an exception where they matter.
with contextlib.suppress(OSError, AttributeError):  # libtiff's functions may be out of reach, built into Pillow
    ctypes.CDLL(_imaging.__file__).TIFFSetErrorHandler(None)


class Header(NamedTuple):
    """What a file says of its picture before it is decoded; sides in pixels, as shown (EXIF turn applied)."""

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
        """Whether its first picture has no colours by its header; a palette of greys counts as colour."""
        self.deep = image.mode.startswith("I") or (image.mode in ("RGB", "RGBA") and _is_16_bit(image))
        """Whether its first picture has more than 8 bits, or floats."""

    @property
    def header(self) -> Header:
        """The size as shown."""
        width, height = self.stored
        # A PNG's getexif() decodes the whole file to look behind the pixels; what stands before them is enough here.
        known = self.image.format != "PNG" or "exif" in self.image.info
        if known and _orientation(self.image) >= 5:
            width, height = height, width
        return Header(height, width)

    @property
    def may_have_alpha(self) -> bool:
        """Whether the header leaves room for alpha."""
        return "transparency" in self.image.info or self.image.mode in _SEE_THROUGH

    def count(self) -> int:
        """Return how many frames or pages there are; the second picture of a camera's MPO is not one."""
        return 1 if self.kind == "JPEG" else getattr(self.image, "n_frames", 1)

    def left_out(self) -> int:
        """Return how many pictures stand behind the first."""
        return self.count() - 1

    def lost(self, keep_metadata: bool) -> list[str]:
        """Return the names of what it says of the place and scale of its pixels, and a translated picture does not."""
        dpi = self.image.info.get("dpi", ()) if self.kind in ("PNG", "TIFF") and not keep_metadata else ()
        return ["resolution"] if any(round(float(value)) not in _USUAL_DPI for value in dpi) else []

    def pixels(self, count: int) -> int:
        """Return how many pixels the first so many frames have together."""
        width, height = self.stored
        return count * width * height

    def decode(self, frame: int = 0) -> Array:
        """Return the pixels of a frame as `images` describes them; float32 as they are in the file."""
        if frame:
            self.image.seek(frame)
        return _decode(self.image, self.path)


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
                f"{path} has the shape {shape}, without saying what its 2 channels are. Save grey as (H, W), and what "
                "has alpha as (H, W, 4)."
            )
        if len(shape) not in (2, 3) or (len(shape) == 3 and shape[2] not in (1, 3, 4)) or min(shape) < 1:
            raise ImageError(
                f"{path} has the shape {shape}; a picture is (H, W), or (H, W, C) with 1, 3 or 4 channels."
            )
        if path.stat().st_size - file.tell() < dtype.itemsize * int(np.prod(shape, dtype=object)):
            raise ImageError(f"{path} is damaged: it ends before its {shape} values of {dtype}.")
        self.stored = (shape[1], shape[0])
        self.grey, self.deep = len(shape) == 2 or shape[2] == 1, dtype.itemsize > 1

    def decode(self, frame: int = 0) -> Array:
        """Return the array, in the byte order of this machine."""
        array = np.load(self.path, allow_pickle=False)
        array = array.astype(array.dtype.newbyteorder("=") if array.dtype.kind == "u" else np.float32)
        return np.ascontiguousarray(array.reshape(*array.shape[:2], -1))


class TiffSource(Source):
    """A TIFF: each page goes through Pillow or, where that would not read it right, through tifffile."""

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
        except Exception:  # Pillow knows some hundred layouts; the tags tell whether tifffile is to read it
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
        """Return the first so many pages, or all."""
        self._pages += itertools.islice(self._rest, None if count is None else max(0, count - len(self._pages)))
        return self._pages[:count]

    def count(self) -> int:
        """Return how many pages there are."""
        return len(self.pages())

    def left_out(self) -> int:
        """Return how many pictures stand behind the first: pages, and planes that ImageJ keeps without pages."""
        first = self._pages[0]
        if not first.next:
            return first.planes() - 1
        return tiff.count_full_size(itertools.islice(self.pages(_MOST_COUNTED), 1, None))

    def lost(self, keep_metadata: bool) -> list[str]:
        """Return the names of what the first page says that a translated picture does not."""
        first = self._pages[0]
        unit = "PhysicalSizeX" in first.description or (
            first.description.startswith("ImageJ=") and "unit=" in first.description
        )
        return [*first.lost(), *(["pixel size"] if unit and not keep_metadata else []), *super().lost(keep_metadata)]

    def pixels(self, count: int) -> int:
        """Return how many pixels the first so many pages have together."""
        return sum(page.width * page.height for page in self.pages(count))

    def decode(self, frame: int = 0) -> Array:
        """Return the pixels of a page."""
        page = self.pages(frame + 1)[frame]
        tiff.refuse_huge_tiles(page, self.path)
        if page.for_tifffile or self.image.format != "TIFF":
            return turn(tiff.decode(self.file, page, self.path), page.orientation)
        try:
            self.image.seek(frame)
        except SyntaxError:  # of a kind that Pillow does not know
            return turn(tiff.decode(self.file, page, self.path), page.orientation)
        return _decode(self.image, self.path)


@contextlib.contextmanager
def opened(path: Path, max_pixels: int) -> Iterator[Source]:
    """Open a regular file as a picture; what goes wrong in the body is an ImageError that names the file."""
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
    except I2IError:  # the body's own, about something else
        raise
    except FileNotFoundError:
        raise ImageError(f"{name} does not exist.") from None
    except PermissionError:
        raise ImageError(f"{name} cannot be read: permission denied.") from None
    except UnidentifiedImageError:
        kinds = ", ".join([*PILLOW_KINDS, "NPY"])
        raise ImageError(f"{name} is not a picture of a kind that i2i reads ({kinds}).") from None
    except Image.DecompressionBombError:
        raise ImageError(f"{name} is over the limit of {max_pixels:,} pixels.") from None
    except MemoryError as error:
        raise ImageError(f"{name}: not enough memory to decode it.") from error
    except Exception as error:  # decoders raise whatever they like on broken files
        if isinstance(error, OSError) and error.strerror:  # the system's, as of links in a circle or a failing disk
            raise ImageError(f"{name} cannot be read: {error.strerror}.") from error
        raise ImageError(f"{name} is damaged: {_reason(error)}.") from error


def _identify(file: BinaryIO, path: Path) -> Source:
    start = file.read(6)
    file.seek(0)
    if start == _NPY_START:
        return NpySource(file, path)
    if start[:4] in tiff.STARTS:
        return TiffSource(file, path)
    return Source(Image.open(file, formats=PILLOW_KINDS), path)


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__


def _decode(image: Image.Image, path: Path) -> Array:
    whole = getattr(image, "n_frames", 1) == 1  # a deep animation is read in 8 bits
    if image.format != "TIFF" and whole and image.mode in ("RGB", "RGBA") and _is_16_bit(image):
        return _decode_16_bit(image, path)
    array = _decode_jpeg(image, path) if image.format == "JPEG" and image.mode in ("L", "RGB") else None
    return _pixels(image, str(path)) if array is None else array


def from_pil(image: Image.Image, name: str) -> Array:
    """Return the pixels of a PIL image, uint8 or uint16; errors speak of `name`. Raises ImageError."""
    if image.mode == "F":
        raise ImageError(f"{name} holds 32-bit values; 8 and 16 bits are taken here.")
    return _pixels(image, name)


def _pixels(image: Image.Image, name: str) -> Array:
    if image.mode == "I" and image.format != "PPM":
        raise ImageError(
            f"{name} holds signed or 32-bit integers; i2i reads 8 and 16 bits. Save it as 16-bit PNG or TIFF."
        )
    image.load()  # after which Pillow has turned a TIFF itself
    orientation = _orientation(image)
    if image.mode.startswith("I"):
        return turn(_deep_grey(np.asarray(image).astype(np.uint16)[:, :, None], image), orientation)
    see_through = "transparency" in image.info or image.mode in _SEE_THROUGH
    grey = image.mode in ("1", "L", "LA", "La")
    array = np.asarray(image.convert(("LA" if grey else "RGBA") if see_through else ("L" if grey else "RGB")))
    return turn(array[:, :, None] if array.ndim == 2 else array, orientation)


def _orientation(image: Image.Image) -> int:
    """Return how a picture lies, 1 to 8; upright where EXIF is damaged, or says what there is not: as viewers do."""
    with contextlib.suppress(Exception):  # parsers raise whatever they like
        found = image.getexif().get(ORIENTATION, 1)
        if found in range(1, 9):
            return int(found)
    return 1


def _deep_grey(array: Array, image: Image.Image) -> Array:
    """Add what Pillow leaves out of 16-bit grey: the colour that is transparent."""
    if isinstance(image.info.get("transparency"), int):
        clear = array == image.info["transparency"]
        array = np.concatenate([array, np.where(clear, np.uint16(0), np.uint16(65535))], axis=2)
    return array


def _is_16_bit(image: Image.Image) -> bool:
    """Whether the samples have 16 bits; Pillow tells only through the decoder's arguments."""
    arguments = _tile_arguments(image)
    if image.format == "BMP":  # whose 16 bits are those of a pixel
        return False
    if image.format == "PPM":
        return any(value > 255 for entry in arguments if isinstance(entry, tuple) for value in entry[1:])
    return any(";16" in str(entry) for entry in arguments)


def _tile_arguments(image: Image.Image) -> list[Any]:
    return [tile[3] for tile in getattr(image, "tile", [])]


def _decode_jpeg(image: Image.Image, path: Path) -> Array | None:
    """Decode with simplejpeg: the same library as Pillow's, hence the same pixels, without its copies.

    Unlike Pillow and OpenCV it says what libjpeg warned of: raises ImageError where pixels were made up. None
    where the file may be cut, or is of a rare kind: Pillow tells.
    """
    import simplejpeg  # which translating a single PNG need not wait for

    content = path.read_bytes()
    colours = "GRAY" if image.mode == "L" else "RGB"
    try:
        array = simplejpeg.decode_jpeg(content, colours)
    except ValueError as error:
        if any(words in str(error) for words in _JPEG_SPOILT):
            raise ImageError(f"{path} is damaged: {_reason(error)}.") from error
        if not content.endswith(_JPEG_END):  # only the first warning is told, and the end may lack too
            return None
        try:
            array = simplejpeg.decode_jpeg(content, colours, strict=False)
        except ValueError:
            return None
    return turn(array, _orientation(image))


def _decode_16_bit(image: Image.Image, path: Path) -> Array:
    arguments = _tile_arguments(image)[0]  # before they are decoded
    if image.format == "PNG":
        image.load()  # of damage OpenCV's libpng prints lines of its own
    orientation = _orientation(image)
    array = _opencv(path)
    if array.dtype != np.uint16:
        raise ImageError(f"{path} is damaged, or a kind of 16-bit picture that i2i does not read.")
    if str(arguments).startswith("LA"):
        array = array[:, :, [0, 3]]
    if image.format == "PPM":  # whose largest value stands in its header
        top = max(arguments[1:])
        array = np.rint(array * (65535 / top)).astype(np.uint16)
    return turn(array, orientation)


def _opencv(path: Path) -> Array:
    """Decode a PNG or PPM as stored, in the order RGB."""
    import cv2

    array = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_UNCHANGED)
    if array is None:
        raise ImageError(f"{path} is damaged, or of a kind that i2i does not read.")
    array = array if array.ndim == 3 else array[:, :, None]
    return np.ascontiguousarray(array[:, :, {1: [0], 3: [2, 1, 0], 4: [2, 1, 0, 3]}[array.shape[2]]])


def turn(array: Array, orientation: int) -> Array:
    """Turn and mirror (H, W, C) so that it stands upright, given its EXIF orientation (1 to 8)."""
    if orientation >= 5:
        array = array.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        array = array[:, ::-1]
    if orientation in (3, 4, 7, 8):
        array = array[::-1]
    return np.ascontiguousarray(array)
