"""Every loss and penalty works in every algorithm by settings alone, with equal values however a step is split."""

import copy
import math
from typing import get_args

import pytest
import torch

import i2i
from i2i import losses
from i2i.algorithms import ALGORITHMS
from i2i.algorithms.adversary_settings import AdversarialName, PenaltyName
from i2i.algorithms.smoothing import draw_labels
from i2i.data.sets import make_set
from i2i.errors import ConfigError
from i2i.networks import DiscriminatorOutput
from i2i.training.engine import Engine
from i2i.training.fabric import make_fabric
from tests.conftest import LINEART, WITH_DISCRIMINATOR, make_algorithm, smallest_config
from tests.training.test_engine import assert_equal_trees

OF_LOGITS = [name for name in losses.ADVERSARIAL if name != "margin"]
LABELLED = [name for name, loss in losses.ADVERSARIAL.items() if loss.toward]
PENALTIES = [name for name in get_args(PenaltyName) if name != "none"]
_JUDGES = {kind: i2i.load_config(preset).discriminator for kind, preset in WITH_DISCRIMINATOR.items()}
HAS_NORM = [kind for kind, judge in _JUDGES.items() if hasattr(judge, "norm")]


def make_engine(config, seed=0):
    torch.manual_seed(seed)
    algorithm = make_algorithm(config)
    return Engine(make_fabric(algorithm.config), algorithm)


def step(config, images=4):
    """The terms of one step, and the networks' weights behind it."""
    engine = make_engine(config)
    batch = make_set(engine.algorithm.data, config).load(range(images)).batch
    torch.manual_seed(1)
    terms = {name: float(term) for name, term in engine.train_step(batch).items()}
    return terms, {name: network.state_dict() for name, network in engine.networks.items()}


def test_the_settings_know_every_entry_of_the_tables():
    assert set(get_args(AdversarialName)) == set(losses.ADVERSARIAL)
    assert set(PENALTIES) == {*losses.PENALTIES, "clip"}


def energies(kind):
    """Overrides that make the discriminator an autoencoder, without what goes with another one alone."""
    points = smallest_config(kind, LINEART).data.toy is not None
    small = "{name: mlp_autoencoder, width: 8}" if points else "{name: autoencoder, levels: 2, width: 2, norm: none}"
    return [f"discriminator={small}", "loss.adversarial=margin"]


@pytest.mark.parametrize("kind", list(WITH_DISCRIMINATOR))
@pytest.mark.parametrize("name", list(losses.ADVERSARIAL))
def test_every_loss_trains_every_algorithm(few_pairs, kind, name):
    needs = energies(kind) if name == "margin" else [f"loss.adversarial={name}"]
    terms, _ = step(smallest_config(kind, few_pairs, *needs))
    assert all(math.isfinite(value) for value in terms.values())
    assert all(value > 0 for term, value in terms.items() if term.startswith("grad."))


@pytest.mark.slow
@pytest.mark.parametrize("kind", list(WITH_DISCRIMINATOR))
@pytest.mark.parametrize("name", list(losses.ADVERSARIAL))
def test_every_loss_resumes_exactly_in_every_algorithm(few_pairs, kind, name):
    """A step, its state in an engine with other weights, and another step give the bits of two steps."""
    needs = energies(kind) if name == "margin" else [f"loss.adversarial={name}"]
    config = smallest_config(kind, few_pairs, *needs)
    straight, resumed = make_engine(config), make_engine(config, seed=2)
    data = make_set(straight.algorithm.data, config)

    def advance(engine, images, seed):
        torch.manual_seed(seed)
        engine.algorithm.begin(images, 16)
        return engine.train_step(data.load(range(images, images + 4)).batch)

    advance(straight, 0, seed=1)
    resumed.load_state_dict(copy.deepcopy(straight.state_dict()))
    terms = [advance(engine, 4, seed=3) for engine in (straight, resumed)]
    assert {name: float(one) for name, one in terms[0].items()} == {name: float(one) for name, one in terms[1].items()}
    assert_equal_trees(straight.state_dict(), resumed.state_dict())


@pytest.mark.parametrize("kind", list(WITH_DISCRIMINATOR))
@pytest.mark.parametrize("name", PENALTIES)
def test_every_penalty_trains_every_algorithm(few_pairs, kind, name):
    free = ["discriminator.spectral_norm=false", *(["discriminator.norm=instance"] if kind in HAS_NORM else [])]
    config = smallest_config(kind, few_pairs, f"loss.penalty={name}", *free)
    terms, networks = step(config)
    assert all(math.isfinite(value) for value in terms.values())
    penalties = [value for term, value in terms.items() if term.endswith("_penalty")]
    if name == "clip":
        assert not penalties
        clipped = [networks[one.name] for one in make_algorithm(config).adversaries.values()]
        # One step of Adam after the clipping moves a weight by its rate at most.
        most = max(float(weight.abs().max()) for network in clipped for weight in network.values())
        assert most <= 0.01 + 2 * config.optimizer.lr
    else:
        assert penalties
        assert all(value > 0 for value in penalties)


@pytest.mark.parametrize("kind", list(WITH_DISCRIMINATOR))
@pytest.mark.parametrize("name", list(losses.PENALTIES))
def test_every_penalty_goes_with_energies(few_pairs, kind, name):
    terms, _ = step(smallest_config(kind, few_pairs, *energies(kind), f"loss.penalty={name}"))
    assert all(value > 0 for term, value in terms.items() if term.endswith("_penalty"))


@pytest.mark.parametrize("kind", list(WITH_DISCRIMINATOR))
def test_the_repelling_term_trains_every_generator(few_pairs, kind):
    """It has its weight, and a gradient for the generators alone."""
    ramp = "loss.repelling={from: 2, to: 0, over_images: 8}"
    config = smallest_config(kind, few_pairs, *energies(kind), ramp)
    (terms, _), (plain_terms, _) = step(config), step(smallest_config(kind, few_pairs, *energies(kind)))
    names = [name for name in terms if name.startswith("G_repelling")]
    assert len(names) == sum(name.endswith("_real") for name in terms)
    assert all(0 < terms[name] <= 1 + 1e-6 for name in names)
    assert set(terms) - set(plain_terms) == set(names)
    algorithm = make_algorithm(config)
    algorithm.begin(4, 16)
    assert [algorithm.weights()[name] for name in names] == [1.0] * len(names)
    for network in algorithm.generators.values():
        assert terms[f"grad.{network}"] != plain_terms[f"grad.{network}"]
    for judge in algorithm.adversaries.values():
        assert terms[f"grad.{judge.name}"] == plain_terms[f"grad.{judge.name}"]


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        (["loss.adversarial=margin"], r"adversarial.*autoencoder"),
        (["loss.repelling=0.1"], r"repelling.*autoencoder"),
        (["discriminator={name: autoencoder}"], r"autoencoder.*adversarial.*margin"),
        (["loss.margin=1"], r"margin.*adversarial"),
        (["discriminator={name: autoencoder, levels: 6}", "loss.adversarial=margin"], r"crop_px.*levels"),
        (["discriminator={name: mlp_autoencoder}", "loss.adversarial=margin"], r"mlp_autoencoder.*toy"),
    ],
    ids=str,
)
def test_energies_and_logits_are_not_mixed_up(few_pairs, changes, named):
    with pytest.raises(ConfigError, match=named):
        make_algorithm(smallest_config("pix2pix", few_pairs, *changes))


def test_the_margin_is_that_of_the_settings(few_pairs):
    real, fake = torch.zeros(2, 3, 32, 32), torch.rand(2, 3, 32, 32)
    found = []
    for margin in (100, 101):
        torch.manual_seed(0)
        config = smallest_config("gan", few_pairs, *energies("gan"), f"loss.margin={margin}")
        found.append(make_algorithm(config).adversaries["D"].discriminate(real, fake)["D_fake"].item())
    assert found[1] - found[0] == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("kind", list(WITH_DISCRIMINATOR))
def test_drift_goes_with_every_algorithm(few_pairs, kind):
    """Its weight follows a ramp, and moves the discriminator."""
    ramp = "loss.drift={from: 2, to: 0, over_images: 8}"
    (terms, networks), (plain_terms, plain) = (
        step(smallest_config(kind, few_pairs, *changes)) for changes in ([ramp], ["loss.drift=0"])
    )
    names = [name for name in terms if name.endswith("_drift")]
    assert len(names) == sum(name.endswith("_real") for name in terms)
    assert all(terms[name] > 0 for name in names)
    assert not any(name.endswith("_drift") for name in plain_terms)
    algorithm = make_algorithm(smallest_config(kind, few_pairs, ramp))
    algorithm.begin(4, 16)
    assert [algorithm.weights()[name] for name in names] == [1.0] * len(names)
    moved = [one.name for one in algorithm.adversaries.values()]
    assert all(any(not torch.equal(value, plain[name][key]) for key, value in networks[name].items()) for name in moved)


@pytest.mark.parametrize("kind", list(WITH_DISCRIMINATOR))
@pytest.mark.parametrize("name", LABELLED)
def test_labels_are_smoothed_and_flipped_in_every_algorithm(few_pairs, kind, name):
    labels = ["loss.smoothing=0.1", "loss.smoothing_fake=0.2", "loss.flip=0.3"]
    terms, _ = step(smallest_config(kind, few_pairs, f"loss.adversarial={name}", *labels))
    plain, _ = step(smallest_config(kind, few_pairs, f"loss.adversarial={name}"))
    assert all(math.isfinite(value) for value in terms.values())
    first = next(term for term in terms if term.endswith("_real"))  # the same logits
    assert terms[first] != plain[first]


@pytest.mark.parametrize("scales", [1, 2])
@pytest.mark.parametrize("drawn", [0.0, 1.0], ids=["flipped", "not-flipped"])
def test_smoothing_and_flips_change_the_labels_of_d_alone(few_pairs, monkeypatch, scales, drawn):
    """Cross-entropy is linear in the label: 0.9 for reals and 0.2 for fakes, the other way round where flipped."""
    monkeypatch.setattr(torch, "rand", lambda *shape, **options: torch.full(shape, drawn, **options))
    labels = ["loss.smoothing=0.1", "loss.smoothing_fake=0.2", "loss.flip=0.3"]
    usual = ["discriminator.norm=none", f"discriminator.scales={scales}"]
    images = [torch.linspace(first, 1, 2 * 6 * 16 * 16).view(2, 6, 16, 16) for first in (-1, 0)]
    found = {}
    for changes in ((), tuple(labels)):
        torch.manual_seed(0)
        adversary = make_algorithm(smallest_config("pix2pix", few_pairs, *usual, *changes)).adversaries["D"]
        found[changes] = {**adversary.discriminate(*images), "G": adversary.fool(*images)}
        means = [torch.stack([one.mean() for one in adversary.judge(image).scales]).mean() for image in images]
    plain, terms = found.values()
    real, fake = (0.9, 0.2) if drawn else (0.2, 0.9)
    # toward a label: log(1 + e^x) - label x, where the plain terms have the labels 1 and 0
    assert terms["D_real"].item() == pytest.approx((plain["D_real"] + (1 - real) * means[0]).item(), rel=1e-5)
    assert terms["D_fake"].item() == pytest.approx((plain["D_fake"] - fake * means[1]).item(), rel=1e-5)
    assert terms["G"] == plain["G"]


def test_labels_are_flipped_as_often_as_asked():
    torch.manual_seed(0)
    labels = draw_labels(torch.zeros(20000, 1, 2, 2), 0.9, 0.2, 0.3)
    assert {round(value, 6) for value in labels.tolist()} == {0.9, 0.2}
    assert float((labels < 0.5).float().mean()) == pytest.approx(0.3, abs=0.015)


@pytest.mark.parametrize("change", ["smoothing=0.1", "smoothing_fake=0.1", "flip=0.1"])
@pytest.mark.parametrize("name", [name for name in losses.ADVERSARIAL if name not in LABELLED])
def test_labels_of_a_loss_without_any_are_refused_by_name(few_pairs, name, change):
    with pytest.raises(ConfigError, match=rf"flip.*{name}.*least_squares"):
        make_algorithm(smallest_config("gan", few_pairs, f"loss.adversarial={name}", f"loss.{change}"))


@pytest.mark.parametrize("changes", [[], ["loss.terms.feature_matching=1"]], ids=["alone", "with-features"])
def test_a_relative_loss_shows_the_generator_its_reals(few_pairs, changes):
    """G's term falls as the reals look worse to D; that of another loss does not see them."""
    found = {}
    for name in ("relativistic", "non_saturating"):
        config = smallest_config("pix2pix", few_pairs, f"loss.adversarial={name}", *changes, "discriminator.norm=none")
        algorithm = make_algorithm(config)
        torch.manual_seed(0)
        fake, *reals = (torch.rand(2, 6, 16, 16) * 2 - 1 for _ in range(3))
        adversary = algorithm.adversaries["D"]
        fooled = [algorithm.terms.fool(adversary, real, fake.requires_grad_())["G_GAN"] for real in reals]
        logits = [adversary.judge(image).logits for image in (fake, *reals)]
        if name == "relativistic":
            expected = [torch.nn.functional.softplus(real - logits[0]).mean().item() for real in logits[1:]]
            assert [one.item() for one in fooled] == pytest.approx(expected)
        assert torch.autograd.grad(fooled[0], fake)[0].abs().sum() > 0
        found[name] = [one.item() for one in fooled]
    assert found["relativistic"][0] != found["relativistic"][1]
    assert found["non_saturating"][0] == found["non_saturating"][1]


@pytest.mark.parametrize("change", [f"adversarial={name}" for name in OF_LOGITS] + ["penalty=none"])
def test_two_scales_average_their_losses(few_pairs, change):
    """Every term is the mean over the scales, each computed alone with the same weights."""
    settings = ["discriminator.norm=none", "discriminator.spectral_norm=true", f"loss.{change}"]
    engine = make_engine(smallest_config("pix2pix", few_pairs, *settings, "discriminator.scales=2"))
    adversary, networks = engine.algorithm.adversaries["D"], engine.algorithm.networks
    real, fake = (torch.rand(2, 6, 16, 16) * 2 - 1 for _ in range(2))
    both = networks["discriminator"].eval()
    found = {**adversary.discriminate(real, fake), "G": adversary.fool(real, fake)}
    singles = []
    for scale in (both, both.coarser):
        networks["discriminator"] = lambda image, of=scale: DiscriminatorOutput(of(image).logits)
        singles.append({**adversary.discriminate(real, fake), "G": adversary.fool(real, fake)})
        real, fake = both.halve(real), both.halve(fake)
    for name in ("D_real", "D_fake", "G"):
        assert found[name].item() == pytest.approx(sum(one[name].item() for one in singles) / 2, rel=1e-5)
    assert singles[0]["G"] != singles[1]["G"]


@pytest.mark.parametrize("name", PENALTIES)
@pytest.mark.parametrize("change", [[], ["train.activation_checkpointing=true"], ["train.precision=bf16"]])
def test_every_penalty_trains_two_scales(few_pairs, name, change):
    settings = ["discriminator.norm=none", "discriminator.scales=2", f"loss.penalty={name}"]
    terms, _ = step(smallest_config("cyclegan", few_pairs, *settings, *change))
    assert all(math.isfinite(value) for value in terms.values())
    assert all(value > 0 for term, value in terms.items() if term.startswith("grad."))


def test_a_penalty_takes_the_mean_of_the_scales(few_pairs):
    """R1 of (D1 + D2) / 2: both scales count the same, although the finer one has more logits."""
    settings = ["discriminator.norm=none", "discriminator.scales=2", "loss.penalty=r1"]
    algorithm = make_algorithm(smallest_config("pix2pix", few_pairs, *settings))
    image = (torch.rand(2, 6, 16, 16) * 2 - 1).requires_grad_()
    fine, coarse = algorithm.networks["discriminator"](image).scales
    assert fine[0].numel() > coarse[0].numel()
    (gradient,) = torch.autograd.grad((fine.flatten(1).mean(1) + coarse.flatten(1).mean(1)).sum() / 2, image)
    expected = gradient.flatten(1).square().sum(1).mean() / 2
    found = algorithm.adversaries["D"].penalise(image, image)["D_penalty"]
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("name", list(losses.PENALTIES))
@pytest.mark.parametrize("kind", HAS_NORM)
def test_a_penalty_with_batch_norm_is_refused_by_name(few_pairs, kind, name):
    config = smallest_config(kind, few_pairs, f"loss.penalty={name}", "discriminator.norm=batch")
    with pytest.raises(ConfigError, match=r"loss.penalty is .*discriminator.norm"):
        make_algorithm(config)


another_way = pytest.mark.parametrize(
    ("change", "tolerance"),
    [
        (["train.activation_checkpointing=true"], 0.0),
        (["train.batch=2", "train.accumulate=2"], 1e-5),
        (["train.precision=bf16"], 0.05),
    ],
    ids=["checkpointing", "accumulate", "bf16"],
)


@another_way
@pytest.mark.parametrize("name", list(losses.PENALTIES))
def test_a_penalty_is_the_same_however_a_step_is_made(few_pairs, monkeypatch, name, change, tolerance):
    """The penalty's value and its gradient with respect to the discriminator's weights."""

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


@another_way
def test_a_relative_loss_is_the_same_however_a_step_is_made(few_pairs, change, tolerance):
    settings = ["generator.dropout=0", "generator.norm=instance", "discriminator.norm=instance", "loss.drift=0.1"]
    plain, other = (
        step(smallest_config("pix2pix", few_pairs, "loss.adversarial=relativistic", *settings, *more))[0]
        for more in ([], change)
    )
    for term in ("D_real", "D_drift", "G_GAN", "grad.discriminator", "grad.generator"):
        assert other[term] == pytest.approx(plain[term], rel=tolerance, abs=0)


@pytest.mark.parametrize("penalty", ["none", "gradient"])
def test_spectral_norm_is_the_same_with_checkpointing(few_pairs, penalty):
    """Buffers change in each of the two forward passes before the backward pass; weights are equal bit for bit."""
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
    engine = make_engine(config)
    assert set(engine.optimizers) == {"discriminator", "generator"}
    batch = make_set("paired", config).load(range(4)).batch
    logged = [set(engine.train_step(batch)) for _ in range(6)]
    for name in ("D_penalty", "grad.discriminator.penalty"):
        assert [name in terms for terms in logged] == [False, False, True] * 2
    assert all("grad.discriminator" in terms for terms in logged)
    steps = {int(state["step"]) for state in engine.optimizers["discriminator"].state_dict()["state"].values()}
    assert max(steps) == 8  # six of its own, and two of the penalty, in which the last bias has no part
    every = engine.algorithm.weights()["D_penalty"]
    once = ALGORITHMS["pix2pix"](smallest_config("pix2pix", few_pairs, "loss.penalty=r1", "discriminator.norm=none"))
    assert every == pytest.approx(3 * once.weights()["D_penalty"])


@pytest.mark.parametrize("change", ["loss.penalty_weight=1", "loss.penalty_every_steps=4"])
@pytest.mark.parametrize("penalty", ["none", "clip"])
def test_a_setting_without_effect_is_refused(few_pairs, penalty, change):
    config = smallest_config("gan", few_pairs, f"loss.penalty={penalty}", change)
    with pytest.raises(ConfigError, match="penalty_weight and penalty_every_steps"):
        make_algorithm(config)


@pytest.mark.parametrize("penalty", ["none", "gradient"])
def test_a_bound_that_nothing_uses_is_refused(few_pairs, penalty):
    """The default stays, as resolved configs hold it with every penalty."""
    free = [f"loss.penalty={penalty}", "discriminator.norm=layer"]
    make_algorithm(smallest_config("pix2pix", few_pairs, *free, "loss.clip=0.01"))
    make_algorithm(smallest_config("pix2pix", few_pairs, "loss.penalty=clip", "loss.clip=0.05"))
    with pytest.raises(ConfigError, match=r"clip.*penalty"):
        make_algorithm(smallest_config("pix2pix", few_pairs, *free, "loss.clip=0.05"))


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
