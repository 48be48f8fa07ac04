"""The pixels of a picture that Pillow has opened, by the library that decodes its kind right.

Pillow decodes most. 16-bit colour of PNG and PPM, which Pillow silently makes 8-bit, goes through OpenCV, whole JPEGs,
which take twice as long and hide damage there, through simplejpeg.
"""

import contextlib
import ctypes
import logging
import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, _imaging

from i2i.errors import ImageError
from i2i.images.encode import Array

ORIENTATION = 0x0112
SEE_THROUGH = ("LA", "La", "PA", "RGBA", "RGBa")
"""Modes with alpha."""
_JPEG_END = b"\xff\xd9"
_JPEG_SPOILT = ("premature end of data", "bad Huffman code", "instead of RST", "Inconsistent progression")
"""What libjpeg warns of when it makes pixels up; of stray bytes and odd headers it warns too, of whole pictures."""

# What Pillow warns of, large sizes and odd tags, we check or can do without; it would stand between our lines.
warnings.filterwarnings("ignore", module="PIL")
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
logging.getLogger("PIL").addHandler(logging.NullHandler())
os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")  # read when OpenCV is loaded, which is later
# Pillow silences its libtiff's warnings, but not the errors, which come with an exception where they matter.
with contextlib.suppress(OSError, AttributeError):  # libtiff's functions may be out of reach, built into Pillow
    ctypes.CDLL(_imaging.__file__).TIFFSetErrorHandler(None)


def decode(image: Image.Image, path: Path) -> Array:
    """Return the pixels of a picture that Pillow has opened, (H, W, C) as `images` describes them; upright.

    Raises ImageError, and what the decoders raise.
    """
    whole = getattr(image, "n_frames", 1) == 1  # a deep animation is read in 8 bits
    if image.format != "TIFF" and whole and image.mode in ("RGB", "RGBA") and is_16_bit(image):
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
    orientation = orientation_of(image)
    if image.mode.startswith("I"):
        return turn(_deep_grey(np.asarray(image).astype(np.uint16)[:, :, None], image), orientation)
    see_through = "transparency" in image.info or image.mode in SEE_THROUGH
    grey = image.mode in ("1", "L", "LA", "La")
    array = np.asarray(image.convert(("LA" if grey else "RGBA") if see_through else ("L" if grey else "RGB")))
    return turn(array[:, :, None] if array.ndim == 2 else array, orientation)


def orientation_of(image: Image.Image) -> int:
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


def is_16_bit(image: Image.Image) -> bool:
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
            raise ImageError(f"{path} is damaged: {reason_of(error)}.") from error
        if not content.endswith(_JPEG_END):  # only the first warning is told, and the end may lack too
            return None
        try:
            array = simplejpeg.decode_jpeg(content, colours, strict=False)
        except ValueError:
            return None
    return turn(array, orientation_of(image))


def _decode_16_bit(image: Image.Image, path: Path) -> Array:
    arguments = _tile_arguments(image)[0]  # before they are decoded
    if image.format == "PNG":
        image.load()  # of damage OpenCV's libpng prints lines of its own
    orientation = orientation_of(image)
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


def reason_of(error: Exception) -> str:
    """Return what a decoder said, as one line."""
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__
