"""Losses as plain functions of tensors; every one returns a scalar.

Adversarial losses come as a pair on logits of any shape: d(real, fake) for the discriminator, a tuple
of its real and its fake term so that both can be logged, and g(real, fake) for the generator.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F


class AdversarialLoss(NamedTuple):
    """d: (real logits, fake logits) to (real term, fake term). g: the same to the generator's term.

    boundary: the logit at which the discriminator is undecided.
    """

    d: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
    g: Callable[[Tensor | None, Tensor], Tensor]
    boundary: float


def non_saturating_d(real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
    """-log D(real) and -log(1 - D(fake)), D = sigmoid(logit) (Goodfellow et al. 2014, eq. 1)."""
    return (
        F.binary_cross_entropy_with_logits(real, torch.ones_like(real)),
        F.binary_cross_entropy_with_logits(fake, torch.zeros_like(fake)),
    )


def non_saturating_g(real: Tensor | None, fake: Tensor) -> Tensor:
    """-log D(fake) (Goodfellow et al. 2014, end of section 3)."""
    return F.binary_cross_entropy_with_logits(fake, torch.ones_like(fake))


def least_squares_d(real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
    """(D(real) - 1)^2 and D(fake)^2 (Mao et al. 2017, eq. 2 with a = 0, b = 1; without the halves)."""
    return (real - 1).square().mean(), fake.square().mean()


def least_squares_g(real: Tensor | None, fake: Tensor) -> Tensor:
    """(D(fake) - 1)^2 (Mao et al. 2017, eq. 2 with c = 1; without the half)."""
    return (fake - 1).square().mean()


ADVERSARIAL = {
    "non_saturating": AdversarialLoss(non_saturating_d, non_saturating_g, boundary=0.0),
    "least_squares": AdversarialLoss(least_squares_d, least_squares_g, boundary=0.5),
}


def l1(output: Tensor, target: Tensor) -> Tensor:
    """Mean absolute difference of two tensors of one shape (Isola et al. 2017, eq. 3)."""
    return F.l1_loss(output, target)
