"""Images that are too big to go through a network whole.

Norm layers with the image's own statistics tie each pixel to all others, so that a part alone comes out
brighter or darker than within the whole. `freeze` fixes these statistics at those of a smaller copy of the
image: then any part can go through alone. `freeze_in_parts` fixes them at those of the image itself, of which it
holds one part at a time, and sees each part once for every such layer. `in_strips` keeps them exact in one pass: each
stage of the network runs in strips of rows, with its whole input and output in memory but nothing in between. All
return a new network that shares the weights, and leave the given one unchanged.
"""

import copy
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from fractions import Fraction
from typing import NamedTuple

import torch
from torch import Tensor, nn

from i2i.networks.layers import BatchNorm, Centre, GroupNorm, InstanceNorm, centre
from i2i.networks.modern_unet import SelfAttention

_HALO = 8
"""Extra rows of input on both sides of a strip; no stage looks further, and every stride divides it."""
_STRIP_VALUES = 2**23
"""Values in a strip's input, counted with at least 64 channels, since its output may have them: 32 MiB."""


class FixedNorm(nn.Module):
    """A norm layer with fixed statistics, (C,) each, which for group norm are averaged over each group."""

    scale: Tensor
    shift: Tensor

    def __init__(self, norm: nn.Module, mean: Tensor, variance: Tensor):
        super().__init__()
        assert isinstance(norm, InstanceNorm | BatchNorm | GroupNorm)
        weight, bias = (1.0, 0.0) if isinstance(norm, InstanceNorm) else (norm.weight, norm.bias)
        if isinstance(norm, GroupNorm):
            mean, variance = _of_groups(norm.num_groups, mean, variance)
        scale = weight * torch.rsqrt(variance + norm.eps)
        self.register_buffer("scale", scale[:, None, None])
        self.register_buffer("shift", (bias - mean * scale)[:, None, None])

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) to the same."""
        return torch.addcmul(self.shift, input, self.scale)


class FixedCentre(nn.Module):
    """A Centre that subtracts a fixed mean, (1, C, 1, 1)."""

    mean: Tensor

    def __init__(self, mean: Tensor):
        super().__init__()
        self.register_buffer("mean", mean)

    def forward(self, image: Tensor) -> Tensor:
        """(N, C, H, W) to the same."""
        return image - self.mean


def statistics_layers(network: nn.Module) -> int:
    """Return how many layers of `network` normalise by the image's own statistics in eval mode."""
    return sum(1 for _ in _norms(network))


@torch.inference_mode()
def freeze(network: nn.Module, *images: Tensor) -> nn.Module:
    """Return `network`, in eval mode, with all statistics fixed at those of images (1, C, H, W) in [-1, 1].

    Of several, such as frames of a clip, each goes through alone, and all count the same whatever their sizes.
    """
    frozen = _shared(network)
    found: dict[nn.Module, list[tuple[Tensor, Tensor]]] = {norm: [] for norm in _norms(frozen)}

    def note(layer: nn.Module, inputs: tuple[Tensor]) -> None:
        if isinstance(layer, Centre):
            mean = centre(inputs[0])
            found[layer].append((torch.zeros_like(mean), mean))
        else:
            found[layer].append(torch.var_mean(inputs[0], dim=(0, 2, 3), correction=0))

    handles = [norm.register_forward_pre_hook(note) for norm in found]
    for image in images:
        frozen(image)
    for handle in handles:
        handle.remove()
    _replace(frozen, {layer: _fixed(layer, *_pooled(each)) for layer, each in found.items() if each})
    return frozen


class ImagePart(NamedTuple):
    """A part of an image, which reaches beyond the pixels that it stands for; all places are pixels of the image."""

    image: Tensor
    """(1, C, H, W) in [-1, 1]."""
    place: tuple[int, int]
    """The row and the column at which it begins."""
    inner: tuple[tuple[int, int], tuple[int, int]]
    """The first row that it stands for and the one after the last; and columns. Those of all parts are the image."""

    def counted(self, values: Tensor) -> Tensor:
        """Return the places of a map (1, C, h, w), made from this part, that it stands for."""
        cuts = []
        for side, whole, place, ends in zip(
            values.shape[2:], self.image.shape[2:], self.place, self.inner, strict=True
        ):
            ratio = Fraction(side, whole)
            cuts.append(slice(*(math.floor(end * ratio) - math.floor(place * ratio) for end in ends)))
        return values[:, :, cuts[0], cuts[1]]


class _Reached(Exception):
    """A layer that uses the image's own statistics has its input."""

    def __init__(self, layer: nn.Module, values: Tensor):
        super().__init__()
        self.layer, self.values = layer, values


@torch.inference_mode()
def freeze_in_parts(network: nn.Module, parts: Callable[[], Iterable[ImagePart]]) -> nn.Module:
    """Return `network`, in eval mode, with all statistics fixed at those of an image whose parts `parts` yields.

    They are exact as far as no layer looks beyond a part from the pixels that it stands for.
    """
    frozen = _shared(network)
    while found := _first_statistics(frozen, parts()):
        layer, mean, variance = found
        values = mean[None, :, None, None] if isinstance(layer, Centre) else mean
        _replace(frozen, {layer: _fixed(layer, variance, values)})
    return frozen


def _first_statistics(network: nn.Module, parts: Iterable[ImagePart]) -> tuple[nn.Module, Tensor, Tensor] | None:
    """Return the first layer that uses the image's own statistics, with mean and variance (C,) of its input."""

    def stop(layer: nn.Module, inputs: tuple[Tensor]) -> None:
        raise _Reached(layer, inputs[0])

    handles = [norm.register_forward_pre_hook(stop) for norm in _norms(network)]
    reached, each = None, list[tuple[int, Tensor, Tensor]]()
    try:
        for part in parts if handles else ():
            try:
                network(part.image)
                return None  # no such layer is in use
            except _Reached as found:
                reached, values = found.layer, part.counted(found.values)
            variance, mean = torch.var_mean(values, dim=(0, 2, 3), correction=0)
            if isinstance(reached, Centre):
                mean = centre(values).flatten()
            each.append((values.shape[2] * values.shape[3], mean, variance))
    finally:
        for handle in handles:
            handle.remove()
    return (reached, *_merged(each)) if reached is not None else None


def _merged(each: list[tuple[int, Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Return mean and variance (C,) of a map, from number, mean and variance of its parts, in double precision."""
    counts, means, variances = zip(*each, strict=True)
    shares = torch.tensor(counts, dtype=torch.float64)[:, None] / sum(counts)
    all_means, all_variances = (torch.stack(one).cpu().double() for one in (means, variances))
    mean = (shares * all_means).sum(0)
    variance = (shares * (all_variances + (all_means - mean).square())).sum(0)
    return mean.to(means[0]), variance.to(means[0])


def _pooled(each: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Return variance and mean of several sets of equal size, given those of each."""
    variances, means = (torch.stack(values) for values in zip(*each, strict=True))
    return variances.mean(0) + means.var(0, correction=0), means.mean(0)


def _fixed(layer: nn.Module, variance: Tensor, mean: Tensor) -> nn.Module:
    return FixedCentre(mean) if isinstance(layer, Centre) else FixedNorm(layer, mean, variance)


def in_strips(network: nn.Module) -> nn.Module:
    """Return `network`, in eval mode, with each of its stages run in strips; it takes one image at a time.

    Stages are its children and the members of its module lists; each runs its layers in the listed order.
    """
    striped = _shared(network)
    for name, child in list(striped.named_children()):
        if isinstance(child, nn.ModuleList):
            setattr(striped, name, nn.ModuleList(_InStrips(stage) for stage in child))
        elif not isinstance(child, Centre | SelfAttention):  # which need the whole image
            setattr(striped, name, _InStrips(child))
    return striped


class _InStrips(nn.Module):
    """A stage that runs strip by strip: once for the statistics of each norm layer in it, and once for its output."""

    def __init__(self, stage: nn.Module):
        super().__init__()
        self.stage = nn.Sequential(stage)  # a stage that is a norm layer itself is replaced in this

    def forward(self, input: Tensor, condition: None = None) -> Tensor:
        """(1, C, H, W) to the output of the stage, whose condition is fixed if it has one."""
        channels, height, width = input.shape[1:]
        rows = max(_STRIP_VALUES // (max(channels, 64) * width * _HALO), 4) * _HALO
        if height <= 2 * rows:
            return self.stage(input)
        stage = _shared(self.stage)
        for norm in list(_norms(stage)):
            _replace(stage, {norm: FixedNorm(norm, *_statistics(stage, norm, input, rows))})
        output, done = torch.empty(0), 0
        for strip in _strips(stage, input, rows):
            if not done:
                output = strip.new_empty(1, strip.shape[1], height * strip.shape[2] // rows, strip.shape[3])
            output[:, :, done : done + strip.shape[2]] = strip
            done += strip.shape[2]
        return output


def _strips(stage: nn.Module, input: Tensor, rows: int, norm: nn.Module | None = None) -> Iterator[Tensor]:
    """Yield the output of `stage`, or the input of `norm` in it, for every `rows` rows of input, from top to bottom."""
    caught: list[Tensor] = []
    handle = norm.register_forward_pre_hook(lambda _, inputs: caught.append(inputs[0])) if norm is not None else None
    height = input.shape[2]
    for start in range(0, height, rows):
        stop = min(start + rows, height)
        top, bottom = max(start - _HALO, 0), min(stop + _HALO, height)
        made = stage(input[:, :, top:bottom].clone())  # a copy, since stages may start in place
        values = caught.pop() if caught else made
        ratio = Fraction(values.shape[2], bottom - top)
        yield values[:, :, int((start - top) * ratio) : int((stop - top) * ratio)]
    if handle is not None:
        handle.remove()


def _statistics(stage: nn.Module, norm: nn.Module, input: Tensor, rows: int) -> tuple[Tensor, Tensor]:
    """Return mean and variance (C,) of the input of `norm`."""
    each = list[tuple[int, Tensor, Tensor]]()
    for values in _strips(stage, input, rows, norm):
        variance, mean = torch.var_mean(values, dim=(0, 2, 3), correction=0)
        each.append((values.shape[2], mean, variance))
    return _merged(each)


def _of_groups(count: int, mean: Tensor, variance: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and variance (C,) of each channel's group, from those of the channels."""
    means, variances = mean.view(count, -1), variance.view(count, -1)
    whole = means.mean(dim=1, keepdim=True)
    spread = (variances + (means - whole).square()).mean(dim=1, keepdim=True)
    return whole.expand_as(means).flatten(), spread.expand_as(means).flatten()


def _norms(network: nn.Module) -> Iterator[nn.Module]:
    """Yield the layers that use the image's own statistics."""
    for module in network.modules():
        if isinstance(module, InstanceNorm | BatchNorm | GroupNorm | Centre) and module.own_statistics:
            yield module


def _shared(network: nn.Module) -> nn.Module:
    """Return a copy that shares all tensors."""
    return copy.deepcopy(network, {id(one): one for one in (*network.parameters(), *network.buffers())})


def _replace(network: nn.Module, new: Mapping[nn.Module, nn.Module]) -> None:
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if child in new:
                setattr(parent, name, new[child])
