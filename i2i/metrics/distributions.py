"""Distances between a set of real images and a set of generated ones, from the features of both.

Features are float arrays (N, D), one row for each image. A figure depends on the network that computed them, so always
name the network with it. The sets may differ in size.
"""

import numpy as np

from i2i.images import Array
from i2i.metrics.intervals import interval

NEIGHBOURS_PR, NEIGHBOURS_DC = 3, 5
"""Neighbours that define the balls of precision and recall, and of density and coverage, as in the papers."""
PROJECTIONS = 512
"""Directions that `sliced_wasserstein` averages over."""
MIND_PROJECTIONS = 1000
"""The same of `mind`."""


def frechet(real: Array, generated: Array) -> float:
    """Return the Fréchet distance of Gaussians fitted to the features (Heusel et al. 2017, equation 6), never below 0.

    |m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)), where tr((S1 S2)^(1/2)) is the sum of the singular values of X1 X2^T
    for centred features X with X^T X = S. This needs no matrix root, and few images give small matrices.
    Few images bias it upwards: compare only figures from equal numbers.
    """
    first, second = _root_of_covariance(real), _root_of_covariance(generated)
    shift = float(np.square(real.mean(axis=0) - generated.mean(axis=0)).sum())
    traces = float(np.square(first).sum() + np.square(second).sum())
    return max(shift + traces - 2 * float(np.linalg.svd(first @ second.T, compute_uv=False).sum()), 0.0)


def kid(real: Array, generated: Array) -> float:
    """Return the squared maximum mean discrepancy with the kernel (x y / D + 1)^3, unbiased, so it can be negative.

    Binkowski et al. 2018, equation 4, over all images at once. Tables often show it times 1,000.
    """
    return _discrepancy(*_kernels(real, generated), np.ones((1, len(real))), np.ones((1, len(generated))))[0]


def kid_draws(real: Array, generated: Array, draws: int = 1000, seed: int = 0) -> Array:
    """Return bootstrap draws of `kid`, resampling both sets; no image is compared with itself."""
    random = np.random.default_rng(seed)
    weights = [random.multinomial(len(one), np.full(len(one), 1 / len(one)), draws) for one in (real, generated)]
    return _discrepancy(*_kernels(real, generated), *weights)


def kid_interval(real: Array, generated: Array, draws: int = 1000, seed: int = 0) -> tuple[float, float]:
    """Return the 95% bootstrap interval of `kid`."""
    return interval(kid_draws(real, generated, draws, seed))


def precision_recall(real: Array, generated: Array, neighbours: int = NEIGHBOURS_PR) -> tuple[float, float]:
    """Return the share of generated images inside balls around real ones, and the reverse.

    Kynkäänniemi et al. 2019, equation 2: a ball reaches to its centre's `neighbours`-th neighbour in its own set.
    Precision falls with bad images, recall with missing kinds. NaN if a set has no more images than neighbours.
    """
    if min(len(real), len(generated)) <= neighbours:
        return float("nan"), float("nan")
    between = distances(real, generated)
    precision = (between <= _radii(real, neighbours)[:, None]).any(axis=0).mean()
    recall = (between <= _radii(generated, neighbours)[None]).any(axis=1).mean()
    return float(precision), float(recall)


def density_coverage(real: Array, generated: Array, neighbours: int = NEIGHBOURS_DC) -> tuple[float, float]:
    """Return the mean number of real balls around a generated image, over `neighbours`; and the share of balls hit.

    Naeem et al. 2020, equations 3 and 4: less sensitive to outliers than precision and recall. About 1 for equal
    sets. NaN if a set has no more images than neighbours.
    """
    if min(len(real), len(generated)) <= neighbours:
        return float("nan"), float("nan")
    within = distances(real, generated) <= _radii(real, neighbours)[:, None]
    return float(within.sum(axis=0).mean() / neighbours), float(within.any(axis=1).mean())


def sliced_wasserstein(real: Array, generated: Array, projections: int = PROJECTIONS, seed: int = 0) -> float:
    """Return the root mean square distance of sorted features along random directions (Bonneel et al. 2015).

    In the unit of the features. Unlike `frechet`, it assumes no Gaussian and needs no covariance.
    """
    directions = np.random.default_rng(seed).standard_normal((real.shape[1], projections))
    directions /= np.linalg.norm(directions, axis=0)
    places = (np.arange(max(len(real), len(generated))) + 0.5) / max(len(real), len(generated))
    one, other = (np.quantile(each @ directions, places, axis=0, method="hazen") for each in (real, generated))
    return float(np.sqrt(np.square(one - other).mean()))


def mind(real: Array, generated: Array) -> float:
    """Return the Monge Inception distance of Inception's features, (N, D) and (M, D) (Berthet et al. 2026).

    The squared sliced Wasserstein distance times 3 D, which is of the size of FID and needs fewer pictures. The paper's
    sets are of one size; others are compared by quantiles here, not by a part of the larger one.
    """
    return 3 * real.shape[1] * sliced_wasserstein(real, generated, MIND_PROJECTIONS) ** 2


def _root_of_covariance(features: Array) -> Array:
    """Return X with X^T X = the sample covariance, with as few rows as possible."""
    centred = (features - features.mean(axis=0)) / np.sqrt(len(features) - 1)
    if len(centred) <= centred.shape[1]:
        return centred
    root: Array = np.asarray(np.linalg.qr(centred, mode="r"))
    return root


def _kernels(real: Array, generated: Array) -> tuple[Array, Array, Array]:
    """Return the kernel within each set, 0 on the diagonal, and between the sets."""
    dimensions = real.shape[1]
    within = [(one @ one.T / dimensions + 1) ** 3 for one in (real, generated)]
    for kernel in within:
        np.fill_diagonal(kernel, 0)
    return within[0], within[1], (real @ generated.T / dimensions + 1) ** 3


def _discrepancy(of_real: Array, of_generated: Array, between: Array, real: Array, generated: Array) -> Array:
    """Return the discrepancy for each row of weights, (draws, N) for each set: how often an image was drawn."""

    def mean(kernel: Array, weights: Array) -> Array:
        pairs = weights.sum(axis=1) ** 2 - np.square(weights).sum(axis=1)  # of two different images
        return (weights @ kernel * weights).sum(axis=1) / pairs

    across = (real @ between * generated).sum(axis=1) / (real.sum(axis=1) * generated.sum(axis=1))
    return mean(of_real, real) + mean(of_generated, generated) - 2 * across


def _radii(features: Array, neighbours: int) -> Array:
    """Return the distance of each row to its `neighbours`-th neighbour."""
    return np.partition(distances(features, features), neighbours, axis=1)[
        :, neighbours
    ]  # the nearest is the row itself


def distances(first: Array, second: Array) -> Array:
    """Return the Euclidean distances of rows (N, D) and (M, D): (N, M)."""
    centre = first.mean(axis=0)
    first, second = first - centre, second - centre  # centred values lose less precision in the difference of squares
    squares = np.square(first).sum(axis=1)[:, None] + np.square(second).sum(axis=1)[None]
    return np.sqrt(np.maximum(squares - 2 * first @ second.T, 0.0))
