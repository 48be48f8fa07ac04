"""A model of five named bands and two unnamed ones, from training to export."""

import json
import shutil

import numpy as np
import pytest
import tifffile
import torch

import i2i
from i2i.config.settings import DataSettings
from i2i.data.folders import find_pairs
from i2i.data.items import read_pair
from i2i.data.sets import make_set
from i2i.errors import ConfigError, ImageError, ModelError
from i2i.images import read_image
from i2i.metrics import METRICS
from i2i.models.modelfile import read_spec
from tests.conftest import run_i2i, tiny_config

BANDS = ("red", "green", "blue", "nir", "swir")
NAMED = ("data.channels_a=[red,green,blue,nir,swir]", "data.channels_b=2", "data.direction=A2B")


@pytest.fixture(scope="module")
def cube(tmp_path_factory, few_pairs):
    """Shipped pairs as five bands in 16-bit TIFF, from which the two of a float .npy can be computed."""
    root = tmp_path_factory.mktemp("cube")
    for split in ("train", "val", "test"):
        for side in "AB":
            (root / f"{split}{side}").mkdir()
        for pair in find_pairs([str(few_pairs)], split):
            drawing, photo = (one.astype(np.float64) / 255 for one in read_pair(pair))
            grey = photo.mean(axis=2, keepdims=True)
            bands = np.concatenate([photo, 1 - grey, grey * drawing[:, :, :1]], axis=2)
            a, b = root / f"{split}A" / f"{pair.name}.tif", root / f"{split}B" / f"{pair.name}.npy"
            tifffile.imwrite(
                a, np.rint(65535 * bands).astype(np.uint16), photometric="minisblack", planarconfig="contig"
            )
            np.save(b, np.concatenate([grey, 1 - drawing[:, :, :1]], axis=2).astype(np.float32))
    return root


@pytest.fixture(scope="module")
def run(tmp_path_factory, cube):
    out = tmp_path_factory.mktemp("runs") / "bands"
    i2i.train(tiny_config(*NAMED, data=cube), out)
    return out


def test_the_model_file_names_its_bands(run):
    part = read_spec(run / "model.safetensors").generators["A2B"]
    assert (part.in_channels, part.in_bands, part.out_bands) == (5, BANDS, ("1", "2"))
    told = run_i2i("info", run)
    assert told.returncode == 0
    assert "red, green, blue, nir, swir (bands) to 1, 2 (bands)" in told.stdout
    assert "alpha" not in told.stdout


def test_a_translation_keeps_size_and_bands_whole_and_in_tiles(run, cube, tmp_path):
    source = sorted((cube / "testA").iterdir())[0]
    big = np.tile(read_image(source, layout=i2i.load(run).generator.inputs.layout(None)), (10, 8, 1))
    (tmp_path / "in").mkdir()
    tifffile.imwrite(tmp_path / "in" / "a.tif", big, photometric="minisblack", planarconfig="contig")
    for name, words in (("whole", ()), ("tiles", ("--fit", "tile", "--tile-px", 512))):
        done = run_i2i("translate", tmp_path / "in", "-m", run, "-o", tmp_path / name, *words)
        assert done.returncode == 0, done.stderr
    whole, tiles = (tifffile.imread(tmp_path / name / "a.tif") for name in ("whole", "tiles"))
    assert whole.shape == (640, 512, 2)
    assert whole.dtype == np.uint16
    assert np.abs(whole.astype(int) - tiles).max() < 0.02 * 65535
    assert np.ptp(whole[:, :, 1].astype(int)) > 0
    array = i2i.load(run)(big)
    np.testing.assert_array_equal(array, whole)  # Python and the command line agree


@pytest.mark.parametrize(("kind", "suffix"), [("npy", ".npy"), ("npz", ".npz"), ("tiff", ".tif")])
def test_formats_that_hold_bands(run, cube, tmp_path, kind, suffix):
    source = sorted((cube / "testA").iterdir())[0]
    assert run_i2i("translate", source, "-m", run, "-o", tmp_path, "--format", kind).returncode == 0
    outputs = i2i.load(run).generator.outputs.layout(None)
    assert read_image(tmp_path / f"{source.stem}{suffix}", layout=outputs).shape == (64, 64, 2)


def test_what_does_not_fit_is_refused_by_name(run, cube, few_pairs, tmp_path):
    source = sorted((cube / "testA").iterdir())[0]
    refused = run_i2i("translate", source, "-m", run, "-o", tmp_path, "--format", "png")
    assert refused.returncode == 2
    assert "bands (1, 2)" in refused.stderr
    picture = sorted((few_pairs / "test").iterdir())[0]
    done = run_i2i("translate", picture, "-m", run, "-o", tmp_path)
    assert done.returncode == 3
    assert "red, green, blue, nir, swir" in done.stdout + done.stderr
    with pytest.raises(ModelError, match="5"):
        i2i.load(run)(np.zeros((64, 64, 3), np.uint8))
    with pytest.raises(ImageError, match="3 channels, but 5"):
        i2i.load(run)(picture)
    assert run_i2i("evaluate", "-m", run, "--data", cube, "--sets").returncode == 2


def test_every_band_has_a_score_and_the_model_their_mean(run, cube, tmp_path):
    done = run_i2i(
        "evaluate", "-m", run, "--data", cube, "--json", "--sheet", tmp_path / "s.png", "--worst", tmp_path / "w.png"
    )
    assert done.returncode == 0, done.stderr
    (scores,) = json.loads(done.stdout)["result"]["scores"]
    assert set(scores["bands"]) == {"1", "2"}
    for metric in ("l1", "psnr", "ssim"):
        means = [scores["bands"][band][metric] for band in ("1", "2")]
        assert scores["model"][metric] == pytest.approx(np.mean(means))
    # The first band is a mean of three inputs, so an affine map of all five finds it; the second is not.
    assert scores["baselines"]["affine_colour"]["l1"] < scores["baselines"]["target_mean"]["l1"]
    assert scores["baselines"]["input_copied"] is None  # five bands are no answer for two
    translator, values = i2i.load(run), []
    for a in sorted((cube / "testA").iterdir()):
        x = read_image(a, layout=translator.generator.inputs.layout(None))
        truth = np.load(cube / "testB" / f"{a.stem}.npy")
        made = translator.translate(x, np.float32)
        values.append([255 * np.abs(made[:, :, k] - truth[:, :, k]).mean() for k in range(2)])
    assert [scores["bands"][band]["l1"] for band in ("1", "2")] == pytest.approx(np.mean(values, axis=0), rel=1e-4)


def test_pair_metrics_of_bands_are_means_of_grey_ones():
    rng = np.random.default_rng(0)
    for count in (2, 4):  # which pictures would take for alpha
        one, other = rng.random((2, 32, 32, count)).astype(np.float32)
        for name in ("l1", "psnr", "ssim"):
            each = METRICS[name].each(one, other)
            assert len(each) == count
            assert METRICS[name].of(one, other, bands=True) == pytest.approx(np.mean(each))
            assert METRICS[name].of(one, other, bands=True) != pytest.approx(METRICS[name].score(one, other))


def test_the_samples_are_composites(run):
    with i2i.images.decode.opened(next((run / "samples").glob("*.png")), 10**8) as sheet:
        assert sheet.decode().shape[2] == 3


def test_the_samples_show_the_bands_that_are_chosen(run, cube, tmp_path):
    chosen = ["data.composite_a=[swir,nir,red]", "data.composite_b=[2]"]
    i2i.train(tiny_config(*NAMED, *chosen, data=cube), tmp_path / "run")
    spec = read_spec(tmp_path / "run" / "model.safetensors")
    assert (spec.generators["A2B"].inputs.composite, spec.generators["A2B"].outputs.composite) == (
        ("swir", "nir", "red"),
        ("2",),
    )
    sheets = [read_image(next((one / "samples").glob("*.png"))) for one in (run, tmp_path / "run")]
    assert not np.array_equal(*sheets)  # as it would be if the choice were not heeded
    for change in ("data.composite_a=[swir,nir]", "data.composite_a=[thermal]", "data.composite_b=[red]"):
        with pytest.raises(ConfigError, match=change[5:16]):
            tiny_config(*NAMED, change, data=cube)
    with pytest.raises(ConfigError, match="none"):
        tiny_config("data.composite_a=[red]", data=cube)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("data.colour_jitter=0.5", "data.colour_jitter"),
        ("loss.diffaugment=[colour]", "loss.diffaugment colour"),
        ("loss.terms.random_features=1", "loss.terms.random_features"),
    ],
)
def test_what_needs_colours_is_refused_by_name(cube, tmp_path, change, named):
    with pytest.raises(ConfigError, match=named):
        i2i.train(tiny_config(*NAMED, change, data=cube), tmp_path / "run")


def test_training_refuses_files_with_another_number_before_it_starts(cube, tmp_path):
    with pytest.raises(i2i.errors.DataError, match="5 channels, but 4 are expected"):
        i2i.train(tiny_config("data.channels_a=[a,b,c,d]", "data.channels_b=2", data=cube), tmp_path / "run")
    assert not (tmp_path / "run" / "config.yaml").exists()


def test_selected_bands_are_what_networks_see_and_files_of_the_model_have(cube, tmp_path):
    some = ("data.channels_a=[nir,red]", "data.select_a=[4,1]", "data.channels_b=2", "data.flip=false")
    config = tiny_config(*some, "data.direction=A2B", "data.resize_px=null", "data.crop_px=64", data=cube)
    whole = tiny_config(*NAMED, "data.flip=false", "data.resize_px=null", "data.crop_px=64", data=cube)
    one, other = (make_set("paired", each)[0]["a"] for each in (config, whole))
    assert torch.equal(one, other[[3, 0]])
    short = ("data.direction=A2B", "schedule.images=4", "schedule.decay_images=0")
    i2i.train(tiny_config(*some, *short, data=cube), tmp_path / "run")
    source = sorted((cube / "testA").iterdir())[0]  # of five bands
    made = i2i.load(tmp_path / "run")(source)
    x = tifffile.imread(source)[:, :, [3, 0]]
    np.testing.assert_array_equal(made.array, i2i.load(tmp_path / "run")(x))
    with pytest.raises(ConfigError, match="select_a"):
        tiny_config("data.channels_a=3", "data.select_a=[1,2]")


def test_counts_and_names_of_settings():
    assert DataSettings(channels_a=3, select_a=(4, 3, 2)).layouts[0].bands == ("4", "3", "2")
    assert DataSettings(channels_a=3).layouts[0].bands == ()
    assert DataSettings(channels_a=["red", "green", "blue"]).layouts[0].bands == ("red", "green", "blue")
    assert DataSettings(channels_a=13).side_channels[0] == 13


@pytest.mark.slow
@pytest.mark.parametrize("io", ["tensor", "image"])
def test_an_exported_file_takes_and_makes_bands(run, cube, tmp_path, io):
    i2i.export(run, tmp_path / "m.onnx", io=io)
    exported, model = i2i.load(tmp_path / "m.onnx"), i2i.load(run)
    assert exported.generator.in_bands == BANDS
    x = read_image(sorted((cube / "testA").iterdir())[0], layout=exported.generator.inputs.layout(None))
    x = x if io == "tensor" else (x >> 8).astype(np.uint8)
    np.testing.assert_allclose(exported(x).astype(int), model(x), atol=2)


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["cyclegan", "cut"])
def test_unpaired_algorithms_learn_from_bands(cube, tmp_path, preset):
    from tests.conftest import smallest_config

    same = ("data.channels_a=[red,green,blue,nir,swir]", "data.channels_b=[red,green,blue,nir,swir]")
    for split in ("train", "val"):
        for side in "AB":
            shutil.copytree(cube / f"{split}A", tmp_path / "data" / f"{split}{side}")
    config = smallest_config(preset, tmp_path / "data", *same, "data.disjoint=false")
    model = i2i.load(i2i.train(config, tmp_path / "run"), direction="A2B")
    assert model.generator.out_bands == BANDS
