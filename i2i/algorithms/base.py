"""The contract between an algorithm and the engine.

An algorithm owns named networks. It declares the kind of its data (`data`) and what trains when (`phases`);
it runs the generators on a batch (`forward`, once a step) and returns the loss terms (`losses`) and their
weights (`weights`). Only the engine calls backward, step and requires_grad.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, NamedTuple

from torch import Tensor, nn

from i2i.algorithms.adversary import Adversary
from i2i.algorithms.terms import ExtraTerms, TermsSettings
from i2i.config import parse
from i2i.config.derive import Mask
from i2i.config.networks import DiscriminatorSettings
from i2i.config.section import Section
from i2i.config.settings import Config, DataKind, by_direction
from i2i.data.seeds import HISTORY, derive_seed
from i2i.errors import ConfigError
from i2i.images import Channels
from i2i.models.spec import LatentBlock, Part, generating, translating
from i2i.networks import DISCRIMINATORS, GENERATORS, Discriminator, LatentGenerator, TranslatingGenerator
from i2i.networks.batches import group_size

Batch = Mapping[str, Tensor]
"""The input of one step, by name. Paired and unpaired data have "a" and "b", images have "image": each (N, C, H, W),
float in [-1, 1], or (N, 2) for toy data. Labelled data has "label", (N, label sets) class numbers in the order of
`data.classes`, and "text", (N, TEXT_BYTES) as i2i.data.labels encodes it; unpaired data has "label_a" and so on."""
Outputs = Mapping[str, Tensor]
"""What `forward` returns, by names that the algorithm chooses."""


class LongTurns(NamedTuple):
    """Turns of a phase that come after `steps` steps: its `first` ones, and from then on each `every`-th."""

    steps: int
    first: int
    every: int


class Phase(NamedTuple):
    """One update: its name, the networks it trains, and every how many steps it is due.

    role: of these networks; discriminators may have their own learning rate. optimizer: the phase whose
    optimizer, moments included, this one shares; by default it has its own. long: turns that take more steps.
    """

    name: str
    trains: tuple[str, ...]
    every_steps: int = 1
    role: Literal["generator", "discriminator"] = "generator"
    optimizer: str = ""
    long: LongTurns | None = None

    def is_due(self, step: int) -> bool:
        """Whether it takes its turn in a step, counted from 1."""
        if self.long is None:
            return step % self.every_steps == 0
        steps, first, every = self.long
        beginning = first * steps + (every - first) * self.every_steps  # of the turns before the `every`-th
        if step > beginning:
            step, first = (step - beginning - 1) % (steps + (every - 1) * self.every_steps) + 1, 1
        return (step % steps if step <= first * steps else (step - first * steps) % self.every_steps) == 0


class Algorithm(ABC):
    """One paper. Subclasses build `networks` and list their `phases` in __init__."""

    Settings: ClassVar[type[Section]]
    """The settings under `loss` in a config."""
    data: ClassVar[DataKind]
    """The kind of its training data: paired or unpaired images of two sides, or single images."""
    reads_labels: ClassVar[bool] = False
    """Whether its training data must have labels."""
    has_discriminator: ClassVar[bool] = True
    """Whether it reads the section `discriminator`."""
    recordable: ClassVar[bool] = False
    """Whether a step never waits for the device and draws nothing on the host, so that it can be a CUDA graph; the
    tests of devices show it on a GPU."""
    networks: dict[str, nn.Module]
    phases: tuple[Phase, ...]
    generators: dict[str, str]
    """The network for each direction of the model, or for "generate" if it makes images from noise."""
    adversaries: dict[str, Adversary]
    """One for each discriminator, by a short name."""
    terms: ExtraTerms
    """Further terms of the generators, none for algorithms without the setting `loss.terms`."""
    settings: Any
    """`config.loss`, parsed as Settings."""

    def __init__(self, config: Config):
        self.config = config
        self.settings = parse(self.Settings, config.loss, config.algorithm, "loss.")
        self.notes: list[str] = []  # for the user, on how the settings were understood
        self.images, self.total_images = 0, 0
        self.adversaries = {}
        terms = getattr(self.settings, "terms", TermsSettings())
        self.terms = ExtraTerms(terms, config, has_pairs=self.data == "paired")

    def begin(self, images: int, total_images: int) -> None:
        """Receive, before each step, how many images the training has seen and will see in total.

        Whatever changes during a training is a function of these, so that resuming stays exact.
        """
        self.images, self.total_images = images, total_images
        for adversary in self.adversaries.values():
            adversary.begin(images)

    def load_frozen(self) -> dict[str, nn.Module]:
        """Load and return the networks that terms compare features in; nothing trains or saves them.

        Raises ModelError for missing weights.
        """
        return self.terms.load()

    @abstractmethod
    def forward(self, batch: Batch) -> Outputs:
        """Run the generators once; the engine has enabled the gradients of the networks that train in this step."""

    @abstractmethod
    def losses(self, phase: str, batch: Batch, outputs: Outputs) -> dict[str, Tensor]:
        """Return the phase's terms, scalars by log name; the phase minimises their sum weighted by `weights`.

        Names begin with D or G. A term without a weight, as an accuracy, is only logged.
        """

    @abstractmethod
    def weights(self) -> dict[str, float]:
        """Return the current weight of each loss term; terms are logged without it."""

    def parts(self) -> dict[str, Part]:
        """Return the parts of the model file, by the names in `generators`."""
        return translating_parts(self)

    def reseed(self, rank: int) -> None:
        """Seed the random draws of this rank apart from those of the others.

        Draws from torch's global generator are seeded by the engine.
        """
        for index, adversary in enumerate(self.adversaries.values()):
            number = len(self.adversaries) * rank + index
            adversary.reseed(derive_seed(self.config.train.seed, HISTORY, number))

    def state_dict(self) -> dict[str, Any]:
        """Return what the next step depends on besides networks and optimizers, as tensors and numbers.

        Each rank has its own.
        """
        states = {name: adversary.state_dict() for name, adversary in self.adversaries.items()}
        return {name: state for name, state in states.items() if state}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        for name, adversary in self.adversaries.items():
            if name in state:
                adversary.load_state_dict(state[name])


def discriminator_phases(name: str, trains: Mapping[str, Adversary]) -> tuple[Phase, ...]:
    """Return the phase `name` of discriminators, and the phase "penalty" of a lazy penalty, which shares its optimizer.

    trains: the adversary of each discriminator, by the network's name.
    """
    main = Phase(name, tuple(trains), role="discriminator")
    lazy = [adversary.settings.penalty_every_steps for adversary in trains.values() if adversary.is_lazy]
    return (main, Phase("penalty", tuple(trains), lazy[0], "discriminator", optimizer=name)) if lazy else (main,)


def translating_parts(algorithm: Algorithm) -> dict[str, Part]:
    """Return the parts of an algorithm that translates, by direction."""
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
    """Return the part of a generator of images, or points, from latents of `blocks`."""
    arguments = latent_arguments(config, sum(block.size for block in blocks))
    channels, px = (2, 0) if config.data.toy else (config.data.channels, config.data.crop_px)
    return generating(config.generator.name, arguments, blocks, channels, px)


def side_channels(config: Config, direction: str) -> tuple[Channels, Channels]:
    """Return the channels of (input, output) for a direction."""
    return by_direction(direction, config.data.channels_a, config.data.channels_b)


def generator_arguments(config: Config, direction: str) -> dict[str, Any]:
    """Return the constructor arguments of a direction's generator."""
    inputs, outputs = side_channels(config, direction)
    fills = {"fills_holes": True} if isinstance(config.data.derive, Mask) else {}
    return {"in_channels": inputs, "out_channels": outputs, **config.generator.model_dump(exclude={"name"}), **fills}


def noise_size(config: Config) -> int:
    """Return the length of the generator's noise vector; raises ConfigError for a generator without one."""
    _refuse_other_kind(config, "generate")
    return int(config.generator.latent)  # type: ignore[union-attr]  # every latent generator has it


def latent_arguments(config: Config, latent: int) -> dict[str, Any]:
    """Return the constructor arguments of a generator from latents of length `latent`."""
    arguments = {**config.generator.model_dump(exclude={"name"}), "latent": latent}
    if config.data.toy:
        return {"out_channels": 2, **arguments}
    return {"out_channels": config.data.channels, "size": config.data.crop_px, **arguments}


def build_generator(config: Config, direction: str) -> TranslatingGenerator:
    """Build a direction's generator; raises ConfigError when it does not translate or does not fit the crop."""
    _refuse_other_kind(config, "translate")
    try:
        network = GENERATORS[config.generator.name](**generator_arguments(config, direction))
    except ValueError as error:
        raise ConfigError(f"generator.name is {config.generator.name}, but {error}.") from error
    assert isinstance(network, TranslatingGenerator)
    if reason := network.fits(config.data.crop_px):
        raise ConfigError(f"data.crop_px is {config.data.crop_px}, but {reason}.")
    return network


def build_latent_generator(config: Config, latent: int) -> LatentGenerator:
    """Build the generator from latents of length `latent`; raises ConfigError when it does not fit the data."""
    _refuse_other_kind(config, "generate")
    _refuse_mixing_points(config, "generator", config.generator.name)
    network = _build(config, GENERATORS[config.generator.name], latent_arguments(config, latent))
    assert isinstance(network, LatentGenerator)
    return network


def build_discriminator(config: Config, in_channels: int, condition: int = 0) -> Discriminator:
    """Build the discriminator that the config names; raises ConfigError when it does not fit the crop or data.

    condition: length of the condition vector that comes with each image; 0: none.
    """
    settings, crop = config.discriminator, config.data.crop_px
    assert settings is not None
    _refuse_small_batch(config, settings)
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
    """Raise ConfigError for a generator of another kind than the algorithm needs."""
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


def _refuse_small_batch(config: Config, settings: DiscriminatorSettings) -> None:
    batch, packing = config.train.batch, settings.packing
    if batch % packing:
        raise ConfigError(
            f"discriminator.packing is {packing}, and train.batch is {batch}. Set train.batch to a multiple of "
            f"{packing}, or discriminator.packing to 1."
        )
    if settings.minibatch_std and group_size(batch // packing) == 1:
        raise ConfigError(
            "discriminator.minibatch_std compares groups of 2 to 4 images, or packs of images, and there are none with "
            f"train.batch {batch} and discriminator.packing {packing}. Set train.batch to {4 * packing}, or "
            "discriminator.minibatch_std to false."
        )


def _build(config: Config, network: Any, arguments: dict[str, Any]) -> nn.Module:
    try:
        built: nn.Module = network(**arguments)
    except ValueError as error:  # a size that it does not support
        raise ConfigError(f"data.crop_px is {config.data.crop_px}, but {error}.") from error
    return built
