"""Whether samples differ from one another, and whether what is light stays light and what is red stays red."""

from collections.abc import Iterable

import numpy as np

from i2i.images import Array, to_channels
from i2i.metrics.pairs import as_rgb8

NEAR = 0.05
"""Samples closer than this fraction of the reals' median pair distance are near duplicates."""
_OPPONENT = np.array([[1.0, -1.0, 0.0], [0.5, 0.5, -1.0]]).T
"""RGB to red against green and yellow against blue."""
_GREY = 4.0
"""Opponent colours that vary by less than these grey levels are no hue to speak of."""


def diversity(fakes: Array, reals: Array) -> dict[str, float]:
    """Compare the spread of samples and of real images, each (N, ...) with N > 1, by Euclidean distance.

    diversity: mean distance between two fakes over that between two reals; 1 is ideal, 0 if all fakes are equal.
    near_duplicates: share of fakes with another fake closer than NEAR times the reals' median pair distance.
    real_near_duplicates: the same for the reals: data in tight clusters has many.
    """
    fake, real = (_distances(values) for values in (fakes, reals))
    near = NEAR * float(np.median(_pairs(real)))
    return {
        "diversity": float(_pairs(fake).mean() / max(float(_pairs(real).mean()), 1e-12)),
        "near_duplicates": float((fake.min(axis=1) < near).mean()),
        "real_near_duplicates": float((real.min(axis=1) < near).mean()),
    }


def brightness_correlation(outputs: Iterable[Array], others: Iterable[Array]) -> float:
    """Return the correlation of the brightness of an output and of another picture, the mean over all.

    outputs, others: (H, W, 1 to 4) each, in any depth. 1 where they are alike, -1 where one is the other's negative;
    a flat picture counts as uncorrelated.
    """
    return float(np.mean([_correlation(*one) for one in zip(outputs, others, strict=True)]))


def hue_correlation(outputs: Iterable[Array], others: Iterable[Array]) -> float | None:
    """Return the lower correlation, red against green or yellow against blue, of all outputs and other pictures.

    outputs, others: (H, W, 1 to 4) each, in any depth. 1 where hues are alike, -1 where two are exchanged, whatever
    the brightness. An axis on which one side hardly varies does not count; None where none is left, as for grey.
    """
    pairs = np.stack(
        [np.concatenate([as_rgb8(one).reshape(-1, 3) @ _OPPONENT for one in side]) for side in (outputs, others)]
    )
    pairs -= pairs.mean(axis=1, keepdims=True)
    spreads = np.sqrt((pairs**2).mean(axis=1))
    varies = spreads.min(axis=0) >= _GREY
    if not varies.any():
        return None
    return float(((pairs[0] * pairs[1]).mean(axis=0) / np.maximum(spreads.prod(axis=0), 1e-9))[varies].min())


def _correlation(output: Array, other: Array) -> float:
    first, second = (to_channels(as_rgb8(side), 1).ravel().astype(np.float64) for side in (output, other))
    first, second = first - first.mean(), second - second.mean()
    return float(first @ second / max(float(np.linalg.norm(first) * np.linalg.norm(second)), 1e-9))


def _distances(values: Array) -> Array:
    """Return the (N, N) distances, infinite from each to itself."""
    flat = values.reshape(len(values), -1).astype(np.float64)
    flat = flat - flat.mean(axis=0)  # centred values lose less precision in the difference of squares
    squares = (flat * flat).sum(axis=1)
    distances = np.sqrt(np.maximum(squares[:, None] + squares[None] - 2 * flat @ flat.T, 0.0))
    np.fill_diagonal(distances, np.inf)
    return distances


def _pairs(distances: Array) -> Array:
    return distances[np.triu_indices(len(distances), 1)]
