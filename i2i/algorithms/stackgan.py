"""StackGAN: Zhang, Xu, Li, Zhang, Wang, Huang, Metaxas, "Text to Photo-realistic Image Synthesis", 2017.

The generator draws its condition from a Gaussian around the text (conditioning augmentation). The discriminator is
matching-aware: besides fakes, it learns to reject reals that come with the text of another image.

Differences from the paper: a text is a hashed bag of words (see i2i.models.texts), and the discriminator takes it by
projection, as in conditional_gan. The weights of terms are those of the authors' code.

The second stage has the same objective, and a generator that holds a frozen first stage: that of `train.after`.
"""

import numpy as np
import torch
from torch import Tensor

from i2i.algorithms.base import Batch, Outputs, Shown
from i2i.algorithms.gan import GAN, GANSettings
from i2i.algorithms.nodata import greyed
from i2i.algorithms.priors import draw
from i2i.algorithms.smoothing import compare, mean
from i2i.config.generators import StackGANGeneratorSettings, StackGANSecondSettings
from i2i.config.section import Weight
from i2i.config.settings import Config
from i2i.data.labels import decode_text
from i2i.errors import ConfigError
from i2i.models.spec import LatentBlock
from i2i.models.texts import hash_text
from i2i.networks import StackGANGenerator, StackGANSecond


class StackGANSettings(GANSettings):
    """The objective of StackGAN."""

    wrong_text: bool = True
    """Whether the discriminator also learns to reject reals with the text of another image, with half the weight of
    all that it rejects."""
    kl: Weight = 1.0
    """Weight of the divergence of the drawn condition from a standard normal one, a mean over its numbers."""


class StackGAN(GAN):
    """A generator from noise and text against a discriminator that sees whether image and text match."""

    Settings = StackGANSettings
    reads_labels = needs_labels = True
    recordable = False  # texts are hashed on the host

    def __init__(self, config: Config):
        if not isinstance(config.generator, StackGANGeneratorSettings | StackGANSecondSettings):
            raise ConfigError(
                f"generator.name is {config.generator.name}, which takes no text. Use stackgan or stackgan_2."
            )
        self.is_second = isinstance(config.generator, StackGANSecondSettings)
        if not config.data.texts:
            raise ConfigError(
                f"{config.algorithm} learns from texts. Add --data, and set data.labels to a CSV file and data.text to "
                "its column of texts."
            )
        self.text_size = config.generator.text
        super().__init__(config)

    @property
    def blocks(self) -> tuple[LatentBlock, ...]:
        """Noise, the noise of the augmentation, the text, and the noise of the second stage's augmentation."""
        settings = self.config.generator
        assert isinstance(settings, StackGANGeneratorSettings | StackGANSecondSettings)
        drawn = LatentBlock(name="augmentation", size=settings.augmentation)
        text = LatentBlock(name="text", size=settings.text, prior="text", texts=self.config.data.texts)
        again = (drawn.model_copy(update={"name": "augmentation_2"}),) if self.is_second else ()
        return (*super().blocks, drawn, text, *again)

    def forward(self, batch: Batch) -> Outputs:
        """G(z, c), one for every real image and its text, eq. 3 and 4."""
        image = batch["image"]
        texts = [hash_text(decode_text(row), self.text_size) for row in batch["text"].cpu().numpy()]
        text = torch.from_numpy(np.stack(texts)).to(image)
        made = self.networks["generator"](draw(self.blocks, image, {"text": text}))
        return {"fake": greyed(made, self.valid(batch)), "text": text}

    def shown(self, batch: Batch, outputs: Outputs) -> dict[str, Shown]:
        """Reals and fakes, each with its text."""
        return {"D": Shown(self.real(batch), outputs["fake"], outputs["text"])}

    def losses(self, phase: str, batch: Batch, outputs: Outputs) -> dict[str, Tensor]:
        """As every GAN's; D also gets reals with a wrong text."""
        terms = super().losses(phase, batch, outputs)
        if phase == "discriminator" and self.settings.wrong_text:
            terms["D_wrong"] = self._wrong(self.real(batch), outputs["text"])
        return terms

    def generator_losses(self, batch: Batch, outputs: Outputs) -> dict[str, Tensor]:
        """Eq. 4, the generator's part."""
        generator = self.networks["generator"]
        assert isinstance(generator, StackGANGenerator | StackGANSecond)
        divergence = kl_from_standard(*generator.augmentation.moments(outputs["text"]))  # eq. 2
        return {**super().generator_losses(batch, outputs), "G_KL": divergence}

    def generator_weights(self) -> dict[str, float]:
        """Eq. 4: lambda."""
        return {"G_GAN": 1.0, "G_KL": self.weight("kl")}

    def weights(self) -> dict[str, float]:
        """As every GAN's; fakes and wrong texts share the weight of what D rejects."""
        weights = super().weights()
        if not self.settings.wrong_text:
            return weights
        shared = ("D_real", "D_fake") if self.adversaries["D"].loss.is_relative else ("D_fake",)  # both of each pair
        return weights | {name: weights[name] / 2 for name in shared} | {"D_wrong": weights["D_fake"] / 2}

    def _wrong(self, real: Tensor, text: Tensor) -> Tensor:
        """D's term of reals with the next other text of the batch; 0 where all texts are the same."""
        others = next_other(text)
        has_other = others >= 0
        any_other = bool(has_other.any())
        rows = has_other if any_other else torch.ones_like(has_other)
        adversary, shown, right = self.adversaries["D"], real[rows], text[rows]
        on_wrong = adversary.judge(shown, text[others[rows]]).scales
        on_right = adversary.judge(shown, right).scales if adversary.loss.is_relative else on_wrong
        scales = list(zip(on_right, on_wrong, strict=True))
        terms = compare(scales, adversary.loss, adversary.settings)
        term = mean([one + other if adversary.loss.is_relative else other for one, other in terms])
        # D looks even where the term is 0: each look moves the vectors of spectral norm, on all ranks alike.
        return term if any_other else 0 * term


def next_other(rows: Tensor) -> Tensor:
    """Return for each of (N, K) the number of the next row, in a circle, that differs from it, (N,); -1 for none."""
    numbers = torch.arange(len(rows), device=rows.device)
    ahead = (numbers[None] - numbers[:, None]) % len(rows)
    ahead = torch.where((rows[:, None] != rows[None]).any(dim=2), ahead, len(rows))
    nearest = ahead.min(dim=1)
    return torch.where(nearest.values < len(rows), nearest.indices, -1)


def kl_from_standard(mu: Tensor, log_sigma: Tensor) -> Tensor:
    """KL(N(mu, sigma^2) || N(0, 1)) = (mu^2 + sigma^2 - 1) / 2 - log sigma, the mean over numbers (eq. 2)."""
    return ((mu.square() + (2 * log_sigma).exp() - 1) / 2 - log_sigma).mean()
