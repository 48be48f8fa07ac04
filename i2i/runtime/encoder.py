"""Latents from pictures: the way back of a model that generates."""

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np

from i2i import status
from i2i.errors import ModelError, UsageError
from i2i.images import Array, Layout, Range, read_image, to_channels, to_unit
from i2i.models.spec import ENCODE, ModelSpec
from i2i.runtime.backends import Backend, open_backend
from i2i.runtime.fit import resized

_BATCH = 64


class ImageEncoder:
    """A model that finds the latents of pictures of one size."""

    def __init__(self, spec: ModelSpec, backend: Backend):
        assert spec.encoder is not None
        self.spec, self.backend, self.encoder = spec, backend, spec.encoder

    @classmethod
    def open(cls, path: str | Path, device: str = "auto") -> Self:
        """Open a run folder or a .safetensors file; raises ModelError, and UsageError for a model without encoder."""
        spec, backend, _ = open_backend(path, _pick_encoder, device)
        return cls(spec, backend)

    def __call__(self, pictures: Sequence[str | Path], resize: bool = False) -> Array:
        """Return the latents of picture files, (N, latent) float32, the means of their distributions.

        resize: squeeze pictures of other sizes into the one that the model takes, which are refused without it.
        Raises ImageError for a file that cannot be read, and UsageError.
        """
        if not pictures:
            raise UsageError("There are no pictures to encode. Give files, or folders that hold some.")
        return self.encode(np.stack([self._read(Path(path), resize) for path in pictures]))

    def encode(self, images: Array) -> Array:
        """Return the latents (N, latent) float32 of images (N, C, side, side) in [-1, 1]; raises ModelError."""
        found = []
        for start in range(0, len(images), _BATCH):
            status.count(start, len(images))
            found.append(self.backend.run(images[start : start + _BATCH])[:, : self.encoder.latent])
        latents = np.concatenate(found)
        if not np.isfinite(latents).all():
            raise ModelError("Some latents are NaN or infinite: the weights of this model are damaged.")
        return latents

    def _read(self, path: Path, resize: bool) -> Array:
        part = self.encoder
        return read_square(path, self.spec.input_range, part.in_channels, part.size_minimum, resize)


def read_square(path: Path, value_range: Range | None, channels: int, side: int, resize: bool) -> Array:
    """Read a picture file as (channels, side, side) in [-1, 1], squeezed if it has another size and `resize` is set.

    Raises ImageError for a file that cannot be read, and UsageError for another size without `resize`.
    """
    picture = read_image(path, layout=Layout(value_range=value_range))
    height, width = picture.shape[:2]
    if (height, width) != (side, side) and not resize:
        raise UsageError(
            f"{path} has {width}x{height} px, and this model takes {side}x{side}. Add --fit resize, or cut it."
        )
    return to_unit(resized(to_channels(picture, channels), side, side))


def _pick_encoder(spec: ModelSpec) -> str:
    if spec.encoder is None:
        raise UsageError(
            "This model has no encoder. Give the run folder or .safetensors file of a VAE (preset vae_digits); an "
            "exported file only generates."
        )
    return ENCODE
