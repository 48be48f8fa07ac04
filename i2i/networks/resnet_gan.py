"""The networks of R3GAN: Huang, Gokaslan, Kuleshov, Tompkin 2024, "The GAN is dead; long live the GAN!", section 4.

Residual blocks with grouped convolutions and no norm. Each block begins as the identity, by a last layer of zeros, and
its weights are the smaller the more blocks there are (fix-up initialisation, Zhang et al. 2019). Sides change by
bilinear interpolation, with the filter [1, 3, 3, 1].
"""

import math
from collections.abc import Mapping
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from i2i.networks.base import Discriminator, DiscriminatorOutput, LatentGenerator
from i2i.networks.batches import BatchChannels, MinibatchDistance, pack
from i2i.networks.growth import FIRST_PX, channels
from i2i.networks.heads import Heads
from i2i.networks.layers import normalise_spectrally

GROUP = 16
"""Channels of a group, where there are as many."""
_GAIN = math.sqrt(2 / (1 + 0.2**2))  # before a leaky ReLU (He et al. 2015)


class GroupedBlock(nn.Module):
    """x + f(x), where f widens to twice the channels, convolves in groups and narrows again (figure 4).

    total: residual blocks of the network. zero: begin as the identity.
    """

    def __init__(self, channels: int, total: int, zero: bool = True):
        super().__init__()
        wide = 2 * channels
        gain = _GAIN * total**-0.25  # Zhang et al. 2019: L^(-1 / (2m - 2)), with m = 3 layers in a block
        self.layers = nn.Sequential(
            _Convolution(channels, wide, 1, gain),
            _BiasedReLU(wide),
            _Convolution(wide, wide, 3, gain, groups=wide // math.gcd(wide, GROUP)),
            _BiasedReLU(wide),
            _Convolution(wide, channels, 1, 0 if zero else _GAIN),
        )

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) to the same."""
        return input + self.layers(input)


class ResNetGenerator(LatentGenerator):
    """From a latent to a square image of `size` px, a power of two from 8 to 1024.

    latent: length of the latent. width: channels of the last level; they double with every halving, up to 512, where
    the paper has 768 at all sides up to 32 px and 384 at 64. blocks: residual blocks of each level. patch: side in px
    of the square that one place of the last level makes, a power of two; 1 in the paper. The pixels of a square begin
    with equal weights (Aitken et al. 2017), so that there is no grid to unlearn. tanh: bound the image, whose
    background soon is quite white or black then; the paper does not.
    """

    def __init__(
        self,
        out_channels: int = 3,
        size: int = 64,
        latent: int = 64,
        width: int = 32,
        blocks: int = 2,
        patch: int = 1,
        tanh: bool = False,
    ):
        super().__init__()
        self.latent, self.size, self.patch, self.tanh = latent, size, patch, tanh
        counts = _channels(width, size, patch)
        total = blocks * len(counts)
        self.basis = nn.Parameter(torch.empty(counts[0], FIRST_PX, FIRST_PX))
        self.start = nn.Linear(latent, counts[0], bias=False)
        if not self.basis.is_meta:
            nn.init.normal_(self.basis)
            nn.init.normal_(self.start.weight, 0.0, latent**-0.5)
        levels = [_blocks(counts[0], blocks, total)]
        for before, after in pairwise(counts):
            narrower = _Convolution(before, after, 1, 1) if before != after else nn.Identity()
            levels.append(nn.Sequential(narrower, _Enlarge(), _blocks(after, blocks, total)))
        self.levels = nn.ModuleList(levels)
        self.to_image = _Convolution(counts[-1], out_channels * patch**2, 1, 1)
        if not self.to_image.weight.is_meta:
            alike = self.to_image.weight.detach()[:: patch**2].repeat_interleave(patch**2, dim=0)
            self.to_image.weight.data.copy_(alike)

    def fits(self, side_px: int) -> str | None:
        """Return None for the one size that it makes."""
        return None if side_px == self.size else f"this network is for {self.size} px"

    def forward(self, latent: Tensor) -> Tensor:
        """(N, latent) to (N, out_channels, size, size), trained to lie in [-1, 1], or by tanh sure to."""
        value = _in_layout_of(self, self.basis * self.start(latent.to(self.dtype))[:, :, None, None])
        for level in self.levels:
            value = level(value)
        image = F.pixel_shuffle(self.to_image(value), self.patch)
        return image.tanh() if self.tanh else image


class ResNetDiscriminator(Discriminator):
    """From a square image of `size` px, a power of two from 8 to 1024, to one logit: halved down to 4x4.

    width: channels of the first level; they double with every halving, up to 512. blocks: residual blocks of each
    level. condition: length of a condition vector, which is compared with as many numbers of the image, as in the
    paper; 0: none. The rest: see DCGANDiscriminator.
    """

    def __init__(
        self,
        in_channels: int = 3,
        size: int = 64,
        width: int = 32,
        blocks: int = 2,
        patch: int = 1,
        spectral_norm: bool = False,
        minibatch_std: bool = False,
        minibatch_discrimination: MinibatchDistance = "none",
        packing: int = 1,
        condition: int = 0,
        heads: Mapping[str, int] | None = None,
    ):
        super().__init__()
        self.receptive_field_px: int = size
        self.packing, self.patch = packing, patch
        counts = _channels(width, size, patch)[::-1]
        total, count, zero = blocks * len(counts), counts[-1], not spectral_norm  # which would divide by 0
        self.from_image = _Convolution(in_channels * packing * patch**2, counts[0], 1, 1)
        levels = []
        for before, after in pairwise(counts):
            wider = _Convolution(before, after, 1, 1) if before != after else nn.Identity()
            levels.append(nn.Sequential(_blocks(before, blocks, total, zero), _Shrink(), wider))
        self.levels = nn.ModuleList([*levels, _blocks(count, blocks, total, zero)])
        self.batch_channels = BatchChannels(count, minibatch_std, minibatch_discrimination)
        shown = count + self.batch_channels.added
        basis = nn.Conv2d(shown, shown, FIRST_PX, groups=shown, bias=False)
        linear = nn.Linear(shown, max(condition * packing, 1), bias=False)
        if not linear.weight.is_meta:
            nn.init.normal_(basis.weight, 0.0, 1 / FIRST_PX)
            nn.init.normal_(linear.weight, 0.0, shown**-0.5)
        self.head = nn.Sequential(basis, nn.Flatten(), linear)
        self.conditions = condition > 0
        if spectral_norm:
            normalise_spectrally(self)
        self.heads = Heads(FIRST_PX**2 * count, heads, packing) if heads else None

    def fits(self, side_px: int) -> str | None:
        """Return None for the one size that it takes."""
        return None if side_px == self.receptive_field_px else f"this network is for {self.receptive_field_px} px"

    def forward(self, image: Tensor, condition: Tensor | None = None) -> DiscriminatorOutput:
        """(N, in_channels, size, size) in [-1, 1] to logits (N, 1), the features of each level and the heads."""
        patches = F.pixel_unshuffle(pack(image, self.packing), self.patch)
        features = [_in_layout_of(self, self.from_image(patches))]
        for level in self.levels:
            features.append(level(features[-1]))
        logits = self.head(self.batch_channels(features[-1]))
        if self.conditions:
            assert condition is not None
            logits = (logits * pack(condition, self.packing)).sum(dim=1, keepdim=True)
        further = self.heads(features[-1].flatten(1), len(image)) if self.heads else None
        return DiscriminatorOutput(logits, tuple(features), further)


class _Convolution(nn.Conv2d):
    """A convolution that keeps the sides, without a bias; weights from N(0, gain^2 / inputs)."""

    def __init__(self, before: int, after: int, kernel: int, gain: float, groups: int = 1):
        super().__init__(before, after, kernel, padding=kernel // 2, groups=groups, bias=False)
        if not self.weight.is_meta:
            nn.init.normal_(self.weight, 0.0, gain / math.sqrt(before // groups * kernel**2))


class _BiasedReLU(nn.Module):
    """A leaky ReLU after a bias, which begins at 0."""

    def __init__(self, channels: int):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) to the same."""
        return F.leaky_relu(input + self.bias[:, None, None].to(input.dtype), 0.2)


class _Enlarge(nn.Module):
    """Double the sides by bilinear interpolation; beyond the border, the image goes on (the authors take zeros)."""

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C, 2 H, 2 W)."""
        return F.interpolate(input, scale_factor=2, mode="bilinear", align_corners=False)


class _Shrink(nn.Module):
    """Halve the sides with the filter [1, 3, 3, 1] / 8: three means of neighbours, with zeros beyond the border."""

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C, H / 2, W / 2)."""
        return F.avg_pool2d(F.avg_pool2d(F.avg_pool2d(input, 2, 1, padding=1), 2, 1), 2)


def _channels(width: int, size: int, patch: int) -> list[int]:
    """Return the channels of each level, from 4 px to the one with a place for each patch; raises ValueError."""
    if size < 2 * FIRST_PX * patch:
        raise ValueError(f"resnet_gan with a patch of {patch} px makes {2 * FIRST_PX * patch} px and more")
    return channels(width, size // patch)


def _in_layout_of(network: nn.Module, value: Tensor) -> Tensor:
    """Bring a value into the memory layout of the network's weights, which those of 1x1 kernels do not tell.

    Where blocks add and convolve two layouts, a train step of modern_generate took 107 ms in place of 78.
    """
    last = any(
        one.dim() == 4
        and one.shape[2] > 1
        and one.is_contiguous(memory_format=torch.channels_last)
        and not one.is_contiguous()
        for one in network.parameters()
    )
    return value.contiguous(memory_format=torch.channels_last) if last else value


def _blocks(channels: int, count: int, total: int, zero: bool = True) -> nn.Sequential:
    return nn.Sequential(*(GroupedBlock(channels, total, zero) for _ in range(count)))
