"""What all settings share: the base of every section, and weights that move in the course of a training."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

Positive = Annotated[int, Field(gt=0)]


class Section(BaseModel):
    """Base of all settings: frozen, and a stranger to unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)


class Ramp(Section):
    """A number that moves in a straight line, as a function of the images seen, and then stays."""

    model_config = ConfigDict(serialize_by_alias=True)

    from_: Annotated[float, Field(ge=0, alias="from")]
    """What it is at first."""
    to: Annotated[float, Field(ge=0)]
    """What it becomes."""
    over_images: Positive
    """After how many images it gets there."""

    def at(self, images: int) -> float:
        """Return what it is after `images`."""
        return self.from_ + (self.to - self.from_) * min(images / self.over_images, 1.0)


WEIGHT_KINDS = ("a number", "a ramp")
"""Tells the two kinds of a weight apart; pydantic puts it into the location of an error, though it is not a setting."""
Weight = Annotated[
    Annotated[float, Field(ge=0), Tag(WEIGHT_KINDS[0])] | Annotated[Ramp, Tag(WEIGHT_KINDS[1])],
    Discriminator(lambda value: WEIGHT_KINDS[isinstance(value, dict | Ramp)]),
]
"""The weight of a loss term: a number, or {from, to, over_images}."""


def weight_at(weight: Weight, images: int) -> float:
    """Return a weight as it is after `images`."""
    return weight.at(images) if isinstance(weight, Ramp) else weight


def is_ever_on(weight: Weight) -> bool:
    """Whether a weight is above zero at some time."""
    return max(weight.from_, weight.to) > 0 if isinstance(weight, Ramp) else weight > 0
