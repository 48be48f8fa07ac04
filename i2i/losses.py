"""Losses and penalties as plain functions of tensors; every one returns a scalar.

An adversarial loss is a pair of functions of logits of any shape: d(real, fake) returns the discriminator's
real and fake terms, separately so that both can be logged; g(real, fake) returns the generator's term. A
penalty is a function of the discriminator, the reals and the fakes.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F


class AdversarialLoss(NamedTuple):
    """d: (real logits, fake logits) to (real term, fake term). g: the same to the generator's term.

    boundary: the logit at which the discriminator is undecided; None if there is no such logit.
    """

    d: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
    g: Callable[[Tensor | None, Tensor], Tensor]
    boundary: float | None


def non_saturating_d(real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
    """-log D(real) and -log(1 - D(fake)), D = sigmoid(logit) (Goodfellow et al. 2014, eq. 1)."""
    return (
        F.binary_cross_entropy_with_logits(real, torch.ones_like(real)),
        F.binary_cross_entropy_with_logits(fake, torch.zeros_like(fake)),
    )


def non_saturating_g(real: Tensor | None, fake: Tensor) -> Tensor:
    """-log D(fake) (Goodfellow et al. 2014, end of section 3)."""
    return F.binary_cross_entropy_with_logits(fake, torch.ones_like(fake))


def minimax_g(real: Tensor | None, fake: Tensor) -> Tensor:
    """log(1 - D(fake)), whose gradient vanishes where D is confident (Goodfellow et al. 2014, eq. 1)."""
    return -F.binary_cross_entropy_with_logits(fake, torch.zeros_like(fake))


def least_squares_d(real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
    """(D(real) - 1)^2 and D(fake)^2 (Mao et al. 2017, eq. 2 with a = 0, b = 1; without the halves)."""
    return (real - 1).square().mean(), fake.square().mean()


def least_squares_g(real: Tensor | None, fake: Tensor) -> Tensor:
    """(D(fake) - 1)^2 (Mao et al. 2017, eq. 2 with c = 1; without the half)."""
    return (fake - 1).square().mean()


def hinge_d(real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
    """max(0, 1 - D(real)) and max(0, 1 + D(fake)) (Miyato et al. 2018, eq. 16)."""
    return F.relu(1 - real).mean(), F.relu(1 + fake).mean()


def wasserstein_d(real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
    """-D(real) and D(fake) (Arjovsky et al. 2017, algorithm 1)."""
    return -real.mean(), fake.mean()


def wasserstein_g(real: Tensor | None, fake: Tensor) -> Tensor:
    """-D(fake) (Arjovsky et al. 2017, algorithm 1; Miyato et al. 2018, eq. 17)."""
    return -fake.mean()


ADVERSARIAL: dict[str, AdversarialLoss] = {
    "minimax": AdversarialLoss(non_saturating_d, minimax_g, boundary=0.0),
    "non_saturating": AdversarialLoss(non_saturating_d, non_saturating_g, boundary=0.0),
    "least_squares": AdversarialLoss(least_squares_d, least_squares_g, boundary=0.5),
    "hinge": AdversarialLoss(hinge_d, wasserstein_g, boundary=0.0),
    "wasserstein": AdversarialLoss(wasserstein_d, wasserstein_g, boundary=None),
}

Logits = Callable[[Tensor], Tensor]
"""A discriminator: images (N, ...) to logits (N, ...)."""


def _squared_gradient_norms(logits: Logits, at: Tensor) -> Tensor:
    """Return |grad D|^2 of each image, (N,), where D is the mean of the image's logits."""
    at = at.detach().clone()
    at.requires_grad = True
    (gradient,) = torch.autograd.grad(logits(at).flatten(1).mean(dim=1).sum(), at, create_graph=True)
    return gradient.flatten(1).square().sum(dim=1)


def gradient_penalty(logits: Logits, real: Tensor, fake: Tensor) -> Tensor:
    """(|grad D| - 1)^2 at random points between reals and fakes (Gulrajani et al. 2017, eq. 3)."""
    t = torch.rand(len(real), *[1] * (real.dim() - 1), device=real.device, dtype=real.dtype)
    # The small term keeps the gradient of the root finite where a dead discriminator has norm 0.
    norms = (_squared_gradient_norms(logits, torch.lerp(real, fake, t)) + 1e-12).sqrt()
    return (norms - 1).square().mean()


def r1(logits: Logits, real: Tensor, fake: Tensor) -> Tensor:
    """|grad D|^2 / 2 at reals (Mescheder et al. 2018, eq. 9)."""
    return _squared_gradient_norms(logits, real).mean() / 2


def r2(logits: Logits, real: Tensor, fake: Tensor) -> Tensor:
    """|grad D|^2 / 2 at fakes (Mescheder et al. 2018, eq. 10)."""
    return _squared_gradient_norms(logits, fake).mean() / 2


PENALTIES: dict[str, Callable[[Logits, Tensor, Tensor], Tensor]] = {"gradient": gradient_penalty, "r1": r1, "r2": r2}


def l1(output: Tensor, target: Tensor) -> Tensor:
    """Mean absolute difference of two tensors of one shape (Isola et al. 2017, eq. 3)."""
    return F.l1_loss(output, target)


def patch_nce(queries: Tensor, keys: Tensor, temperature: float) -> Tensor:
    """-log of the share that a query's own key has in the softmax over all keys of its row (Park et al. 2020, eq. 3).

    queries, keys: unit vectors (N, P, K); key p of row n belongs to query p of row n, and the row's other keys are
    its negatives. Returns the mean over all queries.
    """
    logits = torch.bmm(queries / temperature, keys.transpose(1, 2))
    own = torch.arange(logits.shape[1], device=logits.device).repeat(len(logits))
    return F.cross_entropy(logits.flatten(0, 1), own)
