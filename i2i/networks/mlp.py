"""Small perceptrons for points in the plane: the cheapest way to watch a GAN learn, or fail to.

torch's own initialisation serves here; the papers' N(0, 0.02) is for deep convolutions and would leave
three narrow layers next to blind.
"""

from torch import Tensor, nn

from i2i.networks.layers import LatentGenerator, Verdict


class MLPGenerator(LatentGenerator):
    """From noise to points: `layers` hidden layers of `width` with ReLU, and an output without bounds."""

    def __init__(self, out_channels: int = 2, latent: int = 2, width: int = 128, layers: int = 3):
        super().__init__()
        self.latent = latent
        self.body = _hidden(latent, width, layers)
        self.head = nn.Linear(width, out_channels)

    def forward(self, latent: Tensor) -> Tensor:
        """(N, latent), normal, to (N, out_channels)."""
        return self.head(self.body(latent.to(next(self.parameters()).dtype)))


class MLPDiscriminator(nn.Module):
    """From points to one score each: `layers` hidden layers of `width` with ReLU."""

    def __init__(self, in_channels: int = 2, width: int = 128, layers: int = 3):
        super().__init__()
        self.body = _hidden(in_channels, width, layers)
        self.head = nn.Linear(width, 1)

    def forward(self, points: Tensor) -> Verdict:
        """(N, in_channels) to logits (N, 1)."""
        features = self.body(points)
        return Verdict(self.head(features), (features,))


def _hidden(inputs: int, width: int, layers: int) -> nn.Sequential:
    body = nn.Sequential()
    for index in range(layers):
        body.extend([nn.Linear(width if index else inputs, width), nn.ReLU(inplace=True)])
    return body
