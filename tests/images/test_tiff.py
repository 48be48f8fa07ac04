"""TIFF against tifffile: every layout is read value for value, or refused with the name of what is not supported."""

import contextlib
import itertools
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
import tifffile

from i2i.errors import ImageError
from i2i.images import read_image
from i2i.images.decode import opened
from tests.conftest import picture

MATRIX = [
    ["u1", "u2", "f2", "f4", "f8", "i1", "i2", "u4", "c8"],
    [("minisblack", 1), ("minisblack", 2), ("miniswhite", 1), ("rgb", 3), ("rgb", 4), ("rgb", 5), ("minisblack", 3)],
    ["contig", "separate"],
    [None, "zlib", "lzw", "packbits", "zstd", "lzma"],
    [None, 2, 3],
    [{"rowsperstrip": 16}, {"tile": (16, 32)}],
    ["<", ">"],
    [False, True],
    ["unassalpha", "assocalpha", "unspecified"],
]
VOLUME = {"photometric": "minisblack", "volumetric": True, "tile": (2, 16, 16)}
NAMES = ("signed integers", "32-bit integers", "complex numbers", "channels without", "floats where 0 is white")


def decode(path):
    with opened(path, 10**8) as source:
        return source.decode()


def expected(raw, photometric, extra):
    """The image that samples read by tifffile, (H, W, C), stand for."""
    raw = raw.astype(np.float32) if raw.dtype.kind == "f" else raw
    colours = 3 if photometric == "rgb" else 1
    array = ~raw[:, :, :1] if photometric == "miniswhite" else raw[:, :, :colours]
    if raw.shape[2] == colours or extra == "unspecified":
        return array
    alpha = raw[:, :, colours : colours + 1]
    if extra == "assocalpha":
        top = 1 if raw.dtype.kind == "f" else np.iinfo(raw.dtype).max
        wide = array.astype(np.float32 if top == 1 else np.int64)
        divided = wide / alpha if top == 1 else np.minimum(wide * top // alpha, top)
        array = divided.astype(array.dtype)
    return np.concatenate([array, alpha], axis=2)


def test_layouts_of_the_whole_matrix_are_exact_or_refused_by_name(tmp_path):
    """A fixed draw from all combinations; invalid ones fail in tifffile's own writer."""
    rng, path = np.random.default_rng(0), tmp_path / "a.tif"
    every = list(itertools.product(*MATRIX))
    exact = refused = 0
    for place in rng.choice(len(every), 700, replace=False):
        dtype, (photometric, samples), planar, compression, predictor, parts, order, big, extra = every[place]
        apart = planar == "separate" and samples > 1
        shape = (samples, 21, 35) if apart else (21, 35, samples) if samples > 1 else (21, 35)
        values = rng.random(shape) * 0.9 + 0.1 if dtype[0] in "fc" else rng.integers(1, 128, shape)
        options = parts | {"byteorder": order, "bigtiff": big, "compression": compression, "predictor": predictor}
        if samples > 1:
            options["planarconfig"] = planar
        if samples > (colours := 3 if photometric == "rgb" else 1):
            options["extrasamples"] = [extra, *["unspecified"] * (samples - colours - 1)]
        try:
            tifffile.imwrite(path, values.astype(dtype), photometric=photometric, metadata=None, **options)
            raw = tifffile.imread(path)
        except (ValueError, KeyError, TypeError):
            continue
        raw = np.moveaxis(raw, 0, -1) if apart else raw.reshape(21, 35, -1)
        try:
            array = decode(path)
        except ImageError as error:
            reason = str(error)
            refused += 1
            assert any(name in reason for name in NAMES), f"{every[place]}: {reason}"
        else:
            np.testing.assert_array_equal(array, expected(raw, photometric, extra), err_msg=str(every[place]))
            exact += 1
    assert exact > 100
    assert refused > 100


@pytest.mark.parametrize("compression", [None, "zlib", "lzw", "packbits"])
@pytest.mark.parametrize("samples", [3, 4])
@pytest.mark.parametrize("parts", [{}, {"tile": (16, 16)}])
def test_16_bits_in_planes_of_their_own(tmp_path, compression, samples, parts):
    """As GDAL, ImageJ and tifffile write them; OpenCV left memory uninitialised."""
    array = picture(40, 50, samples, np.uint16)
    planes = np.moveaxis(array, -1, 0)
    options = {"photometric": "rgb", "planarconfig": "separate", "compression": compression, **parts}
    tifffile.imwrite(tmp_path / "a.tif", planes, **options)
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), array)


@pytest.mark.parametrize(
    ("array", "options", "name"),
    [
        (np.zeros((5, 8, 8), np.uint16), {"photometric": "minisblack", "planarconfig": "separate"}, "5 channels"),
        (np.zeros((8, 8, 2), np.uint8), {"photometric": "minisblack", "planarconfig": "contig"}, "2 channels"),
        (np.zeros((8, 8), np.int16), {"photometric": "minisblack"}, "16-bit signed integers"),
        (np.zeros((8, 8), np.uint32), {"photometric": "minisblack"}, "32-bit integers"),
        (np.zeros((8, 8, 4), np.float32), {"photometric": "separated"}, "SEPARATED"),
        (
            np.zeros((4, 16, 16), np.uint8),
            {"photometric": "minisblack", "volumetric": True, "tile": (2, 16, 16)},
            "a volume of 4 planes",
        ),
        (np.zeros((16, 16, 3), np.uint16), {"photometric": "rgb", "compression": "jpegxr"}, ""),
    ],
)
def test_unsupported_layouts_are_named_and_not_called_damaged(tmp_path, array, options, name):
    try:
        tifffile.imwrite(tmp_path / "a.tif", array, metadata=None, **options)
    except ValueError as error:
        pytest.skip(str(error))
    if not name:  # rare compressions come with imagecodecs
        assert decode(tmp_path / "a.tif").shape == array.shape
        return
    with pytest.raises(ImageError, match=name) as refused:
        decode(tmp_path / "a.tif")
    assert "damaged" not in str(refused.value)


def patched(content, tag, kind, value):
    """The same TIFF, little-endian, with another value of a tag that holds one number."""
    place = next(
        place
        for place in range(8, len(content) - 12)
        if struct.unpack_from("<H", content, place)[0] == tag and content[place + 4 : place + 8] == b"\1\0\0\0"
    )
    return content[:place] + struct.pack("<HHII", tag, kind, 1, value) + content[place + 12 :]


@pytest.mark.parametrize("dtype", ["u1", "u2", "f4"])
@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda content: content[:-60], "damaged|ends before"),
        (lambda content: content[: len(content) // 2], "damaged"),
        (lambda content: patched(content, 322, 4, 60_000), "tiles are|damaged"),
        (lambda content: patched(patched(content, 322, 4, 65_520), 323, 4, 65_520), "tiles are"),
        (lambda content: patched(content, 256, 4, 2_000_000_000), "over the limit"),
        (lambda content: patched(content, 257, 4, 9_000), "sides|damaged"),
        (lambda content: patched(content, 277, 3, 60_000), "channels|damaged"),
        (lambda content: patched(content, 259, 3, 34712 + 9), "compressed with|damaged"),
        (lambda content: content[:4] + struct.pack("<I", len(content) + 5) + content[8:], "damaged"),
    ],
)
def test_hostile_tags_are_refused_within_little_memory(tmp_path, dtype, damage, words):
    array = (picture(64, 80, 3, np.uint16) / {"u1": 257, "u2": 1, "f4": 65535}[dtype]).astype(dtype)
    tifffile.imwrite(tmp_path / "a.tif", array, photometric="rgb", compression="zlib", tile=(32, 32), metadata=None)
    (tmp_path / "a.tif").write_bytes(damage((tmp_path / "a.tif").read_bytes()))
    tracemalloc.start()
    with pytest.raises(ImageError, match=words) as error:
        decode(tmp_path / "a.tif")
    assert tracemalloc.get_traced_memory()[1] < 50_000_000
    tracemalloc.stop()
    assert "\n" not in str(error.value)


def test_a_strip_that_unpacks_to_more_than_its_rows_takes_no_memory(tmp_path):
    array = picture(8, 8, 3, np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", array, photometric="rgb", compression="zlib", metadata=None)
    content = (tmp_path / "a.tif").read_bytes()
    bomb = zlib.compress(bytes(300_000_000), 9)
    content = patched(patched(content, 273, 4, len(content)), 279, 4, len(bomb)) + bomb
    (tmp_path / "a.tif").write_bytes(content)
    tracemalloc.start()
    with contextlib.suppress(ImageError):  # or it returns the first rows, which is fine
        decode(tmp_path / "a.tif")
    assert tracemalloc.get_traced_memory()[1] < 50_000_000
    tracemalloc.stop()


def test_a_loop_of_pages_is_refused(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((2, 8, 8, 3), np.uint16), photometric="rgb", metadata=None)
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        places = [page.offset for page in file.pages]
        tags = len(file.pages[1].tags)
    content = bytearray((tmp_path / "a.tif").read_bytes())
    struct.pack_into("<I", content, places[1] + 2 + 12 * tags, places[0])
    (tmp_path / "a.tif").write_bytes(content)
    assert decode(tmp_path / "a.tif").shape == (8, 8, 3)
    with pytest.raises(ImageError, match="loop"), opened(tmp_path / "a.tif", 10**8) as source:
        source.count()


@pytest.mark.filterwarnings("ignore:.*:UserWarning")  # Pillow's
@pytest.mark.parametrize("lost", [2, 4, 13, 40])
def test_a_file_that_ends_among_its_tags_says_so(tmp_path, lost):
    """Pillow leaves the next page where the first one is then, as in a loop."""
    values = {256: 8, 257: 8, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: 8, 279: 64}
    tags = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in values.items())
    whole = struct.pack("<2sHI", b"II", 42, 72) + bytes(64) + struct.pack("<H", len(values)) + tags + bytes(4)
    (tmp_path / "a.tif").write_bytes(whole)
    assert decode(tmp_path / "a.tif").shape == (8, 8, 1)  # the control
    (tmp_path / "a.tif").write_bytes(whole[:-lost])
    with pytest.raises(ImageError, match="it ends"):
        read_image(tmp_path / "a.tif")
