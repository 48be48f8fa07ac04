"""Features of images, for distances between sets: the networks that compute them, and how images are resized.

The way of resizing changes the FID of the same images by tens (Parmar, Zhang and Zhu 2022). Always name it with a
figure.
"""

import functools
import itertools
import warnings
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from i2i import weights
from i2i.images import Array
from i2i.metrics.pairs import as_rgb8

if TYPE_CHECKING:
    from torch import Tensor

MODES = ("clean", "legacy")
"""clean: bicubic, antialiased, not rounded, as in clean-fid; legacy: bilinear, not antialiased, as in ports of FID."""
_BATCH = 16


class Network(NamedTuple):
    """A network that computes features: its name in the table of weights, if any, its input side, and the call."""

    weights: str | None
    side_px: int
    of: "Callable[[Tensor], Tensor]"
    """RGB images (N, 3, side, side) in [0, 255] to features (N, D)."""


def _inception(x: "Tensor") -> "Tensor":
    return _inception_network()((x - 128) / 128)


@functools.lru_cache(maxsize=1)
def _inception_network() -> Any:
    """Load a TorchScript program; `weights.find` has compared its digest with that of the known file."""
    import torch

    file = weights.find("inception")
    with warnings.catch_warnings():  # that TorchScript will end one day; the published file is of that kind
        for kind in (FutureWarning, DeprecationWarning):
            warnings.simplefilter("ignore", kind)
        return torch.jit.load(file, map_location="cpu").eval()


def _of_trunk(name: str) -> "Callable[[Tensor], Tensor]":
    def features(x: "Tensor") -> "Tensor":
        from i2i.metrics.perceptual import trunk

        *_, last = trunk(name)(x / 255)
        return last.mean(dim=(2, 3))

    return features


def _random(x: "Tensor") -> "Tensor":
    """Means and log energies of four layers of random zero-mean filters, from seed 0."""
    import torch
    from torch.nn.functional import avg_pool2d, conv2d

    x = x / 127.5 - 1
    found = [x.mean(dim=(2, 3))]
    for kernel in _random_kernels():
        x = conv2d(x, kernel, padding=1).relu()
        found += [x.mean(dim=(2, 3)), ((x.square().mean(dim=(2, 3)) + 1e-4).log() + 4) / 4]
        x = avg_pool2d(x, 2)
    return torch.cat(found, dim=1)


@functools.lru_cache(maxsize=1)
def _random_kernels() -> "list[Tensor]":
    import torch

    random, widths = np.random.default_rng(0), (3, 32, 64, 64, 64)
    drawn = [random.standard_normal((after, before, 3, 3)) for before, after in itertools.pairwise(widths)]
    drawn = [kernel - kernel.mean(axis=(1, 2, 3), keepdims=True) for kernel in drawn]
    return [torch.from_numpy((kernel * np.sqrt(2 / kernel[0].size)).astype(np.float32)) for kernel in drawn]


NETWORKS = {
    "inception": Network("inception", 299, _inception),
    "alexnet": Network("alexnet", 224, _of_trunk("alexnet")),
    "vgg16": Network("vgg16", 224, _of_trunk("vgg16")),
    "random": Network(None, 64, _random),
}
"""Best known first. `random` needs no file; it compares states of one run, but is never a FID."""


def best_network() -> str:
    """Return the first network whose weights are available."""
    return next(name for name, network in NETWORKS.items() if network.weights is None or weights.has(network.weights))


def features(images: Iterable[Array], network: str, mode: str = "clean") -> Array:
    """Return the features, (N, D) float64, of images (H, W, C), taken as 8-bit RGB.

    Raises ModelError if the network's weights are missing or do not match their digest.
    """
    import torch

    net = NETWORKS[network]
    rows: list[Array] = []
    batch: list[Array] = []

    def flush() -> None:
        with torch.inference_mode():
            rows.append(net.of(torch.from_numpy(np.stack(batch))).double().numpy())
        batch.clear()

    for image in images:
        batch.append(_RESIZERS[mode](as_rgb8(image), net.side_px))
        if len(batch) == _BATCH:
            flush()
    if batch:
        flush()
    return np.concatenate(rows)


def _clean(image: Array, side: int) -> Array:
    """Resize (H, W, 3) uint8 to (3, side, side) float32 in [0, 255]: bicubic, antialiased, not rounded."""
    from PIL import Image

    planes = [Image.fromarray(plane.astype(np.float32)) for plane in image.transpose(2, 0, 1)]
    return np.stack([np.asarray(plane.resize((side, side), Image.Resampling.BICUBIC)).clip(0, 255) for plane in planes])


def _legacy(image: Array, side: int) -> Array:
    """Resize likewise, as common ports of FID did: bilinear, from only the four nearest pixels."""
    import torch
    from torch.nn.functional import interpolate

    batch = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))[None].float()
    return interpolate(batch, (side, side), mode="bilinear", align_corners=False)[0].numpy()


_RESIZERS = {"clean": _clean, "legacy": _legacy}
