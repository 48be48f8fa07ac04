"""Losses by values computed by hand."""

import math

import pytest
import torch

from i2i import losses

REAL = torch.tensor([[0.0, 2.0]])
FAKE = torch.tensor([[0.0, -1.0]])


def test_non_saturating():
    # -log sigmoid(0) = log 2; -log sigmoid(2) = log(1 + e^-2); -log(1 - sigmoid(x)) = log(1 + e^x)
    real, fake = losses.ADVERSARIAL["non_saturating"].d(REAL, FAKE)
    assert float(real) == pytest.approx((math.log(2) + math.log1p(math.exp(-2))) / 2)
    assert float(fake) == pytest.approx((math.log(2) + math.log1p(math.exp(-1))) / 2)
    # -log sigmoid(-1) = log(1 + e)
    generator = losses.ADVERSARIAL["non_saturating"].g(REAL, FAKE)
    assert float(generator) == pytest.approx((math.log(2) + math.log1p(math.e)) / 2)


def test_least_squares():
    real, fake = losses.ADVERSARIAL["least_squares"].d(REAL, FAKE)
    assert float(real) == pytest.approx((1 + 1) / 2)  # (0 - 1)^2, (2 - 1)^2
    assert float(fake) == pytest.approx((0 + 1) / 2)  # 0^2, (-1)^2
    assert float(losses.ADVERSARIAL["least_squares"].g(None, FAKE)) == pytest.approx((1 + 4) / 2)


def test_minimax():
    # D's terms are those of non_saturating; G descends log(1 - sigmoid(x)) = -log(1 + e^x)
    assert losses.ADVERSARIAL["minimax"].d is losses.ADVERSARIAL["non_saturating"].d
    generator = losses.ADVERSARIAL["minimax"].g(REAL, FAKE)
    assert float(generator) == pytest.approx(-(math.log(2) + math.log1p(math.exp(-1))) / 2)


def test_the_minimax_gradient_vanishes_where_d_is_sure_and_the_other_does_not():
    gradients = {}
    for name in ("minimax", "non_saturating"):
        fake = torch.tensor([-12.0], requires_grad=True)
        losses.ADVERSARIAL[name].g(None, fake).backward()
        gradients[name] = float(fake.grad.abs())
    assert gradients["minimax"] == pytest.approx(1 / (1 + math.exp(12)), rel=1e-5)  # sigmoid(-12)
    assert gradients["non_saturating"] == pytest.approx(1 / (1 + math.exp(-12)), rel=1e-5)  # sigmoid(12)


def test_hinge():
    real, fake = losses.ADVERSARIAL["hinge"].d(REAL, FAKE)
    assert float(real) == pytest.approx((1 + 0) / 2)  # max(0, 1 - 0), max(0, 1 - 2)
    assert float(fake) == pytest.approx((1 + 0) / 2)  # max(0, 1 + 0), max(0, 1 - 1)
    assert float(losses.ADVERSARIAL["hinge"].g(None, FAKE)) == pytest.approx(0.5)  # -(0 - 1) / 2


def test_wasserstein():
    real, fake = losses.ADVERSARIAL["wasserstein"].d(REAL, FAKE)
    assert (float(real), float(fake)) == (-1.0, -0.5)
    assert float(losses.ADVERSARIAL["wasserstein"].g(None, FAKE)) == 0.5


def test_penalties_of_a_linear_discriminator():
    """D(x) = 3 x1 + 4 x2 has the gradient (3, 4), of norm 5, wherever it is taken."""
    slope = torch.tensor([3.0, 4.0], requires_grad=True)
    real, fake = torch.rand(6, 2), torch.rand(6, 2)
    values = {name: penalty(lambda x: x @ slope[:, None], real, fake) for name, penalty in losses.PENALTIES.items()}
    assert {name: float(value.detach()) for name, value in values.items()} == pytest.approx(
        {"gradient": (5 - 1) ** 2, "r1": 25 / 2, "r2": 25 / 2}
    )
    values["r1"].backward()
    assert slope.grad.tolist() == pytest.approx([3.0, 4.0])  # of |slope|^2 / 2


def test_penalties_are_taken_where_they_say():
    """D(x) = x^2 has the slope 2x: R1 sees the reals, R2 the fakes, the gradient penalty what lies between."""
    real, fake = torch.full((4, 1), 1.0), torch.full((4, 1), 3.0)

    def squares(x):
        return x.square()

    assert float(losses.PENALTIES["r1"](squares, real, fake).detach()) == pytest.approx(2**2 / 2)
    assert float(losses.PENALTIES["r2"](squares, real, fake).detach()) == pytest.approx(6**2 / 2)
    between = float(losses.PENALTIES["gradient"](squares, real, fake).detach())
    assert (2 - 1) ** 2 < between < (6 - 1) ** 2


def test_penalties_see_the_mean_of_patches():
    """Patches are averaged by the losses, so the penalised function is that mean: two equal ones count as one."""
    real = torch.rand(3, 2)

    def one(x):
        return x.sum(1, keepdim=True)

    def two(x):
        return one(x).expand(-1, 2)

    assert torch.equal(losses.r1(one, real, real), losses.r1(two, real, real))


def test_l1():
    assert float(losses.l1(torch.tensor([0.0, 1.0, -1.0]), torch.tensor([0.5, -1.0, -1.0]))) == pytest.approx(2.5 / 3)


@pytest.mark.parametrize("name", list(losses.ADVERSARIAL))
def test_every_pair_pulls_the_right_way(name):
    pair = losses.ADVERSARIAL[name]
    real, fake = (torch.full((2, 1), 0.5, requires_grad=True) for _ in range(2))
    sum(pair.d(real, fake)).backward()
    assert (real.grad < 0).all()  # descending raises D(real) ...
    assert (fake.grad > 0).all()  # ... and lowers D(fake)
    fake.grad = None
    pair.g(None, fake).backward()
    assert (fake.grad < 0).all()


def test_patch_nce():
    """Two queries, two keys at right angles, temperature 0.5: the logits of a query are 2 cos of the angles."""
    keys = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])
    queries = torch.tensor([[[0.6, 0.8], [0.0, 1.0]]], requires_grad=True)
    value = losses.patch_nce(queries, keys, temperature=0.5)
    # -log(e^1.2 / (e^1.2 + e^1.6)) = log(1 + e^0.4) and -log(e^2 / (e^0 + e^2)) = log(1 + e^-2)
    first, second = math.log1p(math.exp(0.4)), math.log1p(math.exp(-2))
    assert float(value.detach()) == pytest.approx((first + second) / 2)
    value.backward()
    # By a query: (sum of its shares times keys, less its own key) / temperature / queries; shares are 1/(1 + e^0.4)
    # of its own and the rest of the other.
    own, last = 1 / (1 + math.exp(0.4)), 1 / (1 + math.exp(-2))
    assert queries.grad[0, 0].tolist() == pytest.approx([own - 1, 1 - own])
    assert queries.grad[0, 1].tolist() == pytest.approx([1 - last, last - 1])


def test_patch_nce_tells_patches_of_one_row_apart():
    """Each row has negatives of its own: the mean of rows taken singly, and log P where all keys are the same."""
    torch.manual_seed(0)
    queries, keys = (torch.nn.functional.normalize(torch.randn(3, 5, 4), dim=2) for _ in range(2))
    rows = [float(losses.patch_nce(q[None], k[None], 0.07)) for q, k in zip(queries, keys, strict=True)]
    assert float(losses.patch_nce(queries, keys, 0.07)) == pytest.approx(sum(rows) / 3)
    assert float(losses.patch_nce(queries, keys[:, :1].expand(3, 5, 4), 0.07)) == pytest.approx(math.log(5), rel=1e-5)
