"""The settings under `loss` that all algorithms with a discriminator share."""

from typing import Annotated, Literal, Self, get_args

from pydantic import Field, model_validator

from i2i.algorithms.adaptive import AdaptiveSettings
from i2i.config.section import Positive, Section, Weight, is_ever_on
from i2i.losses import ADVERSARIAL, PENALTIES

AdversarialName = Literal[
    "minimax", "non_saturating", "least_squares", "hinge", "wasserstein", "relativistic", "margin"
]
"""A name in i2i.losses.ADVERSARIAL."""
PenaltyName = Literal["none", "gradient", "r1", "r2", "zero_centred", "clip"]
"""A name in i2i.losses.PENALTIES; "clip" bounds the weights instead."""
DiffAugmentName = Literal["colour", "translation", "cutout"]
"""A name in i2i.algorithms.diffaugment.DIFFAUGMENT."""


class AdversarySettings(Section):
    """What a discriminator learns, how it is regularised, and what it sees."""

    adversarial: AdversarialName = "non_saturating"
    """Adversarial loss."""
    margin: Annotated[float, Field(gt=0)] = 10.0
    """Energy above which a fake no longer counts, with adversarial margin (EBGAN); an energy is the Euclidean distance
    of an image from its reconstruction."""
    repelling: Weight = 0.0
    """Weight of the generator's term that keeps the codes of its images apart, with a discriminator that is an
    autoencoder; 0.1 in EBGAN."""
    unrolled_steps: Annotated[int, Field(ge=0)] = 0
    """Steps of the discriminator's Adam that the generator foresees (unrolled GAN); each costs the time and memory of
    one more step, so this is for small discriminators."""
    penalty: PenaltyName = "none"
    """Regularisation of the discriminator: a penalty on its gradient between reals and fakes (WGAN-GP), at reals (r1),
    at fakes (r2) or at both (zero_centred, as in R3GAN), or clipped weights (WGAN)."""
    penalty_weight: Weight | None = None
    """Weight of the penalty; null is 10 for gradient, and for r1, r2 and zero_centred 0.0002 for each square pixel of
    the receptive field of a logit."""
    penalty_every_steps: Positive = 1
    """Apply the penalty only every so many steps, in its own update and with so many times the weight (lazy)."""
    clip: Annotated[float, Field(gt=0)] = 0.01
    """Largest absolute weight of the discriminator, with penalty clip."""
    smoothing: Annotated[float, Field(ge=0, lt=0.5)] = 0.0
    """How far the discriminator's label of reals is below 1: 0.1 is one-sided smoothing (Salimans et al. 2016)."""
    smoothing_fake: Annotated[float, Field(ge=0, lt=0.5)] = 0.0
    """How far its label of fakes is above 0; with `smoothing`, it is two-sided."""
    flip: Annotated[float, Field(ge=0, lt=0.5)] = 0.0
    """Probability that the discriminator is given the other label for an image."""
    instance_noise: Weight = 0.0
    """Standard deviation of noise on all that the discriminator sees, for images in [-1, 1] (Sonderby et al. 2017);
    every look draws its own."""
    diffaugment: tuple[DiffAugmentName, ...] = ()
    """How reals and fakes are augmented before the discriminator sees them, and the generator learns through
    (DiffAugment); the images of a pair alike."""
    adaptive: AdaptiveSettings | None = None
    """How the probability of each augmentation in diffaugment follows the discriminator (adaptive discriminator
    augmentation); null is always 1."""
    drift: Weight = 0.0
    """Weight of the discriminator's squared logits of reals, which keeps them near zero; 0.001 in ProGAN."""
    history: Annotated[int, Field(ge=0)] = 0
    """Size of the image pool: past fakes that the discriminator also learns from; 0 is none."""

    @property
    def draws(self) -> bool:
        """Whether the terms draw random numbers of the process, or may: a loss of a plugin."""
        known = self.adversarial in get_args(AdversarialName) and self.penalty != "gradient"
        return not known or is_ever_on(self.instance_noise) or bool(self.diffaugment or self.flip)

    @model_validator(mode="after")
    def _refuse_unused_settings(self) -> Self:
        weighted = self.penalty_weight is not None or self.penalty_every_steps > 1
        if weighted and self.penalty not in PENALTIES:
            raise ValueError(
                f"penalty_weight and penalty_every_steps have no effect with penalty {self.penalty}; leave them out, "
                f"or choose {', '.join(PENALTIES)}"
            )
        if self.penalty != "clip" and self.clip != type(self).model_fields["clip"].default:
            raise ValueError(f"clip has no effect with penalty {self.penalty}; leave it out, or set penalty to clip")
        if self.adversarial != "margin" and self.margin != type(self).model_fields["margin"].default:
            raise ValueError(f"margin has no effect with adversarial {self.adversarial}; leave it out")
        if self.adaptive and not self.diffaugment:
            raise ValueError("adaptive changes how often diffaugment is applied, which is []; choose augmentations")
        if self.adaptive and ADVERSARIAL[self.adversarial].boundary is None:
            raise ValueError(
                f"adaptive asks how often logits say real, and those of adversarial {self.adversarial} do not; choose "
                f"{', '.join(name for name, loss in ADVERSARIAL.items() if loss.boundary is not None)}"
            )
        if self.unrolled_steps and (self.penalty == "clip" or ADVERSARIAL[self.adversarial].is_relative):
            raise ValueError(
                "unrolled_steps goes neither with penalty clip nor with adversarial relativistic; set it to 0, or "
                "choose others"
            )
        if self.changes_labels and ADVERSARIAL[self.adversarial].toward is None:
            labelled = [name for name, loss in ADVERSARIAL.items() if loss.toward]
            raise ValueError(
                f"smoothing, smoothing_fake and flip change labels, and adversarial {self.adversarial} has none; leave "
                f"them out, or choose {', '.join(labelled)}"
            )
        return self

    @property
    def changes_labels(self) -> bool:
        """Whether the discriminator learns from other labels than 1 and 0."""
        return max(self.smoothing, self.smoothing_fake, self.flip) > 0
