"""VAE-GAN: Larsen, Sonderby, Larochelle, Winther 2016, "Autoencoding beyond pixels using a learned similarity metric".

Notation: Dis_l(x) are features of an image in the discriminator. Instead of p(x|z) of a VAE there is p(Dis_l(x)|z), a
normal distribution around the features of the restored image. The discriminator judges restored images and samples of
the prior.

Difference from the paper: of the fakes of a step, half are restored and half are samples, so that there are as many as
reals.
"""

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from i2i.algorithms.adversary_settings import AdversarySettings
from i2i.algorithms.base import Batch, Outputs, Shown
from i2i.algorithms.nodata import greyed
from i2i.algorithms.phases import Phase
from i2i.algorithms.vae import VAE, VAESettings, draw, kl_to_standard_normal, negative_log_likelihood
from i2i.config.settings import Config


class VAEGANSettings(VAESettings, AdversarySettings):
    """The objective of VAE-GAN."""

    likeness: Annotated[float, Field(gt=0)] = 0.01
    """Weight of the likelihood of features in the generator's loss, the paper's gamma; in the encoder's it is 1."""
    layer: Literal["first", "middle", "last"] = "last"
    """The layer of the discriminator whose features are compared."""


class VAEGAN(VAE):
    """A VAE that compares images in a discriminator's features, and generates against it."""

    Settings = VAEGANSettings
    has_discriminator = True

    def __init__(self, config: Config):
        super().__init__(config)
        self.add_discriminator("discriminator", config.data.channels)
        self.phases = (*self.discriminator_phases("discriminator"), Phase("autoencoder", ("encoder", "generator")))

    def forward(self, batch: Batch) -> Outputs:
        """The restored images, and as many fakes, restored ones and samples, whose gradient ends at the latent.

        All are grey where the images of the batch have no data.
        """
        mean, log_variance = self.networks["encoder"](batch["image"]).chunk(2, dim=1)
        z = draw(mean, log_variance)
        half = len(z) // 2
        for_dis = torch.cat([z[:half].detach(), torch.randn_like(z[half:])])
        # The generator's gradient of the likelihood has the weight gamma, and the encoder's 1 (algorithm 1).
        made = self.networks["generator"](torch.cat([scale_gradient(z, 1 / self.settings.likeness), for_dis]))
        restored, fake = (greyed(one, batch.get("valid")) for one in (made[: len(z)], made[len(z) :]))
        return {"restored": restored, "fake": fake, "mean": mean, "log_variance": log_variance}

    def shown(self, batch: Batch, outputs: Outputs) -> dict[str, Shown]:
        """Reals, and the fakes."""
        return {"D": Shown(greyed(batch["image"], batch.get("valid")), outputs["fake"])}

    def generator_losses(self, batch: Batch, outputs: Outputs) -> dict[str, Tensor]:
        """L_GAN, the generator's part, L_llike (eq. 8) and L_prior (eq. 4)."""
        seen = self.shown(batch, outputs)["D"]
        with torch.no_grad():
            real = self._features(seen.real)
        return {
            "G_GAN": self.adversaries["D"].fool(*seen),
            "G_likeness": negative_log_likelihood(real, self._features(outputs["restored"])),
            "G_KL": kl_to_standard_normal(outputs["mean"], outputs["log_variance"]),
        }

    def generator_weights(self) -> dict[str, float]:
        """Of algorithm 1."""
        return {"G_GAN": 1.0, "G_likeness": self.settings.likeness, "G_KL": self.weight("kl")}

    def _features(self, images: Tensor) -> Tensor:
        """Dis_l(x), of images as they are: what changes the images that D judges would differ between the two."""
        features = self.networks["discriminator"](images).features
        place = {"first": 0, "middle": len(features) // 2, "last": -1}[self.settings.layer]
        found: Tensor = features[place]
        return found


def scale_gradient(value: Tensor, factor: float) -> Tensor:
    """Return a tensor as it is, up to rounding, whose gradient is multiplied by `factor` on the way back."""
    return factor * value + (value - factor * value).detach()
