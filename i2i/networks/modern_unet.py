"""A small U-Net of today's parts: group norm, SiLU, 3x3 convolutions, and the input joined again at full size."""

from collections.abc import Iterator, Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from i2i.networks.base import TranslatingGenerator
from i2i.networks.film import Stage, make_conditional_norm
from i2i.networks.layers import Norm, initialise, make_norm, needs_bias
from i2i.networks.layout import join
from i2i.networks.small_maps import Conv2d

Enlarging = Literal["nearest", "bilinear", "pixel_shuffle"]
HeadInit = Literal["alike", "xavier"]
NEARLY = 0.98
"""What black and white are multiplied by, where they must be finite before tanh."""


def _convolution(before: int, after: int, norm: Norm, condition: int, stride: int = 1) -> Stage:
    conv = Conv2d(before, after, 3, stride, 1, bias=needs_bias(norm))
    return Stage(conv, make_conditional_norm(norm, after, condition), nn.SiLU())


class Residual(nn.Module):
    """Two 3x3 convolutions, added to their input (He et al. 2016)."""

    def __init__(self, channels: int, norm: Norm, condition: int):
        super().__init__()
        self.body = Stage(
            _convolution(channels, channels, norm, condition),
            Conv2d(channels, channels, 3, 1, 1, bias=needs_bias(norm)),
            make_conditional_norm(norm, channels, condition),
        )

    def forward(self, input: Tensor, condition: Tensor | None = None) -> Tensor:
        """(N, C, H, W), and (N, condition) if it takes one, to (N, C, H, W)."""
        return input + self.body(input, condition)


class SelfAttention(nn.Module):
    """Dot-product attention of every place to all others, added to its input (Zhang et al. 2019, section 3)."""

    def __init__(self, channels: int, norm: Norm):
        super().__init__()
        self.norm = make_norm(norm, channels)
        self.queries_keys_values = nn.Conv2d(channels, 3 * channels, 1)
        self.out = nn.Conv2d(channels, channels, 1)

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) to the same."""
        flat = self.queries_keys_values(self.norm(input)).flatten(2).transpose(1, 2)[:, None]  # of one head
        found = F.scaled_dot_product_attention(*flat.chunk(3, dim=3))
        return input + self.out(found[:, 0].transpose(1, 2).reshape(input.shape))


class Recolouring(nn.Module):
    """A linear change of colours that is not trained, cut off at black and white; at first, none."""

    matrix: Tensor
    offset: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("matrix", torch.eye(3)[:, :, None, None])
        self.register_buffer("offset", torch.zeros(3))

    def change_to(self, rows: Sequence[Sequence[float]]) -> None:
        """Take the change that makes each output channel of so much red, green, blue, and a constant."""
        whole = torch.tensor([*map(list, rows)], device="cpu")
        self.matrix[:], self.offset[:] = whole[:, :3, None, None], whole[:, 3]

    def forward(self, image: Tensor) -> Tensor:
        """(N, 3, H, W) in [-1, 1] to the same."""
        return F.conv2d(image, self.matrix, self.offset).clamp(-1, 1)


class ModernUNet(TranslatingGenerator):
    """Halvings by strided convolutions, residual blocks at the smallest size, doublings that each join a skip.

    The last doubling joins the input itself, so that details at full size need not pass a bottleneck.

    depth: halvings, 2 to 8; sides must be multiples of 2**depth, and twice that at least, since a norm needs more
        than one place.
    width: channels of the first level; they double down to the fourth and stay at 8 * width.
    convolutions: 3x3 convolutions in each level, on both sides.
    blocks: residual blocks at the smallest size; 0 for a plain U-Net.
    attention: self-attention after them. It compares all places of what it is given, so tiles differ from a whole.
    upsample: "nearest", "bilinear", or "pixel_shuffle", a 1x1 convolution to four pixels (Shi et al. 2016).
    residual: add the result to the input, which needs equal channels. The last layer then repeats the border.
    head_init: "alike", so that all output channels begin with the same weights, or "xavier", whose differences between
        channels can stay on as coloured fringes.
    recolours: change the colours of the input first, see Recolouring, and do little else before training; for RGB.
    fills_holes, condition: see TranslatingGenerator; FiLM follows each norm but that of the attention.
    """

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 3,
        depth: int = 5,
        width: int = 32,
        norm: Norm = "group",
        convolutions: int = 1,
        blocks: int = 0,
        attention: bool = False,
        upsample: Enlarging = "nearest",
        residual: bool = False,
        head_init: HeadInit = "alike",
        recolours: bool = False,
        fills_holes: bool = False,
        condition: int = 0,
    ):
        super().__init__()
        self.fills_holes, self.residual, self.condition = fills_holes, residual, condition
        if not 2 <= depth <= 8:
            raise ValueError(f"depth is {depth}; this network has 2 to 8 levels")
        if residual and in_channels != out_channels:
            raise ValueError(
                f"a residual output needs equal channels, not {in_channels} and {out_channels}: set residual to false"
            )
        if recolours and (in_channels, out_channels) != (3, 3):
            raise ValueError(f"recolours needs RGB on both sides, not {in_channels} and {out_channels} channels")
        self.size_multiple, self.size_minimum = 2**depth, 2 ** (depth + 1)
        channels = [in_channels, *(width * min(2**level, 8) for level in range(depth))]

        def level(before: int, after: int, stride: int = 1) -> Stage:
            more = (_convolution(after, after, norm, condition) for _ in range(convolutions - 1))
            return Stage(_convolution(before, after, norm, condition, stride), *more)

        self.down = nn.ModuleList(level(channels[k], channels[k + 1], 2) for k in range(depth))
        self.blocks = nn.ModuleList(Residual(channels[-1], norm, condition) for _ in range(blocks))
        self.attention = SelfAttention(channels[-1], norm) if attention else nn.Identity()
        self.enlarge, self.up = nn.ModuleList(), nn.ModuleList()
        for k in reversed(range(depth)):
            self.enlarge.append(_doubling(channels[k + 1], upsample))
            self.up.append(level(channels[k + 1] + channels[k], channels[k] if k else width))
        self.head = Conv2d(width, out_channels, 3, padding=0 if residual else 1)
        initialise(self, "xavier")
        if head_init == "alike":
            self.head.weight.data[:] = self.head.weight.data[:1]
        self.recolouring = Recolouring() if recolours else None
        if recolours:
            self.head.weight.data *= 0.1

    @staticmethod
    def depth_for(crop_px: int) -> int:
        """Return the depth that brings a crop to 2 px, or less than 4, so that the innermost map sees all of it."""
        return min(max(crop_px.bit_length() - 2, 2), 8)

    def encoder(self) -> Iterator[tuple[str, nn.Module]]:
        """Yield down.0, down.1, ..., blocks.0, ..."""
        yield from ((f"down.{level}", stage) for level, stage in enumerate(self.down))
        yield from ((f"blocks.{number}", block) for number, block in enumerate(self.blocks))

    def translate(self, image: Tensor, condition: Tensor | None = None) -> Tensor:
        """(N, in_channels, H, W) in [-1, 1], and (N, condition) if it takes one, to (N, out_channels, H, W)."""
        value = image.to(self.dtype)
        if self.recolouring:
            value = image = self.recolouring(value)
        skips = []
        for stage in self.down:
            skips.append(value)
            value = stage(value, condition)
        for block in self.blocks:
            value = block(value, condition)
        value = self.attention(value)
        for enlarge, stage in zip(self.enlarge, self.up, strict=True):
            value = stage(join(enlarge(value), skips.pop()), condition)
        if self.residual:  # zeros beyond the border would change colours there by a third less: a frame
            value = F.pad(value, (1, 1, 1, 1), mode="replicate")
        made = self.head(value)
        if self.recolouring:
            return torch.tanh(made + torch.atanh(NEARLY * image))
        return torch.tanh(made + image) if self.residual else torch.tanh(made)


def _doubling(channels: int, upsample: Enlarging) -> nn.Module:
    if upsample == "nearest":
        return nn.Upsample(scale_factor=2, mode="nearest")
    if upsample == "bilinear":
        return nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
    return nn.Sequential(nn.Conv2d(channels, 4 * channels, 1), nn.PixelShuffle(2))
