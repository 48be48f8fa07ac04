"""Frozen networks whose features say how alike two images are: AlexNet and VGG16, and random convolutions.

AlexNet and VGG16 come from one known file each (i2i.weights), which holds numpy arrays in a pickle. Random
convolutions need no file. Each is a module that takes RGB images (N, 3, H, W) in [0, 1] and returns the features of
its layers, finest first, (N, C, H', W') each.
"""

import io
import itertools
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from i2i import weights

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
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, for values in [0, 1]


class Trunk(nn.Module):
    """The convolutions of AlexNet or VGG16, up to the last one that LPIPS uses.

    heads: LPIPS weights for each channel of each layer.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, name: str, arrays: dict[str, Any]):
        """Take the arrays of a known file: HWIO kernels, and LPIPS weights."""
        super().__init__()
        own = next(values for key, values in arrays.items() if not key.startswith("NetLin"))
        self.name = name
        sizes = [step for step in _CONVOLUTIONS[name] if step != _POOL]
        self.convolutions = nn.ModuleList(
            _frozen(own[f"Conv_{index}"]["kernel"].transpose(3, 2, 0, 1), own[f"Conv_{index}"]["bias"], *sizes[index])
            for index in range(len(own))
        )
        heads = [torch.tensor(arrays[f"NetLinLayer_{k}"]["Conv_0"]["kernel"][0, 0, :, 0]) for k in range(5)]
        self.heads = nn.ParameterList(nn.Parameter(head, requires_grad=False) for head in heads)
        for key, values in (("mean", _MEAN), ("std", _STD)):
            self.register_buffer(key, torch.tensor(values).view(1, 3, 1, 1))

    def forward(self, x: Tensor, pool: Callable[[Tensor], Tensor] | None = None) -> list[Tensor]:
        """RGB images (N, 3, H, W) in [0, 1] to five layers; `pool` replaces max pooling."""
        window, stride = _POOLING[self.name]
        layers = []
        x, index = (x - self.mean) / self.std, 0
        for step in _CONVOLUTIONS[self.name]:
            if step == _POOL:
                x = pool(x) if pool else F.max_pool2d(x, window, stride)
                continue
            x = self.convolutions[index](x).relu()
            if index in _TAPS[self.name]:
                layers.append(x)
            index += 1
        return layers


class RandomFeatures(nn.Module):
    """Random convolutions at four scales, the same for everyone, since a seed draws them.

    Features of random networks tell textures and edges apart, though less well than those of trained ones (Zhang et
    al. 2018, section 4; He et al. 2016, "A powerful generative model using random weights").
    """

    def __init__(self, widths: tuple[int, ...] = (32, 64, 64, 64), seed: int = 0):
        super().__init__()
        random, counts = np.random.default_rng(seed), (3, *widths)
        kernels = [random.standard_normal((after, before, 3, 3)) for before, after in itertools.pairwise(counts)]
        self.convolutions = nn.ModuleList(
            _frozen(kernel * np.sqrt(2 / kernel[0].size), np.zeros(len(kernel)), 1, 1) for kernel in kernels
        )  # the variance keeps the size of features from layer to layer (He et al. 2015, eq. 10)

    def forward(self, x: Tensor) -> list[Tensor]:
        """RGB images (N, 3, H, W) in [0, 1] to four layers, each at half the size of the one before."""
        layers = []
        x = 2 * x - 1
        for index, convolution in enumerate(self.convolutions):
            x = convolution(F.avg_pool2d(x, 2) if index else x).relu()
            layers.append(x)
        return layers


def _frozen(kernel: Any, bias: Any, stride: int, padding: int) -> nn.Conv2d:
    """Return a convolution that does not train, from an OIHW kernel; no random number is drawn for it."""
    after, before, *window = kernel.shape
    convolution = nn.utils.skip_init(nn.Conv2d, before, after, tuple(window), stride, padding)
    for name, values in (("weight", kernel), ("bias", bias)):
        values = np.ascontiguousarray(values, dtype=np.float32)
        setattr(convolution, name, nn.Parameter(torch.tensor(values), requires_grad=False))
    assert isinstance(convolution, nn.Conv2d)
    return convolution


class _ArraysOnly(pickle.Unpickler):
    """Builds numpy arrays and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        """Return what rebuilds arrays; raises UnpicklingError for any other name."""
        found = module.replace("numpy.core", "numpy._core"), name
        if found == ("numpy._core.multiarray", "_reconstruct"):
            return np.zeros(0).__reduce__()[0]
        if found == ("numpy._core.numeric", "_frombuffer"):  # of the pickles that Python 3.14 writes
            return np.zeros(0).__reduce_ex__(5)[0]
        if module == "numpy" and name in ("ndarray", "dtype"):
            return getattr(np, name)
        raise pickle.UnpicklingError(f"{module}.{name} is not part of an array")


def load_trunk(name: str) -> Trunk:
    """Return AlexNet or VGG16 from its file of weights; raises ModelError if it is missing or another file."""
    return Trunk(name, _ArraysOnly(io.BytesIO(weights.find(name).read_bytes())).load())
