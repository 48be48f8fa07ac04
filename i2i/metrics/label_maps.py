"""How far label maps are from their truth: scores (H, W, K), of which the highest is the class, against one-hot truths.

valid: where there is data, (H, W) bool, if not everywhere; other pixels do not count.
"""

import numpy as np

from i2i.images import Array


def accuracy(output: Array, truth: Array, valid: Array | None = None) -> float:
    """Return the share of pixels with the right class."""
    counts = _confusion(output, truth, valid)
    return float(np.trace(counts) / counts.sum())


def mean_iou(output: Array, truth: Array, valid: Array | None = None) -> float:
    """Return the mean IoU over the classes that are in the output or the truth (Everingham et al. 2015)."""
    return float(np.nanmean(ious(output, truth, valid)))


def recalls(output: Array, truth: Array, valid: Array | None = None) -> list[float]:
    """Return, for each class, the share of its pixels that have it in the output; NaN where it has none."""
    counts = _confusion(output, truth, valid)
    return _ratio(np.diag(counts), counts.sum(axis=1))


def ious(output: Array, truth: Array, valid: Array | None = None) -> list[float]:
    """Return the intersection over the union of each class; NaN where it is in neither."""
    counts = _confusion(output, truth, valid)
    return _ratio(np.diag(counts), counts.sum(axis=0) + counts.sum(axis=1) - np.diag(counts))


def _confusion(output: Array, truth: Array, valid: Array | None) -> Array:
    """Return how many pixels of each class, (K, K), have which class in the output."""
    count = truth.shape[2]
    known, made = (one.argmax(axis=2)[... if valid is None else valid].ravel() for one in (truth, output))
    return np.bincount(known * count + made, minlength=count * count).reshape(count, count)


def _ratio(part: Array, whole: Array) -> list[float]:
    return [float(one / of) if of else float("nan") for one, of in zip(part, whole, strict=True)]
