"""A run is a folder: config.yaml, checkpoints/, model.safetensors, metrics.jsonl, samples/, report.html."""

import contextlib
import functools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from i2i import status
from i2i.algorithms import ALGORITHMS, Algorithm, resolve
from i2i.config import differences, load_config, parse, to_yaml
from i2i.config.settings import Config
from i2i.data.derive import Derived
from i2i.data.folders import Pair
from i2i.data.labels import FOLDERS
from i2i.data.previews import find_previews, find_val_pairs
from i2i.data.sets import make_set, with_facts
from i2i.data.watch import watched
from i2i.errors import ConfigError, DiskFullError, ModelError
from i2i.files import DISK_FULL, free_bytes, show_size, sweep_temporaries, write_text
from i2i.images import Array
from i2i.models.modelfile import MODEL_NAME, read_spec, save_model
from i2i.models.spec import Derivation, ModelSpec, Part
from i2i.networks.layers import NormStatistics
from i2i.training.checkpoint import (
    DAMAGED,
    State,
    checkpoint_bytes,
    list_checkpoints,
    load_newest,
    prune_checkpoints,
    save_checkpoint,
    tensor_bytes,
)
from i2i.training.log import tell
from i2i.training.optim import resolve_schedule
from i2i.training.tensorboard import refuse_missing_tensorboard
from i2i.version import __version__
from i2i.words import show_count

# Settings that a resumed run may change. What matters of data.path is checked by itself.
FREE_ON_RESUME = (
    "train.device",
    "train.devices",
    "train.nodes",
    "train.precision",
    "train.init_from",
    "train.tf32",
    "train.channels_last",
    "train.compile",
    "train.activation_checkpointing",
    "train.keep",
    "data.workers",
    "data.cache",
    "data.timeout_s",
    "data.full_check",
    "data.skip_broken",
    "data.path",
    "log.",
    "alarms.",
)

SAMPLES = 256
"""How many fakes, and reals, the diversity of samples is measured on."""


class Run:
    """The folder of one training and the data it trains on, checked."""

    def __init__(self, config: Config, folder: Path):
        """Find and check data; nothing is written yet. Raises ConfigError and DataError."""
        self.folder = folder
        self.config = config = _absolute(resolve(config))
        self.kind = ALGORITHMS[config.algorithm].data
        self.data = make_set(self.kind, config)
        self.config = config = with_facts(config, self.data)
        directions, left_out = () if self.kind == "images" else ("A2B", "B2A"), list[str]()
        self.previews = {
            direction: find_previews(config.data, self.kind, direction, config.log.sample_count, left_out)
            for direction in directions
        }
        self.data.notes += [note for note in dict.fromkeys(left_out) if note not in self.data.notes]
        self.schedule = resolve_schedule(config.schedule, self.data.epoch_images)
        self.norm_statistics = norm_statistics(config)
        self.damaged: list[Path] = []  # checkpoints that were passed over
        self.scores: dict[str, float] = {}  # of the newest previews; the model file carries them
        self.best: dict[str, float] | None = None  # of train.keep best: images seen and val L1 of the model file
        self.val_pairs: list[Pair | Derived] = []  # that train.keep best is decided on
        if config.train.keep == "best":
            self._refuse_without_val_pairs()
            self.val_pairs = find_val_pairs(config.data)
        if config.log.tensorboard:
            refuse_missing_tensorboard()

    @property
    def model(self) -> Path:
        """The model file."""
        return self.folder / MODEL_NAME

    @property
    def settings_file(self) -> Path:
        """The resolved settings."""
        return self.folder / "config.yaml"

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
        tensors = (self.data[number]["image"] for number in range(min(SAMPLES, self.data.epoch_images)))
        return np.stack([(one[..., :crop, :crop] if one.dim() == 3 else one).numpy() for one in tensors])

    def find_state(self, resume: bool, allow_config_change: bool) -> State | None:
        """Return the newest state of the run in the folder, None to start anew; nothing is written.

        Says which damaged checkpoints are passed over, and what changed that may change. Raises ConfigError
        for other changes, unless they are allowed, and ModelError when every checkpoint is damaged.
        """
        if not self.settings_file.exists():
            if resume:
                tell(f"{self.folder} holds no run yet: starting one.")
            return None
        with status.doing("Reading the newest checkpoint"):
            state, self.damaged = load_newest(self.checkpoints)
        if not state:
            tell(f"{self.folder} holds no checkpoint yet: starting at the first image.")
        if self.damaged and state:
            newest, names = self.damaged[0], ", ".join(path.name for path in self.damaged)
            tell(
                f"Warning: {names} in {self.checkpoints} cannot be read back; going on after "
                f"{show_count(state['images'], 'image')}, {int(newest.stem) - state['images']:,} before it."
            )
        # A run that was killed before its first checkpoint has its settings only in the file.
        before = state["config"] if state else load_config(self.settings_file).model_dump(mode="json")
        self._refuse_changes(self._changes(_completed(before), state), allow_config_change)
        if state:
            self.scores = state["scores"]
            self.best = state["best"] if self.config.train.keep == "best" else None
        if self.best and not self.holds_model_of(self.best["images"]):
            tell(f"{self.model} is not that of the best val score any more; the next one decides anew.")
            self.best = None
        return state

    def begin(self) -> None:
        """Make the folder or take up the one that is there: sweep what a killed process left, write the settings."""
        sweep_temporaries(self.folder)
        for path in self.damaged:
            path.replace(path.with_suffix(DAMAGED))
        self.checkpoints.mkdir(parents=True, exist_ok=True)  # before there is anything to lose should that fail
        write_text(self.settings_file, to_yaml(self.config))

    def require_space(self, algorithm: Algorithm, stepper: State) -> None:
        """Raise DiskFullError unless there is room for the checkpoints to keep, a new one, and the model twice.

        Sweeps first what a killed process left.
        """
        sweep_temporaries(self.folder)
        count, size = self.config.log.keep_checkpoints + 1, checkpoint_bytes(stepper)
        model = tensor_bytes([stepper["networks"][name] for name in algorithm.generators.values()])
        kept = [path for path in list_checkpoints(self.checkpoints) if path not in self.damaged]
        there = sum(path.stat().st_size for path in (*kept, self.model) if path.exists())
        needed, free = count * size + 2 * model - there, free_bytes(self.folder)
        if free < needed:
            raise DiskFullError(
                f"The disk of {self.folder} has {show_size(free)} free, but about {show_size(needed)} will be needed: "
                f"{count} checkpoints of {show_size(size)}, the newest among them before the oldest goes, and the "
                "model.\nMake room, give --out on another disk, or lower log.keep_checkpoints (2 at least)."
            )

    def _changes(self, before: dict[str, Any], state: State | None) -> Iterator[tuple[str, bool]]:
        """Yield what is not as it was, in words, and whether it may change without more ado."""
        longer = state is None or self.schedule.total_images > state["total_images"]
        same_schedule = state and tuple(self.schedule[:2]) == (state["total_images"], state["decay_images"])
        for name, old, new in differences(before, self.config.model_dump(mode="json")):
            free = name.startswith(FREE_ON_RESUME) or (name.startswith("schedule.") and (longer or same_schedule))
            yield f"{name} was {old!r}, now {new!r}", bool(free)
        if state and state["data"] != self.data.digest:
            yield f"{', '.join(self.config.data.path)} does not hold the {state['what']} it was trained on", False
        if state and self.schedule.total_images < state["total_images"]:
            end = show_count(self.schedule.total_images, "image")
            yield f"the schedule ends after {end}, before {state['total_images']:,}", False

    def _refuse_changes(self, changes: Iterable[tuple[str, bool]], allow: bool) -> None:
        changes = list(changes)
        refused = [text for text, free in changes if not (free or allow)]
        if refused:
            raise ConfigError(
                f"{self.folder} was trained differently: {'; '.join(refused)}.\n"
                "Resume as before, give another folder with --out, or add --allow-config-change; the result is then "
                "neither that of the old settings nor that of the new."
            )
        if changes:
            tell(f"Changed on resuming: {'; '.join(text for text, _ in changes)}.")

    def spec(self, algorithm: Algorithm, images: int) -> ModelSpec:
        """Describe the model as it is after `images`."""
        derive = self.config.data.derive
        return ModelSpec(
            i2i_version=__version__,
            algorithm=self.config.algorithm,
            parts=self._parts(algorithm),
            input_range=self.config.data.input_range,
            norm_statistics=self.norm_statistics,
            trained_crop_px=0 if self.config.data.toy else self.config.data.crop_px,
            trained_side_px=self.data.side_px,
            images_seen=images,
            metrics=self.scores,
            derivation=Derivation(settings=derive, side=self.config.data.side) if derive else None,
        )

    def _parts(self, algorithm: Algorithm) -> dict[str, Part]:
        """Return what an algorithm says of its networks, and what became of the inputs' alpha."""
        inputs = dict(zip(("A2B", "B2A"), self.data.transparent, strict=False))
        parts = algorithm.parts()
        for name, part in parts.items():
            if part.kind == "translate":
                consumed = inputs[name] or 4 in (part.in_channels, part.out_channels)
                parts[name] = part.model_copy(update={"alpha": "consumed" if consumed else "kept"})
        return parts

    def save(self, algorithm: Algorithm, modules: dict[str, nn.Module], state: State) -> None:
        """Write a checkpoint with `state`, and the model as it is, unless the best so far is kept."""
        head: dict[str, Any] = {
            "i2i_version": __version__,
            "config": self.config.model_dump(mode="json"),
            "scores": self.scores,
            "best": self.best,
            "norm_statistics": self.norm_statistics,
            "data": self.data.digest,
            "what": self.data.what,
            "total_images": self.schedule.total_images,
            "decay_images": self.schedule.decay_images,
        }
        with self._telling_of_a_full_disk(state["images"]):
            save_checkpoint(self.checkpoints, state["images"], head | state)
            if self.best is None:
                self.save_model(algorithm, modules, state["images"])
        prune_checkpoints(self.checkpoints, self.config.log.keep_checkpoints)

    def save_if_best(
        self, algorithm: Algorithm, modules: dict[str, nn.Module], images: int, scores: dict[str, float]
    ) -> None:
        """Write the model where no scores of val had a lower L1, the mean over its directions."""
        l1 = float(np.mean(list(scores.values())))
        if self.best is None or l1 < self.best["L1"]:
            with self._telling_of_a_full_disk(images):
                self.save_model(algorithm, modules, images)
            self.best = {"images": images, "L1": l1}

    def _refuse_without_val_pairs(self) -> None:
        if not self.previews or any(one.split != "val" or not one.truths for one in self.previews.values()):
            raise ConfigError(
                f"train.keep is best, which is the lowest L1 on the pairs of a val split, and "
                f"{', '.join(self.config.data.path) or 'data.toy'} has none.\n"
                "Add one (val/, or valA/ and valB/, with matching names), or set train.keep to latest."
            )

    @contextlib.contextmanager
    def _telling_of_a_full_disk(self, images: int) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno in DISK_FULL:
                raise DiskFullError(self._disk_is_full(images, error)) from error
            raise

    def _disk_is_full(self, images: int, error: OSError) -> str:
        saved = [int(path.stem) for path in list_checkpoints(self.checkpoints)]
        return (
            f"The disk of {self.folder} is full ({error.strerror}; {show_size(free_bytes(self.folder))} free): the run "
            f"could not be saved after {show_count(images, 'image')}.\n"
            f"{f'Its newest checkpoint, after {saved[-1]}, is whole. ' if saved else ''}Make room, then go on with "
            "--resume."
        )

    def holds_model_of(self, images: float) -> bool:
        """Whether the model file is that of `images` seen: a kill between checkpoint and model leaves an older one."""
        try:
            return read_spec(self.model).images_seen == images
        except ModelError:
            return False

    def save_model(self, algorithm: Algorithm, modules: dict[str, nn.Module], images: int) -> None:
        """Write the model file."""
        generators: dict[str, nn.Module] = {
            direction: modules[name] for direction, name in algorithm.generators.items()
        }
        save_model(self.model, self.spec(algorithm, images), generators)


def _completed(settings: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of an older run with those that came later at their defaults, which change nothing."""
    try:
        return resolve(parse(Config, settings, "the run")).model_dump(mode="json")
    except ConfigError:  # of another algorithm's, or too old: to be compared as they are
        return settings


def _absolute(config: Config) -> Config:
    """Make paths absolute, so that the run can be exported, and resumed, from any folder."""
    paths = watched(lambda path: str(Path(path).resolve()), config.data.path, config.data.timeout_s)
    labels = config.data.labels
    if labels and labels != FOLDERS:
        labels = str(Path(labels).resolve())
    data = config.data.model_copy(update={"path": tuple(paths), "labels": labels})
    source = config.train.init_from
    train = config.train.model_copy(update={"init_from": source and str(Path(source).resolve())})
    return config.model_copy(update={"data": data, "train": train})


def norm_statistics(config: Config) -> NormStatistics:
    """Resolve `train.norm_statistics`: the picture's own at inference where training normalised pictures singly."""
    if config.train.norm_statistics != "auto":
        return config.train.norm_statistics
    sharing = config.train.devices * config.train.nodes if config.train.sync_batch_norm else 1
    return "image" if config.train.batch * sharing == 1 else "running"
