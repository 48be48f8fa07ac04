"""The settings of discriminators: the section `discriminator`.

They are the arguments of their classes in i2i.networks, but for those that the data gives.
"""

from typing import Annotated, Literal

from pydantic import Field

from i2i.config.section import Norm, Positive, Section


class PackingSettings(Section):
    """What all discriminators have."""

    name: str
    """Which discriminator."""
    packing: Positive = 1
    """Images that are judged together, so that those too much alike stand out; train.batch is a multiple of it (PacGAN,
    Lin et al. 2018)."""


class ClassifierSettings(PackingSettings):
    """What all discriminators but autoencoders have."""

    spectral_norm: bool = False
    """Divide every weight by its largest singular value, which bounds the Lipschitz constant (Miyato et al. 2018)."""
    minibatch_std: bool = False
    """Show the last layer how much the images of a batch differ, in groups of 4 (Karras et al. 2018)."""
    minibatch_discrimination: Literal["none", "l1", "l2"] = "none"
    """Show it how close each image is to the others of its batch, by 100 learned distances of 5 numbers, absolute (l1)
    as in the paper or Euclidean (l2) (Salimans et al. 2016)."""


class PatchGANSettings(ClassifierSettings):
    """The discriminator of pix2pix and CycleGAN; see i2i.networks.PatchGAN."""

    name: Literal["patchgan"] = "patchgan"
    """Which discriminator."""
    layers: Annotated[int, Field(ge=0, le=5)] = 3
    """Halvings; the receptive field of a logit is 1, 16, 34, 70, 142 or 286 px."""
    width: Positive = 64
    """Channels of the first layer."""
    norm: Norm = "batch"
    """Normalisation."""
    scales: Annotated[int, Field(ge=1, le=3)] = 1
    """Number of discriminators, each with half the size of the one before; their losses are averaged."""
    downsample: Literal["strided", "blur"] = "strided"
    """Strided convolution as in the paper, or a low-pass filter before halving, as in the code of CUT."""
    padding: Literal[1, 2] = 1
    """Zeros around an image or map, for each convolution; 2 is that of pix2pixHD's code."""


class DCGANDiscriminatorSettings(ClassifierSettings):
    """The discriminator of DCGAN; see i2i.networks.DCGANDiscriminator. It takes images of data.crop_px."""

    name: Literal["dcgan"] = "dcgan"
    """Which discriminator."""
    width: Positive = 64
    """Channels of the first level."""
    norm: Norm = "batch"
    """Normalisation."""


class MLPDiscriminatorSettings(ClassifierSettings):
    """A multilayer perceptron for points; see i2i.networks.MLPDiscriminator."""

    name: Literal["mlp"] = "mlp"
    """Which discriminator."""
    width: Positive = 128
    """Units of a hidden layer."""
    layers: Positive = 3
    """Hidden layers."""


class AutoencoderSettings(PackingSettings):
    """The discriminator of EBGAN, for images of data.crop_px; see i2i.networks.Autoencoder."""

    name: Literal["autoencoder"] = "autoencoder"
    """Which discriminator."""
    levels: Annotated[int, Field(ge=1, le=6)] = 3
    """Halvings down to the code."""
    width: Positive = 64
    """Channels of the first level."""
    norm: Norm = "batch"
    """Normalisation."""


class MLPAutoencoderSettings(PackingSettings):
    """The discriminator of EBGAN for points; see i2i.networks.MLPAutoencoder."""

    name: Literal["mlp_autoencoder"] = "mlp_autoencoder"
    """Which discriminator."""
    width: Positive = 128
    """Units of the hidden layer on each side of the code."""
    code: Positive = 8
    """Length of the code."""


class CoupledDiscriminatorSettings(DCGANDiscriminatorSettings):
    """The discriminators of CoGAN, one for each class of a label; see i2i.networks.CoupledDiscriminator."""

    name: Literal["coupled_dcgan"] = "coupled_dcgan"  # type: ignore[assignment]
    """Which discriminator."""
    own_layers: Positive = 1
    """How many of the first layers each class has to itself; all share the others. 4 at 32 px are all of them."""


class ProgressiveDiscriminatorSettings(ClassifierSettings):
    """The discriminator of progressive growing; see i2i.networks.ProgressiveDiscriminator."""

    name: Literal["progressive"] = "progressive"
    """Which discriminator."""
    width: Positive = 32
    """Channels of the first level; they double with every halving, up to 512. 16 for 1024 px in the paper."""


class ResNetGANDiscriminatorSettings(ClassifierSettings):
    """The discriminator of R3GAN; see i2i.networks.ResNetDiscriminator. It takes images of data.crop_px."""

    name: Literal["resnet_gan"] = "resnet_gan"
    """Which discriminator."""
    width: Positive = 32
    """Channels of the first level; they double with every halving, up to 512. 384 at 64 px in the paper."""
    blocks: Positive = 2
    """Residual blocks of each level."""
    patch: Literal[1, 2, 4, 8] = 1
    """Side in px of the square that a place of the first level sees: 2 saves the costliest level. 1 in the paper."""


DiscriminatorSettings = Annotated[
    PatchGANSettings
    | DCGANDiscriminatorSettings
    | MLPDiscriminatorSettings
    | AutoencoderSettings
    | MLPAutoencoderSettings
    | CoupledDiscriminatorSettings
    | ProgressiveDiscriminatorSettings
    | ResNetGANDiscriminatorSettings,
    Field(discriminator="name"),
]
