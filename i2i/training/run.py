"""A run is a folder: config.yaml, checkpoints/, model.safetensors, metrics.jsonl, samples/, report.html."""

import statistics
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

import i2i
from i2i.algorithms import Algorithm, resolve
from i2i.config import Config, differences, to_yaml
from i2i.data.folders import check_pairs, find_pairs, find_preview_pairs, preview_split, read_pair
from i2i.errors import ConfigError, UsageError
from i2i.files import sweep_temporaries, write_text
from i2i.metrics.pairs import l1
from i2i.modelfile import save_model
from i2i.networks.layers import NormStatistics
from i2i.report import write_sheet
from i2i.runtime.backends import TorchBackend
from i2i.runtime.translator import MODEL_NAME, Translator
from i2i.spec import ModelSpec
from i2i.training.checkpoint import State, list_checkpoints, load_checkpoint, prune_checkpoints, save_checkpoint
from i2i.training.optim import resolve_schedule

# Settings that a resumed run may change, since the trained result does not hang on them or only grows.
FREE_ON_RESUME = (
    "train.device",
    "train.precision",
    "train.channels_last",
    "data.workers",
    "data.path",
    "log.",
    "schedule.",
)


class Run:
    """The folder of one training and the data it trains on, checked."""

    def __init__(self, config: Config, folder: Path):
        """Find and check data; nothing is written yet. Raises ConfigError, DataError and UsageError."""
        config = resolve(config)
        self.folder = folder
        if not config.data.path:
            raise UsageError("No data was given. Add --data FOLDER.")
        # Absolute, so that the run can be exported from any folder.
        absolute = tuple(str(Path(path).resolve()) for path in config.data.path)
        self.config = config = config.model_copy(update={"data": config.data.model_copy(update={"path": absolute})})
        self.pairs = find_pairs(config.data.path, "train")
        sizes = check_pairs(self.pairs, config.data.crop_px if config.data.resize_px is None else 1)
        self.trained_side_px = config.data.resize_px or int(statistics.median(min(size) for size in sizes))
        self.preview_split = preview_split(config.data.path)
        self.preview_pairs = find_preview_pairs(config.data.path, config.log.sample_count)
        self.schedule = resolve_schedule(config.schedule, len(self.pairs))
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

    def prepare(self, resume: bool) -> State | None:
        """Make the folder, or take up the one that is there; return the state to resume from, if any.

        Raises UsageError for a folder in use, ConfigError for changed settings, ModelError for a damaged checkpoint.
        """
        used = self.folder.exists() and (not self.folder.is_dir() or any(self.folder.iterdir()))
        if used and not resume:
            raise UsageError(
                f"{self.folder} is not empty.\n"
                "Add --resume to go on with the run in it, or give another folder with --out."
            )
        sweep_temporaries(self.folder)
        checkpoints = list_checkpoints(self.checkpoints)
        state = load_checkpoint(checkpoints[-1]) if checkpoints else None
        if state:
            self._refuse_changes(state)
            self.scores = state["scores"]
        write_text(self.folder / "config.yaml", to_yaml(self.config))
        return state

    def _refuse_changes(self, state: State) -> None:
        changed = [
            f"{name} was {before!r}, now {after!r}"
            for name, before, after in differences(state["config"], self.config.model_dump(mode="json"))
            if not name.startswith(FREE_ON_RESUME)
        ]
        if changed:
            raise ConfigError(
                f"{self.folder} was trained with other settings: {'; '.join(changed)}.\n"
                "Resume with the settings it had, or train into another folder with --out."
            )

    def spec(self, algorithm: Algorithm, images: int) -> ModelSpec:
        """Describe the model as it is after `images`."""
        return ModelSpec(
            i2i_version=i2i.__version__,
            algorithm=self.config.algorithm,
            generators=algorithm.generator_specs(),
            norm_statistics=self.norm_statistics,
            trained_crop_px=self.config.data.crop_px,
            trained_side_px=self.trained_side_px,
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

    def sample(self, algorithm: Algorithm, modules: dict[str, nn.Module], images: int, device: str) -> dict[str, float]:
        """Write a sheet of preview pictures for each direction; return their mean L1 by log name.

        The pictures take the very path of `i2i translate`: one inference mode.
        """
        spec = self.spec(algorithm, images)
        pictures = [read_pair(pair) for pair in self.preview_pairs]
        scores = {}
        for direction, name in algorithm.generators.items():
            network = modules[name].eval()
            translator = Translator(spec, TorchBackend(network, device), direction)
            rows = []
            for a, b in pictures:
                x, y = (a, b) if direction == "A2B" else (b, a)
                rows.append([x, translator.translate(x), y])
            network.train()
            write_sheet(self.folder / "samples" / f"{images:09d}.{direction}.png", rows, ["input", "output", "truth"])
            scores[f"L1.{direction}"] = float(np.mean([l1(output, truth) for _, output, truth in rows]))
        self.scores = {f"{self.preview_split} previews, {name}": score for name, score in scores.items()}
        return scores


def norm_statistics(config: Config) -> NormStatistics:
    """Resolve `train.norm_statistics`: the picture's own at inference where training normalised pictures singly."""
    if config.train.norm_statistics != "auto":
        return config.train.norm_statistics
    return "image" if config.train.batch == 1 else "running"
