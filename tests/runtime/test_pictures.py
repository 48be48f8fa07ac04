"""Every kind of picture through an identity model: what goes in comes out."""

import functools
import io
import re
import shutil
import struct
import warnings
import zlib

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms
from PIL.TiffImagePlugin import IFDRational

from i2i.errors import ImageError, UsageError
from i2i.images import FORMATS, holds, read_header, read_image, to_channels, write_image
from i2i.images.decode import opened
from i2i.images.encode import Extras, encode
from i2i.runtime.fit import Fit
from i2i.runtime.folder import list_tasks
from i2i.runtime.lost import lost_colours
from i2i.runtime.picture_options import DEFAULTS, PictureOptions
from i2i.runtime.pictures import counted, read
from i2i.runtime.pipeline import translate_files
from tests.conftest import DATA, assert_looks_like, picture, run_i2i
from tests.images.test_images import LOSSLESS
from tests.runtime.test_translator import identity

GAMMA = DATA / "gamma_1.png"


def through(source, channels=3, **options):
    """Translate one file without changing it, and return where it is."""
    made = PictureOptions(**options)
    tasks = list_tasks(source, source.parent / "out", channels, overwrite=True, options=made)
    result = translate_files(identity(channels), tasks, options=made)
    assert result.refused == []
    return tasks[0].output


def decode(path, options=DEFAULTS):
    """Read a file as a folder run does."""
    with opened(path, options.max_pixels) as source:
        return read(source, counted(source, options)[0], options)


def refusal(source, channels=3, **options):
    """Return why a file was refused."""
    made = PictureOptions(**options)
    tasks = list_tasks(source, source.parent / "out", channels, overwrite=True, options=made)
    return translate_files(identity(channels), tasks, options=made).refused[0].reason


def with_alpha(array):
    """Grey or RGB with alpha that is 0, full and between, over colours that are not white."""
    top = np.iinfo(array.dtype).max
    alpha = np.linspace(0, top, array.shape[0] * array.shape[1]).astype(array.dtype)
    return np.concatenate([array, alpha.reshape(*array.shape[:2], 1)], axis=2)


def colourful(height, width, dtype=np.uint8):
    """A picture of random values over the full range."""
    return np.random.default_rng(0).integers(0, np.iinfo(dtype).max + 1, (height, width, 3), dtype=dtype)


@pytest.mark.parametrize("suffix", [*LOSSLESS, ".npy", ".webp"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_lossless_pictures_come_out_value_for_value(tmp_path, suffix, channels, dtype):
    array = colourful(33, 47, dtype)[:, :, : 1 if channels < 3 else 3]
    if channels in (2, 4):
        array = with_alpha(array)
    if not holds(suffix, array.itemsize * 8, channels):
        pytest.skip(f"{suffix} has no such pictures")
    source = tmp_path / f"a{suffix}"
    source.write_bytes(encode([array], FORMATS[suffix], lossless=True))
    for model_channels in (1, 3) if channels < 3 else (3,):
        output = through(source, model_channels)
        assert output.name == source.name
        back = read_image(output)
        assert back.dtype == dtype
        if channels in (2, 4):
            assert_looks_like(back, array)
        else:
            np.testing.assert_array_equal(back, to_channels(array, back.shape[2]))


@pytest.mark.parametrize("suffix", [".tif", ".npy"])
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize(("low", "high"), [(0, 1), (0, 255), (-1000, 3000)])
def test_floats_return_to_their_range(tmp_path, suffix, channels, low, high):
    array = np.random.default_rng(0).uniform(low, high, (20, 30, channels)).astype(np.float32)
    source = tmp_path / f"a{suffix}"
    if suffix == ".npy":
        np.save(source, array[:, :, 0] if channels == 1 else array)
    else:
        order = {1: [0], 3: [2, 1, 0], 4: [2, 1, 0, 3]}[channels]
        source.write_bytes(cv2.imencode(".tif", array[:, :, order])[1].tobytes())
    if (low, high) != (0, 1):
        assert "range 0 to 1" in refusal(source, channels)
    output = through(source, channels, input_range=(low, high))
    if suffix == ".npy":
        back = np.load(output)
        assert back.shape == (array.shape if channels > 1 else array.shape[:2])
    else:
        back = cv2.imdecode(np.fromfile(output, np.uint8), cv2.IMREAD_UNCHANGED).reshape(array.shape)[:, :, order]
    assert back.dtype == np.float32
    np.testing.assert_allclose(back.reshape(array.shape), array, atol=3e-7 * (high - low))


def test_non_finite_floats_are_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.array([[0, np.nan]], np.float32))
    assert re.search(r"a\.npy.* NaN\b.* 1 of 2\b", refusal(tmp_path / "a.npy"))


def test_16_bits_return_to_the_range_that_is_given_or_that_the_model_knows(tmp_path):
    array = picture(24, 30, 3, np.uint16) // 16  # 12 bits
    write_image(tmp_path / "a.tif", array)
    np.testing.assert_array_equal(read_image(through(tmp_path / "a.tif", input_range=(0, 4095))), array)
    seen = []
    model = identity()
    model.spec = model.spec.model_copy(update={"input_range": (0, 4095)})
    run, model.backend.run = model.backend.run, lambda batch: seen.append(batch) or run(batch)
    result = translate_files(model, list_tasks(tmp_path / "a.tif", tmp_path / "out", 3, overwrite=True))
    assert result.refused == []
    np.testing.assert_array_equal(read_image(tmp_path / "out" / "a.tif"), array)
    np.testing.assert_allclose(seen[0].min(), 2 * array.min() / 4095 - 1, atol=1e-4)  # what the network sees
    np.testing.assert_allclose(seen[0].max(), 2 * array.max() / 4095 - 1, atol=1e-4)
    done = through(tmp_path / "a.tif", input_range=(0, 4095), bit_depth=8)  # other depths fill their type
    np.testing.assert_array_equal(read_image(done), np.rint(array * (255 / 4095)))
    assert "range 0 to 100" in refusal(tmp_path / "a.tif", input_range=(0, 100))


def test_what_is_left_out_and_lost_is_said(tmp_path, tiny_onnx):
    pages = picture(16, 16, 3, np.uint16)
    geo = [(33550, "d", 3, (10.0, 10.0, 0.0), True), (42113, "s", 0, "-9999", True)]
    (tmp_path / "in").mkdir()
    with tifffile.TiffWriter(tmp_path / "in" / "a.tif") as file:
        file.write(pages, photometric="rgb", extratags=geo, resolution=(300, 300), metadata=None)
        for kind in (0, 0, 1):  # two pages more, and a reduced copy
            file.write(pages, photometric="rgb", subfiletype=kind, metadata=None)
    tifffile.imwrite(tmp_path / "in" / "z.tif", np.zeros((5, 16, 16), np.uint16), imagej=True)
    write_image(tmp_path / "in" / "plain.png", picture(16, 16))
    done = run_i2i("translate", tmp_path / "in", "-m", tiny_onnx, "-o", tmp_path / "kept")
    assert "georeference" not in done.stderr  # a TIFF keeps it
    done = run_i2i("translate", tmp_path / "in", "-m", tiny_onnx, "-o", tmp_path / "out", "--format", "png")
    assert done.returncode == 0, done.stderr
    notes = [line for line in done.stderr.splitlines() if line.startswith("Note: ")]
    assert any("6 frames or pages" in note and "--frames all" in note for note in notes), done.stderr
    assert any("georeference" in note and "nodata" in note and "resolution" in note for note in notes), notes
    done = run_i2i("translate", tmp_path / "in" / "plain.png", "-m", tiny_onnx, "-o", tmp_path / "b.png")
    assert "Note: " not in done.stderr


@pytest.mark.parametrize(("suffix", "lost"), [(".png", ()), (".jpg", ("PNG gamma",)), (".tif", ("PNG gamma",))])
def test_an_unusual_gamma_that_a_format_cannot_hold_is_said(suffix, lost):
    with opened(DATA / "gamma_1.png", 10_000_000) as source:
        assert lost_colours(read(source, 1, PictureOptions()), suffix) == lost


@pytest.mark.parametrize("suffix", [".jpg", ".webp", ".avif"])
@pytest.mark.parametrize("quality", [None, 50])
def test_lossy_pictures_lose_what_their_format_loses(tmp_path, suffix, quality):
    Image.fromarray(np.tile(picture(64, 64), (2, 2, 1))).save(tmp_path / f"a{suffix}", quality=90)
    stored = np.asarray(Image.open(tmp_path / f"a{suffix}").convert("RGB"))
    back = read_image(through(tmp_path / f"a{suffix}", quality=quality)).astype(int)
    quality = {"quality": quality or (90 if suffix == ".avif" else 95)} | (
        {"subsampling": 0} if suffix == ".jpg" else {}
    )
    Image.fromarray(stored).save(tmp_path / f"again{suffix}", **quality)
    again = np.asarray(Image.open(tmp_path / f"again{suffix}").convert("RGB")).astype(int)
    assert np.abs(back - stored).mean() <= np.abs(again - stored).mean() + 0.05


def test_a_lossless_webp_stays_lossless_and_a_lossy_one_lossy(tmp_path):
    image = Image.fromarray(colourful(40, 40))
    image.save(tmp_path / "whole.webp", lossless=True, icc_profile=srgb())
    image.save(tmp_path / "lossy.webp", quality=80)
    np.testing.assert_array_equal(read_image(through(tmp_path / "whole.webp")), colourful(40, 40))
    stored = read_image(tmp_path / "lossy.webp")
    assert (read_image(through(tmp_path / "lossy.webp")) != stored).any()
    np.testing.assert_array_equal(read_image(through(tmp_path / "lossy.webp", quality="lossless")), stored)
    assert (read_image(through(tmp_path / "whole.webp", quality=80)) != colourful(40, 40)).any()


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_gif_comes_back_exactly_while_it_has_256_colours(tmp_path, channels):
    few = colourful(16, 16)[:, :, : min(channels, 3)]  # 256 pixels
    if channels == 4:
        few = np.concatenate([few, np.where(np.arange(16)[:, None, None] < 3, 0, np.full_like(few[:, :, :1], 255))], 2)
    few = few.astype(np.uint8)
    (tmp_path / "a.gif").write_bytes(encode([few], "GIF"))
    first = to_channels(read_image(tmp_path / "a.gif"), channels)
    if channels == 4:
        np.testing.assert_array_equal(first[:, :, 3], few[:, :, 3])
        few, first = few[few[:, :, 3] > 0], first[first[:, :, 3] > 0]
    np.testing.assert_array_equal(first, few)
    output = through(tmp_path / "a.gif", min(channels, 3))
    np.testing.assert_array_equal(*(to_channels(read_image(path), 4) for path in (output, tmp_path / "a.gif")))
    (tmp_path / "many.gif").write_bytes(encode([picture(64, 64)], "GIF"))
    many = np.abs(read_image(through(tmp_path / "many.gif")).astype(int) - read_image(tmp_path / "many.gif"))
    assert many.mean() < 3


FRAMES = [np.roll(picture(24, 32), 5 * k, axis=1) // 64 * 64 for k in range(4)]


@pytest.mark.parametrize("suffix", [".gif", ".png", ".webp", ".avif"])
@pytest.mark.parametrize("alpha", [False, True])
def test_animations_keep_frames_and_times(tmp_path, suffix, alpha):
    frames = FRAMES
    if alpha:
        frames = [
            np.concatenate([frame, np.where(frame[:, :, :1] > 99, 255, 0).astype(np.uint8)], 2) for frame in frames
        ]
    images = [Image.fromarray(frame) for frame in frames]
    lossless = {".webp": {"lossless": True, "exact": True}, ".avif": {"quality": 100}}.get(suffix, {})
    source = tmp_path / f"a{suffix}"
    images[0].save(source, save_all=True, append_images=images[1:], duration=[100, 200, 300, 400], loop=3, **lossless)
    first = read_image(through(source))
    assert getattr(Image.open(through(source)), "n_frames", 1) == 1
    tolerance = 12 if suffix == ".avif" else 0
    np.testing.assert_allclose(to_channels(first, 3), to_channels(read_image(source), 3), atol=tolerance)
    moving, before = Image.open(through(source, frames="all")), Image.open(source)
    assert moving.n_frames == before.n_frames == 4
    assert moving.info.get("loop") == before.info.get("loop")
    for k in range(4):
        moving.seek(k)
        before.seek(k)
        one, other = (np.asarray(image.convert("RGBA"), int) for image in (moving, before))
        seen = other[:, :, 3] > 0
        np.testing.assert_allclose(one[:, :, 3], other[:, :, 3], atol=tolerance)
        np.testing.assert_allclose(one[seen], other[seen], atol=tolerance)
        assert moving.info["duration"] == before.info["duration"]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_large_later_pages_are_refused_before_they_are_decoded(tmp_path, dtype):
    pages = [np.zeros((20, 20, 3), dtype), np.zeros((200, 200, 3), dtype)]
    (tmp_path / "a.tif").write_bytes(encode(pages, "TIFF"))
    reason = refusal(tmp_path / "a.tif", frames="all", max_pixels=40_000)
    assert "limit" in reason
    through(tmp_path / "a.tif", frames="all", max_pixels=40_400)


def test_libraries_print_no_lines_of_their_own_beside_ours(tmp_path, tiny_onnx):
    """OpenCV's libtiff and libpng, and Pillow's libtiff."""
    content = encode([colourful(40, 40, np.uint16)], "TIFF")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "opencv.tif").write_bytes(content[:-200])
    content = encode([colourful(40, 40, np.uint16)], "PNG", extras=Extras(exif=b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0"))
    (tmp_path / "in" / "libpng.png").write_bytes(content[:-200])
    for compression in ("tiff_lzw", "tiff_adobe_deflate"):
        Image.fromarray(colourful(40, 40)).save(buffer := io.BytesIO(), "TIFF", compression=compression)
        spoilt = bytearray(buffer.getvalue())
        spoilt[1000:1100] = bytes([255]) * 100
        (tmp_path / "in" / f"{compression}.tif").write_bytes(spoilt)
        (tmp_path / "in" / f"cut_{compression}.tif").write_bytes(buffer.getvalue()[:-500])
    done = run_i2i("translate", tmp_path / "in", "-m", tiny_onnx, "-o", tmp_path / "out")
    lines = [line for line in done.stderr.splitlines() if " ..." not in line]  # what says that it takes long
    assert len([line for line in lines if line.startswith("Refused: ")]) == 6
    assert len(lines) == 8, done.stderr
    assert "cut_tiff_lzw.tif is damaged" in done.stderr


def test_pages_of_every_kind_come_out_as_pages(tmp_path):
    """Each page with a size and depth of its own."""
    pages = [picture(10, 20), picture(30, 14, 3, np.uint16), picture(8, 8, 1), with_alpha(picture(9, 9))]
    (tmp_path / "a.tif").write_bytes(encode(pages, "TIFF"))
    with Image.open(tmp_path / "a.tif") as image:  # as other programs read it
        assert image.n_frames == 4
    output = through(tmp_path / "a.tif", frames="all")
    made = decode(output, PictureOptions(frames="all")).frames
    for page, expected in zip(made, pages, strict=True):
        assert_looks_like(page, expected)
    assert len(decode(through(tmp_path / "a.tif")).frames) == 1
    floats = [page / np.float32(255) for page in (picture(10, 20), picture(12, 8))]
    (tmp_path / "b.tif").write_bytes(encode(floats, "TIFF"))
    for page, expected in zip(decode(through(tmp_path / "b.tif", frames="all")).frames, floats, strict=False):
        np.testing.assert_allclose(page, expected, atol=3e-7)
    assert len(decode(tmp_path / "out" / "b.tif", PictureOptions(frames="all")).frames) == 2
    with pytest.raises(UsageError, match="jpg"):
        PictureOptions(format="jpg", frames="all")
    (tmp_path / "misnamed.jpg").write_bytes((tmp_path / "a.tif").read_bytes())
    assert "4 pictures" in refusal(tmp_path / "misnamed.jpg", frames="all")


@pytest.mark.parametrize("wanted", ["png", "gif", "webp", "avif"])
def test_pages_of_different_sizes_become_no_animation(tmp_path, wanted):
    (tmp_path / "a.tif").write_bytes(encode([colourful(40, 60), colourful(30, 20), colourful(40, 60)], "TIFF"))
    reason = refusal(tmp_path / "a.tif", frames="all", format=wanted)
    assert re.search(rf"a\.tif .* \.{wanted} .*--format tiff", reason)


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_deep_pages_become_an_animation_of_8_bits(tmp_path, dtype):
    pages = [colourful(8, 8), picture(8, 8)]
    deep = [page.astype(np.uint16) * 257 if dtype == np.uint16 else page.astype(np.float32) / 255 for page in pages]
    (tmp_path / "a.tif").write_bytes(encode(deep, "TIFF"))
    made = decode(through(tmp_path / "a.tif", frames="all", format="png"), PictureOptions(frames="all"))
    np.testing.assert_array_equal(made.frames, pages)
    reason = refusal(tmp_path / "a.tif", frames="all", format="png", bit_depth=16)
    assert re.search(r"a\.tif.* 8 bits.* 16", reason)


@pytest.mark.parametrize("suffix", [".gif", ".tif", ".png"])
def test_in_place_drops_no_frames_unasked(tmp_path, suffix):
    folder, source = tmp_path / "in", tmp_path / "in" / f"a{suffix}"
    folder.mkdir()
    source.write_bytes(before := encode([colourful(8, 8), picture(8, 8)], FORMATS[suffix]))
    for given, output in ((folder, tmp_path / "in" / ".." / "in"), (source, source)):
        result = translate_files(identity(), list_tasks(given, output, 3, in_place=True))
        (refused,) = result.refused
        assert str(refused).endswith(
            f"a{suffix} holds 2 pictures, and --in-place would keep one. Add --frames all, or use -o."
        )
        assert source.read_bytes() == before
    made = PictureOptions(frames="all")
    assert (
        translate_files(identity(), list_tasks(folder, folder, 3, options=made, in_place=True), options=made).written
        == 1
    )
    assert Image.open(source).n_frames == 2


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_adobe_deflate", "packbits", "tiled"])
@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_tiffs_of_other_programs(tmp_path, compression, mode):
    if compression == "tiled":
        array = {"L": picture(40, 50, 1), "RGB": picture(40, 50), "I;16": picture(40, 50, 1, np.uint16)}.get(mode)
        if array is None:
            pytest.skip("made by hand for the others")
        (tmp_path / "a.tif").write_bytes(tiled_tiff(array))
        np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), array)
        return
    deep = Image.fromarray(picture(40, 50, 1, np.uint16)[:, :, 0])
    image = deep if mode == "I;16" else Image.fromarray(with_alpha(picture(40, 50))).convert(mode)
    image.save(tmp_path / "a.tif", compression=compression)
    expected = np.asarray(deep) if mode == "I;16" else np.asarray(Image.open(tmp_path / "a.tif").convert("RGBA"))
    back = read_image(through(tmp_path / "a.tif"))
    assert_looks_like(back, expected[:, :, None] if mode == "I;16" else expected)


def test_a_bitmap_of_16_bits_a_pixel(tmp_path):
    pixels = np.array([[0xF800, 0x07E0], [0x001F, 0xFFFF]], "<u2")  # bottom row first; red, green, blue of 5, 6, 5 bits
    header = struct.pack("<IiiHHIIiiII", 40, 2, 2, 1, 16, 3, 8, 0, 0, 0, 0) + struct.pack("<3I", 0xF800, 0x07E0, 0x001F)
    start = 14 + len(header)
    (tmp_path / "a.bmp").write_bytes(b"BM" + struct.pack("<IHHI", start + 8, 0, 0, start) + header + pixels.tobytes())
    expected = [[[0, 0, 255], [255, 255, 255]], [[255, 0, 0], [0, 255, 0]]]
    assert read_image(through(tmp_path / "a.bmp")).tolist() == expected


def tiled_tiff(array, side=16):
    """An uncompressed TIFF in tiles, by the specification's section 15."""
    height, width, channels = array.shape
    down, across = -(-height // side), -(-width // side)
    whole = np.zeros((down * side, across * side, channels), array.dtype)
    whole[:height, :width] = array
    tiles = [
        whole[y : y + side, x : x + side].tobytes()
        for y in range(0, down * side, side)
        for x in range(0, across * side, side)
    ]
    bits, count, sizes = 8 * array.itemsize, len(tiles), len(tiles[0])
    entries = [(256, 4, width), (257, 4, height), (258, 3, bits), (259, 3, 1), (262, 3, 1 if channels == 1 else 2)]
    entries += [(277, 3, channels), (284, 3, 1), (322, 4, side), (323, 4, side)]
    after = 8 + 2 + 12 * (len(entries) + 2) + 4
    start = after + 6 + 8 * count
    tables = struct.pack("<3H", *([bits] * 3)) + struct.pack(f"<{count}I", *(start + k * sizes for k in range(count)))
    tables += struct.pack(f"<{count}I", *([sizes] * count))
    body = struct.pack("<H", len(entries) + 2)
    for tag, kind, value in entries:
        many = tag == 258 and channels == 3
        body += struct.pack("<HHII", tag, kind, 3 if many else 1, after if many else value)
    body += struct.pack("<HHII", 324, 4, count, after + 6) + struct.pack("<HHII", 325, 4, count, after + 6 + 4 * count)
    return b"II*\0\x08\0\0\0" + body + bytes(4) + tables + b"".join(tiles)


def grey_tiff(values, bits, white_is_zero):
    """A grey TIFF of 12 or 16 bits a sample."""
    if bits == 12:
        packed = "".join(f"{value:012b}" for value in values)
        data = int(packed, 2).to_bytes(len(packed) // 8, "big")
    else:
        data = struct.pack(f"<{len(values)}H", *values)
    entries = [(256, len(values)), (257, 1), (258, bits), (259, 1), (262, 0 if white_is_zero else 1)]
    entries += [(273, 8 + 2 + 12 * 8 + 4), (277, 1), (279, len(data))]
    body = b"".join(struct.pack("<HHII", tag, 4 if tag in (273, 279) else 3, 1, value) for tag, value in entries)
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + body + bytes(4) + data


def test_grey_that_pillow_leaves_inverted_or_dark(tmp_path):
    (tmp_path / "white.tif").write_bytes(grey_tiff([0, 1000, 65535], 16, white_is_zero=True))
    assert read_image(tmp_path / "white.tif").ravel().tolist() == [65535, 64535, 0]
    (tmp_path / "twelve.tif").write_bytes(grey_tiff([0, 2048, 4095, 1], 12, white_is_zero=False))
    assert read_image(tmp_path / "twelve.tif").ravel().tolist() == [0, round(2048 * 65535 / 4095), 65535, 16]


def png(array, colour_type, before=b""):
    """A PNG of 16 bits, written chunk by chunk."""
    height, width = array.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in array)
    header = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)
    chunks = chunk(b"IHDR", header) + before + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def test_deep_pngs_with_alpha_or_a_clear_colour(tmp_path):
    array = colourful(5, 6, np.uint16)
    grey = array[:, :, :1]
    key = array[2, 3]
    clear = (array == key).all(axis=2, keepdims=True)
    cases = {
        "grey_alpha": (png(array[:, :, :2], 4), array[:, :, [0, 0, 0, 1]]),
        "rgb_key": (
            png(array, 2, chunk(b"tRNS", key.astype(">u2").tobytes())),
            np.concatenate([array, np.where(clear, 0, 65535)], axis=2),
        ),
        "grey_key": (
            png(grey, 0, chunk(b"tRNS", key[:1].astype(">u2").tobytes())),
            np.concatenate([grey, grey, grey, np.where(grey == key[0], 0, 65535)], axis=2),
        ),
    }
    for name, (content, expected) in cases.items():
        (tmp_path / f"{name}.png").write_bytes(content)
        assert_looks_like(read_image(through(tmp_path / f"{name}.png")), expected.astype(np.uint16))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "PA"])
@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp", ".gif"])
def test_every_mode_has_the_colours_that_pillow_shows(tmp_path, mode, suffix):
    image = Image.fromarray(with_alpha(picture(20, 30) // 64 * 64))
    image = image.quantize(16) if mode in ("P", "PA") else image.convert(mode)
    if mode == "P":
        image.info["transparency"] = 3
    try:
        image.save(tmp_path / f"a{suffix}", **({"lossless": True, "exact": True} if suffix == ".webp" else {}))
    except OSError:
        pytest.skip("no such files")
    expected = np.asarray(Image.open(tmp_path / f"a{suffix}").convert("RGBA"))
    assert_looks_like(read_image(through(tmp_path / f"a{suffix}")), expected)


def test_cmyk_has_its_colours_and_loses_its_profile(tmp_path):
    colours = np.array([[255, 0, 0], [0, 128, 0], [0, 0, 255], [255, 255, 255], [0, 0, 0], [200, 180, 30]], np.uint8)
    blocks = np.repeat(np.repeat(colours[None], 16, axis=0), 16, axis=1)
    image = Image.fromarray(blocks).convert("CMYK")
    profile = bytearray(srgb())
    profile[16:20] = b"CMYK"
    image.save(tmp_path / "a.jpg", quality=100, subsampling=0, icc_profile=bytes(profile))  # inverted, as Adobe does
    image.save(tmp_path / "a.tif", icc_profile=bytes(profile))
    for name in ("a.jpg", "a.tif"):
        assert Image.open(tmp_path / name).mode == "CMYK"
        output = through(tmp_path / name)
        assert "icc_profile" not in Image.open(output).info
        middle = read_image(output)[8, 8::16].astype(int)
        np.testing.assert_allclose(middle, colours, atol=3)


@functools.cache  # it contains the time of its creation
def srgb(space="RGB "):
    """A profile as programs attach it; `space` is its colour space."""
    made = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    made[16:20] = space.encode()
    return bytes(made)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".webp", ".avif"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_profiles_are_kept_where_they_fit(tmp_path, suffix, dtype):
    if not holds(suffix, np.dtype(dtype).itemsize * 8):
        pytest.skip(f"{suffix} has no such pictures")
    for channels, space in ((3, "RGB "), (1, "GRAY")):
        source = tmp_path / f"{channels}{suffix}"
        content = encode([picture(20, 20, channels, dtype)], FORMATS[suffix], extras=Extras(icc=srgb(space)))
        source.write_bytes(content)
        assert Image.open(source).info["icc_profile"] == srgb(space)
        for model_channels in (1, 3):
            kept = Image.open(through(source, model_channels)).info.get("icc_profile")
            assert kept == (srgb(space) if model_channels == channels else None)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".webp", ".avif"])
def test_metadata_is_kept_only_when_asked_for_and_upright(tmp_path, suffix):
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010F] = "a camera"
    exif[34665] = {33434: IFDRational(1, 50), 37500: b"a maker's note", 40962: 20}
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><r tiff:Orientation="6">a caption</r></x:xmpmeta>'
    source = tmp_path / f"a{suffix}"
    dpi = {} if suffix in (".webp", ".avif") else {"dpi": (300, 300)}
    if suffix == ".tif":
        exif[700] = xmp
    extra = {"xmp": xmp} if suffix in (".jpg", ".webp", ".avif") else {}
    Image.fromarray(picture(20, 30)).save(source, exif=exif.tobytes(), **extra, **dpi)
    assert read_image(source).shape == (30, 20, 3)
    plain = Image.open(through(source))
    assert dict(plain.getexif()).keys() <= set(range(254, 340))  # a TIFF's own
    assert "xmp" not in plain.info
    assert plain.info.get("dpi") in (None, (1, 1))  # 1 is a TIFF's default
    output = through(source, keep_metadata=True)
    kept = Image.open(output)
    assert read_image(output).shape == (30, 20, 3)
    assert kept.getexif().get(0x0112, 1) == 1
    assert kept.getexif()[0x010F] == "a camera"
    inner = kept.getexif().get_ifd(34665)
    assert inner[33434] == 0.02
    assert not {37500, 40962} & set(inner)
    if suffix != ".png":
        assert b"a caption" in kept.info["xmp"]
        assert b'Orientation="6"' not in kept.info["xmp"]
    if dpi:
        assert [round(value) for value in kept.info["dpi"]] == [300, 300]


def test_texts_of_a_png_are_metadata(tmp_path):
    from PIL.PngImagePlugin import PngInfo

    texts = PngInfo()
    texts.add_text("Title", "an icon")
    texts.add_itxt("Beschreibung", "größer ✓")
    Image.fromarray(picture(8, 8)).save(tmp_path / "a.png", pnginfo=texts)
    assert Image.open(through(tmp_path / "a.png")).text == {}
    assert Image.open(through(tmp_path / "a.png", keep_metadata=True)).text == {
        "Title": "an icon",
        "Beschreibung": "größer ✓",
    }


def png_chunks(path):
    """The chunks before the pixels, by kind."""
    content, place, found = path.read_bytes(), 8, {}
    while (kind := content[place + 4 : place + 8]) != b"IDAT":
        (length,) = struct.unpack(">I", content[place : place + 4])
        found[kind] = content[place + 8 : place + 8 + length]
        place += length + 12
    return found


@pytest.mark.parametrize("channels", [1, 3])
def test_what_a_png_says_of_its_colours_stays(tmp_path, channels):
    shutil.copy(GAMMA, tmp_path / "a.png")
    output = through(tmp_path / "a.png", channels)
    assert png_chunks(output)[b"gAMA"] == png_chunks(GAMMA)[b"gAMA"]
    if channels == 3:
        assert Image.open(output).info["gamma"] == 1.0
        np.testing.assert_array_equal(read_image(output), read_image(GAMMA))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_all_of_a_png_s_colour_chunks_stay(tmp_path, dtype):
    said = {b"gAMA": struct.pack(">I", 55555), b"cHRM": struct.pack(">8I", *range(30000, 38000, 1000))}
    said |= {b"cICP": bytes([9, 16, 0, 1]), b"sRGB": b"\0"}
    content = encode([colourful(8, 9, dtype)], "PNG")
    content = content[:33] + b"".join(chunk(*one) for one in said.items()) + content[33:]
    (tmp_path / "a.png").write_bytes(content)
    kept = png_chunks(through(tmp_path / "a.png"))
    assert {name: kept.get(name) for name in said} == said
    np.testing.assert_array_equal(read_image(tmp_path / "out" / "a.png"), colourful(8, 9, dtype))
    assert "gamma" not in Image.open(through(tmp_path / "a.png", format="webp")).info


def test_exif_in_a_png_text_turns_a_picture_once(tmp_path):
    from PIL.PngImagePlugin import PngInfo

    exif = Image.Exif()
    exif[0x0112] = 6
    content = exif.tobytes()
    texts = PngInfo()
    texts.add_text("Raw profile type exif", f"\nexif\n{len(content):8}\n{content.hex()}\n")  # as ImageMagick writes it
    Image.fromarray(picture(20, 30)).save(tmp_path / "a.png", pnginfo=texts)
    output = through(tmp_path / "a.png", keep_metadata=True)
    assert read_image(output).shape == (30, 20, 3)
    assert dict(Image.open(output).getexif()) == {}


def test_damaged_metadata_costs_no_picture(tmp_path):
    Image.fromarray(picture(8, 8)).save(tmp_path / "a.jpg", exif=b"Exif\0\0II*\0\xff\xff\xff\x7f", icc_profile=b"none")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, of the same
        output = through(tmp_path / "a.jpg", keep_metadata=True)
    assert "icc_profile" not in Image.open(output).info


@pytest.mark.parametrize("given", [".png", ".jpg", ".tif", ".npy", ".gif"])
@pytest.mark.parametrize("wanted", ["png", "jpg", "webp", "tiff", "bmp", "gif", "avif", "ppm", "npy"])
def test_any_format_to_any_other(tmp_path, given, wanted):
    array = with_alpha(picture(24, 24))
    if holds(given, channels=4):
        write_image(tmp_path / f"a{given}", array)
    else:
        Image.fromarray(array[:, :, :3]).save(tmp_path / f"a{given}")
    output = through(tmp_path / f"a{given}", format=wanted)
    assert FORMATS[output.suffix] == FORMATS[f".{wanted}"]
    expected = to_channels(read_image(tmp_path / f"a{given}"), 3).astype(int)
    back = to_channels(read_image(output), 3)
    if wanted != "gif":
        assert np.abs(back - expected).mean() < 8
    if holds(f".{wanted}", channels=4) and holds(given, channels=4):
        np.testing.assert_allclose(read_image(output)[:, :, 3], array[:, :, 3], atol=2)


@pytest.mark.parametrize(
    ("dtype", "suffix", "bits", "name", "made"),
    [
        (np.uint8, ".png", 16, "a.png", np.uint16),
        (np.uint16, ".png", 8, "a.png", np.uint8),
        (np.uint8, ".jpg", 16, "a.png", np.uint16),
        (np.uint8, ".png", 32, "a.tif", np.float32),
        (np.float32, ".npy", 8, "a.npy", np.uint8),
        (np.uint16, ".tif", None, "a.tif", np.uint16),
    ],
)
def test_bit_depth(tmp_path, dtype, suffix, bits, name, made):
    array = picture(8, 8, 3, np.uint8 if dtype == np.float32 else dtype)
    if dtype == np.float32:
        array = array.astype(np.float32) / 255
    write_image(tmp_path / f"a{suffix}", array)
    output = through(tmp_path / f"a{suffix}", bit_depth=bits)
    assert output.name == name
    back = decode(output).frames[0]
    assert back.dtype == made
    top = 1 if made == np.float32 else np.iinfo(made).max
    least = np.iinfo(dtype).max if dtype != np.float32 else 1
    np.testing.assert_allclose(back / top, array / least, atol=0.03 if suffix == ".jpg" else 0.002)


def test_suffixes_and_formats_never_make_two_names_one(tmp_path):
    for name in ("a.png", "a.jpg", "a.tif", "a_x.png", "b.jpeg", "c.pgm"):
        Image.fromarray(picture(8, 8, 1)[:, :, 0]).save(tmp_path / name)

    def names(channels=3, **options):
        tasks = list_tasks(tmp_path, tmp_path / "out", channels, options=PictureOptions(**options))
        made = {task.source.name: task.output.name for task in tasks}
        assert len(set(made.values())) == len(made) == 6
        return made

    assert names(suffix="_y")["a.jpg"] == "a_y.jpg"
    assert names(suffix="_x")["a.png"] == "a.png_x.png"
    jpg = names(format="jpg")
    assert jpg["a.jpg"] == "a.jpg"
    assert jpg["a.png"] == "a.png.jpg"
    assert jpg["b.jpeg"] == "b.jpeg"
    assert names()["c.pgm"] == "c.ppm"
    assert names(channels=1)["c.pgm"] == "c.pgm"
    with pytest.raises(UsageError, match=r"jpg.* alpha"):
        names(channels=4, format="jpg")
    with pytest.raises(UsageError, match="output"):
        list_tasks(tmp_path / "a.png", tmp_path / "b.png", 3, options=PictureOptions(suffix="_x"))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"format": "psd"}, "psd"),
        ({"format": "jpg", "bit_depth": 16}, "jpg.* 8 bits"),
        ({"format": "avif", "quality": "lossless"}, "avif"),
        ({"input_range": (1.0, 0.0)}, "range"),
        ({"suffix": "../x"}, "folder"),
    ],
)
def test_options_that_contradict_themselves(options, words):
    with pytest.raises(UsageError, match=words):
        PictureOptions(**options)


def test_alpha_is_composited_on_white_where_it_cannot_be_kept(tmp_path):
    write_image(tmp_path / "a.png", np.array([[[10, 20, 30, 0], [10, 20, 30, 255]]], np.uint8))
    assert read_image(through(tmp_path / "a.png"))[0].tolist() == [[255, 255, 255, 0], [10, 20, 30, 255]]
    assert read_image(through(tmp_path / "a.png", format="bmp"))[0].tolist() == [[255, 255, 255], [10, 20, 30]]
    assert read_image(through(tmp_path / "a.png", 4))[0].tolist() == [[10, 20, 30, 0], [10, 20, 30, 255]]


@pytest.mark.parametrize("fit", [Fit("crop"), Fit("resize"), Fit("tile", tile_px=64)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_alpha_and_depth_go_with_every_way_to_meet_sizes(tmp_path, fit, dtype):
    array = with_alpha(picture(50, 150, 3, np.uint16 if dtype == np.uint16 else np.uint8))
    if dtype == np.float32:
        array = array / np.float32(255)
    write_image(tmp_path / "a.tif", array)
    model = identity()
    model.planner.fit = fit
    translate_files(model, list_tasks(tmp_path / "a.tif", tmp_path / "out", 3))
    back = decode(tmp_path / "out" / "a.tif").frames[0]
    assert back.dtype == dtype
    expected = array[1:49, 3:147] if fit.how == "crop" else array
    np.testing.assert_array_equal(back[:, :, 3], expected[:, :, 3])
    if fit.how != "resize":
        assert_looks_like(back, expected)


def npy(header, body=b""):
    return b"\x93NUMPY\x01\0" + struct.pack("<H", len(header)) + header + body


def test_sizes_are_checked_before_decoding(tmp_path):
    write_image(tmp_path / "a.png", picture(20, 20))
    assert re.search(r"20x20\b.* 399 pixels", refusal(tmp_path / "a.png", max_pixels=399))
    (tmp_path / "b.gif").write_bytes(encode(FRAMES, "GIF"))
    assert re.search(r"\b4 pictures.* 3,072 pixels", refusal(tmp_path / "b.gif", max_pixels=3000, frames="all"))
    through(tmp_path / "b.gif", max_pixels=3000)
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (90000, 90000, 3)}\n"
    (tmp_path / "c.npy").write_bytes(npy(header, bytes(1000)))
    assert "is damaged" in refusal(tmp_path / "c.npy")
    with (tmp_path / "c.npy").open("r+b") as file:
        file.truncate(100_000_000_000)  # a hole, no bytes on disk
    assert "90000x90000" in refusal(tmp_path / "c.npy")
    tiff = bytearray(cv2.imencode(".tif", np.zeros((20, 30, 3), np.float32))[1].tobytes())
    place = tiff.index(struct.pack("<HHI", 256, 3, 1))
    tiff[place : place + 12] = struct.pack("<HHII", 256, 4, 1, 2_000_000_000)
    (tmp_path / "d.tif").write_bytes(tiff)
    assert "2000000000x20" in refusal(tmp_path / "d.tif")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (npy(b"{'descr': '|O', 'fortran_order': False, 'shape': (2, 2)}\n", b"cos\nsystem\n"), "holds object"),
        (npy(b"{'descr': '<i8', 'fortran_order': False, 'shape': (2, 2)}\n", bytes(32)), "holds int64"),
        (npy(b"{'descr': '|u1', 'fortran_order': False, 'shape': (2, 2, 7)}\n", bytes(28)), "shape"),
        (npy(b"{'descr': '|u1', 'fortran_order': False, 'shape': (0, 2)}\n"), "shape"),
        (npy(b"{'descr': '|u1', 'fortran_order': False, 'shape': (-4, -4)}\n", bytes(16)), "shape"),
        (npy(b"__import__('os')\n"), "damaged"),
        (b"\x93NUMPY", "damaged"),
        (b"\x93NUMPY\x09\x09", "damaged"),
        (b"II*\0\x08\0\0\0", "not a picture|damaged"),
        (b"II*\0\xff\xff\xff\xff\0\0", "not a picture|damaged"),
    ],
)
def test_hostile_arrays_and_tags(tmp_path, content, words):
    (tmp_path / "a.npy").write_bytes(content)
    with pytest.raises(ImageError, match=words) as error:
        read_header(tmp_path / "a.npy")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("dtype", [">u2", "<f8", ">f4", "<f2"])
def test_arrays_of_other_machines(tmp_path, dtype):
    array = np.asfortranarray(picture(6, 7, 3, np.uint16) if dtype == ">u2" else picture(6, 7) / 255).astype(dtype)
    np.save(tmp_path / "a.npy", array)
    back = np.load(through(tmp_path / "a.npy"))
    assert back.dtype == (np.uint16 if dtype == ">u2" else np.float32)
    np.testing.assert_allclose(back, array.astype(np.float64), atol=0 if dtype == ">u2" else 3e-7)


def test_what_an_encoder_cannot_do_is_one_line(tmp_path):
    write_image(tmp_path / "a.png", np.zeros((2, 70_000, 1), np.uint8))
    for kind in ("jpg", "webp", "gif"):
        reason = refusal(tmp_path / "a.png", format=kind)
        assert re.search(rf"a\.png.* \.{kind}\b", reason)
        assert "\n" not in reason


def test_the_command_line_has_the_same_options(tmp_path, tiny_onnx):
    write_image(tmp_path / "in" / "a.png", picture(20, 20, 3, np.uint16))
    words = ["--format", "webp", "--quality", "lossless", "--suffix", "_b", "--frames", "all", "--max-pixels", "400"]
    done = run_i2i("translate", tmp_path / "in", "-m", tiny_onnx, "-o", tmp_path / "out", *words)
    assert done.returncode == 0, done.stderr
    assert b"VP8L" in (tmp_path / "out" / "a_b.webp").read_bytes()[:32]
    with Image.open(io.BytesIO((tmp_path / "out" / "a_b.webp").read_bytes())) as image:
        assert image.size == (20, 20)
    done = run_i2i("translate", tmp_path / "in", "-m", tiny_onnx, "-o", tmp_path / "o", "--quality", "101")
    assert done.returncode == 2
    assert re.search("1 to 100.*lossless", done.stderr)
