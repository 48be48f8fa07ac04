"""Pictures from noise: Goodfellow et al. 2014, in the shape that Radford, Metz, Chintala 2016 (DCGAN) gave it.

The networks make it DCGAN (`dcgan`) or a toy on points (`mlp`); the objective is the same. Real and
fake go through the discriminator in two passes, so that batch norm never mixes their statistics.
"""

from typing import Any, Literal

import torch
from torch import Tensor

from i2i import losses
from i2i.algorithms.base import (
    Algorithm,
    Batch,
    Outputs,
    Phase,
    accuracies,
    build_discriminator,
    refuse_other_sizes,
)
from i2i.config import parse
from i2i.errors import ConfigError
from i2i.networks import LATENT_GENERATORS, LatentGenerator
from i2i.settings import Config, DCGANGeneratorSettings, MLPGeneratorSettings, Positive, Section
from i2i.spec import GENERATE, MEANINGS, LatentGeneratorSpec


class GANSettings(Section):
    """The objective of a GAN without conditions."""

    adversarial: Literal["non_saturating", "least_squares"] = "non_saturating"
    """Adversarial loss: BCE on logits as in the papers, or least squares."""
    n_critic: Positive = 1
    """Steps of the discriminator for one of the generator."""


class GAN(Algorithm):
    """A generator of noise against a discriminator."""

    Settings = GANSettings
    data = "images"

    def __init__(self, config: Config):
        super().__init__(config)
        settings = parse(GANSettings, config.loss, config.algorithm, "loss.")
        self.phases = (
            Phase("discriminator", ("discriminator",), judges=True),
            Phase("generator", ("generator",), every_steps=settings.n_critic),
        )
        self.weights = {"D_real": 1.0, "D_fake": 1.0, "G_GAN": 1.0}
        self.adversarial = losses.ADVERSARIAL[settings.adversarial]
        self.generators = {GENERATE: "generator"}
        generator = build_latent_generator(config)
        self.latent = generator.latent
        self.networks = {
            "generator": generator,
            "discriminator": build_discriminator(config, 2 if config.data.toy else config.data.channels),
        }

    def forward(self, batch: Batch) -> Outputs:
        """G(z), z normal, one for every real picture."""
        (real,) = batch
        z = torch.randn(len(real), self.latent, device=real.device, dtype=real.dtype)
        return {"fake": self.networks["generator"](z)}

    def losses(self, phase: str, batch: Batch, outputs: Outputs) -> dict[str, Tensor]:
        """Eq. 1 of Goodfellow et al., split into its terms and its two players."""
        (real,) = batch
        judge = self.networks["discriminator"]
        if phase == "generator":
            return {"G_GAN": self.adversarial.g(None, judge(outputs["fake"]).score)}  # end of section 3
        real_score, fake_score = judge(real).score, judge(outputs["fake"].detach()).score
        real_term, fake_term = self.adversarial.d(real_score, fake_score)
        terms = {"D_real": real_term, "D_fake": fake_term}
        return terms | accuracies("D", self.adversarial, real_score, fake_score)

    def describe(self) -> dict[str, Any]:
        """Describe the generator."""
        data, toy = self.config.data, self.config.data.toy is not None
        spec = LatentGeneratorSpec(
            network=self.config.generator.name,
            arguments=latent_arguments(self.config),
            latent=self.latent,
            out_channels=2 if toy else data.channels,
            out_meaning="points" if toy else MEANINGS[data.channels],
            out_px=0 if toy else data.crop_px,
        )
        return {"task": "generate", "latent_generator": spec}


def latent_arguments(config: Config) -> dict[str, Any]:
    """Return the constructor arguments of the generator."""
    arguments = config.generator.model_dump(exclude={"name"})
    if config.data.toy:
        return {"out_channels": 2, **arguments}
    return {"out_channels": config.data.channels, "size": config.data.crop_px, **arguments}


def build_latent_generator(config: Config) -> LatentGenerator:
    """Make the generator that the config names; raises ConfigError when it does not fit algorithm or data."""
    wanted = MLPGeneratorSettings if config.data.toy else DCGANGeneratorSettings
    if not isinstance(config.generator, wanted):
        what = f"the points of data.toy {config.data.toy}" if config.data.toy else "pictures from noise"
        raise ConfigError(
            f"generator.name is {config.generator.name}, but {config.algorithm} makes {what}. Use {wanted().name}."
        )
    if not config.data.toy:
        refuse_other_sizes(config)
    return LATENT_GENERATORS[config.generator.name](**latent_arguments(config))
