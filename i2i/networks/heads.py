"""Further outputs of a discriminator: what its features tell of an image besides real or fake.

An auxiliary classifier reads a label there (Odena et al. 2017), and Q of InfoGAN a code (Chen et al. 2016).
"""

from collections.abc import Mapping

from torch import Tensor, nn

from i2i.networks.batches import unpack


class Heads(nn.Module):
    """A linear layer for each output, on the features that D's logits are made of.

    features: their length. sizes: length of each output, by name. packing: images whose features are one vector.
    """

    def __init__(self, features: int, sizes: Mapping[str, int], packing: int = 1):
        super().__init__()
        self.sizes, self.packing = dict(sizes), packing
        self.linear = nn.Linear(features, packing * sum(sizes.values()))

    def forward(self, features: Tensor, count: int) -> dict[str, Tensor]:
        """(N / packing, features) to (N, size) by name; count: N, without images that `pack` repeated."""
        outputs = unpack(self.linear(features), self.packing)[:count]
        return dict(zip(self.sizes, outputs.split(list(self.sizes.values()), dim=1), strict=True))
