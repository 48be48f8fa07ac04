"""Adaptive augmentation: Karras et al. 2020, "Training Generative Adversarial Networks with Limited Data".

Each augmentation changes an image with a probability, which rises where the discriminator overfits and falls where it
does not (section 3.1). It is measured by r_t (eq. 1): the mean sign of the logits of reals, 1 where D is sure of all.
"""

from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor

from i2i.config.section import Positive, Section

_MEMORY_IMAGES = 256
"""Over so many reals r_t is a running mean: 4 batches of 64, as in the authors' code."""


class AdaptiveSettings(Section):
    """How the probability of the augmentations in diffaugment follows the discriminator."""

    target: Annotated[float, Field(gt=-1, lt=1)] = 0.6
    """Mean sign of the logits of reals above which the probability rises, and below which it falls."""
    over_images: Positive = 500_000
    """Images of each device in which it can rise from 0 to 1."""


class AdaptiveProbability:
    """The probability, from 0 on. It stays on the device, where a recorded step reads and changes it."""

    def __init__(self, settings: AdaptiveSettings):
        self.settings = settings
        self.probability, self.sign = torch.zeros(()), torch.zeros(())

    def to(self, device: torch.device) -> None:
        """Move it to a device."""
        self.probability, self.sign = self.probability.to(device), self.sign.to(device)

    @torch.no_grad()
    def update(self, real_logits: Tensor, boundary: float, images: int) -> None:
        """Learn from a batch of reals: their logits, the logit at which D is undecided, and how many they are."""
        signs = (real_logits - boundary).sign().mean()
        self.sign.lerp_(signs.to(self.sign), min(images / _MEMORY_IMAGES, 1.0))
        step = (self.sign - self.settings.target).sign() * images / self.settings.over_images
        self.probability.add_(step).clamp_(0.0, 1.0)

    def state_dict(self) -> dict[str, Any]:
        """Return the probability and the running mean of signs."""
        return {"probability": self.probability.cpu(), "sign": self.sign.cpu()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned, on the device."""
        self.probability.copy_(state["probability"])
        self.sign.copy_(state["sign"])
