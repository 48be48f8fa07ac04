"""Phases: which networks a step trains, in which order and how often."""

from typing import Literal, NamedTuple, Self

from pydantic import model_validator

from i2i.config.section import Positive, Section


class LongTurns(Section):
    """Turns of a phase that take more steps than the others; the defaults are those of WGAN's authors."""

    steps: Positive = 100
    """Steps of the discriminator before each of them."""
    first: Positive = 25
    """How many of them come first."""
    every: Positive = 500
    """Then each so-many-th step of the generator, counted from 0, is one."""

    @model_validator(mode="after")
    def _first_before_every(self) -> Self:
        if self.first > self.every:
            raise ValueError(f"first is {self.first}, more than every, {self.every}")
        return self


class Phase(NamedTuple):
    """One update: its name, the networks it trains, and every how many steps it is due.

    role: of these networks; discriminators may have their own learning rate. optimizer: the phase whose
    optimizer, moments included, this one shares; by default it has its own. long: turns that take more steps.
    """

    name: str
    trains: tuple[str, ...]
    every_steps: int = 1
    role: Literal["generator", "discriminator"] = "generator"
    optimizer: str = ""
    long: LongTurns | None = None

    def is_due(self, step: int) -> bool:
        """Whether it takes its turn in a step, counted from 1."""
        if self.long is None:
            return step % self.every_steps == 0
        steps, first, every = self.long.steps, self.long.first, self.long.every
        beginning = first * steps + (every - first) * self.every_steps  # of the turns before the `every`-th
        if step > beginning:
            step, first = (step - beginning - 1) % (steps + (every - 1) * self.every_steps) + 1, 1
        return (step % steps if step <= first * steps else (step - first * steps) % self.every_steps) == 0
