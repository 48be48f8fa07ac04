"""The base of every section of settings, and weights that change during a training."""

import math
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

Positive = Annotated[int, Field(gt=0)]
Norm = Literal["batch", "instance", "group", "layer", "none"]


class Section(BaseModel):
    """Base of all settings: frozen, and without unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)


class Ramp(Section):
    """A number that changes with the images seen, and then stays."""

    model_config = ConfigDict(serialize_by_alias=True)

    from_: Annotated[float, Field(ge=0, alias="from")]
    """The value at the start."""
    to: Annotated[float, Field(ge=0)]
    """The value at the end."""
    over_images: Positive
    """How many images it takes."""
    curve: Literal["cosine"] | None = None
    """null is a line; cosine, as in R3GAN, is slow at both ends."""

    def at(self, images: int) -> float:
        """Return the value after `images`."""
        share = min(images / self.over_images, 1.0)
        if self.curve == "cosine":
            share = (1 - math.cos(math.pi * share)) / 2
        return self.from_ + (self.to - self.from_) * share


WEIGHT_KINDS = ("a number", "a ramp")
"""Tags of the two kinds of weights; pydantic puts them into the location of an error, though they are no settings."""
Weight = Annotated[
    Annotated[float, Field(ge=0), Tag(WEIGHT_KINDS[0])] | Annotated[Ramp, Tag(WEIGHT_KINDS[1])],
    Discriminator(lambda value: WEIGHT_KINDS[isinstance(value, dict | Ramp)]),
]
"""The weight of a loss term: a number, or {from, to, over_images}."""


def weight_at(weight: Weight, images: int) -> float:
    """Return the value of a weight after `images`."""
    return weight.at(images) if isinstance(weight, Ramp) else weight


def is_ever_on(weight: Weight) -> bool:
    """Whether a weight is ever above zero."""
    return max(weight.from_, weight.to) > 0 if isinstance(weight, Ramp) else weight > 0
