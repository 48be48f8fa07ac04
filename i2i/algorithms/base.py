"""The contract between an algorithm and the engine.

An algorithm owns named networks and says what it learns from (`data`), what trains when (`phases`),
what the generators make of a batch (`forward`, once a step), what the losses are (`losses`) and what
they count (`weights`). The engine alone calls backward, step and requires_grad.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

from torch import Tensor, nn

from i2i.algorithms.adversary import Adversary
from i2i.config import parse
from i2i.config.derive import Mask
from i2i.config.section import Section
from i2i.config.settings import Config, DataKind, by_direction
from i2i.data.training_set import HISTORY, derive_seed
from i2i.errors import ConfigError
from i2i.images import Channels
from i2i.models.spec import LatentBlock, Part, generating, translating
from i2i.networks import DISCRIMINATORS, GENERATORS, Discriminator, LatentGenerator, TranslatingGenerator

Batch = Mapping[str, Tensor]
"""What one step sees, by name. Paired and unpaired data have "a" and "b", images have "image": each (N, C, H, W), float
in [-1, 1], or, of toy data, (N, 2). Labelled pictures have "label", (N, label sets) class numbers, in the order of
`data.classes`, and "text", (N, TEXT_BYTES) as i2i.data.labels encodes it; of unpaired data, "label_a" and so on."""
Outputs = Mapping[str, Tensor]
"""What `forward` made, by names of the algorithm's own."""


class Phase(NamedTuple):
    """One turn of an optimizer: its name, the networks it updates, and every how many steps it is due.

    judges: whether these are discriminators, which may have a learning rate of their own. optimizer: the phase
    whose optimizer, moments included, this one uses; by default its own.
    """

    name: str
    trains: tuple[str, ...]
    every_steps: int = 1
    judges: bool = False
    optimizer: str = ""


class Algorithm(ABC):
    """One paper. Subclasses build `networks` and list their `phases` in __init__."""

    Settings: ClassVar[type[Section]]
    """The settings under `loss` in a config."""
    data: ClassVar[DataKind]
    """What it learns from: paired or unpaired pictures of two sides, or images."""
    reads_labels: ClassVar[bool] = False
    """Whether it learns from labelled pictures."""
    has_discriminator: ClassVar[bool] = True
    """Whether it reads the section `discriminator`."""
    networks: dict[str, nn.Module]
    phases: tuple[Phase, ...]
    generators: dict[str, str]
    """The network of each direction the model will have, or of "generate" where it makes pictures from noise."""
    adversaries: dict[str, Adversary]
    """By a short name: one for each discriminator."""
    settings: Any
    """`config.loss`, parsed as Settings."""

    def __init__(self, config: Config):
        self.config = config
        self.settings = parse(self.Settings, config.loss, config.algorithm, "loss.")
        self.notes: list[str] = []  # what the user should know of how the settings were taken
        self.images, self.total_images = 0, 0
        self.adversaries = {}

    def begin(self, images: int, total_images: int) -> None:
        """Take note, before a step, of how many images training has seen and will see in all.

        Whatever moves in the course of a training is a function of these, so that resuming stays exact.
        """
        self.images, self.total_images = images, total_images

    @abstractmethod
    def forward(self, batch: Batch) -> Outputs:
        """Run the generators once; the engine has turned on the gradients of what trains in this step."""

    @abstractmethod
    def losses(self, phase: str, batch: Batch, outputs: Outputs) -> dict[str, Tensor]:
        """Return the phase's terms, scalars by their log names; it descends their sum under `weights`.

        Names begin with D or G. What has no weight, as an accuracy, is only logged.
        """

    @abstractmethod
    def weights(self) -> dict[str, float]:
        """Return what each loss term counts in its phase's sum now; terms are logged without it."""

    def parts(self) -> dict[str, Part]:
        """Return what the model file will hold, by the names in `generators`."""
        return translating_parts(self)

    def draw_as(self, rank: int) -> None:
        """Draw from now on as process number `rank` of several, apart from the others.

        What draws from torch alone is seen to by the engine.
        """
        for index, adversary in enumerate(self.adversaries.values()):
            number = len(self.adversaries) * rank + index
            adversary.draw_as(derive_seed(self.config.train.seed, HISTORY, number))

    def state_dict(self) -> dict[str, Any]:
        """Return what the next step depends on besides networks and optimizers, as tensors and numbers.

        With several processes, each has its own.
        """
        states = {name: adversary.state_dict() for name, adversary in self.adversaries.items()}
        return {name: state for name, state in states.items() if state}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up where `state_dict` left off."""
        for name, adversary in self.adversaries.items():
            if name in state:
                adversary.load_state_dict(state[name])


def discriminator_phases(name: str, trains: Mapping[str, Adversary]) -> tuple[Phase, ...]:
    """Return the phase `name` of discriminators, and the phase "penalty" of a lazy penalty, which shares its optimizer.

    trains: the adversary of each discriminator, by the network's name.
    """
    main = Phase(name, tuple(trains), judges=True)
    lazy = [adversary.settings.penalty_every_steps for adversary in trains.values() if adversary.is_lazy]
    return (main, Phase("penalty", tuple(trains), lazy[0], judges=True, optimizer=name)) if lazy else (main,)


def translating_parts(algorithm: Algorithm) -> dict[str, Part]:
    """Describe the generators of an algorithm that translates, by direction."""
    parts: dict[str, Part] = {}
    for direction, name in algorithm.generators.items():
        network = algorithm.networks[name]
        assert isinstance(network, TranslatingGenerator)
        arguments = generator_arguments(algorithm.config, direction)
        channels = side_channels(algorithm.config, direction)
        sizes = (network.size_multiple, network.size_minimum)
        parts[direction] = translating(algorithm.config.generator.name, arguments, *channels, *sizes)
    return parts


def generating_part(config: Config, blocks: Sequence[LatentBlock]) -> Part:
    """Describe a generator that makes pictures, or points, from latents of `blocks`."""
    arguments = latent_arguments(config, sum(block.size for block in blocks))
    channels, px = (2, 0) if config.data.toy else (config.data.channels, config.data.crop_px)
    return generating(config.generator.name, arguments, blocks, channels, px)


def side_channels(config: Config, direction: str) -> tuple[Channels, Channels]:
    """Return the channels of (input, output) for a direction."""
    return by_direction(direction, config.data.channels_a, config.data.channels_b)


def generator_arguments(config: Config, direction: str) -> dict[str, Any]:
    """Return the constructor arguments of the generator of a direction."""
    inputs, outputs = side_channels(config, direction)
    fills = {"fills_holes": True} if isinstance(config.data.derive, Mask) else {}
    return {"in_channels": inputs, "out_channels": outputs, **config.generator.model_dump(exclude={"name"}), **fills}


def noise_size(config: Config) -> int:
    """Return the length of the noise that the generator of the config takes; raises ConfigError where it takes none."""
    _refuse_other_kind(config, "generate")
    return int(config.generator.latent)  # type: ignore[union-attr]  # all that generate have it


def latent_arguments(config: Config, latent: int) -> dict[str, Any]:
    """Return the constructor arguments of a generator from latents of so many numbers."""
    arguments = {**config.generator.model_dump(exclude={"name"}), "latent": latent}
    if config.data.toy:
        return {"out_channels": 2, **arguments}
    return {"out_channels": config.data.channels, "size": config.data.crop_px, **arguments}


def build_generator(config: Config, direction: str) -> TranslatingGenerator:
    """Make the generator of a direction; raises ConfigError when it does not translate or the crop does not fit it."""
    _refuse_other_kind(config, "translate")
    network = GENERATORS[config.generator.name](**generator_arguments(config, direction))
    assert isinstance(network, TranslatingGenerator)
    if reason := network.fits(config.data.crop_px):
        raise ConfigError(f"data.crop_px is {config.data.crop_px}, but {reason}.")
    return network


def build_latent_generator(config: Config, latent: int) -> LatentGenerator:
    """Make the generator from latents of so many numbers; raises ConfigError when it does not fit the data."""
    _refuse_other_kind(config, "generate")
    _refuse_mixing_points(config, "generator", config.generator.name)
    network = _build(config, GENERATORS[config.generator.name], latent_arguments(config, latent))
    assert isinstance(network, LatentGenerator)
    return network


def build_discriminator(config: Config, in_channels: int, condition: int = 0) -> Discriminator:
    """Make the discriminator that the config names; raises ConfigError when it does not fit crop or data.

    condition: length of the vector that it is told with each picture, if any.
    """
    settings, crop = config.discriminator, config.data.crop_px
    assert settings is not None
    _refuse_mixing_points(config, "discriminator", settings.name)
    arguments: dict[str, Any] = {"in_channels": in_channels, **settings.model_dump(exclude={"name"})}
    arguments["condition"] = condition
    if settings.name == "dcgan":
        arguments["size"] = crop
    network = _build(config, DISCRIMINATORS[settings.name], arguments)
    assert isinstance(network, Discriminator)
    if not config.data.toy and (reason := network.fits(crop)):
        raise ConfigError(f"data.crop_px is {crop}, but {reason}.")
    return network


def _refuse_other_kind(config: Config, kind: str) -> None:
    """Raise ConfigError for a generator that does not do what the algorithm does."""
    words = {"translate": "translates pictures", "generate": "makes pictures from noise"}
    fitting = [name for name, network in GENERATORS.items() if getattr(network, "kind", None) == kind]
    if config.generator.name not in fitting:
        other = next(word for one, word in words.items() if one != kind)
        raise ConfigError(
            f"generator.name is {config.generator.name}, which {other}; {config.algorithm} {words[kind]}. "
            f"Use {' or '.join(fitting)}."
        )


def _refuse_mixing_points(config: Config, role: str, name: str) -> None:
    if (name == "mlp") != (config.data.toy is not None):
        toy = f"the points of data.toy {config.data.toy} need mlp" if config.data.toy else "mlp is for data.toy alone"
        raise ConfigError(f"{role}.name is {name}, but {toy}.")


def _build(config: Config, network: Any, arguments: dict[str, Any]) -> nn.Module:
    try:
        built: nn.Module = network(**arguments)
    except ValueError as error:  # a size that it is not made for
        raise ConfigError(f"data.crop_px is {config.data.crop_px}, but {error}.") from error
    return built
