"""Patches of images, as rows for matrix products, and back.

A row holds all that one place of a kernel sees, the channels of a pixel side by side; torch's unfold has channels
first.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LAST = torch.channels_last


class Window(NamedTuple):
    """Where a kernel goes in an image: its sides, its steps, the zeros around, and how often it fits."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    height: int
    width: int


def window_of(layer: nn.Conv2d, sides: Any) -> Window:
    """Return where the kernel of a layer goes in images of these sides."""
    kernel, stride, padding = layer.kernel_size, layer.stride, numbers(layer.padding)
    counts = ((sides[axis] + 2 * padding[axis] - kernel[axis]) // stride[axis] + 1 for axis in (0, 1))
    return Window(kernel, stride, padding, *counts)


def take(images: Tensor, window: Window) -> Tensor:
    """(N, C, H, W) to patches (N * height * width, kernel * kernel * C); torch's unfold has channels first."""
    down, right = window.padding
    images = F.pad(images, (right, right, down, down)).contiguous(memory_format=LAST)
    each, one, row, column = images.stride()
    shape = (len(images), window.height, window.width, *window.kernel, images.shape[1])
    strides = (each, window.stride[0] * row, window.stride[1] * column, row, column, one)
    return images.as_strided(shape, strides).reshape(-1, window.kernel[0] * window.kernel[1] * images.shape[1])


def add(patches: Tensor, window: Window, shape: tuple[int, ...]) -> Tensor:
    """Patches as from `take` to images (N, C, H, W) of this shape: the sum of all that overlap."""
    count, channels, height, width = shape
    patches = patches.view(count, window.height, window.width, *window.kernel, channels)
    (down, right), (step, aside) = window.padding, window.stride
    whole = patches.new_zeros(count, height + 2 * down, width + 2 * right, channels)
    for y in range(window.kernel[0]):
        for x in range(window.kernel[1]):
            rows = slice(y, y + step * (window.height - 1) + 1, step)
            columns = slice(x, x + aside * (window.width - 1) + 1, aside)
            whole[:, rows, columns] += patches[:, :, :, y, x]
    return whole[:, down : down + height, right : right + width].permute(0, 3, 1, 2).contiguous(memory_format=LAST)


class Patches(torch.autograd.Function):
    """`take`, whose gradient is `add`."""

    @staticmethod
    def forward(context: Any, images: Tensor, window: Window) -> Tensor:
        """Return the patches."""
        context.window, context.shape = window, images.shape
        return take(images, window)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """Return the gradient of the images."""
        return Folded.apply(gradient, context.window, context.shape), None


class Folded(torch.autograd.Function):
    """`add`, whose gradient is `take`."""

    @staticmethod
    def forward(context: Any, patches: Tensor, window: Window, shape: tuple[int, ...]) -> Tensor:
        """Return the images."""
        context.window = window
        return add(patches, window, shape)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        """Return the gradient of the patches."""
        return Patches.apply(gradient, context.window), None, None


def numbers(padding: str | tuple[int, ...]) -> tuple[int, ...]:
    """Return a padding as torch's layers hold it."""
    assert not isinstance(padding, str), "padding by name is not used here"
    return padding
