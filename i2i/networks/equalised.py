"""Layers with an equalised learning rate: Karras et al. 2018, "Progressive growing of GANs", section 4.1.

Weights are drawn from N(0, 1), and scaled to the variance of He et al. (2015) in every forward. Adam moves each weight
by its rate, whatever its size: this way, by the same part of its range in every layer.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

RELU = math.sqrt(2)
"""The gain before a (leaky) ReLU."""


class EqualConv2d(nn.Conv2d):
    """A convolution that keeps the sides. kernel: odd, in pixels. gain: the size of outputs for inputs of 1."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, gain: float = RELU):
        super().__init__(in_channels, out_channels, kernel, padding=kernel // 2)
        self.scale = gain / math.sqrt(in_channels * kernel**2)
        _draw(self)

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C', H, W)."""
        return self._conv_forward(input, self.weight * self.scale, self.bias)


class EqualLinear(nn.Linear):
    """A product with a matrix.

    rate: learning rate as a part of that of other layers. start: every bias at the start.
    """

    def __init__(
        self, in_features: int, out_features: int, gain: float = RELU, *, rate: float = 1.0, start: float = 0.0
    ):
        super().__init__(in_features, out_features)
        self.scale, self.rate = gain * rate / math.sqrt(in_features), rate
        _draw(self, 1 / rate, start / rate)

    def forward(self, input: Tensor) -> Tensor:
        """(N, K) to (N, K')."""
        return F.linear(input, self.weight * self.scale, self.bias * self.rate)


def _draw(layer: EqualConv2d | EqualLinear, std: float = 1.0, start: float = 0.0) -> None:
    """Draw the weights; nothing is drawn on the meta device, where torch would load 900 modules for it."""
    if not layer.weight.is_meta:
        nn.init.normal_(layer.weight, 0.0, std)
        assert layer.bias is not None
        nn.init.constant_(layer.bias, start)


def leave_weights_unscaled(network: nn.Module) -> None:
    """Use weights as they are, where spectral norm bounds them instead."""
    for layer in network.modules():
        if isinstance(layer, EqualConv2d | EqualLinear):
            layer.scale = 1.0


class PixelNorm(nn.Module):
    """Divide the vector of each pixel, or a latent, by its root mean square (Karras et al. 2018, section 4.2)."""

    # Not the paper's 1e-8, which the exporter takes for 0 and leaves out: a latent of zeros would give NaN.
    epsilon = 1e-7

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, ...) to the same."""
        return input * torch.rsqrt(input.square().mean(dim=1, keepdim=True) + self.epsilon)
