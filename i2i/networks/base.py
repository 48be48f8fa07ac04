"""The base classes of generators and discriminators: what the rest of i2i relies on.

All networks take and return float tensors (N, C, H, W); images are in [-1, 1].
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import ClassVar, Literal, NamedTuple

import torch
from torch import Tensor, nn


class Generator(nn.Module, ABC):
    """Base of the networks that make images, from images or from latents."""

    kind: ClassVar[Literal["translate", "generate"]]
    """Whether the input is an image (N, C, H, W) or a latent (N, latent)."""

    @property
    def dtype(self) -> torch.dtype:
        """The type of its weights, trained or frozen, to which it casts its input."""
        return next(one.dtype for one in (*self.parameters(), *self.buffers()) if one.is_floating_point())

    @abstractmethod
    def fits(self, side_px: int) -> str | None:
        """Return why the network cannot take, or make, square images of this side; None if it can."""


class TranslatingGenerator(Generator):
    """Base of image-to-image generators: sides are multiples of `size_multiple`, and `size_minimum` px at least.

    fills_holes: the image is RGB with alpha, and the output keeps what is opaque in it, bit for bit.
    condition: length of the condition vector that comes with each image (see FiLM); 0: none.
    """

    kind = "translate"
    size_multiple: int
    size_minimum: int
    fills_holes = False
    condition = 0

    @abstractmethod
    def translate(self, image: Tensor, condition: Tensor | None = None) -> Tensor:
        """(N, in_channels, H, W) in [-1, 1], and (N, condition) if it takes one, to (N, out_channels, H, W)."""

    def forward(
        self, image: Tensor, condition: Tensor | None = None, layers: Sequence[str] = ()
    ) -> Tensor | list[Tensor]:
        """As `translate`, or with `layers` as `features`.

        With fills_holes, the input is grey where nothing is known, and the output is used only there.
        """
        if layers:
            return self.encode(image, layers)
        if not self.fills_holes:
            return self.translate(image, condition)
        alpha = (image[:, 3:] + 1) / 2
        known = image[:, :3] * alpha  # without the colours that alpha hides
        filled = self.translate(torch.cat([known, image[:, 3:]], dim=1), condition)
        return known + filled * (1 - alpha)

    def fits(self, side_px: int) -> str | None:
        """Return None for a side that needs no padding, else which sides do not."""
        multiple, least = self.size_multiple, self.size_minimum
        if side_px >= least and side_px % multiple == 0:
            return None
        below, above = max(side_px // multiple * multiple, least), max((side_px // multiple + 1) * multiple, least)
        nearest = f"{below} or {above}" if below < above else f"{above}"
        return f"this generator takes multiples of {multiple} from {least} px on: {nearest}"

    @abstractmethod
    def encoder(self) -> Iterator[tuple[str, nn.Module]]:
        """Yield, by name, the stages that an image passes one after another, before any skip connection joins."""

    def features(self, image: Tensor, layers: Sequence[str]) -> list[Tensor]:
        """(N, C, H, W) to the activations after the named stages of `encoder`, in the order of `layers`.

        "input" is the image itself. Only for networks without a condition. Raises ValueError for an unknown stage.
        """
        found: list[Tensor] = self(image, None, tuple(layers))  # a call, which training wraps in its precision
        return found

    @contextmanager
    def noting(self, layers: Sequence[str]) -> Iterator[dict[str, list[Tensor]]]:
        """Note, by name, what the stages of `encoder` make of each batch that passes meanwhile, without its graph.

        The same as `features` of the batch, but in the precision in which the network computes.
        """
        noted: dict[str, list[Tensor]] = {name: [] for name in layers}

        def note(name: str, made: Tensor) -> None:
            noted[name].append(made.detach().clone())  # the next stage may start in place

        hooks = [
            stage.register_forward_hook(lambda _, __, made, name=name: note(name, made))
            for name, stage in self.encoder()
            if name in noted
        ]
        try:
            yield noted
        finally:
            for hook in hooks:
                hook.remove()

    def encode(self, image: Tensor, layers: Sequence[str]) -> list[Tensor]:
        """What `forward` does where it is given layers: see `features`."""
        found, passed, value = {"input": image}, ["input"], image
        for name, stage in self.encoder():
            if found.keys() >= set(layers):
                break
            value = stage(value)
            passed.append(name)
            if name in layers:
                found[name] = value.clone()  # the next stage may start in place
        unknown = [name for name in layers if name not in found]
        if unknown:
            raise ValueError(f"Unknown layer {unknown[0]}; this network has {', '.join(passed)}.")
        return [found[name] for name in layers]


class LatentGenerator(Generator):
    """Base of the generators that make images from latents, vectors of length `latent`.

    place_px: 0 for images of one size. Else a latent may also be a map, (N, latent, H, W), and each of its places is so
    many pixels of the image's side.
    border_places: how many further places a map has on each side, which reach into the image.
    each_place: whether the noise differs from place to place.
    """

    kind = "generate"
    latent: int
    place_px: int = 0
    border_places: int = 0
    each_place: ClassVar[bool] = False

    def places(self, side_px: int) -> int:
        """Return how many places a side of the map has for an image of this side; 0: latents are no maps."""
        return side_px // self.place_px + 2 * self.border_places if self.place_px else 0


class Encoder(nn.Module, ABC):
    """Base of the networks from images to latents: to a normal distribution of them, as in a VAE."""

    kind: ClassVar[Literal["encode"]] = "encode"
    latent: int

    @property
    def dtype(self) -> torch.dtype:
        """The type of its weights, to which it casts its input."""
        return next(self.parameters()).dtype

    @abstractmethod
    def forward(self, image: Tensor) -> Tensor:
        """(N, C, H, W) in [-1, 1] to (N, 2 * latent): the means, then the logarithms of the variances."""


class Classifier(nn.Module, ABC):
    """Base of the networks from images to the logits of classes."""

    kind: ClassVar[Literal["classify"]] = "classify"

    @property
    def dtype(self) -> torch.dtype:
        """The type of its weights, to which it casts its input."""
        return next(self.parameters()).dtype

    @abstractmethod
    def forward(self, image: Tensor) -> Tensor:
        """(N, C, H, W) in [-1, 1] to logits (N, classes), of all label sets one after another."""


class DiscriminatorOutput(NamedTuple):
    """What every discriminator returns.

    logits: of any shape, high for real. features: the activations of each layer, outermost first. heads: other
    outputs, (N, size) by name, if it has any. coarser: the logits of each further scale, finest first, whose features
    follow in `features`.
    """

    logits: Tensor
    features: tuple[Tensor, ...] = ()
    heads: dict[str, Tensor] | None = None
    coarser: tuple[Tensor, ...] = ()

    @property
    def scales(self) -> tuple[Tensor, ...]:
        """The logits of each scale, which count the same in a loss."""
        return (self.logits, *self.coarser)


def layer_outputs(layers: Iterable[nn.Module], image: Tensor) -> list[Tensor]:
    """Return the output of each of several layers, applied to an image one after another."""
    outputs = [image]
    for layer in layers:
        outputs.append(layer(outputs[-1]))
    return outputs[1:]


class Discriminator(nn.Module, ABC):
    """Base of the networks that tell real from fake."""

    receptive_field_px: int | None
    """Side of the receptive field of a logit, at the finest scale; None for a discriminator of points."""
    is_energy: ClassVar[bool] = False
    """Whether its logits are energies with their sign changed, never above 0; the last of its features is a code."""
    packing: int = 1
    """How many images it judges together, with one logit, or map of logits, for all of them."""

    @abstractmethod
    def fits(self, side_px: int) -> str | None:
        """Return why the network cannot take square images of this side; None if it can."""
