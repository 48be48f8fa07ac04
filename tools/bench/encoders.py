"""Compare i2i's PNG and the compressions of TIFF with OpenCV's, Pillow's and imagecodecs', in time and space.

    python tools/bench/encoders.py [PHOTO DRAWING]

Pictures of 1024 px from datasets/, in 8 and 16 bits; noise fills the low bits. All sides take turns in this process on
one thread. Prints the median of processor time, and bytes; every result is decoded and compared.
"""

import io
import statistics
import sys
import time
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import cv2
import imagecodecs
import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngImageFile

from i2i.images import Array
from i2i.images.png import encode_png, read_deep_png
from i2i.images.tiff_codecs import deflate, inflate, unpack

ROUNDS = 9
SIDE = 1024
DATASETS = Path(__file__).parents[2] / "datasets"
LZW, ZSTD = 5, 50000
OPTIONS = [cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE]
OPTIONS += [cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FAST_FILTERS]


def times(sides: Mapping[str, Callable[[], Any]]) -> dict[str, tuple[float, Any]]:
    """Call each side in turn; return the median of its processor time in ms, and its last result."""
    spent: dict[str, list[float]] = {name: [] for name in sides}
    results = {}
    for _ in range(ROUNDS):
        for name, call in sides.items():
            before = time.process_time()
            results[name] = call()
            spent[name].append(1000 * (time.process_time() - before))
    return {name: (statistics.median(spent[name]), results[name]) for name in sides}


def by_opencv(content: bytes) -> Array:
    """Decode, in the order RGB."""
    found: Any = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    return found[:, :, ::-1] if found.ndim == 3 else found


def by_pillow(array: Array) -> bytes:
    """Encode at the fastest level that compresses."""
    Image.fromarray(array).save(buffer := io.BytesIO(), "PNG", compress_level=1)
    return buffer.getvalue()


def deep_by_i2i(content: bytes) -> Array:
    """Decode 16-bit colour."""
    with PngImageFile(io.BytesIO(content)) as image:
        return read_deep_png(image, content)


def deep_by_opencv(content: bytes) -> Array:
    """Decode 16-bit colour, after Pillow has looked for damage: what i2i did before."""
    with Image.open(io.BytesIO(content)) as image:
        image.load()
    return np.ascontiguousarray(by_opencv(content))


def print_encoders(name: str, array: Array) -> None:
    """Encode one picture with all that can."""
    reversed_ = np.ascontiguousarray(array[:, :, ::-1])
    sides: dict[str, Callable[[], Any]] = {
        "i2i": lambda: encode_png(array),
        "OpenCV": lambda: cv2.imencode(".png", reversed_, OPTIONS)[1].tobytes(),
        "imagecodecs": lambda: imagecodecs.png_encode(array, level=1, strategy=3, filter=0x08 | 0x10 | 0x20),
    }
    if array.dtype == np.uint8:
        sides["Pillow"] = lambda: by_pillow(array)
    found = times(sides)
    assert all((by_opencv(content) == array).all() for _, content in found.values())
    print(f"encode {name}: " + "; ".join(f"{one} {ms:.1f} ms, {len(data):,}" for one, (ms, data) in found.items()))


def print_unpackers(array: Array) -> None:
    """Unpack the differences of a 16-bit picture, as TIFFs hold them."""
    raw = np.concatenate([array[:, :1], array[:, 1:] - array[:, :-1]], axis=1).tobytes()
    packed: dict[str, Any] = {
        "LZW": imagecodecs.lzw_encode(raw),
        "zstd": imagecodecs.zstd_encode(raw),
        "deflate": zlib.compress(raw),
    }
    ways: dict[str, dict[str, Callable[[], Any]]] = {
        "LZW": {"i2i": lambda: unpack(LZW, packed["LZW"], len(raw))},
        "zstd": {"i2i": lambda: unpack(ZSTD, packed["zstd"], len(raw))},
        "deflate": {"i2i": lambda: inflate(packed["deflate"], len(raw))},
    }
    ways["LZW"]["imagecodecs"] = lambda: imagecodecs.lzw_decode(packed["LZW"], buffersize=len(raw))
    ways["zstd"]["imagecodecs"] = lambda: imagecodecs.zstd_decode(packed["zstd"], out=len(raw))
    ways["deflate"]["imagecodecs"] = lambda: imagecodecs.deflate_decode(packed["deflate"], out=len(raw))
    for name, sides in ways.items():
        found = times(sides)
        assert all(bytes(data) == raw for _, data in found.values())
        print(f"unpack {name}: " + "; ".join(f"{one} {ms:.1f} ms" for one, (ms, _) in found.items()))
    found = times({"i2i": lambda: deflate(raw), "imagecodecs": lambda: imagecodecs.deflate_encode(raw, level=1)})
    print("pack deflate: " + "; ".join(f"{one} {ms:.1f} ms, {len(data):,}" for one, (ms, data) in found.items()))


def main() -> None:
    """Print all comparisons."""
    cv2.setNumThreads(1)
    given = map(Path, sys.argv[1:]) if sys.argv[1:] else (DATASETS / "maps" / "test", DATASETS / "lineart" / "test")
    first = (one if one.is_file() else sorted(one.iterdir())[0] for one in given)
    photo, drawing = (np.asarray(Image.open(one).convert("RGB").resize((SIDE, SIDE))) for one in first)
    low: Any = np.random.default_rng(0).integers(0, 200, photo.shape)
    deep = (photo.astype(np.int64) * 257 + low).clip(0, 65535).astype(np.uint16)
    for name, array in {"photo": photo, "drawing": drawing, "photo of 16 bits": deep}.items():
        print_encoders(name, array)
    content = cv2.imencode(".png", np.ascontiguousarray(deep[:, :, ::-1]), [cv2.IMWRITE_PNG_COMPRESSION, 6])[
        1
    ].tobytes()
    found = times({"i2i": lambda: deep_by_i2i(content), "OpenCV": lambda: deep_by_opencv(content)})
    assert all((array == deep).all() for _, array in found.values())
    print("decode photo of 16 bits: " + "; ".join(f"{one} {ms:.1f} ms" for one, (ms, _) in found.items()))
    print_unpackers(deep)


if __name__ == "__main__":
    main()
