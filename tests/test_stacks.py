"""Which files, and which planes of a file, make a picture."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import rasterio
import tifffile

import i2i
from i2i.config.settings import DataSettings
from i2i.data.folders import find_pairs
from i2i.errors import ConfigError, DataError, ImageError
from i2i.images import Layout, read_facts, read_image
from i2i.images.decode import opened
from i2i.images.stacking import files_of, group_files
from i2i.models.modelfile import read_spec
from tests.conftest import picture, run_i2i, tiny_config

BANDS = ("B2", "B8A", "B10")
STACK = ("data.stack_a={name}_B*.tif", "data.channels_a=[blue,nir,cirrus]", "data.channels_b=1", "data.direction=A2B")


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """Scenes as a file for each band, beside pictures of them, and one grey picture each."""
    root = tmp_path_factory.mktemp("scenes")
    for split, count in (("train", 4), ("val", 2), ("test", 2)):
        (root / f"{split}A" / "north").mkdir(parents=True)
        (root / f"{split}B" / "north").mkdir(parents=True)
        for k in range(count):
            where = {"driver": "GTiff", "width": 32, "height": 32, "count": 1, "dtype": "uint16"}
            where |= {"transform": rasterio.Affine(10, 0, 600000, 0, -10, 5000000), "crs": "EPSG:32633"}
            for place, band in enumerate(BANDS):
                with rasterio.open(root / f"{split}A" / "north" / f"s_{k}_{band}.tif", "w", **where) as file:
                    file.write(plane(k, place), 1)
            i2i.images.write_image(root / f"{split}A" / f"s_{k}_TCI.png", picture(32, 32))
            i2i.images.write_image(root / f"{split}B" / "north" / f"s_{k}.png", picture(32, 32, 1, seed=k))
    return root


def plane(seed, place):
    return (picture(32, 32, 1, np.uint16, seed=seed)[:, :, 0] >> place).astype(np.uint16)


def test_files_go_together_in_the_order_of_their_numbers():
    names = ["n/x_B10.tif", "n/x_B2.tif", "n/x_B8A.tif", "n/x_B8.tif", "x_TCI.jpg", "x_B2.txt"]
    found, lacking = group_files(names, "{name}_B*.tif")
    assert lacking == {}
    assert found == {"n/x": "n/x_B{2,8,8A,10}.tif"}
    assert [path.as_posix() for path in files_of(Path(found["n/x"]))] == [
        "n/x_B2.tif",
        "n/x_B8.tif",
        "n/x_B8A.tif",
        "n/x_B10.tif",
    ]
    found, _ = group_files(["a/B1.tif", "b.c/B1.tif"], "{name}/B*.tif")
    assert found == {"a": "a/B{1}.tif", "b.c": "b.c/B{1}.tif"}
    found, lacking = group_files([*names, "y_B2.tif", "y_B8A.tif"], "{name}_B*.tif")
    assert [*found] == ["n/x"]
    assert lacking == {"y": ("8, 10", ("y_B2.tif", "y_B8A.tif"))}
    for pattern in ("B*.tif", "{name}.tif", "{name}_*_B*.tif"):
        with pytest.raises(ConfigError, match="stack_a"):
            tiny_config(f"data.stack_a={pattern}")


def test_a_picture_that_lacks_files_stops_a_training_and_no_other_translation(scenes, tmp_path):
    shutil.copytree(scenes, tmp_path / "D")
    run = i2i.train(tiny_config(*STACK, "schedule.images=4", "schedule.decay_images=0", data=scenes), tmp_path / "run")
    for split in ("train", "test"):
        (tmp_path / "D" / f"{split}A" / "north" / f"s_1_{BANDS[1]}.tif").unlink()
    done = run_i2i("translate", tmp_path / "D" / "testA", "-m", run, "-o", tmp_path / "out")
    assert done.returncode == 3
    assert "north/s_1" in done.stderr
    assert f"s_1_{BANDS[0]}" not in done.stderr  # among what is left out
    assert [one.name for one in (tmp_path / "out" / "north").iterdir()] == ["s_0.tif"]
    with pytest.raises(DataError, match=r"north/s_1 has no"):
        find_pairs([str(tmp_path / "D")], "train", layouts=tiny_config(*STACK, data=scenes).data.layouts)


def test_a_model_of_stacks_from_training_to_outputs(scenes, tmp_path):
    config = tiny_config(*STACK, "schedule.images=4", "schedule.decay_images=0", "data.cache=disk", data=scenes)
    config = config.model_copy(update={"data": config.data.model_copy(update={"cache_path": str(tmp_path / "cache")})})
    pairs = find_pairs(config.data.path, "train", layouts=config.data.layouts)
    assert [pair.name for pair in pairs] == [f"north/s_{k}" for k in range(4)]
    array = read_image(pairs[1].a, layout=pairs[1].layouts[0])
    np.testing.assert_array_equal(array, np.stack([plane(1, place) for place in range(3)], axis=2))
    run = i2i.train(config, tmp_path / "run")
    assert read_spec(tmp_path / "run" / "model.safetensors").generators["A2B"].inputs.stack == "{name}_B*.tif"
    done = run_i2i("translate", scenes / "testA", "-m", run, "-o", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert "TCI" in done.stderr  # what is left out is named
    outputs = sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.*"))
    assert outputs == ["north/s_0.tif", "north/s_1.tif"]
    with rasterio.open(tmp_path / "out" / "north" / "s_1.tif") as file:
        assert file.crs.to_epsg() == 32633
        np.testing.assert_array_equal(
            file.read(1), i2i.load(run)(np.stack([plane(1, k) for k in range(3)], 2))[:, :, 0]
        )
    assert run_i2i("evaluate", "-m", run, "--data", scenes).returncode == 0


def test_files_that_do_not_fit_one_another_are_named(tmp_path):
    for name, array in (
        ("x_B1.tif", picture(20, 30, 1)),
        ("x_B2.tif", picture(20, 31, 1)),
        ("x_B3.tif", picture(20, 30)),
    ):
        tifffile.imwrite(tmp_path / name, array)
    layout = Layout(2, ("a", "b"), stack="{name}_B*.tif")
    with pytest.raises(ImageError, match=r"x_B2\.tif is 31x20"):
        read_image(tmp_path / "x_B{1,2}.tif", layout=layout)
    with pytest.raises(ImageError, match=r"x_B3\.tif has 3 channels"):
        read_image(tmp_path / "x_B{1,3}.tif", layout=layout)
    with pytest.raises(ImageError, match=r"x_B9\.tif"):
        read_image(tmp_path / "x_B{1,9}.tif", layout=layout)
    with pytest.raises(ImageError, match="3 channels, but 2"):
        read_image(tmp_path / "x_B{1,2,4}.tif", layout=layout)


@pytest.mark.parametrize("kind", ["ome", "imagej"])
def test_a_plane_of_depths_and_times(tmp_path, kind):
    array = np.random.default_rng(0).integers(0, 65535, (2, 3, 4, 20, 30)).astype(np.uint16)  # t, z, c
    tifffile.imwrite(tmp_path / "a.tif", array, **{kind: True}, metadata={"axes": "TZCYX"}, photometric="minisblack")
    bands = Layout(4, ("a", "b", "c", "d"))
    with pytest.raises(ImageError, match="--plane"):
        read_image(tmp_path / "a.tif", layout=bands)
    chosen = bands._replace(plane=(("t", 2), ("z", 3)))
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif", layout=chosen), array[1, 2].transpose(1, 2, 0))
    grey = Layout(1, plane=(("c", 2), ("t", 1), ("z", 3)))
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif", layout=grey)[:, :, 0], array[0, 2, 1])
    assert read_facts(tmp_path / "a.tif", layout=grey).size == (20, 30)
    with pytest.raises(ImageError, match="3 along z, and number 4"):
        read_image(tmp_path / "a.tif", layout=bands._replace(plane=(("t", 1), ("z", 4))))


def test_a_page_is_the_picture_and_others_are_not_read(tmp_path):
    array = np.stack([picture(20, 30, seed=k) for k in range(3)])
    tifffile.imwrite(tmp_path / "same.tif", array, photometric="rgb", metadata=None)
    with tifffile.TiffWriter(tmp_path / "sizes.tif") as file:
        for k in range(3):
            file.write(picture(20, 30 + k, seed=k), photometric="rgb", metadata=None)
    second = Layout(3, plane=(("page", 2),))
    np.testing.assert_array_equal(read_image(tmp_path / "same.tif", layout=second), array[1])
    np.testing.assert_array_equal(read_image(tmp_path / "sizes.tif", layout=second), picture(20, 31, seed=1))
    with opened(tmp_path / "same.tif", 10**8, second) as source:
        series = source.stack
        assert series.channels == 3
    with pytest.raises(ImageError, match="page"):
        read_image(tmp_path / "same.tif", layout=Layout(3, plane=(("page", 4),)))
    i2i.images.write_image(tmp_path / "a.png", picture(20, 30))
    with pytest.raises(ImageError, match="no TIFF"):
        read_image(tmp_path / "a.png", layout=second)


def test_translate_takes_another_plane_than_the_training(tiny_run, tmp_path):
    array = np.stack([picture(32, 32, seed=k) for k in range(2)])
    tifffile.imwrite(tmp_path / "a.tif", array, photometric="rgb", metadata=None)
    for words, page in (((), 0), (("--plane", "page=2"), 1)):
        out = tmp_path / f"{page}.tif"
        assert run_i2i("translate", tmp_path / "a.tif", "-m", tiny_run, "-o", out, *words).returncode == 0
        np.testing.assert_array_equal(tifffile.imread(out), i2i.load(tiny_run)(array[page]))
    assert run_i2i("translate", tmp_path / "a.tif", "-m", tiny_run, "--plane", "y=2").returncode == 2


def test_settings_of_planes():
    assert DataSettings(plane_a={"z": 3, "t": 1}).layouts[0].plane == (("t", 1), ("z", 3))
    with pytest.raises(ConfigError, match="plane_a"):
        tiny_config("data.plane_a={z: 0}")
