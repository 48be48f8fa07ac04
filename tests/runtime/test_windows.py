"""TIFFs larger than memory: the pixels of tiles otherwise, and memory that does not grow with the height."""

import errno
import functools
import re
import subprocess
import sys

import numpy as np
import pytest
import rasterio
import tifffile
import torch

from i2i.errors import DiskFullError
from i2i.images import read_image
from i2i.images import windows as windows_module
from i2i.images.decode import opened_bare
from i2i.images.layout import PICTURE
from i2i.models.spec import translating
from i2i.networks import ResNet, UNet
from i2i.networks.layers import set_norm_statistics
from i2i.runtime.backends import TorchBackend
from i2i.runtime.fit import Fit, Reduction, reduced
from i2i.runtime.picture_options import PictureOptions
from i2i.runtime.pipeline import translate_files
from i2i.runtime.tasks import Task
from i2i.runtime.translator import Translator
from i2i.runtime.windows import plan_windows, translate_windows
from i2i.runtime.worker import StopWork
from tests.conftest import ROOT, picture, run_i2i
from tests.runtime.test_translator import identity

WAYS = {
    "tiles": {"tile": (64, 48), "compression": "zlib", "predictor": True},
    "strips": {"rowsperstrip": 7, "compression": "lzw"},
    "apart": {"planarconfig": "separate", "tile": (32, 32)},
    "bare": {},
}


@pytest.fixture(scope="module")
def model(tiny_run):
    """Tiles of 64 px, so that a small picture has many."""
    return Translator.open(tiny_run, device="cpu", fit=Fit("tile", None, 64))


def both(model, source, tmp_path, **options):
    """Translate a file in windows, and as always; return both files."""
    done = []
    for windows in (True, False):
        output = tmp_path / f"{windows}.tif"
        task, kept = Task(source, output), PictureOptions(windows=windows, **options)
        result = translate_files(model, [task], options=kept, workers=1)
        assert not result.refused, result.refused
        done.append(output)
    return done


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_pixels_are_those_of_tiles(model, tmp_path, monkeypatch, way, dtype):
    monkeypatch.setattr(windows_module, "CACHE_BYTES", 20_000)
    tifffile.imwrite(tmp_path / "a.tif", _stored(picture(530, 310, dtype=dtype), way), photometric="rgb", **WAYS[way])
    windowed, usual = both(model, tmp_path / "a.tif", tmp_path)
    np.testing.assert_array_equal(read_image(windowed), read_image(usual))
    with tifffile.TiffFile(windowed) as file:
        assert file.pages[0].is_tiled


def _stored(array, way):
    return array.transpose(2, 0, 1) if way == "apart" else array


@pytest.mark.parametrize("norm", ["instance", "batch", "group"])
@pytest.mark.parametrize("make", [functools.partial(UNet, depth=4), functools.partial(ResNet, blocks=1)])
def test_exact_statistics_are_those_of_the_whole_picture(tmp_path, make, norm):
    """The control: a reduced copy gives others."""
    torch.manual_seed(0)
    network = make(width=4, norm=norm).eval()
    for parameter in network.parameters():
        parameter.data *= 3  # strong contrasts
    set_norm_statistics(network, "image")
    part = translating("unet" if isinstance(network, UNet) else "resnet", {"width": 4}, 3, 3, network.size_multiple, 16)
    spec = identity().spec.model_copy(update={"parts": {"A2B": part}})
    tifffile.imwrite(tmp_path / "a.tif", picture(700, 520), photometric="rgb", tile=(64, 64))
    found = {}
    for tile in ("exact", "frozen", None):
        model = Translator(spec, TorchBackend(network, "cpu"), "A2B", Fit("tile" if tile else "pad", tile, 288))
        model.planner.statistics_px = 64
        task, options = Task(tmp_path / "a.tif", tmp_path / f"{tile}.tif"), PictureOptions(windows=True)
        assert not translate_files(model, [task], options=options, workers=1).refused
        found[tile] = read_image(task.output).astype(int)
    assert found[None].std() > 20
    far = {tile: np.abs(found[tile] - found[None]) for tile in ("exact", "frozen")}
    print({tile: (int(levels.max()), float(levels.mean())) for tile, levels in far.items()})
    assert far["exact"].max() <= 1
    assert far["frozen"].max() > 3


def test_place_nodata_and_alpha_are_kept(model, tmp_path):
    array = picture(150, 130, channels=4)
    array[20:50, 30:90] = 7
    where = {"driver": "GTiff", "height": 150, "width": 130, "count": 4, "dtype": "uint8", "nodata": 7}
    where |= {"transform": rasterio.Affine(10, 0, 600000, 0, -10, 5000000), "crs": "EPSG:32633"}
    with rasterio.open(tmp_path / "a.tif", "w", photometric="rgb", alpha="yes", **where) as file:
        file.write(array.transpose(2, 0, 1))
    for options in ({}, {"cog": True}, {"alpha": "keep", "bit_depth": 16}):
        windowed, usual = both(model, tmp_path / "a.tif", tmp_path, **options)
        with rasterio.open(windowed) as one, rasterio.open(usual) as other:
            np.testing.assert_array_equal(one.read(), other.read())
            assert (one.transform, one.crs, one.nodata) == (other.transform, other.crs, other.nodata)
            assert one.crs
            assert (one.read(masked=True).mask[0] == (array == 7).all(axis=2)).all()


def test_what_cannot_be_read_in_windows_is_refused_by_name(model, tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", picture(90, 90), photometric="rgb", extratags=[(274, "H", 1, 6, True)])
    for output, words in ((tmp_path / "b.tif", "turned"), (tmp_path / "b.png", "format tiff")):
        options = PictureOptions(windows=True)
        (refused,) = translate_files(model, [Task(tmp_path / "a.tif", output)], options=options).refused
        assert words in str(refused)
        assert not output.exists()


@pytest.mark.parametrize(
    ("error", "kind"),
    [(StopWork(), StopWork), (MemoryError(), MemoryError), (OSError(errno.ENOSPC, "full"), DiskFullError)],
)
def test_what_fails_beside_reading_keeps_its_name(model, tmp_path, monkeypatch, error, kind):
    """Ctrl-C, memory of the network, a full disk: none of them is damage of the input."""
    tifffile.imwrite(tmp_path / "a.tif", picture(200, 150), photometric="rgb")

    def fail(*arguments):
        raise error

    if isinstance(error, OSError):
        monkeypatch.setattr("i2i.runtime.windows.write_tiff", fail)
    else:
        monkeypatch.setattr(model, "before_tile", fail)
    task, options = Task(tmp_path / "a.tif", tmp_path / "out.tif"), PictureOptions(windows=True)
    plan = plan_windows(model, task, options)
    with pytest.raises(kind):
        translate_windows(model, plan, task, options)
    assert [one.name for one in tmp_path.iterdir()] == ["a.tif"]


@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_decoded_parts_that_are_kept_have_a_limit(tmp_path, monkeypatch, planar):
    monkeypatch.setattr(windows_module, "CACHE_BYTES", 100_000)
    array = picture(200, 150, 4, np.uint16)
    array = array.transpose(2, 0, 1) if planar == "separate" else array
    tifffile.imwrite(tmp_path / "a.tif", array, photometric="rgb", planarconfig=planar, tile=(32, 32))
    with opened_bare(tmp_path / "a.tif", 10**6, PICTURE) as source:
        windows = windows_module.Windows(source, PICTURE)
        windows.image(slice(0, 200), slice(0, 150))
        assert 50_000 < sum(part.nbytes for part in windows._segments.kept.values()) <= 100_000


def test_a_picture_over_the_limit_needs_windows(tiny_run, tmp_path, monkeypatch):
    tifffile.imwrite(tmp_path / "a.tif", picture(90, 90), photometric="rgb", tile=(32, 32))
    words = ["translate", tmp_path / "a.tif", "-m", tiny_run, "--tile-px", "64", "--max-pixels", "1000"]
    assert run_i2i(*words, "-o", tmp_path / "b.tif").returncode == 3
    assert run_i2i(*words, "-o", tmp_path / "b.tif", "--windows").returncode == 0
    done = run_i2i(*words, "-o", tmp_path / "c.tif", "--windows", "--tile", "exact")
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="other systems count memory in other units")
def test_memory_does_not_grow_with_the_height(tiny_run, tmp_path):
    script = (
        "import runpy, sys, i2i.images.windows as w; w.CACHE_BYTES = 4_000_000; "
        "sys.argv[0] = 'tools/bench/windows.py'; runpy.run_path(sys.argv[0], run_name='__main__')"
    )

    def growth(*more):
        peaks = []
        for height in ("500", "8000"):
            words = [tiny_run, tmp_path, "--sides", height, "1000", "--tile-px", "256", *more]
            ran = subprocess.run(
                [sys.executable, "-c", script, *map(str, words)], capture_output=True, text=True, check=True, cwd=ROOT
            )
            peaks.append(float(re.search(r"peak ([\d,]+) MiB", ran.stdout)[1].replace(",", "")))
        return peaks[1] - peaks[0]

    assert growth() < 30 < 60 < growth("--whole")  # the pixels alone are 21 MiB more


def test_averages_do_not_depend_on_how_many_rows_come_at_once():
    array, sides = picture(101, 77), (32, 16)
    reductions = [Reduction((101, 77), sides) for _ in range(2)]
    for reduction, step in zip(reductions, (1, 40), strict=True):
        for top in range(0, 101, step):
            reduction.add(array[top : top + step])
    np.testing.assert_array_equal(*(one.done() for one in reductions))
    cv2 = pytest.importorskip("cv2")
    expected = cv2.resize(array, sides[::-1], interpolation=cv2.INTER_AREA)
    assert np.abs(reduced(array, sides).astype(int) - expected).max() <= 1
    flat = np.full((50, 30, 1), 0.25, np.float32)
    np.testing.assert_allclose(reduced(flat, (16, 16)), 0.25, rtol=1e-6)
