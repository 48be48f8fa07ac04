"""Networks, and the tables in which everything else looks them up by name."""

from collections.abc import Callable

from torch import nn

from i2i.networks.dcgan import DCGANDiscriminator, DCGANGenerator
from i2i.networks.layers import Generator, LatentGenerator
from i2i.networks.mlp import MLPDiscriminator, MLPGenerator
from i2i.networks.patchgan import PatchGAN
from i2i.networks.resnet import ResNet
from i2i.networks.unet import UNet

GENERATORS: dict[str, Callable[..., Generator]] = {"unet": UNet, "resnet": ResNet}
LATENT_GENERATORS: dict[str, Callable[..., LatentGenerator]] = {"dcgan": DCGANGenerator, "mlp": MLPGenerator}
DISCRIMINATORS: dict[str, Callable[..., nn.Module]] = {
    "patchgan": PatchGAN,
    "dcgan": DCGANDiscriminator,
    "mlp": MLPDiscriminator,
}

__all__ = [
    "DISCRIMINATORS",
    "GENERATORS",
    "LATENT_GENERATORS",
    "DCGANDiscriminator",
    "DCGANGenerator",
    "Generator",
    "LatentGenerator",
    "MLPDiscriminator",
    "MLPGenerator",
    "PatchGAN",
    "ResNet",
    "UNet",
]
