"""Convolutions of stride 1 with fewer multiplications, for training on a CPU (Winograd's; Lavin and Gray 2016).

A tile of m x m outputs needs n x n inputs, n = m + r - 1, for a kernel of r x r. Transformed, each of the n * n values
is multiplied once per pair of channels, where the plain sum takes m * m * r * r multiplications: four times as many for
r = 3, m = 4 and for r = 4, m = 3. Y = A' [(G w G') * (B' x B)] A, where * sums over channels (their eq. 8 and 12); the
gradients are the adjoints of the same three transforms. Rounding errors are 2e-6 of the result in float32, two to ten
times those of the plain sum. Products do all the work, so it needs fast ones.
"""

import functools
import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from i2i.models.winograd import both_sides, matrices
from i2i.networks.products import batched_product, has_faster_products, product

LEAST_PIXELS = {3: 2000, 4: 900}
"""Of all inputs of a batch together, by kernel, where threads share each of many small products."""
_PIXELS, _CHANNELS = {3: 520, 4: 320}, 60
"""Of which so many, by kernel, take all that is gained: to transform the kernels, or the maps."""


class Transforms(NamedTuple):
    """m, r, and the transforms along both sides at once: inputs (n*n, n*n), kernels (n*n, r*r), outputs (m*m, n*n)."""

    tile: int
    kernel: int
    inputs: Tensor
    kernels: Tensor
    outputs: Tensor

    @property
    def reach(self) -> int:
        """n, the side of a tile of inputs."""
        return self.tile + self.kernel - 1


@functools.cache
def transforms(kernel: int) -> Transforms:
    """Return the transforms for kernels of 3 or 4 px, and 6 px of input."""
    by = matrices(kernel)
    both = (torch.from_numpy(both_sides(one)) for one in (by.inputs, by.kernels, by.outputs))
    return Transforms(by.tile, kernel, *both)


def way(layer: nn.Conv2d, input: Tensor) -> Callable[[Tensor, Tensor, int], Tensor] | None:
    """Return `convolve` where it is faster in training than torch's, for `layer` and an input (N, C, H, W); else None.

    Below some pixels, to transform the weights takes too long, and below some channels, to transform the maps does.
    """
    kernel, padding = layer.kernel_size, layer.padding
    fits = (
        layer.training
        and kernel in ((3, 3), (4, 4))
        and (*layer.stride, *layer.dilation, layer.groups, layer.padding_mode) == (1, 1, 1, 1, 1, "zeros")
        and isinstance(padding, tuple)
        and padding[0] == padding[1]
        and is_open(input)
        and _gains(kernel[0], layer.in_channels, layer.out_channels, input.numel() // input.shape[1])
    )
    return convolve if fits else None


def _gains(kernel: int, inputs: int, outputs: int, pixels: int) -> bool:
    enough = torch.get_num_threads() == 1 or pixels >= LEAST_PIXELS[kernel]
    return enough and _PIXELS[kernel] / pixels + _CHANNELS * (1 / inputs + 1 / outputs) < 1


def is_open(input: Tensor) -> bool:
    """Whether ways of our own are open to a convolution of `input`: those that fast products make the faster ones."""
    return (
        input.dtype == torch.float32
        and input.device.type == "cpu"
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()
        and has_faster_products()
    )


def convolve(input: Tensor, weight: Tensor, padding: int) -> Tensor:
    """(N, C, H, W) and (C', C, r, r), r 3 or 4, to (N, C', H', W'), as F.conv2d makes it."""
    made: Tensor = _Winograd.apply(input, weight, padding)
    return made


class _Winograd(torch.autograd.Function):
    """The convolution; its gradients can be differentiated again, as those of torch's."""

    @staticmethod
    def forward(context: Any, input: Tensor, weight: Tensor, padding: int) -> Tensor:
        """Return the convolution in channels_last."""
        context.padding = padding
        by = transforms(weight.shape[2])
        kernels = _kernels(weight, by)
        context.save_for_backward(input, weight, kernels if context.needs_input_grad[0] else None)
        count, height, width = len(input), *(side + 2 * padding - by.kernel + 1 for side in input.shape[2:])
        rows, columns = (-(-side // by.tile) for side in (height, width))
        made = batched_product(_input_tiles(input, padding, rows, columns, by), kernels.transpose(1, 2))
        tiles = product(by.outputs, made.flatten(1)).view(by.tile, by.tile, count, rows, columns, -1)
        whole = tiles.permute(2, 3, 0, 4, 1, 5).reshape(count, rows * by.tile, columns * by.tile, -1)
        return whole[:, :height, :width].permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        """Return the gradients of the input and the weight."""
        input, weight, kernels = context.saved_tensors
        padding, (of_input, of_weight, _) = context.padding, context.needs_input_grad
        if torch.is_grad_enabled():  # they will be differentiated
            sizes = ([1, 1], [padding, padding], [1, 1], False, [0, 0], 1, [of_input, of_weight, False])
            found = torch.ops.aten.convolution_backward(gradient, input, weight, None, *sizes)
            return found[0], found[1], None
        by = transforms(weight.shape[2])
        rows, columns = (-(-side // by.tile) for side in gradient.shape[2:])
        tiles = _output_tiles(gradient, rows, columns, by)
        of = by.outputs.t()
        dx = dw = None
        if of_input:
            spread = product(of, tiles.flatten(1)).unflatten(1, tiles.shape[1:])
            back = product(by.inputs.t(), batched_product(spread, kernels).flatten(1))
            dx = _gather(back, input, padding, rows, columns, by)
        if of_weight:
            turned = tiles.transpose(1, 2).contiguous()
            spread = product(of, turned.flatten(1)).unflatten(1, turned.shape[1:])
            summed = batched_product(spread, _input_tiles(input, padding, rows, columns, by))
            back = product(by.kernels.t(), summed.flatten(1)).view(by.kernel, by.kernel, *weight.shape[:2])
            dw = back.permute(2, 3, 0, 1).contiguous(memory_format=torch.channels_last)
        return dx, dw, None


def _kernels(weight: Tensor, by: Transforms) -> Tensor:
    """(C', C, r, r) to transformed (n*n, C', C)."""
    kernels = weight.permute(2, 3, 0, 1).reshape(by.kernel**2, -1)
    return product(by.kernels, kernels).view(-1, *weight.shape[:2])


def _input_tiles(input: Tensor, padding: int, rows: int, columns: int, by: Transforms) -> Tensor:
    """(N, C, H, W) to transformed (n*n, tiles, C), padded with zeros as far as tiles reach."""
    more = [
        count * by.tile + by.kernel - 1 - side - padding
        for count, side in zip((rows, columns), input.shape[2:], strict=True)
    ]
    padded = F.pad(input, (padding, more[1], padding, more[0])).contiguous(memory_format=torch.channels_last)
    image, channel, down, right = padded.stride()
    shape = (by.reach, by.reach, len(input), rows, columns, input.shape[1])
    tiles = padded.as_strided(shape, (down, right, image, by.tile * down, by.tile * right, channel))
    return product(by.inputs, tiles.reshape(by.reach**2, -1)).view(by.reach**2, -1, input.shape[1])


def _output_tiles(output: Tensor, rows: int, columns: int, by: Transforms) -> Tensor:
    """(N, C', H', W') to (m*m, tiles, C'), padded with zeros."""
    height, width = (count * by.tile - side for count, side in zip((rows, columns), output.shape[2:], strict=True))
    padded = F.pad(output, (0, width, 0, height)).permute(0, 2, 3, 1)
    tiles = padded.unflatten(2, (columns, by.tile)).unflatten(1, (rows, by.tile)).permute(2, 4, 0, 1, 3, 5)
    return tiles.reshape(by.tile**2, -1, output.shape[1])


def _gather(tiles: Tensor, input: Tensor, padding: int, rows: int, columns: int, by: Transforms) -> Tensor:
    """(n*n, tiles * C) to the gradient of the input, where neighbouring tiles overlap."""
    count, channels, height, width = input.shape
    tiles = tiles.view(by.reach, by.reach, count, rows, columns, channels)
    steps = -(-by.reach // by.tile)
    whole = tiles.new_zeros(count, rows + steps - 1, by.tile, columns + steps - 1, by.tile, channels)
    for row, column in itertools.product(range(steps), repeat=2):
        part = tiles[row * by.tile : (row + 1) * by.tile, column * by.tile : (column + 1) * by.tile]
        place = whole[:, row : row + rows, : part.shape[0], column : column + columns, : part.shape[1]]
        place.add_(part.permute(2, 3, 0, 4, 1, 5))
    found = whole.view(count, whole.shape[1] * by.tile, -1, channels)
    found = found[:, padding : padding + height, padding : padding + width].permute(0, 3, 1, 2)
    return found.contiguous(memory_format=torch.channels_last)
