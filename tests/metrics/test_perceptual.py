"""Perceptual distances, with small weights in the files' format, and with the published ones if they are present."""

import pickle

import numpy as np
import pytest
import torch

from i2i.errors import DataError, ModelError
from i2i.images import read_image
from i2i.metrics import perceptual
from i2i.metrics.features import features
from i2i.metrics.perceptual import dists, lpips
from tests.conftest import ROOT, know_weights, picture, use_published_weights

HEADS = {"alexnet": [0, 1, 2, 3, 4], "vgg16": [1, 3, 6, 9, 12]}


@pytest.fixture(autouse=True)
def no_cache():
    """Clear the cached trunk before and after, since the weights differ."""
    for cache in (perceptual.trunk, perceptual._dists_weights):
        cache.cache_clear()
    yield
    for cache in (perceptual.trunk, perceptual._dists_weights):
        cache.cache_clear()


@pytest.mark.parametrize("network", ["alexnet", "vgg16"])
def test_lpips_is_the_formula_on_a_network_of_torch(small_weights, network):
    """Zhang et al. 2018, equation 1, with nn.Conv2d and nn.MaxPool2d laid out as torchvision does."""
    arrays = pickle.loads((small_weights / f"{network}.ckpt").read_bytes())
    layout = {
        "alexnet": [(4, 2), 3, (1, 2), 3, (1, 1), (1, 1), (1, 1)],
        "vgg16": [(1, 1), (1, 1), 2, (1, 1), (1, 1), 2, *[(1, 1)] * 3, 2, *[(1, 1)] * 3, 2, *[(1, 1)] * 3],
    }[network]
    one, other = (picture(40, 48, seed=k) for k in (0, 1))
    x = torch.from_numpy(np.stack([one, other]).transpose(0, 3, 1, 2) / 255.0)  # float64
    x = (x * 2 - 1 - torch.tensor([-0.030, -0.088, -0.188]).view(1, 3, 1, 1)) / torch.tensor(
        [0.458, 0.448, 0.450]
    ).view(1, 3, 1, 1)
    expected, index = 0.0, 0
    for step in layout:
        if isinstance(step, int):
            x = torch.nn.MaxPool2d(step, 2)(x)
            continue
        own = arrays["Net_0"][f"Conv_{index}"]
        layer = torch.nn.Conv2d(own["kernel"].shape[2], own["kernel"].shape[3], own["kernel"].shape[0], *step).double()
        layer.weight.data = torch.from_numpy(own["kernel"]).permute(3, 2, 0, 1).double()
        layer.bias.data = torch.from_numpy(own["bias"]).double()
        x = layer(x).relu().detach()
        if index in HEADS[network]:
            head = arrays[f"NetLinLayer_{HEADS[network].index(index)}"]["Conv_0"]["kernel"][0, 0, :, 0]
            unit = x / (x.norm(dim=1, keepdim=True) + 1e-10)
            expected += float(((unit[0] - unit[1]) ** 2 * torch.from_numpy(head).view(-1, 1, 1)).sum(0).mean())
        index += 1
    assert lpips(one, other, network) == pytest.approx(expected, rel=1e-4)
    assert lpips(one, one, network) == 0


def test_dists_knows_equal_pictures_and_forgives_moved_texture(small_weights):
    random = np.random.default_rng(0)
    grain = random.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    assert dists(grain, grain) == pytest.approx(0, abs=1e-6)
    moved, flat = np.roll(grain, 5, axis=1), np.full_like(grain, 128)
    assert 0 < dists(moved, grain) < dists(flat, grain) <= 1


def test_depth_and_grey_do_not_change_the_distance(small_weights):
    one, other = picture(40, 40), picture(40, 40, seed=1)
    deep = [each.astype(np.uint16) * 257 for each in (one, other)]
    assert lpips(*deep) == pytest.approx(lpips(one, other), rel=1e-5)
    grey = lpips(one[:, :, :1], other[:, :, :1])
    assert grey == pytest.approx(lpips(*(np.repeat(each[:, :, :1], 3, axis=2) for each in (one, other))), rel=1e-5)


def test_small_pictures_and_missing_or_changed_weights_are_refused_by_name(small_weights):
    with pytest.raises(DataError, match="31 px"):
        lpips(picture(30, 40), picture(30, 40))
    perceptual.trunk.cache_clear()
    file = small_weights / "alexnet.ckpt"
    file.write_bytes(file.read_bytes()[:-1] + b"!")
    with pytest.raises(ModelError, match="SHA-256"):
        lpips(picture(40, 40), picture(40, 40))
    file.unlink()
    with pytest.raises(ModelError, match="i2i weights get alexnet"):
        lpips(picture(40, 40), picture(40, 40))


def test_a_pickle_with_anything_but_arrays_is_refused(small_weights, monkeypatch):
    know_weights(monkeypatch, "alexnet", pickle.dumps({"Net_0": print}))
    with pytest.raises(pickle.UnpicklingError, match=r"builtins\.print"):
        perceptual.trunk("alexnet")


def test_each_network_gives_features_of_its_width(small_weights):
    pictures = [picture(40, 40, seed=k) for k in range(3)]
    assert features(pictures, "alexnet").shape == (3, 2)
    assert features(pictures, "random").shape == features(pictures, "random", "legacy").shape
    assert not np.allclose(features(pictures, "random"), features(pictures, "random", "legacy"))


@pytest.mark.slow
@pytest.mark.parametrize(("network", "figures"), [("alexnet", (0.722, 0.138)), ("vgg16", (0.5686, 0.4217))])
def test_lpips_of_the_published_pictures_is_the_published_figure(network, figures, monkeypatch):
    """Those of richzhang/PerceptualSimilarity, whose README gives them for AlexNet; the blur is always the farther."""
    use_published_weights(network, monkeypatch)
    folder = ROOT / "tests" / "data" / "lpips"
    reference, blurred, warped = (read_image(folder / f"ex_{name}.png") for name in ("ref", "p0", "p1"))
    found = lpips(blurred, reference, network), lpips(warped, reference, network)
    assert found[0] > found[1] > 0 == lpips(reference, reference, network)
    if figures:
        assert found == pytest.approx(figures, abs=0.0005)
