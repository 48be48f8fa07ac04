"""The generator of StyleGAN: Karras, Laine, Aila 2019, "A style-based generator architecture for GANs", with the
modulated convolutions and the skips of StyleGAN2 (Karras et al. 2020, "Analyzing and improving the image quality").

Notation: z is a latent, w a style, which a mapping network makes of it; each layer of the image has a style of its own.
"""

from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, distributed, nn
from torch.nn import functional as F

from i2i.networks.base import LatentGenerator
from i2i.networks.equalised import EqualLinear, PixelNorm
from i2i.networks.growth import FIRST_PX, channels, levels

MAPPING_RATE = 0.01
"""Learning rate of the mapping network, as a part of that of the rest (Karras et al. 2019, appendix C)."""
_FRESH = 0.005  # of each batch in the mean style, as in the code of StyleGAN2-ADA
_EPSILON = 1e-7  # 1e-8 in the paper; see PixelNorm
_SILENCE = 1e-4  # energy far below which a channel stays silent
StyleNorm = Literal["demodulation", "instance"]


class ModulatedConv2d(nn.Module):
    """A convolution whose input channels a style scales, as if each image had weights of its own (Karras et al. 2020,
    eq. 1 and 3): images are scaled before and after, which is the same.

    style: length of a style. norm: "demodulation" scales outputs back to the variance that the weights let expect;
    "instance" divides each channel of an image by its root mean square before it is scaled, so that this style alone
    says how strong it is, as in StyleGAN of 2019, which takes its mean away, too; "none" does neither.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        style: int,
        norm: StyleNorm | Literal["none"] = "demodulation",
    ):
        super().__init__()
        self.norm, self.scale = norm, (in_channels * kernel**2) ** -0.5
        self.affine = EqualLinear(style, in_channels, gain=1, start=1)
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        if not self.weight.is_meta:
            nn.init.normal_(self.weight)

    def forward(self, input: Tensor, style: Tensor) -> Tensor:
        """(N, C, H, W) and (N, style) to (N, C', H, W), without the bias."""
        scales, weight = self.affine(style), self.weight * self.scale
        if self.norm == "instance":
            energy = input.float().square().mean(dim=(2, 3), keepdim=True)
            input = input * torch.rsqrt(energy + _SILENCE).to(input.dtype)
        output = F.conv2d(input * scales[:, :, None, None], weight, padding=weight.shape[-1] // 2)
        if self.norm != "demodulation":
            return output
        energies = weight.square().sum(dim=(2, 3))
        # A sum of products, not a matrix product, which autocast would round.
        variances = (scales.to(energies.dtype).square()[:, None] * energies).sum(dim=2)
        return output * torch.rsqrt(variances + _EPSILON)[:, :, None, None].to(output.dtype)


class StyledLayer(nn.Module):
    """A modulated convolution, noise, a bias and a leaky ReLU. side: of the image, in pixels.

    The noise is drawn anew in training; otherwise each layer has its own, always the same.
    """

    noise: Tensor

    def __init__(self, in_channels: int, out_channels: int, style: int, side: int, has_noise: bool, norm: StyleNorm):
        super().__init__()
        self.convolution = ModulatedConv2d(in_channels, out_channels, 3, style, norm)
        self.strength = nn.Parameter(torch.zeros(())) if has_noise else None
        if has_noise:
            self.register_buffer("noise", torch.empty(1, 1, side, side))
            if not self.noise.is_meta:
                nn.init.normal_(self.noise)

    def forward(self, input: Tensor, style: Tensor) -> Tensor:
        """(N, C, H, W) and (N, style) to (N, C', H, W)."""
        output = self.convolution(input, style)
        if self.strength is not None:
            fresh = self.training
            noise = torch.randn_like(self.noise.expand(len(output), -1, -1, -1)) if fresh else self.noise
            output = output + (noise * self.strength).to(output.dtype)
        return F.leaky_relu(output + self.convolution.bias[:, None, None].to(output.dtype), 0.2) * 2**0.5


class StyleMean(nn.Module):
    """The running mean of styles, to which truncation draws them.

    synchronised: all ranks of a training share it, as they do batch norm's statistics.
    """

    mean: Tensor
    synchronised = False

    def __init__(self, style: int):
        super().__init__()
        self.register_buffer("mean", torch.zeros(style))

    @torch.no_grad()
    def update(self, styles: Tensor) -> None:
        """Average in the styles (N, style) of a batch."""
        newest = styles.detach().mean(dim=0).to(self.mean.dtype)
        if self.synchronised:
            distributed.all_reduce(newest)
            newest /= distributed.get_world_size()
        self.mean.lerp_(newest, _FRESH)


class StyleGenerator(LatentGenerator):
    """From a latent to a square image of `size` px, a power of two from 8 to 1024.

    latent: its length. width: channels of the last level; they double with every halving, up to 512. style: length of
    a style. mapping_layers: 8 in the paper, 2 in the settings that StyleGAN2-ADA chooses by itself. noise_inputs: add
    noise in each layer. skips: every level adds to the image, as in StyleGAN2; otherwise the last one makes all of it,
    as in StyleGAN of 2019, and colours are left to the last layers. norm: of the convolutions, see ModulatedConv2d.
    mixing: a latent is z; another z; for each layer the share that the style of the other has in its own, 0 to 1; and
    the truncation, where 1 is none and 0 gives the mean style. Without, it is z alone.
    """

    def __init__(
        self,
        out_channels: int = 3,
        size: int = 64,
        latent: int = 64,
        width: int = 32,
        style: int = 64,
        mapping_layers: int = 2,
        noise_inputs: bool = False,
        skips: bool = True,
        norm: StyleNorm = "demodulation",
        mixing: bool = False,
    ):
        super().__init__()
        self.latent, self.size, self.mixing = latent, size, mixing
        self.layers = layer_count(size)
        self.z = (latent - self.layers - 1) // 2 if mixing else latent
        if self.z < 1 or (mixing and 2 * self.z + self.layers + 1 != latent):
            raise ValueError(f"a latent of {latent} numbers is not 2 n + {self.layers + 1}, which styles are mixed by")
        counts = channels(width, size)
        sizes = [self.z, *[style] * mapping_layers]
        linear = [(EqualLinear(one, other, rate=MAPPING_RATE), nn.LeakyReLU(0.2)) for one, other in pairwise(sizes)]
        self.mapping = nn.Sequential(PixelNorm(), *(layer for pair in linear for layer in pair))
        self.styles = StyleMean(style)
        self.constant = nn.Parameter(torch.empty(1, counts[0], FIRST_PX, FIRST_PX))
        if not self.constant.is_meta:
            nn.init.normal_(self.constant)
        steps = [(counts[0], counts[0], FIRST_PX)]
        for level, (before, after) in enumerate(pairwise(counts), 1):
            steps += [(before, after, FIRST_PX << level), (after, after, FIRST_PX << level)]
        self.convolutions = nn.ModuleList(StyledLayer(*one[:2], style, one[2], noise_inputs, norm) for one in steps)
        self.first_image = 0 if skips else len(counts) - 1
        self.to_image = nn.ModuleList(
            ModulatedConv2d(count, out_channels, 1, style, norm="none") for count in counts[self.first_image :]
        )

    def fits(self, side_px: int) -> str | None:
        """Return None for the one size that it makes."""
        return None if side_px == self.size else f"this network is for {self.size} px"

    def forward(self, latent: Tensor, with_styles: bool = False) -> Tensor | tuple[Tensor, Tensor]:
        """(N, latent) to (N, out_channels, size, size), trained to lie in [-1, 1].

        with_styles: also return the styles that it is made of, (N, layers, style).
        """
        styles = self.styles_of(latent.to(self.dtype))
        image = self.draw(styles)
        return (image, styles) if with_styles else image

    def styles_of(self, latent: Tensor) -> Tensor:
        """(N, latent) to (N, layers, style)."""
        z, *rest = latent.split([self.z, self.z, self.layers, 1] if self.mixing else [self.z], dim=1)
        own: Tensor = self.mapping(z)
        if self.training:
            self.styles.update(own)
        every = own[:, None].expand(-1, self.layers, -1)
        if not rest:
            return every
        other, shares, truncation = rest
        mixed = torch.lerp(every, self.mapping(other)[:, None].to(own.dtype), shares[:, :, None].to(own.dtype))
        return torch.lerp(self.styles.mean.to(own.dtype).expand_as(mixed), mixed, truncation[:, :, None].to(own.dtype))

    def draw(self, styles: Tensor) -> Tensor:
        """(N, layers, style) to the image: each level adds to the one before (Karras et al. 2020, fig. 7)."""
        value, image = self.constant.expand(len(styles), -1, -1, -1), None
        for layer, convolution in enumerate(self.convolutions):
            value = convolution(_enlarge(value) if layer % 2 else value, styles[:, layer])
            level = layer // 2
            if layer % 2 == 0 and level >= self.first_image:
                own = self._image(level, value, styles)
                image = own if image is None else _enlarge(image) + own
        assert image is not None
        return image

    def _image(self, level: int, value: Tensor, styles: Tensor) -> Tensor:
        layer = self.to_image[level - self.first_image]
        assert isinstance(layer, ModulatedConv2d)
        made: Tensor = layer(value, styles[:, 2 * level + 1])
        return made + layer.bias[:, None, None].to(made.dtype)


def layer_count(size: int) -> int:
    """Return how many layers have a style of their own: two for each level, at 4 px a convolution and the image.

    At each later level, its image has the style of the next level's first convolution, as in the authors' code.
    """
    return 2 * levels(size)


def _enlarge(images: Tensor) -> Tensor:
    """Double the sides by bilinear interpolation, the filter [1, 3, 3, 1]."""
    return F.interpolate(images, scale_factor=2, mode="bilinear", align_corners=False)
