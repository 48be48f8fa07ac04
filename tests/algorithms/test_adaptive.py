"""Adaptive augmentation: the probability by hand, and what the discriminator sees of it."""

import pytest
import torch

from i2i.algorithms.adaptive import AdaptiveProbability, AdaptiveSettings
from i2i.algorithms.diffaugment import augment
from i2i.errors import ConfigError
from tests.conftest import make_algorithm, smallest_config
from tests.contract.test_adversaries import make_engine

ADAPTIVE = ["loss.diffaugment=[translation]", "loss.adaptive={target: 0.6, over_images: 1000}"]


def test_the_probability_follows_the_sign_of_the_logits():
    """256 reals replace the running mean of signs; a step is images / over_images, up above 0.6 and down below."""
    adaptive = AdaptiveProbability(AdaptiveSettings(target=0.6, over_images=1024))
    sure, unsure, most = torch.full((256, 1), 5.0), torch.tensor([3.0, -0.1] * 128), torch.tensor([1.0] * 9 + [-1.0])
    for logits, expected in ((sure, 0.25), (sure, 0.5), (unsure, 0.25), (most.repeat(26)[:256], 0.5)):
        adaptive.update(logits, boundary=0.0, images=256)
        assert float(adaptive.probability) == pytest.approx(expected)
    for _ in range(5):
        adaptive.update(unsure, boundary=0.0, images=256)
    assert float(adaptive.probability) == 0
    for _ in range(9):
        adaptive.update(unsure, boundary=-1.0, images=256)  # all above the boundary
    assert float(adaptive.probability) == 1


def test_small_batches_are_a_running_mean():
    """64 of 256 count a quarter: signs of 1 give 1/4, 7/16, 37/64 and 175/256; only the last is above 0.6."""
    adaptive = AdaptiveProbability(AdaptiveSettings(target=0.6, over_images=640))
    found = []
    for _ in range(5):
        adaptive.update(torch.ones(64), boundary=0.0, images=64)
        found.append((float(adaptive.sign), float(adaptive.probability)))
    assert [sign for sign, _ in found[:4]] == pytest.approx([1 / 4, 7 / 16, 37 / 64, 175 / 256])
    assert [probability for _, probability in found] == pytest.approx([0, 0, 0, 0.1, 0.2])


def test_single_images_settle_where_the_mean_sign_is_the_target():
    """Eight of ten are right: the sign of single images would be above 0.6 most of the time, their mean is not."""
    adaptive = AdaptiveProbability(AdaptiveSettings(target=0.6, over_images=100_000))
    torch.manual_seed(0)
    ends = {}
    for right in (0.7, 0.9):
        adaptive.probability.fill_(0.5)
        for sure in (torch.rand(20_000) < right).tolist():
            adaptive.update(torch.tensor([1.0 if sure else -1.0]), boundary=0.0, images=1)
        ends[right] = float(adaptive.probability)
    assert ends[0.7] < 0.4
    assert ends[0.9] > 0.6


@pytest.mark.parametrize("probability", [0.0, 0.3, 1.0])
def test_so_many_images_are_changed_each_by_itself(probability):
    """The images of a pair alike; the generator's gradient comes through."""
    torch.manual_seed(0)
    pair = torch.zeros(2000, 2, 8, 8)
    pair[:, :, 3:5, 3:5] = 1
    seen = augment(pair.requires_grad_(), ["colour"], (1, 1), torch.tensor(probability))
    assert torch.equal(seen[:, 0], seen[:, 1])
    changed = (seen != pair).flatten(1).any(dim=1)
    assert float(changed.float().mean()) == pytest.approx(probability, abs=0.04)
    (gradient,) = torch.autograd.grad(seen.sum(), pair)
    assert gradient.flatten(1).any(dim=1).all()


def test_a_sure_discriminator_raises_it_and_an_undecided_one_does_not(few_pairs):
    """Through training steps; it is logged, and what the discriminator sees changes with it."""
    found = {}
    for bias in (5.0, -5.0):
        engine = make_engine(smallest_config("gan", few_pairs, *ADAPTIVE, "optimizer.lr=1e-30"))
        engine.networks["discriminator"].head.bias.data.fill_(bias)
        engine.algorithm.adversaries["D"].adaptive.sign.fill_(0.6)
        found[bias] = [float(engine.train_step({"image": torch.rand(4, 3, 32, 32)})["D_augmentation"]) for _ in "123"]
    assert found[5.0] == pytest.approx([0.004, 0.008, 0.012])
    assert found[-5.0] == [0, 0, 0]


def test_ranks_have_a_probability_each_and_it_is_restored(few_pairs):
    config = smallest_config("cyclegan", few_pairs, *ADAPTIVE, "loss.history=3")
    one, other = make_algorithm(config), make_algorithm(config)
    for place, adversary in enumerate(one.adversaries.values()):
        adversary.adaptive.probability.fill_(0.25 * (place + 1))
        adversary.adaptive.sign.fill_(0.5)
    other.load_state_dict(one.state_dict())
    assert [float(adversary.adaptive.probability) for adversary in other.adversaries.values()] == [0.25, 0.5]
    assert [float(adversary.adaptive.sign) for adversary in other.adversaries.values()] == [0.5, 0.5]


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        (["loss.adaptive={}"], "adaptive.*diffaugment"),
        (["loss.adversarial=wasserstein", *ADAPTIVE], "adaptive.*wasserstein.*non_saturating"),
        (["loss.adversarial=relativistic", *ADAPTIVE], "adaptive.*relativistic"),
        (["loss.diffaugment=[cutout]", "loss.adaptive={target: 1}"], "target"),
    ],
    ids=str,
)
def test_what_it_cannot_follow_is_refused_by_name(few_pairs, changes, named):
    with pytest.raises(ConfigError, match=named):
        make_algorithm(smallest_config("gan", few_pairs, *changes))
