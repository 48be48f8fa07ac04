"""The classifier beside the VAE: what it learns, and that the two do not know each other."""

import math

import pytest
import torch

from i2i.algorithms import ALGORITHMS
from i2i.data.sets import make_set
from i2i.errors import ConfigError
from tests.conftest import make_algorithm, smallest_config


@pytest.fixture
def algorithm(few_pairs):
    return make_algorithm(smallest_config("plug_and_play", few_pairs))


@pytest.fixture
def batch(few_pairs, algorithm):
    return make_set(algorithm.data, algorithm.config).load(range(8)).batch


def test_the_classifier_learns_from_labels(algorithm, batch):
    """The right class has twice the odds of each other one, so 2/4: -log is log 2."""
    right = torch.nn.functional.one_hot(batch["label"][:, 0], 3) * math.log(2)
    algorithm.networks["classifier"] = lambda image: right
    terms = algorithm.losses("classifier", batch, {})
    assert {name: term.item() for name, term in terms.items()} == pytest.approx({"D_class_shape": math.log(2)})
    assert algorithm.weights()["D_class_shape"] == 1


def test_neither_learns_from_the_other(algorithm, batch):
    outputs = algorithm.forward(batch)
    sum(algorithm.losses("autoencoder", batch, outputs).values()).backward()
    assert all(one.grad is None for one in algorithm.networks["classifier"].parameters())
    for network in algorithm.networks.values():
        network.zero_grad(set_to_none=True)
    sum(algorithm.losses("classifier", batch, algorithm.forward(batch)).values()).backward()
    assert all(one.grad is not None for one in algorithm.networks["classifier"].parameters())
    for name in ("generator", "encoder"):
        assert all(one.grad is None for one in algorithm.networks[name].parameters())


def test_the_model_file_holds_its_classes(algorithm):
    part = algorithm.parts()["classify"]
    assert (part.kind, part.size_minimum, part.latent) == ("classify", 32, 3)
    assert part.blocks[0].classes == ("flat", "round", "tall")


def test_labels_are_needed(few_pairs):
    with pytest.raises(ConfigError, match="classes"):
        ALGORITHMS["plug_and_play"](smallest_config("plug_and_play", few_pairs, "data.labels=null"))


def test_a_generator_without_an_encoder_is_refused(few_pairs):
    config = smallest_config("plug_and_play", few_pairs, "generator={name: coupled_dcgan, width: 2}")
    with pytest.raises(ConfigError, match="coupled_dcgan"):
        make_algorithm(config)
