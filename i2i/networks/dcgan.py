"""Generator and discriminator of DCGAN (Radford, Metz, Chintala 2016, section 3 and figure 1); encoder and classifier.

Only strided convolutions: no pooling, no fully connected layer. Batch norm everywhere except at the
generator's output and the discriminator's input.
"""

import math
from collections.abc import Mapping
from typing import Literal

from torch import Tensor, nn

from i2i.networks.base import Classifier, Discriminator, DiscriminatorOutput, Encoder, LatentGenerator, layer_outputs
from i2i.networks.batches import BatchChannels, MinibatchDistance, pack
from i2i.networks.heads import Heads
from i2i.networks.layers import Norm, Projection, initialise, make_norm, needs_bias, normalise_spectrally
from i2i.networks.small_maps import Conv2d, ConvTranspose2d

Size = Literal[32, 64, 128]
SIZES = (32, 64, 128)


def levels(size: int) -> int:
    """Return how often 4 px must double to reach `size` px; raises ValueError for a size that is not in SIZES."""
    if size not in SIZES:
        raise ValueError("DCGAN makes 32, 64 or 128 px")
    return int(math.log2(size)) - 2


def _only(size: int, side_px: int) -> str | None:
    return None if side_px == size else f"this network is for {size} px"


class DCGANGenerator(LatentGenerator):
    """From a latent to a square image of `size` px, 32, 64 or 128: 4x4 at first, then doubled.

    latent: length of the latent.
    width: channels of the last hidden level; they double towards the latent (the paper's 64 px network
        has width 128: 1024, 512, 256, 128).
    """

    def __init__(
        self, out_channels: int = 3, size: Size = 64, latent: int = 100, width: int = 64, norm: Norm = "batch"
    ):
        super().__init__()
        self.latent = latent
        self.size = size
        self.layers = nn.ModuleList()
        count = latent
        for level in range(levels(size)):
            target = width * 2 ** (levels(size) - 1 - level)
            stride, padding = (1, 0) if level == 0 else (2, 1)
            self.layers.append(
                nn.Sequential(
                    ConvTranspose2d(count, target, 4, stride, padding, bias=needs_bias(norm)),
                    make_norm(norm, target),
                    nn.ReLU(inplace=True),
                )
            )
            count = target
        self.head = nn.Sequential(ConvTranspose2d(count, out_channels, 4, 2, 1), nn.Tanh())
        initialise(self)

    def fits(self, side_px: int) -> str | None:
        """Return None for the one size that it makes."""
        return _only(self.size, side_px)

    def forward(self, latent: Tensor) -> Tensor:
        """(N, latent) to (N, out_channels, size, size) in [-1, 1]."""
        value = latent[:, :, None, None].to(self.dtype)
        for layer in self.layers:
            value = layer(value)
        return self.head(value)


class DCGANDiscriminator(Discriminator):
    """From a square image of `size` px, 32, 64 or 128, to one logit: halved down to 4x4.

    width: channels of the first level; they double with every halving.
    spectral_norm: divide every weight by its largest singular value.
    minibatch_std: show the head how much the images of a batch differ (see append_spread).
    minibatch_discrimination: show it how close they are, by "l1" or "l2" (see MinibatchDiscrimination), or "none".
    packing: images that are judged together, with the logits of one (see pack).
    condition: length of a condition vector, which forward then also takes and projects onto the last level; 0: none.
    heads: length of each further output, by name (see Heads).
    """

    def __init__(
        self,
        in_channels: int = 3,
        size: Size = 64,
        width: int = 64,
        norm: Norm = "batch",
        spectral_norm: bool = False,
        minibatch_std: bool = False,
        minibatch_discrimination: MinibatchDistance = "none",
        packing: int = 1,
        condition: int = 0,
        heads: Mapping[str, int] | None = None,
    ):
        super().__init__()
        self.receptive_field_px: int = size
        self.packing = packing
        self.layers = _halvings(in_channels * packing, size, width, norm)
        count = width * 2 ** (levels(size) - 1)
        self.batch_channels = BatchChannels(count, minibatch_std, minibatch_discrimination)
        self.head = Conv2d(count + self.batch_channels.added, 1, 4)
        self.projection = Projection(count, condition * packing) if condition else None
        initialise(self)
        if spectral_norm:
            normalise_spectrally(self)
        self.heads = Heads(16 * count, heads, packing) if heads else None  # of every place of the 4x4

    def fits(self, side_px: int) -> str | None:
        """Return None for the one size that it takes."""
        return _only(self.receptive_field_px, side_px)

    def forward(self, image: Tensor, condition: Tensor | None = None) -> DiscriminatorOutput:
        """(N, in_channels, size, size) in [-1, 1] to logits (N, 1, 1, 1), the features of each level and the heads."""
        features = layer_outputs(self.layers, pack(image, self.packing))
        logits = self.head(self.batch_channels(features[-1]))
        if self.projection is not None:
            assert condition is not None
            pooled = features[-1].sum(dim=(2, 3), keepdim=True)
            logits = logits + self.projection(pooled, pack(condition, self.packing))
        further = self.heads(features[-1].flatten(1), len(image)) if self.heads else None
        return DiscriminatorOutput(logits, tuple(features), further)


class DCGANEncoder(Encoder):
    """From a square image of `size` px, 32, 64 or 128, to a latent: the discriminator's layers and another head.

    latent: length of the latent. width: channels of the first level; they double with every halving.
    """

    def __init__(self, in_channels: int = 3, size: Size = 64, latent: int = 100, width: int = 64, norm: Norm = "batch"):
        super().__init__()
        self.latent = latent
        self.layers = _halvings(in_channels, size, width, norm)
        self.head = nn.Conv2d(width * 2 ** (levels(size) - 1), 2 * latent, 4)
        initialise(self)

    def forward(self, image: Tensor) -> Tensor:
        """(N, in_channels, size, size) in [-1, 1] to (N, 2 * latent), as Encoder says."""
        return self.head(layer_outputs(self.layers, image.to(self.dtype))[-1]).flatten(1)


class DCGANClassifier(Classifier):
    """From a square image of `size` px, 32, 64 or 128, to logits: the discriminator's layers and another head.

    classes: how many logits. width: channels of the first level; they double with every halving.
    """

    def __init__(self, in_channels: int = 3, size: Size = 64, classes: int = 2, width: int = 64, norm: Norm = "batch"):
        super().__init__()
        self.layers = _halvings(in_channels, size, width, norm)
        self.head = nn.Conv2d(width * 2 ** (levels(size) - 1), classes, 4)
        initialise(self)

    def forward(self, image: Tensor) -> Tensor:
        """(N, in_channels, size, size) in [-1, 1] to (N, classes)."""
        return self.head(layer_outputs(self.layers, image.to(self.dtype))[-1]).flatten(1)


def _halvings(in_channels: int, size: int, width: int, norm: Norm) -> nn.ModuleList:
    """Return the layers from `size` px to 4, the first without a norm."""
    layers, count = nn.ModuleList(), in_channels
    for level in range(levels(size)):
        target = width * 2**level
        layers.append(
            nn.Sequential(
                Conv2d(count, target, 4, 2, 1, bias=level == 0 or needs_bias(norm)),
                nn.Identity() if level == 0 else make_norm(norm, target),
                nn.LeakyReLU(0.2, inplace=True),
            )
        )
        count = target
    return layers
