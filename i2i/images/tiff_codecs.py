"""tifffile, with the common compressions that it reads only with imagecodecs, a package of 82 MB.

Without that, Pillow's libtiff unpacks LZW, PackBits and zstd, Python deflate and LZMA, and numpy undoes the predictor
of floats. Rare kinds, such as JPEG 2000 and packed 12 bits, take the extra `tiff`.
"""

import functools
import importlib.util
import io
import struct
import sys
import zlib
from collections import ChainMap
from pathlib import Path
from typing import Any

import numpy as np
from PIL.TiffImagePlugin import TiffImageFile

from i2i.errors import ImageError
from i2i.images.png import Array
from i2i.version import DISTRIBUTION

_LZW, _PACKBITS, _LZMA, _ZSTD = 5, 32773, 34925, 50000
_DEFLATE = (8, 32946)  # the second is older, and the same
_FLOAT_PREDICTOR = 3


@functools.cache
def load_tifffile() -> Any:
    """Return the module tifffile, which reads and writes the common compressions."""
    import tifffile

    if not has_imagecodecs():
        tables: Any = tifffile.TIFF
        kinds = (_LZW, _PACKBITS, *((_ZSTD,) if _pillow_reads_zstd() else ()))
        unpackers = {kind: functools.partial(unpack, kind) for kind in kinds}
        bounded = {**dict.fromkeys(_DEFLATE, inflate), _LZMA: unpack_lzma}
        tables.DECOMPRESSORS = ChainMap({**unpackers, **bounded}, tables.DECOMPRESSORS)
        tables.UNPREDICTORS = ChainMap({_FLOAT_PREDICTOR: undo_float_predictor}, tables.UNPREDICTORS)
        tables.COMPRESSORS = ChainMap({_DEFLATE[0]: deflate}, tables.COMPRESSORS)
    return tifffile


def can_unpack(compression: int) -> bool:
    """Whether strips and tiles of this compression can be read here."""
    if compression == _ZSTD and not has_imagecodecs():  # tifffile lists it, but reads it from Python 3.14 on
        return _pillow_reads_zstd() or sys.version_info >= (3, 14)
    return compression == 1 or compression in load_tifffile().TIFF.DECOMPRESSORS


@functools.cache
def _pillow_reads_zstd() -> bool:
    """Whether Pillow's libtiff was built with zstd, as in its wheels from 12 on."""
    try:
        return unpack(_ZSTD, b"\x28\xb5\x2f\xfd\x20\x01\x09\0\0\0", 1) == b"\0"  # one byte, stored
    except OSError:
        return False


def has_imagecodecs() -> bool:
    """Whether the extra `tiff` is installed."""
    return importlib.util.find_spec("imagecodecs") is not None


def unreadable(path: Path, what: str, instead: str, known: bool = True) -> ImageError:
    """Return the error for a way of storing pixels that is not read; known: whether imagecodecs may know it."""
    if has_imagecodecs() or not known:
        return ImageError(f"{path} {what}, which i2i does not read. Save it {instead}.")
    run = f"pip install '{DISTRIBUTION}[tiff]'"
    return ImageError(f"{path} {what}, which needs imagecodecs. Run: {run}\nOr save the picture {instead}.")


def unpack(compression: int, data: bytes, out: int) -> bytes:
    """Return the `out` bytes of a strip or tile; raises what Pillow raises for damage.

    These compressions work on bytes, so that one row of a grey picture holds them, whatever they stand for.
    """
    # width, height, bits, compression, black is 0, where the strip is, samples, rows a strip, bytes of the strip
    values = {256: out, 257: 1, 258: 8, 259: compression, 262: 1, 273: 0, 277: 1, 278: 1, 279: len(data)}
    values[273] = 8 + 2 + 12 * len(values) + 4
    tags = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in values.items())
    head = b"II*\0" + struct.pack("<IH", 8, len(values)) + tags + struct.pack("<I", 0)
    with TiffImageFile(io.BytesIO(head + data)) as image:
        return image.tobytes()


def inflate(data: bytes, out: int) -> bytes:
    """Return at most `out` bytes: tifffile alone would unpack gigabytes; raises ValueError or zlib.error."""
    return _bounded(zlib.decompressobj(), data, out)


def unpack_lzma(data: bytes, out: int) -> bytes:
    """Return at most `out` bytes; raises ValueError or lzma.LZMAError."""
    import lzma

    return _bounded(lzma.LZMADecompressor(), data, out)


def _bounded(unpacker: Any, data: bytes, out: int) -> bytes:
    found: bytes = unpacker.decompress(data, out + 1)
    if len(found) > out or not unpacker.eof:
        raise ValueError(f"a strip or tile of {out:,} bytes unpacks to {'more' if len(found) > out else 'less'}")
    return found


def deflate(data: bytes | Array, level: int = 1) -> bytes:
    """Compress as i2i compresses PNG: at this level, run lengths take half the time and about the same space."""
    packer = zlib.compressobj(level, strategy=zlib.Z_RLE)
    return packer.compress(data if isinstance(data, bytes) else data.tobytes()) + packer.flush()


def undo_float_predictor(data: Array, axis: int, out: Array) -> Array:
    """Return floats, (..., W, S), from rows of differences of bytes, the first bytes of all samples first."""
    assert axis == -2, "predictors go along rows"
    size, (width, samples) = data.itemsize, data.shape[-2:]
    steps = np.ascontiguousarray(data).view(np.uint8).reshape(-1, size * width, samples)
    planes = np.cumsum(steps, axis=1, dtype=np.uint8).reshape(-1, size, width * samples)
    return np.ascontiguousarray(planes.transpose(0, 2, 1)).view(f">f{size}").astype(data.dtype).reshape(data.shape)
