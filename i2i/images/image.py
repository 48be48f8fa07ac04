"""Read and write one picture as an image, and convert images.

An image is an array (H, W, C) in uint8, uint16 or, where stated, float32 in [0, 1]; C is 1 (grey), 2 (grey + alpha), 3
(RGB) or 4 (RGB + alpha). EXIF orientation is already applied.
"""

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from i2i.errors import ImageError, ModelError
from i2i.files import write_bytes
from i2i.images.axes import OME_TIFF
from i2i.images.decode import opened
from i2i.images.encode import Array, encode
from i2i.images.geo import filled, joined, without_data
from i2i.images.label_maps import one_hot
from i2i.images.layout import PICTURE, Layout, to_image
from i2i.images.omezarr import SUFFIX as ZARR
from i2i.images.omezarr_writing import new_zarr, unpack
from i2i.images.source import Header, Source

MAX_PIXELS = 100_000_000
# Suffix to Pillow's format. The content decides how a file is read; the suffix, how it is written.
FORMATS = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jpe": "JPEG",
    ".jfif": "JPEG",
    ".apng": "PNG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".ome.tif": "TIFF",
    ".ome.tiff": "TIFF",
    ".bmp": "BMP",
    ".ppm": "PPM",
    ".pgm": "PPM",
    ".pnm": "PPM",
    ".gif": "GIF",
    ".avif": "AVIF",
    ".npy": "NPY",
    ".npz": "NPZ",
    ".zarr": "ZARR",
    ".ome.zarr": "ZARR",
}
_OTHERS = (
    "arw avi cr2 dds dib dng emf eps exr hdr heic heif hif icns ico j2k jp2 jpf jpx jxl mkv mov mp4 nef pam pbm pcx "
    "pdf pfm psd qoi svg tga webm wmf xcf"
)
UNWRITTEN = frozenset(f".{name}" for name in _OTHERS.split())
"""Suffixes of pictures and videos that i2i does not write."""
DEPTHS = {"PNG": 16, "PPM": 16, "TIFF": 32, "NPY": 32, "NPZ": 32, "ZARR": 32}
_HOLDS_ALPHA = {"PNG", "TIFF", "WEBP", "AVIF", "NPY", "NPZ"}
_HOLDS_BANDS = {"TIFF", "NPY", "NPZ", "ZARR"}
Channels = Literal[1, 3, 4]
"""Channels that a side of a model can have."""
CHANNEL_NAMES = {1: "grey", 2: "grey with alpha", 3: "RGB", 4: "RGB with alpha"}

_LUMA = np.array([19595, 38470, 7471], dtype=np.int64)  # ITU-R BT.601 in 1/65536, the weights Pillow uses


def suffix_of(path: Path) -> str:
    """Return the ending of a name that says how the file is written: that of an OME-TIFF has two parts."""
    name = path.name.lower()
    return next((one for one in OME_TIFF if name.endswith(one)), path.suffix)


class Facts(NamedTuple):
    """What a picture's header says."""

    size: Header
    grey: bool
    deep: bool
    """More than 8 bits, or floats."""
    left_out: int
    """Frames and pages after the first."""
    may_have_alpha: bool
    """Whether the header allows for alpha."""
    nodata: bool = False
    """Whether pixels may be without data."""


def channel_words(channels: int, bands: Sequence[str]) -> str:
    """Return in words what an image consists of."""
    return f"bands ({', '.join(bands)})" if bands else CHANNEL_NAMES[channels]


def read_header(path: Path, max_pixels: int = MAX_PIXELS) -> Header:
    """Return the size of the picture in `path` without decoding it; raises ImageError."""
    with opened(path, max_pixels) as source:
        return source.header


def read_facts(path: Path, max_pixels: int = MAX_PIXELS, layout: Layout = PICTURE) -> Facts:
    """Return what the header of the picture in `path` says; raises ImageError."""
    with opened(path, max_pixels, layout) as source:
        size, left_out, nodata = source.header, 0, layout.nodata is not None
        with contextlib.suppress(Exception):  # damage after the first frame does not matter here
            left_out = source.left_out()
            nodata = nodata or source.place.nodata is not None or source.has_mask
        return Facts(size, source.grey, source.deep, left_out, source.may_have_alpha, nodata)


def read_image(path: Path, max_pixels: int = MAX_PIXELS, layout: Layout = PICTURE) -> Array:
    """Read one picture, or the first frame of several.

    Returns (H, W, C) in uint8 or uint16, as stored, or float32 in [0, 1]. Palettes are resolved, CMYK becomes RGB, and
    EXIF orientation is applied. Pictures keep the channels of the file; bands are as many as `layout` says, and nothing
    is converted. Pixels without data have the mean of the others. Raises ImageError for a file that is missing, broken,
    over `max_pixels`, with another number of bands, outside the range or in another format; and, from a MemoryError,
    when memory runs out.
    """
    return read_masked(path, max_pixels, layout).image


class Masked(NamedTuple):
    """An image, and where its file has no data, (H, W) bool; None: nowhere. There, it holds the mean of the others."""

    image: Array
    blank: Array | None


def read_masked(path: Path, max_pixels: int = MAX_PIXELS, layout: Layout = PICTURE) -> Masked:
    """Read one picture as `read_image` does, and where it has no data."""
    with opened(path, max_pixels, layout) as source:
        return decode_masked(source, layout)


def decode_masked(source: Source, layout: Layout, frame: int = 0) -> Masked:
    """Decode a frame of an open file in the same way."""
    array = layout.taken(source.decode(frame), source.path)
    return as_masked(array, source.path, layout, blank_of(source, array, layout, frame))


def blank_of(source: Source, array: Array, layout: Layout, frame: int = 0) -> Array | None:
    """Return where a frame, (H, W, C) values as stored, has no data by its values or its mask; None: nowhere."""
    nodata = source.place.nodata if layout.nodata is None else float(layout.nodata)
    return joined(without_data(array, nodata), source.missing(frame))


def as_masked(array: Array, path: Path, layout: Layout, blank: Array | None, mean: Array | None = None) -> Masked:
    """Map (H, W, C), values as stored, to an image without what is blank, (H, W) bool; mean: as for `filled`."""
    if layout.values:
        return Masked(one_hot(array, path, layout.values, blank), blank)
    known = array if blank is None else filled(array, blank, layout.black, mean)
    return Masked(to_image(known, path, layout), blank)


def is_transparent(array: Array) -> bool:
    """Whether (H, W, 1 to 4) has alpha that is not full everywhere."""
    return array.shape[2] in (2, 4) and bool(array[:, :, -1].min() < largest(array.dtype))


def to_channels(array: Array, channels: int) -> Array:
    """Convert (H, W, 1 to 4) to (H, W, `channels`) in the same type; `channels` is 1, 3 or 4.

    Alpha that is dropped is composited on white; alpha that is added is full. Grey is BT.601 luma, rounded. Bands,
    which are as many as `channels`, stay as they are; raises ImageError where they are not.
    """
    top = largest(array.dtype)
    count = array.shape[2]
    if count == channels:
        return array
    if count > 4 or channels not in (1, 3, 4):
        raise ImageError(f"An image has {count} channels where {channels} are expected, and bands are not converted.")
    colour, alpha = (array, None) if count in (1, 3) else (array[:, :, :-1], array[:, :, -1:])
    if channels == 4:
        if colour.shape[2] == 1:
            colour = np.repeat(colour, 3, axis=2)
        return np.concatenate([colour, np.full_like(colour[:, :, :1], top) if alpha is None else alpha], axis=2)
    if alpha is not None:
        colour = on_white(colour, alpha)
    if channels == 1 and colour.shape[2] == 3:
        if colour.dtype == np.float32:
            return np.minimum(colour @ (_LUMA / 65536).astype(np.float32), np.float32(1))[:, :, None]
        return ((colour @ _LUMA + 32768) >> 16).astype(array.dtype)[:, :, None]
    if channels == 3 and colour.shape[2] == 1:
        return np.repeat(colour, 3, axis=2)
    return colour


def on_white(colour: Array, alpha: Array) -> Array:
    """Lay straight colours (H, W, 1 or 3) with alpha (H, W, 1) on white; integers are rounded to the nearest level."""
    if colour.dtype == np.float32:
        return colour * alpha + (1 - alpha)
    # 32 bits hold all of this: at most top * top + top / 2.
    top, weight = np.uint32(largest(colour.dtype)), alpha.astype(np.uint32)
    return ((colour * weight + top * (top - weight) + top // 2) // top).astype(colour.dtype)


def off_white(colour: Array, alpha: Array) -> Array:
    """Undo `on_white`: return the straight colours that give `colour` on white with this alpha.

    Both are (H, W, C) of one type. `on_white` of the result is `colour`, exactly so for integers. Where `colour` is
    darker than this alpha allows, the result is black. Where alpha is 0, it is `colour`.
    """
    top, seen = largest(colour.dtype), alpha > 0
    if colour.dtype == np.float32:
        return np.where(seen, np.clip((colour - (1 - alpha)) / np.where(seen, alpha, 1), 0, 1), colour)
    white, weight = np.uint32(top) - alpha, np.maximum(alpha, 1).astype(np.uint32)
    straight = ((np.maximum(colour, white) - white) * np.uint32(top) + weight // 2) // weight
    return np.where(seen, straight.astype(colour.dtype), colour)


def cut_out(image: Array, hole: Array) -> Array:
    """Return an image as RGB with alpha: 0 in the hole, (H, W) bool, and opaque on white elsewhere."""
    colour, top = to_channels(image, 3), largest(image.dtype)
    alpha = np.full_like(colour[:, :, :1], top)
    return np.where(hole[:, :, None], np.zeros(1, colour.dtype), np.concatenate([colour, alpha], axis=2))


def largest(dtype: Any) -> int:
    """Return the value of white: the largest integer of a type, or 1 for float32."""
    return 1 if np.dtype(dtype) == np.float32 else int(np.iinfo(dtype).max)


def to_unit(array: Array, contiguous: bool = True) -> Array:
    """Map (H, W, C), integers by their full range and float32 from [0, 1], to float32 (C, H, W) in [-1, 1].

    contiguous: false leaves channels last in memory, if they are.
    """
    scale, values = np.float32(2.0 / largest(array.dtype)), array.transpose(2, 0, 1)
    values = values.astype(np.float32, order="C" if contiguous else "K")
    values *= scale
    values -= np.float32(1.0)
    return values


def from_unit(values: Array, dtype: Any = np.uint8) -> Array:
    """Map float32 (C, H, W) in [-1, 1] to (H, W, C) as `to_unit` does; clips, and rounds to the nearest level.

    Raises ModelError for NaN and infinity.
    """
    if not np.isfinite(values).all():
        raise ModelError(
            "The model's output holds NaN or infinity: its weights are damaged, or it does not suit this input."
        )
    scaled = (np.clip(values, -1.0, 1.0).astype(np.float32) + np.float32(1.0)) * np.float32(largest(dtype) / 2)
    if np.dtype(dtype) != np.float32:
        scaled = np.rint(scaled).astype(dtype)
    return np.ascontiguousarray(scaled.transpose(1, 2, 0))


def holds(suffix: str, depth: int = 8, channels: int = 3, bands: bool = False) -> bool:
    """Whether the format of a suffix holds all of an image of `depth` bits (32: float) and `channels`, or bands."""
    kind = FORMATS.get(suffix.lower())
    if kind is None or kind == "GIF":  # 256 colours are not enough
        return False
    if bands and channels not in (1, 3):  # two would be grey with alpha, four RGB with alpha
        return kind in _HOLDS_BANDS
    return depth <= DEPTHS.get(kind, 8) and (channels in (1, 3) or kind in _HOLDS_ALPHA)


def write_image(path: Path, array: Array, bands: bool = False) -> None:
    """Write (H, W, C) in uint8, uint16 or float32 to `path`, in the format its suffix names, atomically.

    bands: whether channels are bands, and not colours and alpha.
    Raises ImageError if i2i does not write the format, or it cannot hold the channels or depth.
    """
    depth, channels = array.dtype.itemsize * 8, array.shape[2]
    if not holds(path.suffix, depth, channels, bands):
        what, other = (f"{channels} bands", ".tif") if bands else (CHANNEL_NAMES[channels], ".png")
        raise ImageError(f"{path}: {path.suffix or 'no suffix'} cannot hold {what} in {depth} bits. Use {other}.")
    content = encode([array], FORMATS[path.suffix.lower()], bands=bands)
    try:
        write_file(path, content)
    except OSError as error:
        raise ImageError(f"{path} cannot be written: {error.strerror or error}.") from error


def write_file(path: Path, content: bytes, sync: bool = True) -> None:
    """Write an encoded picture, atomically, and replace what is there; sync: as in `atomic_write`.

    Raises OSError, and ImageError for an OME-Zarr in place of a folder that is none.
    """
    if path.suffix.lower() != ZARR:
        write_bytes(path, content, sync)
        return
    with new_zarr(path, sync) as folder:
        unpack(content, folder)
