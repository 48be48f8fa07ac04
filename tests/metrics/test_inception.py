"""FID's network is a TorchScript program in a file with a known digest: what a file of the published layout gives."""

import contextlib
import hashlib
import warnings

import numpy as np
import pytest
import torch
from torch import nn

from i2i.cli.tables import set_table
from i2i.data.items import Picture
from i2i.errors import ModelError
from i2i.evaluation import make_ruler
from i2i.evaluation.sets import evaluate_sets
from i2i.images import write_image
from i2i.metrics.features import _inception_network as load_network
from i2i.metrics.features import features
from i2i.weights import KNOWN
from tests.conftest import picture

pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit:FutureWarning")
WIDTH = 2048


class Program(nn.Module):
    """As in the published file: from normalised images of 299 px to (N, 2048)."""

    def __init__(self, layers):
        super().__init__()
        self.layers = layers

    def forward(self, x):
        return self.layers(x).reshape(-1, WIDTH)


@contextlib.contextmanager
def in_place(layers, tmp_path, monkeypatch):
    """Put a program with these layers in the place of the published one."""
    known = KNOWN["inception"]
    path = tmp_path / "weights" / known.file
    path.parent.mkdir()
    torch.jit.trace(Program(layers), torch.zeros(1, 3, 299, 299)).save(path)
    monkeypatch.setenv("I2I_WEIGHTS", str(path.parent))
    monkeypatch.setitem(KNOWN, "inception", known._replace(sha256=hashlib.sha256(path.read_bytes()).hexdigest()))
    load_network.cache_clear()
    yield
    load_network.cache_clear()


@pytest.fixture
def packed(tmp_path, monkeypatch):
    """Small layers of random weights, whose program is in place."""
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(3, 8, 7, 8), nn.ReLU(), nn.Conv2d(8, WIDTH, 1), nn.AdaptiveAvgPool2d(1)).eval()
    with in_place(layers, tmp_path, monkeypatch):
        yield layers


def test_features_are_those_of_the_layers_on_images_from_minus_1_to_1(packed):
    pictures = [picture(299, 299, seed=seed) for seed in range(3)]
    found = features(pictures, "inception")
    x = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float()
    with torch.inference_mode():
        wanted = packed((x - 128) / 128).flatten(1).double().numpy()
    assert found.shape == (3, WIDTH)
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_a_program_is_loaded_without_a_warning(packed):
    """torch says that TorchScript ends one day; users who make errors of warnings must not lose FID."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_network()


def test_fid_and_mind_are_named_so_and_grow_with_noise(packed, tmp_path):
    whole = [picture(40, 40, seed=seed) for seed in range(24)]
    real, others = whole[::2], whole[1::2]
    for place, one in enumerate(real):
        write_image(tmp_path / "real" / f"{place}.png", one)
    reference = [Picture(path.name, path) for path in sorted((tmp_path / "real").iterdir())]
    random = np.random.default_rng(0)
    noise = [np.clip(one + random.normal(0, 90, one.shape), 0, 255).astype(np.uint8) for one in others]
    ruler = make_ruler()
    assert ruler.network == "inception"  # the best known, once its file is here
    good, bad = (
        evaluate_sets("these", [lambda one=one: one for one in made], reference, ruler) for made in (others, noise)
    )
    for name in ("fid", "mind"):
        assert np.isfinite(good.model.scores[name])
        assert good.model.scores[name] < bad.model.scores[name]
    assert not {"frechet", "sliced_wasserstein"} & set(good.model.scores)  # their names on other networks
    rows = [cell for column in set_table(good).columns for cell in column.cells]
    assert {"FID ↓", "MIND ↓"} <= set(rows)
    assert good.to_json()["weights_sha256"] == KNOWN["inception"].sha256


def test_another_program_is_refused_before_it_is_loaded(packed, monkeypatch):
    known = KNOWN["inception"]
    monkeypatch.setitem(KNOWN, "inception", known._replace(sha256="0" * 64))
    monkeypatch.setattr(torch.jit, "load", lambda *_, **__: pytest.fail("a program of unknown content was loaded"))
    with pytest.raises(ModelError, match="SHA-256"):
        make_ruler("inception")
    with pytest.raises(ModelError, match="SHA-256"):
        features([picture(40, 40)], "inception")
