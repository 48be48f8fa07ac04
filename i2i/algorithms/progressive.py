"""Progressive growing: Karras, Aila, Laine, Lehtinen 2018, "Progressive growing of GANs for improved quality, ...".

Training begins at 4 px. Each level that doubles the side fades in and then trains on as long as the settings say. Reals
fade with it, and the optimizers start afresh.

As in the authors' code, images have their final side at every level, with repeated pixels. Difference: that code also
starts its optimizers afresh where a level has faded in; the paper does not say.
"""

from typing import Annotated, Any

from pydantic import Field
from torch import Tensor

from i2i.algorithms.adversary_settings import AdversarialName, PenaltyName
from i2i.algorithms.base import Batch
from i2i.algorithms.gan import GAN, GANSettings
from i2i.algorithms.nodata import greyed
from i2i.config.section import Positive, Weight
from i2i.config.settings import Config
from i2i.errors import ConfigError
from i2i.models.spec import GENERATE, Part
from i2i.networks.growth import FIRST_PX, Growth, at_level, levels


class ProgressiveSettings(GANSettings):
    """The objective of progressive growing, WGAN-GP with drift, and the pace of the growth."""

    adversarial: AdversarialName = "wasserstein"
    """Adversarial loss."""
    penalty: PenaltyName = "gradient"
    """Regularisation of the discriminator, as for every adversary."""
    drift: Weight = 0.001
    """Weight of the discriminator's squared logits of reals, which keeps them near zero."""
    steady_images: Positive = 800_000
    """Images on which a level trains once it is whole, before the next fades in."""
    fade_images: Annotated[int, Field(ge=0)] = 800_000
    """Images over which a level fades in; 0 is at once."""
    batch_at: dict[Annotated[int, Field(ge=FIRST_PX)], Positive] = Field(default_factory=dict)
    """Images in a step on each device while the side that is made, in pixels, is this or larger, up to the next one
    given; never more than train.batch."""


class Progressive(GAN):
    """A GAN whose networks grow."""

    Settings = ProgressiveSettings
    recordable = False  # the growth is on the host

    def __init__(self, config: Config):
        super().__init__(config)
        if not hasattr(self.networks["generator"], "growth"):
            raise ConfigError(
                f"generator.name is {config.generator.name}, which does not grow; {config.algorithm} needs one that "
                "does. Use progressive."
            )
        if config.train.cuda_graphs is True:
            raise ConfigError(
                "train.cuda_graphs is true, but networks that grow change from step to step, and a CUDA graph repeats "
                "what it was recorded with. Set train.cuda_graphs to auto or false."
            )
        self.last_level = levels(config.data.crop_px) - 1
        self.growth = Growth(0)
        for network in self.networks.values():  # a discriminator that does not grow sees repeated pixels
            if hasattr(network, "growth"):
                setattr(network, "growth", self.growth)  # noqa: B010 (torch's types know no such attribute)

    def begin(self, images: int, total_images: int) -> None:
        """Grow, too."""
        super().begin(images, total_images)
        self.growth.level, self.growth.fade = self.growth_at(images)
        self.stage = self.growth.level

    def growth_at(self, images: int) -> tuple[int, float]:
        """Return the level after `images`, and how far it has faded in (section 2 and figure 2)."""
        steady, fading = self.settings.steady_images, self.settings.fade_images
        if images < steady:
            return 0, 1.0
        done, since = divmod(images - steady, steady + fading)
        if done >= self.last_level:
            return self.last_level, 1.0
        return done + 1, min(since / fading, 1.0) if fading else 1.0

    def batch_at(self, images: int) -> int:
        """Return the batch of the side that is made after `images`."""
        side = FIRST_PX << self.growth_at(images)[0]
        given = [batch for px, batch in sorted(self.settings.batch_at.items()) if px <= side]
        return min(self.config.train.batch, *given[-1:]) if given else self.config.train.batch

    def real(self, batch: Batch) -> Tensor:
        """Reals as the level shows them (section 2: images are interpolated between two resolutions)."""
        return greyed(self.at_level(batch["image"]), self.valid(batch))

    def valid(self, batch: Batch) -> Tensor | None:
        """Return where the level's pixels come from data alone."""
        known = super().valid(batch)
        return None if known is None else (self.at_level(known) == 1).to(known.dtype)

    def at_level(self, images: Tensor) -> Tensor:
        """Fade images as the generator's level is."""
        return at_level(images, self.growth.level, self.growth.fade)

    def parts(self) -> dict[str, Part]:
        """Return the generator's part, which makes what it has grown to."""
        part = super().parts()[GENERATE]
        grown = {"level": self.growth.level, "fade": self.growth.fade}
        return {GENERATE: part.model_copy(update={"arguments": {**part.arguments, **grown}})}

    def state_dict(self) -> dict[str, Any]:
        """As every GAN's, with the growth of the last step: what is scored before the next one has it."""
        return super().state_dict() | {"growth": [self.growth.level, self.growth.fade]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        super().load_state_dict(state)
        self.growth.level, self.growth.fade = state["growth"]
