"""Pictures from noise: Goodfellow et al. 2014, in the shape that Radford, Metz, Chintala 2016 (DCGAN) gave it.

The networks make it DCGAN (`dcgan`) or a toy on points (`mlp`); the objective is the same. Real and
fake go through the discriminator in two passes, so that batch norm never mixes their statistics.
"""

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
    generating_part,
    noise_size,
)
from i2i.algorithms.priors import draw
from i2i.config.section import Positive
from i2i.config.settings import Config
from i2i.models.spec import GENERATE, LatentBlock, Part


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
        channels = 2 if config.data.toy else config.data.channels
        self.networks = {
            "generator": build_latent_generator(config, sum(block.size for block in self.blocks)),
            "discriminator": build_discriminator(config, channels, self.condition),
        }
        self.adversary = Adversary(self.networks, "discriminator", self.settings)
        self.adversaries = {"D": self.adversary}
        self.phases = (
            *discriminator_phases("discriminator", {"discriminator": self.adversary}),
            Phase("generator", ("generator",), every_steps=self.settings.n_critic),
        )
        self.notes += self.adversary.notes

    @property
    def condition(self) -> int:
        """Length of the vector that the discriminator is told with each picture."""
        return 0

    @property
    def blocks(self) -> tuple[LatentBlock, ...]:
        """What a latent is made of."""
        return (LatentBlock(name="noise", size=noise_size(self.config)),)

    def given(self, batch: Batch) -> dict[str, Tensor]:
        """Return the blocks of the latents that are not drawn but come with the real pictures, by name."""
        return {}

    def told(self, batch: Batch) -> Tensor | None:
        """Return what the discriminator is told with each picture, (N, condition)."""
        return None

    def forward(self, batch: Batch) -> Outputs:
        """G(z), z as `blocks` says, one for every real picture."""
        return {"fake": self.networks["generator"](draw(self.blocks, batch["image"], self.given(batch)))}

    def losses(self, phase: str, batch: Batch, outputs: Outputs) -> dict[str, Tensor]:
        """Eq. 1 of Goodfellow et al., split into its terms and its two players."""
        real, fake, told = batch["image"], outputs["fake"], self.told(batch)
        if phase == "discriminator":
            return self.adversary.discriminate(real, fake, told)
        if phase == "penalty":
            return self.adversary.penalise(real, fake, told)
        return {"G_GAN": self.adversary.fool(real, fake, told)}  # end of section 3

    def weights(self) -> dict[str, float]:
        """Return 1 for each of the terms of eq. 1, and the penalty's."""
        return {"G_GAN": 1.0, **self.adversary.weights(self.images)}

    def parts(self) -> dict[str, Part]:
        """Describe the generator."""
        return {GENERATE: generating_part(self.config, self.blocks)}
