"""pix2pix: Isola, Zhu, Zhou, Efros, "Image-to-Image Translation with Conditional Adversarial Networks", 2017.

Beside the paper: x is the input picture, y the target, G(x) the output. The discriminator is
conditional, it sees (x, y) or (x, G(x)); the generator's noise z is dropout.
"""

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from i2i import losses
from i2i.algorithms.base import (
    Algorithm,
    Batch,
    Outputs,
    Phase,
    accuracies,
    build_discriminator,
    build_generator,
)
from i2i.config import parse
from i2i.settings import Config, Section, by_direction


class Pix2PixSettings(Section):
    """The objective of pix2pix."""

    adversarial: Literal["non_saturating", "least_squares"] = "non_saturating"
    """Adversarial loss: BCE on logits as in the paper, or least squares."""
    l1: Annotated[float, Field(ge=0)] = 100.0
    """Weight of the L1 term, the paper's lambda."""


class Pix2Pix(Algorithm):
    """Generator against a conditional discriminator, tied to the target by L1."""

    Settings = Pix2PixSettings
    data = "paired"
    phases = (Phase("discriminator", ("discriminator",), judges=True), Phase("generator", ("generator",)))

    def __init__(self, config: Config):
        super().__init__(config)
        settings = parse(Pix2PixSettings, config.loss, config.algorithm, "loss.")
        # Section 3.3: D's objective is halved. Eq. 4: the L1 term has weight lambda.
        self.weights = {"D_real": 0.5, "D_fake": 0.5, "G_GAN": 1.0, "G_L1": settings.l1}
        self.adversarial = losses.ADVERSARIAL[settings.adversarial]
        self.direction = config.data.direction
        self.generators = {self.direction: "generator"}
        self.networks = {
            "generator": build_generator(config, self.direction),
            "discriminator": build_discriminator(config, config.data.channels_a + config.data.channels_b),
        }

    def forward(self, batch: Batch) -> Outputs:
        """G(x)."""
        x, _ = self._sides(batch)
        return {"fake": self.networks["generator"](x)}

    def losses(self, phase: str, batch: Batch, outputs: Outputs) -> dict[str, Tensor]:
        """Eq. 4, split into its terms and its two players."""
        x, y = self._sides(batch)
        fake = outputs["fake"]
        if phase == "discriminator":
            real_score, fake_score = self._judge(x, y), self._judge(x, fake.detach())
            real_term, fake_term = self.adversarial.d(real_score, fake_score)  # eq. 1
            terms = {"D_real": real_term, "D_fake": fake_term}
            return terms | accuracies("D", self.adversarial, real_score, fake_score)
        return {
            "G_GAN": self.adversarial.g(None, self._judge(x, fake)),  # eq. 1, non-saturating as in section 3.3
            "G_L1": losses.l1(fake, y),  # eq. 3
        }

    def _sides(self, batch: Batch) -> tuple[Tensor, Tensor]:
        return by_direction(self.direction, *batch)

    def _judge(self, x: Tensor, y: Tensor) -> Tensor:
        score: Tensor = self.networks["discriminator"](torch.cat([x, y], dim=1)).score
        return score
