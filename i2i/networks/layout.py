"""Gradients in the memory layout of what they belong to, for training on a CPU.

The gradient of a slice of channels, of a mean, or of chosen places does not lie in memory as its features do. Torch's
operations on a CPU then take up to twenty times as long, a copy a fraction of that.
"""

from typing import Any

import torch
from torch import Tensor


def keep_layout(features: Tensor) -> Tensor:
    """Return features (N, C, H, W) whose gradient will be in channels_last if they are, and on a CPU."""
    if not features.requires_grad or torch.compiler.is_compiling() or features.device.type != "cpu":
        return features
    if not features.is_contiguous(memory_format=torch.channels_last):
        return features
    kept: Tensor = _KeepLayout.apply(features)
    return kept


def join(*features: Tensor) -> Tensor:
    """Join the channels of several features (N, C, H, W)."""
    return torch.cat([keep_layout(one) for one in features], dim=1)


class _KeepLayout(torch.autograd.Function):
    """The features themselves."""

    @staticmethod
    def forward(context: Any, features: Tensor) -> Tensor:
        """Return them; a view of one image by its shape would count as contiguous."""
        made: Tensor = torch.ops.aten.alias(features)
        return made

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        """Return the gradient in channels_last."""
        return gradient.contiguous(memory_format=torch.channels_last)
