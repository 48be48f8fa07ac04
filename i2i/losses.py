"""Losses and penalties as plain functions of tensors; every one returns a scalar.

An adversarial loss is a pair of functions of logits of any shape: d(real, fake) returns the discriminator's
real and fake terms, separately so that both can be logged; g(real, fake) returns the generator's term. A
penalty is a function of the discriminator, the reals and the fakes.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F


class AdversarialLoss(NamedTuple):
    """d: (real logits, fake logits) to (real term, fake term). g: the same to the generator's term.

    boundary: the logit at which the discriminator is undecided; None if there is no such logit.
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


_cross_entropy = F.binary_cross_entropy_with_logits
ADVERSARIAL: dict[str, AdversarialLoss] = {
    "minimax": AdversarialLoss(non_saturating_d, minimax_g, boundary=0.0, toward=_cross_entropy),
    "non_saturating": AdversarialLoss(non_saturating_d, non_saturating_g, boundary=0.0, toward=_cross_entropy),
    "least_squares": AdversarialLoss(least_squares_d, least_squares_g, boundary=0.5, toward=F.mse_loss),
    "hinge": AdversarialLoss(hinge_d, wasserstein_g, boundary=0.0),
    "wasserstein": AdversarialLoss(wasserstein_d, wasserstein_g, boundary=None),
    "relativistic": AdversarialLoss(relativistic_d, relativistic_g, boundary=None, is_relative=True),
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


def gradient(output: Tensor, target: Tensor) -> Tensor:
    """Mean difference of the sizes of steps between neighbouring pixels (Mathieu et al. 2016, eq. 6 with alpha = 1)."""
    down, across = (l1(output.diff(dim=axis).abs(), target.diff(dim=axis).abs()) for axis in (2, 3))
    return down + across


def ssim(output: Tensor, target: Tensor) -> Tensor:
    """1 - SSIM of images (N, C, H, W) in [-1, 1], at least SSIM_WINDOW_PX wide (Wang et al. 2004, eq. 13)."""
    luminance, structure = _similarities(output, target)
    return 1 - (luminance * structure).mean()


def structure(output: Tensor, target: Tensor) -> Tensor:
    """The same without the comparison of brightness: contrast and structure alone (Wang et al. 2004, eq. 9 and 10)."""
    return 1 - _similarities(output, target)[1].mean()


SSIM_WINDOW_PX = 11
_C1, _C2 = (0.01 * 2) ** 2, (0.03 * 2) ** 2  # for values from -1 to 1


def _similarities(one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """Return SSIM's maps of luminance, and of contrast and structure together, where the window fits."""
    places = torch.arange(SSIM_WINDOW_PX, device=one.device, dtype=one.dtype) - SSIM_WINDOW_PX // 2
    line = torch.softmax(-places.square() / (2 * 1.5**2), dim=0)
    images = torch.cat([one, other, one * one, other * other, one * other])
    across = line.expand(one.shape[1], 1, 1, -1)
    means = F.conv2d(F.conv2d(images, across, groups=one.shape[1]), across.mT, groups=one.shape[1])
    mean, other_mean, square, other_square, product = means.chunk(5)
    luminance = (2 * mean * other_mean + _C1) / (mean.square() + other_mean.square() + _C1)
    variances = square - mean.square() + other_square - other_mean.square()
    return luminance, (2 * (product - mean * other_mean) + _C2) / (variances + _C2)


_NLPD_FILTER = (0.05, 0.25, 0.4, 0.25, 0.05)
_NLPD = (  # of each level: sigma, then the weights of the neighbours below, right, left, 2 to the left, above
    (0.0248, 0.1011, 0.1493, 0.1460, 0.0072, 0.1015),
    (0.0185, 0.0757, 0.1986, 0.1846, 0.0, 0.0837),
    (0.0179, 0.0477, 0.2138, 0.2243, 0.0, 0.0467),
    (0.0191, 0.0, 0.2503, 0.2616, 0.0, 0.0),
    (0.0220, 0.0, 0.2598, 0.2552, 0.0, 0.0),
    (0.2782, 0.0, 0.2215, 0.0717, 0.0, 0.0),
)
_NLPD_PLACES = ((3, 2), (2, 3), (2, 1), (2, 0), (1, 2))  # row and column of each neighbour in a window of 5 px


def nlpd(output: Tensor, target: Tensor) -> Tensor:
    """Normalised Laplacian pyramid distance of images (N, C, H, W) in [-1, 1] (Laparra et al. 2016, section 2).

    Each channel is a pyramid of its own, of up to six levels, the coarsest at least 2 px wide. Hepburn et al. 2020
    ("Enforcing perceptual consistency on GANs") train pix2pix with it.
    """
    images = (torch.cat([output, target]).flatten(0, 1)[:, None] + 1) / 2
    levels = [_normalised(band, *numbers) for band, numbers in _laplacian_pyramid(images)]
    roots = []
    for level in levels:
        one, other = level.unflatten(0, (2, *output.shape[:2])).unbind()
        # The small term keeps the gradient of the root finite where the images are equal.
        roots.append(((one - other).square().flatten(1).mean(dim=1) + 1e-12).sqrt())
    return torch.stack(roots).mean()


def _laplacian_pyramid(images: Tensor) -> Iterator[tuple[Tensor, tuple[float, ...]]]:
    """Yield the bands of images (N, 1, H, W) with their numbers (Burt and Adelson 1983); what is left comes last."""
    line = images.new_tensor(_NLPD_FILTER)
    kernel = torch.outer(line, line)[None, None]
    count = min(len(_NLPD), min(images.shape[2:]).bit_length() - 1)
    for numbers in _NLPD[: count - 1]:
        height, width = images.shape[2:]
        coarse = F.conv2d(_mirror_border(images), kernel, stride=2)
        wide = F.conv_transpose2d(F.pad(coarse, (1, 1, 1, 1), mode="replicate"), 4 * kernel, stride=2, padding=2)
        yield images - wide[:, :, 2 : 2 + height, 2 : 2 + width], numbers
        images = coarse
    yield images, _NLPD[-1]


def _mirror_border(images: Tensor) -> Tensor:
    """Continue images by their two outermost pixels on each side, mirrored."""
    for axis in (2, 3):
        first, last = images.narrow(axis, 0, 2).flip(axis), images.narrow(axis, -2, 2).flip(axis)
        images = torch.cat([first, images, last], dim=axis)
    return images


def _normalised(band: Tensor, sigma: float, *neighbours: float) -> Tensor:
    """Divide a band by the weighted absolute values around each pixel."""
    kernel = band.new_zeros(1, 1, 5, 5)
    for (row, column), weight in zip(_NLPD_PLACES, neighbours, strict=True):
        kernel[0, 0, row, column] = weight
    return band / (sigma + F.conv2d(band.abs(), kernel, padding=2))


def patch_nce(queries: Tensor, keys: Tensor, temperature: float) -> Tensor:
    """-log of the share that a query's own key has in the softmax over all keys of its row (Park et al. 2020, eq. 3).

    queries, keys: unit vectors (N, P, K); key p of row n belongs to query p of row n, and the row's other keys are
    its negatives. Returns the mean over all queries.
    """
    logits = torch.bmm(queries / temperature, keys.transpose(1, 2))
    own = torch.arange(logits.shape[1], device=logits.device).repeat(len(logits))
    return F.cross_entropy(logits.flatten(0, 1), own)
