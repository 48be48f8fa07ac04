"""A run is a folder: config.yaml, checkpoints/, model.safetensors, metrics.jsonl, samples/, report.html."""

import hashlib
import statistics
import sys
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

import i2i
from i2i.algorithms import Algorithm, resolve
from i2i.config import differences, load_config, to_yaml
from i2i.data.folders import check_pairs, find_pairs, find_preview_pairs, preview_split, read_pair, refuse_small
from i2i.errors import ConfigError, UsageError
from i2i.files import sweep_temporaries, write_text
from i2i.metrics.pairs import l1
from i2i.modelfile import save_model
from i2i.networks.layers import NormStatistics
from i2i.report import write_sheet
from i2i.runtime.backends import TorchBackend
from i2i.runtime.translator import MODEL_NAME, Translator
from i2i.settings import Config, by_direction
from i2i.spec import ModelSpec
from i2i.training.checkpoint import State, list_checkpoints, load_checkpoint, prune_checkpoints, save_checkpoint
from i2i.training.optim import resolve_schedule

# Settings that a resumed run may change. What matters of data.path and schedule is checked by itself.
FREE_ON_RESUME = ("train.device", "train.precision", "data.workers", "data.path", "log.", "schedule.")


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
        sizes = check_pairs(self.pairs)
        if config.data.resize_px is None:
            advice = "Set data.resize_px to enlarge them, or lower data.crop_px."
            refuse_small(self.pairs, sizes, config.data.crop_px, f"the crop of {config.data.crop_px} px", advice)
        if config.data.augment == "kornia" and config.train.batch > 1 and len(set(sizes)) > 1:
            raise ConfigError("data.augment kornia needs pictures of one size. Use albumentations, or train.batch 1.")
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
        if state["data"] != self.data_digest:
            raise ConfigError(
                f"{', '.join(self.config.data.path)} does not hold the {state['pairs']} pairs that {self.folder} was "
                "trained on.\nBring them back, or train into another folder with --out."
            )
        if self.schedule.total_images < state["total_images"]:
            raise ConfigError(
                f"The schedule ends at {self.schedule.total_images} images, but {self.folder} was planned for "
                f"{state['total_images']}. It may only become longer."
            )

    @property
    def data_digest(self) -> str:
        """A digest of the names of all pairs: what order and draws depend on."""
        return hashlib.sha256("\n".join(pair.name for pair in self.pairs).encode()).hexdigest()

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
            "data": self.data_digest,
            "pairs": len(self.pairs),
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
                x, y = by_direction(direction, a, b)
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
