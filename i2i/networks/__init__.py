"""Networks, and the two tables in which everything else looks them up by name."""

from torch import nn

from i2i.networks.patchgan import PatchGAN
from i2i.networks.resnet import ResNet
from i2i.networks.unet import UNet

GENERATORS: dict[str, type[nn.Module]] = {"unet": UNet, "resnet": ResNet}
DISCRIMINATORS: dict[str, type[nn.Module]] = {"patchgan": PatchGAN}
