"""Sheets, grids, clouds and animations: every picture where it should be, as it should be."""

import io

import numpy as np
import pytest
from PIL import Image, ImageSequence

from i2i.report.sheets import animation, cloud_png, cut_sheet, grid_png, sheet_png
from tests.conftest import picture


def opened(content):
    return np.asarray(Image.open(io.BytesIO(content)))


def test_a_grid_holds_every_picture_over_its_label():
    pictures = [picture(32, 32, seed=k) for k in range(5)]
    grid = opened(grid_png(pictures, ["7", "8", "9", "10", ""]))
    # 5 pictures go into 3 columns and 2 rows; 32 px are enlarged three times, 16 px of label and 4 of gap follow.
    assert grid.shape == (4 + 2 * (96 + 16 + 4), 4 + 3 * (96 + 4), 3)
    for k, one in enumerate(pictures):
        left, top = 4 + k % 3 * 100, 4 + k // 3 * 116
        np.testing.assert_array_equal(grid[top : top + 96 : 3, left : left + 96 : 3], one)
        label = grid[top + 96 : top + 112, left : left + 96]
        assert (label.min() < 100) == (k < 4)
    assert (grid[120:216, 204:300] == 255).all()


def test_a_grid_has_the_columns_asked_for_and_room_for_long_labels():
    pictures = [picture(100, 100, seed=1), None, picture(100, 60, seed=2)]
    assert opened(grid_png(pictures, [""] * 3, columns=3)).shape == (4 + 120, 4 + 3 * 104, 3)
    wide = opened(grid_png(pictures, ["", "9" * 40, ""], columns=1))
    assert wide.shape[1] > 200
    assert (wide[-6:, :, 0] == 255).all()
    assert (wide[124 + 4 : 124 + 4 + 100] == 255).all()  # the empty cell


def colours(content):
    return {tuple(int(value) for value in pixel) for row in opened(content) for pixel in row}


def test_a_cloud_shows_points_where_they_are():
    cloud = opened(cloud_png(np.array([[0.75, 0.75]], np.float32)))
    assert cloud.shape == (480, 480, 3)
    blue = np.argwhere((cloud == (0x22, 0x66, 0xCC)).all(axis=2))
    blue = blue[(blue > 60).all(axis=1)]  # except for the caption
    np.testing.assert_allclose(blue.mean(axis=0), [120, 360], atol=1)  # y grows upwards


def test_a_cloud_has_the_real_points_behind_and_grows_to_hold_all():
    made, real = np.array([[0.5, -0.5], [3.2, 0]]), np.array([[0.5, -0.5], [-1.0, -1.0]])
    cloud = opened(cloud_png(made, real))
    for (x, y), colour in (((0.5, -0.5), "2266cc"), ((3.2, 0), "2266cc"), ((-1, -1), "c9ccd2")):
        shown = cloud[round((1 - y / 3.5) * 240), round((1 + x / 3.5) * 240) - 1]
        np.testing.assert_array_equal(shown, list(bytes.fromhex(colour)))
    assert (0xC9, 0xCC, 0xD2) not in colours(cloud_png(made))


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("suffix", [".webp", ".gif"])
def test_an_animation_has_every_frame_at_its_time(suffix, channels):
    frames = [picture(32, 40, channels, seed=k) for k in range(6)]
    made = Image.open(io.BytesIO(animation(frames, suffix, fps=20)))
    assert getattr(made, "n_frames", 1) == 6
    assert made.info["loop"] == 0
    for frame, one in zip(ImageSequence.Iterator(made), frames, strict=True):
        frame.load()  # WebP reports the duration only then
        assert frame.info["duration"] == 50
        assert frame.size == (40, 32)
        shown = np.asarray(frame.convert({1: "L", 3: "RGB", 4: "RGBA"}[channels])).reshape(one.shape)
        if suffix == ".webp":
            seen = one[:, :, 3:] > 0 if channels == 4 else True  # hidden pixels have no colour to keep
            np.testing.assert_array_equal(shown * seen, one * seen)
        elif channels != 4:  # alpha becomes white there
            assert np.abs(shown.astype(int) - one).mean() < 8


@pytest.mark.parametrize("side", [64, 128, 300])
def test_a_sheet_gives_its_pictures_back(side):
    rows = [[picture(side, side, seed=3 * row + column) for column in range(3)] for row in range(4)]
    found = cut_sheet(opened(sheet_png(rows, ("a", "b", "c"))), 3)
    assert [len(row) for row in found] == [3] * 4
    for row, drawn in zip(found, rows, strict=True):
        for one, other in zip(row, drawn, strict=True):
            assert np.array_equal(one, other) if side < 256 else one.shape == (256, 256, 3)
