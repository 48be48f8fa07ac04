"""Conditional GAN: Mirza, Osindero 2014, "Conditional Generative Adversarial Nets".

The generator takes the labels in addition to noise: its first layer is linear, so it sums an embedding of each label.
The discriminator takes them by projection (Miyato and Koyama 2018, "cGANs with projection discriminator"), or beside
the image as in the paper; or it tells them from the image, as an auxiliary classifier (Odena, Olah, Shlens 2017,
"Conditional image synthesis with auxiliary classifier GANs").

Or the discriminator is a classifier with one class more, for fakes (Salimans et al. 2016, "Improved techniques for
training GANs", section 5; Odena 2016, "Semi-supervised learning with GANs"). Then most pictures need no label.
"""

from typing import Literal, Self

from pydantic import model_validator
from torch import Tensor

from i2i.algorithms.base import Batch, Outputs
from i2i.algorithms.gan import GAN, GANSettings
from i2i.config.section import Weight
from i2i.config.settings import Config
from i2i.errors import ConfigError
from i2i.models.spec import LatentBlock

TELLING = ("auxiliary", "semi_supervised")
"""Conditions with which the discriminator tells labels from images."""


class ConditionalGANSettings(GANSettings):
    """The objective of a conditional GAN."""

    condition: Literal["projection", "concatenation", "auxiliary", "semi_supervised", "none"] = "projection"
    """How the discriminator meets the labels: as a product with its features, as planes beside the image, by telling
    them from the image, by classes of reals beside one of fakes, or not at all, so that the generator learns to ignore
    them. With semi_supervised, pictures may be without a label."""
    classification: Weight = 1.0
    """Weight of telling the labels, in both players' loss, with condition auxiliary or semi_supervised."""

    @model_validator(mode="after")
    def _classifies(self) -> Self:
        if self.classification != 1 and self.condition not in TELLING:
            raise ValueError(
                f"classification has no effect with condition {self.condition}; leave it out, or set condition to "
                f"{' or '.join(TELLING)}"
            )
        return self


class ConditionalGAN(GAN):
    """A generator from noise and labels against a discriminator that sees the labels."""

    Settings = ConditionalGANSettings
    reads_labels = needs_labels = True

    def __init__(self, config: Config):
        if not config.data.classes:
            raise ConfigError(
                f"{config.algorithm} takes its classes from the data, which has none. Add --data, or add a column of "
                "classes to the table of data.labels."
            )
        if "noise" in config.data.classes:
            raise ConfigError("A label set is called noise, the name of another part of the latent. Rename the column.")
        super().__init__(config)
        self.is_semi_supervised = self.labels.seen_by == "semi_supervised"
        self.adversaries["D"].counts_classes = self.is_semi_supervised
        if config.data.unlabelled and not self.is_semi_supervised:
            raise ConfigError(
                f"data.unlabelled is true, but with loss.condition {self.labels.seen_by} every picture needs a label. "
                "Leave it out, or set loss.condition to semi_supervised."
            )
        if self.is_semi_supervised:
            _refuse_other_verdicts(config, self.adversaries["D"].is_energy)

    @property
    def blocks(self) -> tuple[LatentBlock, ...]:
        """Noise, and a one-hot block for each label set."""
        return (*super().blocks, *self.labels.blocks)

    def known_blocks(self, batch: Batch) -> dict[str, Tensor]:
        """The one-hot labels y of the reals (eq. 2), by label set, (N, classes) each; none if they are withheld from D.

        Where they are withheld, those of fakes are drawn: D has just learned from these reals, and G would find out
        which labels go with what D likes in this step. They are drawn, too, where not all reals have a label.
        """
        drawn = self.is_semi_supervised or self.labels.seen_by == "none"
        return {} if drawn else self.labels.each(batch["label"])

    @property
    def heads(self) -> dict[str, int]:
        """The auxiliary classifier: logits of each label set."""
        return {block.name: block.size for block in self.labels.blocks if self.labels.seen_by in TELLING}

    def losses(self, phase: str, batch: Batch, outputs: Outputs) -> dict[str, Tensor]:
        """Those of a GAN; with an auxiliary classifier also -L_C (Odena et al., eq. 3), for G of fakes alone.

        Semi-supervised, L_C of D is that of reals with a label alone: fakes are of a class of their own.
        """
        terms = super().losses(phase, batch, outputs)
        if not self.heads or phase == "penalty":
            return terms
        if phase == "generator":
            return terms | self._classify("G", outputs["fake"], outputs)
        told = self._classify("D", self.real(batch), batch)
        if not self.is_semi_supervised:
            others = self._classify("D", outputs["fake"].detach(), outputs)
            told = {name: term + others[name] for name, term in told.items()}
        return terms | told

    def _classify(self, player: str, images: Tensor, of: Batch | Outputs) -> dict[str, Tensor]:
        """Return -log D(y|x) of each label set, the mean over the images with a label; 0 where there is none."""
        told = self.adversaries["D"].judge(images).heads or {}
        given = self.labels.each(of["label"]) if "label" in of else {}
        labels = given or {name: self.block_of(name, of) for name in self.heads}
        terms = {}
        for name, label in labels.items():
            likelihood = (label * told[name].log_softmax(dim=1)).sum(dim=1)
            terms[f"{player}_class_{name}"] = -likelihood.sum() / label.sum().clamp_min(1)
        return terms

    def weights(self) -> dict[str, float]:
        """Those of a GAN, and that of each label set for both players."""
        names = [f"{player}_class_{name}" for player in "DG" for name in self.heads]
        return super().weights() | dict.fromkeys(names, self.weight("classification"))


def _refuse_other_verdicts(config: Config, is_energy: bool) -> None:
    """Raise ConfigError for a discriminator whose verdict would be lost where the classes are the verdict."""
    settings = config.discriminator
    assert settings is not None
    shown = {name: getattr(settings, name, None) for name in ("minibatch_std", "minibatch_discrimination")}
    lost = [name for name, value in shown.items() if value not in (None, False, "none")]
    if lost:
        raise ConfigError(
            f"discriminator.{lost[0]} is {shown[lost[0]]}, which only changes the logit of real and fake, but with "
            "loss.condition semi_supervised the classes decide. Leave it out."
        )
    if is_energy:
        raise ConfigError(
            f"discriminator.name is {settings.name}, which judges by an energy, but with loss.condition "
            "semi_supervised the classes decide. Use dcgan or patchgan."
        )
