"""The contract between an algorithm and the engine.

An algorithm owns named networks and says what it learns from (`data`), what trains when (`phases`),
what the generators make of a batch (`forward`, once a step) and what the losses are (`losses`). The
engine alone calls backward, step and requires_grad. Networks are called only through their forward,
since that is all that device wrappers wrap, and always through `self.networks`, where the engine puts
the wrapped ones.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

from torch import Tensor, nn

from i2i.errors import ConfigError
from i2i.images import Channels
from i2i.losses import AdversarialLoss
from i2i.networks import DISCRIMINATORS, GENERATORS, Generator
from i2i.networks.dcgan import SIZES
from i2i.networks.patchgan import RECEPTIVE_FIELD_PX, smallest_side
from i2i.settings import (
    Config,
    DataKind,
    DCGANDiscriminatorSettings,
    MLPDiscriminatorSettings,
    PatchGANSettings,
    ResNetSettings,
    Section,
    UNetSettings,
    by_direction,
)
from i2i.spec import MEANINGS, GeneratorSpec

Outputs = Mapping[str, Tensor]
Batch = tuple[Tensor, ...]
"""What one step sees, float in [-1, 1]: of paired and unpaired data (a, b), of images (real,), each (N, C, H, W);
of toy data (points,), (N, 2)."""


class Phase(NamedTuple):
    """One optimizer's turn: its name, the networks it updates, and every how many steps it is due.

    judges: whether these are discriminators, which may have a learning rate of their own.
    """

    name: str
    trains: tuple[str, ...]
    every_steps: int = 1
    judges: bool = False


class Algorithm(ABC):
    """One paper. Subclasses build `networks` from the config in __init__ and list their `phases`."""

    Settings: ClassVar[type[Section]]
    """The settings under `loss` in a config."""
    data: ClassVar[DataKind]
    """What it learns from: paired or unpaired pictures of two sides, or images."""
    networks: dict[str, nn.Module]
    phases: tuple[Phase, ...]
    weights: dict[str, float]
    """The weight of each loss term in its phase's sum; terms are logged without it."""
    generators: dict[str, str]
    """The network of each direction the model will have, or of "generate" where it makes pictures from noise."""

    def __init__(self, config: Config):
        self.config = config
        self.notes: list[str] = []  # what the user should know of how the settings were taken

    @abstractmethod
    def forward(self, batch: Batch) -> Outputs:
        """Run the generators once; the engine has turned on the gradients of what trains in this step."""

    @abstractmethod
    def losses(self, phase: str, batch: Batch, outputs: Outputs) -> dict[str, Tensor]:
        """Return the phase's terms, scalars by their log names; it descends their sum under `weights`.

        Names begin with D or G. What has no weight, as an accuracy, is only logged.
        """

    def describe(self) -> dict[str, Any]:
        """Return the part of the ModelSpec that says what the model does and which networks it has."""
        return {"task": "translate", "generators": generator_specs(self)}

    def draw_as(self, rank: int) -> None:  # noqa: B027 - most draw from torch alone, which the engine sees to
        """Draw from now on as process number `rank` of several, apart from the others."""

    def state_dict(self) -> dict[str, Any]:
        """Return what the next step depends on besides networks and optimizers, as tensors and numbers.

        With several processes, each has its own.
        """
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:  # noqa: B027 - most have nothing to restore
        """Take up where `state_dict` left off."""


def generator_specs(algorithm: Algorithm) -> dict[str, GeneratorSpec]:
    """Describe the generators of an algorithm that translates, by direction."""
    specs: dict[str, GeneratorSpec] = {}
    for direction, name in algorithm.generators.items():
        network = algorithm.networks[name]
        inputs, outputs = side_channels(algorithm.config, direction)
        specs[direction] = GeneratorSpec(
            network=algorithm.config.generator.name,
            arguments=generator_arguments(algorithm.config, direction),
            in_channels=inputs,
            in_meaning=MEANINGS[inputs],
            out_channels=outputs,
            out_meaning=MEANINGS[outputs],
            size_multiple=int(network.size_multiple),  # type: ignore[arg-type]
            size_minimum=int(network.size_minimum),  # type: ignore[arg-type]
        )
    return specs


def side_channels(config: Config, direction: str) -> tuple[Channels, Channels]:
    """Return the channels of (input, output) for a direction."""
    return by_direction(direction, config.data.channels_a, config.data.channels_b)


def generator_arguments(config: Config, direction: str) -> dict[str, Any]:
    """Return the constructor arguments of the generator of a direction."""
    inputs, outputs = side_channels(config, direction)
    return {"in_channels": inputs, "out_channels": outputs, **config.generator.model_dump(exclude={"name"})}


def build_generator(config: Config, direction: str) -> Generator:
    """Make the generator of a direction; raises ConfigError when it does not translate or the crop does not fit it."""
    if not isinstance(config.generator, UNetSettings | ResNetSettings):
        raise ConfigError(
            f"generator.name is {config.generator.name}, which makes pictures from noise; {config.algorithm} "
            "translates. Use unet or resnet."
        )
    network = GENERATORS[config.generator.name](**generator_arguments(config, direction))
    multiple, least, crop = network.size_multiple, network.size_minimum, config.data.crop_px
    if crop % multiple or crop < least:
        below, above = max(crop // multiple * multiple, least), max((crop // multiple + 1) * multiple, least)
        nearest = f"{below} or {above}" if below < above else f"{above}"
        raise ConfigError(
            f"data.crop_px is {crop}, but this generator takes multiples of {multiple} from {least} px on: {nearest}."
        )
    return network


def build_discriminator(config: Config, in_channels: int) -> nn.Module:
    """Make the discriminator that the config names; raises ConfigError when it does not fit crop or data."""
    settings, crop = config.discriminator, config.data.crop_px
    arguments: dict[str, Any] = {"in_channels": in_channels, **settings.model_dump(exclude={"name"})}
    if isinstance(settings, PatchGANSettings):
        fitting = [count for count in RECEPTIVE_FIELD_PX if crop >= smallest_side(count)]
        if settings.layers not in fitting:
            raise ConfigError(
                f"discriminator.layers is {settings.layers}, which needs crops of {smallest_side(settings.layers)} px "
                f"or more; crops of {crop} px allow up to {max(fitting)}."
            )
    if isinstance(settings, DCGANDiscriminatorSettings):
        refuse_other_sizes(config)
        arguments["size"] = crop
    if isinstance(settings, MLPDiscriminatorSettings) != (config.data.toy is not None):
        raise ConfigError(
            f"discriminator.name is {settings.name}, but mlp judges the points of data.toy, and nothing else does."
        )
    return DISCRIMINATORS[settings.name](**arguments)


def refuse_other_sizes(config: Config) -> None:
    """Raise ConfigError for a crop that DCGAN's networks do not make."""
    if config.data.crop_px not in SIZES:
        raise ConfigError(f"data.crop_px is {config.data.crop_px}, but DCGAN makes 32, 64 or 128 px.")


def accuracies(name: str, adversarial: AdversarialLoss, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
    """Return the shares of real and of fake logits that a discriminator is right about, to be logged under `name`."""
    return {
        f"{name}_real_accuracy": (real > adversarial.boundary).float().mean(),
        f"{name}_fake_accuracy": (fake < adversarial.boundary).float().mean(),
    }
