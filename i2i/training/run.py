"""A run is a folder: config.yaml, run.json, checkpoints/, model.safetensors, metrics.jsonl, samples/, report.html.

config.yaml names a JSON schema, which lies beside it for editors.
"""

import contextlib
import functools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from i2i.algorithms import ALGORITHMS, Algorithm, resolve
from i2i.algorithms.describing import settings_schema
from i2i.algorithms.terms import refuse_missing_weights
from i2i.config import to_yaml
from i2i.config.settings import Config
from i2i.config.yamlfile import SCHEMA_NAME
from i2i.data.labels import FOLDERS
from i2i.data.previews import find_previews
from i2i.data.sets import make_set, with_facts
from i2i.data.training_set import TrainingSet
from i2i.data.watch import watched
from i2i.errors import DiskFullError, ModelError
from i2i.files import DISK_FULL, free_bytes, show_size, sweep_temporaries, write_json, write_text
from i2i.images import Array
from i2i.images.remote import is_url
from i2i.models.modelfile import MODEL_NAME, read_spec, save_model
from i2i.models.spec import Derivation, ModelSpec, Part
from i2i.networks.layers import NormStatistics
from i2i.training.best import Best, Decision, ValScore, choose
from i2i.training.callbacks import Listener
from i2i.training.checkpoint import (
    DAMAGED,
    State,
    checkpoint_bytes,
    list_checkpoints,
    prune_checkpoints,
    save_checkpoint,
    tensor_bytes,
)
from i2i.training.loggers import refuse_missing_loggers
from i2i.training.optim import resolve_schedule
from i2i.training.scoring import find_scorer
from i2i.version import __version__
from i2i.words import show_count

SAMPLES = 256
"""How many generated and how many real images the diversity of samples is measured on."""


class Run:
    """The folder of one training, and its data, found and checked."""

    def __init__(self, config: Config, folder: Path):
        """Find and check the data; nothing is written yet. Raises ConfigError and DataError."""
        self.folder = folder
        self.config = config = _absolute(resolve(config))
        self.kind = ALGORITHMS[config.algorithm].data
        self.data = make_set(self.kind, config)
        self.config = config = with_facts(config, self.data)
        self.data.notes += _filling_note(self.data, config.algorithm)
        directions, left_out = () if self.kind == "images" else ("A2B", "B2A"), list[str]()
        self.previews = {
            direction: find_previews(config.data, self.kind, direction, config.log.sample_count, left_out)
            for direction in directions
        }
        self.data.notes += [note for note in dict.fromkeys(left_out) if note not in self.data.notes]
        self.schedule = resolve_schedule(config.schedule, self.data.epoch_images)
        self.norm_statistics = norm_statistics(config)
        self.callbacks: tuple[Listener, ...] = ()
        self.damaged: list[Path] = []  # checkpoints that were passed over
        self.scores: dict[str, float] = {}  # of the newest validation, for the model file
        keeps_best = config.train.keep == "best"
        self.scorer = find_scorer(config, self.kind, self.previews) if keeps_best else None
        self.best: Best | None = None  # with train.keep best, on rank 0
        refuse_missing_weights(config.loss)
        refuse_missing_loggers(config.log.loggers)

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
    def candidate(self) -> Path:
        """The best model, until the checkpoint that knows it is written: a run that is killed between resumes."""
        return self.checkpoints / "best.safetensors"

    @property
    def sample_split(self) -> str:
        """The split that the scores of samples are logged under."""
        return f"{self.previews['A2B'].split} previews" if self.previews else "samples"

    @functools.cached_property
    def real_samples(self) -> Array:
        """Some images or points of the training data, as the networks see them: (N, C, H, W) or (N, 2)."""
        crop = self.config.data.crop_px  # to which kornia would crop later
        # A picture that is the only one shows a crop each time.
        count = SAMPLES if self.data.epoch_images == 1 else min(SAMPLES, self.data.epoch_images)
        tensors = (self.data[number]["image"] for number in range(count))
        return np.stack([(one[..., :crop, :crop] if one.dim() == 3 else one).numpy() for one in tensors])

    def begin(self) -> None:
        """Make the folder, or reuse it: remove what a killed process left, and write the settings."""
        sweep_temporaries(self.folder)
        for path in self.damaged:
            path.replace(path.with_suffix(DAMAGED))
        self.checkpoints.mkdir(parents=True, exist_ok=True)  # first, so that nothing is lost if that fails
        if self.best and not holds_model_of(self.model, self.best.images):
            self._publish_best()
        self.candidate.unlink(missing_ok=True)  # of after the checkpoint; it is made again
        write_text(self.settings_file, to_yaml(self.config))
        write_text(self.folder / SCHEMA_NAME, settings_schema())

    def spec(self, algorithm: Algorithm, images: int) -> ModelSpec:
        """Describe the model as it is after `images`."""
        derive = self.config.data.derive
        return ModelSpec(
            i2i_version=__version__,
            algorithm=self.config.algorithm,
            parts=_parts(algorithm, self.data.transparent),
            usual=self.config.data.direction if len(algorithm.generators) == 2 else None,
            input_range=self.config.data.input_range,
            norm_statistics=self.norm_statistics,
            trained_crop_px=0 if self.config.data.toy else self.config.data.crop_px,
            trained_side_px=self.data.side_px,
            images_seen=images,
            metrics=self.scores,
            derivation=Derivation(settings=derive, side=self.config.data.side) if derive else None,
        )

    def save(self, algorithm: Algorithm, networks: dict[str, nn.Module], state: State) -> None:
        """Write a checkpoint with `state`, and the model file, unless it holds the best so far."""
        head: dict[str, Any] = {
            "i2i_version": __version__,
            "config": self.config.model_dump(mode="json"),
            "scores": self.scores,
            "best": self.best and self.best.model_dump(),
            "norm_statistics": self.norm_statistics,
            "data": self.data.digest,
            "what": self.data.what,
            "total_images": self.schedule.total_images,
            "decay_images": self.schedule.decay_images,
        }
        with _disk_full_explained(self, state["images"]):
            save_checkpoint(self.checkpoints, state["images"], head | state)
            if self.best is None:
                self.save_model(algorithm, networks, state["images"])
            else:
                self._publish_best()
        prune_checkpoints(self.checkpoints, self.config.log.keep_checkpoints)

    def keep_if_best(
        self, algorithm: Algorithm, networks: dict[str, nn.Module], images: int, score: ValScore
    ) -> tuple[Best, Decision]:
        """Decide by its score whether to keep the model of now; the next checkpoint makes it the model file."""
        assert self.scorer is not None
        best, decision = choose(self.best, images, score, self.scorer.measure, self.config.train.best_interval)
        if best.images == images:
            with _disk_full_explained(self, images):
                self.save_model(algorithm, networks, images, self.candidate)
        self.best = best
        return best, decision

    def _publish_best(self) -> None:
        """Make the candidate, if there is one, the model file, and write down which it is."""
        assert self.best is not None
        if self.candidate.exists():
            self.candidate.replace(self.model)
        write_json(self.folder / "best.json", self.best.model_dump(exclude={"top_draws", "val"}))

    @property
    def is_out_of_patience(self) -> bool:
        """Whether train.patience_images ends the training; known on rank 0."""
        return self.best is not None and self.best.out_of_patience(self.config.train.patience_images)

    def save_model(
        self, algorithm: Algorithm, networks: dict[str, nn.Module], images: int, path: Path | None = None
    ) -> None:
        """Write the model file, or another one."""
        generators = {direction: networks[name] for direction, name in algorithm.generators.items()}
        save_model(path or self.model, self.spec(algorithm, images), generators)


def holds_model_of(path: Path, images: int) -> bool:
    """Whether a model file is from after `images`: a kill between checkpoint and model leaves an older one."""
    try:
        return read_spec(path).images_seen == images
    except ModelError:
        return False


def require_space(run: Run, algorithm: Algorithm, engine: State) -> None:
    """Raise DiskFullError unless there is room for the checkpoints to keep, a new one, and the model's copies.

    engine: the state of the Engine. What a killed process left is removed first.
    """
    sweep_temporaries(run.folder)
    count, size = run.config.log.keep_checkpoints + 1, checkpoint_bytes(engine)
    model = tensor_bytes([engine["networks"][name] for name in algorithm.generators.values()])
    kept = [path for path in list_checkpoints(run.checkpoints) if path not in run.damaged]
    taken = sum(path.stat().st_size for path in (*kept, run.model) if path.exists())
    copies = 3 if run.scorer else 2
    needed, free = count * size + copies * model - taken, free_bytes(run.folder)
    if free < needed:
        raise DiskFullError(
            f"The disk of {run.folder} has {show_size(free)} free, but about {show_size(needed)} will be needed: "
            f"{count} checkpoints of {show_size(size)}, the newest among them before the oldest goes, and the "
            "model.\nMake room, give --out on another disk, or lower log.keep_checkpoints (2 at least)."
        )


@contextlib.contextmanager
def _disk_full_explained(run: Run, images: int) -> Iterator[None]:
    """Turn the OSError of a full disk into DiskFullError, which says what is saved."""
    try:
        yield
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise
        saved = [int(path.stem) for path in list_checkpoints(run.checkpoints)]
        raise DiskFullError(
            f"The disk of {run.folder} is full ({error.strerror}; {show_size(free_bytes(run.folder))} free): the run "
            f"could not be saved after {show_count(images, 'image')}.\n"
            f"{f'Its newest checkpoint, after {saved[-1]}, is whole. ' if saved else ''}Make room, then go on with "
            "--resume."
        ) from error


def _filling_note(data: TrainingSet, algorithm: str) -> list[str]:
    """Return a note if pixels may be without data and an algorithm learns from them nevertheless."""
    if not data.seen.nodata or ALGORITHMS[algorithm].leaves_out_nodata:
        return []
    return [f"Files say what pixels have no data. {algorithm} learns from them, filled with the mean of their picture."]


def _absolute(config: Config) -> Config:
    """Make paths absolute, so that the run can be exported and resumed from any folder."""
    data, timeout_s = config.data, config.data.timeout_s
    paths = watched(lambda path: path if is_url(path) else str(Path(path).resolve()), data.path, timeout_s)
    labels = config.data.labels
    if labels and labels != FOLDERS:
        labels = str(Path(labels).resolve())
    data = data.model_copy(update={"path": tuple(paths), "labels": labels})
    sources = {"init_from": config.train.init_from, "after": config.train.after}
    models = {name: source and str(Path(source).resolve()) for name, source in sources.items()}
    train = config.train.model_copy(update=models)
    return config.model_copy(update={"data": data, "train": train})


def norm_statistics(config: Config) -> NormStatistics:
    """Resolve `train.norm_statistics`: auto is image where training normalised each image by itself."""
    if config.train.norm_statistics != "auto":
        return config.train.norm_statistics
    sharing = config.train.devices * config.train.nodes if config.train.sync_batch_norm else 1
    return "image" if config.train.batch * sharing == 1 else "running"


def _parts(algorithm: Algorithm, transparent: Sequence[bool]) -> dict[str, Part]:
    """Return the algorithm's parts, completed by whether the model consumes the alpha of its inputs."""
    inputs = dict(zip(("A2B", "B2A"), transparent, strict=False))
    parts = algorithm.parts()
    for name, part in parts.items():
        if part.kind == "translate":
            consumed = inputs[name] or 4 in (part.in_channels, part.out_channels)
            parts[name] = part.model_copy(update={"alpha": "consumed" if consumed else "kept"})
    return parts
