"""Latents of pictures that a classifier puts into a class: Nguyen et al. 2017, "Plug & Play Generative Networks".

A walk along the classifier's gradient alone ends at pictures that fool it. At each step, a denoising autoencoder of
latents takes part of the way back to what pictures of the data have: E(G(h)), the model's own encoder and generator.
The walk needs gradients, so it runs in torch alone.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np

from i2i import status
from i2i.errors import ModelError, UsageError
from i2i.images import Array
from i2i.models.modelfile import find_model, is_onnx, load_generator, read_spec
from i2i.models.spec import CLASSIFY, ENCODE, GENERATE, ModelSpec
from i2i.runtime.latents import check_latents, find_labels
from i2i.runtime.torch_backend import torch_device

if TYPE_CHECKING:
    from torch import Tensor, nn

_BATCH = 64
STEPS = 200


class Pull(NamedTuple):
    """What moves a latent in a step, by the names of eq. 5."""

    prior: float = 0.1
    """epsilon_1: the part of the way to R(h) = E(G(h)); 0 leaves the prior out."""
    condition: float = 1.0
    """epsilon_2: how far along the gradient of log C(class|G(h))."""
    noise: float = 0.1
    """epsilon_3: standard deviation of the noise, in each number of a latent."""


PULL = Pull()


class Guide:
    """A generator, an encoder and a classifier, by the names of their parts in `spec`."""

    def __init__(self, spec: ModelSpec, networks: "Mapping[str, nn.Module]", device: str):
        self.spec, self.networks, self.device = spec, networks, device

    @classmethod
    def open(cls, path: str | Path, device: str = "auto") -> Self:
        """Open a run folder or a .safetensors file; raises ModelError, and UsageError for models without all three."""
        file = find_model(Path(path))
        if is_onnx(file):
            raise UsageError(
                f"{file} is an ONNX file, and --towards needs gradients, which only torch has. Give the run folder or "
                "the .safetensors file."
            )
        spec = read_spec(file)
        if not (spec.latent_generator and spec.encoder and spec.classifier):
            raise UsageError(
                "--towards needs a model with an encoder and a classifier, which this one has not. Train one with "
                "`i2i train plug_and_play_digits`; a model that was trained with labels takes --label."
            )
        chosen = torch_device(device)
        return cls(spec, {name: load_generator(file, spec, name).to(chosen) for name in spec.parts}, chosen)

    def __call__(
        self, latents: Array, labels: Sequence[str], seeds: Sequence[int], steps: int = STEPS, pull: Pull = PULL
    ) -> Array:
        """Walk latents (N, latent) towards classes by `steps` steps (eq. 5); return (N, latent) float32.

        labels: one class of some or all label sets that the classifier tells. seeds: of the noise, one for each latent,
        whose walk depends on no other. Raises UsageError, and ModelError for weights that end in NaN.
        """
        import torch

        assert self.spec.classifier is not None
        blocks = self.spec.classifier.blocks
        wanted = find_labels(labels, blocks)
        starts = dict(zip([one.name for one in blocks], np.cumsum([0, *(one.size for one in blocks)]), strict=False))
        columns = [(starts[one.name], one.size, wanted[one.name]) for one in blocks if one.name in wanted]
        assert self.spec.latent_generator is not None
        checked, found = check_latents(latents, self.spec.latent_generator.latent, "Latents"), []
        for start in range(0, len(checked), _BATCH):
            status.count(start, len(checked))
            part = slice(start, start + _BATCH)
            noise = np.stack([_noise(seed, steps, checked.shape[1]) for seed in seeds[part]], axis=1)
            codes = torch.from_numpy(checked[part]).to(self.device)
            for drawn in torch.from_numpy(noise).to(self.device):
                codes = self._step(codes, columns, pull, drawn)
            found.append(codes.cpu().numpy())
        moved: Array = np.concatenate(found)
        if not np.isfinite(moved).all():
            raise ModelError("Some latents became NaN or infinite: the weights of this model are damaged.")
        return moved

    def _step(self, codes: "Tensor", columns: Sequence[tuple[int, int, int]], pull: Pull, drawn: "Tensor") -> "Tensor":
        """Return h + epsilon_1 (R(h) - h) + epsilon_2 d log C(class|G(h)) / dh + epsilon_3 N(0, 1): (N, latent) each.

        columns: of each label set, where its logits begin, how many there are, and the number of the class.
        """
        import torch

        with torch.enable_grad():
            codes = codes.detach().clone()
            codes.requires_grad = True
            images = self.networks[GENERATE](codes)
            logits = self.networks[CLASSIFY](images)
            likelihoods = [logits[:, at : at + size].log_softmax(dim=1)[:, number] for at, size, number in columns]
            (gradient,) = torch.autograd.grad(torch.stack(likelihoods).sum(), codes)
        with torch.no_grad():
            restored = self.networks[ENCODE](images)[:, : codes.shape[1]]
            return codes + pull.prior * (restored - codes) + pull.condition * gradient + pull.noise * drawn


def _noise(seed: int, steps: int, latent: int) -> Array:
    """Return the noise of a walk, (steps, latent): draws of their own, apart from those of the seed's latent."""
    return np.random.default_rng([seed, 1]).standard_normal((steps, latent), dtype=np.float32)
