"""Every loss and every penalty in every algorithm by settings alone, with the same values however a step is made."""

import math
from typing import get_args

import pytest
import torch

from i2i import losses
from i2i.algorithms import ALGORITHMS
from i2i.algorithms.adversary import AdversarialName, PenaltyName
from i2i.data.sets import make_set
from i2i.errors import ConfigError
from i2i.training import engine
from tests.conftest import SMALLEST, make_algorithm, smallest_config

PENALTIES = [name for name in get_args(PenaltyName) if name != "none"]
NO_BATCH_NORM = {kind: [] if kind == "toy" else ["discriminator.norm=instance"] for kind in SMALLEST}


def make_stepper(config):
    torch.manual_seed(0)
    algorithm = make_algorithm(config)
    return engine.Stepper(engine.make_fabric(algorithm.config), algorithm)


def step(config, images=4):
    """The terms of one step, and the networks' weights behind it."""
    stepper = make_stepper(config)
    batch = make_set(stepper.algorithm.data, config).load(range(images)).batch
    torch.manual_seed(1)
    terms = {name: float(term) for name, term in stepper.step(batch).items()}
    return terms, {name: network.state_dict() for name, network in stepper.modules.items()}


def test_the_settings_know_every_entry_of_the_tables():
    assert set(get_args(AdversarialName)) == set(losses.ADVERSARIAL)
    assert set(PENALTIES) == {*losses.PENALTIES, "clip"}


@pytest.mark.parametrize("kind", list(SMALLEST))
@pytest.mark.parametrize("name", list(losses.ADVERSARIAL))
def test_every_loss_trains_every_algorithm(few_pairs, kind, name):
    terms, _ = step(smallest_config(kind, few_pairs, f"loss.adversarial={name}"))
    assert all(math.isfinite(value) for value in terms.values())
    assert all(value > 0 for term, value in terms.items() if term.startswith("grad."))


@pytest.mark.parametrize("kind", list(SMALLEST))
@pytest.mark.parametrize("name", PENALTIES)
def test_every_penalty_trains_every_algorithm(few_pairs, kind, name):
    config = smallest_config(kind, few_pairs, f"loss.penalty={name}", *NO_BATCH_NORM[kind])
    terms, networks = step(config)
    assert all(math.isfinite(value) for value in terms.values())
    penalties = [value for term, value in terms.items() if term.endswith("_penalty")]
    if name == "clip":
        assert not penalties
        judges = [networks[one.name] for one in make_algorithm(config).adversaries.values()]
        # One step of Adam behind the clipping moves a weight by its rate at most.
        most = max(float(weight.abs().max()) for judge in judges for weight in judge.values())
        assert most <= 0.01 + 2 * config.optimizer.lr
    else:
        assert penalties
        assert all(value > 0 for value in penalties)


@pytest.mark.parametrize("name", list(losses.PENALTIES))
@pytest.mark.parametrize("kind", [kind for kind in SMALLEST if kind != "toy"])
def test_a_penalty_with_batch_norm_is_refused_by_name(few_pairs, kind, name):
    config = smallest_config(kind, few_pairs, f"loss.penalty={name}", "discriminator.norm=batch")
    with pytest.raises(ConfigError, match=r"loss.penalty is .*discriminator.norm"):
        make_algorithm(config)


@pytest.mark.parametrize(
    ("change", "tolerance"),
    [
        (["train.activation_checkpointing=true"], 0.0),
        (["train.batch=2", "train.accumulate=2"], 1e-5),
        (["train.precision=bf16"], 0.05),
    ],
    ids=["checkpointing", "accumulate", "bf16"],
)
@pytest.mark.parametrize("name", list(losses.PENALTIES))
def test_a_penalty_is_the_same_however_a_step_is_made(few_pairs, monkeypatch, name, change, tolerance):
    """Its value, and the gradient of the discriminator that it is part of."""

    def halves(*shape, **options):  # with accumulate, other draws come in between
        return torch.full(shape, 0.5, **options)

    monkeypatch.setattr(losses.torch, "rand", halves)
    settings = ["generator.dropout=0", "generator.norm=instance", "discriminator.norm=instance"]
    plain, other = (
        step(smallest_config("pix2pix", few_pairs, f"loss.penalty={name}", *settings, *more))[0]
        for more in ([], change)
    )
    for term in ("D_penalty", "grad.discriminator"):
        assert other[term] == pytest.approx(plain[term], rel=tolerance, abs=0)


@pytest.mark.parametrize("penalty", ["none", "gradient"])
def test_spectral_norm_is_the_same_with_checkpointing(few_pairs, penalty):
    """Its buffers move with every forward, and two precede the backward; weights are equal bit for bit."""
    changes = ["discriminator.norm=none", "discriminator.spectral_norm=true", f"loss.penalty={penalty}"]
    (terms, networks), (same_terms, same_networks) = (
        step(smallest_config("pix2pix", few_pairs, *changes, *more))
        for more in ([], ["train.activation_checkpointing=true"])
    )
    assert same_terms == terms
    for name, weights in networks["discriminator"].items():
        assert torch.equal(same_networks["discriminator"][name], weights), name


def test_a_lazy_penalty_takes_its_turn_in_the_discriminators_own_adam(few_pairs):
    config = smallest_config(
        "pix2pix", few_pairs, "loss.penalty=r1", "loss.penalty_every_steps=3", "discriminator.norm=none"
    )
    stepper = make_stepper(config)
    assert set(stepper.optimizers) == {"discriminator", "generator"}
    batch = make_set("paired", config).load(range(4)).batch
    logged = [set(stepper.step(batch)) for _ in range(6)]
    for name in ("D_penalty", "grad.discriminator.penalty"):
        assert [name in terms for terms in logged] == [False, False, True] * 2
    assert all("grad.discriminator" in terms for terms in logged)
    steps = {int(state["step"]) for state in stepper.optimizers["discriminator"].state_dict()["state"].values()}
    assert max(steps) == 8  # six of its own, and two of the penalty, which no last bias has a part in
    every = stepper.algorithm.weights()["D_penalty"]
    once = ALGORITHMS["pix2pix"](smallest_config("pix2pix", few_pairs, "loss.penalty=r1", "discriminator.norm=none"))
    assert every == pytest.approx(3 * once.weights()["D_penalty"])


@pytest.mark.parametrize("change", ["loss.penalty_weight=1", "loss.penalty_every_steps=4"])
@pytest.mark.parametrize("penalty", ["none", "clip"])
def test_a_setting_without_effect_is_refused(few_pairs, penalty, change):
    config = smallest_config("gan", few_pairs, f"loss.penalty={penalty}", change)
    with pytest.raises(ConfigError, match="penalty_weight and penalty_every_steps"):
        make_algorithm(config)


def test_weights_are_bounded_once(few_pairs):
    config = smallest_config("gan", few_pairs, "loss.penalty=clip", "discriminator.spectral_norm=true")
    with pytest.raises(ConfigError, match=r"clip and discriminator\.spectral_norm"):
        make_algorithm(config)


def test_an_unbounded_wasserstein_critic_is_said(few_pairs):
    bare = smallest_config("gan", few_pairs, "loss.adversarial=wasserstein")
    assert "loss.penalty" in ALGORITHMS["gan"](bare).notes[0]
    for more in ("loss.penalty=clip", "discriminator.spectral_norm=true"):
        config = smallest_config("gan", few_pairs, "loss.adversarial=wasserstein", more)
        assert ALGORITHMS["gan"](config).notes == []
