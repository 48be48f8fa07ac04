"""Normalisation: measured or given black and white of each channel, into the networks and back into files."""

import numpy as np
import pytest
import tifffile

import i2i
from i2i.data.items import read_pair
from i2i.data.scales import with_scales
from i2i.data.sets import make_set, with_facts
from i2i.errors import ConfigError, ImageError
from i2i.images import Layout, Scale, read_image
from i2i.images.scale import scaled, unscaled
from i2i.models.modelfile import read_spec
from tests.conftest import picture, run_i2i, tiny_config

NAMED = ("data.channels_a=[chl,temperature]", "data.channels_b=[height]", "data.direction=A2B")


@pytest.fixture(scope="module")
def cube(tmp_path_factory):
    """A: chlorophyll from 0 to 4,095 and kelvins around 290, floats; B: heights from 100 to 900 in 16 bits."""
    root = tmp_path_factory.mktemp("scales")
    for split, count in (("train", 8), ("val", 2), ("test", 2)):
        for side in "AB":
            (root / f"{split}{side}").mkdir()
        for k in range(count):
            one, other = (picture(32, 32, 1, seed=k + more).astype(np.float64) / 255 for more in (0, 8))
            a = np.concatenate([4095 * one, 290 + 10 * other], axis=2).astype(np.float32)
            np.save(root / f"{split}A" / f"{k}.npy", a)
            tifffile.imwrite(root / f"{split}B" / f"{k}.tif", np.rint(100 + 800 * one[:, :, 0]).astype(np.uint16))
    return root


@pytest.fixture(scope="module")
def run(tmp_path_factory, cube):
    out = tmp_path_factory.mktemp("runs") / "scaled"
    changes = ("data.normalise_a=percentiles", "data.percentiles=[0,100]", "data.normalise_b=[0,1000]")
    i2i.train(tiny_config(*NAMED, *changes, data=cube), out)
    return out


def values_of(folder):
    return np.concatenate([np.load(path).reshape(-1, 2) for path in sorted(folder.iterdir())]).astype(np.float64)


@pytest.mark.parametrize("how", ["percentiles", "zscore"])
def test_what_is_measured_is_that_of_all_training_values(cube, how):
    (a, b) = with_scales(tiny_config(*NAMED, f"data.normalise_a={how}", data=cube)).data.layouts
    values = values_of(cube / "trainA")
    expected = np.percentile(values, [0.5, 99.5], axis=0)
    if how == "zscore":
        expected = values.mean(axis=0) + [[-3], [3]] * values.std(axis=0)
    np.testing.assert_allclose(np.array(a.scale.ranges).T, expected, rtol=1e-6)
    assert (a.scale.clips, a.scale.type) == (True, "float32")
    assert b.scale is None  # it was not asked for


def test_networks_see_each_channel_in_full(cube):
    config = tiny_config(*NAMED, "data.normalise_a=percentiles", "data.normalise_b=[0,1000]", data=cube)
    data = make_set("paired", config)
    shown = np.stack([data[k]["a"].numpy() for k in range(16)])
    assert shown.min(axis=(0, 2, 3)).max() < -0.9
    assert shown.max(axis=(0, 2, 3)).min() > 0.9  # kelvins, too, which by one range would be a flat grey
    facts = with_facts(config, data)
    assert facts.data.scale_b == Scale(ranges=((0, 1000),), type="uint16")
    assert with_scales(facts) is facts  # measured once
    assert i2i.config.parse(type(facts), facts.model_dump(mode="json"), "it") == facts


def test_values_go_there_and_back():
    rng = np.random.default_rng(0)
    array = rng.uniform(270, 330, (8, 8, 3)).astype(np.float32)
    scale = Scale(ranges=((200, 400), (270, 330), (0, 1000)))
    there = scaled(array, None, scale, alpha=False)
    assert there.min() >= 0
    np.testing.assert_allclose(unscaled(there, scale, alpha=False), array, atol=1e-4)
    clipped = scaled(array, None, Scale(ranges=((290, 300),), clips=True), alpha=False)
    assert (clipped.min(), clipped.max()) == (0, 1)
    with pytest.raises(ImageError, match=r"channel 2\b.*\b290\b"):
        scaled(array, None, Scale(ranges=((200, 400), (290, 330), (0, 1000))), alpha=False)


def test_outputs_have_the_values_and_type_of_their_side(run, cube, tmp_path):
    part = read_spec(run / "model.safetensors").generators["A2B"]
    assert part.outputs.scale == Scale(ranges=((0, 1000),), type="uint16")
    assert "chl, temperature (bands) with" in run_i2i("info", run).stdout
    source = cube / "testA" / "0.npy"
    done = run_i2i("translate", source, "-m", run, "-o", tmp_path / "a.tif")
    assert done.returncode == 0, done.stderr
    made = tifffile.imread(tmp_path / "a.tif")
    assert made.dtype == np.uint16
    assert made.max() <= 1000  # not 65,535
    model = i2i.load(run)
    unit = model.translate(read_image(source, layout=part.inputs.layout(None)), np.float32)
    np.testing.assert_array_equal(made, np.rint(1000 * unit[:, :, 0].astype(np.float64)).astype(np.uint16))
    np.testing.assert_array_equal(model(np.load(source))[:, :, 0], made)
    np.testing.assert_array_equal(model(source).array[:, :, 0], made)
    done = run_i2i("translate", source, "-m", run, "-o", tmp_path / "b.tif", "--bit-depth", 32)
    np.testing.assert_allclose(tifffile.imread(tmp_path / "b.tif"), 1000 * unit[:, :, 0], rtol=1e-5)


def test_scores_are_those_of_scaled_values(run, cube):
    done = run_i2i("evaluate", "-m", run, "--data", cube, "--metrics", "l1")
    assert done.returncode == 0, done.stderr
    assert "scale" in done.stdout


def test_floats_train_with_a_range_and_without_one_are_refused(cube, tmp_path):
    layout = Layout(2, ("chl", "temperature"), (0, 4095))
    assert read_image(cube / "trainA" / "0.npy", layout=layout).max() <= 1
    with pytest.raises(ImageError, match=r"data\.input_range"):
        i2i.train(tiny_config(*NAMED, data=cube), tmp_path / "run")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("data.normalise_a=[[0,1],[0,1],[0,1]]", "data.normalise_a"),
        ("data.normalise_b=[1000,0]", "data.normalise_b"),
        ("data.percentiles=[99,1]", "data.percentiles"),
        ("data.normalise_a=minmax", "data.normalise_a"),
    ],
)
def test_settings_that_make_no_sense_are_named(cube, change, named):
    with pytest.raises(ConfigError, match=named):
        make_set("paired", tiny_config(*NAMED, change, data=cube))


def test_pictures_keep_their_colours(few_pairs):
    config = tiny_config("data.normalise_a=percentiles", data=few_pairs)
    (a, _) = with_scales(config).data.layouts
    assert len(a.scale.ranges) == 1  # one of all channels
    assert a.scale.type == "uint8"
    data = make_set("paired", config)
    assert read_pair(data.lists[0][0])[0].dtype == np.float32
