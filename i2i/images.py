"""One picture, from a file to an array and back.

Pictures are arrays of shape (H, W, C), C = 1 (grey), 2 (grey + alpha), 3 (RGB) or 4 (RGB + alpha),
uint8 or uint16, already turned as EXIF says. Pillow reads them, except for 16-bit files with more
than one channel, which Pillow silently makes 8-bit, and whole JPEGs, which take twice as long there:
those go through OpenCV, after Pillow has checked the header, since OpenCV has no guard against
pictures that decode to gigabytes.
"""

import io
import stat
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from i2i.errors import ImageError
from i2i.files import write_bytes

Array = np.ndarray[Any, Any]

MAX_PIXELS = 100_000_000
# Suffix to Pillow's format. The content decides how a file is read; the suffix, how it is written.
FORMATS = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".bmp": "BMP",
    ".ppm": "PPM",
    ".pgm": "PPM",
    ".gif": "GIF",
}
CHANNEL_NAMES = {1: "grey", 2: "grey with alpha", 3: "RGB", 4: "RGB with alpha"}

_ORIENTATION = 0x0112
_JPEG_END = b"\xff\xd9"
_LUMA = np.array([19595, 38470, 7471], dtype=np.int64)  # ITU-R BT.601 in 1/65536, the weights Pillow uses
_HOLDS_16_BIT = {"PNG", "TIFF", "PPM"}
_HOLDS_ALPHA = {"PNG", "TIFF", "WEBP"}

# Our own check comes first and raises; Pillow's warning at half its limit would only be noise beside it.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


class Header(NamedTuple):
    """What a file says of its picture before it is decoded; sides in pixels, as shown (EXIF turn applied)."""

    height: int
    width: int


def is_picture(path: Path) -> bool:
    """Whether the name says that the file is a picture we read; hidden files are not."""
    return path.suffix.lower() in FORMATS and not path.name.startswith(".")


def list_pictures(folder: Path) -> list[Path]:
    """Return the pictures under `folder` by name, sorted so that every file system gives one order."""
    return sorted(
        (path for path in folder.rglob("*") if is_picture(path) and not path.is_dir()), key=lambda path: path.as_posix()
    )


def read_header(path: Path, max_pixels: int = MAX_PIXELS) -> Header:
    """Return the size of the picture in `path` without decoding it; raises ImageError."""
    with _open(path, max_pixels) as image:
        width, height = image.size
        # A PNG's getexif() decodes the whole file to look behind the pixels; what stands before them is enough here.
        known = image.format != "PNG" or "exif" in image.info
        # Pillow swaps the sides of a turned TIFF itself.
        if known and image.format != "TIFF" and image.getexif().get(_ORIENTATION, 1) >= 5:
            width, height = height, width
    return Header(height, width)


def read_image(path: Path, max_pixels: int = MAX_PIXELS) -> Array:
    """Read one picture, or the first frame of several.

    Returns (H, W, C) in uint8 or uint16, as the file has it; palettes are resolved, CMYK becomes RGB,
    the EXIF turn is applied. Raises ImageError for what is missing, broken, over `max_pixels`, or of a
    kind that does not map to 8 or 16 bits; and, from a MemoryError, where memory runs out.
    """
    with _open(path, max_pixels) as image:
        try:
            return _decode(image, path)
        except ImageError:
            raise
        except MemoryError as error:
            raise ImageError(f"{path}: not enough memory to decode {image.width}x{image.height} pixels.") from error
        except Exception as error:  # decoders raise whatever they like on broken files
            raise ImageError(f"{path} is damaged: {_reason(error)}.") from error


def _open(path: Path, max_pixels: int) -> Image.Image:
    """Open a regular file as a picture of an allowed format and size; nothing is decoded yet."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # a FIFO would block for ever
            raise ImageError(f"{path} is not a regular file.")
        if status.st_size == 0:
            raise ImageError(f"{path} is empty (0 bytes).")
        image = Image.open(path, formats=sorted(set(FORMATS.values())))
    except FileNotFoundError:
        raise ImageError(f"{path} does not exist.") from None
    except PermissionError:
        raise ImageError(f"{path} cannot be read: permission denied.") from None
    except UnidentifiedImageError:
        kinds = ", ".join(sorted(set(FORMATS.values())))
        raise ImageError(f"{path} is not a picture of a kind that i2i reads ({kinds}).") from None
    except Image.DecompressionBombError:
        raise ImageError(f"{path} is over the limit of {max_pixels:,} pixels.") from None
    except ImageError:
        raise
    except MemoryError as error:
        raise ImageError(f"{path}: not enough memory to read its header.") from error
    except Exception as error:  # header parsers raise whatever they like on broken files
        raise ImageError(f"{path} is damaged: {_reason(error)}.") from error
    if image.width * image.height > max_pixels:
        image.close()
        size = f"{image.width}x{image.height}"
        raise ImageError(f"{path} is {size}, over the limit of {max_pixels:,} pixels.")
    return image


def _reason(error: Exception) -> str:
    return str(error).strip().rstrip(".") or type(error).__name__


def _decode(image: Image.Image, path: Path) -> Array:
    if _is_16_bit(image) and not image.mode.startswith("I"):
        return _decode_16_bit(image, path)
    array = _decode_jpeg(image, path) if image.format == "JPEG" and image.mode in ("L", "RGB") else None
    return from_pil(image, str(path)) if array is None else array


def from_pil(image: Image.Image, name: str) -> Array:
    """Return the pixels of a PIL image as `read_image` does; errors speak of `name`. Raises ImageError."""
    if image.mode == "F" or (image.mode == "I" and image.format != "PPM"):
        raise ImageError(f"{name} holds 32-bit values; i2i reads 8 and 16 bits. Save it as 16-bit PNG or TIFF.")
    turned = ImageOps.exif_transpose(image)
    if turned.mode.startswith("I"):
        return np.asarray(turned).astype(np.uint16)[:, :, None]
    see_through = "transparency" in turned.info or turned.mode in ("LA", "La", "PA", "RGBA", "RGBa")
    grey = turned.mode in ("1", "L", "LA", "La")
    turned = turned.convert(("LA" if grey else "RGBA") if see_through else ("L" if grey else "RGB"))
    array = np.asarray(turned)
    return array[:, :, None] if array.ndim == 2 else array


def to_pil(array: Array) -> Image.Image:
    """Return (H, W, C) uint8 as a PIL image."""
    return Image.fromarray(array[:, :, 0] if array.shape[2] == 1 else array)


def _is_16_bit(image: Image.Image) -> bool:
    """Whether the samples have 16 bits; Pillow tells only through the decoder's arguments."""
    if image.mode.startswith("I"):
        return True
    arguments = [tile[3] for tile in getattr(image, "tile", [])]
    if image.format == "PPM":
        return any(value > 255 for entry in arguments if isinstance(entry, tuple) for value in entry[1:])
    return any(";16" in str(entry) for entry in arguments)


def _decode_jpeg(image: Image.Image, path: Path) -> Array | None:
    """Decode with OpenCV: the same library as Pillow's, hence the same pixels, without its copies.

    None where the file does not end as a JPEG does: OpenCV may fill what is missing with grey, Pillow says so.
    """
    import cv2  # 0.1 s, which translating a single PNG need not wait for

    content = path.read_bytes()
    if not content.endswith(_JPEG_END):
        return None
    colours = cv2.IMREAD_GRAYSCALE if image.mode == "L" else cv2.IMREAD_COLOR_RGB
    array = cv2.imdecode(np.frombuffer(content, np.uint8), colours | cv2.IMREAD_IGNORE_ORIENTATION)
    if array is None:
        return None
    return turn(array.reshape(*array.shape[:2], -1), image.getexif().get(_ORIENTATION, 1))


def _decode_16_bit(image: Image.Image, path: Path) -> Array:
    import cv2

    orientation = image.getexif().get(_ORIENTATION, 1)
    array = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_UNCHANGED)
    if array is None or array.dtype != np.uint16:
        raise ImageError(f"{path} is damaged, or a kind of 16-bit picture that i2i does not read.")
    if array.ndim == 2:
        array = array[:, :, None]
    order = {1: [0], 3: [2, 1, 0], 4: [2, 1, 0, 3]}[array.shape[2]]
    array = array[:, :, order]
    if image.format == "PPM":  # whose largest value stands in its header
        top = max(value for tile in getattr(image, "tile", []) for value in tile[3][1:])
        array = np.rint(array * (65535 / top)).astype(np.uint16)
    return turn(array, orientation)


def turn(array: Array, orientation: int) -> Array:
    """Turn and mirror (H, W, C) so that it stands upright, given its EXIF orientation (1 to 8)."""
    if orientation >= 5:
        array = array.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        array = array[:, ::-1]
    if orientation in (3, 4, 7, 8):
        array = array[::-1]
    return np.ascontiguousarray(array)


def to_channels(array: Array, channels: int) -> Array:
    """Bring (H, W, 1..4) to (H, W, `channels`), `channels` 1, 3 or 4, in the same integer type.

    Alpha is composited on white where it is not asked for, and full where it is missing. Grey is
    BT.601 luma, rounded.
    """
    top = int(np.iinfo(array.dtype).max)
    count = array.shape[2]
    colour, alpha = (array, None) if count in (1, 3) else (array[:, :, :-1], array[:, :, -1:])
    if channels == 4:
        if colour.shape[2] == 1:
            colour = np.repeat(colour, 3, axis=2)
        return np.concatenate([colour, np.full_like(colour[:, :, :1], top) if alpha is None else alpha], axis=2)
    if alpha is not None:
        weight = alpha.astype(np.int64)
        colour = ((colour * weight + top * (top - weight) + top // 2) // top).astype(array.dtype)
    if channels == 1 and colour.shape[2] == 3:
        return ((colour @ _LUMA + 32768) >> 16).astype(array.dtype)[:, :, None]
    if channels == 3 and colour.shape[2] == 1:
        return np.repeat(colour, 3, axis=2)
    return colour


def to_unit(array: Array) -> Array:
    """Map integers (H, W, C) by their full range to float32 (C, H, W) in [-1, 1]."""
    scale = np.float32(2.0 / np.iinfo(array.dtype).max)
    return np.ascontiguousarray(array.transpose(2, 0, 1), dtype=np.float32) * scale - np.float32(1.0)


def from_unit(values: Array, dtype: Any = np.uint8) -> Array:
    """Map float32 (C, H, W) in [-1, 1] to integers (H, W, C); clips, and rounds to the nearest level."""
    top = float(np.iinfo(dtype).max)
    scaled = (np.clip(values, -1.0, 1.0).astype(np.float32) + np.float32(1.0)) * np.float32(top / 2)
    return np.ascontiguousarray(np.rint(scaled).astype(dtype).transpose(1, 2, 0))


def holds(suffix: str, depth: int = 8, channels: int = 3) -> bool:
    """Whether i2i can write pictures of `depth` bits and so many channels, whole, under a suffix."""
    kind = FORMATS.get(suffix.lower())
    if kind is None or kind == "GIF":  # 256 colours hold no picture whole
        return False
    return (depth == 8 or kind in _HOLDS_16_BIT) and (channels in (1, 3) or kind in _HOLDS_ALPHA)


def write_image(path: Path, array: Array) -> None:
    """Write (H, W, C) in uint8 or uint16 to `path`, in the format its suffix names, atomically.

    Raises ImageError when the format is not one that i2i writes or cannot hold the channels or depth.
    """
    depth, channels = array.dtype.itemsize * 8, array.shape[2]
    if not holds(path.suffix, depth, channels):
        raise ImageError(
            f"{path}: {path.suffix or 'no suffix'} cannot hold {CHANNEL_NAMES[channels]} in {depth} bits. Use .png."
        )
    content = encode(array, FORMATS[path.suffix.lower()])
    try:
        write_bytes(path, content)
    except OSError as error:
        raise ImageError(f"{path} cannot be written: {error.strerror or error}.") from error


def encode(array: Array, kind: str) -> bytes:
    """Encode (H, W, C) as a file of `kind` (Pillow's name): JPEG and WebP at quality 95, the rest lossless."""
    if kind in ("PNG", "TIFF") or array.dtype == np.uint16:
        suffix = ".pgm" if kind == "PPM" and array.shape[2] == 1 else f".{kind.lower()}"
        return _encode_opencv(array, suffix)
    image = to_pil(array)
    options: dict[str, Any] = {"JPEG": {"quality": 95, "subsampling": 0}, "WEBP": {"quality": 95}}.get(kind, {})
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def _encode_opencv(array: Array, suffix: str) -> bytes:
    """Encode with OpenCV, whose PNG is five times as fast as Pillow's and, unlike it, holds 16-bit RGB."""
    import cv2

    if array.shape[2] == 2:
        array = to_channels(array, 4)
    order = {1: [0], 3: [2, 1, 0], 4: [2, 1, 0, 3]}[array.shape[2]]
    done, buffer = cv2.imencode(suffix, np.ascontiguousarray(array[:, :, order]))
    assert done, f"OpenCV could not encode {array.shape} {array.dtype} as {suffix}"
    return buffer.tobytes()
