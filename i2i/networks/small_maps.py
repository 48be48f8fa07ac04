"""Convolutions that run in a faster way when training on a CPU: as matrix products where feature maps are small.

The inner levels of a U-Net have millions of weights and a handful of pixels. There oneDNN spends most of its time on
reordering weights to its own layouts and back in every step; a product reads them as they are. Where maps are large,
convolutions of stride 1 take fewer multiplications (see `winograd`). The result is the same except for rounding. In
eval mode, on other devices and in mixed precision these are torch's layers, which export to one node. Without groups
and dilation.
"""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrize import is_parametrized

from i2i.networks import few_channels, winograd
from i2i.networks.patches import LAST, Folded, Patches, Window, numbers, take, window_of
from i2i.networks.products import has_faster_products, product

MOST = 4
"""Pixels for each input channel up to which fast products were faster in every layer with strides."""


class Conv2d(nn.Conv2d):
    """torch's layer, as a product with patches of the input where its output has few pixels."""

    adds_bias: ClassVar = True

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C', H', W')."""
        if not self.training:  # before any use of the shape, which an export would then fix
            return super().forward(input)
        window = window_of(self, input.shape[2:])
        by_other_ways = few_channels.has_few_outputs(self, input) or winograd.way(self, input)
        if by_other_ways or not _suits(self, input, len(input) * window.height * window.width):
            return super().forward(input)
        weight = self.weight  # read once: see _kept_weight
        if _is_last(weight):
            rows = product(Patches.apply(input, window), weight.permute(0, 2, 3, 1).flatten(1).t())
            made = rows.view(len(input), window.height, window.width, -1).permute(0, 3, 1, 2)
        else:
            patches = F.unfold(input, self.kernel_size, 1, window.padding, window.stride)
            made = product(weight.flatten(1), patches.transpose(0, 1).flatten(1))
            made = made.unflatten(1, (len(input), window.height, window.width)).transpose(0, 1).contiguous()
        return _with_bias(self, made)

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if few_channels.has_few_outputs(self, input):
            return _with_bias(self, few_channels.to_few(self, input, weight))
        if few_channels.has_few_inputs(self, input):
            return _with_bias(self, few_channels.from_few(self, input, weight))
        if convolve := winograd.way(self, input):
            return _with_bias(self, convolve(input, weight, numbers(self.padding)[0]))
        if _suits_patches(self, input):
            window = window_of(self, input.shape[2:])
            return _with_bias(self, _Strided.apply(input, weight, window, False, [0, 0]))
        return super()._conv_forward(input, weight, bias if self.adds_bias else None)


class ConvTranspose2d(nn.ConvTranspose2d):
    """torch's layer, as a product whose rows are added into a feature map where its input has few pixels."""

    adds_bias: ClassVar = True

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        """(N, C, H, W) to (N, C', H', W')."""
        assert output_size is None
        padding = numbers(self.padding)
        if few_channels.has_few_outputs(self, input):
            window = Window(self.kernel_size, self.stride, padding, *input.shape[2:])
            shape = (len(input), self.out_channels, *self._sides(input))
            return _with_bias(self, few_channels.Spread.apply(input, self.weight, window, shape))
        if self.training and _suits(self, input, input.numel() // input.shape[1]):
            return _with_bias(self, self._product(input))
        if _suits_patches(self, input):
            window = Window(self.kernel_size, self.stride, padding, *input.shape[2:])
            return _with_bias(self, _Strided.apply(input, self.weight, window, True, [*self.output_padding]))
        sizes = (self.stride, padding, self.output_padding, self.groups, self.dilation)
        return F.conv_transpose2d(input, self.weight, self.bias if self.adds_bias else None, *sizes)

    def _sides(self, input: Tensor) -> list[int]:
        """Return the sides of the output."""
        padding = numbers(self.padding)
        return [
            (input.shape[axis + 2] - 1) * self.stride[axis]
            - 2 * padding[axis]
            + self.kernel_size[axis]
            + self.output_padding[axis]
            for axis in (0, 1)
        ]

    def _product(self, input: Tensor) -> Tensor:
        padding, sides, weight = numbers(self.padding), self._sides(input), self.weight
        if _is_last(weight):
            rows = product(input.permute(0, 2, 3, 1).flatten(0, 2), weight.permute(0, 2, 3, 1).flatten(1))
            window = Window(self.kernel_size, self.stride, padding, *input.shape[2:])
            folded: Tensor = Folded.apply(rows, window, (len(input), self.out_channels, *sides))
            return folded
        # Pixels times weights: the other way round, the transposed weights take up to four times as long.
        patches = product(input.transpose(0, 1).flatten(1).t(), weight.flatten(1))
        patches = patches.t().unflatten(1, (len(input), -1)).transpose(0, 1)
        return F.fold(patches, (sides[0], sides[1]), self.kernel_size, 1, padding, self.stride)


class _Strided(torch.autograd.Function):
    """A convolution, or a transposed one, whose weights get their gradient from a product with patches.

    oneDNN's own takes up to twice as long in channels_last where strides are 2.
    """

    @staticmethod
    def forward(
        context: Any, input: Tensor, weight: Tensor, window: Window, transposed: bool, output_padding: list[int]
    ) -> Tensor:
        """Return the convolution without a bias."""
        context.save_for_backward(input, weight)
        context.window = window
        context.sizes = (window.stride, window.padding, (1, 1), transposed, output_padding, 1)
        return torch.convolution(input, weight, None, *context.sizes)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None, None, None]:
        """Return the gradients of the input and the weight, which can be differentiated again."""
        input, weight = context.saved_tensors
        of_input, of_weight, *_ = context.needs_input_grad
        by_torch = [of_input, of_weight and torch.is_grad_enabled(), False]
        dx, dw = None, None
        if any(by_torch):
            backward = torch.ops.aten.convolution_backward
            dx, dw, _ = backward(gradient, input, weight, None, *context.sizes, by_torch)
        if of_weight and not by_torch[1]:
            wide, narrow = (gradient, input) if context.sizes[3] else (input, gradient)
            rows = narrow.transpose(0, 1).flatten(1)
            dw = product(rows, take(wide, context.window)).view(len(rows), *context.window.kernel, -1)
            dw = dw.permute(0, 3, 1, 2)
        return dx, dw, None, None, None


def _with_bias(layer: Conv2d | ConvTranspose2d, made: Tensor) -> Tensor:
    return made if layer.bias is None or not layer.adds_bias else made + layer.bias[:, None, None]


def _kept_weight(layer: nn.Conv2d | nn.ConvTranspose2d) -> Tensor:
    """Return the weight as the layer keeps it: spectral norm goes a step on each time that `weight` is read."""
    weight = layer.parametrizations["weight"].original if is_parametrized(layer, "weight") else layer.weight  # type: ignore[index, union-attr]
    assert isinstance(weight, Tensor)
    return weight


def _is_last(weight: Tensor) -> bool:
    """Whether a weight's channels come last in memory, so that products of such patches need no copy of it."""
    return not weight.is_contiguous() and weight.is_contiguous(memory_format=LAST)


def _suits(layer: nn.Conv2d | nn.ConvTranspose2d, input: Tensor, pixels: int) -> bool:
    """Whether a product is faster: with fewer pixels than channels, or MOST of them where strides spare patches."""
    if input.device.type != "cpu" or torch.is_autocast_enabled("cpu"):
        return False
    has_fast = not torch.compiler.is_compiling() and has_faster_products()  # the compiler cannot ask for a processor
    if not (has_fast and _is_last(_kept_weight(layer))):
        return pixels <= layer.in_channels
    if layer.transposed or max(layer.stride) > 1:
        return pixels <= layer.in_channels * MOST
    return pixels <= min(layer.in_channels, layer.out_channels)


def _suits_patches(layer: Conv2d | ConvTranspose2d, input: Tensor) -> bool:
    """Whether the weights' gradient is faster as a product with patches, for an input (N, C, H, W).

    It was in channels_last, from 64 channels on, where the smaller of input and output is at least 32 px wide.
    """
    narrow = input.shape[3] // (1 if layer.transposed else layer.stride[1])
    return (
        layer.training
        and min(layer.stride) > 1
        and min(layer.in_channels, layer.out_channels) >= 64
        and narrow >= 32
        and (*layer.dilation, layer.groups, layer.padding_mode) == (1, 1, 1, "zeros")
        and _is_last(_kept_weight(layer))
        and winograd.is_open(input)
    )
