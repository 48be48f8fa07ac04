"""PNG, which Pillow writes slowly, and whose 16-bit colours it reduces to 8 bits."""

import io
import struct
import zlib
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, ImageFile

Array = np.ndarray[Any, Any]

_COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}
"""Of PNG, by the number of channels."""
_CRITICAL = (b"IHDR", b"PLTE", b"IDAT", b"IEND")
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""Of an interlaced PNG: the first pixel's x and y, and the distance to the next."""
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_STRIP_BYTES = 1 << 18  # filtered at once: fits into a processor's cache


def encode_png(array: Array) -> bytes:
    """Encode (H, W, 1 to 4) in uint8 or uint16.

    Beside Pillow's default: photographs and noise take the same space, and a quarter of the time. Drawings take twice
    the space.
    """
    height, width, channels = array.shape
    head = struct.pack(">IIBBBBB", width, height, 8 * array.itemsize, _COLOUR_TYPES[channels], 0, 0, 0)
    packed = (chunk(b"IDAT", body) for body in _deflated(_filtered(array)))
    return b"".join([_SIGNATURE, chunk(b"IHDR", head), *packed, chunk(b"IEND", b"")])


def chunk(kind: bytes, body: bytes | memoryview) -> bytes:
    """Return a chunk of a PNG."""
    return b"".join([struct.pack(">I", len(body)), kind, body, struct.pack(">I", zlib.crc32(body, zlib.crc32(kind)))])


def _deflated(pieces: Iterator[Array]) -> Iterator[bytes]:
    packer = zlib.compressobj(1, strategy=zlib.Z_RLE)
    for piece in pieces:
        if body := packer.compress(piece.data):
            yield body
    yield packer.flush()


def _filtered(array: Array) -> Iterator[Array]:
    """Yield rows, some at a time, (N, 1 + bytes) uint8, each by what leaves the least: itself, or differences.

    This is how libpng chooses a filter; of its five, the two that take a loop in C are left out.
    """
    height, width, channels = array.shape
    step, count = channels * array.itemsize, width * channels * array.itemsize
    rows = max(1, _STRIP_BYTES // count)
    above = np.zeros((1, count), np.uint8)
    for top in range(0, height, rows):
        raw = np.ascontiguousarray(array[top : top + rows], ">u2" if array.itemsize == 2 else np.uint8)
        raw = raw.view(np.uint8).reshape(-1, count)
        across, down = raw.copy(), raw.copy()
        across[:, step:] -= raw[:, :-step]
        down[0] -= above[0]
        down[1:] -= raw[:-1]
        above = raw[-1:]
        choices = (raw, across, down)  # filters 0, 1 and 2 of PNG
        # |-128| overflows to -128, which is 128 as an unsigned byte
        sums = [np.abs(one.view(np.int8)).view(np.uint8).sum(axis=1, dtype=np.uint64) for one in choices]
        best = np.argmin(sums, axis=0)
        made = np.empty((len(raw), 1 + count), np.uint8)
        made[:, 0] = best
        for number, choice in enumerate(choices):
            where = best == number
            made[where, 1:] = choice[where]
        yield made


def read_deep_png(image: ImageFile.ImageFile, content: bytes) -> Array:
    """Return RGB or grey with alpha of a 16-bit PNG, (H, W, 2 to 4) uint16, that Pillow has opened from `content`.

    Pillow unpacks the high bytes and, in a second pass, the low ones. Raises SyntaxError and what Pillow raises for a
    damaged file, also where Pillow alone would leave rows black.
    """
    kind = str(image.tile[0].args)
    high = np.asarray(image)  # first, for Pillow's words about damage, and for chunks behind the pixels
    plain = _uncompressed(content, bool(image.info.get("interlace")))
    if kind == "LA;16B":  # four bytes a pixel, as RGB with alpha in 8 bits
        return _unpacked(plain, "RGBA").view(">u2").astype(np.uint16)
    array = high.astype(np.uint16)
    array <<= 8
    array |= _unpacked(plain, f"{image.mode};16L")
    clear = image.info.get("transparency")
    if not isinstance(clear, tuple):
        return array
    alpha = np.where((array == np.array(clear)).all(axis=2, keepdims=True), np.uint16(0), np.uint16(65535))
    return np.concatenate([array, alpha], axis=2)


def _unpacked(plain: BinaryIO, kind: str) -> Array:
    with Image.open(plain, formats=["PNG"]) as image:
        image.tile = [image.tile[0]._replace(args=kind)]
        return np.asarray(image)


def _uncompressed(content: bytes, interlaced: bool) -> BinaryIO:
    """Return a 16-bit PNG with its pixels alone, not compressed; raises SyntaxError or zlib.error for a damaged one."""
    chunks = list(_chunks(content))
    first, head = chunks[0]
    if first != b"IHDR":
        raise SyntaxError("it does not begin with its size")
    width, height = struct.unpack(">II", head[:8])
    step = {colour: 2 * channels for channels, colour in _COLOUR_TYPES.items()}[head[9]]
    sides = ((-(-(width - x) // across), -(-(height - y) // down)) for x, y, across, down in _PASSES)
    parts = sides if interlaced else ((width, height),)
    count = sum(high * (1 + wide * step) for wide, high in parts if wide > 0)
    packed = zlib.decompressobj()
    rows = memoryview(packed.decompress(b"".join(body for kind, body in chunks if kind == b"IDAT"), count))
    if len(rows) < count or not (packed.eof or packed.decompress(packed.unconsumed_tail, 1) or packed.eof):
        raise SyntaxError("it ends before its pixels")
    plain, packer = io.BytesIO(), zlib.compressobj(0)
    plain.write(_SIGNATURE + chunk(b"IHDR", head))
    for start in range(0, count, _STRIP_BYTES):
        plain.write(chunk(b"IDAT", packer.compress(rows[start : start + _STRIP_BYTES])))
    plain.write(chunk(b"IDAT", packer.flush()) + chunk(b"IEND", b""))
    return plain


def _chunks(content: bytes) -> Iterator[tuple[bytes, memoryview]]:
    """Yield the kind and the body of each chunk up to the last, IEND; raises SyntaxError where they are damaged."""
    place, kind, view = len(_SIGNATURE), b"", memoryview(content)
    while kind != b"IEND":
        length, kind = struct.unpack(">I4s", content[place : place + 8].ljust(8, b"\0"))
        end = place + 8 + length
        if len(content) < end + 4:
            raise SyntaxError("it ends before its last chunk")
        name = kind.decode("latin-1")
        if kind not in _CRITICAL and not kind[0] & 32:
            raise SyntaxError(f"it needs the unknown chunk {name!a}")
        if kind != b"IEND" and view[end : end + 4] != struct.pack(">I", zlib.crc32(view[place + 4 : end])):
            raise SyntaxError(f"its chunk {name!a} has a wrong checksum")
        yield kind, view[place + 8 : end]
        place = end + 4
