"""The adversarial part of an objective: a discriminator with its loss, its penalty and its image pool.

An algorithm has one adversary for each discriminator. pix2pix, CycleGAN and the GANs share its settings, so
that every loss and every penalty works in all of them.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from i2i.algorithms.adversary_settings import AdversarySettings
from i2i.algorithms.diffaugment import augment
from i2i.algorithms.image_pool import ImagePool
from i2i.config.section import Weight, is_ever_on, weight_at
from i2i.errors import ConfigError
from i2i.losses import ADVERSARIAL, PENALTIES, AdversarialLoss, drift, feature_matching
from i2i.networks import Discriminator, DiscriminatorOutput
from i2i.networks.batches import pack, unpack
from i2i.networks.layers import has_batch_norm, has_spectral_norm

_R1_PER_SQUARE_PX = 2e-4
"""The weight of R1, R2 and both together is proportional to the receptive field of a logit: the rule of StyleGAN2-ADA
(Karras et al. 2020), for a batch of one."""


Scales = Sequence[tuple[Tensor, Tensor]]
"""The logits of reals and of fakes, (N, ...) each, at every scale."""


class Adversary:
    """One discriminator and its part of the objective.

    networks: the algorithm's, in which `name` is the discriminator. prefix: of its terms in the log.
    share: the weight of its real and fake terms, 0.5 where a paper halves D's objective. stack: the channels of each
    image, where it sees several stacked; by default one.
    """

    def __init__(
        self,
        networks: Mapping[str, nn.Module],
        name: str,
        settings: AdversarySettings,
        prefix: str = "D",
        share: float = 1.0,
        stack: Sequence[int] = (),
    ):
        self.networks, self.name, self.settings, self.prefix, self.share = networks, name, settings, prefix, share
        self.loss, self.stack = ADVERSARIAL[settings.adversarial], stack
        self.is_lazy = settings.penalty in PENALTIES and settings.penalty_every_steps > 1
        self.pool = ImagePool(settings.history, seed=0)
        self.noise: Tensor | None = None
        if is_ever_on(settings.instance_noise):  # on the device, where a recorded step reads it
            self.noise = torch.tensor(weight_at(settings.instance_noise, 0))
        network = networks[name]
        assert isinstance(network, Discriminator)
        _refuse(settings, network)
        self.field_px, self.packing = network.receptive_field_px, network.packing

    def begin(self, images: int) -> None:
        """Set what changes during a training, before each step."""
        if self.noise is not None:
            self.noise = self.noise.to(next(self.networks[self.name].parameters()).device)
            self.noise.fill_(weight_at(self.settings.instance_noise, images))

    @property
    def notes(self) -> list[str]:
        """Notes for the user on the settings."""
        unbounded = self.settings.penalty == "none" and not has_spectral_norm(self.networks[self.name])
        if self.settings.adversarial == "wasserstein" and unbounded:
            return [
                "loss.adversarial wasserstein needs a Lipschitz critic, and nothing makes it one: set loss.penalty "
                "to gradient or clip, or discriminator.spectral_norm to true."
            ]
        return []

    def weights(self, images: int) -> dict[str, float]:
        """Return the weights of its terms after `images`."""
        weights = {f"{self.prefix}_real": self.share, f"{self.prefix}_fake": self.share}
        if is_ever_on(self.settings.drift):
            weights[f"{self.prefix}_drift"] = weight_at(self.settings.drift, images)
        if self.settings.penalty in PENALTIES:
            every = self.settings.penalty_every_steps
            weights[f"{self.prefix}_penalty"] = every * weight_at(self._penalty_weight, images)
        return weights

    @property
    def _penalty_weight(self) -> Weight:
        if self.settings.penalty_weight is not None:
            return self.settings.penalty_weight
        if self.settings.penalty == "gradient":
            return 10.0  # Gulrajani et al. 2017, section 4
        return _R1_PER_SQUARE_PX * self.field_px**2 if self.field_px else 1.0

    def judge(self, image: Tensor, condition: Tensor | None = None) -> DiscriminatorOutput:
        """Return the discriminator's output for images (N, C, H, W), with a condition (N, K) if it takes one.

        Only here does it see images, so that the settings which change what it sees hold for every term.
        """
        if self.settings.diffaugment:
            image = augment(image, self.settings.diffaugment, self.stack or (image.shape[1],))
        if self.noise is not None:
            image = image + self.noise * torch.randn_like(image)
        inputs = (image,) if condition is None else (image, condition)
        output: DiscriminatorOutput = self.networks[self.name](*inputs)
        return output

    def discriminate(self, real: Tensor, fake: Tensor, condition: Tensor | None = None) -> dict[str, Tensor]:
        """Return the discriminator's terms and its accuracies; fakes are detached here."""
        if self.settings.penalty == "clip":
            self._clip()
        shown = self.pool.exchange(fake.detach())
        scales = list(zip(self.judge(real, condition).scales, self.judge(shown, condition).scales, strict=True))
        real_terms, fake_terms = zip(*compare(scales, self.loss, self.settings), strict=True)
        terms = {f"{self.prefix}_real": mean(real_terms), f"{self.prefix}_fake": mean(fake_terms)}
        if is_ever_on(self.settings.drift):
            terms[f"{self.prefix}_drift"] = mean([drift(on_real) for on_real, _ in scales])
        if self.settings.penalty in PENALTIES and not self.is_lazy:
            terms |= self.penalise(real, shown, condition)
        if self.loss.boundary is not None:
            on_real, on_fake = (torch.cat([one.flatten() for one in side]) for side in zip(*scales, strict=True))
            terms[f"{self.prefix}_real_accuracy"] = (on_real > self.loss.boundary).float().mean()
            terms[f"{self.prefix}_fake_accuracy"] = (on_fake < self.loss.boundary).float().mean()
        return terms

    def penalise(self, real: Tensor, fake: Tensor, condition: Tensor | None = None) -> dict[str, Tensor]:
        """Return the penalty alone, for the phase of a lazy one."""
        penalty, count = PENALTIES[self.settings.penalty], self.packing

        def logits(packs: Tensor) -> Tensor:
            return _image_logits(self.judge(unpack(packs, count), condition))

        value = penalty(logits, pack(real, count), pack(fake.detach(), count))  # the slope of a whole pack
        return {f"{self.prefix}_penalty": value}

    def fool(self, real: Tensor, fake: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return the generator's term."""
        if not self.loss.is_relative:
            return self._fool(self.judge(fake, condition))
        with torch.no_grad():
            on_real = self.judge(real, condition)
        return self._fool(self.judge(fake, condition), on_real)

    def fool_and_match(self, real: Tensor, fake: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the generator's term, and how far the discriminator's features of fakes are from those of reals."""
        with torch.no_grad():
            on_real = self.judge(real, condition)
        output = self.judge(fake, condition)
        return self._fool(output, on_real), feature_matching(output.features, on_real.features)

    def _fool(self, on_fake: DiscriminatorOutput, on_real: DiscriminatorOutput | None = None) -> Tensor:
        reals = on_real.scales if on_real else [None] * len(on_fake.scales)
        return mean([self.loss.g(real, fake) for real, fake in zip(reals, on_fake.scales, strict=True)])

    @torch.no_grad()
    def _clip(self) -> None:
        """Bound the weights (Arjovsky et al. 2017, algorithm 1, line 7), before each step of D as in their code."""
        for parameter in self.networks[self.name].parameters():
            parameter.clamp_(-self.settings.clip, self.settings.clip)

    def reseed(self, seed: int) -> None:
        """Start with an empty image pool whose draws depend on `seed`."""
        self.pool = ImagePool(self.settings.history, seed)

    def state_dict(self) -> dict[str, Any]:
        """Return the image pool, if there is one."""
        return self.pool.state_dict() if self.pool.size else {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the image pool, on the network's device."""
        if self.pool.size:
            self.pool.load_state_dict(state, next(self.networks[self.name].parameters()).device)


def _refuse(settings: AdversarySettings, network: Discriminator) -> None:
    """Raise ConfigError for settings that do not go with the discriminator."""
    if settings.penalty in PENALTIES and has_batch_norm(network):
        raise ConfigError(
            f"loss.penalty is {settings.penalty}, which needs the gradient of each image by itself, but "
            "discriminator.norm batch mixes the images of a batch.\n"
            "Set discriminator.norm to instance, layer, group or none."
        )
    if settings.penalty == "clip" and has_spectral_norm(network):
        raise ConfigError(
            "loss.penalty clip and discriminator.spectral_norm both bound the weights. Leave one of them out."
        )
    if settings.diffaugment and network.receptive_field_px is None:
        raise ConfigError(
            f"loss.diffaugment is {', '.join(settings.diffaugment)}, which changes pictures, but data.toy has points. "
            "Set it to []."
        )


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


def _image_logits(output: DiscriminatorOutput) -> Tensor:
    """Return the logits of which the losses take the mean: one for each image and scale, (N, scales), if several."""
    if not output.coarser:
        return output.logits
    return torch.stack([one.flatten(1).mean(dim=1) for one in output.scales], dim=1)
