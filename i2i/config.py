"""The settings of a run: typed, frozen, documented, and read from YAML.

A file in `configs/` (a preset, found by its name) or the user's own is read, `--set a.b=c` is laid
over it, and the result is checked as a whole: an unknown key is an error that names the nearest one.
`loss` belongs to the algorithm: its settings stand beside the losses, in the algorithm's own file.
"""

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from i2i.errors import ConfigError

Channels = Literal[1, 3, 4]
Direction = Literal["A2B", "B2A"]
Positive = Annotated[int, Field(gt=0)]


T = TypeVar("T")


def by_direction(direction: str, a: T, b: T) -> tuple[T, T]:
    """Return what belongs to sides A and B as (input, target); the way back is the same."""
    return (a, b) if direction == "A2B" else (b, a)


class Section(BaseModel):
    """Base of all settings: frozen, and a stranger to unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)


class DataSettings(Section):
    """Where the pictures are and what happens to them before the networks see them."""

    path: tuple[str, ...] = ()
    """One folder, or two: A's and B's. `--data` sets it."""
    direction: Direction = "A2B"
    """Which side is translated into which."""
    channels_a: Channels = 3
    """Channels of side A: 1 grey, 3 RGB, 4 RGB with alpha."""
    channels_b: Channels = 3
    """Channels of side B."""
    resize_px: Positive | None = None
    """Shorter side after resizing, before the crop; null leaves pictures at their own size."""
    crop_px: Positive = 256
    """Side of the random square that one training picture shows."""
    flip: bool = True
    """Mirror left and right, half of the time."""
    colour_jitter: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Strength of brightness, contrast, saturation and hue changes on the input side only; 0 is off."""
    augment: Literal["auto", "albumentations", "torchvision", "kornia"] = "auto"
    """What augments; auto is albumentations where installed, else torchvision. kornia takes batches on the device."""
    workers: Annotated[int, Field(ge=0)] | Literal["auto"] = "auto"
    """Loader processes; auto decides by device and cores."""

    @field_validator("path", mode="before")
    @classmethod
    def _one_or_two(cls, value: object) -> object:
        paths = (value,) if isinstance(value, str) else value
        if isinstance(paths, Sequence) and len(paths) > 2:
            raise ValueError("at most two folders can be given, A's and B's")
        return paths

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
    norm: Literal["batch", "instance", "none"] = "batch"
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
    norm: Literal["batch", "instance", "none"] = "instance"
    """Normalisation."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Probability inside the residual blocks."""
    upsample: Literal["transpose", "resize"] = "transpose"
    """Transposed convolution as in the paper, or resize-convolution against checkerboards."""
    downsample: Literal["strided", "blur"] = "strided"
    """Strided convolution as in the paper, or low-pass filtered before halving."""


GENERATOR_SETTINGS: dict[str, type[Section]] = {"unet": UNetSettings, "resnet": ResNetSettings}


class PatchGANSettings(Section):
    """The discriminator of pix2pix and CycleGAN; see i2i.networks.PatchGAN."""

    name: Literal["patchgan"] = "patchgan"
    """Which discriminator."""
    layers: Annotated[int, Field(ge=0, le=5)] = 3
    """Halvings; one score sees 1, 16, 34, 70, 142 or 286 px."""
    width: Positive = 64
    """Channels of the first layer."""
    norm: Literal["batch", "instance", "none"] = "batch"
    """Normalisation."""


class OptimizerSettings(Section):
    """Adam (Kingma and Ba 2015), one for each training phase."""

    lr: Annotated[float, Field(gt=0)] = 2e-4
    """Learning rate."""
    betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]] = (0.5, 0.999)
    """Decay of the running means of the gradient and of its square."""


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
        return self


class TrainSettings(Section):
    """How a step is made, and on what."""

    batch: Positive = 1
    """Pictures in one step."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """Seed of weights, order, crops and dropout."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where to compute; auto takes the best there is."""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Arithmetic of the networks; weights stay fp32."""
    channels_last: bool = False
    """Memory layout with channels innermost: faster with resize-convolutions on a CPU, and with bf16 on a GPU."""
    norm_statistics: Literal["auto", "image", "running"] = "auto"
    """What batch norm uses at inference: the picture's own statistics or training's running ones.
    auto takes image at batch 1 (where training did just that), else running."""


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


class Config(Section):
    """All settings of a run."""

    algorithm: str
    """Which one: a name in i2i.algorithms.ALGORITHMS."""
    data: DataSettings = DataSettings()
    """Pictures and augmentation."""
    generator: Annotated[UNetSettings | ResNetSettings, Field(discriminator="name")] = UNetSettings()
    """The network that translates."""
    discriminator: PatchGANSettings = PatchGANSettings()
    """The network that judges."""
    loss: dict[str, Any] = {}
    """The algorithm's own settings, checked by it."""
    optimizer: OptimizerSettings = OptimizerSettings()
    """Learning rates."""
    schedule: ScheduleSettings
    """How long."""
    train: TrainSettings = TrainSettings()
    """Batch, device, precision, seed."""
    log: LogSettings = LogSettings()
    """What is written when."""


# What other projects call our settings; a newcomer's first guesses.
KNOWN_ELSEWHERE = {
    "learning_rate": "optimizer.lr",
    "beta1": "optimizer.betas",
    "batch_size": "train.batch",
    "n_epochs": "schedule.epochs",
    "num_epochs": "schedule.epochs",
    "n_epochs_decay": "schedule.decay_epochs",
    "load_size": "data.resize_px",
    "crop_size": "data.crop_px",
    "image_size": "data.crop_px",
    "num_workers": "data.workers",
    "num_threads": "data.workers",
    "lambda_l1": "loss.l1",
    "gan_mode": "loss.adversarial",
    "ngf": "generator.width",
    "ndf": "discriminator.width",
    "dataroot": "data.path",
}

S = TypeVar("S", bound=BaseModel)


def load_config(source: str | Path, overrides: Iterable[str] = ()) -> Config:
    """Read a preset by name or a YAML file by path, lay `a.b=c` overrides over it, and check it.

    Raises ConfigError naming the file and the setting.
    """
    path = find_config(source)
    values = read_yaml(path)
    for override in overrides:
        _apply(values, override)
    return parse(Config, values, str(path))


def find_config(source: str | Path) -> Path:
    """Return the file of a preset name or of a path; raises ConfigError with the nearest preset."""
    path = Path(source)
    if path.suffix in (".yaml", ".yml"):
        if path.is_file():
            return path
        raise ConfigError(f"{path} does not exist. Give a YAML file, or a preset: {', '.join(preset_names())}.")
    preset = presets_folder() / f"{source}.yaml"
    if preset.parent == presets_folder() and preset.is_file():
        return preset
    raise ConfigError(
        f"{source} is no preset.{did_you_mean(str(source), preset_names())} Presets: {', '.join(preset_names())}."
    )


def presets_folder() -> Path:
    """Return the folder of the presets: inside the installed package, or beside it in a checkout."""
    installed = Path(__file__).parent / "configs"
    return installed if installed.is_dir() else Path(__file__).parent.parent / "configs"


def preset_names() -> list[str]:
    """Names that `i2i train` takes, sorted."""
    return sorted(path.stem for path in presets_folder().glob("*.yaml"))


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file that holds one mapping; raises ConfigError."""
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}.") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not valid YAML: {' '.join(str(error).split())}.") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{path} holds no settings. Start from a preset: {', '.join(preset_names())}.")
    return values


def to_yaml(config: Config) -> str:
    """Return all settings of `config` as YAML that `load_config` reads back to an equal one."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def parse(model: type[S], values: object, source: str, prefix: str = "") -> S:
    """Check `values` against `model`; raises ConfigError that speaks of dotted names under `prefix`."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        known = [f"{prefix}{name}" for name in setting_names(model)]
        lines = [_explain(dict(problem), known, prefix) for problem in error.errors()]
        raise ConfigError("\n".join(f"{source}: {line}" for line in lines[:3])) from None


def setting_names(model: type[BaseModel]) -> Iterator[str]:
    """Yield the dotted name of every setting in `model`, sections themselves included."""
    for name, field in model.model_fields.items():
        yield name
        members = [field.annotation, *get_args(field.annotation)]
        for member in members:
            if isinstance(member, type) and issubclass(member, BaseModel):
                yield from (f"{name}.{inner}" for inner in setting_names(member))


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return " Did you mean X?" for the nearest of `known`, or nothing."""
    known = list(known)
    leaf = name.rsplit(".", 1)[-1]
    elsewhere = KNOWN_ELSEWHERE.get(leaf.lower())
    if elsewhere in known:
        return f" Did you mean {elsewhere}?"
    by_leaf = {one.rsplit(".", 1)[-1]: one for one in known}
    if leaf in by_leaf:
        return f" Did you mean {by_leaf[leaf]}?"
    near = difflib.get_close_matches(name, known, 1, 0.75) or [
        by_leaf[one] for one in difflib.get_close_matches(leaf, by_leaf, 1, 0.6)
    ]
    return f" Did you mean {near[0]}?" if near else ""


def differences(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield (dotted name, old value, new value) for every setting that differs between two dumps."""
    for name in sorted({*old, *new}):
        before, after = old.get(name), new.get(name)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            yield from differences(before, after, f"{prefix}{name}.")
        elif before != after:
            yield f"{prefix}{name}", before, after


def _apply(values: dict[str, Any], override: str) -> None:
    """Lay one `a.b=c` over nested settings; c is read as YAML."""
    name, equals, text = override.partition("=")
    if not equals or not name:
        raise ConfigError(f"--set {override} is not of the form section.name=value.")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        raise ConfigError(f"--set {override}: the value is not valid YAML.") from None
    *sections, leaf = name.split(".")
    for section in sections:
        if values.get(section) is None:  # not there, or an empty section of a YAML file
            values[section] = {}
        values = values[section]
        if not isinstance(values, dict):
            raise ConfigError(f"--set {override}: {section} is a value and has no settings of its own.")
    values[leaf] = value


def _explain(problem: dict[str, Any], known: Sequence[str], prefix: str) -> str:
    """Put one of pydantic's problems into our words."""
    parts = [str(part) for part in problem["loc"]]
    kind = ""
    if len(parts) > 2 and parts[1] in GENERATOR_SETTINGS:  # a union's tag stands in the location like a section
        tag = parts.pop(1)
        kind = f" of {tag}"
        known = [f"{parts[0]}.{field}" for field in GENERATOR_SETTINGS[tag].model_fields]
    name = prefix + ".".join(parts)
    if problem["type"] == "extra_forbidden":
        return f"{name} is not a setting{kind}.{did_you_mean(name, known)}"
    if problem["type"] == "missing":
        return f"{name} is missing."
    message = str(problem["msg"]).removeprefix("Value error, ")
    received = problem["input"]
    shown = "" if isinstance(received, dict | BaseModel) else f" is {received!r}"
    return f"{name}{shown}: {message[0].lower()}{message[1:]}."
