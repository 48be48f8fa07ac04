"""Conditional GAN: Mirza, Osindero 2014, "Conditional Generative Adversarial Nets".

The generator takes the labels in addition to noise: its first layer is linear, so it sums an embedding of each label.
The discriminator takes them by projection (Miyato and Koyama 2018, "cGANs with projection discriminator"), or beside
the image as in the paper; or it tells them from the image, as an auxiliary classifier (Odena, Olah, Shlens 2017,
"Conditional image synthesis with auxiliary classifier GANs").
"""

from typing import Literal, Self

from pydantic import model_validator
from torch import Tensor
from torch.nn import functional as F

from i2i.algorithms.base import Batch, Outputs
from i2i.algorithms.gan import GAN, GANSettings
from i2i.config.section import Weight
from i2i.config.settings import Config
from i2i.errors import ConfigError
from i2i.models.spec import LatentBlock


class ConditionalGANSettings(GANSettings):
    """The objective of a conditional GAN."""

    condition: Literal["projection", "concatenation", "auxiliary", "none"] = "projection"
    """How the discriminator meets the labels: as a product with its features, as planes beside the image, by telling
    them from the image, or not at all, so that the generator learns to ignore them."""
    classification: Weight = 1.0
    """Weight of telling the labels, in both players' loss, with condition auxiliary."""

    @model_validator(mode="after")
    def _classifies(self) -> Self:
        if self.classification != 1 and self.condition != "auxiliary":
            raise ValueError(
                f"classification has no effect with condition {self.condition}; leave it out, or set condition to "
                "auxiliary"
            )
        return self


class ConditionalGAN(GAN):
    """A generator from noise and labels against a discriminator that sees the labels."""

    Settings = ConditionalGANSettings
    reads_labels = needs_labels = True

    def __init__(self, config: Config):
        if not config.data.classes:
            raise ConfigError(
                f"{config.algorithm} takes its classes from the data, which has none. Add --data, or add a column of "
                "classes to the table of data.labels."
            )
        if "noise" in config.data.classes:
            raise ConfigError("A label set is called noise, the name of another part of the latent. Rename the column.")
        super().__init__(config)

    @property
    def blocks(self) -> tuple[LatentBlock, ...]:
        """Noise, and a one-hot block for each label set."""
        return (*super().blocks, *self.labels.blocks)

    def known_blocks(self, batch: Batch) -> dict[str, Tensor]:
        """The one-hot labels y of the reals (eq. 2), by label set, (N, classes) each; none if they are withheld from D.

        Where they are withheld, those of fakes are drawn: D has just learned from these reals, and G would find out
        which labels go with what D likes in this step.
        """
        return {} if self.labels.seen_by == "none" else self.labels.each(batch["label"])

    @property
    def heads(self) -> dict[str, int]:
        """The auxiliary classifier: logits of each label set."""
        return {block.name: block.size for block in self.labels.blocks if self.labels.seen_by == "auxiliary"}

    def losses(self, phase: str, batch: Batch, outputs: Outputs) -> dict[str, Tensor]:
        """Those of a GAN; with an auxiliary classifier also -L_C (Odena et al., eq. 3), for G of fakes alone."""
        terms = super().losses(phase, batch, outputs)
        if not self.heads or phase == "penalty":
            return terms
        fake = outputs["fake"]
        player, shown = ("G", [fake]) if phase == "generator" else ("D", [batch["image"], fake.detach()])
        told = [self.adversaries["D"].judge(image).heads or {} for image in shown]
        for name, label in self.labels.each(batch["label"]).items():
            each = [F.cross_entropy(one[name], label) for one in told]
            terms[f"{player}_class_{name}"] = each[0] if player == "G" else each[0] + each[1]
        return terms

    def weights(self) -> dict[str, float]:
        """Those of a GAN, and that of each label set for both players."""
        names = [f"{player}_class_{name}" for player in "DG" for name in self.heads]
        return super().weights() | dict.fromkeys(names, self.weight("classification"))
