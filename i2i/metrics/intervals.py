"""Confidence intervals of means over pictures."""

from collections.abc import Sequence

import numpy as np

DRAWS = 2000


def mean_interval(values: Sequence[float], seed: int = 0) -> tuple[float, float]:
    """Return the 95% percentile bootstrap interval of the mean over pictures (Efron 1979); NaN for fewer than two."""
    if len(values) < 2:
        return float("nan"), float("nan")
    array = np.asarray(values, dtype=np.float64)
    random = np.random.default_rng(seed)
    means = np.concatenate(
        [array[random.integers(len(array), size=(100, len(array)))].mean(axis=1) for _ in range(DRAWS // 100)]
    )
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)
