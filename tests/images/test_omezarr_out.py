"""OME-Zarr pictures out: values, axes, sizes and names, read back by zarr; and nothing half-written."""

import errno
import json
import os
import subprocess
import sys
import time

import numpy as np
import pytest
import tifffile
from PIL import Image

from i2i.errors import ImageError
from i2i.files import TEMP_PREFIX, sweep_temporaries
from i2i.images import Layout, omezarr_writing, read_image, write_image
from i2i.images.axes import Axes
from i2i.images.decode import opened
from i2i.images.omezarr_writing import CHUNK_PX, write_zarr
from i2i.runtime.fit import Fit
from i2i.runtime.folder import list_tasks
from i2i.runtime.picture_options import PictureOptions
from i2i.runtime.pipeline import translate_files
from i2i.runtime.tasks import Task
from i2i.runtime.translator import Translator
from tests.conftest import ROOT, picture, run_i2i, save
from tests.images.test_omezarr import write_zarr as write_input

zarr = pytest.importorskip("zarr")


def described(folder):
    """Return what a folder says of its picture, whatever the version."""
    attributes = dict(zarr.open_group(folder, mode="r").attrs)
    return attributes.get("ome", attributes)


def values_of(folder, level=0):
    return zarr.open_array(folder / str(level), mode="r")[...]


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("channels", [1, 2, 3, 5])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_values_come_back(tmp_path, version, channels, dtype, monkeypatch):
    monkeypatch.setattr(omezarr_writing, "CHUNK_PX", 64)
    values = np.random.default_rng(0).integers(0, 256, (200, 131, channels)).astype(dtype)
    folder = tmp_path / "a.ome.zarr"
    rows = (values[top : top + 37] for top in range(0, 200, 37))
    write_zarr(folder, [rows], (200, 131), Axes(version))
    bands = tuple(map(str, range(channels)))
    layout = Layout(channels, bands, value_range=(0.0, 256.0) if dtype == np.float32 else None)
    np.testing.assert_allclose(read_image(folder, layout=layout) * (256 if dtype == np.float32 else 1), values)
    np.testing.assert_array_equal(values_of(folder), values.transpose(2, 0, 1))
    assert [len(one) for one in described(folder).values()] == ([1, 1] if version == "0.4" else [3, 1, 1])
    half = values[:200, :130].reshape(100, 2, 65, 2, channels).mean(axis=(1, 3)).transpose(2, 0, 1)
    np.testing.assert_allclose(values_of(folder, 1), half, atol=0 if dtype == np.float32 else 0.5)
    assert values_of(folder, 2).shape == (channels, 50, 32)
    assert not (folder / "3").exists()
    labels = [one["label"] for one in described(folder)["omero"]["channels"]]
    assert labels == (["red", "green", "blue"] if channels == 3 else [str(number + 1) for number in range(channels)])


def test_smaller_sizes_of_classes_hold_no_other_values(tmp_path):
    values = np.random.default_rng(0).choice(np.array([3, 200], np.uint8), (2 * CHUNK_PX, 600, 1))
    for classes in (True, False):
        write_zarr(tmp_path / str(classes), [iter([values])], values.shape[:2], Axes(classes=classes))
    assert set(np.unique(values_of(tmp_path / "True", 1))) == {3, 200}
    assert set(np.unique(values_of(tmp_path / "False", 1))) > {3, 200}


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_a_plane_keeps_its_axes_place_and_scale(tmp_path, tiny_run, version):
    array = np.stack([picture(40, 50, seed=seed).transpose(2, 0, 1) for seed in range(6)])
    source = write_input(tmp_path / "in" / "a.zarr", array.reshape(2, 3, 3, 40, 50).swapaxes(1, 2), "tczyx", version)
    group = zarr.open_group(source, mode="a")
    extra = {"channels": [{"label": name} for name in ("cy3", "dapi", "gfp")]}
    inner = {"ome": {**group.attrs["ome"], "omero": extra}} if version == "0.5" else {"omero": extra}
    group.attrs.update(inner)
    out = tmp_path / "out"
    assert run_i2i("translate", source, "-m", tiny_run, "-o", out).returncode == 3  # which plane?
    done = run_i2i("translate", source, "-m", tiny_run, "-o", out, "--plane", "t=2", "--plane", "z=3")
    assert done.returncode == 0, done.stderr
    (scales,) = described(out / "a.zarr")["multiscales"]
    assert [axis["name"] for axis in scales["axes"]] == list("tczyx")
    assert [axis.get("unit") for axis in scales["axes"]] == [None, None, *["micrometer"] * 3]
    (first,) = [dataset["coordinateTransformations"] for dataset in scales["datasets"]]
    assert first[0] == {"type": "scale", "scale": [1.0, 1.0, 1.0, 0.5, 0.5]}
    assert first[1] == {"type": "translation", "translation": [1.0, 0.0, 2.0, 0.0, 0.0]}
    assert [one["label"] for one in described(out / "a.zarr")["omero"]["channels"]] == ["cy3", "dapi", "gfp"]
    made = zarr.open_array(out / "a.zarr" / "0", mode="r")
    assert made.shape == (1, 3, 1, 40, 50)
    assert made.metadata.zarr_format == (3 if version == "0.5" else 2)
    save_plane = tmp_path / "plane.png"
    write_image(save_plane, picture(40, 50, seed=5))
    assert run_i2i("translate", save_plane, "-m", tiny_run, "-o", tmp_path / "plane_out.png").returncode == 0
    np.testing.assert_array_equal(made[0, :, 0].transpose(1, 2, 0), read_image(tmp_path / "plane_out.png"))


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_each_depth_and_time_is_written_where_it_was(tmp_path, tiny_run, version, monkeypatch):
    """With --frames all, also in the smaller sizes; the control is the same plane translated alone."""
    monkeypatch.setattr(omezarr_writing, "CHUNK_PX", 32)
    planes = [picture(40, 50, seed=seed) for seed in range(6)]
    array = np.stack([one.transpose(2, 0, 1) for one in planes]).reshape(2, 3, 3, 40, 50).swapaxes(1, 2)
    source = write_input(tmp_path / "in" / "a.zarr", array, "tczyx", version)
    model = Translator.open(tiny_run, device="cpu")
    done = translate_files(model, [Task(source, tmp_path / "a.zarr")], options=PictureOptions(frames="all"), workers=1)
    assert not done.refused
    made = zarr.open_array(tmp_path / "a.zarr" / "0", mode="r")
    assert made.shape == (2, 3, 3, 40, 50)
    assert made.chunks == (1, 1, 1, 32, 32)
    assert made.metadata.zarr_format == (3 if version == "0.5" else 2)
    for place, plane in enumerate(planes):
        t, z = divmod(place, 3)
        alone = model.translate(plane)
        np.testing.assert_array_equal(made[t, :, z].transpose(1, 2, 0), alone)
        half = alone.reshape(20, 2, 25, 2, 3).mean(axis=(1, 3))
        np.testing.assert_allclose(values_of(tmp_path / "a.zarr", 1)[t, :, z].transpose(1, 2, 0), half, atol=0.5)
    (scales,) = described(tmp_path / "a.zarr")["multiscales"]
    assert [axis["name"] for axis in scales["axes"]] == list("tczyx")
    assert scales["datasets"][0]["coordinateTransformations"] == [{"type": "scale", "scale": [1, 1, 1, 0.5, 0.5]}]
    with opened(tmp_path / "a.zarr", 10**8, Layout(each_plane=True)) as source:  # and it is read in the same order
        assert source.count() == 6
        np.testing.assert_array_equal(source.decode(4), made[1, :, 1].transpose(1, 2, 0))


def test_stacks_of_other_formats_become_ome_zarr_where_they_name_their_axes(tmp_path, tiny_run):
    stack = np.stack([picture(40, 50, seed=seed) for seed in range(3)])
    names = {"axes": "ZYXS", "Channel": {"Name": ["seen"]}}
    tifffile.imwrite(tmp_path / "a.ome.tif", stack, photometric="rgb", metadata=names)
    grey = stack[..., :1].transpose(0, 3, 1, 2)
    tifffile.imwrite(tmp_path / "c.ome.tif", grey[:, 0], photometric="minisblack", metadata={"axes": "CYX"})
    Image.fromarray(stack[0]).save(
        tmp_path / "b.gif", save_all=True, append_images=[Image.fromarray(one) for one in stack[1:]]
    )
    words = ["translate", "-m", tiny_run, "--frames", "all", "--format", "ome.zarr", "-o", tmp_path / "out"]
    done = run_i2i(*words, *(tmp_path / name for name in ("a.ome.tif", "b.gif", "c.ome.tif")))
    assert done.returncode == 3
    assert "b.gif holds 3 pictures" in done.stderr
    assert not (tmp_path / "out" / "b.ome.zarr").exists()
    assert values_of(tmp_path / "out" / "a.ome.zarr").shape == (3, 3, 40, 50)
    assert [one["name"] for one in described(tmp_path / "out" / "a.ome.zarr")["multiscales"][0]["axes"]] == list("czyx")
    assert values_of(tmp_path / "out" / "c.ome.zarr").shape == (9, 40, 50)  # of each channel, RGB


def test_a_cropped_output_begins_where_it_does(tmp_path, tiny_run):
    source = write_input(tmp_path / "a.zarr", picture(40, 50).transpose(2, 0, 1), "cyx", "0.4")
    done = run_i2i("translate", source, "-m", tiny_run, "-o", tmp_path / "b.ome.zarr", "--fit", "crop")
    assert done.returncode == 0, done.stderr
    height, width = values_of(tmp_path / "b.ome.zarr").shape[1:]
    assert (height, width) < (40, 50)
    steps = described(tmp_path / "b.ome.zarr")["multiscales"][0]["datasets"][0]["coordinateTransformations"]
    assert steps[1]["translation"] == [0.0, (40 - height) // 2 / 2, (50 - width) // 2 / 2]


def test_other_pictures_become_ome_zarr(tmp_path, tiny_run):
    save(tmp_path / "in" / "a.png", 40, 50)
    write_image(tmp_path / "in" / "b.ome.tif", picture(40, 50, seed=1))
    names = [task.output.name for task in list_tasks(tmp_path / "in", tmp_path / "out", 3, options=OME)]
    assert names == ["a.ome.zarr", "b.ome.zarr"]
    words = ["translate", tmp_path / "in", "-m", tiny_run, "-o"]
    for name, format_ in (("out", "ome.zarr"), ("plain", "png")):
        assert run_i2i(*words, tmp_path / name, "--format", format_).returncode == 0
    for stem, png in (("a", "a.png"), ("b", "b.ome.png")):
        made = read_image(tmp_path / "out" / f"{stem}.ome.zarr")
        np.testing.assert_array_equal(made, read_image(tmp_path / "plain" / png))


OME = PictureOptions(format="ome.zarr")


def test_a_missing_zarr_is_told_before_anything_is_translated(tmp_path, tiny_run, monkeypatch):
    save(tmp_path / "a.png", 40, 50)
    monkeypatch.setitem(sys.modules, "zarr", None)
    done = run_i2i("translate", tmp_path / "a.png", "-m", tiny_run, "-o", tmp_path / "out", "--format", "ome.zarr")
    assert done.returncode == 2
    assert "[zarr]" in done.stderr


def test_windows_write_the_same(tmp_path, tiny_run, monkeypatch):
    monkeypatch.setattr(omezarr_writing, "CHUNK_PX", 64)
    model = Translator.open(tiny_run, device="cpu", fit=Fit("tile", None, 64))
    source = write_input(tmp_path / "a.zarr", picture(300, 170).transpose(2, 0, 1), "cyx", "0.5")
    for windows in (True, False):
        task = Task(source, tmp_path / f"{windows}.ome.zarr")
        assert not translate_files(model, [task], options=PictureOptions(windows=windows), workers=1).refused
    folders = [tmp_path / "True.ome.zarr", tmp_path / "False.ome.zarr"]
    for level in range(3):
        np.testing.assert_array_equal(*(values_of(folder, level) for folder in folders))
    assert described(folders[0]) == described(folders[1])
    assert len(described(folders[0])["multiscales"][0]["datasets"]) == 4


def failing(*_):
    raise OSError(errno.EIO, "the disk fails")


@pytest.mark.parametrize("windows", [True, False])
def test_what_exists_is_replaced_whole_or_not_at_all(tmp_path, tiny_run, windows, monkeypatch):
    source = write_input(tmp_path / "a.zarr", picture(300, 170).transpose(2, 0, 1), "cyx", "0.4")
    out = tmp_path / "b.ome.zarr"
    more = ["--fit", "tile", "--tile-px", "64", *(["--windows"] if windows else [])]
    words = ["translate", source, "-m", tiny_run, "-o", out, *more]
    assert run_i2i(*words).returncode == 0
    (out / "mine.txt").write_text("kept until the new one is whole", encoding="utf-8")
    assert run_i2i(*words).returncode == 2
    assert run_i2i(*words, "--skip-existing").returncode == 0
    with monkeypatch.context() as patch:
        patch.setattr(omezarr_writing, "_described", failing)
        assert run_i2i(*words, "--overwrite").returncode == 3
    assert (out / "mine.txt").exists()
    assert run_i2i(*words, "--overwrite").returncode == 0
    assert not (out / "mine.txt").exists()
    assert read_image(out).shape == (300, 170, 3)
    assert not [*tmp_path.glob(f"{TEMP_PREFIX}*")]


def test_a_folder_that_is_no_zarr_is_not_replaced(tmp_path, tiny_run):
    save(tmp_path / "a.png", 40, 50)
    (tmp_path / "photos.zarr").mkdir()
    (tmp_path / "photos.zarr" / "mine.txt").write_text("mine", encoding="utf-8")
    done = run_i2i("translate", tmp_path / "a.png", "-m", tiny_run, "-o", tmp_path / "photos.zarr", "--overwrite")
    assert done.returncode == 3
    assert "photos.zarr" in done.stderr
    assert (tmp_path / "photos.zarr" / "mine.txt").read_text(encoding="utf-8") == "mine"
    with pytest.raises(ImageError, match="no Zarr"):
        write_image(tmp_path / "photos.zarr", picture(8, 8))


def test_a_zarr_is_not_translated_in_place(tmp_path, tiny_run):
    """It may hold other planes, sizes and labels, which would be lost."""
    source = write_input(tmp_path / "a.zarr", picture(40, 50).transpose(2, 0, 1), "cyx", "0.4")
    done = run_i2i("translate", source, "-m", tiny_run, "--in-place", "--overwrite")
    assert done.returncode == 3
    assert "--in-place" in done.stderr
    np.testing.assert_array_equal(read_image(source), picture(40, 50))


KILLED = """
import itertools, os, sys
from pathlib import Path
import numpy as np
from i2i.images.axes import Axes
from i2i.images.omezarr_writing import new_zarr, write_zarr

def rows():
    for _ in range(3):
        yield np.zeros((512, 600, 3), np.uint8)
    os.kill(os.getpid(), 9)
    yield

with new_zarr(Path(sys.argv[1])) as folder:
    write_zarr(folder, [rows()], (2048, 600), Axes())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
def test_a_killed_process_leaves_nothing_under_the_name(tmp_path):
    out = tmp_path / "a.ome.zarr"
    done = subprocess.run([sys.executable, "-c", KILLED, out], cwd=ROOT, check=False)
    assert done.returncode == -9
    assert not out.exists()
    (left,) = tmp_path.iterdir()
    assert left.name.startswith(TEMP_PREFIX)
    assert any(path.is_file() for path in left.rglob("*"))
    with pytest.raises(ImageError, match="multiscales"):
        write_read(left)
    assert sweep_temporaries(tmp_path, 3600) == 0  # another run may be writing it
    for path in (*left.rglob("*"), left):
        os.utime(path, (time.time() - 7200,) * 2)
    assert sweep_temporaries(tmp_path, 3600) == 1
    assert not [*tmp_path.iterdir()]


def write_read(folder):
    """Read a folder as if it had the name of a picture."""
    named = folder.with_name("b.zarr")
    named.symlink_to(folder)
    try:
        read_image(named)
    finally:
        named.unlink()


def test_statements_that_cannot_be_read_cost_no_picture(tmp_path, tiny_run):
    source = write_input(tmp_path / "a.zarr", picture(40, 50).transpose(2, 0, 1), "cyx", "0.4")
    attributes = json.loads((source / ".zattrs").read_text("utf-8"))
    attributes["multiscales"][0]["coordinateTransformations"] = [{"type": "scale", "scale": ["much", {}]}]
    attributes["omero"] = {"channels": "all"}
    (source / ".zattrs").write_text(json.dumps(attributes), encoding="utf-8")
    with opened(source, 10**6) as found:
        assert found.axes.scale == ()
    assert run_i2i("translate", source, "-m", tiny_run, "-o", tmp_path / "out").returncode == 0
    assert described(tmp_path / "out" / "a.zarr")["multiscales"]
