"""Conditional GAN: Mirza, Osindero 2014, "Conditional Generative Adversarial Nets".

The generator takes the labels in addition to noise: its first layer is linear, so it sums an embedding of each label.
The discriminator takes them by projection (Miyato and Koyama 2018, "cGANs with projection discriminator"), or beside
the image as in the paper.
"""

from torch import Tensor

from i2i.algorithms.base import Batch
from i2i.algorithms.gan import GAN, GANSettings
from i2i.algorithms.labels import LabelSettings
from i2i.config.settings import Config
from i2i.errors import ConfigError
from i2i.models.spec import LatentBlock


class ConditionalGANSettings(LabelSettings, GANSettings):
    """The objective of a conditional GAN. With condition none, the generator learns to ignore the labels."""


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
        """The one-hot labels y of the reals (eq. 2), by label set, (N, classes) each; none if D does not see them.

        Where they are withheld, those of fakes are drawn: D has just learned from these reals, and G would find out
        which labels go with what D likes in this step.
        """
        return self.labels.each(batch["label"]) if self.labels.seen_size else {}
