"""What every network is to the rest of i2i: the bases of generators and discriminators.

All networks take and return float tensors (N, C, H, W); pictures lie in [-1, 1].
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import ClassVar, Literal, NamedTuple

import torch
from torch import Tensor, nn


class Generator(nn.Module, ABC):
    """Base of the networks that make pictures, from pictures or from latents."""

    kind: ClassVar[Literal["translate", "generate"]]
    """What goes in: a picture (N, C, H, W), or a latent (N, latent)."""

    @property
    def dtype(self) -> torch.dtype:
        """What it computes in, and casts its input to."""
        return next(self.parameters()).dtype

    @abstractmethod
    def fits(self, side_px: int) -> str | None:
        """Return why the network does not take, or make, pictures of this side, or None where it does."""


class TranslatingGenerator(Generator):
    """Base of the generators that translate: sides are multiples of `size_multiple` px, from `size_minimum` px on."""

    kind = "translate"
    size_multiple: int
    size_minimum: int

    def fits(self, side_px: int) -> str | None:
        """Return None for a side that goes through without padding."""
        multiple, least = self.size_multiple, self.size_minimum
        if side_px >= least and side_px % multiple == 0:
            return None
        below, above = max(side_px // multiple * multiple, least), max((side_px // multiple + 1) * multiple, least)
        nearest = f"{below} or {above}" if below < above else f"{above}"
        return f"this generator takes multiples of {multiple} from {least} px on: {nearest}"

    @abstractmethod
    def forward(self, image: Tensor, layers: Sequence[str] = ()) -> Tensor | list[Tensor]:
        """(N, in_channels, H, W) in [-1, 1] to (N, out_channels, H, W) in [-1, 1]; with `layers` to `features`."""

    @abstractmethod
    def encoder(self) -> Iterator[tuple[str, nn.Module]]:
        """Yield the stages that a picture goes through one after another, before any skip joins in, by name."""

    def features(self, image: Tensor, layers: Sequence[str]) -> list[Tensor]:
        """(N, C, H, W) to the activations behind the named stages of `encoder`, in the order of `layers`.

        "input" is the picture itself. Raises ValueError for a stage that is not there.
        """
        found: list[Tensor] = self(image, tuple(layers))  # a call, which training wraps in its precision
        return found

    def encode(self, image: Tensor, layers: Sequence[str]) -> list[Tensor]:
        """What `forward` does where it is given layers: see `features`."""
        found, passed, value = {"input": image}, ["input"], image
        for name, stage in self.encoder():
            if found.keys() >= set(layers):
                break
            value = stage(value)
            passed.append(name)
            if name in layers:
                found[name] = value.clone()  # the next stage may begin in place
        unknown = [name for name in layers if name not in found]
        if unknown:
            raise ValueError(f"Unknown layer {unknown[0]}; this network has {', '.join(passed)}.")
        return [found[name] for name in layers]


class LatentGenerator(Generator):
    """Base of the generators that make pictures from latents, vectors of `latent` numbers."""

    kind = "generate"
    latent: int


class DiscriminatorOutput(NamedTuple):
    """What every discriminator returns.

    logits: of any shape, high for real. features: each layer's activations, outermost first. heads: what else it
    says of a picture, by name.
    """

    logits: Tensor
    features: tuple[Tensor, ...] = ()
    heads: dict[str, Tensor] | None = None


class Discriminator(nn.Module, ABC):
    """Base of the networks that judge."""

    receptive_field_px: int | None
    """Side of the square that one logit sees; None for a discriminator of points."""

    @abstractmethod
    def fits(self, side_px: int) -> str | None:
        """Return why the network does not judge pictures of this side, or None where it does."""
