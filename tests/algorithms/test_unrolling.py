"""Unrolled GAN: the foreseen steps are those that Adam takes, and the generator's gradient goes through them."""

import copy

import pytest
import torch

from i2i.algorithms.unrolling import unroll
from i2i.data.sets import make_set
from i2i.errors import ConfigError
from i2i.losses import ADVERSARIAL
from i2i.networks import MLPDiscriminator
from i2i.training.engine import Engine
from i2i.training.fabric import make_fabric
from tests.conftest import make_algorithm, smallest_config

MINIMAX = ["loss.adversarial=minimax", "optimizer.betas=[0.5, 0.9]", "generator.width=8", "discriminator.width=8"]


def engine_of(few_pairs, *changes, kind="ring"):
    torch.manual_seed(0)
    algorithm = make_algorithm(smallest_config(kind, few_pairs, *MINIMAX, *changes))
    return Engine(make_fabric(algorithm.config), algorithm)


class Line(torch.nn.Module):
    """D(z) = y z."""

    def __init__(self):
        super().__init__()
        self.y = torch.nn.Parameter(torch.tensor(0.5))


def test_two_steps_by_hand():
    """Wasserstein's D on a real at 0 and a fake at x minimises y x: its gradient is x, whatever y is.

    Adam with betas (0, 0), from zeros: each step is rate x / (|x| + eps), so y falls by the rate twice. With the
    moments 0 and 4 x^2 of an earlier step and betas (0, 1/2): v = 5/2 x^2, over 1 - 1/4 = 10/3 x^2, then
    v = 7/4 x^2, over 7/8 = 2 x^2.
    """
    network, x = Line(), torch.tensor(3.0, requires_grad=True)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.1, betas=(0.0, 0.0), eps=1e-8)
    fake = unroll(network, optimizer, lambda weights: weights["y"] * x, 2)["y"]
    assert float(fake.detach()) == pytest.approx(0.5 - 2 * 0.1)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.1, betas=(0.0, 0.5), eps=0.0)
    moments = {"step": torch.tensor(1.0), "exp_avg": torch.tensor(0.0), "exp_avg_sq": torch.tensor(36.0)}
    optimizer.state[network.y] = moments
    fake = unroll(network, optimizer, lambda weights: weights["y"] * x, 2)["y"]
    assert float(fake.detach()) == pytest.approx(0.5 - 0.1 * ((3 / 10) ** 0.5 + (1 / 2) ** 0.5))
    # In x: the first moment is x, v is 18 + x^2 / 2, then 9 + 3/4 x^2; of x / sqrt(a + b x^2), a / (a + b x^2)^1.5.
    (slope,) = torch.autograd.grad(fake, x)
    first, second = (18 / 0.75) / (30**1.5), (9 / 0.875) / (18**1.5)
    assert float(slope) == pytest.approx(-0.1 * (first + second), rel=1e-5)
    assert float(network.y.detach()) == 0.5
    assert moments["exp_avg_sq"] == 36


@pytest.mark.parametrize("fused", [False, True])
def test_the_foreseen_steps_are_those_of_adam(fused):
    """After three steps of training, three further ones of a copy end at the unrolled weights."""
    torch.manual_seed(0)
    network = MLPDiscriminator(width=8, layers=2)
    real, fake = torch.randn(16, 2), torch.randn(16, 2) + 1
    loss, before = ADVERSARIAL["minimax"], copy.deepcopy(network.state_dict())

    def step(judge, optimizer):
        optimizer.zero_grad()
        sum(loss.d(judge(real).logits, judge(fake).logits)).backward()
        optimizer.step()

    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2, betas=(0.5, 0.9), fused=fused)
    for _ in range(3):
        step(network, optimizer)
    trained = copy.deepcopy(network.state_dict())
    state = copy.deepcopy(optimizer.state_dict())

    def of(weights):
        calls = (torch.func.functional_call(network, weights, (one,)).logits for one in (real, fake))
        return sum(loss.d(*calls))

    unrolled = unroll(network, optimizer, of, 3)
    assert all(torch.equal(network.state_dict()[name], trained[name]) for name in trained)
    for place, moments in enumerate(optimizer.state.values()):
        assert torch.equal(moments["exp_avg"], state["state"][place]["exp_avg"])
    for _ in range(3):
        step(network, optimizer)
    for name, weight in network.state_dict().items():
        torch.testing.assert_close(unrolled[name], weight, rtol=1e-4, atol=1e-6)
        assert not torch.allclose(weight, trained[name], atol=1e-4)
        assert not torch.allclose(trained[name], before[name], atol=1e-4)


@pytest.mark.parametrize("steps", [0, 1, 3])
def test_the_generators_gradient_is_that_of_finite_differences(few_pairs, float64, steps):
    """It goes through the foreseen steps: without them the same generator has another."""
    engine = engine_of(few_pairs, f"loss.unrolled_steps={steps}")
    adversary = engine.algorithm.adversaries["D"]
    random = torch.Generator().manual_seed(1)
    real = torch.randn(6, 2, generator=random)
    for _ in range(2):
        engine.train_step({"image": real})
    fake = torch.randn(6, 2, generator=random).requires_grad_()
    (found,) = torch.autograd.grad(adversary.fool(real, fake), fake)
    for row, column in ((0, 0), (3, 1), (5, 0)):
        nudge = torch.zeros_like(fake)
        nudge[row, column] = 1e-5
        with torch.enable_grad():
            up, down = (float(adversary.fool(real, (fake + sign * nudge).detach()).detach()) for sign in (1, -1))
        assert float(found[row, column]) == pytest.approx((up - down) / 2e-5, rel=1e-3, abs=1e-9)
    if steps:
        adversary.settings = adversary.settings.model_copy(update={"unrolled_steps": 0})
        (plain,) = torch.autograd.grad(adversary.fool(real, fake), fake)
        assert not torch.allclose(plain, found, rtol=0.01)


def test_the_generator_minimises_the_value_of_the_game(few_pairs):
    """Minimax without a step to foresee: the loss of D with its sign changed, real term included."""
    engine = engine_of(few_pairs, "loss.unrolled_steps=1", "optimizer.lr=1e-30")
    adversary = engine.algorithm.adversaries["D"]
    real, fake = torch.randn(4, 2), torch.randn(4, 2)
    terms = adversary.discriminate(real, fake)
    assert adversary.fool(real, fake).item() == pytest.approx(-(terms["D_real"] + terms["D_fake"]).item(), rel=1e-5)


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("ring", ["loss.adversarial=non_saturating"]),
        ("ring", ["loss.adversarial=wasserstein", "loss.penalty=gradient", "loss.drift=0.01"]),
        ("ring", ["discriminator.minibatch_discrimination=l1", "discriminator.packing=2"]),
        ("ring", ["train.batch=2", "train.accumulate=2", "loss.instance_noise=0.1"]),
        ("gan", ["loss.diffaugment=[colour]", "loss.adaptive={}"]),
        ("conditional_gan", ["discriminator.norm=batch"]),
        ("pix2pix", ["discriminator.spectral_norm=true", "discriminator.scales=2", "loss.terms.feature_matching=1"]),
        ("cyclegan", ["loss.history=3"]),
        ("cut", []),
        ("infogan", []),
        ("gan", ["train.precision=bf16"]),
    ],
    ids=str,
)
def test_unrolling_goes_with_the_rest(few_pairs, kind, changes):
    """A step trains the generator, and leaves no weight of the discriminator but by its own phase."""
    small = ["loss.unrolled_steps=2", *changes]
    algorithm = make_algorithm(smallest_config(kind, few_pairs, *small))
    engine = Engine(make_fabric(algorithm.config), algorithm)
    fooling, seen = algorithm.generator_losses, []

    def generator_losses(batch, outputs):
        judges = [engine.networks[one.name] for one in algorithm.adversaries.values()]
        before = [copy.deepcopy(judge.state_dict()) for judge in judges]
        terms = fooling(batch, outputs)
        for judge, state in zip(judges, before, strict=True):
            seen.extend(torch.equal(state[name], value) for name, value in judge.named_parameters())
        return terms

    algorithm.generator_losses = generator_losses
    for _ in range(2):
        terms = engine.train_step(make_set(algorithm.data, algorithm.config).load(range(4)).batch)
    assert all(torch.isfinite(term) for term in terms.values())
    assert all(float(value) > 0 for name, value in terms.items() if name.startswith("grad."))
    assert seen
    assert all(seen)


@pytest.mark.parametrize(
    ("kind", "changes", "named"),
    [
        ("ring", ["optimizer={name: rmsprop}"], r"unrolled_steps.*optimizer\.name"),
        ("ring", ["discriminator.width=1000", "discriminator.layers=3"], r"unrolled_steps.*parameters"),
        ("ring", ["train.activation_checkpointing=true"], r"unrolled_steps.*activation_checkpointing"),
        ("ring", ["loss.adversarial=relativistic"], "unrolled_steps.*relativistic"),
        ("ring", ["loss.penalty=clip"], "unrolled_steps.*clip"),
        ("pix2pix", ["train.compile=true"], r"unrolled_steps.*compile"),
        ("cyclegan", ["train.cuda_graphs=true"], r"unrolled_steps.*cuda_graphs"),
    ],
    ids=str,
)
def test_what_cannot_be_unrolled_is_refused_by_name(few_pairs, kind, changes, named):
    with pytest.raises(ConfigError, match=named):
        make_algorithm(smallest_config(kind, few_pairs, "loss.unrolled_steps=2", *changes))
