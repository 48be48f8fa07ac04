"""Perceptual distances, which agree with people better than pixels do: layers of AlexNet or VGG16, compared.

Each network comes from one known file (see weights.py), which holds numpy arrays in a pickle.
"""

import functools
import io
import pickle
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from i2i.errors import DataError, ModelError
from i2i.images import Array
from i2i.metrics import weights
from i2i.metrics.pairs import grey_levels

if TYPE_CHECKING:
    import torch
    from torch import Tensor

_POOL = "pool"
_CONVOLUTIONS: dict[str, list[Any]] = {  # (stride, padding) of each in order; the weights show the rest
    "alexnet": [(4, 2), _POOL, (1, 2), _POOL, (1, 1), (1, 1), (1, 1)],
    "vgg16": [*[(1, 1)] * 2, _POOL, *[(1, 1)] * 2, _POOL, *[(1, 1)] * 3, _POOL, *[(1, 1)] * 3, _POOL, *[(1, 1)] * 3],
}
_POOLING = {"alexnet": (3, 2), "vgg16": (2, 2)}  # window, stride
_TAPS = {
    "alexnet": (0, 1, 2, 3, 4),
    "vgg16": (1, 3, 6, 9, 12),
}  # convolutions whose outputs LPIPS compares, after the ReLU
LEAST_PX = {"alexnet": 31, "vgg16": 16}
"""Smallest side for which a network's last layer is not empty."""
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, for values in [0, 1]


class Trunk:
    """The convolutions of AlexNet or VGG16, up to the last one that LPIPS uses."""

    def __init__(self, name: str, arrays: dict[str, Any]):
        """Take the arrays of a known file: HWIO kernels, and LPIPS weights for each channel of each layer."""
        import torch

        own = next(values for key, values in arrays.items() if not key.startswith("NetLin"))
        self.name = name
        self.convolutions = []
        for index in range(len(own)):
            kernel, bias = own[f"Conv_{index}"]["kernel"], own[f"Conv_{index}"]["bias"]
            self.convolutions.append((torch.tensor(kernel.transpose(3, 2, 0, 1)).contiguous(), torch.tensor(bias)))
        self.heads = [torch.tensor(arrays[f"NetLinLayer_{k}"]["Conv_0"]["kernel"][0, 0, :, 0]) for k in range(5)]
        self.mean, self.std = (torch.tensor(values).view(1, 3, 1, 1) for values in (_MEAN, _STD))

    def layers(self, x: "Tensor", pool: Any = None) -> "Iterator[Tensor]":
        """Yield the five layers for RGB images (N, 3, H, W) in [0, 1]; `pool` replaces max pooling."""
        from torch.nn.functional import conv2d, max_pool2d

        window, stride = _POOLING[self.name]
        x, index = (x - self.mean) / self.std, 0
        for step in _CONVOLUTIONS[self.name]:
            if step == _POOL:
                x = pool(x) if pool else max_pool2d(x, window, stride)
                continue
            x = conv2d(x, *self.convolutions[index], stride=step[0], padding=step[1]).relu()
            if index in _TAPS[self.name]:
                yield x
            index += 1


class _ArraysOnly(pickle.Unpickler):
    """Builds numpy arrays and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        """Return what rebuilds arrays; raises UnpicklingError for any other name."""
        if (module.replace("numpy.core", "numpy._core"), name) == ("numpy._core.multiarray", "_reconstruct"):
            return np.zeros(0).__reduce__()[0]
        if module == "numpy" and name in ("ndarray", "dtype"):
            return getattr(np, name)
        raise pickle.UnpicklingError(f"{module}.{name} is not part of an array")


@functools.lru_cache(maxsize=2)
def trunk(name: str) -> Trunk:
    """Return AlexNet or VGG16 from its file of weights; raises ModelError if it is missing or another file."""
    return Trunk(name, _ArraysOnly(io.BytesIO(weights.find(name).read_bytes())).load())


def lpips(output: Array, truth: Array, network: str = "alexnet") -> float:
    """Return LPIPS, the learned perceptual distance between two images (H, W, C) of any depth; 0 if equal.

    Zhang et al. 2018, equation 1, version 0.1 with linear heads. network: alexnet, which the paper recommends for
    measuring, or vgg16. Raises DataError for images that are too small for the network.
    """
    import torch

    net = trunk(network)
    total = 0.0
    with torch.inference_mode():
        layers = [net.layers(_unit(image, network)) for image in (output, truth)]
        for head, one, other in zip(net.heads, *layers, strict=True):
            difference = (_direction(one) - _direction(other)).square()
            total += float((difference * head.view(1, -1, 1, 1)).sum(dim=1).mean())
    return total


def dists(output: Array, truth: Array) -> float:
    """Return DISTS, the distance in structure and texture between two images (H, W, C) of any depth; 0 if equal.

    Ding et al. 2020, equations 5 to 7: means and covariances of VGG16's feature maps, with learned weights.
    """
    import torch

    net, (alpha, beta) = trunk("vgg16"), _dists_weights()
    score, place = 0.0, 0
    with torch.inference_mode():
        images = [_unit(image, "vgg16") for image in (output, truth)]
        layers = [(image, *net.layers(image, _hanning_pool)) for image in images]
        for one, other in zip(*layers, strict=True):
            here = slice(place, place := place + one.shape[1])
            means = [values.mean(dim=(2, 3))[0] for values in (one, other)]
            squares = [values.var(dim=(2, 3), correction=0)[0] for values in (one, other)]
            covariance = (one * other).mean(dim=(2, 3))[0] - means[0] * means[1]
            texture = (2 * means[0] * means[1] + 1e-6) / (means[0] ** 2 + means[1] ** 2 + 1e-6)  # equation 5
            structure = (2 * covariance + 1e-6) / (squares[0] + squares[1] + 1e-6)  # equation 6
            score += float((alpha[here] * texture).sum() + (beta[here] * structure).sum())
    return max(1 - score / float(alpha.sum() + beta.sum()), 0.0)


def _unit(image: Array, network: str) -> "Tensor":
    """Return an image as RGB, (1, 3, H, W) in [0, 1]."""
    import torch

    height, width = image.shape[:2]
    if min(height, width) < LEAST_PX[network]:
        least = LEAST_PX[network]
        raise DataError(f"{network} needs sides of at least {least} px; these pictures are {width}x{height}.")
    values = (grey_levels(image) / 255).astype(np.float32)
    return torch.from_numpy(np.ascontiguousarray(values.transpose(2, 0, 1)))[None]


def _direction(features: "Tensor") -> "Tensor":
    """Scale each pixel's features to length 1."""
    return features / (features.square().sum(dim=1, keepdim=True).sqrt() + 1e-10)


def _hanning_pool(x: "Tensor") -> "Tensor":
    """Halve maps without aliasing: the root of their squares, blurred over 3 px (Ding et al. 2020, section 3.1)."""
    import torch
    from torch.nn.functional import conv2d

    line = torch.tensor([0.25, 0.5, 0.25])
    kernel = (line[:, None] * line[None]).expand(x.shape[1], 1, 3, 3)
    return (conv2d(x.square(), kernel, stride=2, padding=1, groups=x.shape[1]) + 1e-12).sqrt()


@functools.lru_cache(maxsize=1)
def _dists_weights() -> "tuple[torch.Tensor, torch.Tensor]":
    from i2i.models.torchfile import read_torch_file

    path = weights.find("dists")
    tensors = read_torch_file(path)
    if not {"alpha", "beta"} <= set(tensors):
        raise ModelError(f"{path} holds no weights of DISTS.")
    return tensors["alpha"].flatten(), tensors["beta"].flatten()
