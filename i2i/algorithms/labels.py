"""Labels as conditions of networks: the one-hot label of each label set, one after another.

Whatever takes such a vector through a linear layer sums an embedding of each label. That is so in generators from
noise, whose first layer is linear, in FiLM, and in the projection of a discriminator.
"""

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from i2i.algorithms.image_pool import ImagePool
from i2i.config.section import Section
from i2i.config.settings import Config
from i2i.errors import ConfigError
from i2i.models.spec import LatentBlock

SeenBy = Literal["projection", "concatenation", "none"]


class LabelSettings(Section):
    """How a discriminator takes labels, where the data has any."""

    condition: SeenBy = "projection"
    """How the discriminator takes the labels: as a product with its features (Miyato and Koyama 2018), as planes beside
    the channels of the image (Mirza and Osindero 2014), or not at all, so that only other terms teach the generator
    what they mean."""


class LabelSets:
    """The label sets of a training.

    seen_by: how discriminators take them, the setting `condition`; empty for algorithms without it.
    """

    def __init__(self, config: Config, seen_by: str):
        self.classes: Mapping[str, Mapping[str, int]] = config.data.classes
        self.seen_by = seen_by
        self.text_size = int(getattr(config.generator, "text", 0))
        if seen_by not in ("projection", "") and not self.classes:
            raise ConfigError(
                f"loss.condition is {seen_by}, but the data has no labels. Set data.labels, or leave it out."
            )

    @property
    def size(self) -> int:
        """Length of the condition vector: the classes of all label sets; 0 without labels."""
        return sum(map(len, self.classes.values()))

    @property
    def seen_size(self) -> int:
        """Length of the condition that discriminators take with each image, labels or a text; 0: none."""
        return self.text_size or (self.size if self.seen_by in ("projection", "concatenation") else 0)

    @property
    def are_planes(self) -> bool:
        """Whether discriminators take them as planes of the image."""
        return self.seen_by == "concatenation"

    @property
    def blocks(self) -> tuple[LatentBlock, ...]:
        """A one-hot block for each label set."""
        return tuple(
            LatentBlock(
                name=name,
                size=len(counts),
                prior="one_hot",
                classes=tuple(counts),
                shares=tuple(count / sum(counts.values()) for count in counts.values()),
            )
            for name, counts in self.classes.items()
        )

    def each(self, numbers: Tensor) -> dict[str, Tensor]:
        """Return the one-hot labels of class numbers (N, label sets), by label set, (N, classes) each, float.

        All are 0 where an image has no label, the number -1.
        """
        columns = zip(self.classes.items(), numbers.unbind(dim=1), strict=True)
        return {name: F.one_hot(column + 1, len(counts) + 1)[:, 1:].float() for (name, counts), column in columns}

    def of(self, batch: Mapping[str, Tensor], side: str = "") -> Tensor | None:
        """Return the condition of generators (N, size), None without labels; side: a or b, of unpaired data."""
        if not self.classes:
            return None
        return torch.cat(list(self.each(batch[f"label_{side}" if side else "label"]).values()), dim=1)

    def seen(self, batch: Mapping[str, Tensor], side: str = "") -> Tensor | None:
        """Return the condition of discriminators, None if they take none."""
        return self.of(batch, side) if self.seen_size else None


def beside(image: Tensor, condition: Tensor) -> Tensor:
    """Append a condition (N, K) to images (N, C, ...) as planes: (N, C + K, ...)."""
    planes = condition.view(*condition.shape, *[1] * (image.dim() - 2)).expand(-1, -1, *image.shape[2:])
    return torch.cat([image, planes.to(image.dtype)], dim=1)


def exchange(pool: ImagePool, fake: Tensor, condition: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Exchange fakes for past ones, each with the condition that it was made for, which the pool keeps as planes."""
    if condition is None or not pool.size:
        return pool.exchange(fake), condition
    kept = pool.exchange(beside(fake, condition))
    channels = fake.shape[1]
    return kept[:, :channels], kept[:, channels:].flatten(2)[:, :, 0] if kept.dim() > 2 else kept[:, channels:]
