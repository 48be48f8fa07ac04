"""What a run folder holds, read when a check first asks for it; what is missing is told with a reason."""

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from i2i import status
from i2i.algorithms import ALGORITHMS, Algorithm, resolve
from i2i.algorithms.base import Batch
from i2i.config import load_config
from i2i.config.settings import Config, by_direction
from i2i.data.folders import has_split
from i2i.data.sets import make_set, with_facts
from i2i.data.training_set import TrainingSet
from i2i.errors import DataError, UsageError
from i2i.files import read_json_lines
from i2i.images import Array, from_unit, read_image, to_channels
from i2i.models.modelfile import MODEL_NAME, load_generator, read_spec
from i2i.models.spec import ModelSpec, Part
from i2i.networks import Classifier, Encoder, Generator
from i2i.networks.layers import set_norm_statistics
from i2i.runtime.backends import torch_device
from i2i.runtime.maps import seeded_inputs
from i2i.training.checkpoint import State, load_newest
from i2i.training.run import norm_statistics
from i2i.words import show_count

PICTURES = 32
"""Pictures that go through the networks."""
SAMPLES = 256
"""Samples of a model from noise, and as many real pictures."""
NEIGHBOURS = 1000
"""Training pictures among which the nearest is looked for."""
LEAST_ROWS = 12
"""Rows of losses; fewer show no course."""
LEAST_SHEETS = 5
"""Pictures of one direction in samples/; likewise."""
LEAST_PICTURES = 3
"""Pictures of val, or of train; a number from so few says little."""


class NotMeasured(Exception):
    """Why a check has nothing to measure in this run."""


class Translations(NamedTuple):
    """Pictures of one direction as RGB, (N, H, W, 3) uint8 each.

    truths: of the inputs, None where the data is unpaired. targets: pictures of the side that the outputs belong to.
    """

    direction: str
    inputs: Array
    outputs: Array
    truths: Array | None
    targets: Array


class RunFiles:
    """The files of a run folder: settings, log, samples, checkpoint, and what the model file says of itself.

    Properties raise NotMeasured, and the I2IError of files that cannot be read.
    """

    def __init__(self, folder: Path):
        names = ("config.yaml", MODEL_NAME, "metrics.jsonl")
        if not any((folder / name).is_file() for name in names):
            raise UsageError(
                f"{folder} holds no run: none of {', '.join(names)}. Give a folder that `i2i train` wrote."
            )
        self.folder = folder

    @functools.cached_property
    def config(self) -> Config:
        """The settings of the run."""
        if not (self.folder / "config.yaml").is_file():
            raise NotMeasured("the run has no config.yaml")
        return resolve(load_config(self.folder / "config.yaml"))

    @functools.cached_property
    def rows(self) -> list[dict[str, Any]]:
        """The rows of metrics.jsonl."""
        return [row for row in read_json_lines(self.folder / "metrics.jsonl") if isinstance(row.get("images"), int)]

    @property
    def losses(self) -> list[dict[str, Any]]:
        """The rows of losses, LEAST_ROWS at least."""
        rows = [row for row in self.rows if row.get("split") == "train"]
        if len(rows) < LEAST_ROWS:
            raise NotMeasured(f"metrics.jsonl has {show_count(len(rows), 'row')} of losses; {LEAST_ROWS} show a course")
        return rows

    @property
    def sheets(self) -> dict[str, list[Array]]:
        """The pictures in samples/ by direction, oldest first, grey (H, W) uint8: LEAST_SHEETS or more of one size."""
        found: dict[str, list[Array]] = {}
        for path in sorted((self.folder / "samples").glob("*.png")):
            sheet = to_channels(read_image(path), 1)[:, :, 0]
            same = found.setdefault(path.name.split(".")[1], [])
            found[path.name.split(".")[1]] = [one for one in same if one.shape == sheet.shape] + [sheet]
        enough = {name: sheets for name, sheets in found.items() if len(sheets) >= LEAST_SHEETS}
        if not enough:
            most = max(map(len, found.values()), default=0)
            raise NotMeasured(f"samples/ has {show_count(most, 'picture')}; {LEAST_SHEETS} show a course")
        return enough

    @functools.cached_property
    def spec(self) -> ModelSpec:
        """The description of the model file."""
        if not (self.folder / MODEL_NAME).is_file():
            raise NotMeasured(f"the run has no {MODEL_NAME}")
        return read_spec(self.folder / MODEL_NAME)

    @functools.cached_property
    def state(self) -> State:
        """The newest checkpoint that can be read."""
        found, _ = load_newest(self.folder / "checkpoints")
        if found is None:
            raise NotMeasured("the run has no checkpoint")
        return found


class RunFacts(RunFiles):
    """A run folder and some of its data, prepared as in training.

    pictures: how many go through the networks at most. They are cropped as in training and neither mirrored nor
    recoloured; those of val are used where there is a val split, else those of train.
    """

    def __init__(self, folder: Path, pictures: int = PICTURES, device: str = "auto"):
        super().__init__(folder)
        self.pictures, self.device = pictures, torch_device(device)

    def network(self, part: str) -> Generator | Encoder | Classifier:
        """Return a network of the model file, on the device and ready for inference."""
        network = load_generator(self.folder / MODEL_NAME, self.spec, part)
        network.to(self.device)
        return network

    def run(
        self,
        network: Generator | Encoder | Classifier,
        values: Array,
        condition: Array | None = None,
        at_once: int = 8,
    ) -> Array:
        """Return what a network makes of values (N, ...); condition: (N, K), of one that takes labels."""
        every = [torch.from_numpy(one).split(at_once) for one in (values, condition) if one is not None]
        with torch.inference_mode():
            parts = zip(*every, strict=True)
            made = [network(*(one.to(self.device) for one in part)).float().cpu() for part in parts]
        joined: Array = torch.cat(made).numpy()
        return joined

    def inputs(self, part: str, data: TrainingSet | None = None) -> tuple[Array, Array | None]:
        """Return inputs of a network of the model file, and its condition if it takes one.

        Latents, or pictures of `data`, by default of val.
        """
        one = self.spec.parts[part]
        if one.kind == "generate":
            return seeded_inputs(one, range(SAMPLES)), None
        batch = self.batch(data or self.held_out or self.data)
        if one.kind in ("encode", "classify"):
            return batch["image"].numpy(), None
        x = by_direction(part, batch["a"], batch["b"])[0].numpy()
        return first_frames(x, one) if one.recurrent else x, self.condition(part, batch)

    def condition(self, direction: str, batch: Batch) -> Array | None:
        """Return the labels of a batch as the network of a direction takes them, (N, K); None if it takes none.

        Those of the pictures that it should make, as in training.
        """
        blocks = self.spec.parts[direction].blocks
        if not blocks:
            return None
        numbers = batch.get(f"label_{direction[-1].lower()}", batch.get("label"))
        if numbers is None or numbers.shape[1] != len(blocks):
            raise NotMeasured("the data does not have the labels of the model")
        columns = zip(blocks, numbers.T.numpy(), strict=True)
        return np.concatenate([np.eye(block.size, dtype=np.float32)[column] for block, column in columns], axis=1)

    @property
    def algorithm(self) -> Algorithm:
        """The algorithm as the checkpoint left it, made anew: checks may change it."""
        algorithm = ALGORITHMS[self.config.algorithm](with_facts(self.config, self.data))
        for name, network in algorithm.networks.items():
            set_norm_statistics(network, norm_statistics(self.config))
            network.load_state_dict(self.state["stepper"]["networks"][name])
            network.to(self.device)
        algorithm.begin(self.state["images"], self.state["total_images"])
        return algorithm

    @functools.cached_property
    def data(self) -> TrainingSet:
        """The training data."""
        return self._set("train")

    @functools.cached_property
    def held_out(self) -> TrainingSet | None:
        """The val split, if there is one that the run can use."""
        return self._val if isinstance(self._val, TrainingSet) else None

    @property
    def without_val(self) -> str:
        """Why there is no `held_out`."""
        return "the data has no val split" if self._val is None else f"val cannot be used: {self._val}"

    @functools.cached_property
    def _val(self) -> TrainingSet | str | None:
        """The val split; why it cannot be used, as without the labels of the run; None if there is none."""
        if not (self.config.data.path and has_split(self.config.data.path, "val")):
            return None
        try:
            return self._set("val")
        except DataError as error:
            return str(error).splitlines()[0].removesuffix(".")

    @property
    def what(self) -> str:
        """What goes through the networks, in words."""
        data = self.held_out or self.data
        if self.config.data.toy:
            return data.what
        return f"{show_count(min(self.pictures, data.epoch_images), 'picture')} of {data.split}"

    def batch(self, data: TrainingSet, count: int | None = None) -> Batch:
        """Return the first image numbers of a set, each item once, as a batch; count: by default `pictures`."""
        numbers = range(min(count or self.pictures, data.epoch_images))
        if len(numbers) < LEAST_PICTURES:
            raise NotMeasured(f"{show_count(len(numbers), 'picture')}, and {LEAST_PICTURES} are needed")
        return data.load(numbers).batch

    def translations(self) -> Iterator[Translations]:
        """Yield the translations of each direction of the model."""
        if not self.spec.generators:
            raise NotMeasured("the model makes pictures from noise")
        yield from self._translations

    @functools.cached_property
    def _translations(self) -> list[Translations]:
        batch = self.batch(self.held_out or self.data)
        found = []
        for direction, part in self.spec.generators.items():
            x, condition = self.inputs(direction)
            y = by_direction(direction, batch["a"], batch["b"])[1].numpy()[:, : part.out_channels]
            made = self.run(self.network(direction), x, condition)
            inputs, made, targets = map(as_rgb, (x[:, : part.in_channels], made, y))
            paired = ALGORITHMS[self.config.algorithm].data == "paired"
            found.append(Translations(direction, inputs, made, targets if paired else None, targets))
        return found

    @functools.cached_property
    def samples(self) -> Array:
        """Samples of a model from noise, (N, C, H, W) in [-1, 1], or points (N, 2)."""
        part = self.spec.latent_generator
        if part is None:
            raise NotMeasured("the model translates")
        name = next(name for name, one in self.spec.parts.items() if one == part)
        return self.run(self.network(name), *self.inputs(name), at_once=64)

    @functools.cached_property
    def reals(self) -> Array:
        """As many pictures or points of the training data."""
        return self.batch(self.data, SAMPLES)["image"].numpy()

    def _set(self, split: str) -> TrainingSet:
        """Return a split, prepared as in training but for what varies pictures."""
        plain = {"cache": "none", "augment": "auto", "flip": False, "colour_jitter": 0.0, "skip_broken": True}
        config = self.config.model_copy(update={"data": self.config.data.model_copy(update=plain)})
        with status.doing(f"Checking the pictures of {split}"):
            return make_set(ALGORITHMS[config.algorithm].data, config, split)


def first_frames(x: Array, part: Part) -> Array:
    """Return what a recurrent network gets for the first frame of each clip (N, frames C, H, W): nothing before it."""
    more = part.network_channels - part.in_channels
    return np.pad(x[:, : part.in_channels], ((0, 0), (0, more), (0, 0), (0, 0)))


def as_rgb(values: Array) -> Array:
    """Return images (N, C, H, W) in [-1, 1] as (N, H, W, 3) uint8, alpha on white."""
    return np.stack([to_channels(from_unit(one), 3) for one in values])
