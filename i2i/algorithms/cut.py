"""CUT and FastCUT: Park, Efros, Zhang, Zhu, "Contrastive Learning for Unpaired Image-to-Image Translation", 2020.

Notation: x is an image of the input domain, y one of the target domain, G the generator, whose first half is the
encoder, H the heads. Each patch of G(x) must match the patch of x at the same place better than any other patch.
FastCUT is CUT without the identity term, with ten times the PatchNCE weight and with flip equivariance.
"""

from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from i2i import losses
from i2i.algorithms.adversary import AdversarialName, Adversary
from i2i.algorithms.base import (
    Algorithm,
    Batch,
    Outputs,
    Phase,
    build_discriminator,
    build_generator,
    discriminator_phases,
)
from i2i.algorithms.terms import TranslationSettings
from i2i.config.section import Positive, Weight, is_ever_on, weight_at
from i2i.config.settings import Config, DataKind, by_direction
from i2i.errors import ConfigError
from i2i.networks import TranslatingGenerator
from i2i.networks.patch_heads import PatchHeads


class CUTSettings(TranslationSettings):
    """The objective of CUT."""

    adversarial: AdversarialName = "least_squares"
    """Adversarial loss."""
    nce: Weight = 1.0
    """Weight of PatchNCE between input and output, the paper's lambda_X."""
    identity: Weight = 1.0
    """Weight of PatchNCE between a picture of the target domain and its own translation, lambda_Y."""
    flip_equivariance: bool = False
    """Mirror half of the generator's inputs, and mirror the features of its outputs back."""
    layers: Annotated[tuple[str, ...], Field(min_length=1)] = ("input", "down.0", "down.1", "blocks.0", "blocks.4")
    """Stages of the generator whose features are compared; "input" is the image itself."""
    patches: Positive = 256
    """Number of places drawn in each picture and layer; all if there are fewer."""
    negatives: Literal["picture", "batch"] = "picture"
    """Where the negatives of a patch come from: the same picture, or all pictures in the batch."""
    temperature: Annotated[float, Field(gt=0)] = 0.07
    """Divisor of the similarities, the paper's tau."""
    head_width: Positive = 256
    """Length of the vectors that are compared."""


class CUT(Algorithm):
    """A generator against a discriminator, tied to its input patch by patch."""

    Settings = CUTSettings
    recordable = True
    data: ClassVar[DataKind] = "unpaired"

    def __init__(self, config: Config):
        super().__init__(config)
        self.direction = config.data.direction
        inputs, outputs = by_direction(self.direction, config.data.channels_a, config.data.channels_b)
        if inputs != outputs:
            raise ConfigError(
                f"{config.algorithm} passes its output through its own encoder, so both sides need the same number of "
                f"channels; data.channels_a is {config.data.channels_a}, data.channels_b {config.data.channels_b}. "
                "Make them equal, or use another algorithm."
            )
        self.identity = is_ever_on(self.settings.identity)
        self.generators = {self.direction: "generator"}
        generator = build_generator(config, self.direction)
        self.networks = {
            "generator": generator,
            "heads": PatchHeads(self._feature_channels(generator, inputs), self.settings.head_width),
            "discriminator": build_discriminator(config, outputs),
        }
        self.adversary = Adversary(self.networks, "discriminator", self.settings, share=0.5)  # as in CycleGAN
        self.adversaries = {"D": self.adversary}
        self.phases = (
            *discriminator_phases("discriminator", {"discriminator": self.adversary}),
            Phase("generator", ("generator", "heads")),
        )
        self.notes += self.adversary.notes

    def forward(self, batch: Batch) -> Outputs:
        """G(x), with some x mirrored, and G(y)."""
        x, y = self._sides(batch)
        outputs: dict[str, Tensor] = {}
        if self.settings.flip_equivariance:
            outputs["mirrored"] = torch.rand(len(x), device=x.device) < 0.5
            x = mirror(x, outputs)
        outputs["fake"] = self.networks["generator"](x)
        if self.identity:
            outputs["same"] = self.networks["generator"](y)
        return outputs

    def losses(self, phase: str, batch: Batch, outputs: Outputs) -> dict[str, Tensor]:
        """Eq. 6, split into its terms and its two players."""
        x, y = self._sides(batch)
        fake = outputs["fake"]
        if phase == "discriminator":
            return self.adversary.discriminate(y, fake)  # eq. 1
        if phase == "penalty":
            return self.adversary.penalise(y, fake)
        wanted = mirror(y if self.data == "paired" else x, outputs)  # what further terms compare the output with
        terms = {
            **self.terms.fool(self.adversary, mirror(y, outputs), fake),  # eq. 1, least squares as in appendix C
            **self.terms.compare(fake, wanted),
            "G_NCE": self._patch_nce(x, [mirror(one, outputs) for one in self._features(fake)]),  # eq. 5 of x
        }
        if self.identity:
            terms["G_NCE_identity"] = self._patch_nce(y, self._features(outputs["same"]))  # eq. 5 of y
        return terms

    def weights(self) -> dict[str, float]:
        """Eq. 6."""
        nce, identity = weight_at(self.settings.nce, self.images), weight_at(self.settings.identity, self.images)
        weights = {"G_GAN": 1.0, "G_NCE": nce, "G_NCE_identity": identity}
        return weights | self.terms.weights(self.images) | self.adversary.weights(self.images)

    def _sides(self, batch: Batch) -> tuple[Tensor, Tensor]:
        return by_direction(self.direction, batch["a"], batch["b"])

    def _features(self, image: Tensor) -> list[Tensor]:
        generator = self.networks["generator"]
        assert isinstance(generator, TranslatingGenerator)
        return generator.features(image, self.settings.layers)

    def _patch_nce(self, source: Tensor, queries: list[Tensor]) -> Tensor:
        """Eq. 5 as its authors compute it, with means over layers and places in place of sums.

        source: images (N, C, H, W). queries: the features of their translations. No gradient flows through the keys.
        """
        settings, heads = self.settings, self.networks["heads"]
        places = [draw_places(one, settings.patches) for one in queries]
        with torch.no_grad():
            keys = heads(self._features(source), places)
        terms = []
        for query, key in zip(heads(queries, places), keys, strict=True):
            if settings.negatives == "batch":
                query, key = query.flatten(0, 1)[None], key.flatten(0, 1)[None]
            terms.append(losses.patch_nce(query, key, settings.temperature))
        return torch.stack(terms).mean()

    @torch.no_grad()
    def _feature_channels(self, generator: TranslatingGenerator, channels: int) -> list[int]:
        """Return the channels of each layer of features, measured on a small image; raises ConfigError."""
        generator.eval()
        try:
            image = torch.zeros(1, channels, generator.size_minimum, generator.size_minimum)
            return [one.shape[1] for one in generator.features(image, self.settings.layers)]
        except ValueError as error:  # an unknown layer
            raise ConfigError(f"loss.layers: {error}") from error
        finally:
            generator.train()


class PairedCUTSettings(CUTSettings):
    """The objective of CUT on pairs."""

    l1: Weight = 100.0
    """Weight of the L1 term, as in pix2pix."""


class PairedCUT(CUT):
    """CUT that also learns from the target of each picture."""

    Settings = PairedCUTSettings
    data = "paired"

    def losses(self, phase: str, batch: Batch, outputs: Outputs) -> dict[str, Tensor]:
        """Eq. 6, and the L1 term of pix2pix in the generator's phase (Isola et al. 2017, eq. 3)."""
        terms = super().losses(phase, batch, outputs)
        if phase == "generator":
            _, y = self._sides(batch)
            terms["G_L1"] = losses.l1(outputs["fake"], mirror(y, outputs))
        return terms

    def weights(self) -> dict[str, float]:
        """Eq. 6, and lambda of pix2pix."""
        return super().weights() | {"G_L1": weight_at(self.settings.l1, self.images)}


def mirror(images: Tensor, outputs: Outputs) -> Tensor:
    """Return images or features (N, C, H, W), mirrored where `forward` mirrored the input."""
    if "mirrored" not in outputs:
        return images
    return torch.where(outputs["mirrored"][:, None, None, None], images.flip(3), images)


def draw_places(features: Tensor, count: int) -> Tensor:
    """Draw `count` different places in each of the features (N, C, H, W), or all if there are fewer: (N, P)."""
    total = features.shape[2] * features.shape[3]
    order = torch.rand(len(features), total, device=features.device)
    return order.topk(min(count, total), dim=1, sorted=False).indices
