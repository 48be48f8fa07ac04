"""The settings of optimizers: the section `optimizer`, whose `name` chooses the others."""

from typing import Annotated, Literal

from pydantic import Field, field_validator

from i2i.config.section import Ramp, Section

Rate = Annotated[float, Field(gt=0)]
_Decay = Annotated[float, Field(ge=0, lt=1)]


class CommonOptimizerSettings(Section):
    """What every optimizer has; each phase of an algorithm has an optimizer of its own."""

    name: str
    """Which optimizer."""
    lr: Rate
    """Learning rate."""
    lr_discriminator: Rate | None = None
    """Learning rate of the discriminators; null is the same."""
    clip_norm: Annotated[float, Field(gt=0)] | None = None
    """Clip each network's gradient to this 2-norm; null does not clip."""


class AdamSettings(CommonOptimizerSettings):
    """Adam (Kingma and Ba 2015)."""

    name: Literal["adam"] = "adam"
    """Which optimizer."""
    lr: Rate = 2e-4
    """Learning rate."""
    betas: tuple[_Decay, _Decay] = (0.5, 0.999)
    """Decay rates of the running means of the gradient and of its square."""
    beta2_ramp: Ramp | None = None
    """The second of them where it changes, as in R3GAN, with values below 1; null keeps that of betas."""

    @field_validator("beta2_ramp")
    @classmethod
    def _decays(cls, value: Ramp | None) -> Ramp | None:
        if value and max(value.from_, value.to) >= 1:
            raise ValueError("give values below 1; a mean with a decay rate of 1 never changes")
        return value


class RMSpropSettings(CommonOptimizerSettings):
    """RMSprop without momentum, with the rate of WGAN (Arjovsky et al. 2017, algorithm 1)."""

    name: Literal["rmsprop"] = "rmsprop"
    """Which optimizer."""
    lr: Rate = 5e-5
    """Learning rate."""
    alpha: _Decay = 0.99
    """Decay rate of the running mean of the gradient's square."""


class SGDSettings(CommonOptimizerSettings):
    """Gradient descent with momentum."""

    name: Literal["sgd"] = "sgd"
    """Which optimizer."""
    lr: Rate = 1e-2
    """Learning rate."""
    momentum: _Decay = 0.5
    """Decay rate of the running sum of gradients; 0 is gradient descent alone."""


OptimizerSettings = Annotated[AdamSettings | RMSpropSettings | SGDSettings, Field(discriminator="name")]

DEFAULT_OPTIMIZER = "adam"
"""Where a section has no name."""
OPTIMIZER_SETTINGS: dict[str, type[CommonOptimizerSettings]] = {
    "adam": AdamSettings,
    "rmsprop": RMSpropSettings,
    "sgd": SGDSettings,
}
