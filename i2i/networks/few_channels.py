"""Convolutions to and from a few channels, colours or logits, by matrix products; for training on a CPU.

oneDNN computes blocks of 16 channels, however few of them exist. A product of each pixel with its whole kernel wastes
nothing; what it makes is added into planes, one for each channel, where neighbouring pixels lie side by side.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from i2i.networks.patches import LAST, Window, numbers, take, window_of
from i2i.networks.products import product
from i2i.networks.winograd import is_open

FEW, MANY = 4, 32
"""Channels up to which, and from which on the other side, products were faster in every layer that was measured."""


def has_few_outputs(layer: nn.Conv2d | nn.ConvTranspose2d, input: Tensor) -> bool:
    """Whether `to_few` is faster in training than torch's layer, for an input (N, C, H, W)."""
    strided = not layer.transposed and max(layer.stride) > 1
    return layer.out_channels <= FEW and layer.in_channels >= MANY and not strided and _is_open(layer, input)


def has_few_inputs(layer: nn.Conv2d, input: Tensor) -> bool:
    """Whether `from_few` is faster: only the gradient of its input is another than torch's."""
    many = layer.in_channels <= FEW and layer.out_channels >= MANY
    return many and input.requires_grad and _is_open(layer, input)


def _is_open(layer: nn.Conv2d | nn.ConvTranspose2d, input: Tensor) -> bool:
    return (
        layer.training
        and min(layer.kernel_size) > 1
        and (*layer.dilation, layer.groups, layer.padding_mode) == (1, 1, 1, "zeros")
        and max(numbers(layer.padding)) < min(layer.kernel_size)
        and is_open(input)
        and input.is_contiguous(memory_format=LAST)
    )


def to_few(layer: nn.Conv2d, input: Tensor, weight: Tensor) -> Tensor:
    """Return what a convolution of stride 1 makes of (N, C, H, W), without its bias: each pixel adds its kernel."""
    around = tuple(side - 1 - padding for side, padding in zip(layer.kernel_size, numbers(layer.padding), strict=True))
    made = window_of(layer, input.shape[2:])
    window = Window(layer.kernel_size, layer.stride, around, *input.shape[2:])
    turned = weight.flip(2, 3).transpose(0, 1)
    whole: Tensor = Spread.apply(input, turned, window, (len(input), layer.out_channels, made.height, made.width))
    return whole


def from_few(layer: nn.Conv2d, input: Tensor, weight: Tensor) -> Tensor:
    """Return what a convolution makes of (N, C, H, W), without its bias."""
    made: Tensor = _FromFew.apply(input, weight, window_of(layer, input.shape[2:]))
    return made


class Spread(torch.autograd.Function):
    """A transposed convolution to a few channels.

    pixels: (N, C, height, width). weight: (C, C', *kernel). window: where the kernel goes in the output, of this shape.
    """

    @staticmethod
    def forward(context: Any, pixels: Tensor, weight: Tensor, window: Window, shape: tuple[int, ...]) -> Tensor:
        """Return the images (N, C', H, W)."""
        context.save_for_backward(pixels, weight)
        context.window = window
        count, channels, height, width = shape
        kernels = weight.permute(2, 3, 1, 0).flatten(0, 2)
        parts = product(kernels, pixels.permute(0, 2, 3, 1).flatten(0, 2).t())
        parts = parts.view(*window.kernel, channels, count, window.height, window.width)
        (down, right), (step, aside) = window.padding, window.stride
        planes = parts.new_zeros(channels, count, height + 2 * down, width + 2 * right)
        for y in range(window.kernel[0]):
            for x in range(window.kernel[1]):
                rows = slice(y, y + step * (window.height - 1) + 1, step)
                columns = slice(x, x + aside * (window.width - 1) + 1, aside)
                planes[:, :, rows, columns] += parts[y, x]
        whole = planes[:, :, down : down + height, right : right + width]
        return whole.transpose(0, 1).contiguous(memory_format=LAST)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        """Return the gradients of the pixels and the weight, which can be differentiated again."""
        pixels, weight = context.saved_tensors
        window, (of_pixels, of_weight, *_) = context.window, context.needs_input_grad
        dp = dw = None
        if of_pixels and weight.shape[1] == 1 and not torch.is_grad_enabled():  # where torch cannot tell the layout
            rows = product(take(gradient, window), weight.permute(2, 3, 1, 0).flatten(0, 2))
            dp = rows.view(len(pixels), window.height, window.width, -1).permute(0, 3, 1, 2)
        elif of_pixels:
            gradient, kernels = (one.contiguous(memory_format=LAST) for one in (gradient, weight))
            dp = F.conv2d(gradient, kernels, None, window.stride, window.padding)
        if of_weight and (torch.is_grad_enabled() or max(window.stride) > 1):
            dw = _weight_gradient(pixels, gradient, weight, window)
        elif of_weight:
            rows = pixels.transpose(0, 1).flatten(1)
            dw = product(rows, take(gradient, window)).view(len(rows), *window.kernel, -1).permute(0, 3, 1, 2)
        return dp, dw, None, None


class _FromFew(torch.autograd.Function):
    """A convolution whose input gets its gradient from `Spread`."""

    @staticmethod
    def forward(context: Any, input: Tensor, weight: Tensor, window: Window) -> Tensor:
        """Return torch's convolution."""
        context.save_for_backward(input, weight)
        context.window = window
        return F.conv2d(input, weight, None, window.stride, window.padding)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        """Return the gradients of the input and the weight, which can be differentiated again."""
        input, weight = context.saved_tensors
        of_input, of_weight, _ = context.needs_input_grad
        dx = Spread.apply(gradient, weight, context.window, input.shape) if of_input else None
        dw = _weight_gradient(gradient, input, weight, context.window) if of_weight else None
        return dx, dw, None


def _weight_gradient(gradient: Tensor, input: Tensor, weight: Tensor, window: Window) -> Tensor:
    sizes = (window.stride, window.padding, [1, 1], False, [0, 0], 1, [False, True, False])
    found: Tensor = torch.ops.aten.convolution_backward(gradient, input, weight, None, *sizes)[1]
    return found
