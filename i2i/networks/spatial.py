"""The generator of the spatial GAN (Jetchev, Bergmann, Vollgraf 2016, "Texture synthesis with spatial generative
adversarial networks"): a stack of transposed convolutions from a map of noise to a texture of any size. By option,
waves join the noise (Bergmann, Jetchev, Vollgraf 2017, "Learning texture manifolds with the periodic spatial GAN").

Differences: zeros around a map make nothing. A map has further places on each side, and what padding reaches is cut
off, so that a texture is the same at its borders as within, and goes on where its map does. The numbers of waves are
weights, the same for all textures, where the paper makes them from a further latent of each texture.
"""

import math
from itertools import pairwise

import torch
from torch import Tensor, nn

from i2i.networks.base import LatentGenerator
from i2i.networks.layers import Norm, Upsampling, initialise, make_norm, make_upsampling, needs_bias

WAVE_NUMBER = 10.0
"""Radians from one place to the next: large, so that wave numbers move by whole turns at the rates of other weights."""


class Cut(nn.Module):
    """Removes some pixels of each border."""

    def __init__(self, pixels: int):
        super().__init__()
        self.inner = slice(pixels, -pixels)

    def forward(self, image: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C, H - 2 pixels, W - 2 pixels)."""
        return image[:, :, self.inner, self.inner]


class SpatialGenerator(LatentGenerator):
    """From a map of latents to a texture: each level doubles the sides and cuts off what padding reaches.

    size: side of the square image that a single latent makes, the same at all places of its map. latent: its length.
    width: channels of the last hidden level; they double towards the latent. doublings: 5 in the paper; a place of the
    map is 2**doublings px of the image. upsample: "transpose" as in the paper, or "resize", which avoids checkerboards.
    batch_norm: normalise; norms by an image's own statistics would differ from size to size.
    waves: how many of the latent's numbers, the first ones, are phases of waves over the map, in units of half a turn;
    they are the same at all places.
    """

    each_place = True

    def __init__(
        self,
        out_channels: int = 3,
        size: int = 64,
        latent: int = 16,
        width: int = 32,
        doublings: int = 4,
        upsample: Upsampling = "transpose",
        batch_norm: bool = True,
        waves: int = 0,
    ):
        super().__init__()
        self.latent, self.size, self.place_px = latent, size, 2**doublings
        if reason := self.fits(size):
            raise ValueError(reason)
        norm: Norm = "batch" if batch_norm else "none"
        # Of n places, k levels that each cut c px leave 2^k (n - 2c) + 2c px.
        self.border_places = cut = 1 if upsample == "transpose" else 2
        counts = [latent, *(width * 2**level for level in reversed(range(doublings - 1)))]
        self.layers = nn.ModuleList(
            nn.Sequential(
                make_upsampling(upsample, nn.ConvTranspose2d(one, other, 4, 2, 1, bias=needs_bias(norm))),
                Cut(cut),
                make_norm(norm, other),
                nn.ReLU(inplace=True),
            )
            for one, other in pairwise(counts)
        )
        last = make_upsampling(upsample, nn.ConvTranspose2d(counts[-1], out_channels, 4, 2, 1))
        self.head = nn.Sequential(last, Cut(2 * cut), nn.Tanh())
        initialise(self)
        # Down and to the right, in units of WAVE_NUMBER.
        self.wave_numbers = nn.Parameter(torch.rand(waves, 2) * math.pi / WAVE_NUMBER) if waves else None

    def fits(self, side_px: int) -> str | None:
        """Return None for multiples of a place."""
        return None if side_px % self.place_px == 0 else f"this network makes multiples of {self.place_px} px"

    def forward(self, latent: Tensor) -> Tensor:
        """(N, latent) to (N, out_channels, size, size) in [-1, 1], or a map to the image of its inner places.

        A map (N, latent, h + 2 border_places, w + 2 border_places) makes the sides h and w times place_px.
        """
        if latent.ndim == 2:
            places = self.places(self.size)
            latent = latent[:, :, None, None].expand(-1, -1, places, places)
        value = self._with_waves(latent.to(self.dtype))
        for layer in self.layers:
            value = layer(value)
        return self.head(value)

    def _with_waves(self, value: Tensor) -> Tensor:
        """Replace the phases in a map (N, latent, rows, columns) by the values of their waves (eq. 4 of the PSGAN)."""
        if self.wave_numbers is None:
            return value
        phases, noise = value.tensor_split([len(self.wave_numbers)], dim=1)
        rows, columns = (torch.arange(side, device=value.device) for side in value.shape[2:])
        down, right = (WAVE_NUMBER * self.wave_numbers.to(value.dtype))[:, :, None, None].unbind(1)
        turned = down * rows[:, None] + right * columns[None, :]
        return torch.cat([torch.sin(turned + math.pi * phases), noise], dim=1)
