"""An exponential moving average (EMA) of a generator's weights, which goes into the model file.

Two players that circle around each other do better at the mean of their path than at its end (Yazıcı
et al. 2019, "The unusual effectiveness of averaging in GAN training"). How far back the mean reaches is a
half-life in images, as in the code of StyleGAN2-ADA (Karras et al. 2020), so that it does not depend on the
batch size. At first it is a twentieth of the images seen, so that the initial weights are soon forgotten.
"""

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

RAMP_UP = 0.05
"""The half-life is at most this share of the images seen."""


class Ema:
    """Exponential moving averages of networks, as networks of the same names."""

    def __init__(self, networks: Mapping[str, nn.Module], half_life_images: float):
        """Start from `networks` as they are; call it before their forward is replaced."""
        self.networks = {name: copy.deepcopy(network) for name, network in networks.items()}
        self.half_life_images = half_life_images
        self.images = 0

    def restart_from(self, networks: Mapping[str, nn.Module]) -> None:
        """Start again from `networks` as they are now."""
        self.images = 0
        for name, mean in self.networks.items():
            mean.load_state_dict(networks[name].state_dict())

    @torch.no_grad()
    def update(self, networks: Mapping[str, nn.Module], new_images: int) -> None:
        """Average in `networks` as they are after `new_images` more.

        Running statistics are averaged like weights: those of the mean network lie along the same path.
        """
        self.images += new_images
        half_life = min(self.half_life_images, RAMP_UP * self.images)
        fresh = 1 - 0.5 ** (new_images / half_life)
        for name, mean in self.networks.items():
            newest = networks[name].state_dict()
            for key, tensor in mean.state_dict().items():  # the tensors themselves, not copies
                if tensor.is_floating_point():
                    tensor.lerp_(newest[key], fresh)
                else:
                    tensor.copy_(newest[key])

    def state_dict(self) -> dict[str, Any]:
        """Return the averages and the images they have seen."""
        return {"images": self.images, "networks": {name: one.state_dict() for name, one in self.networks.items()}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.images = state["images"]
        for name, network in self.networks.items():
            network.load_state_dict(state["networks"][name])
