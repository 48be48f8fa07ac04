"""VAE: Kingma, Welling 2014, "Auto-Encoding Variational Bayes".

Notation: x is an image, z its latent. The encoder gives a normal distribution q(z|x) with the variances on a diagonal,
and p(x|z) is a normal distribution around G(z) with variance 1 in each value of an image in [-1, 1]. The prior p(z) is
standard normal. A VAE has no discriminator: both networks maximise one lower bound of log p(x).
"""

import torch
from torch import Tensor

from i2i.algorithms.base import Algorithm, Batch, Outputs
from i2i.algorithms.building import (
    build_encoder,
    build_latent_generator,
    encoding_part,
    generating_part,
    noise_size,
)
from i2i.algorithms.nodata import covered
from i2i.algorithms.phases import Phase
from i2i.config.section import Section, Weight
from i2i.config.settings import Config
from i2i.models.spec import ENCODE, GENERATE, LatentBlock, Part


class VAESettings(Section):
    """The objective of a VAE."""

    kl: Weight = 1.0
    """Weight of KL(q(z|x) || p(z)), the beta of later papers. A smaller one stands for a smaller variance of p(x|z):
    reconstructions are sharper, and samples further from the data."""


class VAE(Algorithm):
    """An encoder and a generator that together restore each image, through a latent close to the prior."""

    Settings = VAESettings
    recordable = leaves_out_nodata = True
    data = "images"
    has_discriminator = False

    def __init__(self, config: Config):
        super().__init__(config)
        self.generators = {GENERATE: "generator", ENCODE: "encoder"}
        self.networks["generator"] = build_latent_generator(config, self.blocks)
        self.networks["encoder"] = build_encoder(config)
        self.phases = (Phase("autoencoder", ("encoder", "generator")),)

    @property
    def blocks(self) -> tuple[LatentBlock, ...]:
        """The only block of a latent."""
        return (LatentBlock(name="noise", size=noise_size(self.config)),)

    def forward(self, batch: Batch) -> Outputs:
        """G(z) for a draw of z, x where that has no data, and the parameters of q(z|x)."""
        mean, log_variance = self.networks["encoder"](batch["image"]).chunk(2, dim=1)
        made = self.networks["generator"](draw(mean, log_variance))
        fake = covered(made, batch["image"], batch.get("valid"))
        return {"fake": fake, "mean": mean, "log_variance": log_variance}

    def generator_losses(self, batch: Batch, outputs: Outputs) -> dict[str, Tensor]:
        """Minus the bound of eq. 3, per image."""
        return {
            "G_reconstruction": negative_log_likelihood(batch["image"], outputs["fake"]),
            "G_KL": kl_to_standard_normal(outputs["mean"], outputs["log_variance"]),
        }

    def generator_weights(self) -> dict[str, float]:
        """1 for both in the paper."""
        return {"G_reconstruction": 1.0, "G_KL": self.weight("kl")}

    def parts(self) -> dict[str, Part]:
        """Return the generator's and the encoder's part."""
        generator = generating_part(self.config, self.blocks, self.networks["generator"])
        return {GENERATE: generator, ENCODE: encoding_part(self.config, self.blocks)}


def draw(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Return mean + sigma * epsilon, through which both get their gradient (section 2.4): (N, K) each."""
    return mean + (log_variance / 2).exp() * torch.randn_like(mean)


def negative_log_likelihood(image: Tensor, restored: Tensor) -> Tensor:
    """Return -log N(image; restored, 1) without its constant: half the squared error, summed over an image's values."""
    return (image - restored).square().flatten(1).sum(dim=1).mean() / 2


def kl_to_standard_normal(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Return KL(N(mean, variance) || N(0, 1)), summed over the (N, K) numbers of a latent (appendix B)."""
    return (mean.square() + log_variance.exp() - 1 - log_variance).sum(dim=1).mean() / 2
