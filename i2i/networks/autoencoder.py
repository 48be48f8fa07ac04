"""Autoencoders as discriminators: the better an image is reconstructed, the more it counts as real.

EBGAN: Zhao, Mathieu, LeCun 2017, "Energy-based Generative Adversarial Networks". An image's energy is the distance
from it to its reconstruction (eq. 4); its logit is the energy with its sign changed, so that high is real.
"""

from collections.abc import Mapping

from torch import Tensor, nn

from i2i.networks.base import Discriminator, DiscriminatorOutput, layer_outputs
from i2i.networks.batches import pack
from i2i.networks.heads import Heads
from i2i.networks.layers import Norm, initialise, make_norm, needs_bias


class Autoencoder(Discriminator):
    """From an image of `size` px to its energy: convolutions halve it to a code, and transposed ones double it again.

    levels: halvings. width: channels of the first level; they double with every halving.
    packing: images that are judged together, with the logits of one (see pack).
    condition: length of a condition vector, which forward then also takes; the decoder sees it. 0: none.
    heads: length of each further output, by name (see Heads), from the mean code.
    The first level and the reconstruction have no normalisation.
    """

    is_energy = True

    def __init__(
        self,
        in_channels: int = 3,
        size: int = 64,
        levels: int = 3,
        width: int = 64,
        norm: Norm = "batch",
        packing: int = 1,
        condition: int = 0,
        heads: Mapping[str, int] | None = None,
    ):
        super().__init__()
        self.receptive_field_px: int = size
        self.packing, self.count = packing, levels
        in_channels, bias = in_channels * packing, needs_bias(norm)
        counts = [in_channels, *(width * 2**level for level in range(levels))]
        self.encoder, self.decoder = nn.ModuleList(), nn.Sequential()
        for level in range(levels):
            inner, outer = counts[level + 1], counts[level]
            self.encoder.append(
                nn.Sequential(
                    nn.Conv2d(outer, inner, 4, 2, 1, bias=level == 0 or bias),
                    nn.Identity() if level == 0 else make_norm(norm, inner),
                    nn.LeakyReLU(0.2, inplace=True),
                )
            )
            up = nn.ConvTranspose2d(inner, outer, 4, 2, 1, bias=level == 0 or bias)
            last = nn.Identity() if level == 0 else nn.Sequential(make_norm(norm, outer), nn.ReLU(inplace=True))
            self.decoder.insert(0, nn.Sequential(up, last))
        self.embedding = nn.Linear(condition * packing, counts[-1], bias=False) if condition else None
        initialise(self)
        self.heads = Heads(counts[-1], heads, packing) if heads else None

    def fits(self, side_px: int) -> str | None:
        """Return None for the one size that it takes, if it can be halved so often."""
        multiple = 2**self.count
        if side_px % multiple:
            return f"an autoencoder of {self.count} levels takes multiples of {multiple} px"
        return None if side_px == self.receptive_field_px else f"this network is for {self.receptive_field_px} px"

    def forward(self, image: Tensor, condition: Tensor | None = None) -> DiscriminatorOutput:
        """(N, in_channels, size, size) in [-1, 1] to logits (N, 1), the features, the code last, and the heads."""
        images, image = len(image), pack(image, self.packing)
        features = layer_outputs(self.encoder, image)
        code = whole = features[-1]
        if self.embedding is not None:
            assert condition is not None
            whole = code + self.embedding(pack(condition, self.packing))[:, :, None, None]
        further = self.heads(code.mean(dim=(2, 3)), images) if self.heads else None
        logits = -energy(self.decoder(whole), image)
        return DiscriminatorOutput(logits, tuple(features), further)


class MLPAutoencoder(Discriminator):
    """The same for points: a hidden layer of `width` on each side of a code of `code` numbers.

    packing, condition and heads: as above. It keeps torch's own initialisation, as the other networks of points do.
    """

    receptive_field_px = None
    is_energy = True

    def __init__(
        self,
        in_channels: int = 2,
        width: int = 128,
        code: int = 8,
        packing: int = 1,
        condition: int = 0,
        heads: Mapping[str, int] | None = None,
    ):
        super().__init__()
        self.packing = packing
        count = in_channels * packing
        self.encoder = nn.Sequential(nn.Linear(count, width), nn.ReLU(inplace=True), nn.Linear(width, code))
        self.decoder = nn.Sequential(nn.Linear(code, width), nn.ReLU(inplace=True), nn.Linear(width, count))
        self.embedding = nn.Linear(condition * packing, code, bias=False) if condition else None
        self.heads = Heads(code, heads, packing) if heads else None

    def fits(self, side_px: int) -> str | None:
        """Return that it takes points, whatever the side."""
        return "it takes points"

    def forward(self, points: Tensor, condition: Tensor | None = None) -> DiscriminatorOutput:
        """(N, in_channels) to logits (N, 1), the code and the heads."""
        count, points = len(points), pack(points, self.packing)
        code = whole = self.encoder(points)
        if self.embedding is not None:
            assert condition is not None
            whole = code + self.embedding(pack(condition, self.packing))
        further = self.heads(code, count) if self.heads else None
        return DiscriminatorOutput(-energy(self.decoder(whole), points), (code,), further)


def energy(reconstruction: Tensor, image: Tensor) -> Tensor:
    """Return the Euclidean distance of each image (N, ...) from its reconstruction, (N, 1) (eq. 4)."""
    # The small term keeps the gradient of the root finite where they are equal.
    return ((reconstruction - image).flatten(1).square().sum(dim=1, keepdim=True) + 1e-12).sqrt()
