"""Pictures, or points, from noise.

The model file states the length of its latents and what comes out. Latents go through in batches of bounded size; the
output of one does not depend on its neighbours. Previews, commands and export use this same path.
"""

import functools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from PIL import Image

from i2i import status
from i2i.errors import ModelError, UsageError
from i2i.images import Array, from_unit, to_pil
from i2i.models.spec import GENERATE, ModelSpec
from i2i.runtime.backends import Backend, open_backend
from i2i.runtime.latents import check_latents, find_labels, seed_latents
from i2i.runtime.maps import chosen_sides, map_index, refuse_huge
from i2i.runtime.plan import Sides
from i2i.runtime.translator import Translator

_BATCH = 64


class ImageGenerator:
    """A model that generates pictures from noise: call it with seeds."""

    def __init__(self, spec: ModelSpec, backend: Backend, size: Sides | None = None, tile: bool = False):
        """Take a spec, the backend of its part, and the size and borders as `open` does."""
        assert spec.latent_generator is not None
        part = spec.latent_generator
        self.spec = spec
        self.backend = backend
        self.sides = chosen_sides(part, size, tile)
        """(Height, width) of its pictures in pixels."""
        self.generator = part.at(*part.places(self.sides, tile)) if part.place_px else part
        """Its part, with the latents of that size."""
        self.tiles = tile
        self.following: tuple[Translator, ...] = ()
        """Models that its pictures go through, one after another (see chain.py)."""

    @classmethod
    def open(cls, path: str | Path, device: str = "auto", size: Sides | None = None, tile: bool = False) -> Self:
        """Open a run folder, a .safetensors or an .onnx file.

        device: one of DEVICES in i2i.runtime.backends. size: (height, width) of the pictures in pixels, where the model
        makes other sizes than that of its training. tile: whether each border of a texture continues the one opposite.
        Raises ModelError, UsageError for a model that translates or does not make that, and OutOfMemoryError.
        """
        spec, backend, _ = open_backend(path, _pick_generator, device)
        return cls(spec, backend).of_size(size, tile)

    def of_size(self, size: Sides | None, tile: bool = False) -> Self:
        """Return the same model for pictures of another size, as `open` takes it; raises as that does."""
        other = type(self)(self.spec, self.backend, size, tile)
        other.following = self.following
        if other.generator.place_px:
            refuse_huge(other.generator, other.sides, other.backend.device)
        return other

    @functools.cached_property
    def _index(self) -> Array:
        """Where the numbers of a latent go in a map."""
        assert self.spec.latent_generator is not None
        return map_index(self.spec.latent_generator, self.sides, self.tiles)

    @property
    def latent(self) -> int:
        """Length of a latent."""
        return self.generator.latent

    @property
    def makes_points(self) -> bool:
        """Whether the model generates points, not pictures."""
        return self.generator.out_meaning == "points"

    def __call__(
        self, seeds: int | Sequence[int], labels: Sequence[str] = (), text: str | None = None
    ) -> list[Image.Image]:
        """Return the picture of each seed, whole numbers from 0. Raises UsageError and ModelError.

        labels: names of classes, at most one of each label set that the model was trained with; the seed draws the
        others. text: what a model that was trained with text shall show; by default, the seed draws it.
        """
        chosen = [seeds] if isinstance(seeds, (int, np.integer)) else seeds
        return [to_pil(picture) for picture in self.pictures(self.draw(chosen, labels, text))]

    def draw(self, seeds: Sequence[int], labels: Sequence[str] = (), text: str | None = None) -> Array:
        """Return the latent of each seed, (N, latent) float32; labels and text: as above. Raises UsageError."""
        blocks = self.generator.blocks
        if text is not None and not any(block.prior == "text" for block in blocks):
            raise UsageError("This model was trained without text. Leave out --text.")
        return seed_latents(seeds, blocks, find_labels(labels, blocks) if labels else None, text)

    def pictures(self, latents: Array) -> list[Array]:
        """Return N pictures (H, W, C) uint8 for latents (N, latent); raises ModelError for a model of points."""
        return list(self.each_picture(latents))

    def each_picture(self, latents: Array) -> Iterator[Array]:
        """Yield the same pictures, computed batch by batch on demand."""
        if self.makes_points:
            raise ModelError("This model makes points, not pictures. `i2i generate` draws them all as one cloud.")
        for batch in self._batches(latents):
            for values in batch:
                picture = from_unit(values)
                for one in self.following:
                    picture = one(picture)
                yield picture

    def points(self, latents: Array) -> Array:
        """Return points (N, 2) float32 for latents (N, latent); raises ModelError for a model of pictures."""
        if not self.makes_points:
            raise ModelError("This model makes pictures, not points.")
        points = self.generate(latents)
        if not np.isfinite(points).all():
            raise ModelError("Some points of this model are NaN or infinite: its weights are damaged.")
        return points

    def generate(self, latents: Array) -> Array:
        """Return (N, C, height, width) float32 in [-1, 1], or points (N, 2), for latents (N, latent), N from 1.

        Raises ModelError.
        """
        return np.concatenate(list(self._batches(latents)))

    def _batches(self, latents: Array) -> Iterator[Array]:
        checked = check_latents(latents, self.latent, "Latents")
        own, pixels = self.generator.out_px**2, self.sides[0] * self.sides[1]
        at_once = max(_BATCH * own // pixels, 1) if pixels else _BATCH
        for start in range(0, len(checked), at_once):
            status.count(start, len(checked))
            yield self.backend.run(self.inputs(checked[start : start + at_once]))

    def inputs(self, latents: Any) -> Any:
        """Return what the network takes for latents (N, latent), an array or a tensor: the same, or maps of them."""
        return latents[:, self._index] if self.generator.place_px else latents


def _pick_generator(spec: ModelSpec) -> str:
    if spec.latent_generator is None:
        directions = " and ".join(spec.generators)
        raise UsageError(f"This model translates {directions} and makes no pictures from noise. Use `i2i translate`.")
    return GENERATE
