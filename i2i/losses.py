"""Losses and penalties as plain functions of tensors; every one returns a scalar.

An adversarial loss is a pair of functions of logits of any shape: d(real, fake) returns the discriminator's
real and fake terms, separately so that both can be logged; g(real, fake) returns the generator's term. A
penalty is a function of the discriminator, the reals and the fakes.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F


class AdversarialLoss(NamedTuple):
    """d: (real logits, fake logits) to (real term, fake term). g: the same to the generator's term.

    boundary: the logit at which the discriminator is undecided; None for a loss that has none.
    is_relative: whether each fake is compared with a real, so that g needs the logits of both.
    toward: the loss of logits against labels of their shape, 1 real and 0 fake; None for a loss without labels.
    """

    d: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
    g: Callable[[Tensor | None, Tensor], Tensor]
    boundary: float | None
    is_relative: bool = False
    toward: Callable[[Tensor, Tensor], Tensor] | None = None


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


def relativistic_d(real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
    """softplus(-(D(real) - D(fake))) of each pair (Huang et al. 2024, eq. 2): half in each term."""
    half = F.softplus(fake - real).mean() / 2
    return half, half


def relativistic_g(real: Tensor | None, fake: Tensor) -> Tensor:
    """softplus(-(D(fake) - D(real))) of each pair (Huang et al. 2024, eq. 2; Jolicoeur-Martineau 2019)."""
    assert real is not None
    return F.softplus(real - fake).mean()


def margin_d(real: Tensor, fake: Tensor, margin: float = 10.0) -> tuple[Tensor, Tensor]:
    """E(real) and max(0, margin - E(fake)), where the energy E is a logit with its sign changed (Zhao et al. 2017,
    eq. 1)."""
    return -real.mean(), F.relu(margin + fake).mean()


_cross_entropy = F.binary_cross_entropy_with_logits
ADVERSARIAL: dict[str, AdversarialLoss] = {
    "minimax": AdversarialLoss(non_saturating_d, minimax_g, boundary=0.0, toward=_cross_entropy),
    "non_saturating": AdversarialLoss(non_saturating_d, non_saturating_g, boundary=0.0, toward=_cross_entropy),
    "least_squares": AdversarialLoss(least_squares_d, least_squares_g, boundary=0.5, toward=F.mse_loss),
    "hinge": AdversarialLoss(hinge_d, wasserstein_g, boundary=0.0),
    "wasserstein": AdversarialLoss(wasserstein_d, wasserstein_g, boundary=None),
    "relativistic": AdversarialLoss(relativistic_d, relativistic_g, boundary=None, is_relative=True),
    "margin": AdversarialLoss(margin_d, wasserstein_g, boundary=None),  # g is E(fake): their eq. 2
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


def zero_centred(logits: Logits, real: Tensor, fake: Tensor) -> Tensor:
    """R1 and R2 together (Huang et al. 2024, eq. 3): both slopes are drawn to zero."""
    return r1(logits, real, fake) + r2(logits, real, fake)


PENALTIES: dict[str, Callable[[Logits, Tensor, Tensor], Tensor]] = {
    "gradient": gradient_penalty,
    "r1": r1,
    "r2": r2,
    "zero_centred": zero_centred,
}


def drift(real: Tensor) -> Tensor:
    """D(real)^2, which keeps the logits of a critic near zero (Karras et al. 2018, appendix A.1)."""
    return real.square().mean()


def pulling_away(codes: Tensor) -> Tensor:
    """Squared cosine of the angle between the codes of two images, the mean over all pairs (Zhao et al. 2017, eq. 5).

    codes: (N, ...). The repelling term: 1 where all codes have one direction, 0 where all are at right angles, and for
    a single image.
    """
    directions = F.normalize(codes.flatten(1).float())
    cosines = directions @ directions.t()
    others = len(codes) * max(len(codes) - 1, 1)
    return (cosines.square().sum() - cosines.diagonal().square().sum()) / others


def l1(output: Tensor, target: Tensor) -> Tensor:
    """Mean absolute difference of two tensors of one shape (Isola et al. 2017, eq. 3)."""
    return F.l1_loss(output, target)


def l2(output: Tensor, target: Tensor) -> Tensor:
    """Mean squared difference of two tensors of one shape."""
    return F.mse_loss(output, target)


def feature_matching(found: Sequence[Tensor], wanted: Sequence[Tensor]) -> Tensor:
    """Mean absolute difference of features, with the mean over layers in place of the sum (Wang et al. 2018, eq. 4).

    found, wanted: of a network's layers, (N, C, H, W) each.
    """
    return torch.stack([l1(one, other) for one, other in zip(found, wanted, strict=True)]).mean()


def lpips(found: Sequence[Tensor], wanted: Sequence[Tensor], heads: Iterable[Tensor]) -> Tensor:
    """Squared difference of each pixel's unit feature, weighted by channel, over all layers (Zhang et al. 2018, eq. 1).

    found, wanted: of a network's layers, (N, C, H, W) each. heads: the learned weights of each layer's channels, (C,).
    """
    layers = []
    for one, other, head in zip(found, wanted, heads, strict=True):
        difference = (_unit_features(one) - _unit_features(other)).square()
        layers.append((difference * head.view(1, -1, 1, 1)).sum(dim=1).mean())
    return torch.stack(layers).sum()


def _unit_features(features: Tensor) -> Tensor:
    """Scale each pixel's features to length 1; where they are all 0, so is the gradient."""
    return features / (features.square().sum(dim=1, keepdim=True).clamp_min(1e-20).sqrt() + 1e-10)


def patch_nce(queries: Tensor, keys: Tensor, temperature: float, counted: Tensor | None = None) -> Tensor:
    """-log of the share that a query's own key has in the softmax over all keys of its row (Park et al. 2020, eq. 3).

    queries, keys: unit vectors (N, P, K); key p of row n belongs to query p of row n, and the row's other keys are
    its negatives. counted: which of them count, (N, P) bool; None: all. Others are neither queries nor negatives.
    Returns the mean over the queries that count, 0 without any.
    """
    logits = torch.bmm(queries / temperature, keys.transpose(1, 2))
    own = torch.arange(logits.shape[1], device=logits.device)
    if counted is None:
        return F.cross_entropy(logits.flatten(0, 1), own.repeat(len(logits)))
    left_out = ~counted[:, None] & (own != own[:, None])  # not its own key, so that each row keeps one
    logits = logits.masked_fill(left_out, -math.inf)
    each = F.cross_entropy(logits.flatten(0, 1), own.repeat(len(logits)), reduction="none")
    return (each * counted.flatten()).sum() / counted.sum().clamp_min(1)
