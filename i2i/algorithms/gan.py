"""GAN: Goodfellow et al. 2014; with the networks `dcgan`, DCGAN: Radford, Metz, Chintala 2016.

With the networks `mlp` it learns a toy distribution of points; the objective is the same. Reals and fakes
go through the discriminator in two passes, so that batch norm never mixes their statistics.
"""

from typing import Self

from pydantic import model_validator
from torch import Tensor

from i2i.algorithms.adversary_settings import AdversarySettings
from i2i.algorithms.base import Algorithm, Batch, Outputs, Shown
from i2i.algorithms.building import build_latent_generator, generating_part, noise_block, phase_blocks
from i2i.algorithms.nodata import greyed
from i2i.algorithms.phases import LongTurns, Phase
from i2i.algorithms.priors import draw
from i2i.config.section import Positive
from i2i.config.settings import Config
from i2i.models.spec import GENERATE, LatentBlock, Part


class GANSettings(AdversarySettings):
    """The objective of a GAN."""

    n_critic: Positive = 1
    """Steps of the discriminator for one of the generator."""
    n_critic_long: LongTurns | None = None
    """More steps of the discriminator at the start and now and then, as the code of WGAN takes; null is none."""

    @model_validator(mode="after")
    def _long_is_longer(self) -> Self:
        if self.n_critic_long and self.n_critic_long.steps <= self.n_critic:
            raise ValueError(
                f"n_critic_long.steps is {self.n_critic_long.steps}, no more than n_critic, {self.n_critic}; raise it, "
                "or set n_critic_long to null"
            )
        return self


class GAN(Algorithm):
    """A generator from noise against a discriminator."""

    Settings = GANSettings
    recordable = leaves_out_nodata = True
    data = "images"

    def __init__(self, config: Config):
        super().__init__(config)
        self.generators = {GENERATE: "generator"}
        channels = 2 if config.data.toy else config.data.channels
        generator = build_latent_generator(config, self.blocks)
        self.networks["generator"], self.places = generator, generator.places(config.data.crop_px)
        self.add_discriminator("discriminator", channels, heads=self.heads)
        turns = {"every_steps": self.settings.n_critic, "long": self.settings.n_critic_long}
        self.phases = (*self.discriminator_phases("discriminator"), Phase("generator", ("generator",), **turns))

    @property
    def heads(self) -> dict[str, int]:
        """Length of each further output of the discriminator, by name."""
        return {}

    @property
    def blocks(self) -> tuple[LatentBlock, ...]:
        """The blocks of a latent."""
        return (*phase_blocks(self.config), noise_block(self.config))

    def known_blocks(self, batch: Batch) -> dict[str, Tensor]:
        """Return the latent blocks that come with the reals instead of being drawn, by name, (N, size) each."""
        return {}

    def forward(self, batch: Batch) -> Outputs:
        """G(z), one for every real image and grey where that has no data, and z, which is made of `blocks`."""
        latent = draw(self.blocks, batch["image"], self.known_blocks(batch), self.places)
        return {"fake": greyed(self.networks["generator"](latent), self.valid(batch)), "latent": latent}

    def valid(self, batch: Batch) -> Tensor | None:
        """Return where reals have data, as in i2i.algorithms.nodata; each fake is shown through the mask of a real."""
        return batch.get("valid")

    def real(self, batch: Batch) -> Tensor:
        """Return the reals as discriminators see them, grey at nodata pixels."""
        return greyed(batch["image"], self.valid(batch))

    def block_of(self, name: str, outputs: Outputs) -> Tensor:
        """Return one block, the same at all places, of the latents that fakes were made from, (N, size)."""
        latent = outputs["latent"]
        rows = latent[:, :, 0, 0] if latent.ndim == 4 else latent
        parts = rows.split([block.size for block in self.blocks], dim=1)
        return next(part for block, part in zip(self.blocks, parts, strict=True) if block.name == name)

    def shown(self, batch: Batch, outputs: Outputs) -> dict[str, Shown]:
        """Reals and fakes, with the labels of both if it takes any."""
        return {"D": Shown(self.real(batch), outputs["fake"], self.labels.seen(batch))}

    def generator_losses(self, batch: Batch, outputs: Outputs) -> dict[str, Tensor]:
        """Eq. 1 of Goodfellow et al., the generator's part, as at the end of section 3."""
        return {"G_GAN": self.adversaries["D"].fool(*self.shown(batch, outputs)["D"])}

    def generator_weights(self) -> dict[str, float]:
        """Weight 1 for the only term."""
        return {"G_GAN": 1.0}

    def parts(self) -> dict[str, Part]:
        """Return the generator's part."""
        return {GENERATE: generating_part(self.config, self.blocks, self.networks["generator"])}
