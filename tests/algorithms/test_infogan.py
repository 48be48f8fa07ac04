"""InfoGAN: what Q reads, whose loss it is in, and codes that find the modes of the ring."""

import math

import numpy as np
import pytest
import torch

import i2i
from i2i.algorithms.infogan import InfoGAN, negative_log_gaussian
from i2i.errors import ConfigError
from i2i.networks import DiscriminatorOutput
from i2i.training.engine import Engine
from i2i.training.fabric import make_fabric
from tests.conftest import ROOT, load_script, smallest_config

SHORT = ["schedule.images=160000", "schedule.decay_images=80000"]


def infogan(*overrides):
    torch.manual_seed(0)
    return InfoGAN(smallest_config("infogan", ".", *overrides))


def test_the_terms_are_minus_log_q(monkeypatch):
    """Cross-entropy of a class, and of a Gaussian of sigma 1 half the squared distance."""
    algorithm = infogan("loss.categories=[2]")
    heads = {"category": torch.tensor([[0.0, 0], [1, 0]]), "continuous": torch.tensor([[0.0, 1]] * 2)}
    said = DiscriminatorOutput(torch.zeros(2, 1), heads=heads)
    monkeypatch.setattr(algorithm.adversaries["D"], "judge", lambda *_: said)
    noise = torch.zeros(2, algorithm.blocks[0].size)
    latent = torch.cat([noise, torch.tensor([[1.0, 0], [0, 1]]), torch.tensor([[1.0, 1], [0, -1]])], dim=1)
    images = torch.zeros(2, 3, 32, 32)
    terms = algorithm.losses("generator", {"image": images}, {"fake": images, "latent": latent})
    assert terms["G_category"].item() == pytest.approx((math.log(2) + math.log(1 + math.e)) / 2)
    assert terms["G_continuous"].item() == pytest.approx((1 + 4) / 2 / 2)
    assert negative_log_gaussian(torch.zeros(1, 1), torch.full((1, 1), 3.0)).item() == pytest.approx(4.5)


def test_codes_have_their_priors_and_names():
    blocks = infogan("loss.categories=[10,3]", "loss.continuous=2").blocks
    assert [(one.name, one.size, one.prior) for one in blocks] == [
        ("noise", 4, "uniform"),
        ("category_1", 10, "one_hot"),
        ("category_2", 3, "one_hot"),
        ("continuous", 2, "uniform"),
    ]
    assert blocks[2].classes == ("0", "1", "2")
    assert [one.name for one in infogan("loss.continuous=0").codes] == ["category"]
    assert [one.name for one in infogan("loss.categories=[]").codes] == ["continuous"]


@pytest.mark.parametrize("player", ["discriminator", "generator"])
@pytest.mark.parametrize("weight", [0, 1])
def test_both_players_learn_from_the_information(player, weight):
    """The term is in both losses; with weight 0, the control, Q's layer and the codes of G get nothing from it."""
    algorithm = infogan(f"loss.information={weight}", f"loss.information_continuous={weight}")
    batch = {"image": torch.rand(4, 3, 32, 32)}
    terms, weights = algorithm.losses(player, batch, algorithm.forward(batch)), algorithm.weights()
    prefix = player[0].upper()
    names = {f"{prefix}_category", f"{prefix}_continuous"}
    assert names <= set(terms) & set(weights)
    assert [weights[name] for name in sorted(names)] == [weight, weight]
    total = sum(weights[name] * terms[name] for name in names)
    (gradient,) = torch.autograd.grad(total, algorithm.networks["discriminator"].heads.linear.weight, retain_graph=True)
    assert bool(gradient.any()) == bool(weight)
    if player == "generator":
        (gradient,) = torch.autograd.grad(total, next(algorithm.networks["generator"].parameters()))
        assert bool(gradient.any()) == bool(weight)


def test_q_learns_with_the_discriminator_and_not_with_the_generator():
    algorithm = infogan()
    assert [phase.trains for phase in algorithm.phases] == [("discriminator",), ("generator",)]
    engine = Engine(make_fabric(algorithm.config), algorithm)
    before = algorithm.networks["discriminator"].heads.linear.weight.clone()
    engine.train_step({"image": torch.rand(4, 3, 32, 32)})
    assert not torch.equal(algorithm.networks["discriminator"].heads.linear.weight, before)


def test_a_class_alone_is_no_code():
    with pytest.raises(ConfigError, match=r"loss\.categories"):
        infogan("loss.categories=[1]")


def test_at_least_one_code_is_needed():
    with pytest.raises(ConfigError, match="categories"):
        infogan("loss.categories=[]", "loss.continuous=0")


def test_information_and_purity_by_hand():
    """Two classes that tell two modes apart, and two that do not."""
    bench = load_script(ROOT / "tools" / "bench" / "codes.py")
    one, other = np.array([0, 0, 1, 1]), np.array([1, 1, 0, 0])
    assert bench.information(bench.counts(one, other)) == pytest.approx(math.log(2))
    assert bench.information(bench.counts(one, np.array([0, 1, 0, 1]))) == pytest.approx(0)
    assert bench.purity(bench.counts(one, np.array([0, 0, 1, 0]))) == 0.75
    assert bench.purity(bench.counts(one, np.zeros(4, int))) == 1.0
    assert bench.purity_at_random(np.zeros(50, int), 3) == 1.0
    assert bench.purity_at_random(np.arange(10_000) % 5, 2) == pytest.approx(0.2, abs=0.02)


@pytest.mark.slow
def test_the_code_finds_the_modes_of_the_ring(tmp_path):
    """Q recovers the codes, and each class is one of the 8 Gaussians; without the information term, neither."""
    bench = load_script(ROOT / "tools" / "bench" / "codes.py")
    found = bench.run("ring", None, tmp_path, [*SHORT, "train.device=cpu"])
    nats = {weight: float(said.split()[0]) for weight, (_, said) in found.items()}
    assert found[1.0][0].recovered >= 0.95
    assert nats[1.0] >= 0.9 * math.log(8)
    assert found[0.0][0].recovered <= 0.3
    assert nats[0.0] <= 0.2


def test_fakes_of_one_class_come_by_label(tmp_path):
    """`generate --label` takes a class of the code by its number."""
    i2i.train(smallest_config("infogan_ring", "."), tmp_path / "run")
    generator = i2i.load(tmp_path / "run")
    latents = generator.draw([1, 2], ["3"])
    assert latents[:, -8:].argmax(1).tolist() == [3, 3]
