"""OME-Zarr pictures in, and arrays that are mapped or read in parts: each with its values."""

import json
import pickle
import sys

import numpy as np
import pytest
import tifffile

import i2i
from i2i.data.folders import find_pairs
from i2i.data.items import read_pair
from i2i.errors import ImageError
from i2i.images import Layout, read_image
from i2i.images.decode import opened
from i2i.images.listing import list_folder
from i2i.runtime.fit import Fit
from i2i.runtime.folder import list_tasks
from i2i.runtime.picture_options import PictureOptions
from i2i.runtime.pipeline import translate_files
from i2i.runtime.tasks import Task
from i2i.runtime.translator import Translator
from tests.conftest import picture, run_i2i, save, tiny_config

BANDS = ("one", "two")


def write_zarr(folder, array, axes, version, scale=0.5):
    """Write an array as OME-Zarr of two sizes, as bioformats2raw lays it out."""
    zarr = pytest.importorskip("zarr")
    group = zarr.open_group(folder, mode="w", zarr_format=2 if version == "0.4" else 3)
    kinds = {"c": "channel", "t": "time"}
    named = [
        {"name": one, "type": kinds.get(one, "space"), **({} if one in kinds else {"unit": "micrometer"})}
        for one in axes
    ]
    datasets = []
    for place, part in enumerate((array, array[..., ::2, ::2])):
        chunks = (1,) * (array.ndim - 2) + (16, 16)
        made = group.create_array(str(place), shape=part.shape, chunks=chunks, dtype=part.dtype)
        made[...] = part
        sizes = [scale * 2**place if one in "yx" else 1.0 for one in axes]
        datasets.append({"path": str(place), "coordinateTransformations": [{"type": "scale", "scale": sizes}]})
    scales = [{"axes": named, "datasets": datasets, "version": version}]
    described = {"multiscales": scales}
    group.attrs.update(described if version == "0.4" else {"ome": {"version": version, **described}})
    return folder


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_values_of_a_plane_of_an_ome_zarr(tmp_path, version, dtype):
    values = np.random.default_rng(0).integers(0, 200, (2, 2, 3, 40, 50)).astype(dtype)
    folder = write_zarr(tmp_path / "cells.zarr", values, "tczyx", version)
    layout = Layout(2, BANDS, plane=(("t", 2), ("z", 3)), value_range=(0.0, 256.0) if dtype == np.float32 else None)
    found = read_image(folder, layout=layout) * (256 if dtype == np.float32 else 1)
    np.testing.assert_allclose(found, values[1, :, 2].transpose(1, 2, 0), atol=1e-4)
    with opened(folder, 10**6, layout) as source:
        assert source.place.resolution[:2] == (20_000, 20_000)  # a centimetre, at half a micrometre each
    with pytest.raises(ImageError, match="z=1"):
        read_image(folder, layout=Layout(2, BANDS, plane=(("t", 1),)))


def test_a_folder_that_is_no_ome_zarr_is_named(tmp_path):
    pytest.importorskip("zarr").open_group(tmp_path / "a.zarr", mode="w")
    with pytest.raises(ImageError, match="multiscales"):
        read_image(tmp_path / "a.zarr")


def test_ome_zarr_is_listed_and_translated_like_a_file(tmp_path, tiny_run):
    array = picture(40, 50)
    write_zarr(tmp_path / "in" / "a.zarr", array.transpose(2, 0, 1), "cyx", "0.4")
    save(tmp_path / "in" / "b.png", 40, 50, seed=1)
    assert list_folder(tmp_path / "in").names == ["a.zarr", "b.png"]
    names = [task.output.name for task in list_tasks(tmp_path / "in", tmp_path / "out", 3)]
    assert names == ["a.zarr", "b.png"]
    np.testing.assert_array_equal(read_image(tmp_path / "in" / "a.zarr"), array)
    for source in (tmp_path / "in", tmp_path / "in" / "a.zarr"):
        out = tmp_path / f"out_{source.stem}"
        assert run_i2i("translate", source, "-m", tiny_run, "-o", out, "--format", "tiff").returncode == 0
        with tifffile.TiffFile(out / "a.tiff") as file:
            assert file.pages[0].resolution == (20_000, 20_000)


def test_a_training_reads_ome_zarr(tmp_path):
    arrays = [picture(40, 50, seed=seed) for seed in range(2)]
    for name in ("train", "val"):
        for side, array in zip("AB", arrays, strict=True):
            write_zarr(tmp_path / f"{name}{side}" / "cells.zarr", array.transpose(2, 0, 1), "cyx", "0.5")
    (pair,) = find_pairs([str(tmp_path)], "train")
    for found, array in zip(read_pair(pair), arrays, strict=True):
        np.testing.assert_array_equal(found, array)
    run = tmp_path / "run"
    i2i.train(tiny_config("data.full_check=true", data=tmp_path), run)
    assert run_i2i("evaluate", run, "--data", tmp_path, "--split", "val").returncode == 0


@pytest.mark.parametrize("kind", ["npy", "zarr"])
def test_arrays_go_through_windows(tmp_path, tiny_run, kind):
    array, source = picture(300, 170), tmp_path / f"a.{kind}"
    if kind == "npy":
        np.save(source, array)
    else:
        write_zarr(source, array.transpose(2, 0, 1), "cyx", "0.5")
    model = Translator.open(tiny_run, device="cpu", fit=Fit("tile", None, 64))
    for suffix in ("npy", "tif"):
        done = []
        for windows in (True, False):
            task = Task(source, tmp_path / f"{windows}.{suffix}")
            options = PictureOptions(windows=windows)
            assert not translate_files(model, [task], options=options, workers=1).refused
            done.append(read_image(task.output))
        np.testing.assert_array_equal(*done)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows replaces no file that is mapped")
def test_an_array_is_mapped_until_its_values_are_used(tmp_path):
    np.save(tmp_path / "a.npy", picture(40, 50))
    with opened(tmp_path / "a.npy", 10**6) as source:
        whole = source.decode()
    base = whole
    while not isinstance(base, np.memmap):
        assert base.base is not None
        base = base.base
    np.testing.assert_array_equal(whole, picture(40, 50))


@pytest.mark.parametrize("place", ["filters", "compressor"])
@pytest.mark.parametrize("dtype", ["|u1", "|O"])
def test_pickled_chunks_run_nothing(tmp_path, place, dtype):
    folder = write_zarr(tmp_path / "a.zarr", np.zeros((16, 16), np.uint8), "yx", "0.4")
    described = json.loads((folder / "0" / ".zarray").read_text("utf-8"))
    pickled = {"id": "pickle", "protocol": 5}
    described |= {"dtype": dtype, "filters": None, "compressor": None, "dimension_separator": "."}
    described[place] = [pickled] if place == "filters" else pickled
    (folder / "0" / ".zarray").write_text(json.dumps(described), encoding="utf-8")
    (folder / "0" / "0.0").write_bytes(pickle.dumps(Touches(tmp_path / "ran")))
    with pytest.raises(ImageError, match=r"a\.zarr"):
        read_image(folder)
    assert not (tmp_path / "ran").exists()
    pickle.loads((folder / "0" / "0.0").read_bytes())
    assert (tmp_path / "ran").exists()  # the trap works


class Touches:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")
