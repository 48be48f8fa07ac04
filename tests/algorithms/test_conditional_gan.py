"""Discriminators that tell labels, against values computed by hand, and coupled networks."""

import math

import pytest
import torch

from i2i.algorithms.judge import logit_of_classes
from i2i.data.sets import make_set
from i2i.errors import ConfigError, DataError
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


def test_classes_are_the_verdict_of_a_semi_supervised_discriminator(few_pairs):
    """D(x) = Z / (Z + 1): classes of odds 1, 2 and 1 are real with 4/5, and two label sets multiply their Z."""
    heads = {"shape": torch.tensor([[1.0, 2, 1]]).log(), "ink": torch.tensor([[1.0, 1]]).log()}
    one = DiscriminatorOutput(torch.full((1, 1), -9.0), heads={"shape": heads["shape"]})
    assert logit_of_classes(one).sigmoid().item() == pytest.approx(4 / 5)
    assert logit_of_classes(one._replace(heads=heads)).sigmoid().item() == pytest.approx(8 / 9)
    algorithm = make_algorithm(semi_supervised(few_pairs))
    network, image = algorithm.networks["discriminator"].eval(), torch.rand(2, 3, 32, 32)  # power iteration at rest
    wanted = network(image).heads["shape"].logsumexp(dim=1, keepdim=True)
    torch.testing.assert_close(algorithm.adversaries["D"].judge(image).logits, wanted)


def semi_supervised(data, *changes):
    settings = ["loss.condition=semi_supervised", "discriminator.norm=none", *changes]
    return smallest_config("conditional_gan", data, *settings)


def test_only_reals_with_a_label_tell_classes(few_pairs, monkeypatch):
    """Two of four reals have a label, told with 1/2 and 1/4: the mean of log 2 and log 4. Fakes are of no class to D.

    G is told that its fakes are of the class that was drawn for them, with 1/3.
    """
    algorithm = make_algorithm(semi_supervised(few_pairs))
    images, labels = torch.rand(4, 3, 32, 32), torch.tensor([[0], [-1], [1], [-1]])
    told = torch.tensor([[2.0, 1, 1], [9, 1, 1], [2, 1, 1], [1, 9, 1]]).log()

    def judge(image, condition=None):
        return DiscriminatorOutput(torch.zeros(4, 1), heads={"shape": told if image is images else torch.zeros(4, 3)})

    monkeypatch.setattr(algorithm.adversaries["D"], "judge", judge)
    batch = {"image": images, "label": labels}
    outputs = algorithm.forward(batch)
    term = algorithm.losses("discriminator", batch, outputs)["D_class_shape"]
    assert term.item() == pytest.approx((math.log(2) + math.log(4)) / 2)
    assert algorithm.losses("generator", batch, outputs)["G_class_shape"].item() == pytest.approx(math.log(3))
    none = {"image": images, "label": torch.full((4, 1), -1)}
    assert algorithm.losses("discriminator", none, outputs)["D_class_shape"].item() == 0


def test_labels_may_be_missing_where_they_are_not_needed(few_pairs, tmp_path):
    """An empty cell is no label; only the K+1 discriminator takes such pictures, and only where the data says so."""
    names = sorted(path.name for path in (few_pairs / "train").glob("*.png"))
    rows = [f"{name},{('round', 'flat', '')[place % 3] if place < 6 else ''}" for place, name in enumerate(names)]
    table = tmp_path / "few.csv"
    table.write_text("\n".join(["name,shape", *rows]), encoding="utf-8")
    given = [f"data.labels={table}", "data.unlabelled=true"]
    config = semi_supervised(few_pairs, *given)
    data = make_set("images", config)
    assert data.classes == {"shape": {"flat": 2, "round": 2}}
    assert sorted(data.load(range(8)).batch["label"][:, 0].tolist()) == [-1, -1, -1, -1, 0, 0, 1, 1]
    make_algorithm(config)
    with pytest.raises(ConfigError, match="unlabelled"):
        make_algorithm(smallest_config("conditional_gan", few_pairs, *given))
    with pytest.raises(DataError, match="label"):
        make_set("images", semi_supervised(few_pairs, given[0]))


@pytest.mark.parametrize("setting", ["minibatch_std=true", "minibatch_discrimination=l1", "name=autoencoder"])
def test_the_classes_leave_no_other_verdict(few_pairs, setting):
    changes = ["loss.adversarial=wasserstein"] if "name" in setting else []
    config = semi_supervised(few_pairs, f"discriminator.{setting}", *changes)
    with pytest.raises(ConfigError, match=setting.split("=")[0]):
        make_algorithm(config)
