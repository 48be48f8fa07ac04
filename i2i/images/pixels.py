"""Decode a picture that Pillow has opened, with the library that reads its format right.

Pillow decodes most. It silently reduces 16-bit colour in PNG and PPM to 8 bits, unless i2i.images.png and ppm tell it
how. simplejpeg decodes whole JPEGs: Pillow takes twice as long, and hides damage.
"""

import contextlib
import ctypes
import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageFile, _imaging

from i2i.errors import ImageError
from i2i.images.png import Array, read_deep_png
from i2i.images.ppm import read_deep_ppm
from i2i.images.shards import read_file

ORIENTATION = 0x0112
ALPHA_MODES = ("LA", "La", "PA", "RGBA", "RGBa")
"""Modes with alpha."""
_JPEG_END = b"\xff\xd9"
_JPEG_DAMAGE = ("premature end of data", "bad Huffman code", "instead of RST", "Inconsistent progression")
"""Warnings of libjpeg when it makes pixels up. Its other warnings, of stray bytes and odd headers, do no harm."""

# Pillow warns of large sizes, which we check, and of odd tags, which do no harm. Both would clutter our output.
warnings.filterwarnings("ignore", module="PIL")
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
logging.getLogger("PIL").addHandler(logging.NullHandler())
# Pillow silences libtiff's warnings, but not its errors; those that matter raise an exception as well.
with contextlib.suppress(OSError, AttributeError):  # libtiff's functions may be out of reach, built into Pillow
    ctypes.CDLL(_imaging.__file__).TIFFSetErrorHandler(None)


def decode(image: Image.Image, path: Path) -> Array:
    """Return the upright pixels, (H, W, C) as in i2i.images.image, of a picture that Pillow has opened.

    Raises ImageError, and what the decoders raise.
    """
    deep = image.format != "TIFF" and image.mode in ("RGB", "RGBA") and is_16_bit(image)
    if deep and getattr(image, "n_frames", 1) == 1:  # a deep animation is read in 8 bits
        return _decode_16_bit(image, path)
    array = _decode_jpeg(image, path) if image.format == "JPEG" and image.mode in ("L", "RGB") else None
    return _pixels(image, str(path)) if array is None else array


def from_pil(image: Image.Image, name: str) -> Array:
    """Return the pixels of a PIL image, uint8 or uint16. Raises ImageError, which mentions `name`."""
    if image.mode == "F":
        raise ImageError(f"{name} holds 32-bit values; PIL images may have 8 or 16 bits.")
    return _pixels(image, name)


def _pixels(image: Image.Image, name: str) -> Array:
    if image.mode == "I" and image.format != "PPM":
        raise ImageError(
            f"{name} holds signed or 32-bit integers; i2i reads 8 and 16 bits. Save it as 16-bit PNG or TIFF."
        )
    if not all(image.size):
        raise ImageError(f"{name} is empty: {image.width}x{image.height} px. Give at least one pixel.")
    image.load()  # turns a TIFF, too
    orientation = orientation_of(image)
    if image.mode.startswith("I"):
        return turn(_deep_grey(np.asarray(image).astype(np.uint16)[:, :, None], image), orientation)
    has_alpha = "transparency" in image.info or image.mode in ALPHA_MODES
    grey = image.mode in ("1", "L", "LA", "La")
    array = np.asarray(image.convert(("LA" if grey else "RGBA") if has_alpha else ("L" if grey else "RGB")))
    return turn(array[:, :, None] if array.ndim == 2 else array, orientation)


def orientation_of(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 to 8; 1 (upright) where it is damaged or invalid, as viewers do."""
    with contextlib.suppress(Exception):  # parsers raise whatever they like
        found = image.getexif().get(ORIENTATION, 1)
        if found in range(1, 9):
            return int(found)
    return 1


def _deep_grey(array: Array, image: Image.Image) -> Array:
    """Add alpha for the transparent colour of 16-bit grey, which Pillow ignores."""
    if isinstance(image.info.get("transparency"), int):
        clear = array == image.info["transparency"]
        array = np.concatenate([array, np.where(clear, np.uint16(0), np.uint16(65535))], axis=2)
    return array


def is_16_bit(image: Image.Image) -> bool:
    """Whether the samples have 16 bits; Pillow tells only through the decoder's arguments."""
    arguments = _tile_arguments(image)
    if image.format == "BMP":  # 16 bits a pixel, not a sample
        return False
    if image.format == "PPM":
        return any(value > 255 for entry in arguments if isinstance(entry, tuple) for value in entry[1:])
    return any(";16" in str(entry) for entry in arguments)


def _tile_arguments(image: Image.Image) -> list[Any]:
    return [tile[3] for tile in getattr(image, "tile", [])]


def _decode_jpeg(image: Image.Image, path: Path) -> Array | None:
    """Decode with simplejpeg, which uses the same library as Pillow: the same pixels, with fewer copies.

    Unlike Pillow, it reports libjpeg's warnings. Raises ImageError where pixels were made up. Returns None
    where the file may be cut, or is of a rare kind; Pillow then decides.
    """
    import simplejpeg  # translating a single PNG does without

    content = read_file(path)
    colours = "GRAY" if image.mode == "L" else "RGB"
    try:
        array = simplejpeg.decode_jpeg(content, colours)
    except ValueError as error:
        if any(words in str(error) for words in _JPEG_DAMAGE):
            raise ImageError(f"{path} is damaged: {reason_of(error)}.") from error
        if not content.endswith(_JPEG_END):  # only the first warning is reported, and the end may be missing too
            return None
        try:
            array = simplejpeg.decode_jpeg(content, colours, strict=False)
        except ValueError:
            return None
    return turn(array, orientation_of(image))


def _decode_16_bit(image: Image.Image, path: Path) -> Array:
    assert isinstance(image, ImageFile.ImageFile), "only a file has samples of 16 bits in a mode of 8"
    read = read_deep_png if image.format == "PNG" else read_deep_ppm
    array = read(image, read_file(path))
    return turn(array, orientation_of(image))


def turn(array: Array, orientation: int) -> Array:
    """Rotate and mirror (H, W, C) so that it is upright, given its EXIF orientation (1 to 8)."""
    if orientation >= 5:
        array = array.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        array = array[:, ::-1]
    if orientation in (3, 4, 7, 8):
        array = array[::-1]
    return np.ascontiguousarray(array)


def reason_of(error: Exception) -> str:
    """Return a decoder's message as one line."""
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__
