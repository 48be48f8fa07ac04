"""The auxiliary classifier of a conditional GAN, against values computed by hand."""

import math

import pytest
import torch

from i2i.data.sets import make_set
from i2i.errors import ConfigError
from i2i.networks import DiscriminatorOutput
from tests.conftest import make_algorithm, smallest_config


def auxiliary(data, *changes):
    return smallest_config("conditional_gan", data, "loss.condition=auxiliary", *changes)


def test_both_players_learn_from_the_labels_that_are_told(few_pairs, monkeypatch):
    """A classifier that gives the right class twice the odds of each other one is right with 2/4: -log is log 2.

    On fakes it is sure of nothing, -log 1/3. D learns from both, G from fakes.
    """
    config = auxiliary(few_pairs, "loss.classification=0.5")
    algorithm = make_algorithm(config)
    batch = make_set(algorithm.data, config).load(range(4)).batch
    right = torch.nn.functional.one_hot(batch["label"][:, 0], 3) * math.log(2)
    logits = algorithm.adversaries["D"].judge(batch["image"]).logits

    def judge(image, condition=None):
        assert condition is None
        told = right if image is batch["image"] else torch.zeros(4, 3)
        return DiscriminatorOutput(logits, heads={"shape": told})

    monkeypatch.setattr(algorithm.adversaries["D"], "judge", judge)
    outputs = algorithm.forward(batch)
    assert algorithm.losses("generator", batch, outputs)["G_class_shape"].item() == pytest.approx(math.log(3))
    term = algorithm.losses("discriminator", batch, outputs)["D_class_shape"]
    assert term.item() == pytest.approx(math.log(2) + math.log(3))
    weights = algorithm.weights()
    assert (weights["G_class_shape"], weights["D_class_shape"]) == (0.5, 0.5)


def test_only_an_auxiliary_classifier_has_a_weight(few_pairs):
    with pytest.raises(ConfigError, match="classification"):
        make_algorithm(smallest_config("conditional_gan", few_pairs, "loss.classification=2"))
    plain = make_algorithm(smallest_config("conditional_gan", few_pairs))
    assert not plain.heads
    assert not any("class" in name for name in plain.weights())


def test_the_generator_learns_from_the_classifier_alone(few_pairs):
    """Without the adversarial term, the gradient of the class still reaches G, and D's heads keep out of its way."""
    config = auxiliary(few_pairs)
    algorithm = make_algorithm(config)
    batch = make_set(algorithm.data, config).load(range(4)).batch
    algorithm.losses("generator", batch, algorithm.forward(batch))["G_class_shape"].backward()
    assert all(weight.grad.any() for weight in algorithm.networks["generator"].parameters() if weight.dim() > 1)


def test_a_generator_from_text_is_refused_though_the_data_has_texts(few_pairs, tmp_path):
    rows = (few_pairs / "labels.csv").read_text(encoding="utf-8").splitlines()
    table = [f"{row},{words}" for row, words in zip(rows, ["words", *["a tall one"] * len(rows)], strict=False)]
    (tmp_path / "both.csv").write_text("\n".join(table), encoding="utf-8")
    changes = [f"data.labels={tmp_path / 'both.csv'}", "data.text=words"]
    assert make_algorithm(smallest_config("conditional_gan", few_pairs, *changes)).config.data.texts
    with pytest.raises(ConfigError, match=r"stackgan.*conditional_gan"):
        make_algorithm(smallest_config("conditional_gan", few_pairs, *changes, "generator={name: stackgan}"))
