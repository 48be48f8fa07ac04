"""pix2pix: Isola, Zhu, Zhou, Efros, "Image-to-Image Translation with Conditional Adversarial Networks", 2017.

In the paper's terms: x is the input image, y the target, G(x) the output. The discriminator is
conditional: it sees (x, y) or (x, G(x)). The generator's noise z is dropout.
"""

from typing import Self

import torch
from pydantic import model_validator
from torch import Tensor

from i2i import losses
from i2i.algorithms.adversary import Adversary
from i2i.algorithms.base import (
    Algorithm,
    Batch,
    Outputs,
    Phase,
    build_discriminator,
    build_generator,
    discriminator_phases,
)
from i2i.algorithms.terms import TranslationSettings, terms_in_use
from i2i.config.section import Weight, is_ever_on, weight_at
from i2i.config.settings import Config, by_direction


class Pix2PixSettings(TranslationSettings):
    """The objective of pix2pix."""

    l1: Weight = 100.0
    """Weight of the L1 term, the paper's lambda."""
    gan: Weight = 1.0
    """Weight of the adversarial term; 0 leaves the generator to L1 and the further terms."""

    @model_validator(mode="after")
    def _has_a_term(self) -> Self:
        if not (is_ever_on(self.gan) or is_ever_on(self.l1) or terms_in_use(self.terms)):
            raise ValueError("gan, l1 and all of terms are 0, so the generator would learn nothing; raise one of them")
        return self


class Pix2Pix(Algorithm):
    """A generator against a conditional discriminator, tied to the target by L1."""

    Settings = Pix2PixSettings
    recordable = True
    data = "paired"

    def __init__(self, config: Config):
        super().__init__(config)
        self.direction = config.data.direction
        self.generators = {self.direction: "generator"}
        stack = by_direction(self.direction, config.data.channels_a, config.data.channels_b)
        self.networks = {
            "generator": build_generator(config, self.direction),
            "discriminator": build_discriminator(config, sum(stack)),
        }
        self.adversary = Adversary(self.networks, "discriminator", self.settings, share=0.5, stack=stack)  # section 3.3
        self.adversaries = {"D": self.adversary}
        self.phases = (
            *discriminator_phases("discriminator", {"discriminator": self.adversary}),
            Phase("generator", ("generator",)),
        )
        self.notes += self.adversary.notes

    def forward(self, batch: Batch) -> Outputs:
        """G(x)."""
        x, _ = self._sides(batch)
        return {"fake": self.networks["generator"](x)}

    def losses(self, phase: str, batch: Batch, outputs: Outputs) -> dict[str, Tensor]:
        """Eq. 4, split into terms for the two players."""
        x, y = self._sides(batch)
        fake = outputs["fake"]
        real_pair, fake_pair = torch.cat([x, y], dim=1), torch.cat([x, fake], dim=1)
        if phase == "discriminator":
            return self.adversary.discriminate(real_pair, fake_pair)  # eq. 1
        if phase == "penalty":
            return self.adversary.penalise(real_pair, fake_pair)
        return {
            **self.terms.fool(self.adversary, real_pair, fake_pair),  # eq. 1, non-saturating as in section 3.3
            "G_L1": losses.l1(fake, y),  # eq. 3
            **self.terms.compare(fake, y),
        }

    def weights(self) -> dict[str, float]:
        """Eq. 4: the L1 term has weight lambda."""
        l1, gan = (weight_at(one, self.images) for one in (self.settings.l1, self.settings.gan))
        further = self.terms.weights(self.images) | self.adversary.weights(self.images)
        return {"G_GAN": gan, "G_L1": l1, **further}

    def _sides(self, batch: Batch) -> tuple[Tensor, Tensor]:
        return by_direction(self.direction, batch["a"], batch["b"])
