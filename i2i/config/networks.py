"""The networks that the sections `generator` and `discriminator` can name, and the settings of each."""

from i2i.config.discriminators import (
    AutoencoderSettings,
    CoupledDiscriminatorSettings,
    DCGANDiscriminatorSettings,
    MLPAutoencoderSettings,
    MLPDiscriminatorSettings,
    PatchGANSettings,
    ProgressiveDiscriminatorSettings,
    ResNetGANDiscriminatorSettings,
)
from i2i.config.generators import (
    CoupledGeneratorSettings,
    CPPNSettings,
    DCGANGeneratorSettings,
    MLPGeneratorSettings,
    ModernUNetSettings,
    ProgressiveGeneratorSettings,
    ResNetGANGeneratorSettings,
    ResNetSettings,
    SpatialGeneratorSettings,
    StackGANGeneratorSettings,
    StackGANSecondSettings,
    StyleGeneratorSettings,
    UNetSettings,
)
from i2i.config.section import Section

NETWORK_SETTINGS: dict[str, dict[str, type[Section]]] = {
    "generator": {
        "unet": UNetSettings,
        "resnet": ResNetSettings,
        "modern_unet": ModernUNetSettings,
        "dcgan": DCGANGeneratorSettings,
        "mlp": MLPGeneratorSettings,
        "stackgan": StackGANGeneratorSettings,
        "stackgan_2": StackGANSecondSettings,
        "coupled_dcgan": CoupledGeneratorSettings,
        "progressive": ProgressiveGeneratorSettings,
        "style": StyleGeneratorSettings,
        "resnet_gan": ResNetGANGeneratorSettings,
        "cppn": CPPNSettings,
        "spatial": SpatialGeneratorSettings,
    },
    "discriminator": {
        "patchgan": PatchGANSettings,
        "dcgan": DCGANDiscriminatorSettings,
        "mlp": MLPDiscriminatorSettings,
        "autoencoder": AutoencoderSettings,
        "mlp_autoencoder": MLPAutoencoderSettings,
        "coupled_dcgan": CoupledDiscriminatorSettings,
        "progressive": ProgressiveDiscriminatorSettings,
        "resnet_gan": ResNetGANDiscriminatorSettings,
    },
}
