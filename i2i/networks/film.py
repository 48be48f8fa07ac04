"""Feature-wise linear modulation: a condition scales and shifts the channels of a generator (Perez et al. 2018).

A condition is the one-hot label of each label set, one after another. A network whose condition is fixed is one of
images alone: tiles, strips and exported graphs know nothing of labels.
"""

import copy

import torch
from torch import Tensor, nn

from i2i.networks.layers import Norm, make_norm


class FiLM(nn.Module):
    """A norm layer whose output a condition scales by 1 + gamma and shifts by beta (Perez et al. 2018, eq. 2).

    norm: of `channels`. condition: length of the condition vector. Gamma and beta are the sums of what each label
    contributes, and begin at zero.
    """

    def __init__(self, norm: nn.Module, channels: int, condition: int):
        super().__init__()
        self.norm = norm
        self.embedding = nn.Linear(condition, 2 * channels, bias=False)
        nn.init.zeros_(self.embedding.weight)

    def forward(self, input: Tensor, condition: Tensor) -> Tensor:
        """(N, C, H, W) and (N, condition) to (N, C, H, W)."""
        gamma, beta = self.embedding(condition)[:, :, None, None].chunk(2, dim=1)
        return self.norm(input) * (1 + gamma) + beta

    def fixed(self, condition: Tensor) -> nn.Module:
        """Return the layer for one condition (condition,), which takes images alone."""
        gamma, beta = (self.embedding.weight.detach() @ condition.to(self.embedding.weight)).chunk(2)
        return nn.Sequential(self.norm, Affine(1 + gamma, beta))


class Affine(nn.Module):
    """Scale and shift channels by fixed numbers, (C,) each."""

    scale: Tensor
    shift: Tensor

    def __init__(self, scale: Tensor, shift: Tensor):
        super().__init__()
        self.register_buffer("scale", scale[:, None, None])
        self.register_buffer("shift", shift[:, None, None])

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) to the same."""
        return torch.addcmul(self.shift, input, self.scale)


class Stage(nn.Sequential):
    """Layers in order, of which FiLM, and stages within, also take the condition if there is one."""

    def forward(self, input: Tensor, condition: Tensor | None = None) -> Tensor:
        """(N, C, H, W) and (N, condition) to (N, C', H', W')."""
        if condition is None:
            for layer in self:
                input = layer(input)
        else:
            for layer in self:
                input = layer(input, condition) if isinstance(layer, FiLM | Stage) else layer(input)
        return input


def make_conditional_norm(norm: Norm, channels: int, condition: int) -> nn.Module:
    """Return the norm layer of this name, inside FiLM if the condition vector has a length."""
    layer = make_norm(norm, channels)
    return FiLM(layer, channels, condition) if condition else layer


def fix_condition(network: nn.Module, condition: Tensor) -> nn.Module:
    """Return a copy of a generator for one condition (condition,), which takes images alone and shares the weights."""
    fixed = copy.deepcopy(network, {id(one): one for one in (*network.parameters(), *network.buffers())})
    for name, layer in list(fixed.named_modules()):
        layer.__dict__.pop("forward", None)  # by which a training replaces that of the network it was copied from
        if isinstance(layer, FiLM):
            fixed.set_submodule(name, layer.fixed(condition))
    return fixed
