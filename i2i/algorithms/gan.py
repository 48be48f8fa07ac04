"""Pictures from noise: Goodfellow et al. 2014, in the shape that Radford, Metz, Chintala 2016 (DCGAN) gave it.

The networks make it DCGAN (`dcgan`) or a toy on points (`mlp`); the objective is the same. Real and
fake go through the discriminator in two passes, so that batch norm never mixes their statistics.
"""

from typing import Any

import torch
from torch import Tensor

from i2i.algorithms.adversary import Adversary, AdversarySettings
from i2i.algorithms.base import (
    Algorithm,
    Batch,
    Outputs,
    Phase,
    build_discriminator,
    build_latent_generator,
    discriminator_phases,
    latent_generator_spec,
)
from i2i.settings import Config, Positive
from i2i.spec import GENERATE


class GANSettings(AdversarySettings):
    """The objective of a GAN without conditions."""

    n_critic: Positive = 1
    """Steps of the discriminator for one of the generator."""


class GAN(Algorithm):
    """A generator of noise against a discriminator."""

    Settings = GANSettings
    data = "images"

    def __init__(self, config: Config):
        super().__init__(config)
        self.generators = {GENERATE: "generator"}
        generator = build_latent_generator(config)
        self.latent = generator.latent
        self.networks = {
            "generator": generator,
            "discriminator": build_discriminator(config, 2 if config.data.toy else config.data.channels),
        }
        self.adversary = Adversary(self.networks, "discriminator", self.settings)
        self.adversaries = {"D": self.adversary}
        self.phases = (
            *discriminator_phases("discriminator", {"discriminator": self.adversary}),
            Phase("generator", ("generator",), every_steps=self.settings.n_critic),
        )
        self.notes += self.adversary.notes

    def forward(self, batch: Batch) -> Outputs:
        """G(z), z normal, one for every real picture."""
        real = batch["image"]
        z = torch.randn(len(real), self.latent, device=real.device, dtype=real.dtype)
        return {"fake": self.networks["generator"](z)}

    def losses(self, phase: str, batch: Batch, outputs: Outputs) -> dict[str, Tensor]:
        """Eq. 1 of Goodfellow et al., split into its terms and its two players."""
        real, fake = batch["image"], outputs["fake"]
        if phase == "discriminator":
            return self.adversary.discriminate(real, fake)
        if phase == "penalty":
            return self.adversary.penalise(real, fake)
        return {"G_GAN": self.adversary.fool(real, fake)}  # end of section 3

    def weights(self) -> dict[str, float]:
        """Return 1 for each of the terms of eq. 1, and the penalty's."""
        return {"G_GAN": 1.0, **self.adversary.weights(self.images)}

    def parts(self) -> dict[str, Any]:
        """Describe the generator."""
        return {"task": "generate", "latent_generator": latent_generator_spec(self)}
