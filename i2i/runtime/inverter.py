"""Latents of pictures that a generator without an encoder could have made: optimisation of the latent.

Zhu et al. 2016, "Generative visual manipulation on the natural image manifold", section 3.1, without their features:
z* = argmin |G(z) - x|^2. Many starts end in a local minimum (Lipton and Tripathi 2017), and those that do lie behind
early, so the worst are dropped on the way. Labels and texts have no gradient to follow; each start keeps what it drew.
It needs gradients, so it runs in torch alone.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np

from i2i import status
from i2i.errors import ModelError, UsageError
from i2i.images import Array, from_unit
from i2i.metrics.pairs import l1, psnr
from i2i.models.modelfile import find_model, is_onnx, load_generator, read_spec
from i2i.models.spec import ENCODE, GENERATE, ModelSpec
from i2i.runtime.encoder import ImageEncoder, read_square
from i2i.runtime.generator import ImageGenerator
from i2i.runtime.torch_backend import TorchBackend, torch_device

if TYPE_CHECKING:
    from torch import Tensor, nn

STEPS = 300
DRAWS = 256
"""Latents drawn for a picture; optimisation starts from the best of them."""
_STARTS = 24
_KEPT = 6
"""Starts that are left after the first sixth of the steps."""
_RATE = 0.1
"""Adam's first step in each number of a latent; it falls to 0 along a cosine."""


class PixelError(NamedTuple):
    """How far a picture is from the one that was looked for."""

    l1: float
    """Mean absolute difference in grey levels, 0 to 255."""
    psnr: float
    """In dB."""

    @classmethod
    def of(cls, output: Array, target: Array) -> Self:
        """Compare values (C, H, W) in [-1, 1] as pictures of 8 bits."""
        one, other = from_unit(output), from_unit(target)
        return cls(l1(one, other), psnr(one, other))


class Found(NamedTuple):
    """The latent nearest to one picture, and what it is worth."""

    latent: Array
    """(latent,) float32."""
    target: Array
    """The picture that was looked for, (C, H, W) in [-1, 1], ..."""
    image: Array
    """... what the latent makes, ..."""
    start: Array
    """... and what the best of the draws makes."""
    error: PixelError
    drawn: PixelError
    """Of the best draw, the control: what no optimisation reaches."""
    mean: PixelError
    """Of the mean picture of all draws, which anyone can give without a latent."""
    encoded: PixelError | None
    """Of the latent that the model's own encoder gives, if it has one."""
    reach: float
    """Root mean square of the latent's numbers with a normal prior, whose draws have about 1; 0 without such."""


class Inverter:
    """A generator, and its encoder if the model has one."""

    def __init__(self, spec: ModelSpec, networks: "dict[str, nn.Module]", device: str):
        """Take the networks by the names of their parts in `spec`; raises UsageError for a model of points."""
        self.network, self.device = networks[GENERATE], device
        self.generator = ImageGenerator(spec, TorchBackend(self.network, device))
        if self.generator.makes_points:
            raise UsageError("This model makes points, not pictures. There is no picture to invert.")
        encoder = networks.get(ENCODE)
        self.encoder = encoder and ImageEncoder(spec, TorchBackend(encoder, device))

    @classmethod
    def open(cls, path: str | Path, device: str = "auto") -> Self:
        """Open a run folder or a .safetensors file; raises ModelError, and UsageError for what cannot be inverted."""
        file = find_model(Path(path))
        if is_onnx(file):
            raise UsageError(
                f"{file} is an ONNX file, and finding a latent needs gradients, which only torch has. Give the run "
                "folder or the .safetensors file; the .onnx file of the same model takes the latents that it finds."
            )
        spec = read_spec(file)
        if not spec.latent_generator:
            raise UsageError(
                "This model makes no pictures from noise, so it has no latents to find. Give one that `i2i generate` "
                "takes."
            )
        chosen = torch_device(device)
        names = [name for name in (GENERATE, ENCODE) if name in spec.parts]
        return cls(spec, {name: load_generator(file, spec, name).to(chosen) for name in names}, chosen)

    def read(self, path: Path, resize: bool = False) -> Array:
        """Read a picture file as (C, side, side) in [-1, 1]; raises ImageError, and UsageError for other sizes.

        resize: squeeze pictures of other sizes into the one that the model makes.
        """
        part = self.generator.generator
        return read_square(path, self.generator.spec.input_range, part.out_channels, part.out_px, resize)

    def __call__(
        self, image: Array, steps: int = STEPS, seed: int = 0, labels: Sequence[str] = (), text: str | None = None
    ) -> Found:
        """Find the latent of an image (C, side, side) in [-1, 1].

        steps: of the optimisation; 0 returns the best start. seed: of the first draw. labels, text: as
        `ImageGenerator.draw` takes them; what is not given is chosen among the draws. Raises UsageError and ModelError.
        """
        import torch

        draws = self.generator.draw(range(seed, seed + DRAWS), labels, text)
        pictures = self.generator.generate(draws)
        order = np.square(pictures - image).mean(axis=(1, 2, 3)).argsort()
        starts, encoded = draws[order[:_STARTS]], None
        if self.encoder and not labels and text is None:
            encoded = self.encoder.encode(image[None])
            starts = np.concatenate([encoded, starts])
        moved = self._optimise(torch.from_numpy(starts), torch.from_numpy(image), steps)
        codes = np.concatenate([moved, starts])  # which are better where one is right already
        made = self.generator.generate(codes)
        best = int(np.argmin(np.square(made - image).mean(axis=(1, 2, 3))))
        normal = codes[best][self._columns("normal")]
        return Found(
            codes[best],
            image,
            made[best],
            pictures[order[0]],
            PixelError.of(made[best], image),
            PixelError.of(pictures[order[0]], image),
            PixelError.of(pictures.mean(axis=0), image),
            None if encoded is None else PixelError.of(self.generator.generate(encoded)[0], image),
            float(np.sqrt(np.square(normal).mean())) if normal.size else 0.0,
        )

    def _optimise(self, codes: "Tensor", image: "Tensor", steps: int) -> Array:
        """Move starts (N, latent) towards an image (C, side, side) by Adam; return those that are left, (K, latent).

        Adam (Kingma and Ba 2015) divides each gradient by its own size, so starts do not disturb one another.
        """
        import torch

        codes, image = codes.to(self.device), image.to(self.device)
        moves = torch.from_numpy(self._columns("normal", "uniform")).to(self.device)
        bounded = torch.from_numpy(self._columns("uniform")).to(self.device)
        first, second = torch.zeros_like(codes), torch.zeros_like(codes)
        for k in range(steps):
            status.count(k, steps)
            errors, gradient = self._gradient(codes, image)
            if k == steps // 6:
                kept = errors.argsort()[:_KEPT]
                codes, gradient, first, second = (one[kept] for one in (codes, gradient, first, second))
            first = 0.9 * first + 0.1 * gradient
            second = 0.999 * second + 0.001 * gradient.square()
            size = (second / (1 - 0.999 ** (k + 1))).sqrt() + 1e-8
            rate = _RATE * (1 + np.cos(np.pi * k / steps)) / 2
            codes = codes - rate * moves * first / (1 - 0.9 ** (k + 1)) / size
            codes = torch.where(bounded, codes.clamp(-1, 1), codes)
        moved: Array = codes.cpu().numpy()
        if not np.isfinite(moved).all():
            raise ModelError("Some latents became NaN or infinite: the weights of this model are damaged.")
        return moved

    def _gradient(self, codes: "Tensor", image: "Tensor") -> "tuple[Tensor, Tensor]":
        """Return the mean squared error of each of N latents, (N,), and its gradient, (N, latent)."""
        import torch

        with torch.enable_grad():
            codes = codes.detach().clone()
            codes.requires_grad = True
            errors = (self.network(self.generator.inputs(codes)).float() - image).square().mean(dim=(1, 2, 3))
            (gradient,) = torch.autograd.grad(errors.sum(), codes)
        return errors.detach(), gradient

    def _columns(self, *priors: str) -> Array:
        """Return which numbers of a latent have one of these priors, (latent,) bool."""
        return np.concatenate([np.full(one.size, one.prior in priors) for one in self.generator.generator.blocks])
