"""The settings of generators: the section `generator`.

They are the arguments of their classes in i2i.networks, but for those that the data gives.
"""

from typing import Annotated, Literal

from pydantic import Field

from i2i.config.section import Norm, Positive, Section


class UNetSettings(Section):
    """The generator of pix2pix; see i2i.networks.UNet."""

    name: Literal["unet"] = "unet"
    """Which generator."""
    depth: Annotated[int, Field(ge=4, le=9)] = 8
    """Halvings; sides are padded to multiples of 2**depth."""
    width: Positive = 64
    """Channels of the first level."""
    norm: Norm = "batch"
    """Normalisation."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.5
    """Probability in the three innermost decoder levels."""
    upsample: Literal["transpose", "resize"] = "transpose"
    """Transposed convolution as in the paper, or resize-convolution, which avoids checkerboards."""


class ResNetSettings(Section):
    """The generator of CycleGAN; see i2i.networks.ResNet."""

    name: Literal["resnet"] = "resnet"
    """Which generator."""
    blocks: Positive = 9
    """Residual blocks: 6 for 128 px, 9 from 256 px on in the paper."""
    width: Positive = 64
    """Channels of the first layer."""
    norm: Norm = "instance"
    """Normalisation."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Probability inside the residual blocks."""
    upsample: Literal["transpose", "resize"] = "transpose"
    """Transposed convolution as in the paper, or resize-convolution, which avoids checkerboards."""
    downsample: Literal["strided", "blur"] = "strided"
    """Strided convolution as in the paper, or a low-pass filter before halving."""
    init: Literal["normal", "xavier"] = "normal"
    """Initial weights: N(0, 0.02) as in the paper, or scaled to the number of inputs and outputs (Xavier)."""
    halvings: Annotated[int, Field(ge=1, le=5)] = 2
    """How often sides are halved before the residual blocks; 4 in pix2pixHD."""


class ModernUNetSettings(Section):
    """A small U-Net of today's parts; see i2i.networks.ModernUNet."""

    name: Literal["modern_unet"] = "modern_unet"
    """Which generator."""
    depth: Annotated[int, Field(ge=2, le=8)] | None = 5
    """Halvings; sides are padded to multiples of 2**depth. null: until a crop is 2 px, as 5 for 64 px and 7 for 256."""
    width: Positive = 32
    """Channels of the first level."""
    norm: Norm = "group"
    """Normalisation."""
    convolutions: Positive = 1
    """3x3 convolutions in each level."""
    blocks: Annotated[int, Field(ge=0)] = 0
    """Residual blocks at the smallest size."""
    attention: bool = False
    """Self-attention at the smallest size, for pictures that are translated whole: tiles do not see each other."""
    upsample: Literal["nearest", "bilinear", "pixel_shuffle"] = "nearest"
    """Repeat pixels, interpolate between them, or make four of one (pixel shuffle), before each convolution that joins
    a skip."""
    residual: bool = False
    """Add the result to the input, which needs equal channels on both sides."""
    head_init: Literal["alike", "xavier"] = "alike"
    """Initial weights of the last layer: the same for each output channel, or Xavier's as elsewhere."""
    recolour: Literal["kept", "changed"] | None = None
    """CycleGAN: begin with the linear change of colours that gives pictures of one side the colours of the other. kept:
    the change that moves colours least. changed: the one that fits best, which may exchange red and green."""
    recolouring: tuple[tuple[float, float, float, float], ...] | None = None
    """What generator.recolour came to: red, green and blue of B as parts of red, green, blue and 1 of A, from -1 to 1;
    filled in from the data."""


class DCGANGeneratorSettings(Section):
    """The generator of DCGAN; see i2i.networks.DCGANGenerator. It makes images of data.crop_px."""

    name: Literal["dcgan"] = "dcgan"
    """Which generator."""
    latent: Positive = 100
    """Length of the noise vector."""
    width: Positive = 64
    """Channels of the last hidden level; 128 in the paper."""
    norm: Norm = "batch"
    """Normalisation."""


class MLPGeneratorSettings(Section):
    """A multilayer perceptron that makes points; see i2i.networks.MLPGenerator."""

    name: Literal["mlp"] = "mlp"
    """Which generator."""
    latent: Positive = 2
    """Length of the noise vector."""
    width: Positive = 128
    """Units of a hidden layer."""
    layers: Positive = 3
    """Hidden layers."""


class TextGeneratorSettings(Section):
    """What both stages of StackGAN have."""

    name: str
    """Which generator."""
    latent: Positive = 100
    """Length of the noise vector."""
    text: Positive = 64
    """Length of the vector that a text is hashed to."""
    augmentation: Positive = 16
    """Length of the condition that each stage draws around the text's mean; 128 in the paper."""
    norm: Norm = "batch"
    """Normalisation, of both stages."""


class StackGANGeneratorSettings(TextGeneratorSettings):
    """The first stage of StackGAN, from text; see i2i.networks.StackGANGenerator. It makes images of data.crop_px."""

    name: Literal["stackgan"] = "stackgan"
    """Which generator."""
    width: Positive = 64
    """Channels of the last hidden level."""


class StackGANSecondSettings(TextGeneratorSettings):
    """The second stage, on a frozen first one, whose settings it shares; see i2i.networks.StackGANSecond."""

    name: Literal["stackgan_2"] = "stackgan_2"
    """Which generator."""
    first_size: Literal[32, 64, 128] = 32
    """Side of the first stage's images; data.crop_px is two or four times as large."""
    first_width: Positive = 64
    """Width of the first stage."""
    width: Positive = 32
    """Channels of the first layer."""
    blocks: Positive = 2
    """Residual blocks; 4 in the paper."""


class CoupledGeneratorSettings(DCGANGeneratorSettings):
    """The generators of CoGAN, one for each class of a label; see i2i.networks.CoupledGenerator."""

    name: Literal["coupled_dcgan"] = "coupled_dcgan"  # type: ignore[assignment]
    """Which generator."""
    own_layers: Positive = 1
    """How many of the last layers each class has to itself; all share the others. 4 at 32 px are all of them."""


class ProgressiveGeneratorSettings(Section):
    """The generator of progressive growing; see i2i.networks.ProgressiveGenerator. It makes images of data.crop_px."""

    name: Literal["progressive"] = "progressive"
    """Which generator."""
    latent: Positive = 128
    """Length of the noise vector; 512 in the paper."""
    width: Positive = 32
    """Channels of the last level; they double with every halving, up to 512. 16 for 1024 px in the paper."""
    pixel_norm: bool = True
    """Divide the vector of each pixel by its root mean square after every convolution."""


class StyleGeneratorSettings(Section):
    """The generator of StyleGAN; see i2i.networks.StyleGenerator. It makes images of data.crop_px."""

    name: Literal["style"] = "style"
    """Which generator."""
    latent: Positive = 64
    """Length of the noise vector; 512 in the paper."""
    width: Positive = 32
    """Channels of the last level; they double with every halving, up to 512."""
    style: Positive = 64
    """Length of a style; 512 in the paper."""
    mapping_layers: Positive = 2
    """Layers of the network from noise to styles, whose learning rate is a hundredth of the rest; 8 in the paper."""
    noise_inputs: bool = False
    """Add noise in each layer, as the paper does."""
    skips: bool = True
    """Every level adds to the image, as in StyleGAN2. false: the last one makes it, as in StyleGAN, so that the last
    layers decide its colours."""
    norm: Literal["demodulation", "instance"] = "demodulation"
    """demodulation, as in StyleGAN2, or instance, as in StyleGAN: each channel is divided by its strength in the image,
    so that late styles are free of early ones."""


class ResNetGANGeneratorSettings(Section):
    """The generator of R3GAN; see i2i.networks.ResNetGenerator. It makes images of data.crop_px."""

    name: Literal["resnet_gan"] = "resnet_gan"
    """Which generator."""
    latent: Positive = 64
    """Length of the noise vector."""
    width: Positive = 32
    """Channels of the last level; they double with every halving, up to 512. 384 at 64 px in the paper."""
    blocks: Positive = 2
    """Residual blocks of each level."""
    patch: Literal[1, 2, 4, 8] = 1
    """Side in px of the square that a place of the last level makes: 2 saves the costliest level. 1 in the paper."""
    tanh: bool = False
    """Bound the image by tanh, so that backgrounds soon are quite white or black. The paper does not."""


class CPPNSettings(Section):
    """A generator of coordinates, for pictures of any size; see i2i.networks.CPPN. It trains at data.crop_px."""

    name: Literal["cppn"] = "cppn"
    """Which generator."""
    latent: Positive = 16
    """Length of the noise vector."""
    width: Positive = 32
    """Units of a hidden layer."""
    layers: Positive = 4
    """Hidden layers."""
    activation: Literal["tanh", "sine", "gauss", "mixed"] = "tanh"
    """Function of the hidden layers; mixed gives each third of their units one of the others."""
    frequency: Annotated[float, Field(gt=0)] = 3.0
    """Standard deviation of the first weights of the coordinates; more begins with finer patterns."""


class SpatialGeneratorSettings(Section):
    """The generator of the spatial GAN, for textures of any size; see i2i.networks.SpatialGenerator."""

    name: Literal["spatial"] = "spatial"
    """Which generator."""
    latent: Positive = 16
    """Numbers of noise at each place of the latent map; 50 in the paper."""
    width: Positive = 32
    """Channels of the last hidden level; they double towards the latent. 64 in the paper."""
    doublings: Annotated[int, Field(ge=1, le=6)] = 4
    """A place of the latent map is 2**doublings px of the image; sides are multiples of that. 5 in the paper."""
    upsample: Literal["transpose", "resize"] = "transpose"
    """Transposed convolution as in the paper, or resize-convolution, which avoids checkerboards."""
    batch_norm: bool = True
    """Batch normalisation."""
    waves: Annotated[int, Field(ge=0)] = 0
    """Waves over the map beside the noise, for textures that repeat (PSGAN), which then do not tile; 0 is none."""


GeneratorSettings = Annotated[
    UNetSettings
    | ResNetSettings
    | ModernUNetSettings
    | DCGANGeneratorSettings
    | MLPGeneratorSettings
    | StackGANGeneratorSettings
    | StackGANSecondSettings
    | CoupledGeneratorSettings
    | ProgressiveGeneratorSettings
    | StyleGeneratorSettings
    | ResNetGANGeneratorSettings
    | CPPNSettings
    | SpatialGeneratorSettings,
    Field(discriminator="name"),
]
