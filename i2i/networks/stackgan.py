"""The generators of StackGAN (Zhang et al. 2017, sections 3.2 to 3.4): from noise and a text, which come as one latent.

Differences from the paper: the text is a hashed bag of words instead of a learned embedding, and the first stage has
the transposed convolutions of DCGAN.
"""

from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from i2i.networks.base import LatentGenerator
from i2i.networks.dcgan import DCGANGenerator, Size
from i2i.networks.layers import Norm, freeze, initialise, make_norm, needs_bias


class ConditioningAugmentation(nn.Module):
    """From a text to a draw from N(mu, sigma^2), both functions of the text (section 3.2).

    text: length of the text's vector. size: length of the condition that is drawn.
    """

    def __init__(self, text: int, size: int):
        super().__init__()
        self.linear = nn.Linear(text, 2 * size)

    def moments(self, text: Tensor) -> tuple[Tensor, Tensor]:
        """(N, text) to mu and log sigma, (N, size) each; leaky as in the authors' code."""
        mu, log_sigma = F.leaky_relu(self.linear(text.to(self.linear.weight.dtype)), 0.2).chunk(2, dim=1)
        return mu, log_sigma

    def forward(self, text: Tensor, noise: Tensor) -> Tensor:
        """(N, text) and standard normal noise (N, size) to the condition mu + sigma noise, (N, size)."""
        mu, log_sigma = self.moments(text)
        return mu + log_sigma.exp() * noise


class StackGANGenerator(LatentGenerator):
    """The first stage: from noise and an augmented text to a square image of `size` px, 32, 64 or 128.

    latent: length of the latent, in which noise comes first, then the noise of the augmentation, then the text.
    text, augmentation: lengths of the text's vector and of the condition that is drawn from it. width: as in DCGAN.
    """

    def __init__(
        self,
        out_channels: int = 3,
        size: Size = 64,
        latent: int = 100,
        text: int = 64,
        augmentation: int = 16,
        width: int = 64,
        norm: Norm = "batch",
    ):
        super().__init__()
        self.latent, self.sizes = latent, (latent - augmentation - text, augmentation, text)
        if self.sizes[0] < 1:
            raise ValueError(f"a latent of {latent} leaves no noise beside text and augmentation")
        self.augmentation = ConditioningAugmentation(text, augmentation)
        self.body = DCGANGenerator(out_channels, size, latent - text, width, norm)

    def fits(self, side_px: int) -> str | None:
        """Return None for the one size that it makes."""
        return self.body.fits(side_px)

    def forward(self, latent: Tensor) -> Tensor:
        """(N, latent) to (N, out_channels, size, size) in [-1, 1]."""
        noise, drawn, text = latent.to(self.dtype).split(self.sizes, dim=1)
        return self.body(torch.cat([noise, self.augmentation(text, drawn)], dim=1))


class StackGANSecond(LatentGenerator):
    """The second stage: redraws the image of a frozen first stage at `size` px, two or four times as large.

    The first stage's image is halved twice, joined by a condition of its own, drawn from the text anew, passes
    residual blocks and is doubled up to the size.

    latent: length of the latent: that of the first stage, then the noise of the second augmentation. text,
    augmentation: as in the first stage, and the same for both. first_size, first_width: size and width of the first
    stage. width: channels of the first layer. blocks: residual blocks, 4 in the paper.
    """

    def __init__(
        self,
        out_channels: int = 3,
        size: int = 64,
        latent: int = 100,
        text: int = 64,
        augmentation: int = 16,
        first_size: Size = 32,
        first_width: int = 64,
        width: int = 32,
        blocks: int = 2,
        norm: Norm = "batch",
    ):
        super().__init__()
        if size not in (2 * first_size, 4 * first_size):
            raise ValueError(f"the second stage makes {2 * first_size} or {4 * first_size} px from {first_size}")
        self.latent, self.size, self.sizes = latent, size, (latent - augmentation - text, text, augmentation)
        self.first = StackGANGenerator(
            out_channels, first_size, latent - augmentation, text, augmentation, first_width, norm
        )
        freeze(self.first)
        self.augmentation = ConditioningAugmentation(text, augmentation)
        self.encoder = nn.Sequential(
            *(nn.Conv2d(out_channels, width, 3, padding=1), nn.ReLU(inplace=True)),
            *_halving(width, 2 * width, norm),
            *_halving(2 * width, 4 * width, norm),
        )
        self.join = nn.Sequential(*_convolution(4 * width + augmentation, 4 * width, norm), nn.ReLU(inplace=True))
        self.residuals = nn.ModuleList(_residual(4 * width, norm) for _ in range(blocks))
        channels, doublings = 4 * width, (size // first_size).bit_length() + 1
        self.up = nn.ModuleList(_doubling(channels >> k, channels >> (k + 1), norm) for k in range(doublings))
        self.head = nn.Sequential(nn.Conv2d(channels >> doublings, out_channels, 3, padding=1), nn.Tanh())
        for made in (self.encoder, self.join, self.residuals, self.up, self.head):
            initialise(made)

    def train(self, mode: bool = True) -> Self:
        """As torch's, but the first stage stays as at inference."""
        super().train(mode)
        self.first.eval()
        return self

    def fits(self, side_px: int) -> str | None:
        """Return None for the one size that it makes."""
        return None if side_px == self.size else f"this network is for {self.size} px"

    def forward(self, latent: Tensor) -> Tensor:
        """(N, latent) to (N, out_channels, size, size) in [-1, 1]."""
        first, drawn = latent.to(self.dtype).split([self.first.latent, self.sizes[2]], dim=1)
        value = self.encoder(self.first(first))
        condition = self.augmentation(first[:, self.first.latent - self.sizes[1] :], drawn)
        everywhere = condition[:, :, None, None].expand(-1, -1, *value.shape[2:])
        value = self.join(torch.cat([value, everywhere], dim=1))
        for block in self.residuals:
            value = F.relu(value + block(value))
        for level in self.up:
            value = level(value)
        return self.head(value)


def _convolution(before: int, after: int, norm: Norm) -> tuple[nn.Module, ...]:
    return nn.Conv2d(before, after, 3, padding=1, bias=needs_bias(norm)), make_norm(norm, after)


def _halving(before: int, after: int, norm: Norm) -> tuple[nn.Module, ...]:
    convolution = nn.Conv2d(before, after, 4, stride=2, padding=1, bias=needs_bias(norm))
    return convolution, make_norm(norm, after), nn.ReLU(inplace=True)


def _doubling(before: int, after: int, norm: Norm) -> nn.Sequential:
    return nn.Sequential(nn.Upsample(scale_factor=2), *_convolution(before, after, norm), nn.ReLU(inplace=True))


def _residual(channels: int, norm: Norm) -> nn.Sequential:
    first, second = (_convolution(channels, channels, norm) for _ in range(2))
    return nn.Sequential(*first, nn.ReLU(inplace=True), *second)
