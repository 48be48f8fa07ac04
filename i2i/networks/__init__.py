"""Networks, and the tables that name them."""

from collections.abc import Callable

from i2i.networks.autoencoder import Autoencoder, MLPAutoencoder
from i2i.networks.base import (
    Classifier,
    Discriminator,
    DiscriminatorOutput,
    Encoder,
    Generator,
    LatentGenerator,
    TranslatingGenerator,
)
from i2i.networks.coupled import CoupledDiscriminator, CoupledGenerator
from i2i.networks.cppn import CPPN
from i2i.networks.dcgan import DCGANClassifier, DCGANDiscriminator, DCGANEncoder, DCGANGenerator
from i2i.networks.mlp import MLPDiscriminator, MLPGenerator
from i2i.networks.modern_unet import ModernUNet
from i2i.networks.patchgan import PatchGAN
from i2i.networks.progressive import ProgressiveDiscriminator, ProgressiveGenerator
from i2i.networks.resnet import ResNet
from i2i.networks.resnet_gan import ResNetDiscriminator, ResNetGenerator
from i2i.networks.spatial import SpatialGenerator
from i2i.networks.stackgan import StackGANGenerator, StackGANSecond
from i2i.networks.style import StyleGenerator
from i2i.networks.unet import UNet

GENERATORS: dict[str, Callable[..., Generator]] = {
    "unet": UNet,
    "resnet": ResNet,
    "modern_unet": ModernUNet,
    "dcgan": DCGANGenerator,
    "mlp": MLPGenerator,
    "stackgan": StackGANGenerator,
    "stackgan_2": StackGANSecond,
    "coupled_dcgan": CoupledGenerator,
    "progressive": ProgressiveGenerator,
    "style": StyleGenerator,
    "resnet_gan": ResNetGenerator,
    "cppn": CPPN,
    "spatial": SpatialGenerator,
}
DISCRIMINATORS: dict[str, Callable[..., Discriminator]] = {
    "patchgan": PatchGAN,
    "dcgan": DCGANDiscriminator,
    "mlp": MLPDiscriminator,
    "autoencoder": Autoencoder,
    "mlp_autoencoder": MLPAutoencoder,
    "coupled_dcgan": CoupledDiscriminator,
    "progressive": ProgressiveDiscriminator,
    "resnet_gan": ResNetDiscriminator,
}
ENCODERS: dict[str, Callable[..., Encoder]] = {"dcgan": DCGANEncoder}
"""By the name of the generator that they are the way back of, with whose settings they are built."""
CLASSIFIERS: dict[str, Callable[..., Classifier]] = {"dcgan": DCGANClassifier}
"""By the name of the generator whose images they tell, with whose settings they are built."""

__all__ = [
    "CLASSIFIERS",
    "CPPN",
    "DISCRIMINATORS",
    "ENCODERS",
    "GENERATORS",
    "Autoencoder",
    "Classifier",
    "CoupledDiscriminator",
    "CoupledGenerator",
    "DCGANClassifier",
    "DCGANDiscriminator",
    "DCGANEncoder",
    "DCGANGenerator",
    "Discriminator",
    "DiscriminatorOutput",
    "Encoder",
    "Generator",
    "LatentGenerator",
    "MLPAutoencoder",
    "MLPDiscriminator",
    "MLPGenerator",
    "ModernUNet",
    "PatchGAN",
    "ProgressiveDiscriminator",
    "ProgressiveGenerator",
    "ResNet",
    "ResNetDiscriminator",
    "ResNetGenerator",
    "SpatialGenerator",
    "StackGANGenerator",
    "StackGANSecond",
    "StyleGenerator",
    "TranslatingGenerator",
    "UNet",
]
