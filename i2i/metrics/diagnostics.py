"""Whether a generator's samples differ from one another."""

import numpy as np

from i2i.images import Array

NEAR = 0.05
"""Samples nearer than this fraction of the reals' median pair distance are near duplicates."""


def diversity(fakes: Array, reals: Array) -> dict[str, float]:
    """Compare the spread of samples with that of real ones, each (N, ...) with N > 1, by Euclidean distance.

    diversity: mean distance of two fakes over that of two reals; 1 is ideal, 0 means that all fakes are equal.
    near_duplicates: share of fakes with another fake nearer than NEAR times the reals' median pair distance.
    real_near_duplicates: the same for the reals, since data in tight clusters is full of them.
    """
    fake, real = (_distances(values) for values in (fakes, reals))
    near = NEAR * float(np.median(_pairs(real)))
    return {
        "diversity": float(_pairs(fake).mean() / max(float(_pairs(real).mean()), 1e-12)),
        "near_duplicates": float((fake.min(axis=1) < near).mean()),
        "real_near_duplicates": float((real.min(axis=1) < near).mean()),
    }


def _distances(values: Array) -> Array:
    """Return the (N, N) distances, infinite from each to itself."""
    flat = values.reshape(len(values), -1).astype(np.float64)
    flat = flat - flat.mean(axis=0)  # smaller numbers lose less in the difference of squares below
    squares = (flat * flat).sum(axis=1)
    distances = np.sqrt(np.maximum(squares[:, None] + squares[None] - 2 * flat @ flat.T, 0.0))
    np.fill_diagonal(distances, np.inf)
    return distances


def _pairs(distances: Array) -> Array:
    return distances[np.triu_indices(len(distances), 1)]
