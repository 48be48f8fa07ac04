"""Pixels without data: in no loss, no score and no statistic, and again without data in what is translated."""

import json
import shutil

import numpy as np
import pytest
import rasterio
import torch

import i2i
from i2i.algorithms import ALGORITHMS, resolve
from i2i.config.settings import DataSettings
from i2i.data.augment import resize, resize_valid
from i2i.data.augment_batch import BatchAugment, augment_batch
from i2i.data.items import Pair
from i2i.data.scales import with_scales
from i2i.data.sets import make_set, with_facts
from i2i.errors import DataError, ImageError
from i2i.evaluation.baselines import fit_baselines
from i2i.images import Layout, read_image, read_masked
from i2i.metrics import METRICS
from i2i.models.modelfile import read_spec
from i2i.training.run import Run
from tests.conftest import picture, run_i2i, smallest_config, tiny_config

NODATA = -9999.0
BANDS = ("data.channels_a=[red,nir]", "data.channels_b=[height]", "data.direction=A2B", "data.nodata_b=-9999")
RANGES = ("data.normalise_a=percentiles", "data.normalise_b=percentiles")


def pair_of(seed, hidden):
    """Two bands in 16 bits and heights in floats; what lies under pixels without data (rows 0 to 9) is `hidden`."""
    smooth = np.concatenate([picture(32, 32, 1, np.uint16, seed=2 * seed + k) for k in range(2)], axis=2)
    a = (smooth // 2 + 1000 + np.random.default_rng(seed).integers(0, 500, (32, 32, 2))).astype(np.uint16)
    b = (100 + a[:, :, :1] / 100).astype(np.float32)
    a[:6], b[6:10] = 0, hidden
    return a, b


@pytest.fixture(scope="module")
def field(tmp_path_factory):
    """GeoTIFFs with GDAL's tag as A, and floats with -9999 as B, neither with data everywhere."""
    root = tmp_path_factory.mktemp("field")
    for split, count in (("train", 6), ("val", 2), ("test", 2)):
        for side in "AB":
            (root / f"{split}{side}").mkdir()
        for k in range(count):
            a, b = pair_of(k, NODATA)
            where = {"driver": "GTiff", "width": 32, "height": 32, "count": 2, "dtype": "uint16", "nodata": 0}
            with rasterio.open(root / f"{split}A" / f"{k}.tif", "w", **where) as file:
                file.write(a.transpose(2, 0, 1))
            np.save(root / f"{split}B" / f"{k}.npy", b)
    return root


@pytest.fixture(scope="module")
def run(tmp_path_factory, field):
    out = tmp_path_factory.mktemp("runs") / "field"
    i2i.train(tiny_config(*BANDS, *RANGES, data=field), out)
    return out


def test_statistics_are_those_of_data_alone(field):
    heights = np.concatenate([np.load(path)[:, :, 0].ravel() for path in sorted((field / "trainB").iterdir())])
    config = with_scales(tiny_config(*BANDS, *RANGES, data=field))
    ((low, high),) = config.data.scale_b.ranges
    assert (low, high) == pytest.approx(np.percentile(heights[heights != NODATA], [0.5, 99.5]), rel=1e-6)
    without = with_scales(tiny_config(*BANDS[:3], *RANGES, data=field))  # the control
    assert without.data.scale_b.ranges[0][0] == NODATA
    assert config.data.scale_a.ranges[0][0] > 0  # by the tag


def test_networks_see_the_mean_there(field):
    image, blank = read_masked(field / "trainB" / "0.npy", layout=Layout(1, ("height",), (0, 1000), nodata=NODATA))
    assert blank.sum() == 4 * 32
    known = image[~blank]
    np.testing.assert_allclose(image[blank], known.mean(), rtol=1e-5)
    with pytest.raises(ImageError, match="-9999"):
        read_image(field / "trainB" / "0.npy", layout=Layout(1, ("height",), (0, 1000)))


def test_nan_is_without_data_where_a_value_is_named(tmp_path):
    array = np.full((16, 16, 2), 0.25, np.float32)
    array[0, 0, 1], array[1] = np.nan, np.nan
    np.save(tmp_path / "a.npy", array)
    named = Layout(2, ("a", "b"), nodata="nan")
    image, blank = read_masked(tmp_path / "a.npy", layout=named)
    assert (image == 0.25).all()
    assert blank.sum() == 17
    with pytest.raises(ImageError, match="NaN"):
        read_image(tmp_path / "a.npy", layout=Layout(2, ("a", "b")))
    data = DataSettings(nodata_a=float("nan"))  # as YAML's .nan
    assert data == DataSettings.model_validate_json(data.model_dump_json()) == DataSettings(nodata_a="nan")


def test_no_pixel_that_resizing_mixes_with_filling_is_valid():
    blank = np.zeros((40, 40), bool)
    blank[11:17, 20:] = True
    image = picture(40, 40, 1, np.uint8).astype(np.float32) / 255
    other = np.where(blank[:, :, None], 1 - image, image)
    valid = resize_valid(blank, (40, 40), lambda values: resize(values, 25))[:, :, 0] > 0
    differs = np.abs(resize(image, 25) - resize(other, 25))[:, :, 0] > 2e-3
    assert valid.shape == (25, 25)
    assert not (valid & differs).any()
    assert (~valid).sum() < 1.6 * differs.sum()  # and few others


def algorithm_of(preset, field, *changes):
    torch.manual_seed(0)
    config = smallest_config(preset, field, *BANDS, *RANGES, *changes)
    data = make_set(ALGORITHMS[preset].data, config)
    algorithm = ALGORITHMS[preset](resolve(with_facts(config, data)))
    algorithm.begin(0, 16)
    return algorithm, data.load(range(2)).batch


def gradients(algorithm, batch, phase, names):
    """Return the gradient of some terms at each output of the generators, as the networks made it; and all terms."""
    made = []
    for name in set(algorithm.generators.values()):
        algorithm.networks[name].register_forward_hook(lambda module, args, output: made.append(output))
    outputs = algorithm.forward(batch)
    terms = algorithm.losses(phase, batch, outputs)
    total = sum(terms[name] for name in names)
    return torch.autograd.grad(total, made, allow_unused=True), terms, outputs


def test_no_loss_of_pairs_looks_at_pixels_without_data(field):
    """Neither L1 nor the discriminator nor further terms; without the mask, all do."""
    algorithm, batch = algorithm_of("pix2pix", field, "loss.terms.l2=1", "loss.terms.gradient=1")
    valid = batch["valid"].bool()
    assert 0 < valid.float().mean() < 1
    names = ("G_GAN", "G_L1", "G_l2", "G_gradient")
    for name in names:
        (gradient,), terms, outputs = gradients(algorithm, batch, "generator", [name])
        assert (gradient[~valid] == 0).all(), name
        assert gradient[valid].abs().sum() > 0
        difference = (outputs["fake"] - batch["b"])[valid]
        assert terms["G_L1"].item() == pytest.approx(difference.abs().mean().item(), rel=1e-5)
        assert terms["G_l2"].item() == pytest.approx(difference.square().mean().item(), rel=1e-5)
    (gradient,), _, _ = gradients(algorithm, {name: batch[name] for name in "ab"}, "generator", names)  # the control
    assert gradient[~valid].abs().sum() > 0


def test_no_loss_of_unpaired_data_looks_there(field):
    algorithm, batch = algorithm_of("cyclegan", field, "data.disjoint=false")
    algorithm.halves = ()  # one cycle after the other, so that outputs are made in this order
    hidden = {side: batch[f"valid_{side}"] == 0 for side in "ab"}
    assert all(0 < one.float().mean() < 1 for one in hidden.values())
    for shown, holds in ((batch, True), ({name: batch[name] for name in "ab"}, False)):  # with a control
        (fake_b, _, fake_a, _), _, _ = gradients(algorithm, shown, "generators", ("G_A2B_GAN", "G_B2A_GAN"))
        (_, back_a, _, back_b), _, _ = gradients(algorithm, shown, "generators", ("G_cycle_A", "G_cycle_B"))
        for gradient, where in ((fake_b, "a"), (fake_a, "b"), (back_a, "a"), (back_b, "b")):
            assert bool((gradient[hidden[where].expand_as(gradient)] == 0).all()) == holds
            assert gradient.abs().sum() > 0


@pytest.mark.parametrize("direction", ["A2B", "B2A"])
@pytest.mark.parametrize("augment", ["albumentations", "kornia"])
def test_masks_go_with_their_pictures(field, augment, direction):
    config = tiny_config(*BANDS, RANGES[1], f"data.direction={direction}", f"data.augment={augment}", data=field)
    data = make_set("paired", config)
    batch = data.load(range(8)).batch
    if augment == "kornia":
        batch = augment_batch(BatchAugment(config.data), batch, data, config, 0)
    # A is one flat value where it is filled, and noise elsewhere.
    flat = (batch["a"].diff(dim=3) == 0).all(dim=1, keepdim=True)
    seen = batch["valid"][:, :, :, 1:] == 1
    assert batch["valid"].shape == (8, 1, 16, 16)
    assert flat.any()
    assert not (flat & seen).any()
    assert 0.4 < seen.float().mean() < 0.9


def test_metrics_are_those_of_the_other_pixels():
    rng = np.random.default_rng(0)
    one, other = rng.random((2, 48, 40, 1)).astype(np.float32)
    valid = np.ones((48, 40), bool)
    valid[:20, :7] = False
    changed = np.where(valid[:, :, None], one, np.float32(0.5))
    for name in ("l1", "psnr", "ssim"):
        metric = METRICS[name]
        assert metric.of(one, other, False, valid) == metric.of(changed, other, False, valid)
        assert metric.of(one, other, False) != metric.of(changed, other, False)  # the control
        assert metric.of(one, other, False, np.ones_like(valid)) == pytest.approx(metric.of(one, other, False))
    assert METRICS["l1"].of(one, other, False, valid) == pytest.approx(255 * np.abs(one - other)[valid].mean())
    ssim = METRICS["ssim"]  # of all windows beside the missing corner, and of those below it
    beside, below = (ssim.of(one[part], other[part], False) for part in (np.s_[:, 7:], np.s_[20:, :17]))
    assert ssim.of(one, other, False, valid) == pytest.approx((beside * 38 * 23 + below * 18 * 7) / (38 * 23 + 18 * 7))
    assert not ssim.counts(np.zeros((48, 40), bool))
    with pytest.raises(DataError, match="MS-SSIM"):
        METRICS["ms_ssim"].of(one, other, False, valid)


def test_baselines_are_fitted_to_the_other_pixels(field):
    layouts = with_scales(tiny_config(*BANDS, *RANGES, data=field)).data.layouts
    pairs = [Pair(str(k), field / "trainA" / f"{k}.tif", field / "trainB" / f"{k}.npy", layouts) for k in range(6)]
    x, truth = (read_image(path, layout=one) for path, one in zip(pairs[0][1:3], layouts, strict=True))
    made = fit_baselines(pairs, "A2B", 1, bands=True)["affine_colour"](x)
    assert np.abs(made - truth)[10:].mean() < 0.01  # heights are linear in red; pixels that are filled are not


def test_evaluate_leaves_them_out_and_says_which_pairs_have_none(run, field, tmp_path):
    for side in "AB":
        shutil.copytree(field / f"test{side}", tmp_path / f"test{side}")
    np.save(tmp_path / "testB" / "1.npy", np.full((32, 32, 1), NODATA, np.float32))
    done = run_i2i("evaluate", "-m", run, "--data", tmp_path, "--json")
    assert done.returncode == 0, done.stderr
    (scores,) = json.loads(done.stdout)["result"]["scores"]
    assert scores["pairs"] == 1
    assert "1 pair without" in scores["notes"][0]
    part = read_spec(run / "model.safetensors").generators["A2B"]
    truth, blank = read_masked(tmp_path / "testB" / "0.npy", layout=part.outputs.layout(None))
    x, of_x = read_masked(tmp_path / "testA" / "0.tif", layout=part.inputs.layout(None))
    made = i2i.load(run).translate(x, np.float32)
    difference = 255 * np.abs(made - truth)[:, :, 0]
    assert scores["model"]["l1"] == pytest.approx(difference[~(blank | of_x)].mean(), rel=1e-4)
    assert scores["model"]["l1"] != pytest.approx(difference.mean(), rel=1e-3)


def test_outputs_have_no_data_where_inputs_have_none(run, field, tmp_path):
    source = field / "testA" / "0.tif"
    done = run_i2i("translate", source, "-m", run, "-o", tmp_path / "a.tif")
    assert done.returncode == 0, done.stderr
    with rasterio.open(tmp_path / "a.tif") as file:
        assert file.nodata == NODATA  # of the side that it belongs to, not of the input
        made = file.read(1)
    assert (made[:6] == NODATA).all()
    assert made[6:].min() > 50  # heights, though the input is 0 above
    np.testing.assert_array_equal(i2i.load(run)(source).array[:, :, 0], made)
    assert run_i2i("translate", source, "-m", run, "-o", tmp_path / "a.npy").returncode == 0
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), made)


def test_algorithms_that_learn_the_filling_say_so(field, tmp_path, monkeypatch):
    def notes(algorithm):
        config = smallest_config(algorithm, field, BANDS[0], "data.channels_b=[red,nir]", "data.disjoint=false")
        for split in ("train", "val"):
            for side in "AB":
                shutil.copytree(field / f"{split}A", tmp_path / f"{split}{side}", dirs_exist_ok=True)
        data = config.data.model_copy(update={"path": (str(tmp_path),)})
        return Run(config.model_copy(update={"data": data}), tmp_path / "run").data.notes

    assert not any("filled with the mean" in note for note in notes("cut"))
    monkeypatch.setattr(ALGORITHMS["cut"], "leaves_out_nodata", False)  # as one of a plugin may
    assert any("filled with the mean" in note for note in notes("cut"))
