"""Context encoders: Pathak, Krahenbuhl, Donahue, Darrell, Efros, "Feature Learning by Inpainting", 2016.

Beside the paper: x is the picture, M 1 in the hole and 0 elsewhere, F the generator, which gets (1 - M) x and M as
alpha. It gives the whole picture with the known pixels as they were, and the discriminator sees it so; the paper's
sees the hole alone. The paper's F also predicts a band of known pixels, whose error counts tenfold. These are kept
here, so that the outermost pixels of the hole, which must join on to them, take that weight. The generator is
whatever translates; the paper's has no skips between its levels.
"""

from typing import Annotated

from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from i2i.algorithms.adversary import Adversary, AdversarySettings
from i2i.algorithms.base import (
    Algorithm,
    Batch,
    Outputs,
    Phase,
    build_discriminator,
    build_generator,
    discriminator_phases,
)
from i2i.config.derive import Mask
from i2i.config.section import Weight, weight_at
from i2i.config.settings import Config
from i2i.errors import ConfigError


class ContextEncoderSettings(AdversarySettings):
    """The objective of context encoders."""

    l2: Weight = 0.999
    """Weight of the reconstruction of the hole, the paper's lambda_rec."""
    gan: Weight = 0.001
    """Weight of the adversarial term of the generator, the paper's lambda_adv."""
    overlap_px: Annotated[int, Field(ge=0)] = 4
    """Width of the band inside the edge of the hole whose errors count more, in pixels; 0 is off."""
    overlap_weight: Annotated[float, Field(ge=1)] = 10.0
    """How many times as much they count."""


class ContextEncoder(Algorithm):
    """A generator that fills holes against a discriminator of whole pictures, tied to the truth in the hole by L2."""

    Settings = ContextEncoderSettings
    data = "paired"

    def __init__(self, config: Config):
        super().__init__(config)
        if not isinstance(config.data.derive, Mask):
            raise ConfigError(
                "context_encoder learns to fill holes that are cut into pictures. Set data.derive.name to "
                "centre_mask, rectangle_mask or free_form_mask."
            )
        self.generators = {"A2B": "generator"}
        self.networks = {
            "generator": build_generator(config, "A2B"),
            "discriminator": build_discriminator(config, config.data.channels_b),
        }
        self.adversary = Adversary(self.networks, "discriminator", self.settings)
        self.adversaries = {"D": self.adversary}
        self.phases = (
            *discriminator_phases("discriminator", {"discriminator": self.adversary}),
            Phase("generator", ("generator",)),
        )
        self.notes += self.adversary.notes

    def forward(self, batch: Batch) -> Outputs:
        """F((1 - M) x), with the known pixels in their places."""
        return {"fake": self.networks["generator"](batch["a"])}

    def losses(self, phase: str, batch: Batch, outputs: Outputs) -> dict[str, Tensor]:
        """The joint loss (section 3.2), split into its terms and its two players."""
        x, fake = batch["b"], outputs["fake"]
        if phase == "discriminator":
            return self.adversary.discriminate(x, fake)  # L_adv, section 3.2
        if phase == "penalty":
            return self.adversary.penalise(x, fake)
        hole = (1 - batch["a"][:, 3:]) / 2
        return {
            "G_GAN": self.adversary.fool(x, fake),  # L_adv, non-saturating
            "G_L2": self._reconstruction(x, fake, hole),  # L_rec, eq. 1
        }

    def weights(self) -> dict[str, float]:
        """The joint loss: lambda_rec and lambda_adv."""
        l2, gan = weight_at(self.settings.l2, self.images), weight_at(self.settings.gan, self.images)
        return {"G_GAN": gan, "G_L2": l2, **self.adversary.weights(self.images)}

    def _reconstruction(self, x: Tensor, fake: Tensor, hole: Tensor) -> Tensor:
        """Eq. 1, a mean over the hole (N, 1, H, W) of each picture, so that a large hole counts no more than a small.

        The band inside the edge has its weight on top of that mean.
        """
        side = 2 * self.settings.overlap_px + 1
        near_known = F.max_pool2d(1 - hole, side, stride=1, padding=side // 2)
        weight = hole * (1 + (self.settings.overlap_weight - 1) * near_known)
        error = (weight * (fake - x).square()).sum(dim=(1, 2, 3))
        return (error / (x.shape[1] * hole.sum(dim=(1, 2, 3)).clamp_min(1))).mean()
