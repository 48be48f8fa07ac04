"""TIFF without imagecodecs: the common compressions give the same pixels, and the others are named."""

import itertools
import json
import lzma
import subprocess
import sys
import zlib
from unittest.mock import Mock

import imagecodecs
import numpy as np
import pytest
import tifffile

from i2i.errors import ImageError
from i2i.images import read_image, tiff_codecs, write_image
from i2i.images.tiff_codecs import deflate, inflate, undo_float_predictor, unpack, unpack_lzma
from i2i.version import DISTRIBUTION
from tests.conftest import picture

CHILD = """
import hashlib, json, pathlib, sys

sys.modules["imagecodecs"] = None  # as if it were not installed
from i2i.errors import ImageError
from i2i.errors import ImageError
from i2i.images import read_image, tiff_codecs, write_image
from i2i.images.decode import opened
from i2i.images.windows import Windows

folder, found = pathlib.Path(sys.argv[1]), {}
for path in sorted(folder.glob("*.tif")):
    try:
        image = read_image(path)
        found[path.name] = [str(image.dtype), hashlib.sha256(image.tobytes()).hexdigest()]
        write_image(folder / "written" / path.name, image)
        with opened(path, 10**8) as source:
            whole = slice(0, source.header.height), slice(0, source.header.width)
            assert (Windows(source, sys.modules["i2i.images.layout"].PICTURE).image(*whole).image == image).all()
    except ImageError as error:
        found[path.name] = str(error)
print(json.dumps(found))
"""
COMMON = ["zlib", "lzw", "packbits", "zstd", "lzma"]
RARE = {"jpeg2000": np.uint16, "jpegxr": np.uint16, "lerc": np.uint16, "jpegxl": np.uint16}
LZW, PACKBITS, ZSTD = 5, 32773, 50000


def without_imagecodecs(folder):
    """What reading each file of a folder gives where imagecodecs is missing: the type and a digest, or a message."""
    (folder / "written").mkdir()
    done = subprocess.run([sys.executable, "-c", CHILD, folder], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_common_layouts_are_read_and_written_alike(tmp_path):
    """Windows too, value for value; rare ones name the extra, and are read with it."""
    arrays = {}
    kinds = (np.uint8, np.uint16, np.float16, np.float32, np.float64)
    for dtype, compression, order, parts in itertools.product(
        kinds, COMMON, "<>", ({"rowsperstrip": 9}, {"tile": (32, 16)})
    ):
        for predictor in (None, 2, 3) if np.issubdtype(dtype, np.floating) else (None, 2):
            deep = picture(37, 29, 3, np.uint16)
            array = (deep / 65535).astype(dtype) if np.dtype(dtype).kind == "f" else deep.astype(dtype)
            name = f"{np.dtype(dtype)}_{compression}_{predictor}_{order == '<'}_{'tile' in parts}.tif"
            options = {"photometric": "rgb", "compression": compression, "predictor": predictor, "byteorder": order}
            try:
                tifffile.imwrite(tmp_path / name, array, metadata=None, **options, **parts)
            except ValueError:  # a predictor that tifffile does not write
                continue
            arrays[name] = read_image(tmp_path / name)
    for compression, dtype in RARE.items():
        options = {"photometric": "rgb", "compression": compression, "metadata": None}
        tifffile.imwrite(tmp_path / f"rare_{compression}.tif", picture(37, 29, 3, dtype), **options)
    tifffile.imwrite(tmp_path / "rare_12.tif", picture(37, 29, 1, np.uint16)[:, :, 0] >> 4, bitspersample=12)
    assert len(arrays) > 120
    found = without_imagecodecs(tmp_path)
    rare = {name: message for name, message in found.items() if name.startswith("rare_")}
    assert len(rare) == len(RARE) + 1
    for name, message in rare.items():
        assert f"{DISTRIBUTION}[tiff]" in message, message
        assert "damaged" not in message
        assert read_image(tmp_path / name).shape[:2] == (37, 29)
    for name, array in arrays.items():
        assert found[name][0] == str(array.dtype), found[name]
        np.testing.assert_array_equal(read_image(tmp_path / "written" / name), array, err_msg=name)


def test_a_pillow_without_zstd_is_not_a_damaged_file(tmp_path, monkeypatch):
    """As in its wheels before 12; the control is the Pillow that is here."""
    tifffile.imwrite(tmp_path / "a.tif", picture(8, 8, 3, np.uint16), photometric="rgb", compression="zstd")
    monkeypatch.setattr(tiff_codecs, "has_imagecodecs", lambda: False)
    assert tiff_codecs.can_unpack(ZSTD)
    monkeypatch.setattr(tiff_codecs, "unpack", Mock(side_effect=OSError("decoder error -2")))
    monkeypatch.setattr(sys, "version_info", (3, 13))
    tiff_codecs._pillow_reads_zstd.cache_clear()
    try:
        with pytest.raises(ImageError, match=r"ZSTD.*imagecodecs.*\n?.*\[tiff\]"):
            read_image(tmp_path / "a.tif")
    finally:
        tiff_codecs._pillow_reads_zstd.cache_clear()


@pytest.mark.parametrize("data", [b"", b"a", b"abc" * 5000, bytes(100_000), np.random.default_rng(0).bytes(70_001)])
def test_bytes_are_unpacked_as_by_imagecodecs(data):
    if data:
        for kind, packed in (
            (LZW, imagecodecs.lzw_encode(data)),
            (PACKBITS, imagecodecs.packbits_encode(data)),
            (ZSTD, imagecodecs.zstd_encode(data)),
        ):
            assert unpack(kind, packed, len(data)) == data
    assert inflate(zlib.compress(data), len(data)) == data
    assert unpack_lzma(lzma.compress(data), len(data)) == data
    assert zlib.decompress(deflate(data)) == data


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("shape", [(1, 1, 1), (7, 5, 1), (6, 9, 3), (2, 4, 5, 2)])
def test_the_predictor_of_floats_is_that_of_imagecodecs(dtype, shape):
    values = np.random.default_rng(0).normal(size=shape).astype(dtype)
    steps = imagecodecs.floatpred_encode(values, axis=-2)
    assert shape[-2] == 1 or not np.array_equal(steps.view(np.uint8), values.view(np.uint8))
    np.testing.assert_array_equal(undo_float_predictor(steps, -2, steps), values)


@pytest.mark.parametrize("kind", ["inflate", "lzma", LZW, ZSTD, PACKBITS])
def test_damage_is_an_error_and_a_bomb_stays_packed(kind):
    """tifffile alone would unpack all that there is."""
    pack = {LZW: imagecodecs.lzw_encode, ZSTD: imagecodecs.zstd_encode, PACKBITS: imagecodecs.packbits_encode}
    pack |= {"inflate": zlib.compress, "lzma": lzma.compress}
    readers = {"inflate": inflate, "lzma": unpack_lzma}
    read = readers.get(kind) or (lambda data, out: unpack(kind, data, out))
    data = bytes(range(256)) * 40
    packed = pack[kind](data)
    with pytest.raises((ValueError, OSError, zlib.error, lzma.LZMAError)):
        read(packed[: len(packed) // 2], len(data))
    if kind in readers:
        bomb = pack[kind](bytes(50_000_000))
        assert len(bomb) < 100_000
        with pytest.raises(ValueError, match="more"):
            read(bomb, 1000)


def test_files_written_without_it_are_about_as_large(tmp_path):
    photo = np.cumsum(np.random.default_rng(0).integers(-9, 10, (300, 300, 3)), axis=1).astype(np.uint16)
    (tmp_path / "in").mkdir()
    write_image(tmp_path / "in" / "a.tif", photo)
    without_imagecodecs(tmp_path / "in")
    own, theirs = ((tmp_path / "in" / name).stat().st_size for name in ("written/a.tif", "a.tif"))
    print(f"{own:,} bytes, with imagecodecs {theirs:,}, unpacked {photo.nbytes:,}")
    assert own < 1.2 * theirs < 0.7 * photo.nbytes
