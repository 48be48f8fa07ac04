"""The networks of progressive growing: Karras et al. 2018, section 2, 4 and table 2.

A network has a level for each side from 4 px on. Only those up to its growth take part. At fade 0, the newest level
changes nothing; at 1, the level before has lost its own image layer. Unless trained by `progressive`, all take part.
"""

import math
from collections.abc import Mapping
from itertools import pairwise

import torch
from torch import Tensor, nn

from i2i.networks.base import Discriminator, DiscriminatorOutput, LatentGenerator
from i2i.networks.batches import BatchChannels, MinibatchDistance, pack
from i2i.networks.equalised import RELU, EqualConv2d, EqualLinear, PixelNorm, leave_weights_unscaled
from i2i.networks.growth import FIRST_PX, channels, enlarge, make_growth, shrink
from i2i.networks.heads import Heads
from i2i.networks.layers import Projection, normalise_spectrally


class ProgressiveGenerator(LatentGenerator):
    """From a latent to a square image of `size` px, a power of two from 8 to 1024.

    latent: length of the latent. width: channels of the last level; they double with every halving, up to 512.
    pixel_norm: divide each pixel's vector by its root mean square after every convolution. level, fade: see Growth.
    """

    def __init__(
        self,
        out_channels: int = 3,
        size: int = 64,
        latent: int = 128,
        width: int = 32,
        pixel_norm: bool = True,
        level: int | None = None,
        fade: float = 1.0,
    ):
        super().__init__()
        self.latent, self.size = latent, size
        self.growth = make_growth(size, level, fade)
        counts = channels(width, size)

        def act() -> nn.Module:
            norm = PixelNorm() if pixel_norm else nn.Identity()
            return nn.Sequential(nn.LeakyReLU(0.2), norm)

        # The first layer's gain is a quarter of the usual one, as in the authors' code.
        self.start = nn.Sequential(PixelNorm(), EqualLinear(latent, FIRST_PX**2 * counts[0], RELU / 4))
        self.base = nn.Sequential(act(), EqualConv2d(counts[0], counts[0], 3), act())
        self.blocks = nn.ModuleList(
            nn.Sequential(EqualConv2d(before, after, 3), act(), EqualConv2d(after, after, 3), act())
            for before, after in pairwise(counts)
        )
        self.to_image = nn.ModuleList(EqualConv2d(count, out_channels, 1, gain=1) for count in counts)

    def fits(self, side_px: int) -> str | None:
        """Return None for the one size that it makes."""
        return None if side_px == self.size else f"this network is for {self.size} px"

    def forward(self, latent: Tensor) -> Tensor:
        """(N, latent) to (N, out_channels, size, size), trained to lie in [-1, 1]."""
        level, fade = self.growth.level, self.growth.fade
        start: Tensor = self.start(latent.to(self.dtype))
        value = before = self.base(start.unflatten(1, (-1, FIRST_PX, FIRST_PX)))
        for block in list(self.blocks)[:level]:
            before = value
            value = block(enlarge(value, 2))
        image: Tensor = self.to_image[level](value)
        if fade < 1:
            image = torch.lerp(enlarge(self.to_image[level - 1](before), 2), image, fade)
        return enlarge(image, self.size // (FIRST_PX << level))


class ProgressiveDiscriminator(Discriminator):
    """From a square image of `size` px, a power of two from 8 to 1024, to one logit: halved down to 4x4.

    width: channels of the first level; they double with every halving, up to 512. spectral_norm: divide every weight
    by its largest singular value, in place of the equalised rate. level, fade: see Growth. The rest: see
    DCGANDiscriminator.
    """

    def __init__(
        self,
        in_channels: int = 3,
        size: int = 64,
        width: int = 32,
        spectral_norm: bool = False,
        minibatch_std: bool = False,
        minibatch_discrimination: MinibatchDistance = "none",
        packing: int = 1,
        condition: int = 0,
        heads: Mapping[str, int] | None = None,
        level: int | None = None,
        fade: float = 1.0,
    ):
        super().__init__()
        self.receptive_field_px: int = size
        self.packing, self.growth = packing, make_growth(size, level, fade)
        counts = channels(width, size)
        count = counts[0]
        self.from_image = nn.ModuleList(_layer(in_channels * packing, one, 1) for one in counts)
        self.blocks = nn.ModuleList(
            nn.Sequential(_layer(after, after, 3), _layer(after, before, 3), nn.AvgPool2d(2))
            for before, after in pairwise(counts)
        )
        self.batch_channels = BatchChannels(count, minibatch_std, minibatch_discrimination)
        whole = EqualLinear(FIRST_PX**2 * count, count)
        last = (nn.Flatten(), whole, nn.LeakyReLU(0.2), EqualLinear(count, 1, gain=1))
        self.head = nn.Sequential(_layer(count + self.batch_channels.added, count, 3), *last)
        self.projection = Projection(count, condition * packing) if condition else None
        if spectral_norm:
            normalise_spectrally(self)
            leave_weights_unscaled(self)
        self.heads = Heads(FIRST_PX**2 * count, heads, packing) if heads else None

    def fits(self, side_px: int) -> str | None:
        """Return None for the one size that it takes."""
        return None if side_px == self.receptive_field_px else f"this network is for {self.receptive_field_px} px"

    def forward(self, image: Tensor, condition: Tensor | None = None) -> DiscriminatorOutput:
        """(N, in_channels, size, size) in [-1, 1] to logits (N, 1), the features of each level and the heads."""
        level, fade = self.growth.level, self.growth.fade
        shown = shrink(pack(image, self.packing), self.receptive_field_px // (FIRST_PX << level))
        features = [self.from_image[level](shown)]
        for number in reversed(range(level)):
            value = self.blocks[number](features[-1])
            if number == level - 1 and fade < 1:
                value = torch.lerp(self.from_image[number](shrink(shown, 2)), value, fade)
            features.append(value)
        logits = self.head(self.batch_channels(features[-1]))
        if self.projection is not None:
            assert condition is not None
            pooled = features[-1].sum(dim=(2, 3)) / math.sqrt(FIRST_PX**2 * features[-1].shape[1])
            logits = logits + self.projection(pooled, pack(condition, self.packing))
        further = self.heads(features[-1].flatten(1), len(image)) if self.heads else None
        return DiscriminatorOutput(logits, tuple(features), further)


def _layer(before: int, after: int, kernel: int) -> nn.Module:
    return nn.Sequential(EqualConv2d(before, after, kernel), nn.LeakyReLU(0.2))
