"""What changes the images on their way to the discriminator works in every algorithm, and for every term alike."""

import math
from typing import get_args

import pytest
import torch

import i2i
from i2i.algorithms.adversary_settings import DiffAugmentName
from i2i.algorithms.diffaugment import DIFFAUGMENT
from i2i.errors import ConfigError
from i2i.networks.batches import pack
from tests.conftest import WITH_DISCRIMINATOR, make_algorithm, smallest_config
from tests.contract.test_adversaries import HAS_NORM, step

PICTURES = [kind for kind, preset in WITH_DISCRIMINATOR.items() if not i2i.load_config(preset).data.toy]
RAMP = "loss.instance_noise={from: 0.4, to: 0, over_images: 8}"


def look(adversary, monkeypatch, image):
    """What the discriminator gets to see."""
    seen = []
    network = adversary.networks[adversary.name]
    monkeypatch.setattr(network, "forward", lambda *inputs: seen.append(inputs[0]))
    adversary.judge(image)
    monkeypatch.undo()
    return seen[0]


@pytest.mark.parametrize("kind", list(WITH_DISCRIMINATOR))
def test_instance_noise_trains_every_algorithm(few_pairs, kind):
    terms, _ = step(smallest_config(kind, few_pairs, RAMP))
    plain, _ = step(smallest_config(kind, few_pairs))
    assert all(math.isfinite(value) for value in terms.values())
    assert all(value > 0 for term, value in terms.items() if term.startswith("grad."))
    of_d = {name for name in terms if name.startswith("D") and terms[name] != plain[name]}
    # A hinge that every real satisfies is 0 with noise, too.
    assert of_d >= {name for name in terms if name.endswith("_real") and terms[name]}
    assert of_d


def test_instance_noise_has_the_deviation_of_its_ramp(few_pairs, monkeypatch):
    algorithm = make_algorithm(smallest_config("cyclegan", few_pairs, RAMP))
    zero, found = torch.zeros(8, 3, 64, 64), []
    for images in (0, 4, 8, 100):
        algorithm.begin(images, 100)
        for adversary in algorithm.adversaries.values():
            found.append(look(adversary, monkeypatch, zero).std().item())
    assert found == pytest.approx([0.4, 0.4, 0.2, 0.2, 0, 0, 0, 0], rel=0.02)


def test_the_deviation_stays_where_a_recorded_step_reads_it(few_pairs):
    algorithm = make_algorithm(smallest_config("gan", few_pairs, RAMP))
    algorithm.begin(0, 16)
    noise = algorithm.adversaries["D"].noise
    algorithm.begin(4, 16)
    assert algorithm.adversaries["D"].noise is noise
    assert noise.item() == pytest.approx(0.2)


def test_every_look_draws_its_own_noise_and_fakes_keep_their_gradient(few_pairs, monkeypatch):
    adversary = make_algorithm(smallest_config("gan", few_pairs, "loss.instance_noise=0.4")).adversaries["D"]
    image = torch.zeros(2, 3, 32, 32, requires_grad=True)
    one, other = (look(adversary, monkeypatch, image) for _ in range(2))
    assert not torch.equal(one, other)
    assert not torch.equal(one[0], one[1])
    (gradient,) = torch.autograd.grad(one.sum(), image)
    assert torch.equal(gradient, torch.ones_like(image))
    plain = make_algorithm(smallest_config("gan", few_pairs)).adversaries["D"]
    assert look(plain, monkeypatch, image) is image


@pytest.mark.parametrize("change", [["train.precision=bf16"], ["train.batch=2", "train.accumulate=2"]], ids=str)
@pytest.mark.parametrize("penalty", ["none", "gradient", "zero_centred"])
def test_instance_noise_goes_with_penalties_however_a_step_is_made(few_pairs, penalty, change):
    settings = [f"loss.penalty={penalty}", "discriminator.norm=none", "loss.instance_noise=0.1"]
    terms, _ = step(smallest_config("pix2pix", few_pairs, *settings, *change))
    assert all(math.isfinite(value) for value in terms.values())
    assert all(value > 0 for term, value in terms.items() if term.startswith("grad."))


@pytest.mark.parametrize("kind", list(WITH_DISCRIMINATOR))
@pytest.mark.parametrize("change", ["minibatch_std=true", "minibatch_discrimination=l1", "packing=2"])
@pytest.mark.parametrize("loss", ["non_saturating", "relativistic"])
def test_several_images_at_once_train_every_algorithm(few_pairs, kind, change, loss):
    terms, _ = step(smallest_config(kind, few_pairs, f"loss.adversarial={loss}", f"discriminator.{change}"))
    assert all(math.isfinite(value) for value in terms.values())
    assert all(value > 0 for term, value in terms.items() if term.startswith("grad."))


@pytest.mark.parametrize("kind", list(WITH_DISCRIMINATOR))
@pytest.mark.parametrize("change", ["minibatch_std=true", "minibatch_discrimination=l2", "packing=2"])
@pytest.mark.parametrize("penalty", ["gradient", "zero_centred"])
def test_several_images_at_once_go_with_penalties(few_pairs, kind, change, penalty):
    free = ["discriminator.spectral_norm=false", *(["discriminator.norm=none"] if kind in HAS_NORM else [])]
    labels = ["loss.adversarial=non_saturating", "loss.flip=0.2"]
    settings = [*free, *labels, f"loss.penalty={penalty}", f"discriminator.{change}"]
    terms, _ = step(smallest_config(kind, few_pairs, *settings), images=3)  # no multiple: the last step of a training
    assert all(math.isfinite(value) for value in terms.values())
    assert all(value > 0 for term, value in terms.items() if term.endswith("_penalty"))


def test_a_penalty_takes_the_slope_of_a_whole_pack(few_pairs):
    """R1 is half the squared length of the gradient by both images together."""
    settings = ["discriminator.norm=none", "discriminator.packing=2", "loss.penalty=r1"]
    adversary = make_algorithm(smallest_config("pix2pix", few_pairs, *settings)).adversaries["D"]
    image = (torch.rand(4, 6, 16, 16) * 2 - 1).requires_grad_()
    logits = adversary.judge(image).logits
    assert len(logits) == 2
    (gradient,) = torch.autograd.grad(logits.flatten(1).mean(1).sum(), image)
    expected = pack(gradient, 2).flatten(1).square().sum(1).mean() / 2
    assert adversary.penalise(image, image)["D_penalty"].item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize(
    ("change", "batch"),
    [
        ("minibatch_std=true", 1),
        ("minibatch_std=true", 5),
        ("packing=3", 4),
        ("packing=2", 1),
        ("minibatch_discrimination=l1", 1),
    ],
    ids=["spread", "prime", "odd", "one", "alone"],
)
@pytest.mark.parametrize("kind", list(WITH_DISCRIMINATOR))
def test_batches_that_are_too_small_are_refused_by_name(few_pairs, kind, change, batch):
    name = change.split("=")[0]
    with pytest.raises(ConfigError, match=rf"discriminator\.{name}.*train\.batch"):
        make_algorithm(smallest_config(kind, few_pairs, f"discriminator.{change}", f"train.batch={batch}"))


def test_a_single_pack_has_nothing_to_be_compared_with(few_pairs):
    """Two packs do, so that the pair of settings is not refused as such."""
    both = ["discriminator.minibatch_std=true", "train.batch=4"]
    make_algorithm(smallest_config("pix2pix", few_pairs, *both, "discriminator.packing=2"))
    with pytest.raises(ConfigError, match=r"minibatch_std.*train\.batch.*discriminator\.packing"):
        make_algorithm(smallest_config("pix2pix", few_pairs, *both, "discriminator.packing=4"))


@pytest.mark.parametrize("change", [["train.precision=bf16"], ["train.activation_checkpointing=true"]], ids=str)
def test_several_images_at_once_however_a_step_is_made(few_pairs, change):
    both = ["discriminator.minibatch_std=true", "discriminator.packing=2", "discriminator.scales=2"]
    plain, terms = (step(smallest_config("pix2pix", few_pairs, *both, *more))[0] for more in ([], change))
    tolerance = 0.05 if "bf16" in change[0] else 0
    for name in ("D_real", "D_fake"):
        assert terms[name] == pytest.approx(plain[name], rel=tolerance, abs=0)


def test_the_settings_know_every_augmentation():
    assert set(get_args(DiffAugmentName)) == set(DIFFAUGMENT)


@pytest.mark.parametrize("kind", PICTURES)
@pytest.mark.parametrize("penalty", ["none", "gradient", "zero_centred"])
def test_diffaugment_trains_every_algorithm(few_pairs, kind, penalty):
    free = ["discriminator.spectral_norm=false", *(["discriminator.norm=none"] if kind in HAS_NORM else [])]
    matches = "feature_matching" in smallest_config(kind, few_pairs).loss.get("terms", {})
    free += ["loss.terms.feature_matching=0"] if matches else []
    settings = ["loss.diffaugment=[colour, translation, cutout]", f"loss.penalty={penalty}", *free]
    terms, _ = step(smallest_config(kind, few_pairs, *settings))
    assert all(math.isfinite(value) for value in terms.values())
    assert all(value > 0 for term, value in terms.items() if term.startswith("grad."))


@pytest.mark.parametrize("change", [["train.precision=bf16"], ["train.batch=2", "train.accumulate=2"]], ids=str)
def test_diffaugment_however_a_step_is_made(few_pairs, change):
    terms, _ = step(smallest_config("cyclegan", few_pairs, "loss.diffaugment=[colour, translation, cutout]", *change))
    assert all(math.isfinite(value) for value in terms.values())
    assert all(value > 0 for term, value in terms.items() if term.startswith("grad."))


@pytest.mark.parametrize("channels", [(3, 3), (1, 3), (4, 1)])
@pytest.mark.parametrize("direction", ["A2B", "B2A"])
def test_the_images_of_a_pair_move_together(few_pairs, monkeypatch, channels, direction):
    """Both sides are the same square; after any draw it is at the same place in both."""
    sides = [f"data.channels_{side}={count}" for side, count in zip("ab", channels, strict=True)]
    settings = ["loss.diffaugment=[translation]", *sides, f"data.direction={direction}"]
    config = smallest_config("pix2pix", few_pairs, *settings)
    adversary = make_algorithm(config).adversaries["D"]
    assert tuple(adversary.stack) == (channels if direction == "A2B" else channels[::-1])
    pair = torch.zeros(8, sum(channels), 16, 16)
    pair[:, :, 6:10, 6:10] = 1
    seen = look(adversary, monkeypatch, pair)
    assert torch.equal(seen, seen[:, :1].expand_as(seen))
    assert not torch.equal(seen, pair)


def test_diffaugment_of_points_is_refused_by_name(few_pairs):
    with pytest.raises(ConfigError, match=r"loss\.diffaugment.*data\.toy"):
        make_algorithm(smallest_config("ring", few_pairs, "loss.diffaugment=[cutout]"))


def test_diffaugment_with_feature_matching_is_refused_by_name(few_pairs):
    changes = ["loss.diffaugment=[colour]", "loss.terms.feature_matching=1"]
    with pytest.raises(ConfigError, match=r"feature_matching.*diffaugment"):
        make_algorithm(smallest_config("pix2pix", few_pairs, *changes))
