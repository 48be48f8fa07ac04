"""Single pictures: every format, depth and channel count, and broken files."""

import errno
import os
import struct
import sys
import time
import zlib

import cv2
import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from i2i.errors import ImageError
from i2i.images import (
    FORMATS,
    from_range,
    from_unit,
    holds,
    read_header,
    read_image,
    to_channels,
    to_range,
    to_unit,
    turn,
    write_image,
)
from i2i.images.decode import opened
from i2i.images.listing import list_pictures
from i2i.images.source import gif_frames
from i2i.runtime.pictures import PictureOptions, counted
from tests.conftest import picture

LOSSLESS = [".png", ".tif", ".tiff", ".bmp", ".ppm"]


@pytest.mark.parametrize("suffix", LOSSLESS)
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_lossless_formats_come_back_value_for_value(tmp_path, suffix, channels, dtype):
    array = picture(33, 47, channels, dtype)
    path = tmp_path / f"a{suffix}"
    if not holds(suffix, array.dtype.itemsize * 8, channels):
        with pytest.raises(ImageError, match="cannot hold"):
            write_image(path, array)
        assert not path.exists()
        return
    write_image(path, array)
    back = read_image(path)
    assert back.dtype == dtype
    np.testing.assert_array_equal(to_channels(back, channels), array)
    assert read_header(path) == (33, 47)


@pytest.mark.parametrize("suffix", [".jpg", ".webp"])
def test_lossy_formats_come_back_close(tmp_path, suffix):
    y, x = np.mgrid[:64, :80]
    array = np.stack([x * 3, y * 3, 255 - x * 3], axis=2).astype(np.uint8)
    write_image(tmp_path / f"a{suffix}", array)
    assert np.abs(read_image(tmp_path / f"a{suffix}").astype(int) - array).mean() < 2


@given(
    hnp.arrays(
        st.sampled_from([np.uint8, np.uint16]),
        st.tuples(st.integers(1, 5), st.integers(1, 5), st.sampled_from([1, 3, 4])),
    )
)
def test_unit_range_and_back_is_the_identity(array):
    values = to_unit(array)
    assert values.dtype == np.float32
    assert values.shape == (array.shape[2], *array.shape[:2])
    assert np.abs(values).max() <= 1
    np.testing.assert_array_equal(from_unit(values, array.dtype), array)


def test_unit_range_rounds_and_clips():
    values = np.array([-1.5, -1, -1 + 0.9 / 255, -1 + 1.1 / 255, 0, 1, 2], dtype=np.float32).reshape(1, 1, 7)
    assert from_unit(values).ravel().tolist() == [0, 0, 0, 1, 128, 255, 255]


def test_pixels_fill_the_range_that_is_given_and_go_back(tmp_path):
    deep = np.array([[[0], [1], [2047], [4095]]], np.uint16)
    np.testing.assert_array_equal(from_range(deep, tmp_path, (0, 4095)).ravel(), [0, 16, 32759, 65535])
    np.testing.assert_array_equal(to_range(from_range(deep, tmp_path, (0, 4095)), (0, 4095)), deep)
    every = np.arange(65536, dtype=np.uint16).reshape(256, 256, 1)
    np.testing.assert_array_equal(to_range(from_range(every, tmp_path, (0, 65535)), (0, 65535)), every)
    floats = np.array([[[-1000], [0], [3000]]], np.float32)
    np.testing.assert_allclose(from_range(floats, tmp_path, (-1000, 3000)).ravel(), [0, 0.25, 1])
    np.testing.assert_allclose(to_range(from_range(floats, tmp_path, (-1000, 3000)), (-1000, 3000)), floats, atol=1e-3)
    for array in (deep.astype(np.uint8), deep):  # bytes always use their full range; so do others if none is given
        assert from_range(array, tmp_path, (0, 4095) if array.dtype == np.uint8 else None) is array
    clear = np.array([[[2047, 0], [4095, 65535]]], np.uint16)
    assert from_range(clear, tmp_path, (0, 4095)).tolist() == [[[32759, 0], [65535, 65535]]]
    np.testing.assert_array_equal(to_range(from_range(clear, tmp_path, (0, 4095)), (0, 4095)), clear)
    with pytest.raises(ImageError, match=r"0 to 4095.*0 to 4000[^$]*data\.input_range"):
        from_range(deep, tmp_path, (0, 4000))


@pytest.mark.parametrize(("value", "name"), [(np.nan, "NaN"), (np.inf, "infinity"), (-np.inf, "infinity")])
def test_nan_and_infinity_in_a_float_picture_are_named(tmp_path, value, name):
    array = np.full((8, 9), 0.5, np.float32)
    array[3, 4] = value
    tifffile.imwrite(tmp_path / "a.tif", array, photometric="minisblack")
    with pytest.raises(ImageError, match=rf"a\.tif holds {name}: 1 of 72 values"):
        read_image(tmp_path / "a.tif")


def test_two_channels_of_an_array_are_not_taken_for_grey_and_alpha(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((8, 9, 2), np.uint8))
    with pytest.raises(ImageError, match=r"a\.npy.*\(8, 9, 2\)"):
        read_header(tmp_path / "a.npy")


@given(
    hnp.arrays(
        st.sampled_from([np.uint8, np.uint16]),
        st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(1, 4)),
    ),
    st.sampled_from([1, 3, 4]),
)
def test_channels_convert_without_leaving_the_range(array, channels):
    made = to_channels(array, channels)
    assert made.shape == (*array.shape[:2], channels)
    assert made.dtype == array.dtype
    np.testing.assert_array_equal(to_channels(made, channels), made)


def test_channels_convert_as_in_pillow():
    array = picture(20, 20, 3)
    grey = np.asarray(Image.fromarray(array).convert("L"))
    np.testing.assert_array_equal(to_channels(array, 1)[:, :, 0], grey)


def test_alpha_is_composited_on_white():
    array = np.array([[[100, 0, 200, 0], [100, 0, 200, 255], [100, 0, 200, 51]]], dtype=np.uint8)
    assert to_channels(array, 3)[0].tolist() == [[255, 255, 255], [100, 0, 200], [224, 204, 244]]
    assert to_channels(array[:, :, [0, 3]], 1)[0, :, 0].tolist() == [255, 100, 224]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif"])
def test_exif_orientation_is_applied(tmp_path, orientation, suffix):
    array = np.zeros((24, 40, 3), dtype=np.uint8)
    array[:8, :16] = 255  # a white block at the top left shows the orientation
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"a{suffix}"
    Image.fromarray(array).save(path, exif=exif)
    expected = turn(array, orientation)
    back = read_image(path)
    assert back.shape == expected.shape
    assert np.abs(back.astype(int) - expected).mean() < 3
    assert read_header(path) == expected.shape[:2]


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
@pytest.mark.parametrize(
    "entry", [(3, 1, 9), (3, 1, 0), (2, 2, 54), (7, 1, 6), None], ids=["9", "0", "text", "undefined", "garbage"]
)
def test_invalid_exif_orientation_is_ignored(tmp_path, suffix, entry):
    header = b"Exif\0\0II*\0\x08\0\0\0\x01\0"
    exif = header + struct.pack("<HHII", 0x0112, *entry) + bytes(4) if entry else b"Exif\0\0no tiff"
    Image.new("RGB", (30, 20)).save(tmp_path / f"a{suffix}", exif=exif)
    assert read_header(tmp_path / f"a{suffix}") == (20, 30)
    assert read_image(tmp_path / f"a{suffix}").shape == (20, 30, 3)


@pytest.mark.parametrize("options", [{"subsampling": 0}, {"subsampling": 2}, {"progressive": True}, {"keep_rgb": True}])
@pytest.mark.parametrize("tail", [b"", b"padding"], ids=["whole", "padded"])
def test_jpegs_decode_as_in_pillow(tmp_path, options, tail):
    for mode in ("RGB", "L"):
        Image.fromarray(picture(97, 113)).convert(mode).save(tmp_path / "a.jpg", quality=80, **options)
        (tmp_path / "a.jpg").write_bytes((tmp_path / "a.jpg").read_bytes() + tail)
        expected = np.asarray(Image.open(tmp_path / "a.jpg"))
        np.testing.assert_array_equal(read_image(tmp_path / "a.jpg"), expected.reshape(97, 113, -1))


def test_jpegs_with_damage_inside_are_refused(tmp_path, capfd):
    Image.fromarray(picture(128, 128)).save(tmp_path / "a.jpg", quality=95)
    content = (tmp_path / "a.jpg").read_bytes()
    middle = len(content) // 2
    for tail in (b"", b"what a phone puts behind"):
        (tmp_path / "a.jpg").write_bytes(content[:middle] + content[middle + 1000 :] + tail)
        with pytest.raises(ImageError, match=r"a\.jpg.* damaged"):
            read_image(tmp_path / "a.jpg")
    tables = content.index(b"\xff\xdb")
    (tmp_path / "b.jpg").write_bytes(content[:tables] + b"stray" + content[tables:])  # as some programs write it
    assert read_image(tmp_path / "b.jpg").shape == (128, 128, 3)
    (tmp_path / "b.jpg").write_bytes((content[:tables] + b"stray" + content[tables:])[:-1000])
    with pytest.raises(ImageError, match="truncated"):
        read_image(tmp_path / "b.jpg")
    assert capfd.readouterr().err == ""  # libjpeg in OpenCV prints by itself


def test_turn_matches_pillow():
    array = picture(6, 9)
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        image = Image.fromarray(array)
        image.getexif()[0x0112] = orientation
        from PIL import ImageOps

        np.testing.assert_array_equal(turn(array, orientation), np.asarray(ImageOps.exif_transpose(image)))


def test_deep_pictures_with_an_orientation(tmp_path):
    array = picture(10, 14, 3, np.uint16)
    ok, encoded = cv2.imencode(".png", array[:, :, ::-1])
    assert ok
    exif = Image.Exif()
    exif[0x0112] = 6
    body = exif.tobytes()[6:]
    chunk = struct.pack(">I", len(body)) + b"eXIf" + body + struct.pack(">I", zlib.crc32(b"eXIf" + body))
    content = encoded.tobytes()
    (tmp_path / "a.png").write_bytes(content[:33] + chunk + content[33:])
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), turn(array, 6))
    assert read_header(tmp_path / "a.png") == (14, 10)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I;16"])
def test_every_mode_becomes_a_plain_array(tmp_path, mode):
    grey = Image.fromarray(picture(12, 16, 1)[:, :, 0])
    image = Image.fromarray(picture(12, 16, 1, np.uint16)[:, :, 0]) if mode == "I;16" else grey.convert(mode)
    suffix = ".jpg" if mode == "YCbCr" else ".tif" if mode == "CMYK" else ".png"
    image.save(tmp_path / f"a{suffix}")
    array = read_image(tmp_path / f"a{suffix}")
    assert array.shape[:2] == (12, 16)
    assert array.dtype == (np.uint16 if mode == "I;16" else np.uint8)
    expected = to_channels(picture(12, 16, 1), 3)
    if mode not in ("1", "I;16"):  # grey in every colour space, not inverted
        assert np.abs(to_channels(array, 3).astype(int) - expected).mean() < 4


def test_a_palette_with_a_transparent_colour(tmp_path):
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putpixel((1, 0), 1)
    image.save(tmp_path / "a.png", transparency=1)
    assert read_image(tmp_path / "a.png")[0].tolist() == [[10, 20, 30, 255], [40, 50, 60, 0]]


def test_a_ppm_of_ten_bits_fills_the_range(tmp_path):
    values = np.array([[[0, 511, 1023], [1023, 0, 4]]], dtype=">u2")
    (tmp_path / "a.ppm").write_bytes(b"P6 2 1 1023\n" + values.tobytes())
    expected = np.rint(values.astype(float) * 65535 / 1023)
    np.testing.assert_array_equal(read_image(tmp_path / "a.ppm"), expected)


def broken_files(folder):
    """One of each kind of file that gets into picture folders by mistake, and a word of its message."""
    good = folder / "good.png"
    write_image(good, picture(64, 64))
    content = good.read_bytes()
    cases = {
        "empty.png": (b"", "is empty"),
        "text.png": (b"<!doctype html><title>404</title>", "not a picture"),
        "cut.png": (content[: len(content) // 2], "damaged"),
        "cut_header.png": (content[:20], "damaged|not a picture"),
        "flipped.png": (content[:60] + bytes([content[60] ^ 255]) + content[61:], "damaged"),
    }
    for name, (body, words) in cases.items():
        (folder / name).write_bytes(body)
        yield folder / name, words
    image = Image.fromarray(picture(64, 64))
    image.save(folder / "cut.jpg")
    (folder / "cut.jpg").write_bytes((folder / "cut.jpg").read_bytes()[:-400])
    yield folder / "cut.jpg", "damaged"
    Image.fromarray(np.full((4, 4), 2, np.float32)).save(folder / "float.tif")
    yield folder / "float.tif", "2 to 2.*0 to 1"
    if sys.platform == "win32":
        return  # it has no named pipes, and links need rights
    os.mkfifo(folder / "pipe.png")
    yield folder / "pipe.png", "regular"
    (folder / "dangling.png").symlink_to(folder / "nowhere.png")
    yield folder / "dangling.png", "does not exist"
    (folder / "loop.png").symlink_to(folder / "loop.png")
    yield folder / "loop.png", os.strerror(errno.ELOOP)


def test_broken_files_are_named_with_their_reason(tmp_path):
    for path, words in broken_files(tmp_path):
        with pytest.raises(ImageError, match=words) as error:
            read_image(path)
        assert str(path) in str(error.value)
        assert str(error.value).count("\n") <= 1


def gif(path, frames, side=1):
    """A GIF of square frames, some behind a comment and with colours of their own."""
    sides = struct.pack("<HH", side, side)
    with path.open("wb") as file:
        file.write(b"GIF89a" + sides + b"\x80\0\0" + bytes(6))
        for number in range(frames):
            own = number % 3 == 1
            file.write(b"!\xfe\3abc\0" if number % 4 == 1 else b"")
            file.write(b"," + bytes(4) + sides + (b"\x80" + bytes(6) if own else b"\0") + b"\2\2\x44\1\0")
        file.write(b";")
    return path


@pytest.mark.parametrize("frames", [1, 2, 50])
def test_frames_of_a_gif_are_counted_without_decoding(frames, tmp_path):
    path = gif(tmp_path / "a.gif", frames)
    with path.open("rb") as file:
        assert gif_frames(file, 100) == Image.open(path).n_frames == frames
        assert gif_frames(file, 1) == 1
    Image.new("RGB", (40, 30)).save(path, save_all=True, append_images=[Image.new("RGB", (40, 30), "red")] * 3)
    for cut in (path.stat().st_size, path.stat().st_size // 2, 20, 13, 11):
        (tmp_path / "cut.gif").write_bytes(path.read_bytes()[:cut])
        with (tmp_path / "cut.gif").open("rb") as file:
            assert 0 <= gif_frames(file, 100) <= 2
    with path.open("rb") as file:
        assert gif_frames(file, 100) == Image.open(path).n_frames


def test_millions_of_tiny_frames_keep_nobody_busy(tmp_path):
    path, began = gif(tmp_path / "many.gif", 200_000), time.process_time()
    with opened(path, 10**8) as source:
        assert source.decode().shape == (1, 1, 3)
        assert source.left_out() == 9_999
        with pytest.raises(ImageError, match="24,415 "):
            counted(source, PictureOptions(frames="all"))
    ours, began = time.process_time() - began, time.process_time()
    assert Image.open(path).n_frames == 200_000
    assert time.process_time() - began > 2 * ours
    with opened(gif(path, 24_000), 10**8) as source:
        assert counted(source, PictureOptions(frames="all")) == (24_000, 24_000)
    with opened(gif(path, 61, 2000), 10**8) as source, pytest.raises(ImageError, match=r"61 .* 244,000,000 "):
        counted(source, PictureOptions(frames="all"))


def test_size_is_checked_before_decoding(tmp_path):
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    bomb = (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 1000))
        + chunk(b"IEND", b"")
    )
    (tmp_path / "bomb.png").write_bytes(bomb)
    for read in (read_image, read_header):
        with pytest.raises(ImageError, match="100,000,000 pixels"):
            read(tmp_path / "bomb.png")
    write_image(tmp_path / "small.png", picture(20, 20))
    with pytest.raises(ImageError, match=r"20x20.*399 pixels"):
        read_image(tmp_path / "small.png", max_pixels=399)


def test_a_failed_write_names_the_file_and_leaves_nothing(tmp_path):
    (tmp_path / "blocked").write_bytes(b"")
    with pytest.raises(ImageError, match=r"a\.png"):
        write_image(tmp_path / "blocked" / "a.png", picture(4, 4))
    with pytest.raises(ImageError, match=r"Use \.png"):
        write_image(tmp_path / "a.gif", picture(4, 4))
    assert [path.name for path in tmp_path.iterdir()] == ["blocked"]


def test_listing_is_sorted_and_skips_the_rest(tmp_path):
    for name in ("b.PNG", "a.jpg", "notes.txt", ".hidden.png", "sub/c.tif"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "folder.png").mkdir()
    assert [path.name for path in list_pictures(tmp_path)] == ["a.jpg", "b.PNG", "c.tif"]
    assert set(FORMATS) >= {".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp"}


@pytest.mark.parametrize("ending", [".jfif", ".jpe", ".apng", ".pnm"])
def test_rare_suffixes_are_pictures_too(tmp_path, ending):
    write_image(tmp_path / f"a{ending}", picture(30, 40))
    assert [path.name for path in list_pictures(tmp_path)] == [f"a{ending}"]
    assert read_image(tmp_path / f"a{ending}").shape == (30, 40, 3)
