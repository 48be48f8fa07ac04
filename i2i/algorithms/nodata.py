"""Pixels without data, which count in no loss.

`valid`, (N, 1, H, W), is 1 where there is data and 0 elsewhere; None is data everywhere. Images that are compared get
the same values where there is none, so that no gradient comes from there; losses that are a mean over pixels become one
over those with data.
"""

import torch
from torch import Tensor


def covered(image: Tensor, other: Tensor, valid: Tensor | None) -> Tensor:
    """Return an image with the values of another one, (N, C, H, W) both, where there is no data."""
    return image if valid is None else torch.where(valid > 0, image, other)


def greyed(image: Tensor, valid: Tensor | None) -> Tensor:
    """Return an image (N, C, H, W) with 0, the middle of the range, where there is no data."""
    return image if valid is None else image * valid


def over_valid(loss: Tensor, valid: Tensor | None) -> Tensor:
    """Return a mean over all pixels, which is 0 in those without data, as the mean over the others."""
    return loss if valid is None else loss * valid.numel() / valid.sum().clamp_min(1)
