"""Nodata pixels, which count in no loss.

`valid`, (N, 1, H, W), is 1 at pixels with data and 0 at nodata pixels; None means that all have data. Two images that
are compared get equal values at nodata pixels, so that no gradient comes from them. A mean over all pixels is rescaled
to one over those with data.
"""

import torch
from torch import Tensor
from torch.nn import functional as F


def covered(image: Tensor, other: Tensor, valid: Tensor | None) -> Tensor:
    """Return `image`, with the values of `other` at nodata pixels; both (N, C, H, W)."""
    return image if valid is None else torch.where(valid > 0, image, other)


def greyed(image: Tensor, valid: Tensor | None) -> Tensor:
    """Return an image (N, C, H, W) with 0, the middle of the range, at nodata pixels."""
    return image if valid is None else image * valid


def valid_places(valid: Tensor, features: Tensor) -> Tensor:
    """Return which places of features (N, C, h, w) lie on pixels with data alone, (N, 1, h, w): 1 or 0."""
    return 1 - F.adaptive_max_pool2d(1 - valid, features.shape[2:])


def over_valid(loss: Tensor, valid: Tensor | None) -> Tensor:
    """Turn a mean over all pixels, to which nodata pixels add 0, into the mean over pixels with data."""
    return loss if valid is None else loss * valid.numel() / valid.sum().clamp_min(1)
