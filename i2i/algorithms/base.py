"""The contract between an algorithm and the engine.

An algorithm owns named networks and says what trains when (`phases`), what the generators make of a
batch (`forward`, once a step) and what the losses are (`losses`). The engine alone calls backward,
step and requires_grad. Networks are called only through their forward, since that is all that device
wrappers wrap, and always through `self.networks`, where the engine puts the wrapped ones.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

from torch import Tensor, nn

from i2i.errors import ConfigError
from i2i.networks import DISCRIMINATORS, GENERATORS, Generator
from i2i.networks.patchgan import RECEPTIVE_FIELD_PX, smallest_side
from i2i.settings import Channels, Config, Direction, Section, by_direction
from i2i.spec import MEANINGS, GeneratorSpec

Outputs = Mapping[str, Tensor]


class Batch(NamedTuple):
    """Pictures of one step: a (N, channels_a, H, W) and b (N, channels_b, H, W), float in [-1, 1]."""

    a: Tensor
    b: Tensor


class Phase(NamedTuple):
    """One optimizer's turn: its name, the networks it updates, and every how many steps it is due."""

    name: str
    trains: tuple[str, ...]
    every_steps: int = 1


class Algorithm(ABC):
    """One paper. Subclasses build `networks` from the config in __init__ and list their `phases`."""

    Settings: ClassVar[type[Section]]
    """The settings under `loss` in a config."""
    networks: dict[str, nn.Module]
    phases: tuple[Phase, ...]
    weights: dict[str, float]
    """The weight of each loss term in its phase's sum; terms are logged without it."""
    generators: dict[Direction, str]
    """The network that translates each direction the model will have."""

    def __init__(self, config: Config):
        self.config = config

    @abstractmethod
    def forward(self, batch: Batch) -> Outputs:
        """Run the generators once; the engine has turned on the gradients of what trains in this step."""

    @abstractmethod
    def losses(self, phase: str, batch: Batch, outputs: Outputs) -> dict[str, Tensor]:
        """Return the phase's terms, scalars by their log names; it descends their sum under `weights`."""

    def generator_specs(self) -> dict[str, GeneratorSpec]:
        """Describe the generators for the model file, by direction."""
        specs: dict[str, GeneratorSpec] = {}
        for direction, name in self.generators.items():
            network = self.networks[name]
            inputs, outputs = side_channels(self.config, direction)
            specs[direction] = GeneratorSpec(
                network=self.config.generator.name,
                arguments=generator_arguments(self.config, direction),
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
    """Make the generator that the config names; raises ConfigError when the crop does not fit it."""
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
    """Make the discriminator that the config names; raises ConfigError when the crop is too small for it."""
    layers, crop = config.discriminator.layers, config.data.crop_px
    fitting = [count for count in RECEPTIVE_FIELD_PX if crop >= smallest_side(count)]
    if layers not in fitting:
        raise ConfigError(
            f"discriminator.layers is {layers}, which needs crops of {smallest_side(layers)} px or more; "
            f"crops of {crop} px allow up to {max(fitting)}."
        )
    arguments = config.discriminator.model_dump(exclude={"name"})
    return DISCRIMINATORS[config.discriminator.name](in_channels=in_channels, **arguments)
