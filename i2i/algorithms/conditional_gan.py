"""Conditional GAN: Mirza, Osindero 2014, "Conditional Generative Adversarial Nets".

The generator takes the labels in addition to noise. The discriminator takes them by projection (Miyato and
Koyama 2018, "cGANs with projection discriminator"), which works for several label sets at once.
"""

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from i2i.algorithms.base import Batch
from i2i.algorithms.gan import GAN, GANSettings
from i2i.config.settings import Config
from i2i.errors import ConfigError
from i2i.models.spec import LatentBlock


class ConditionalGANSettings(GANSettings):
    """The objective of a conditional GAN."""

    condition: Literal["projection", "none"] = "projection"
    """How the discriminator takes the label; with none it does not see it, and the generator learns to ignore it."""


class ConditionalGAN(GAN):
    """A generator from noise and labels against a discriminator that sees the labels."""

    Settings = ConditionalGANSettings
    reads_labels = True

    def __init__(self, config: Config):
        if not config.data.classes:
            raise ConfigError(
                f"{config.algorithm} takes its classes from the data, which has none. Add --data, or add a column of "
                "classes to the table of data.labels."
            )
        if "noise" in config.data.classes:
            raise ConfigError("A label set is called noise, the name of another part of the latent. Rename the column.")
        super().__init__(config)
        if self.settings.history:
            raise ConfigError(
                f"loss.history is {self.settings.history}, but {config.algorithm} has no image pool: it would "
                "need the labels of past fakes. Set it to 0."
            )

    @property
    def condition_size(self) -> int:
        """Total number of classes of all label sets, if the discriminator sees them."""
        sees_labels = self.settings.condition == "projection"
        return sum(map(len, self.config.data.classes.values())) if sees_labels else 0

    @property
    def blocks(self) -> tuple[LatentBlock, ...]:
        """Noise, and a one-hot block for each label set."""
        labels = [
            LatentBlock(
                name=name,
                size=len(counts),
                prior="one_hot",
                classes=tuple(counts),
                shares=tuple(count / sum(counts.values()) for count in counts.values()),
            )
            for name, counts in self.config.data.classes.items()
        ]
        return (*super().blocks, *labels)

    def known_blocks(self, batch: Batch) -> dict[str, Tensor]:
        """The one-hot labels y of the reals (eq. 2), by label set, (N, classes) each."""
        numbers = zip(self.config.data.classes.items(), batch["label"].unbind(dim=1), strict=True)
        return {name: F.one_hot(one, len(counts)).to(batch["image"].dtype) for (name, counts), one in numbers}

    def condition(self, batch: Batch) -> Tensor | None:
        """All one-hot labels, concatenated."""
        return torch.cat(list(self.known_blocks(batch).values()), dim=1) if self.condition_size else None
