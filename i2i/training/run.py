"""A run is a folder: config.yaml, checkpoints/, model.safetensors, metrics.jsonl, samples/, report.html."""

import functools
import sys
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

import i2i
from i2i.algorithms import ALGORITHMS, Algorithm, resolve
from i2i.config import differences, load_config, to_yaml
from i2i.data.previews import find_previews
from i2i.data.sets import make_set
from i2i.errors import ConfigError, UsageError
from i2i.files import sweep_temporaries, write_text
from i2i.images import Array
from i2i.modelfile import MODEL_NAME, save_model
from i2i.networks.layers import NormStatistics
from i2i.settings import Config
from i2i.spec import ModelSpec
from i2i.training.checkpoint import State, list_checkpoints, load_checkpoint, prune_checkpoints, save_checkpoint
from i2i.training.optim import resolve_schedule

# Settings that a resumed run may change. What matters of data.path and schedule is checked by itself.
FREE_ON_RESUME = (
    "train.device",
    "train.precision",
    "train.init_from",
    "data.workers",
    "data.path",
    "log.",
    "alarms.",
    "schedule.",
)

SAMPLES = 256
"""How many fakes, and reals, the diversity of samples is measured on."""


class Run:
    """The folder of one training and the data it trains on, checked."""

    def __init__(self, config: Config, folder: Path):
        """Find and check data; nothing is written yet. Raises ConfigError, DataError and UsageError."""
        self.folder = folder
        self.config = config = _absolute(resolve(config))
        self.kind = ALGORITHMS[config.algorithm].data
        self.data = make_set(self.kind, config)
        directions = () if self.kind == "images" else ("A2B", "B2A")
        self.previews = {
            direction: find_previews(config.data, self.kind, direction, config.log.sample_count)
            for direction in directions
        }
        self.schedule = resolve_schedule(config.schedule, self.data.epoch_images)
        self.norm_statistics = norm_statistics(config)
        self.scores: dict[str, float] = {}  # of the newest previews; the model file carries them

    @property
    def model(self) -> Path:
        """The model file."""
        return self.folder / MODEL_NAME

    @property
    def checkpoints(self) -> Path:
        """The folder of checkpoints."""
        return self.folder / "checkpoints"

    @property
    def sample_split(self) -> str:
        """The split that the figures of samples are logged under."""
        return f"{self.previews['A2B'].split} previews" if self.previews else "samples"

    @functools.cached_property
    def real_samples(self) -> Array:
        """Some pictures or points of the training data, as the networks see them: (N, C, H, W) or (N, 2)."""
        crop = self.config.data.crop_px  # kornia would cut to it later
        tensors = (self.data[number][0] for number in range(min(SAMPLES, self.data.epoch_images)))
        return np.stack([(one[..., :crop, :crop] if one.dim() == 3 else one).numpy() for one in tensors])

    def prepare(self, resume: bool) -> State | None:
        """Make the folder, or take up the one that is there; return the state to resume from, if any.

        Raises UsageError for a folder in use or of something else, ConfigError for changed settings or
        data, ModelError for a damaged checkpoint.
        """
        used = self.folder.exists() and (not self.folder.is_dir() or any(self.folder.iterdir()))
        if used and not resume:
            raise UsageError(
                f"{self.folder} is not empty.\n"
                "Add --resume to go on with the run in it, or give another folder with --out."
            )
        settings = self.folder / "config.yaml"
        if used and not settings.is_file():
            raise UsageError(f"{self.folder} holds no run to resume. Give another folder with --out.")
        checkpoints = list_checkpoints(self.checkpoints)
        state = load_checkpoint(checkpoints[-1]) if checkpoints else None
        if used:  # a run that was killed before its first checkpoint has its settings only in the file
            self._refuse_changes(state["config"] if state else load_config(settings).model_dump(mode="json"))
        if state:
            self._refuse_other_data(state)
            self.scores = state["scores"]
        sweep_temporaries(self.folder)
        write_text(settings, to_yaml(self.config))
        return state

    def _refuse_changes(self, before: dict[str, Any]) -> None:
        changes = [
            (name, f"{name} was {old!r}, now {new!r}")
            for name, old, new in differences(before, self.config.model_dump(mode="json"))
        ]
        refused = [text for name, text in changes if not name.startswith(FREE_ON_RESUME)]
        if refused:
            raise ConfigError(
                f"{self.folder} was trained with other settings: {'; '.join(refused)}.\n"
                "Resume with the settings it had, or train into another folder with --out."
            )
        if changes:
            print(f"Changed on resuming: {'; '.join(text for _, text in changes)}.", file=sys.stderr)

    def _refuse_other_data(self, state: State) -> None:
        if state["data"] != self.data.digest:
            raise ConfigError(
                f"{', '.join(self.config.data.path)} does not hold the {state['what']} that {self.folder} was "
                "trained on.\nBring them back, or train into another folder with --out."
            )
        if self.schedule.total_images < state["total_images"]:
            raise ConfigError(
                f"The schedule ends at {self.schedule.total_images} images, but {self.folder} was planned for "
                f"{state['total_images']}. It may only become longer."
            )

    def spec(self, algorithm: Algorithm, images: int) -> ModelSpec:
        """Describe the model as it is after `images`."""
        return ModelSpec(
            i2i_version=i2i.__version__,
            algorithm=self.config.algorithm,
            **algorithm.describe(),
            norm_statistics=self.norm_statistics,
            trained_crop_px=0 if self.config.data.toy else self.config.data.crop_px,
            trained_side_px=self.data.side_px,
            images_seen=images,
            metrics=self.scores,
        )

    def save(self, algorithm: Algorithm, modules: dict[str, nn.Module], images: int, state: State) -> None:
        """Write a checkpoint with `state`, and the model as it is."""
        head: dict[str, Any] = {
            "images": images,
            "i2i_version": i2i.__version__,
            "config": self.config.model_dump(mode="json"),
            "scores": self.scores,
            "data": self.data.digest,
            "what": self.data.what,
            "total_images": self.schedule.total_images,
        }
        save_checkpoint(self.checkpoints, images, head | state)
        self.save_model(algorithm, modules, images)
        prune_checkpoints(self.checkpoints, self.config.log.keep_checkpoints)

    def save_model(self, algorithm: Algorithm, modules: dict[str, nn.Module], images: int) -> None:
        """Write the model file."""
        generators: dict[str, nn.Module] = {
            direction: modules[name] for direction, name in algorithm.generators.items()
        }
        save_model(self.model, self.spec(algorithm, images), generators)


def _absolute(config: Config) -> Config:
    """Make paths absolute, so that the run can be exported, and resumed, from any folder."""
    data = config.data.model_copy(update={"path": tuple(str(Path(path).resolve()) for path in config.data.path)})
    source = config.train.init_from
    train = config.train.model_copy(update={"init_from": source and str(Path(source).resolve())})
    return config.model_copy(update={"data": data, "train": train})


def norm_statistics(config: Config) -> NormStatistics:
    """Resolve `train.norm_statistics`: the picture's own at inference where training normalised pictures singly."""
    if config.train.norm_statistics != "auto":
        return config.train.norm_statistics
    return "image" if config.train.batch == 1 else "running"
