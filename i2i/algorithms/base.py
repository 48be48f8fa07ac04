"""The contract between an algorithm and the engine.

An algorithm owns named networks. It declares the kind of its data (`data`) and what trains when (`phases`);
it runs the generators on a batch (`forward`, once a step) and returns the loss terms (`losses`) and their
weights (`weights`). Only the engine calls backward, step and requires_grad.

What discriminators do is the same for all: a paper says what they are shown (`shown`), and the adversaries do the rest.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import partial, reduce
from operator import or_
from typing import Any, ClassVar, NamedTuple

from torch import Tensor, nn

from i2i.algorithms.adversary import Adversary
from i2i.algorithms.building import build_discriminator, generator_arguments
from i2i.algorithms.labels import LabelSets
from i2i.algorithms.phases import Phase
from i2i.algorithms.terms import ExtraTerms, TermsSettings
from i2i.config import parse
from i2i.config.section import Section, weight_at
from i2i.config.settings import Config, DataKind, by_direction
from i2i.data.seeds import HISTORY, derive_seed
from i2i.models.spec import Part, translating
from i2i.networks import TranslatingGenerator
from i2i.networks.parallel import run

Batch = Mapping[str, Tensor]
"""The input of one step, by name. Paired and unpaired data have "a" and "b", images have "image": each (N, C, H, W),
float in [-1, 1], or (N, 2) for toy data; of clips, C holds one frame after another. If there may be nodata pixels,
pairs and images have "valid", (N, 1, H, W), or (N, frames, H, W) of clips: 1 where all have data, else 0; unpaired data
has "valid_a" and "valid_b".
Labelled data has "label", (N, label sets) class numbers in the order of `data.classes`, and "text", (N, TEXT_BYTES) as
i2i.data.labels encodes it; unpaired data has "label_a" and so on."""
Outputs = Mapping[str, Tensor]
"""What `forward` returns, by names that the algorithm chooses."""


class Shown(NamedTuple):
    """What a discriminator compares: reals and fakes (N, C, H, W), and the condition of both (N, K) if it takes one."""

    real: Tensor
    fake: Tensor
    condition: Tensor | None = None


class Algorithm(ABC):
    """One paper. Subclasses build `networks` and list their `phases` in __init__."""

    Settings: ClassVar[type[Section]]
    """The settings under `loss` in a config."""
    data: ClassVar[DataKind]
    """The kind of its training data: paired or unpaired images of two sides, or single images."""
    of_clips: ClassVar[bool] = False
    """Whether an image number shows `data.clip_frames` frames in order, where others show a single picture."""
    reads_labels: ClassVar[bool] = False
    """Whether its training data may have labels."""
    needs_labels: ClassVar[bool] = False
    """Whether it must have them."""
    has_discriminator: ClassVar[bool] = True
    """Whether it reads the section `discriminator`."""
    leaves_out_nodata: ClassVar[bool] = False
    """Whether nodata pixels count in no loss; otherwise they count with the values that fill them."""
    recordable: ClassVar[bool] = False
    """Whether a step can be a CUDA graph: it never waits for the device and draws nothing on the host."""
    term_prefixes: ClassVar[Sequence[str]] = ("G_",)
    """What the names of the further terms begin with, one for each comparison."""
    halves: Sequence[tuple[str, ...]] = ()
    """How the terms' names begin in each of the parts that train at once on a CPU; see i2i.networks.parallel."""
    stage: int = 0
    """The stage of the training that `begin` has reached; where it changes, the optimizers start afresh."""
    networks: dict[str, nn.Module]
    phases: tuple[Phase, ...]
    generators: dict[str, str]
    """The network for each direction of the model, or for "generate" if it makes images from noise."""
    adversaries: dict[str, Adversary]
    """One for each discriminator, by a short name."""
    labels: LabelSets
    """The label sets of the data, as conditions of the networks."""
    terms: ExtraTerms
    """Further terms of the generators, where there is `loss.terms`."""
    settings: Any
    """`config.loss`, parsed as Settings."""

    def __init__(self, config: Config):
        self.config, self.direction = config, config.data.direction_of_pairs
        self.settings = parse(self.Settings, config.loss, config.algorithm, "loss.")
        self.notes: list[str] = []  # for the user, on how the settings were understood
        self.images, self.total_images, self.networks, self.adversaries = 0, 0, {}, {}
        self.labels = LabelSets(config, getattr(self.settings, "condition", ""))
        terms = getattr(self.settings, "terms", TermsSettings())
        self.terms = ExtraTerms(terms, config, has_pairs=self.data == "paired")

    def add_discriminator(
        self,
        name: str,
        channels: int,
        *,
        side: str = "",
        share: float = 1.0,
        stack: Sequence[int] = (),
        heads: Mapping[str, int] | None = None,
    ) -> None:
        """Build the discriminator `name` and its adversary, `side` or "D"; the rest: see it and build_discriminator."""
        planes, condition = (self.labels.seen_size, 0) if self.labels.are_planes else (0, self.labels.seen_size)
        self.networks[name] = build_discriminator(self.config, channels + planes, condition, heads)
        prefix = f"D_{side}" if side else "D"
        adversary = Adversary(self.networks, name, self.settings, prefix, share, stack, planes > 0)
        self.adversaries[side or "D"] = adversary
        self.notes += [note for note in adversary.notes if note not in self.notes]

    def discriminator_phases(self, name: str) -> tuple[Phase, ...]:
        """Return the phase `name` of all discriminators, and "penalty" of a lazy one, which shares the optimizer."""
        trains = tuple(one.name for one in self.adversaries.values())
        main = Phase(name, trains, role="discriminator")
        lazy = [one.settings.penalty_every_steps for one in self.adversaries.values() if one.is_lazy]
        return (main, Phase("penalty", trains, lazy[0], "discriminator", optimizer=name)) if lazy else (main,)

    def begin(self, images: int, total_images: int) -> None:
        """Receive, before each step, how many images the training has seen and will see in total.

        Whatever changes during a training is a function of these, so that resuming stays exact.
        """
        self.images, self.total_images = images, total_images
        for adversary in self.adversaries.values():
            adversary.begin(images)

    def batch_at(self, images: int) -> int:
        """Return how many images of a device go through the networks after `images`, train.batch at most."""
        return int(self.config.train.batch)

    def load_frozen(self) -> dict[str, nn.Module]:
        """Load and return the networks of terms, which nothing trains or saves; raises ModelError without weights."""
        return self.terms.load()

    @abstractmethod
    def forward(self, batch: Batch) -> Outputs:
        """Run the generators once; the engine has enabled the gradients of the networks that train in this step."""

    def shown(self, batch: Batch, outputs: Outputs) -> dict[str, Shown]:
        """Return what each discriminator is shown, by the names in `adversaries`; fakes keep their gradient."""
        return {}

    @abstractmethod
    def generator_losses(self, batch: Batch, outputs: Outputs) -> dict[str, Tensor]:
        """Return the generators' terms, scalars by log name; names begin with G."""

    @abstractmethod
    def generator_weights(self) -> dict[str, float]:
        """Return the current weights of the generators' terms, apart from those in `terms`."""

    def losses(self, phase: str, batch: Batch, outputs: Outputs) -> dict[str, Tensor]:
        """Return the phase's terms, scalars by log name; the phase minimises their sum weighted by `weights`.

        Names begin with D or G. A term without a weight, as an accuracy, is only logged.
        """
        fools = {one.name: one.role for one in self.phases}[phase] == "generator"
        terms = self.generator_losses(batch, outputs) if fools else {}
        turn = "repel" if fools else "penalise" if phase == "penalty" else "discriminate"
        turns = [partial(getattr(self.adversaries[k], turn), *one) for k, one in self.shown(batch, outputs).items()]
        return reduce(or_, run(turns, at_once=bool(self.halves)), terms)

    def weights(self) -> dict[str, float]:
        """Return the current weight of each loss term; terms are logged without it."""
        weights = self.generator_weights() | self.terms.weights(self.images, self.term_prefixes)
        for adversary in self.adversaries.values():
            weights |= adversary.weights(self.images)
        return weights

    def weight(self, name: str) -> float:
        """Return the current value of a weight in the settings."""
        return weight_at(getattr(self.settings, name), self.images)

    def sides(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the (inputs, targets) of a batch of two sides."""
        return by_direction(self.direction, batch["a"], batch["b"])

    def parts(self) -> dict[str, Part]:
        """Return the parts of the model file, by the names in `generators`."""
        return translating_parts(self)

    def reseed(self, rank: int) -> None:
        """Seed the draws of this rank apart from those of others; the engine seeds torch's global generator."""
        for index, adversary in enumerate(self.adversaries.values()):
            number = len(self.adversaries) * rank + index
            adversary.reseed(derive_seed(self.config.train.seed, HISTORY, number))

    def state_dict(self) -> dict[str, Any]:
        """Return what this rank's next step depends on besides networks and optimizers, as tensors and numbers."""
        return {name: state for name, adversary in self.adversaries.items() if (state := adversary.state_dict())}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        for name, adversary in self.adversaries.items():
            if name in state:
                adversary.load_state_dict(state[name])


def translating_parts(algorithm: Algorithm) -> dict[str, Part]:
    """Return the parts of an algorithm that translates, by direction."""
    parts: dict[str, Part] = {}
    for direction, name in algorithm.generators.items():
        network = algorithm.networks[name]
        assert isinstance(network, TranslatingGenerator)
        arguments = generator_arguments(algorithm.config, direction)
        channels = by_direction(direction, *algorithm.config.data.layouts)
        sizes = (network.size_multiple, network.size_minimum)
        blocks = algorithm.labels.blocks
        name = algorithm.config.generator.name
        parts[direction] = translating(name, arguments, *channels, *sizes, blocks, algorithm.of_clips)
    return parts
