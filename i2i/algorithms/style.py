"""StyleGAN: Karras, Laine, Aila 2019, "A style-based generator architecture for generative adversarial networks".

With the regularisation of StyleGAN2 (Karras et al. 2020, "Analyzing and improving the image quality of StyleGAN"): R1
and path length are lazy, each in a phase of its own.

A latent holds all that decides an image: z, another z, how far each layer mixes in the other's style, and the
truncation (see StyleGenerator). Training draws mixes; elsewhere nothing is mixed unless asked for.
"""

import math
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor

from i2i.algorithms.adversary_settings import PenaltyName
from i2i.algorithms.base import Batch, Outputs
from i2i.algorithms.building import noise_size
from i2i.algorithms.gan import GAN, GANSettings
from i2i.algorithms.phases import Phase
from i2i.algorithms.priors import draw
from i2i.config.generators import StyleGeneratorSettings
from i2i.config.section import Positive, Weight, is_ever_on
from i2i.config.settings import Config
from i2i.errors import ConfigError
from i2i.models.spec import LatentBlock
from i2i.models.styles import FINE, SHARE, TRUNCATION
from i2i.networks.style import layer_count

_PATH_FRESH = 0.01  # of each batch in the mean path length (Karras et al. 2020, appendix B)


class StyleSettings(GANSettings):
    """The objective of StyleGAN."""

    penalty: PenaltyName = "r1"
    """Regularisation of the discriminator, as for every adversary. Without a penalty_weight, that of r1, r2 and
    zero_centred is 0.0002 for each square pixel of the image, divided by the batch (StyleGAN2-ADA)."""
    mixing: Annotated[float, Field(ge=0, le=1)] = 0.9
    """Probability that an image of the training has two styles, one up to some layer and another from it on."""
    path_length: Weight = 0.0
    """Weight of the path length, which lets equal steps of a style change the image equally; 2 in StyleGAN2."""
    path_every_steps: Positive = 8
    """Apply it only every so many steps, in its own update and with so many times the weight (lazy)."""


class Style(GAN):
    """A generator by styles against a discriminator."""

    Settings = StyleSettings

    def __init__(self, config: Config):
        if not isinstance(config.generator, StyleGeneratorSettings):
            raise ConfigError(f"generator.name is {config.generator.name}, which has no styles. Use style.")
        super().__init__(config)
        self.path_mean = torch.zeros(())
        if is_ever_on(self.settings.path_length):
            path = Phase("path", ("generator",), self.settings.path_every_steps, optimizer="generator")
            self.phases = (*self.phases, path)

    @property
    def blocks(self) -> tuple[LatentBlock, ...]:
        """The blocks of a latent."""
        fine = LatentBlock(name=FINE, size=noise_size(self.config))
        share = LatentBlock(name=SHARE, size=layer_count(self.config.data.crop_px), prior="constant", value=0)
        return (*super().blocks, fine, share, LatentBlock(name=TRUNCATION, size=1, prior="constant", value=1))

    def known_blocks(self, batch: Batch) -> dict[str, Tensor]:
        """The shares of the other style: for a part of the images, 1 from a random layer on (section 3.1)."""
        image = batch["image"]
        layers = torch.arange(layer_count(self.config.data.crop_px), device=image.device)
        first = torch.randint(1, len(layers), (len(image), 1), device=image.device)
        mixes = torch.rand(len(image), 1, device=image.device) < self.settings.mixing
        return {SHARE: (mixes & (layers >= first)).to(image.dtype)}

    def losses(self, phase: str, batch: Batch, outputs: Outputs) -> dict[str, Tensor]:
        """As every GAN's; in the phase of the path length, that alone."""
        return {"G_path": self._path(batch)} if phase == "path" else super().losses(phase, batch, outputs)

    def weights(self) -> dict[str, float]:
        """As every GAN's; a lazy term counts for all steps of its interval."""
        weights = super().weights()
        if "D_penalty" in weights and self.settings.penalty != "gradient" and self.settings.penalty_weight is None:
            train = self.config.train
            weights["D_penalty"] /= train.step_images * train.devices * train.nodes
        if is_ever_on(self.settings.path_length):
            weights["G_path"] = self.settings.path_every_steps * self.weight("path_length")
        return weights

    def _path(self, batch: Batch) -> Tensor:
        """(|J^T y| - a)^2 for random images y, where J is dG/dw and a the running mean (Karras et al. 2020, eq. 4).

        Of half the batch, as in the authors' code, and new fakes, since the update of G has used up the others.
        """
        latent = draw(self.blocks, batch["image"], self.known_blocks(batch))[: -(-len(batch["image"]) // 2)]
        image, styles = self.networks["generator"](latent, with_styles=True)
        noise = torch.randn_like(image) / math.sqrt(image[0, 0].numel())
        (gradient,) = torch.autograd.grad((image * noise).sum(), styles, create_graph=True)
        # The small term keeps the gradient of the root finite where the length is 0.
        lengths = (gradient.square().sum(dim=2).mean(dim=1) + 1e-12).sqrt()
        self.path_mean = self.path_mean.to(lengths.device).lerp(lengths.detach().mean(), _PATH_FRESH)
        return (lengths - self.path_mean).square().mean()

    def state_dict(self) -> dict[str, Any]:
        """As every GAN's, with the mean path length."""
        return super().state_dict() | {"path_mean": self.path_mean}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        super().load_state_dict(state)
        self.path_mean = state["path_mean"]
