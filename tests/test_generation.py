"""The files that the commands for pictures from noise write."""

import re

import numpy as np
import pytest
from PIL import Image

import i2i
from i2i.images import read_image
from i2i.report.sheets import cloud_png, grid_png
from i2i.runtime.latents import seed_latents, walk
from i2i.runtime.styles import mix, truncate
from i2i.runtime.traverse import traverse
from tests.cli.test_cli import call
from tests.conftest import noise, run_i2i

CELL, DOWN = 100, 116  # 32 px three times and a gap; and the line of the label


def cell(grid, row, column):
    """The picture in a cell of a grid of 32 px pictures."""
    top, left = 4 + row * DOWN, 4 + column * CELL
    return grid[top : top + 96 : 3, left : left + 96 : 3]


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_grid_is_numbered_from_the_seed(here, noise_model):
    assert call("generate", "-m", str(noise_model), "-n", "7", "--seed", "5", "-o", "grid.png") == 0
    grid = read_image(here / "grid.png")
    pictures = i2i.load(noise_model).pictures(seed_latents(range(5, 12), noise(16)))
    for k, one in enumerate(pictures):
        np.testing.assert_array_equal(cell(grid, k // 3, k % 3), one)
    expected = grid_png(pictures, [str(seed) for seed in range(5, 12)])
    assert (here / "grid.png").read_bytes() == expected


def test_onnx_makes_the_same_files(here, noise_model, noise_onnx):
    for model, folder in ((noise_model, "torch"), (noise_onnx, "onnx")):
        done = run_i2i("generate", "-m", model, "-n", 3, "--seed", 99, "--separate", "-o", folder, cwd=here)
        assert done.returncode == 0, done.stderr
        assert re.search(r"\b3 pictures\b.* cpu\b", done.stderr)
        assert sorted(path.name for path in (here / folder).iterdir()) == [f"0000{n}.png" for n in ("99",)] + [
            "000100.png",
            "000101.png",
        ]
    for one in (here / "torch").iterdir():
        difference = read_image(one).astype(int) - read_image(here / "onnx" / one.name)
        assert np.abs(difference).max() <= 1


def test_latents_can_be_kept_and_used_again(here, noise_onnx):
    model = ("-m", str(noise_onnx))
    assert call("generate", *model, "-n", "4", "--seed", "8", "-o", "a.png", "--save-latents", "z.npy") == 0
    np.testing.assert_array_equal(np.load("z.npy"), seed_latents(range(8, 12), noise(16)))
    assert call("generate", *model, "--latents", "z.npy", "-o", "b", "--separate") == 0
    assert [path.name for path in sorted((here / "b").iterdir())] == [f"00000{row}.png" for row in range(4)]
    np.testing.assert_array_equal(read_image(here / "b" / "000003.png"), cell(read_image(here / "a.png"), 1, 1))
    assert call("generate", *model, "--latents", "z.npy", "-o", "b", "--separate", "--overwrite") == 0
    assert call("interpolate", *model, "--latents", "z.npy", "--steps", "2", "-o", "strip.png") == 0
    np.testing.assert_array_equal(cell(read_image(here / "strip.png"), 2, 2), read_image(here / "b" / "000003.png"))


def test_a_model_of_points_gives_a_cloud(here, point_model):
    assert call("generate", "-m", str(point_model), "-n", "1500", "-o", "cloud.png") == 0
    points = i2i.load(point_model).points(seed_latents(range(1500), noise(2)))
    assert (here / "cloud.png").read_bytes() == cloud_png(points)


def test_a_strip_has_a_row_for_each_leg(here, noise_onnx):
    assert call("interpolate", "-m", str(noise_onnx), "--seeds", "3,17,25", "--steps", "4", "-o", "strip.png") == 0
    strip = read_image(here / "strip.png")
    assert strip.shape == (4 + 2 * DOWN, 4 + 5 * CELL, 3)
    pictures = i2i.load(noise_onnx).pictures(walk(seed_latents([3, 17, 25], noise(16)), noise(16), 4))
    for k, one in enumerate(pictures[:5]):
        np.testing.assert_array_equal(cell(strip, 0, k), one)
        np.testing.assert_array_equal(cell(strip, 1, k), pictures[4 + k])
    words = ("interpolate", "-m", str(noise_onnx), "--seeds", "3,17,25", "--steps", "4", "--loop", "-o", "ring.png")
    assert call(*words) == 0
    ring = read_image(here / "ring.png")
    assert ring.shape == (4 + 3 * DOWN, 4 + 5 * CELL, 3)
    np.testing.assert_array_equal(cell(ring, 2, 4), pictures[0])


@pytest.mark.parametrize("kind", ["safetensors", "onnx"])
def test_mixes_are_a_grid_of_parents_and_their_mixes(here, style_model, style_onnx, kind):
    model = str(style_model if kind == "safetensors" else style_onnx)
    words = ["--coarse", "3,8", "--fine", "5,9,4", "--from-px", "16", "--truncation", "0.8", "-o", "m.png"]
    assert call("mix", "-m", model, *words) == 0
    grid, generator = read_image(here / "m.png"), i2i.load(model)
    blocks = generator.generator.blocks
    coarse, fine = (truncate(generator.draw(seeds), blocks, 0.8) for seeds in ([3, 8], [5, 9, 4]))
    mixed = mix(coarse.repeat(3, axis=0), np.tile(fine, (2, 1)), blocks, 16)
    wanted = {(0, 1 + k): one for k, one in enumerate(generator.pictures(fine))}
    wanted |= {(1 + k, 0): one for k, one in enumerate(generator.pictures(coarse))}
    wanted |= {(1 + k // 3, 1 + k % 3): one for k, one in enumerate(generator.pictures(mixed))}
    assert len(wanted) == 11
    for (row, column), one in wanted.items():
        np.testing.assert_array_equal(cell(grid, row, column)[::2, ::2], one)


def test_a_walk_through_styles_has_its_own_pictures(here, style_model):
    words = ["interpolate", "-m", str(style_model), "--seeds", "3,8", "--steps", "4"]
    assert call(*words, "-o", "z.png") == call(*words, "--space", "w", "-o", "w.png") == 0
    one, other = (read_image(here / name) for name in ("z.png", "w.png"))
    same = [np.array_equal(cell(one, 0, column), cell(other, 0, column)) for column in range(5)]
    assert same == [True, False, False, False, True]


def test_a_traversal_has_a_row_for_each_seed_and_a_column_for_each_value(here, noise_onnx):
    words = ["--code", "noise:4", "--seeds", "3,17", "--steps", "5", "--range", "-3", "3", "-o", "codes.png"]
    assert call("traverse", "-m", str(noise_onnx), *words) == 0
    grid, model = read_image(here / "codes.png"), i2i.load(noise_onnx)
    assert grid.shape == (4 + 2 * DOWN, 4 + 5 * CELL, 3)
    latents, _ = traverse(seed_latents([3, 17], noise(16)), noise(16), "noise:4", 5, (-3.0, 3.0))
    for row, of_row in enumerate(latents):
        for column, one in enumerate(model.pictures(of_row)):
            np.testing.assert_array_equal(cell(grid, row, column), one)


def test_a_traversal_of_classes_shows_each(here, named_model):
    assert call("traverse", "-m", str(named_model), "--code", "label", "-o", "codes.png") == 0
    grid, model = read_image(here / "codes.png"), i2i.load(named_model)
    assert grid.shape == (4 + 8 * DOWN, 4 + 2 * CELL, 3)
    for column, name in enumerate(("Bag", "Coat")):
        assert np.abs(cell(grid, 5, column).astype(int) - np.asarray(model(5, [name])[0])).max() <= 1


@pytest.mark.parametrize("suffix", ["webp", "gif"])
@pytest.mark.parametrize(("loop", "frames"), [([], 21), (["--loop"], 30)])
def test_an_animation_has_a_frame_for_each_step(here, noise_onnx, suffix, loop, frames):
    words = ["interpolate", "-m", str(noise_onnx), "--seeds", "3,17,25", "--fps", "25", "-o", f"walk.{suffix}", *loop]
    assert call(*words) == 0
    made = Image.open(here / f"walk.{suffix}")
    assert getattr(made, "n_frames", 1) == frames
    assert made.size == (32, 32)
    made.load()
    assert made.info["duration"] == 40


def test_arithmetic_shows_its_terms_and_keeps_its_result(here, noise_onnx):
    words = ["3,8,12", "5,9", "1", "-o", "sum.png", "--save-latents", "sum.npy"]
    assert call("arithmetic", "-m", str(noise_onnx), *words) == 0
    a, b, c = (seed_latents(seeds, noise(16)).mean(axis=0) for seeds in ([3, 8, 12], [5, 9], [1]))
    np.testing.assert_allclose(np.load("sum.npy"), (a - b + c)[None], atol=1e-6)
    sheet, model = read_image(here / "sum.png"), i2i.load(noise_onnx)
    assert sheet.shape == (4 + 4 * DOWN, 4 + 4 * CELL, 3)
    expected = {(0, 0): 3, (0, 2): 12, (1, 1): 9, (2, 0): 1}
    for (row, column), seed in expected.items():
        np.testing.assert_array_equal(cell(sheet, row, column), np.asarray(model(seed)[0]))
    for row, mean in enumerate((a, b, c, a - b + c)):
        difference = cell(sheet, row, 3).astype(int) - model.pictures(mean[None])[0]
        assert np.abs(difference).max() <= 1
    assert (cell(sheet, 1, 2) == cell(sheet, 3, 0)).all()  # empty


@pytest.mark.parametrize(
    ("given", "expected"),
    [(["Coat"], (0, 1)), (["Bag", "Bag", "Coat"], (0, 1)), (["Coat", "Bag", "Bag"], (0, 1)), (["Bag"], (1, 0))],
)
def test_arithmetic_keeps_to_the_labels_by_name(here, named_model, given, expected):
    """One label for all, or one for each of a, b and c; labels do not change the noise of the seeds."""
    words = ["3,8,12", "5,9", "1", "-o", "sum.png", "--save-latents", "sum.npy"]
    assert call("arithmetic", "-m", str(named_model), *words, *(f"--label={one}" for one in given)) == 0
    a, b, c = (seed_latents(seeds, noise(4)).mean(axis=0) for seeds in ([3, 8, 12], [5, 9], [1]))
    latent = np.load("sum.npy")
    np.testing.assert_allclose(latent[0, :4], a - b + c, atol=1e-6)
    np.testing.assert_array_equal(latent[0, 4:], expected)
    labels = given if len(given) == 3 else given * 3
    sheet, model = read_image(here / "sum.png"), i2i.load(named_model)
    for row, (seed, name) in enumerate(zip((3, 5, 1), labels, strict=True)):
        assert np.abs(cell(sheet, row, 0).astype(int) - np.asarray(model(seed, [name])[0])).max() <= 1


@pytest.mark.parametrize(("given", "word"), [(["Bag", "Coat"], "--label"), (["Hat"], "Hat")])
def test_arithmetic_refuses_labels_it_cannot_place(here, named_model, capsys, given, word):
    words = ["3", "5", "1", "-o", "sum.png", *(f"--label={one}" for one in given)]
    assert call("arithmetic", "-m", str(named_model), *words) == 2
    assert word in capsys.readouterr().err
    assert not list(here.iterdir())


def test_the_smallest_requests(here, noise_onnx):
    model = ("-m", str(noise_onnx))
    assert call("generate", *model, "-n", "1", "-o", "grid.png") == 0
    assert call("arithmetic", *model, "1", "1", "1", "-o", "sum.png") == 0
    assert call("interpolate", *model, "--seeds", "1,1", "--steps", "1", "-o", "strip.png") == 0
    for name in ("grid", "sum", "strip"):
        assert read_image(here / f"{name}.png").size
