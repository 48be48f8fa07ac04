"""PNG as i2i writes it, and 16-bit colour in PNG and PPM, beside what OpenCV makes of the same files."""

import io
import itertools
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from i2i.errors import ImageError
from i2i.images import encode, read_image
from i2i.images.png import chunk, encode_png
from tests.conftest import picture

ORDER = {1: [0], 3: [2, 1, 0], 4: [2, 1, 0, 3]}
FILTERS = [0x08, 0x10, 0x20, 0x40, 0x80]  # as libpng numbers those of PNG
PASSES = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]


def by_opencv(content):
    found = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    found = found.reshape(*found.shape[:2], -1)
    return found[:, :, ORDER[found.shape[2]]]


def png_of(array, colour_type, interlaced=False, before=b"", after=b"", packed=None):
    """A PNG of 16 bits, unfiltered; packed: its compressed rows, if they are not those of the array."""
    height, width = array.shape[:2]
    parts = [array[y::down, x::across] for x, y, across, down in PASSES] if interlaced else [array]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for part in parts if part.size for row in part)
    head = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, interlaced)
    body = before + chunk(b"IDAT", zlib.compress(rows) if packed is None else packed(rows)) + after
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + body + chunk(b"IEND", b"")


def read(folder, content, suffix=".png"):
    (folder / f"a{suffix}").write_bytes(content)
    return read_image(folder / f"a{suffix}")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("sides", [(1, 1), (1, 300), (300, 1), (33, 47), (700, 301)])
def test_what_is_written_is_what_others_read(tmp_path, sides, channels, dtype):
    array = picture(*sides, channels, dtype) if channels != 2 else picture(*sides, 3, dtype)[:, :, :2]
    content = encode_png(array)
    expected = array if channels != 2 else array[:, :, [0, 0, 0, 1]]
    np.testing.assert_array_equal(by_opencv(content), expected)
    np.testing.assert_array_equal(read(tmp_path, content), array)
    with Image.open(io.BytesIO(content)) as image:
        seen = np.asarray(image)
    if dtype == np.uint8:
        np.testing.assert_array_equal(seen.reshape(array.shape), array)


def test_rows_are_filtered_by_what_suits_them():
    """As small as by OpenCV with the same filters; the same rows without filters are several times as large."""
    rng = np.random.default_rng(0)
    across = np.cumsum(rng.integers(-2, 3, (400, 400, 3)), axis=1)
    array = np.concatenate([across, across.transpose(1, 0, 2)]).astype(np.uint8)
    options = [cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE]
    theirs = [
        len(cv2.imencode(".png", array[:, :, ::-1], [*options, cv2.IMWRITE_PNG_FILTER, kind])[1])
        for kind in (cv2.IMWRITE_PNG_FAST_FILTERS, cv2.IMWRITE_PNG_FILTER_NONE)
    ]
    ours = len(encode_png(array))
    print(f"{ours:,} bytes, by OpenCV {theirs[0]:,}, without filters {theirs[1]:,}")
    assert ours < 1.01 * theirs[0]
    assert ours < 0.5 * theirs[1]


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("kind", FILTERS)
def test_every_filter_of_16_bits_is_read(tmp_path, kind, channels):
    array = picture(40, 31, channels, np.uint16)
    content = cv2.imencode(".png", array[:, :, ORDER[channels]], [cv2.IMWRITE_PNG_FILTER, kind])[1].tobytes()
    np.testing.assert_array_equal(read(tmp_path, content), array)


@pytest.mark.parametrize(("colour_type", "channels"), [(2, 3), (4, 2), (6, 4)])
@pytest.mark.parametrize("sides", [(1, 1), (2, 3), (5, 4), (37, 23)])
def test_interlaced_16_bits_are_read(tmp_path, sides, colour_type, channels):
    array = picture(*sides, 4, np.uint16)[:, :, :channels]
    content = png_of(array, colour_type, interlaced=True)
    np.testing.assert_array_equal(read(tmp_path, content), array)
    np.testing.assert_array_equal(read(tmp_path, content), read(tmp_path, png_of(array, colour_type)))


@pytest.mark.parametrize("interlaced", [False, True])
def test_damaged_16_bits_are_refused_wherever_they_end_or_change(tmp_path, interlaced):
    """Pillow alone takes some. A changed byte is harmless in the last checksum alone, of no bytes."""
    array = picture(9, 7, 3, np.uint16)
    content = png_of(array, 2, interlaced, before=chunk(b"tEXt", b"Author\0me"))
    taken = 0
    for end in range(len(content) - 4):
        with pytest.raises(ImageError):
            read(tmp_path, content[:end])
        try:
            with Image.open(io.BytesIO(content[:end])) as image:
                image.load()
            taken += 1
        except (OSError, SyntaxError):
            pass
    print(f"Pillow alone reads {taken} of {len(content) - 4} cut files.")
    assert taken > 5
    read_anyway = []
    for place in range(len(content)):
        changed = bytearray(content)
        changed[place] ^= 0x15
        try:
            np.testing.assert_array_equal(read(tmp_path, bytes(changed)), array)
            read_anyway.append(place)
        except ImageError:
            pass
    assert all(place >= len(content) - 4 for place in read_anyway)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"packed": lambda rows: zlib.compress(rows[:-1])}, "truncated|ends before its pixels"),
        ({"packed": lambda rows: zlib.compress(rows)[:-4]}, "ends before its pixels"),
        ({"packed": lambda rows: zlib.compress(b"\x09" + rows[1:])}, "damaged"),
        ({"before": chunk(b"ABCD", b"")}, "needs the unknown chunk 'ABCD'"),
        ({"packed": lambda rows: zlib.compress(rows + b"more")}, ""),
        ({"before": chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(5_000_000)))}, "too large"),
        ({"before": chunk(b"tEXt", b"a\0b"), "after": chunk(b"abCd", b"x")}, ""),
    ],
)
def test_odd_16_bit_files_are_read_or_named(tmp_path, changes, words):
    array = picture(9, 7, 3, np.uint16)
    content = png_of(array, 2, **changes)
    if words:
        with pytest.raises(ImageError, match=words):
            read(tmp_path, content)
    else:
        np.testing.assert_array_equal(read(tmp_path, content), array)


@pytest.mark.parametrize(("largest", "plain"), [*itertools.product([256, 1000, 4095, 65535], [False, True])])
def test_ppm_of_any_depth(tmp_path, largest, plain):
    values = picture(7, 5, 3, np.uint16).astype(np.int64) * largest // 65535
    head = f"P{3 if plain else 6}\n# made by hand\n5 7\n{largest}\n".encode()
    body = " ".join(map(str, values.ravel())).encode() if plain else values.astype(">u2").tobytes()
    array = read(tmp_path, head + body, ".ppm")
    assert array.dtype == np.uint16
    np.testing.assert_array_equal(array, np.rint(values * (65535 / largest)))
    if largest == 65535 and not plain:
        np.testing.assert_array_equal(array, by_opencv(head + body))


@pytest.mark.parametrize("channels", [1, 3])
def test_a_deep_ppm_is_that_of_opencv(channels):
    array = picture(7, 5, channels, np.uint16)
    suffix = ".pgm" if channels == 1 else ".ppm"
    written = cv2.imencode(suffix, array[:, :, ORDER[channels]])[1].tobytes()
    assert encode.encode([array], "PPM") == written


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"P6\n5 7\n65535\n", "ends before its pixels"),
        (b"P6\n5 7\n65535\n" + bytes(100), "ends before its pixels"),
        (b"P3\n2 1\n1000\n1 2 3 4 5", "ends before its pixels"),
        (b"P3\n2 1\n1000\n1 2 3 4 5 1001", "outside 0 to 1000"),
        (b"P3\n2 1\n1000\n1 2 3 4 5 -6", "outside"),
        (b"P3\n2 1\n1000\n1 2 3 4 5 x", "damaged"),
    ],
)
def test_damaged_deep_ppm_is_named(tmp_path, content, words):
    with pytest.raises(ImageError, match=words):
        read(tmp_path, content, ".ppm")
