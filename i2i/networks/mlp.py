"""Small multilayer perceptrons for points in the plane: the cheapest way to watch a GAN learn, or fail to.

They keep torch's own initialisation: the papers' N(0, 0.02) is for deep convolutional networks, and would
make the output of three narrow layers almost constant.
"""

from collections.abc import Mapping

from torch import Tensor, nn

from i2i.networks.base import Discriminator, DiscriminatorOutput, LatentGenerator
from i2i.networks.batches import BatchChannels, MinibatchDistance, pack
from i2i.networks.heads import Heads
from i2i.networks.layers import Projection, normalise_spectrally


class MLPGenerator(LatentGenerator):
    """From latents to points: `layers` hidden layers of `width` with ReLU, and an unbounded output."""

    def __init__(self, out_channels: int = 2, latent: int = 2, width: int = 128, layers: int = 3):
        super().__init__()
        self.latent = latent
        self.body = _hidden(latent, width, layers)
        self.head = nn.Linear(width, out_channels)

    def fits(self, side_px: int) -> str | None:
        """Return that it makes points, whatever the side."""
        return "it makes points"

    def forward(self, latent: Tensor) -> Tensor:
        """(N, latent) to (N, out_channels)."""
        return self.head(self.body(latent.to(self.dtype)))


class MLPDiscriminator(Discriminator):
    """From points to one logit each: `layers` hidden layers of `width` with ReLU.

    minibatch_std: show the head how much the images of a batch differ (see append_spread).
    minibatch_discrimination: show it how close they are, by "l1" or "l2" (see MinibatchDiscrimination), or "none".
    packing: images that are judged together, with the logits of one (see pack).
    heads: length of each further output, by name (see Heads).
    """

    receptive_field_px = None

    def __init__(
        self,
        in_channels: int = 2,
        width: int = 128,
        layers: int = 3,
        spectral_norm: bool = False,
        minibatch_std: bool = False,
        minibatch_discrimination: MinibatchDistance = "none",
        packing: int = 1,
        condition: int = 0,
        heads: Mapping[str, int] | None = None,
    ):
        super().__init__()
        self.packing = packing
        self.body = _hidden(in_channels * packing, width, layers)
        self.batch_channels = BatchChannels(width, minibatch_std, minibatch_discrimination)
        self.head = nn.Linear(width + self.batch_channels.added, 1)
        self.projection = Projection(width, condition * packing) if condition else None
        if spectral_norm:
            normalise_spectrally(self)
        self.heads = Heads(width, heads, packing) if heads else None

    def fits(self, side_px: int) -> str | None:
        """Return that it takes points, whatever the side."""
        return "it takes points"

    def forward(self, points: Tensor, condition: Tensor | None = None) -> DiscriminatorOutput:
        """(N, in_channels) to logits (N, 1), the last features and the heads."""
        features = self.body(pack(points, self.packing))
        logits = self.head(self.batch_channels(features))
        if self.projection is not None:
            assert condition is not None
            logits = logits + self.projection(features, pack(condition, self.packing))
        further = self.heads(features, len(points)) if self.heads else None
        return DiscriminatorOutput(logits, (features,), further)


def _hidden(inputs: int, width: int, layers: int) -> nn.Sequential:
    body = nn.Sequential()
    for index in range(layers):
        body.extend([nn.Linear(width if index else inputs, width), nn.ReLU(inplace=True)])
    return body
