"""The defaults of `i2i evaluate`: which data, and whether to compare pairs or sets."""

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from i2i import weights
from i2i.config import load_config
from i2i.config.settings import by_direction
from i2i.data.folders import find_pairs, find_sides, has_sides, has_split, name_of_pair
from i2i.data.shards import has_shards
from i2i.errors import ConfigError, DataError, UsageError
from i2i.images import PICTURES, Layouts
from i2i.images.listing import is_folder
from i2i.metrics import METRICS, OF_LABELS, USUAL
from i2i.models.modelfile import find_model, is_onnx, read_spec
from i2i.models.onnxfile import check_onnx
from i2i.models.spec import ModelSpec
from i2i.models.trial import described_spec

OF_SETS = ("fid", "kid", "frechet", "mind", "sliced_wasserstein", "precision", "recall", "density", "coverage")
"""Scores that pairs do not have; see sets.py."""


def choose_data(model: str | Path, data: Sequence[str]) -> list[str]:
    """Return the data folders given, else those of the run. Raises UsageError, DataError."""
    if data:
        for path in data:
            if not is_folder(Path(path)) and not has_shards(path):
                raise DataError(f"{path} is not a folder. Give the folder that holds the pictures.")
        return list(data)
    settings = find_model(Path(model)).parent / "config.yaml"
    if not settings.is_file():
        raise UsageError(f"{model} is not in a run folder, so its data is unknown. Add --data FOLDER.")
    try:
        paths = list(load_config(settings).data.path)
    except ConfigError as error:
        raise UsageError(f"{settings} cannot be read: {error}\nAdd --data FOLDER.") from error
    if not paths:
        raise UsageError(f"{model} was trained on points, which have no pictures to compare with.")
    return paths


def labels_of_run(model: str | Path) -> str | None:
    """Return the `data.labels` of the run that a model is of; None for other models, and runs without."""
    settings = find_model(Path(model)).parent / "config.yaml"
    with contextlib.suppress(ConfigError):
        return load_config(settings).data.labels if settings.is_file() else None
    return None


def described(file: Path) -> ModelSpec | None:
    """Return the description in a model file; None for an .onnx file of another project."""
    return described_spec(file, check_onnx(file)) if is_onnx(file) else read_spec(file)


def layouts_of(spec: ModelSpec | None, direction: str | None) -> Layouts:
    """Return how a model reads the files of A and of B; spec: None for an .onnx file of another project.

    Raises UsageError for a direction that must be chosen, or that the model does not have.
    """
    if spec is None:
        return PICTURES
    chosen = spec.pick(direction)
    part = spec.generators[chosen]
    assert part.inputs is not None
    assert part.outputs is not None
    return by_direction(chosen, part.inputs.layout(spec.input_range), part.outputs.layout(spec.input_range))


def directions(model: str | Path, asked: str | None) -> tuple[str | None, ...]:
    """Return the directions to score: the one that was asked for, else every one that the model has."""
    spec = described(find_model(Path(model)))
    both = spec is not None and len(spec.generators) > 1
    return tuple(spec.generators) if spec and both and asked is None else (asked,)


def kind_of_evaluation(model: str | Path, paths: Sequence[str], split: str) -> Literal["pairs", "sets", "samples"]:
    """Return how to compare: samples of a model from noise, pairs, or sets where no names match.

    If only some names match, `evaluate` names the others.
    """
    spec = described(find_model(Path(model)))
    if spec and spec.latent_generator:
        return "samples"
    if spec and spec.derivation:
        return "pairs"
    layouts = layouts_of(spec, next(iter(spec.generators))) if spec else PICTURES
    return "sets" if without_partners(paths, split, layouts) else "pairs"


def without_partners(paths: Sequence[str], split: str, layouts: Layouts = PICTURES) -> bool:
    """Whether there are pictures of A and of B, and no name of A is one of B."""
    try:
        find_pairs(paths, split, layouts=layouts)
    except DataError:
        try:
            a, b = find_sides(paths, split, layouts=layouts)
        except DataError:
            return False  # whose error, when pairs are read, says what is missing
        stems = [{name_of_pair(Path(one.name)) for one in side} for side in (a, b)]
        return not stems[0] & stems[1]
    return False


def choose_metrics(asked: Sequence[str] | None, bands: bool = False, labels: bool = False) -> tuple[str, ...]:
    """Return the metrics to score, by default USUAL and, of pictures, LPIPS if its weights are here; or OF_LABELS.

    bands: whether a side has bands, which no one sees.
    labels: whether targets are label maps. Raises UsageError for an unknown one, ModelError for missing weights.
    """
    if asked is None and labels:
        return OF_LABELS
    if asked is None:
        return (*USUAL, "lpips") if weights.has("alexnet") and not bands else USUAL
    for name in asked:
        if name in OF_SETS:
            raise UsageError(f"{name} compares sets of pictures, not pairs. Leave --metrics out, and add --sets.")
        if name not in METRICS:
            raise UsageError(f"Unknown metric {name or '(empty)'}. Choose from {', '.join(METRICS)}.")
        if (name in OF_LABELS) != labels:
            what = f"label maps, which are scored by {' and '.join(OF_LABELS)}" if labels else "no label maps"
            raise UsageError(f"{name} does not suit these targets: they are {what}.")
        for file in METRICS[name].weights:
            weights.find(file)
    return tuple(dict.fromkeys(asked))


def which_pictures(paths: Sequence[str], split: str, side: str | None) -> tuple[str, str, tuple[str, ...]]:
    """Return the split to compare samples with, its pictures in words, and remarks: without the split, train.

    Raises UsageError where a side must be chosen.
    """
    here = split if has_split(paths, split) else "train"
    if side is None and (len(paths) > 1 or has_sides(paths[0], here)):
        raise UsageError(f"{' and '.join(paths)} holds pictures of two sides. Choose one with --side A or --side B.")
    if here == split:
        return here, f"pictures of {here}", ()
    if not has_split(paths, "train"):
        return here, f"the pictures of {paths[0]}", ()
    remark = f"There is no {split} split: samples were compared with pictures of train, which the model may have seen."
    return here, "pictures of train", (remark,)


def way_on(paths: Sequence[str], split: str) -> str:
    """Return what else can be scored where a split has no pairs; empty if nothing can."""
    if _has_pictures(paths, split):
        return "To compare pictures without partners as sets, add --sets."
    others = [one for one in ("val", "test") if one != split and _has_pictures(paths, one)]
    return f"To score other pictures, add --split {others[0]}." if others else ""


def _has_pictures(paths: Sequence[str], split: str) -> bool:
    """Whether both sides of a split hold pictures."""
    try:
        find_sides(paths, split)
    except (DataError, UsageError):
        return False
    return True
