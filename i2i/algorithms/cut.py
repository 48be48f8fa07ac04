"""CUT and FastCUT: Park, Efros, Zhang, Zhu, "Contrastive Learning for Unpaired Image-to-Image Translation", 2020.

Notation: x is an image of the input domain, y one of the target domain, G the generator, whose first half is the
encoder, H the heads. Each patch of G(x) must match the patch of x at the same place better than any other patch.
FastCUT is CUT without the identity term, with ten times the PatchNCE weight and with flip equivariance.
"""

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from i2i import losses
from i2i.algorithms.adversary_settings import AdversarialName
from i2i.algorithms.base import Algorithm, Batch, Outputs, Shown
from i2i.algorithms.building import build_generator, side_channels
from i2i.algorithms.nodata import covered, greyed, over_valid, valid_places
from i2i.algorithms.phases import Phase
from i2i.algorithms.terms import TranslationSettings
from i2i.config.section import Positive, Weight, is_ever_on
from i2i.config.settings import Config, DataKind, by_direction
from i2i.errors import ConfigError
from i2i.networks import TranslatingGenerator
from i2i.networks.batches import together
from i2i.networks.layers import has_batch_norm
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
    recordable = leaves_out_nodata = True
    data: ClassVar[DataKind] = "unpaired"

    def __init__(self, config: Config):
        super().__init__(config)
        inputs, outputs = side_channels(config, self.direction)
        if inputs != outputs:
            raise ConfigError(
                f"{config.algorithm} passes its output through its own encoder, so both sides need the same number of "
                f"channels; data.channels_a is {inputs}, data.channels_b {outputs}. "
                "Make them equal, or use another algorithm."
            )
        if how := getattr(config.generator, "recolour", None):
            raise ConfigError(
                f"generator.recolour is {how}, but {config.algorithm} passes pictures of both sides through one "
                "encoder, where colours cannot change. Leave it out, or use cyclegan."
            )
        self.identity = is_ever_on(self.settings.identity)
        self.generators = {self.direction: "generator"}
        generator = build_generator(config, self.direction)
        heads = PatchHeads(self._feature_channels(generator, inputs), self.settings.head_width)
        self.networks |= {"generator": generator, "heads": heads}
        self.add_discriminator("discriminator", outputs, share=0.5)  # as in CycleGAN
        self.phases = (*self.discriminator_phases("discriminator"), Phase("generator", ("generator", "heads")))

    def forward(self, batch: Batch) -> Outputs:
        """G(x), with some x mirrored, and G(y); "valid": where x has data, mirrored alike."""
        x, y = self.sides(batch)
        outputs: dict[str, Tensor] = {}
        if self.settings.flip_equivariance:
            mirrored = torch.rand(len(x), device=x.device) < 0.5
            if x.device.type != "cpu" or mirrored.any():  # a GPU would have to wait for the answer
                outputs["mirrored"] = mirrored
                x = mirror(x, outputs)
        known, _ = self._known(batch)
        if known is not None:
            outputs["valid"] = mirror(known, outputs)
        sources = (x, y) if self.identity else (x,)
        # Mirrored features are not those of the mirrored input, and compiled networks call no hooks.
        layers = () if "mirrored" in outputs or self.config.train.compile else self.settings.layers
        with self._generator.noting(layers) as noted:
            outputs["fake"], *same = together(self._generator, *sources)
        for number, layer in enumerate(layers):
            outputs[f"keys.{number}"] = torch.cat(sources if layer == "input" else noted[layer]).to(x.dtype)
        return outputs | ({"same": same[0]} if self.identity else {})

    def shown(self, batch: Batch, outputs: Outputs) -> dict[str, Shown]:
        """The targets y and the translations G(x), eq. 1; grey at nodata pixels."""
        _, known = self._known(batch)
        return {"D": Shown(greyed(self.sides(batch)[1], known), greyed(outputs["fake"], outputs.get("valid")))}

    def generator_losses(self, batch: Batch, outputs: Outputs) -> dict[str, Tensor]:
        """Eq. 6, the generator's part."""
        (x, y), (known_x, known_y) = self.sides(batch), self._known(batch)
        seen, fake, valid = self.shown(batch, outputs)["D"], outputs["fake"], outputs.get("valid")
        wanted = mirror(y if self.data == "paired" else x, outputs)  # what further terms compare the output with
        terms = {
            **self.terms.fool(self.adversaries["D"], mirror(seen.real, outputs), seen.fake),  # eq. 1 as in appendix C
            **self.terms.compare(covered(fake, wanted, valid), wanted, valid=valid),
        }
        sources, made = [x], [covered(fake, mirror(x, outputs), valid)]
        if self.identity:
            sources, made = [x, y], [*made, covered(outputs["same"], y, known_y)]
        queries, keys = self._features(*made), self._keys(sources, outputs)
        terms["G_NCE"] = self._patch_nce(keys[0], [mirror(one, outputs) for one in queries[0]], known_x)  # eq. 5 of x
        if self.identity:
            terms["G_NCE_identity"] = self._patch_nce(keys[1], queries[1], known_y)  # eq. 5 of y
        return terms

    def generator_weights(self) -> dict[str, float]:
        """Eq. 6."""
        return {"G_GAN": 1.0, "G_NCE": self.weight("nce"), "G_NCE_identity": self.weight("identity")}

    def _known(self, batch: Batch) -> tuple[Tensor | None, Tensor | None]:
        """Return where x and y have data, as in i2i.algorithms.nodata."""
        if self.data == "paired":
            return batch.get("valid"), batch.get("valid")
        return by_direction(self.direction, batch.get("valid_a"), batch.get("valid_b"))

    @property
    def _generator(self) -> TranslatingGenerator:
        generator = self.networks["generator"]
        assert isinstance(generator, TranslatingGenerator)
        return generator

    def _features(self, *batches: Tensor) -> list[list[Tensor]]:
        """Return the features of each of several batches, which go through together where no layer mixes images."""
        if has_batch_norm(self._generator):
            return [self._generator.features(one, self.settings.layers) for one in batches]
        joint = self._generator.features(torch.cat(batches), self.settings.layers)
        return _parted(joint, batches)

    @torch.no_grad()
    def _keys(self, sources: Sequence[Tensor], outputs: Outputs) -> list[list[Tensor]]:
        """Return the features of the inputs: those that `forward` noted, since the generator is still the same."""
        noted = [outputs[name] for name in outputs if name.startswith("keys.")]
        return _parted(noted, sources) if noted else self._features(*sources)

    def _patch_nce(self, keys: list[Tensor], queries: list[Tensor], valid: Tensor | None) -> Tensor:
        """Eq. 5 as its authors compute it, with means over layers and places in place of sums.

        keys, queries: the features of images and of their translations. No gradient flows through the keys. valid:
        where the images have data; other places are neither queries nor negatives.
        """
        settings, heads = self.settings, self.networks["heads"]
        known = [None if valid is None else valid_places(valid, one) for one in queries]
        places = [draw_places(one, settings.patches, at) for one, at in zip(queries, known, strict=True)]
        with torch.no_grad():
            vectors = heads(keys, places)
        terms = []
        for query, key, place, one in zip(heads(queries, places), vectors, places, known, strict=True):
            counted = None if one is None else one.flatten(1).gather(1, place) > 0
            if settings.negatives == "batch":
                query, key = query.flatten(0, 1)[None], key.flatten(0, 1)[None]
                counted = None if counted is None else counted.flatten()[None]
            terms.append(losses.patch_nce(query, key, settings.temperature, counted))
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

    def generator_losses(self, batch: Batch, outputs: Outputs) -> dict[str, Tensor]:
        """Eq. 6, and the L1 term of pix2pix (Isola et al. 2017, eq. 3)."""
        target, valid = mirror(self.sides(batch)[1], outputs), outputs.get("valid")
        terms = super().generator_losses(batch, outputs)
        return terms | {"G_L1": over_valid(losses.l1(covered(outputs["fake"], target, valid), target), valid)}

    def generator_weights(self) -> dict[str, float]:
        """Eq. 6, and lambda of pix2pix."""
        return super().generator_weights() | {"G_L1": self.weight("l1")}


def _parted(joint: Sequence[Tensor], batches: Sequence[Tensor]) -> list[list[Tensor]]:
    """Part features of several batches: for each layer of all to each batch's of all layers."""
    parts = [layer.split([len(one) for one in batches]) for layer in joint]
    return [list(of_batch) for of_batch in zip(*parts, strict=True)]


def mirror(images: Tensor, outputs: Outputs) -> Tensor:
    """Return images or features (N, C, H, W), mirrored where `forward` mirrored the input."""
    if "mirrored" not in outputs:
        return images
    return torch.where(outputs["mirrored"][:, None, None, None], images.flip(3), images)


def draw_places(features: Tensor, count: int, valid: Tensor | None = None) -> Tensor:
    """Draw `count` different places in each of the features (N, C, H, W), or all if there are fewer: (N, P).

    Others than those that are `valid`, (N, 1, H, W), only come where there are not enough.
    """
    total = features.shape[2] * features.shape[3]
    order = torch.rand(len(features), total, device=features.device)
    if valid is not None:
        order = order + valid.flatten(1)
    return order.topk(min(count, total), dim=1, sorted=False).indices
