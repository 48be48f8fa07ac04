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
