"""The adversarial part of an objective: a discriminator with its loss, its penalty and its image pool.

An algorithm has one adversary for each discriminator. pix2pix, CycleGAN and the GANs share its settings, so
that every loss and every penalty works in all of them.
"""

from collections.abc import Mapping, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from i2i.algorithms.adversary_settings import AdversarySettings
from i2i.algorithms.judge import Judge
from i2i.algorithms.labels import exchange
from i2i.algorithms.smoothing import Scales, compare, mean
from i2i.algorithms.unrolling import Weights, unroll
from i2i.config.section import Weight, is_ever_on, weight_at
from i2i.errors import ConfigError
from i2i.losses import ADVERSARIAL, PENALTIES, AdversarialLoss, drift, feature_matching, margin_d, pulling_away
from i2i.networks import DiscriminatorOutput
from i2i.networks.batches import pack, unpack
from i2i.networks.layers import has_batch_norm, has_spectral_norm
from i2i.networks.layout import keep_layout

_R1_PER_SQUARE_PX = 2e-4
"""The weight of R1, R2 and both together is proportional to the receptive field of a logit: the rule of StyleGAN2-ADA
(Karras et al. 2020), for a batch of one."""


class Adversary(Judge):
    """One discriminator and its part of the objective.

    networks: the algorithm's, in which `name` is the discriminator. prefix: of its terms in the log.
    share: the weight of its real and fake terms, 0.5 where a paper halves D's objective. stack, concatenates: as Judge
    takes them.
    """

    def __init__(
        self,
        networks: Mapping[str, nn.Module],
        name: str,
        settings: AdversarySettings,
        prefix: str = "D",
        share: float = 1.0,
        stack: Sequence[int] = (),
        concatenates: bool = False,
    ):
        super().__init__(networks, name, settings, stack, concatenates)
        _refuse(settings, self)
        self.prefix, self.share, self.loss = prefix, share, _loss(settings)
        self.penalty = PENALTIES.get(settings.penalty)
        self.is_lazy = self.penalty is not None and settings.penalty_every_steps > 1

    @property
    def notes(self) -> list[str]:
        """Notes for the user on the settings."""
        unbounded = self.settings.penalty == "none" and not has_spectral_norm(self.network)
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
        if is_ever_on(self.settings.repelling):
            weights[self._repelling] = weight_at(self.settings.repelling, images)
        if self.penalty:
            every = self.settings.penalty_every_steps
            weights[f"{self.prefix}_penalty"] = every * weight_at(self._penalty_weight, images)
        return weights

    @property
    def _repelling(self) -> str:
        return f"G_repelling{self.prefix[1:]}"

    @property
    def _penalty_weight(self) -> Weight:
        if self.settings.penalty_weight is not None:
            return self.settings.penalty_weight
        if self.settings.penalty == "gradient":
            return 10.0  # Gulrajani et al. 2017, section 4
        return _R1_PER_SQUARE_PX * self.field_px**2 if self.field_px else 1.0

    def discriminate(self, real: Tensor, fake: Tensor, condition: Tensor | None = None) -> dict[str, Tensor]:
        """Return the discriminator's terms and its accuracies; fakes are detached here."""
        if self.settings.penalty == "clip":
            self._clip()
        shown, of_shown = exchange(self.pool, fake.detach(), condition)
        terms, scales = self._compare(real, shown, condition, of_shown)
        if self.penalty and not self.is_lazy:  # at new fakes, as a lazy one: past ones may have other labels
            terms |= self.penalise(real, fake, condition)
        if self.adaptive:
            assert self.loss.boundary is not None
            self.adaptive.update(scales[0][0], self.loss.boundary, len(real))
            terms[f"{self.prefix}_augmentation"] = self.adaptive.probability.clone()
        if self.loss.boundary is not None:
            on_real, on_fake = (torch.cat([one.flatten() for one in side]) for side in zip(*scales, strict=True))
            terms[f"{self.prefix}_real_accuracy"] = (on_real > self.loss.boundary).float().mean()
            terms[f"{self.prefix}_fake_accuracy"] = (on_fake < self.loss.boundary).float().mean()
        return terms

    def _compare(
        self, real: Tensor, shown: Tensor, condition: Tensor | None, of_shown: Tensor | None
    ) -> tuple[dict[str, Tensor], Scales]:
        """Return the terms that the discriminator minimises but for the penalty, and the logits of both."""
        scales = list(zip(self.judge(real, condition).scales, self.judge(shown, of_shown).scales, strict=True))
        real_terms, fake_terms = zip(*compare(scales, self.loss, self.settings), strict=True)
        terms = {f"{self.prefix}_real": mean(real_terms), f"{self.prefix}_fake": mean(fake_terms)}
        if is_ever_on(self.settings.drift):
            terms[f"{self.prefix}_drift"] = mean([drift(on_real) for on_real, _ in scales])
        return terms, scales

    def penalise(self, real: Tensor, fake: Tensor, condition: Tensor | None = None) -> dict[str, Tensor]:
        """Return the penalty alone, for the phase of a lazy one."""
        assert self.penalty is not None
        count = self.packing
        whole = None if condition is None else unpack(pack(condition, count), count)

        def logits(packs: Tensor) -> Tensor:
            return _image_logits(self.judge(unpack(packs, count), whole))

        value = self.penalty(logits, pack(real, count), pack(fake.detach(), count))  # the slope of a whole pack
        return {f"{self.prefix}_penalty": value}

    def fool(self, real: Tensor, fake: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return the generator's term."""
        if self.settings.unrolled_steps:
            return self._foresee(real, fake, condition)
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
        fooled = self.fool(real, fake, condition) if self.settings.unrolled_steps else self._fool(output, on_real)
        return fooled, feature_matching([keep_layout(one) for one in output.features], on_real.features)

    def repel(self, real: Tensor, fake: Tensor, condition: Tensor | None = None) -> dict[str, Tensor]:
        """Return the repelling term of the generator, if it is on."""
        if not is_ever_on(self.settings.repelling):
            return {}
        return {self._repelling: pulling_away(self.judge(fake, condition).features[-1])}

    def _foresee(self, real: Tensor, fake: Tensor, condition: Tensor | None) -> Tensor:
        """Return the generator's term against the unrolled discriminator, whose real term depends on fakes, too."""
        assert self.optimizer is not None
        weights = self.weights(self.images)

        def loss(foreseen: Weights) -> Tensor:
            with self.with_weights(foreseen):
                terms, _ = self._compare(real, fake, condition, condition)
                if self.penalty and not self.is_lazy:
                    terms |= self.penalise(real, fake, condition)
            return torch.stack([weights[name] * term for name, term in terms.items() if name in weights]).sum()

        with self.with_weights(unroll(self.network, self.optimizer, loss, self.settings.unrolled_steps)):
            on_real, on_fake = self.judge(real, condition).scales, self.judge(fake, condition).scales
        scales = list(zip(on_real, on_fake, strict=True))
        return mean([self.loss.g(None, on_fake) - self.loss.d(on_real, on_fake)[0] for on_real, on_fake in scales])

    def _fool(self, on_fake: DiscriminatorOutput, on_real: DiscriminatorOutput | None = None) -> Tensor:
        reals = on_real.scales if on_real else [None] * len(on_fake.scales)
        return mean([self.loss.g(real, fake) for real, fake in zip(reals, on_fake.scales, strict=True)])

    @torch.no_grad()
    def _clip(self) -> None:
        """Bound the weights (Arjovsky et al. 2017, algorithm 1, line 7), before each step of D as in their code."""
        for parameter in self.network.parameters():
            parameter.clamp_(-self.settings.clip, self.settings.clip)


def _loss(settings: AdversarySettings) -> AdversarialLoss:
    loss = ADVERSARIAL[settings.adversarial]
    return loss._replace(d=partial(margin_d, margin=settings.margin)) if settings.adversarial == "margin" else loss


def _refuse(settings: AdversarySettings, judge: Judge) -> None:
    """Raise ConfigError for settings that do not go with the discriminator."""
    if settings.penalty in PENALTIES and has_batch_norm(judge.network):
        raise ConfigError(
            f"loss.penalty is {settings.penalty}, which needs the gradient of each image by itself, but "
            "discriminator.norm batch mixes the images of a batch.\n"
            "Set discriminator.norm to instance, layer, group or none."
        )
    if settings.penalty == "clip" and has_spectral_norm(judge.network):
        raise ConfigError(
            "loss.penalty clip and discriminator.spectral_norm both bound the weights. Leave one of them out."
        )
    if judge.is_energy and ADVERSARIAL[settings.adversarial].boundary is not None:
        raise ConfigError(
            f"discriminator.name is an autoencoder, whose energies have no boundary between real and fake, but "
            f"loss.adversarial {settings.adversarial} needs one. Set loss.adversarial to margin, wasserstein or "
            "relativistic."
        )
    needs_energy = {"adversarial": settings.adversarial == "margin", "repelling": is_ever_on(settings.repelling)}
    for name, is_on in needs_energy.items():
        if is_on and not judge.is_energy:
            raise ConfigError(
                f"loss.{name} is {getattr(settings, name)}, which needs a discriminator that is an autoencoder. Set "
                "discriminator.name to autoencoder, or to mlp_autoencoder for points."
            )
    if settings.diffaugment and judge.field_px is None:
        raise ConfigError(
            f"loss.diffaugment is {', '.join(settings.diffaugment)}, which changes pictures, but data.toy has points. "
            "Set it to []."
        )


def _image_logits(output: DiscriminatorOutput) -> Tensor:
    """Return the logits of which the losses take the mean: one for each image and scale, (N, scales), if several."""
    if not output.coarser:
        return output.logits
    return torch.stack([one.flatten(1).mean(dim=1) for one in output.scales], dim=1)
