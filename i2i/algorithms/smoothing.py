"""The discriminator's terms at every scale, with smoothed and flipped labels (Salimans et al. 2016, section 3.4)."""

from collections.abc import Sequence

import torch
from torch import Tensor

from i2i.algorithms.adversary_settings import AdversarySettings
from i2i.losses import AdversarialLoss

Scales = Sequence[tuple[Tensor, Tensor]]
"""The logits of reals and of fakes, (N, ...) each, at every scale."""


def mean(terms: Sequence[Tensor]) -> Tensor:
    """Return the mean of scalars; one alone is returned as it is."""
    return terms[0] if len(terms) == 1 else torch.stack(list(terms)).mean()


def compare(scales: Scales, loss: AdversarialLoss, settings: AdversarySettings) -> list[tuple[Tensor, Tensor]]:
    """Return the discriminator's real and fake terms at each scale, at all with the same labels."""
    if loss.toward is None or not settings.changes_labels:
        return [loss.d(on_real, on_fake) for on_real, on_fake in scales]
    real, fake = 1 - settings.smoothing, settings.smoothing_fake
    reals = draw_labels(scales[0][0], real, fake, settings.flip)
    fakes = draw_labels(scales[0][1], fake, real, settings.flip)
    return [
        (loss.toward(on_real, as_logits(reals, on_real)), loss.toward(on_fake, as_logits(fakes, on_fake)))
        for on_real, on_fake in scales
    ]


def draw_labels(logits: Tensor, label: float, other: float, flip: float) -> Tensor:
    """Return a label for each image of logits (N, ...), (N,): `label`, or `other` with the probability `flip`."""
    labels = logits.new_full((len(logits),), label)
    if not flip:
        return labels
    return torch.where(torch.rand(len(logits), device=logits.device) < flip, other, labels)


def as_logits(labels: Tensor, logits: Tensor) -> Tensor:
    """Return labels (N,) in the shape of logits (N, ...)."""
    return labels.view(-1, *[1] * (logits.dim() - 1)).expand_as(logits)
