"""Features of pictures, for distances between sets: which network makes them, and how a picture comes to its size.

FID of the same pictures differs by tens with the way of resizing (Parmar, Zhang and Zhu 2022), so the way has a name
that stands beside every figure.
"""

import functools
import itertools
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from i2i.images import Array
from i2i.metrics import weights
from i2i.metrics.pairs import as_rgb8

if TYPE_CHECKING:
    from torch import Tensor

MODES = ("clean", "legacy")
"""clean: bicubic, antialiased, unrounded, as clean-fid has it; legacy: bilinear without antialiasing, as its ports."""
_BATCH = 16


class Network(NamedTuple):
    """What makes features: its file in the table of weights, if any, the side it sees in px, and the call."""

    weights: str | None
    side_px: int
    of: "Callable[[Tensor], Tensor]"
    """RGB images (N, 3, side, side) in [0, 255] to features (N, D)."""


def _inception(x: "Tensor") -> "Tensor":
    return _inception_network().layers.forward((x - 128) / 128).flatten(1)


@functools.lru_cache(maxsize=1)
def _inception_network() -> Any:
    """A TorchScript program: only opened once its digest is that of the known file."""
    import torch

    return torch.jit.load(weights.find("inception"), map_location="cpu").eval()


def _of_trunk(name: str) -> "Callable[[Tensor], Tensor]":
    def features(x: "Tensor") -> "Tensor":
        from i2i.metrics.perceptual import trunk

        *_, last = trunk(name).layers(x / 255)
        return last.mean(dim=(2, 3))

    return features


def _random(x: "Tensor") -> "Tensor":
    """Means, and logarithms of energies, of four layers of random filters that see no constant; weights of seed 0."""
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
"""Best known first. `random` needs no file: it ranks a run against itself, and no figure of it is a FID."""


def best_network() -> str:
    """Return the first network whose weights are there."""
    return next(name for name, network in NETWORKS.items() if network.weights is None or weights.has(network.weights))


def features(pictures: Iterable[Array], network: str, mode: str = "clean") -> Array:
    """Return features, (N, D) float64, of pictures, (H, W, C) each, in 8 bits as RGB.

    Raises ModelError where the network's weights are missing or are another file.
    """
    import torch

    net = NETWORKS[network]
    rows: list[Array] = []
    batch: list[Array] = []

    def flush() -> None:
        with torch.inference_mode():
            rows.append(net.of(torch.from_numpy(np.stack(batch))).double().numpy())
        batch.clear()

    for picture in pictures:
        batch.append(_RESIZERS[mode](as_rgb8(picture), net.side_px))
        if len(batch) == _BATCH:
            flush()
    if batch:
        flush()
    return np.concatenate(rows)


def _clean(picture: Array, side: int) -> Array:
    """Resize (H, W, 3) uint8 to (3, side, side) float32 in [0, 255]: bicubic, antialiased, not rounded."""
    from PIL import Image

    planes = [Image.fromarray(plane.astype(np.float32)) for plane in picture.transpose(2, 0, 1)]
    return np.stack([np.asarray(plane.resize((side, side), Image.Resampling.BICUBIC)).clip(0, 255) for plane in planes])


def _legacy(picture: Array, side: int) -> Array:
    """Resize likewise, as the usual ports of FID did: bilinear, from the four nearest pixels alone."""
    import torch
    from torch.nn.functional import interpolate

    image = torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1)))[None].float()
    return interpolate(image, (side, side), mode="bilinear", align_corners=False)[0].numpy()


_RESIZERS = {"clean": _clean, "legacy": _legacy}
