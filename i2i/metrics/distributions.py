"""How far one set of pictures is from another: each function takes features of the real ones and of the made ones.

Features are float arrays, (N, D), a row a picture; which network they come from decides what a figure means, so it is
always named beside it. Sets need not be of one size.
"""

import numpy as np

from i2i.images import Array

NEIGHBOURS_PR, NEIGHBOURS_DC = 3, 5
"""Neighbours that span the balls of precision and recall, and of density and coverage, as in the papers."""
PROJECTIONS = 512
"""Directions that `sliced_wasserstein` averages over."""


def frechet(real: Array, made: Array) -> float:
    """Return the Fréchet distance of two Gaussians fitted to features (Heusel et al. 2017, equation 6), at least 0.

    |m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)), where tr((S1 S2)^(1/2)) is the sum of the singular values of X1 X2^T
    for centred features X with X^T X = S. No matrix root is needed, and few pictures make small matrices.
    Biased upwards for few pictures; compare only figures from equal numbers of them.
    """
    first, second = _root_of_covariance(real), _root_of_covariance(made)
    shift = float(np.square(real.mean(axis=0) - made.mean(axis=0)).sum())
    traces = float(np.square(first).sum() + np.square(second).sum())
    return max(shift + traces - 2 * float(np.linalg.svd(first @ second.T, compute_uv=False).sum()), 0.0)


def kid(real: Array, made: Array) -> float:
    """Return the squared maximum mean discrepancy with the kernel (x y / D + 1)^3, unbiased: it may be below 0.

    Binkowski et al. 2018, equation 4, over all pictures at once. Tables often print it times 1,000.
    """
    return _discrepancy(*_kernels(real, made), np.ones((1, len(real))), np.ones((1, len(made))))[0]


def kid_interval(real: Array, made: Array, draws: int = 1000, seed: int = 0) -> tuple[float, float]:
    """Return the 95% bootstrap interval of `kid`: both sets drawn anew, a picture never compared with itself."""
    random = np.random.default_rng(seed)
    weights = [random.multinomial(len(one), np.full(len(one), 1 / len(one)), draws) for one in (real, made)]
    low, high = np.quantile(_discrepancy(*_kernels(real, made), *weights), [0.025, 0.975])
    return float(low), float(high)


def precision_recall(real: Array, made: Array, neighbours: int = NEIGHBOURS_PR) -> tuple[float, float]:
    """Return the share of made pictures within the real ones' balls, and the other way round.

    Kynkäänniemi et al. 2019, equation 2: a ball reaches to its centre's `neighbours`-th neighbour in its own set.
    Precision falls with bad pictures, recall with missing kinds. NaN where a set has no more pictures than neighbours.
    """
    if min(len(real), len(made)) <= neighbours:
        return float("nan"), float("nan")
    between = _distances(real, made)
    precision = (between <= _radii(real, neighbours)[:, None]).any(axis=0).mean()
    recall = (between <= _radii(made, neighbours)[None]).any(axis=1).mean()
    return float(precision), float(recall)


def density_coverage(real: Array, made: Array, neighbours: int = NEIGHBOURS_DC) -> tuple[float, float]:
    """Return how many real balls a made picture lies in, over `neighbours`, and the share of balls that hold one.

    Naeem et al. 2020, equations 3 and 4: sturdier against single odd pictures than precision and recall. About 1 for
    equal sets. NaN where a set has no more pictures than neighbours.
    """
    if min(len(real), len(made)) <= neighbours:
        return float("nan"), float("nan")
    within = _distances(real, made) <= _radii(real, neighbours)[:, None]
    return float(within.sum(axis=0).mean() / neighbours), float(within.any(axis=1).mean())


def sliced_wasserstein(real: Array, made: Array, projections: int = PROJECTIONS, seed: int = 0) -> float:
    """Return the mean distance between the sorted features of both sets along random directions (Bonneel et al. 2015).

    Squared and rooted, so in the features' unit. Unlike `frechet` it assumes no Gaussian, and needs no covariance.
    """
    directions = np.random.default_rng(seed).standard_normal((real.shape[1], projections))
    directions /= np.linalg.norm(directions, axis=0)
    places = (np.arange(max(len(real), len(made))) + 0.5) / max(len(real), len(made))
    one, other = (np.quantile(each @ directions, places, axis=0, method="hazen") for each in (real, made))
    return float(np.sqrt(np.square(one - other).mean()))


def _root_of_covariance(features: Array) -> Array:
    """Return X with X^T X = the sample covariance, of as few rows as hold it."""
    centred = (features - features.mean(axis=0)) / np.sqrt(len(features) - 1)
    if len(centred) <= centred.shape[1]:
        return centred
    root: Array = np.asarray(np.linalg.qr(centred, mode="r"))
    return root


def _kernels(real: Array, made: Array) -> tuple[Array, Array, Array]:
    """Return the kernel within each set, 0 from each picture to itself, and between the two."""
    dimensions = real.shape[1]
    within = [(one @ one.T / dimensions + 1) ** 3 for one in (real, made)]
    for kernel in within:
        np.fill_diagonal(kernel, 0)
    return within[0], within[1], (real @ made.T / dimensions + 1) ** 3


def _discrepancy(of_real: Array, of_made: Array, between: Array, real: Array, made: Array) -> Array:
    """Return the discrepancy for each row of weights, (draws, N) of each set: how often a picture was drawn."""

    def mean(kernel: Array, weights: Array) -> Array:
        pairs = weights.sum(axis=1) ** 2 - np.square(weights).sum(axis=1)  # of two different pictures
        return (weights @ kernel * weights).sum(axis=1) / pairs

    across = (real @ between * made).sum(axis=1) / (real.sum(axis=1) * made.sum(axis=1))
    return mean(of_real, real) + mean(of_made, made) - 2 * across


def _radii(features: Array, neighbours: int) -> Array:
    """Return the distance of each row to its `neighbours`-th neighbour."""
    return np.partition(_distances(features, features), neighbours, axis=1)[:, neighbours]  # the nearest is itself


def _distances(first: Array, second: Array) -> Array:
    """Return the Euclidean distances, (N, M)."""
    centre = first.mean(axis=0)
    first, second = first - centre, second - centre  # small numbers lose less in the difference of squares
    squares = np.square(first).sum(axis=1)[:, None] + np.square(second).sum(axis=1)[None]
    return np.sqrt(np.maximum(squares - 2 * first @ second.T, 0.0))
