"""The settings of a run: typed, frozen and documented. i2i.config reads them.

`loss` belongs to the algorithm: its settings stand beside the losses, in the algorithm's own file.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import Field, field_validator, model_validator

from i2i.config.section import Positive, Section
from i2i.images import Channels

Direction = Literal["A2B", "B2A"]
DataKind = Literal["paired", "unpaired", "images"]
Norm = Literal["batch", "instance", "group", "layer", "none"]


T = TypeVar("T")


def by_direction(direction: str, a: T, b: T) -> tuple[T, T]:
    """Return what belongs to sides A and B as (input, target); the way back is the same."""
    return (a, b) if direction == "A2B" else (b, a)


class DataSettings(Section):
    """Where the pictures are and what happens to them before the networks see them."""

    path: tuple[str, ...] = ()
    """One folder, or two: A's and B's. `--data` sets it."""
    direction: Direction = "A2B"
    """Which side is translated into which; CycleGAN learns both ways."""
    disjoint: bool = False
    """Unpaired training on pairs: A's of the first half of the names and B's of the second, so that no picture
    meets its partner."""
    side: Literal["A", "B"] | None = None
    """Which side to learn from, where pictures are generated and the data has two."""
    labels: str | None = None
    """What class each picture is of: `folders`, one subfolder a class, or a CSV file with a line
    name,label[,label...] at its top and a column for each label set."""
    text: str | None = None
    """The column of that file that holds a text in place of a class."""
    classes: dict[str, dict[str, Annotated[int, Field(ge=0)]]] = Field(default_factory=dict)
    """The classes of each label set and how many pictures each has; filled in from the data."""
    toy: Literal["ring", "grid"] | None = None
    """Points in place of pictures: 8 Gaussians on a ring, or 25 on a grid."""
    channels: Channels = 3
    """Channels of pictures without sides: 1 grey, 3 RGB, 4 RGB with alpha."""
    channels_a: Channels = 3
    """Channels of side A."""
    channels_b: Channels = 3
    """Channels of side B."""
    input_range: tuple[float, float] | None = None
    """Values of black and white in 16-bit and float files, as [0, 4095] of 12 bits; 8-bit files always use all of
    theirs. null: the full range of 16 bits, and 0 to 1 of floats. The model remembers it."""
    resize_px: Positive | None = None
    """Shorter side after resizing, before the crop; null leaves pictures at their own size."""
    crop_px: Positive = 256
    """Side of the random square that one training picture shows."""
    flip: bool = True
    """Mirror left and right, half of the time."""
    colour_jitter: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Strength of brightness, contrast, saturation and hue changes on the input side only; 0 is off."""
    augment: Literal["auto", "albumentations", "torchvision", "kornia"] = "auto"
    """What augments; auto is as albumentations, or torchvision for colour jitter where that is not installed.
    kornia takes batches on the device."""
    workers: Annotated[int, Field(ge=0)] | Literal["auto"] = "auto"
    """Loader processes, or threads with cache ram; 0 is one thread. auto decides by device and cores."""
    cache: Literal["none", "ram", "disk"] = "none"
    """Where decoded and resized pictures are kept, so that only the first epoch decodes."""
    cache_path: str | None = None
    """Folder of cache disk; null is i2i/pictures in the user's cache folder. Runs may share it."""
    timeout_s: Annotated[float, Field(gt=0)] = 120.0
    """Seconds without a batch after which a run saves itself and stops."""
    full_check: bool = False
    """Decode every picture before training, not its header alone. `--full-check` sets it."""
    skip_broken: bool = False
    """Begin although files are broken, and skip them as those that break during training."""

    @field_validator("path", mode="before")
    @classmethod
    def _one_or_two(cls, value: object) -> object:
        paths = (value,) if isinstance(value, str) else value
        if isinstance(paths, Sequence) and len(paths) > 2:
            raise ValueError("at most two folders can be given, A's and B's")
        return paths

    @field_validator("input_range")
    @classmethod
    def _black_below_white(cls, value: tuple[float, float] | None) -> tuple[float, float] | None:
        if value and value[0] >= value[1]:
            raise ValueError("give the value of black, then a larger one for white")
        return value

    @model_validator(mode="after")
    def _crop_fits(self) -> Self:
        if self.resize_px is not None and self.resize_px < self.crop_px:
            raise ValueError(f"resize_px is {self.resize_px}, smaller than crop_px, {self.crop_px}")
        return self


class UNetSettings(Section):
    """The generator of pix2pix; see i2i.networks.UNet."""

    name: Literal["unet"] = "unet"
    """Which generator."""
    depth: Annotated[int, Field(ge=4, le=9)] = 8
    """Levels down; sides are padded to multiples of 2**depth."""
    width: Positive = 64
    """Channels of the first level."""
    norm: Norm = "batch"
    """Normalisation."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.5
    """Probability in the three innermost decoder levels."""
    upsample: Literal["transpose", "resize"] = "transpose"
    """Transposed convolution as in the paper, or resize-convolution against checkerboards."""


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
    """Transposed convolution as in the paper, or resize-convolution against checkerboards."""
    downsample: Literal["strided", "blur"] = "strided"
    """Strided convolution as in the paper, or low-pass filtered before halving."""
    init: Literal["normal", "xavier"] = "normal"
    """Weights at first: N(0, 0.02) as in the paper, or scaled to the number of inputs and outputs (Xavier)."""


class DCGANGeneratorSettings(Section):
    """The generator of DCGAN; see i2i.networks.DCGANGenerator. It makes pictures of data.crop_px."""

    name: Literal["dcgan"] = "dcgan"
    """Which generator."""
    latent: Positive = 100
    """Length of the noise vector."""
    width: Positive = 64
    """Channels of the last hidden level; 128 in the paper."""
    norm: Norm = "batch"
    """Normalisation."""


class MLPGeneratorSettings(Section):
    """A perceptron that makes points; see i2i.networks.MLPGenerator."""

    name: Literal["mlp"] = "mlp"
    """Which generator."""
    latent: Positive = 2
    """Length of the noise vector."""
    width: Positive = 128
    """Units of a hidden layer."""
    layers: Positive = 3
    """Hidden layers."""


GeneratorSettings = Annotated[
    UNetSettings | ResNetSettings | DCGANGeneratorSettings | MLPGeneratorSettings, Field(discriminator="name")
]


class PatchGANSettings(Section):
    """The discriminator of pix2pix and CycleGAN; see i2i.networks.PatchGAN."""

    name: Literal["patchgan"] = "patchgan"
    """Which discriminator."""
    layers: Annotated[int, Field(ge=0, le=5)] = 3
    """Halvings; one logit sees 1, 16, 34, 70, 142 or 286 px."""
    width: Positive = 64
    """Channels of the first layer."""
    norm: Norm = "batch"
    """Normalisation."""
    spectral_norm: bool = False
    """Divide every weight by its largest singular value, which bounds the slope of the whole (Miyato et al. 2018)."""


class DCGANDiscriminatorSettings(Section):
    """The discriminator of DCGAN; see i2i.networks.DCGANDiscriminator. It judges pictures of data.crop_px."""

    name: Literal["dcgan"] = "dcgan"
    """Which discriminator."""
    width: Positive = 64
    """Channels of the first level."""
    norm: Norm = "batch"
    """Normalisation."""
    spectral_norm: bool = False
    """Divide every weight by its largest singular value, which bounds the slope of the whole (Miyato et al. 2018)."""


class MLPDiscriminatorSettings(Section):
    """A perceptron that judges points; see i2i.networks.MLPDiscriminator."""

    name: Literal["mlp"] = "mlp"
    """Which discriminator."""
    width: Positive = 128
    """Units of a hidden layer."""
    layers: Positive = 3
    """Hidden layers."""
    spectral_norm: bool = False
    """Divide every weight by its largest singular value, which bounds the slope of the whole (Miyato et al. 2018)."""


DiscriminatorSettings = Annotated[
    PatchGANSettings | DCGANDiscriminatorSettings | MLPDiscriminatorSettings, Field(discriminator="name")
]


NETWORK_SETTINGS: dict[str, dict[str, type[Section]]] = {
    "generator": {
        "unet": UNetSettings,
        "resnet": ResNetSettings,
        "dcgan": DCGANGeneratorSettings,
        "mlp": MLPGeneratorSettings,
    },
    "discriminator": {
        "patchgan": PatchGANSettings,
        "dcgan": DCGANDiscriminatorSettings,
        "mlp": MLPDiscriminatorSettings,
    },
}


class OptimizerSettings(Section):
    """Adam (Kingma and Ba 2015), one for each training phase."""

    lr: Annotated[float, Field(gt=0)] = 2e-4
    """Learning rate."""
    lr_discriminator: Annotated[float, Field(gt=0)] | None = None
    """Learning rate of the discriminators; null is the same."""
    betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]] = (0.5, 0.999)
    """Decay of the running means of the gradient and of its square."""
    clip_norm: Annotated[float, Field(gt=0)] | None = None
    """Largest 2-norm of each network's gradient; longer ones are cut to it. null is without bound."""


class ScheduleSettings(Section):
    """How long to train. One of epochs and images; an epoch is the longer side of the data once."""

    epochs: Positive | None = None
    """Length in epochs."""
    images: Positive | None = None
    """Length in images seen."""
    decay_epochs: Annotated[int, Field(ge=0)] | None = None
    """The last epochs, over which the rate falls to zero in a line, step by step once an epoch."""
    decay_images: Annotated[int, Field(ge=0)] | None = None
    """The same in images seen."""

    @model_validator(mode="after")
    def _one_unit(self) -> Self:
        if (self.epochs is None) == (self.images is None):
            raise ValueError("give one of epochs and images, and null for the other")
        if self.decay_epochs is not None and self.decay_images is not None:
            raise ValueError("give one of decay_epochs and decay_images, and null for the other")
        for total, decay in ((self.epochs, self.decay_epochs), (self.images, self.decay_images)):
            if total and decay and decay > total:
                raise ValueError(f"a decay of {decay} is longer than the whole training of {total}")
        return self


class TrainSettings(Section):
    """How a step is made, and on what."""

    batch: Positive = 1
    """Pictures in one step on each device; in one part of it where accumulate is more than 1."""
    accumulate: Positive = 1
    """Parts of a step, of `batch` pictures each: the gradient of all at the memory of one, at a third more time."""
    devices: Positive = 1
    """Devices on each machine, of `device`'s kind; on the CPU, processes. `--devices` sets it."""
    nodes: Positive = 1
    """Machines. `--nodes` sets it."""
    sync_batch_norm: bool = True
    """Whether batch norm shares its statistics between devices, as if they were one with a larger batch."""
    init_from: str | None = None
    """A run folder or .safetensors file whose generators to begin with. `--init-from` sets it."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """Seed of weights, order, crops and dropout."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where to compute; auto takes the best there is."""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Arithmetic of the networks; weights stay fp32."""
    tf32: bool = True
    """fp32 products with 10 bits of mantissa, on NVIDIA GPUs from Ampere on; elsewhere without effect."""
    activation_checkpointing: bool = False
    """Keep a few activations for the way back and compute the others again: for large pictures, a third slower."""
    compile: bool = False
    """torch.compile for the networks. On a CPU it costs a minute or two at first, for steps 1.05 times as fast."""
    ema_half_life_images: Annotated[float, Field(gt=0)] | None = None
    """Make the model file of the generators' mean weights: those of so many images ago count half. null is off."""
    keep: Literal["latest", "best"] = "latest"
    """Which weights the model file holds: the latest, or those with the lowest L1 on the pairs of val."""
    channels_last: bool | Literal["auto"] = "auto"
    """Memory layout with channels innermost; auto takes it on a CPU, but for layers of millions of weights."""
    norm_statistics: Literal["auto", "image", "running"] = "auto"
    """What batch norm uses at inference: the picture's own statistics or training's running ones.
    auto takes image where training normalised pictures singly: batch 1 on one device, or without sync_batch_norm."""

    @model_validator(mode="after")
    def _one_transformation(self) -> Self:
        if self.compile and self.activation_checkpointing:
            raise ValueError("compile and activation_checkpointing exclude each other; set one of them to false")
        return self

    @property
    def step_images(self) -> int:
        """Pictures in one step, in all of its parts."""
        return self.batch * self.accumulate


class LogSettings(Section):
    """What a run writes while it trains, each by images seen."""

    every_images: Positive = 100
    """Losses to metrics.jsonl."""
    samples_every_images: Positive = 2000
    """A sheet of validation pictures to samples/, and their L1 to metrics.jsonl."""
    sample_count: Positive = 8
    """Pictures on a sheet."""
    checkpoint_every_images: Positive = 5000
    """A checkpoint to resume from; one is also written at the end."""
    keep_checkpoints: Annotated[int, Field(ge=2)] = 2
    """How many of the newest checkpoints stay."""
    tensorboard: bool = False
    """The rows of metrics.jsonl to tensorboard/ as well; needs TensorBoard, as i2i[tensorboard] installs it."""


class AlarmSettings(Section):
    """When a run warns of an illness; docs/benchmarks.md shows healthy and ill runs beside these values."""

    steps: Positive = 2000
    """Training steps over which a discriminator must have won."""
    alike_steps: Positive = 1000
    """Training steps over which samples must be alike; those of a healthy young run are, for some hundred."""
    d_accuracy: Annotated[float, Field(ge=0, le=1)] = 0.99
    """A discriminator has won when it is right about more than this share of real and fake, ..."""
    d_loss: Annotated[float, Field(ge=0)] = 0.02
    """... its real and fake terms are under this on average, ..."""
    g_fall: Annotated[float, Field(ge=0, le=1)] = 0.05
    """... and no other term of the generator, as L1 or cycle, falls by this share of itself."""
    diversity: Annotated[float, Field(ge=0)] = 0.5
    """Samples are alike when their mean distance is under this share of the data's, ..."""
    near_duplicates: Annotated[float, Field(ge=0, le=1)] = 0.5
    """... or when so much more of them than of the data have a near duplicate."""


class Config(Section):
    """All settings of a run."""

    algorithm: str
    """Which one: a name in i2i.algorithms.ALGORITHMS."""
    data: DataSettings = DataSettings()
    """Pictures and augmentation."""
    generator: GeneratorSettings = UNetSettings()
    """The network that translates, or makes pictures from noise."""
    discriminator: DiscriminatorSettings | None = PatchGANSettings()
    """The network that judges; null for algorithms that have none."""
    loss: dict[str, Any] = Field(default_factory=dict)
    """The algorithm's own settings, checked by it."""
    optimizer: OptimizerSettings = OptimizerSettings()
    """Learning rates."""
    schedule: ScheduleSettings
    """How long."""
    train: TrainSettings = TrainSettings()
    """Batch, device, precision, seed."""
    log: LogSettings = LogSettings()
    """What is written when."""
    alarms: AlarmSettings = AlarmSettings()
    """What is warned of when."""
