"""Confidence intervals of means over pictures.

Two states of a model that are scored on the same pictures are resampled alike, since the seed is fixed: the difference
of their draws is that of paired resampling, in which what differs between pictures cancels.
"""

from collections.abc import Sequence

import numpy as np

from i2i.images import Array

DRAWS = 2000


def mean_draws(values: Sequence[float], seed: int = 0) -> Array:
    """Return DRAWS means over pictures that were drawn with replacement (Efron 1979)."""
    array = np.asarray(values, dtype=np.float64)
    random = np.random.default_rng(seed)
    return np.concatenate(
        [array[random.integers(len(array), size=(100, len(array)))].mean(axis=1) for _ in range(DRAWS // 100)]
    )


def interval(draws: Array | Sequence[float]) -> tuple[float, float]:
    """Return the 95% percentile interval of draws."""
    low, high = np.quantile(draws, [0.025, 0.975])
    return float(low), float(high)


def mean_interval(values: Sequence[float], seed: int = 0) -> tuple[float, float]:
    """Return the 95% percentile bootstrap interval of the mean over pictures; NaN for fewer than two."""
    return interval(mean_draws(values, seed)) if len(values) > 1 else (float("nan"), float("nan"))
