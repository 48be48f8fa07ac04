"""A generator of coordinates, which makes a picture of any size from one latent.

CPPN: Stanley 2007, "Compositional pattern producing networks": the colour of a pixel is a function of its place alone.
Here the latent is an input of that function, too, so that one network makes many pictures.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor, nn

from i2i.networks.base import LatentGenerator

Activation = Literal["tanh", "sine", "gauss", "mixed"]


def gauss(value: Tensor) -> Tensor:
    """exp(-x^2), a bump (Stanley 2007, section 3)."""
    return torch.exp(-value.square())


def mixed(value: Tensor) -> Tensor:
    """Each third of the channels (N, C, H, W) has a function of its own: tanh, sine and the bump."""
    one, two, three = value.tensor_split(3, dim=1)
    return torch.cat([torch.tanh(one), torch.sin(two), gauss(three)], dim=1)


ACTIVATIONS: dict[Activation, Callable[[Tensor], Tensor]] = {
    "tanh": torch.tanh,
    "sine": torch.sin,
    "gauss": gauss,
    "mixed": mixed,
}


class CPPN(LatentGenerator):
    """From a latent, or a map with one for each pixel, to a picture: a multilayer perceptron for every pixel.

    size: side of the square picture that a single latent makes. latent: its length. width, layers: of the hidden
    layers, the first of which takes the coordinates and the latent. activation: of all hidden layers, one of
    ACTIVATIONS. frequency: standard deviation of the first weights of the coordinates; more begins with finer patterns.
    """

    place_px = 1

    def __init__(
        self,
        out_channels: int = 3,
        size: int = 64,
        latent: int = 16,
        width: int = 32,
        layers: int = 4,
        activation: Activation = "tanh",
        frequency: float = 3.0,
    ):
        super().__init__()
        self.latent, self.size, self.activate = latent, size, ACTIVATIONS[activation]
        self.of_latent = nn.Conv2d(latent, width, 1)
        self.of_place = nn.Conv2d(3, width, 1, bias=False)
        self.layers = nn.ModuleList(nn.Conv2d(one, other, 1) for one, other in pairwise([width] * layers))
        self.head = nn.Sequential(nn.Conv2d(width, out_channels, 1), nn.Tanh())
        if not self.of_place.weight.is_meta:
            nn.init.normal_(self.of_latent.weight, 0, latent**-0.5)
            nn.init.normal_(self.of_place.weight, 0, frequency)
            for layer in (*self.layers, self.head[0]):
                nn.init.normal_(layer.get_parameter("weight"), 0, (2 / width) ** 0.5)

    def fits(self, side_px: int) -> str | None:
        """Return None: it makes images of every size."""
        return None

    def forward(self, latent: Tensor) -> Tensor:
        """(N, latent) to (N, out_channels, size, size), or (N, latent, H, W) to (N, out_channels, H, W), in [-1, 1]."""
        is_map = latent.ndim == 4
        height, width = latent.shape[2:] if is_map else (self.size, self.size)
        places = coordinates(height, width, latent.device).to(self.dtype)
        latent = (latent if is_map else latent[:, :, None, None]).to(self.dtype)
        value = self.activate(self.of_latent(latent) + self.of_place(places))
        for layer in self.layers:
            value = self.activate(layer(value))
        return self.head(value)


def coordinates(height: int, width: int, device: torch.device) -> Tensor:
    """Return x, y and the distance from the middle for the centres of all pixels, (1, 3, height, width) in float32.

    The shorter side goes from -1 to 1, border to border. Sides may be free axes of an export.
    """
    shorter: Any = torch.sym_min(height, width)
    sides: tuple[Any, Any] = height, width  # integers, or symbols for them
    y, x = ((2 * torch.arange(side, device=device) + 1 - side) / shorter for side in sides)
    grid = torch.stack([x.expand(height, width), y[:, None].expand(height, width)])
    return torch.cat([grid, grid.square().sum(dim=0, keepdim=True).sqrt()])[None]
