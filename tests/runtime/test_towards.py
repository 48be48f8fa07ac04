"""Walks of latents towards a class, against steps computed by hand."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from i2i.errors import UsageError
from i2i.models.modelfile import read_spec
from i2i.models.spec import CLASSIFY, ENCODE, GENERATE, LatentBlock, ModelSpec, classifying, generating
from i2i.runtime.towards import Guide, Pull
from tests.cli.test_cli import call


class Network(nn.Module):
    """A function as a network."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, value):
        return self.function(value)


@pytest.fixture
def guide():
    """G(h) = 2 h, E(x) = x / 4 with variances beside it, and the logits x and 0 of the classes up and down."""
    noise = (LatentBlock(name="noise", size=1),)
    labels = (LatentBlock(name="way", size=2, prior="one_hot", classes=("up", "down")),)
    parts = {GENERATE: generating("dcgan", {}, noise, 1, 32), CLASSIFY: classifying("dcgan", {}, labels, 1, 32)}
    spec = ModelSpec(
        i2i_version="0",
        algorithm="plug_and_play",
        parts=parts,
        norm_statistics="running",
        trained_crop_px=32,
        trained_side_px=32,
    )
    networks = {
        GENERATE: Network(lambda h: 2 * h),
        ENCODE: Network(lambda x: torch.cat([x / 4, torch.full_like(x, 9)], dim=1)),
        CLASSIFY: Network(lambda x: torch.cat([x, torch.zeros_like(x)], dim=1)),
    }
    return Guide(spec, networks, "cpu")


def walked(guide, label, pull, start=0.0, steps=1, seed=0):
    return float(guide(np.full((1, 1), start, np.float32), [label], [seed], steps, pull)[0, 0])


def test_the_gradient_of_the_class_moves_a_latent(guide):
    """log sigmoid(2 h) has the slope 2 (1 - sigmoid(2 h)): 1 at 0. Half of it leads to 1/2, and down to -1/2."""
    assert walked(guide, "up", Pull(prior=0, condition=0.5, noise=0)) == pytest.approx(0.5)
    assert walked(guide, "down", Pull(prior=0, condition=0.5, noise=0)) == pytest.approx(-0.5)
    second = 0.5 + 0.5 * 2 / (1 + math.e)
    assert walked(guide, "up", Pull(prior=0, condition=0.5, noise=0), steps=2) == pytest.approx(second)


def test_the_prior_takes_a_latent_to_what_is_encoded_of_it(guide):
    """E(G(h)) is h / 2; a tenth of the way from 2 to 1 is 1.9, and without the prior it stays."""
    assert walked(guide, "up", Pull(prior=0.1, condition=0, noise=0), start=2.0) == pytest.approx(1.9)
    assert walked(guide, "up", Pull(prior=0, condition=0, noise=0), start=2.0) == 2.0


def test_the_noise_of_a_walk_depends_on_its_seed_alone(guide):
    pull, starts = Pull(prior=0, condition=0, noise=2.0), np.zeros((70, 1), np.float32)
    many = guide(starts, ["up"], range(70), 3, pull)
    assert many[69, 0] == pytest.approx(walked(guide, "up", pull, steps=3, seed=69))
    assert len(np.unique(many)) == 70
    assert np.std(many) == pytest.approx(2 * math.sqrt(3), rel=0.3)


def test_the_command_walks_and_saves_where_it_arrived(guided_model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["generate", "-m", str(guided_model), "-n", "4", "--save-latents"]
    assert call(*words, "a.npy", "-o", "a.png") == 0
    assert call(*words, "b.npy", "-o", "b.png", "--towards", "3", "--steps", "2") == 0
    assert np.load("a.npy").shape == np.load("b.npy").shape == (4, 4)
    assert not np.array_equal(np.load("a.npy"), np.load("b.npy"))
    assert call(*words, "c.npy", "-o", "c.png", "--towards", "eleven") == 2
    assert call(*words, "c.npy", "-o", "c.png", "--steps", "2") == 2


def test_models_that_cannot_be_guided_are_refused(noise_model, noise_onnx, guided_model):
    with pytest.raises(UsageError, match="classifier"):
        Guide.open(noise_model)
    with pytest.raises(UsageError, match="torch"):
        Guide.open(noise_onnx)
    assert read_spec(guided_model).classifier.blocks[0].classes[3] == "3"
