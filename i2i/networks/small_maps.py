"""Convolutions that run in a faster way when training on a CPU: as matrix products where feature maps are small.

The inner levels of a U-Net have millions of weights and a handful of pixels. There oneDNN spends most of its time on
reordering weights to its own layouts and back in every step; a product reads them as they are. Where maps are large,
convolutions of stride 1 take fewer multiplications (see `winograd`). The result is the same except for rounding. In
eval mode, on other devices and in mixed precision these are torch's layers, which export to one node. Without groups
and dilation.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from i2i.networks import winograd
from i2i.networks.products import product


class Conv2d(nn.Conv2d):
    """torch's layer, as a product with unfolded patches where its output has fewer pixels than its input channels."""

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C', H', W')."""
        if not self.training:  # before any use of the shape, which an export would then fix
            return super().forward(input)
        padding = _numbers(self.padding)
        height, width = (
            (input.shape[axis + 2] + 2 * padding[axis] - self.kernel_size[axis]) // self.stride[axis] + 1
            for axis in (0, 1)
        )
        if not _suits(self, input, input.shape[0] * height * width):
            return super().forward(input)
        patches = F.unfold(input, self.kernel_size, 1, padding, self.stride)
        made = product(self.weight.flatten(1), patches.transpose(0, 1).flatten(1))
        made = made.unflatten(1, (input.shape[0], height, width)).transpose(0, 1).contiguous()
        return made if self.bias is None else made + self.bias[:, None, None]

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        convolve = winograd.way(self, input)
        if not convolve:
            return super()._conv_forward(input, weight, bias)
        made = convolve(input, weight, int(self.padding[0]))
        return made if bias is None else made + bias[:, None, None]


class ConvTranspose2d(nn.ConvTranspose2d):
    """torch's layer, as a product folded into a feature map where its input has fewer pixels than channels."""

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        """(N, C, H, W) to (N, C', H', W')."""
        if not self.training or output_size is not None or not _suits(self, input, input.numel() // input.shape[1]):
            return super().forward(input, output_size)
        padding = _numbers(self.padding)
        height, width = (
            (input.shape[axis + 2] - 1) * self.stride[axis]
            - 2 * padding[axis]
            + self.kernel_size[axis]
            + self.output_padding[axis]
            for axis in (0, 1)
        )
        # Pixels times weights: the other way round, the transposed weights take up to four times as long.
        patches = product(input.transpose(0, 1).flatten(1).t(), self.weight.flatten(1))
        patches = patches.t().unflatten(1, (input.shape[0], -1)).transpose(0, 1)
        made = F.fold(patches, (height, width), self.kernel_size, 1, padding, self.stride)
        return made if self.bias is None else made + self.bias[:, None, None]


def _numbers(padding: str | tuple[int, ...]) -> tuple[int, ...]:
    assert not isinstance(padding, str), "padding by name is not used here"
    return padding


def _suits(layer: nn.Conv2d | nn.ConvTranspose2d, input: Tensor, pixels: int) -> bool:
    """Whether a product is faster: in every layer that was measured, it was with fewer pixels than channels."""
    return pixels <= layer.in_channels and input.device.type == "cpu" and not torch.is_autocast_enabled("cpu")
