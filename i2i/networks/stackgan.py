"""The generators of StackGAN (Zhang et al. 2017, sections 3.2 to 3.4): from noise and a text, which come as one latent.

Differences from the paper: the text is a hashed bag of words instead of a learned embedding, and the first stage has
the transposed convolutions of DCGAN.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from i2i.networks.base import LatentGenerator
from i2i.networks.dcgan import DCGANGenerator, Size
from i2i.networks.layers import Norm


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
