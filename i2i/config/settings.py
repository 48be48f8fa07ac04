"""The settings of a run: typed, frozen and documented. i2i.config reads them.

The settings under `loss` are in the file of each algorithm. The file is long, as each setting takes two lines or more.
"""

from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import Field, PrivateAttr, field_validator, model_validator

from i2i.config.discriminators import DiscriminatorSettings, PatchGANSettings
from i2i.config.generators import GeneratorSettings, UNetSettings
from i2i.config.layers import Layers
from i2i.config.optimizers import DEFAULT_OPTIMIZER, AdamSettings, OptimizerSettings
from i2i.config.section import Positive, Ramp, Section
from i2i.config.sides import Direction as Direction
from i2i.config.sides import SideSettings

DataKind = Literal["paired", "unpaired", "images"]
LoggerName = Literal["tensorboard", "wandb", "mlflow", "csv"]
BestBy = Literal[
    "l1",
    "psnr",
    "ssim",
    "ms_ssim",
    "lpips",
    "lpips_vgg",
    "dists",
    "accuracy",
    "iou",
    "kid_inception",
    "kid_alexnet",
    "kid_vgg16",
    "kid_random",
]
"""METRICS and SET_METRICS in i2i.metrics."""


T = TypeVar("T")


def by_direction(direction: str, a: T, b: T) -> tuple[T, T]:
    """Return what belongs to sides A and B as (input, target), or (input, target) as A's and B's."""
    return (a, b) if direction == "A2B" else (b, a)


class DataSettings(SideSettings):
    """Where the pictures are, and how they are prepared for the networks."""

    resize_px: Positive | None = None
    """Shorter side after resizing, before the crop; null leaves pictures at their own size."""
    crop_px: Positive = 256
    """Side of the random square crop of a picture in training."""
    clip_frames: Positive = 1
    """Frames in order that an image number shows, of a clip: the pictures in one folder, by their names. 1 is a single
    picture; vid2vid needs 2 or more."""
    flip: bool = True
    """Flip left and right, half of the time."""
    colour_jitter: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Strength of brightness, contrast, saturation and hue changes of the input only; 0 is off."""
    augment: Literal["auto", "albumentations", "torchvision", "kornia"] = "auto"
    """The library that augments; auto is albumentations, or torchvision where that is not installed. kornia augments
    whole batches on the device."""
    workers: Annotated[int, Field(ge=0)] | Literal["auto"] = "auto"
    """Loader processes, or threads with cache ram; 0 is one thread. auto depends on device and cores."""
    cache: Literal["none", "ram", "disk"] = "none"
    """Where decoded and resized pictures are kept, so that only the first epoch decodes."""
    cache_path: str | None = None
    """Folder of cache disk; null is i2i/pictures in the user's cache folder. Runs may share it."""
    timeout_s: Annotated[float, Field(gt=0)] = 120.0
    """Seconds without a batch after which a run saves and stops."""
    full_check: bool = False
    """Decode every picture before training, not only its header. `--full-check` sets it."""
    skip_broken: bool = False
    """Start although files are broken, and skip them, as files that break during training."""

    @model_validator(mode="after")
    def _crop_fits(self) -> Self:
        if self.resize_px is not None and self.resize_px < self.crop_px:
            raise ValueError(f"resize_px is {self.resize_px}, smaller than crop_px, {self.crop_px}")
        return self


class ScheduleSettings(Section):
    """How long to train. Give epochs or images; an epoch shows every picture of the longer side once."""

    epochs: Positive | None = None
    """Length in epochs."""
    images: Positive | None = None
    """Length in images seen."""
    decay_epochs: Annotated[int, Field(ge=0)] | None = None
    """The last epochs, over which the learning rate decays linearly to zero; it changes once an epoch."""
    decay_images: Annotated[int, Field(ge=0)] | None = None
    """The same in images seen."""
    lr_ramp: Ramp | None = None
    """A further factor on the learning rates, as R3GAN's at the beginning; null is 1."""

    @model_validator(mode="after")
    def _one_unit(self) -> Self:
        if (self.epochs is None) == (self.images is None):
            raise ValueError("give one of epochs and images, and null for the other")
        if self.decay_epochs is not None and self.decay_images is not None:
            raise ValueError("give one of decay_epochs and decay_images, and null for the other")
        for unit, total, decay in (
            ("epochs", self.epochs, self.decay_epochs),
            ("images", self.images, self.decay_images),
        ):
            if total and decay and decay > total:
                raise ValueError(
                    f"a decay of {decay} {unit} is longer than the whole training of {total}; set "
                    f"schedule.decay_{unit}, too, for example to {total // 2}"
                )
        return self


class TrainSettings(Section):
    """How a train step is made, and on which devices."""

    batch: Positive = 1
    """Images in one step on each device; in one micro-batch, if accumulate is more than 1."""
    accumulate: Positive = 1
    """Micro-batches of `batch` images in a step: the gradient of all in the memory of one, at a third more time."""
    devices: Positive = 1
    """Devices on each machine; on the CPU, processes. `--devices` sets it."""
    nodes: Positive = 1
    """Machines. `--nodes` sets it."""
    sync_batch_norm: bool = True
    """Share the statistics of batch norm between devices, as if they were one with a larger batch."""
    init_from: str | None = None
    """A run folder or .safetensors file whose generators to start from. `--init-from` sets it."""
    after: str | None = None
    """A run folder or .safetensors file whose generator this training builds on, frozen. `--after` sets it."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """Seed of weights, order, crops and dropout."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where to compute; auto takes the best available."""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Arithmetic of the networks; weights stay fp32."""
    tf32: bool = True
    """Compute fp32 products with a mantissa of 10 bits, on NVIDIA GPUs from Ampere on; no effect elsewhere."""
    activation_checkpointing: bool = False
    """Keep only a few activations for backward and recompute the others: for large images, at a third more time."""
    compile: bool = False
    """torch.compile for the networks. On a CPU it takes a minute or two at first, for steps 1.05 times as fast."""
    cuda_graphs: bool | Literal["auto"] = "auto"
    """Record a step once and replay it, so that an NVIDIA GPU does not wait for its host, with up to twice the memory;
    no effect elsewhere. auto records where nothing in a step needs the host."""
    ema_half_life_images: Annotated[float, Field(gt=0)] | None = None
    """Write an exponential moving average of the generators' weights to the model file, of this half-life in images.
    null is off."""
    keep: Literal["latest", "best"] = "latest"
    """Which weights the model file holds: the latest, or those with the best score on val."""
    best_by: BestBy | None = None
    """The score that keep=best goes by: a metric of pairs, or KID on a network's features (kid_random needs no file).
    null is l1 for pairs, iou for label maps, and kid_random for other data."""
    best_interval: Literal["difference", "score"] = "difference"
    """The 95% interval that keep=best decides by. difference: two models are undecided while the interval of their
    difference holds 0; score: while the intervals of their scores overlap, as they nearly always do."""
    scored_pictures: Annotated[int, Field(ge=2)] = 500
    """Pictures or pairs of val, at most, that keep=best scores each time; more are thinned out evenly."""
    patience_images: Positive | None = None
    """End the training when this many images have brought no better score; with keep=best. null is never."""
    channels_last: bool | Literal["auto"] = "auto"
    """Memory format with channels innermost; auto uses it on a CPU, except for layers of millions of weights."""
    norm_statistics: Literal["auto", "image", "running"] = "auto"
    """The statistics of batch norm at inference: the image's own, or the running statistics of training.
    auto is image if training normalised each image by itself: batch 1 on one device, or without sync_batch_norm."""

    @model_validator(mode="after")
    def _one_transformation(self) -> Self:
        if self.compile and self.activation_checkpointing:
            raise ValueError("compile and activation_checkpointing exclude each other; set one of them to false")
        if self.cuda_graphs is True and self.bars_graphs:
            raise ValueError(f"cuda_graphs does not work with {self.bars_graphs}; leave one of them out")
        return self

    @model_validator(mode="after")
    def _best_is_kept(self) -> Self:
        for name, default in (("best_by", None), ("best_interval", "difference"), ("patience_images", None)):
            if self.keep != "best" and getattr(self, name) != default:
                raise ValueError(f"{name} has an effect only with keep: best; set train.keep=best, or leave {name} out")
        return self

    @property
    def bars_graphs(self) -> str:
        """The settings with which no step can be recorded, in words."""
        several = self.devices * self.nodes > 1
        barred = {"precision fp16": self.precision == "fp16", "accumulate": self.accumulate > 1, "devices": several}
        barred["activation_checkpointing"] = self.activation_checkpointing
        return " and ".join(name for name, used in barred.items() if used)

    @property
    def is_plain(self) -> bool:
        """Whether a step goes forward and back once, in fp32, through networks as they are."""
        changed = self.activation_checkpointing or self.compile
        return self.precision == "fp32" and self.accumulate == 1 and not changed

    @property
    def step_images(self) -> int:
        """Images in one step on each device, in all of its micro-batches."""
        return self.batch * self.accumulate


class LogSettings(Section):
    """What a run writes while it trains, and after how many images."""

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
    loggers: tuple[LoggerName, ...] = ()
    """Where rows and samples go besides: tensorboard, wandb, mlflow, csv. The extras tensorboard, wandb and mlflow
    install what they need."""

    @model_validator(mode="before")
    @classmethod
    def _tensorboard_was_a_switch(cls, values: object) -> object:
        if not isinstance(values, dict) or not isinstance(values.get("tensorboard"), bool):
            return values
        others = {name: value for name, value in values.items() if name != "tensorboard"}
        given = others.get("loggers", ())
        if values["tensorboard"]:
            others["loggers"] = (*((given,) if isinstance(given, str) else given), "tensorboard")
        return others

    @field_validator("loggers", mode="before")
    @classmethod
    def _one_or_several(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @field_validator("loggers")
    @classmethod
    def _each_once(cls, value: tuple[LoggerName, ...]) -> tuple[LoggerName, ...]:
        return tuple(dict.fromkeys(value))


class AlarmSettings(Section):
    """When a run warns of a problem; docs/benchmarks.md compares healthy and failing runs with these values."""

    steps: Positive = 2000
    """Train steps for which a discriminator must have won."""
    alike_steps: Positive = 1000
    """Train steps for which samples must be alike; in a healthy run they are for the first few hundred."""
    d_accuracy: Annotated[float, Field(ge=0, le=1)] = 0.99
    """A discriminator has won when it is right about more than this share of real and fake, ..."""
    d_loss: Annotated[float, Field(ge=0)] = 0.02
    """... its real and fake terms are under this on average, ..."""
    g_fall: Annotated[float, Field(ge=0, le=1)] = 0.05
    """... and no other term of the generator, as L1 or cycle, falls by this share."""
    diversity: Annotated[float, Field(ge=0)] = 0.5
    """Samples are alike when their mean distance is under this share of the data's, ..."""
    near_duplicates: Annotated[float, Field(ge=0, le=1)] = 0.5
    """... or when the share of near duplicates exceeds that of the data by this much."""
    inverted_steps: Positive = 500
    """Train steps for which colours learned without pairs must be inverted: ..."""
    brightness: Annotated[float, Field(ge=-1, le=1)] = -0.2
    """... the brightness of outputs correlates by less than this with that of truths, or of inputs where val has no
    pairs, ..."""
    hue: Annotated[float, Field(ge=-1, le=1)] = -0.4
    """... or their red against green, or yellow against blue, by less than this."""


class Config(Section):
    """All settings of a run."""

    algorithm: str
    """What is trained: pix2pix, cyclegan, cut, gan and others; a name in i2i.algorithms.ALGORITHMS."""
    data: DataSettings = DataSettings()
    """Pictures and augmentation."""
    generator: GeneratorSettings = UNetSettings()
    """The network that translates pictures, or makes them from noise."""
    discriminator: DiscriminatorSettings | None = PatchGANSettings()
    """The network that tells real from fake; null for algorithms without one."""
    loss: dict[str, Any] = Field(default_factory=dict)
    """The algorithm's own settings, checked by it."""
    optimizer: OptimizerSettings = AdamSettings()
    """How gradients change weights, and at what learning rates."""
    schedule: ScheduleSettings
    """How long."""
    train: TrainSettings = TrainSettings()
    """Batch, device, precision, seed."""
    log: LogSettings = LogSettings()
    """What is written, and when."""
    alarms: AlarmSettings = AlarmSettings()
    """When to warn."""
    plugins: tuple[str, ...] = ()
    """Python files that add algorithms, networks and losses; see docs/plugins.md. `--plugin` sets it."""
    _layers: Layers = PrivateAttr(default_factory=Layers)

    @property
    def layers(self) -> Layers:
        """Where each setting was written; empty for settings that come from no file."""
        return self._layers

    def read_from(self, layers: Layers) -> Self:
        """Return the same settings, which know where they were written."""
        config = self.model_copy()
        config._layers = layers
        return config

    @field_validator("optimizer", mode="before")
    @classmethod
    def _name_the_default(cls, value: Any) -> Any:
        """Choose the optimizer of a section without a name, as in run folders from before there was a choice."""
        return {"name": DEFAULT_OPTIMIZER, **value} if isinstance(value, dict) else value
