"""Networks, and the two tables in which everything else looks them up by name."""

from collections.abc import Callable

from torch import nn

from i2i.networks.layers import Generator
from i2i.networks.patchgan import PatchGAN
from i2i.networks.resnet import ResNet
from i2i.networks.unet import UNet

GENERATORS: dict[str, Callable[..., Generator]] = {"unet": UNet, "resnet": ResNet}
DISCRIMINATORS: dict[str, Callable[..., nn.Module]] = {"patchgan": PatchGAN}

__all__ = ["DISCRIMINATORS", "GENERATORS", "Generator", "PatchGAN", "ResNet", "UNet"]
