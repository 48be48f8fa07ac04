"""Perceptual distances, which agree with people better than pixels do: layers of AlexNet or VGG16, compared.

Each network comes from one known file (see i2i.weights).
"""

import functools
from typing import TYPE_CHECKING

import numpy as np

from i2i import weights
from i2i.errors import DataError, ModelError
from i2i.images import Array
from i2i.metrics.pairs import grey_levels

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from i2i.networks.trunk import Trunk


@functools.lru_cache(maxsize=2)
def trunk(name: str) -> "Trunk":
    """Return AlexNet or VGG16 from its file of weights; raises ModelError if it is missing or another file."""
    from i2i.networks.trunk import load_trunk

    return load_trunk(name)


def lpips(output: Array, truth: Array, network: str = "alexnet") -> float:
    """Return LPIPS, the learned perceptual distance between two images (H, W, C) of any depth; 0 if equal.

    Zhang et al. 2018, equation 1, version 0.1 with linear heads. network: alexnet, which the paper recommends for
    measuring, or vgg16. Raises DataError for images that are too small for the network.
    """
    import torch

    from i2i import losses

    net = trunk(network)
    with torch.inference_mode():
        one, other = (net(_unit(image, network)) for image in (output, truth))
        return float(losses.lpips(one, other, net.heads))


def dists(output: Array, truth: Array) -> float:
    """Return DISTS, the distance in structure and texture between two images (H, W, C) of any depth; 0 if equal.

    Ding et al. 2020, equations 5 to 7: means and covariances of VGG16's feature maps, with learned weights.
    """
    import torch

    net, (alpha, beta) = trunk("vgg16"), _dists_weights()
    score, place = 0.0, 0
    with torch.inference_mode():
        images = [_unit(image, "vgg16") for image in (output, truth)]
        layers = [(image, *net(image, _hanning_pool)) for image in images]
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
    least = weights.KNOWN[network].least_px
    if min(height, width) < least:
        raise DataError(f"{network} needs sides of at least {least} px; these pictures are {width}x{height}.")
    values = (grey_levels(image) / 255).astype(np.float32)
    return torch.from_numpy(np.ascontiguousarray(values.transpose(2, 0, 1)))[None]


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
