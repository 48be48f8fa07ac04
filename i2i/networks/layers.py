"""The pieces that generators and discriminators share.

All networks take and return float tensors (N, C, H, W); pictures lie in [-1, 1].
"""

from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Norm = Literal["batch", "instance", "none"]
NormStatistics = Literal["image", "running"]
Upsampling = Literal["transpose", "resize"]


class Generator(nn.Module):
    """Base of the generators: sides they take are multiples of `size_multiple` px and at least `size_minimum` px."""

    size_multiple: int
    size_minimum: int


class LatentGenerator(nn.Module):
    """Base of the generators that make pictures from noise, vectors of `latent` standard normal numbers."""

    latent: int


class BatchNorm(nn.BatchNorm2d):
    """Batch normalisation (Ioffe and Szegedy 2015) that can use a picture's own statistics at inference.

    With `norm_statistics` "image", eval mode normalises every picture of a batch by its own mean and
    variance: what training did at batch size 1, and what the pix2pix paper (section 3.3) does at test
    time. With "running" it is torch's layer.
    """

    norm_statistics: NormStatistics = "running"

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) to the same."""
        if self.training or self.norm_statistics == "running":
            return super().forward(input)
        return F.instance_norm(input, weight=self.weight, bias=self.bias, use_input_stats=True, eps=self.eps)


class InstanceNorm(nn.Module):
    """Instance normalisation without affine terms (Ulyanov et al. 2016), the same in both modes.

    In training it is group_norm with one channel a group: the same function, faster, and right on CPU
    where the gradient of F.instance_norm is not (torch 2.15, batch 1 in channels_last). At inference it
    is F.instance_norm, which exports to one ONNX node instead of five.
    """

    def __init__(self, channels: int, eps: float = 1e-5):
        super().__init__()
        self.channels = channels
        self.eps = eps

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) to the same."""
        if self.training:
            return F.group_norm(input, self.channels, eps=self.eps)
        return F.instance_norm(input, eps=self.eps)


class BlurPool(nn.Module):
    """Halve the sides behind a [1, 2, 1] low-pass filter (Zhang 2019, "Making CNNs shift-invariant again")."""

    kernel: Tensor

    def __init__(self, channels: int):
        super().__init__()
        line = torch.tensor([1.0, 2.0, 1.0]) / 4
        self.channels = channels
        self.register_buffer("kernel", torch.outer(line, line).repeat(channels, 1, 1, 1), persistent=False)

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C, ceil(H/2), ceil(W/2))."""
        return F.conv2d(F.pad(input, (1, 1, 1, 1), mode="reflect"), self.kernel, stride=2, groups=self.channels)


def make_norm(norm: Norm, channels: int) -> nn.Module:
    """Return the normalisation layer of that name for `channels` channels."""
    if norm == "batch":
        return BatchNorm(channels)
    if norm == "instance":
        return InstanceNorm(channels)
    return nn.Identity()


def needs_bias(norm: Norm) -> bool:
    """Whether a convolution before this normalisation has a bias; batch norm's own shift replaces it."""
    return norm != "batch"


def make_upsampling(upsample: Upsampling, transposed: nn.ConvTranspose2d) -> nn.Module:
    """Return `transposed` itself, or the resize-convolution that takes its place.

    A resize-convolution (bilinear doubling, then a 3x3 convolution) leaves no checkerboard
    (Odena et al. 2016).
    """
    if upsample == "transpose":
        return transposed
    conv = nn.Conv2d(transposed.in_channels, transposed.out_channels, 3, padding=1, bias=transposed.bias is not None)
    return nn.Sequential(nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False), conv)


def initialise(network: nn.Module, std: float = 0.02) -> None:
    """Draw weights as the papers do: convolutions N(0, std), batch norm scale N(1, std), all biases 0."""
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.normal_(module.weight, 0.0, std)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, BatchNorm):
            nn.init.normal_(module.weight, 1.0, std)
            nn.init.zeros_(module.bias)


def set_norm_statistics(network: nn.Module, statistics: NormStatistics) -> None:
    """Choose what every batch normalisation in `network` uses in eval mode."""
    for module in network.modules():
        if isinstance(module, BatchNorm):
            module.norm_statistics = statistics


class Verdict(NamedTuple):
    """What every discriminator returns.

    score: logits of any shape, high for real. features: each layer's activations, outermost first.
    """

    score: Tensor
    features: tuple[Tensor, ...] = ()
