"""Scores on val that choose the model a run keeps: of pairs one by one, or of sets of pictures by KID.

Pictures are scored at the scale of training, as previews are shown, by the networks that the model file will hold.
"""

import functools
import hashlib
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from i2i import weights
from i2i.config.settings import Config, DataKind, DataSettings, by_direction
from i2i.data.checking import check_pictures
from i2i.data.derive import Derived
from i2i.data.folders import has_split, in_time
from i2i.data.items import Pair
from i2i.data.labels import class_numbers
from i2i.data.previews import (
    Previews,
    Shown,
    find_val_images,
    find_val_pairs,
    find_val_sides,
    read_at_training_scale,
    side_at_training_scale,
)
from i2i.data.watch import watched
from i2i.errors import ConfigError
from i2i.evaluation.sets import LEAST
from i2i.images import Array
from i2i.images.frames import clip_of
from i2i.metrics import METRICS, OF_LABELS, SET_METRICS
from i2i.metrics.distributions import kid, kid_draws
from i2i.metrics.features import NETWORKS, features
from i2i.metrics.intervals import mean_draws
from i2i.models.spec import GENERATE
from i2i.runtime.translator import for_classes
from i2i.training.best import Measure, ValScore
from i2i.training.engine import Engine
from i2i.training.inference import at_inference, image_generator, translators
from i2i.training.scaled import val_sides
from i2i.words import show_count

if TYPE_CHECKING:
    from i2i.training.run import Run

Count = Callable[[int, int], object]
"""Called before each image with how many are done, and of how many; may raise to end it."""
_TRIED = 3  # pictures that an estimate is measured on, after one to warm up


class Scorer(ABC):
    """Scores the networks of a training on val."""

    label: str
    """In the log; a direction follows."""
    noun: ClassVar[str]
    measure: Measure
    pictures: int
    """How many are scored in each direction, at most."""

    def score(self, run: "Run", engine: Engine, images: int, count: Count) -> ValScore:
        """Return the score after `images`. Raises DataError and LoaderError where val can no longer be read."""
        with at_inference(engine):
            results = self.results(run, engine, images, self.pictures, count)
            each = {direction: self.means(direction, result) for direction, result in results.items()}
        values = {f"{self.label}.{direction}": mean for direction, (mean, _) in each.items()}
        draws = np.mean([own for _, own in each.values()], axis=0)
        return ValScore(float(np.mean(list(values.values()))), draws.tolist(), values)

    def estimate_s(self, run: "Run", engine: Engine) -> float:
        """Return about how many seconds `score` takes, from a few pictures."""
        most = min(_TRIED, self.pictures)
        with at_inference(engine):
            self.results(run, engine, 0, 1, lambda done, total: None)
            began = time.monotonic()
            self.results(run, engine, 0, most, lambda done, total: None)
        return (time.monotonic() - began) / most * self.pictures

    @property
    def what(self) -> str:
        """What is scored, in words."""
        return show_count(self.pictures, self.noun)

    @abstractmethod
    def results(self, run: "Run", engine: Engine, images: int, most: int, count: Count) -> dict[str, Array]:
        """Return a row for each of the first `most` pictures, by direction."""

    @abstractmethod
    def means(self, direction: str, result: Array) -> tuple[float, Array]:
        """Return the score of a direction, and bootstrap draws of it."""


class ValPairs(Scorer):
    """A metric of pairs, the mean over val."""

    noun = "val pair"

    def __init__(self, name: str, pairs: Sequence[Pair | Derived]):
        self.metric, self.pairs = METRICS[name], pairs
        self.label, self.pictures = self.metric.label, len(pairs)
        self.measure = Measure(name, _digest(pairs), self.metric.better)

    def results(self, run: "Run", engine: Engine, images: int, most: int, count: Count) -> dict[str, Array]:
        """Return the scores of the first `most` pairs."""
        data = run.config.data
        through = {direction: one.in_order() for direction, one in translators(run, engine, images).items()}
        scores: dict[str, list[float]] = {direction: [] for direction in through}
        labels = class_numbers([pair.name for pair in self.pairs[:most]], data)
        for done, (pair, classes) in enumerate(zip(self.pairs[:most], labels, strict=True)):
            count(done, most)
            for direction, (x, truth, valid) in val_sides(pair, data, through).items():
                if not self.metric.counts(valid):
                    continue
                through[direction].begin(clip_of(pair.name))
                output = for_classes(through[direction], classes).translate(x)
                bands = through[direction].generator.out_bands
                scores[direction].append(self.metric.of(output, truth, bool(bands), valid))
        return {direction: np.array(values) for direction, values in scores.items()}

    def means(self, direction: str, result: Array) -> tuple[float, Array]:
        """Return the mean over pairs."""
        return float(result.mean()), mean_draws(result.tolist())


class ValSets(Scorer):
    """KID of translations, or of samples of the seeds 1, 2, ..., against the pictures of val."""

    noun = "val picture"

    def __init__(self, name: str, reals: dict[str, Shown], inputs: dict[str, Shown]):
        self.network, self.reals, self.inputs = SET_METRICS[name], reals, inputs
        sides = [*reals.values(), *inputs.values()]
        self.label, self.pictures = f"KID_{self.network}", max(map(len, sides))
        self.measure = Measure(name, _digest([one for side in sides for one in side]), "lower")
        self.real_features: dict[str, Array] = {}

    def results(self, run: "Run", engine: Engine, images: int, most: int, count: Count) -> dict[str, Array]:
        """Return the features of the first `most` pictures."""
        found = {}
        for direction in (one for one in engine.algorithm.generators if one in self.reals):  # not the encoder
            made = self._made(run, engine, images, direction, most)
            found[direction] = features(_counted(made, most, count), self.network)
            if direction not in self.real_features and most == self.pictures:  # once, since they stay the same
                reals = _read_reals(self.reals[direction], run.config.data, cut=direction == GENERATE)
                self.real_features[direction] = features(_counted(reals, most, count), self.network)
        return found

    def means(self, direction: str, result: Array) -> tuple[float, Array]:
        """Return the KID."""
        real = self.real_features[direction]
        return float(kid(real, result)), kid_draws(real, result)

    def _made(self, run: "Run", engine: Engine, images: int, direction: str, most: int) -> Iterator[Array]:
        if direction == GENERATE:
            generator = image_generator(run, engine, images)
            yield from generator.each_picture(generator.draw(range(1, 1 + min(most, len(self.reals[GENERATE])))))
            return
        translator, data = translators(run, engine, images)[direction], run.config.data
        inputs = self.inputs[direction][:most]
        for picture, classes in zip(inputs, class_numbers([one.name for one in inputs], data), strict=True):
            read = functools.partial(read_at_training_scale, data=data, channels=translator.generator.in_channels)
            (scaled,) = watched(read, [picture], data.timeout_s)
            yield for_classes(translator, classes).translate(scaled.image)


def _counted(made: Iterator[Array], total: int, count: Count) -> Iterator[Array]:
    for done in range(total):
        count(done, total)
        if (picture := next(made, None)) is None:
            return
        yield picture


def _read_reals(reals: Shown, data: DataSettings, cut: bool) -> Iterator[Array]:
    """Yield real pictures at the scale of training; cut: the middle, of the size that training cuts out."""
    read = functools.partial(read_at_training_scale, data=data, channels=3)
    for picture in reals:
        (scaled,) = watched(read, [picture], data.timeout_s)
        image = scaled.image
        most = data.crop_px if cut else max(image.shape)
        top, left = (max(0, side - most) // 2 for side in image.shape[:2])
        yield image[top : top + most, left : left + most]


def _digest(items: Sequence[object]) -> str:
    names = "\n".join(str(getattr(item, "name", item)) for item in items)
    return hashlib.sha256(names.encode("utf-8", "surrogateescape")).hexdigest()


def find_scorer(config: Config, kind: DataKind, previews: dict[str, Previews]) -> Scorer:
    """Return what scores val as `train.best_by` says; previews: of A2B and B2A, none where a model generates.

    Raises ConfigError, DataError and ModelError.
    """
    data, train = config.data, config.train
    where = ", ".join(data.path) or f"data.toy {data.toy}"
    if not data.path or not in_time(data, lambda paths: has_split(paths, "val")):
        raise ConfigError(
            f"train.keep is best, which is the best score on val, and {where} has no val split.\n"
            "Add one (val/, or valA/ and valB/), or set train.keep to latest."
        )
    every = config.log.samples_every_images
    if train.patience_images and train.patience_images < every:
        raise ConfigError(
            f"train.patience_images is {train.patience_images:,}, but val is scored only every {every:,} images.\n"
            "Set it to that at least, or lower log.samples_every_images."
        )
    has_pairs = bool(previews) and all(one.split == "val" and one.truths for one in previews.values())
    of_labels = kind == "paired" and bool(by_direction(data.direction_of_pairs, *data.layouts)[1].values)
    by = train.best_by or ("iou" if of_labels and has_pairs else "l1" if has_pairs else "kid_random")
    of_pairs = [name for name, metric in METRICS.items() if has_pairs and (of_labels or not metric.by_class)]
    allowed = [name for name in (*of_pairs, *SET_METRICS) if all(map(weights.has, _files(name)))]
    if by in METRICS and not has_pairs:
        raise ConfigError(
            f"train.best_by is {by}, which compares pairs, and val of {where} has none (matching names, equal sizes).\n"
            f"Choose one of {', '.join(allowed)}."
        )
    if by in OF_LABELS and not of_labels:
        raise ConfigError(
            f"train.best_by is {by}, which compares label maps, and targets are none. Choose one of "
            f"{', '.join(allowed)}."
        )
    if missing := [name for name in _files(by) if not weights.has(name)]:
        raise ConfigError(
            f"train.best_by is {by}, which needs the weights {' and '.join(missing)}, and they are not here.\n"
            f"Get them (i2i weights get {missing[0]}), or choose one of {', '.join(allowed)}."
        )
    for name in _files(by):
        weights.find(name)  # which compares the digest
    if by in METRICS:
        return _find_pairs(by, config, where)
    return _find_sets(by, config, kind, where)


def _files(name: str) -> tuple[str, ...]:
    """Return the weights that a metric needs."""
    if name in METRICS:
        return METRICS[name].weights
    file = NETWORKS[SET_METRICS[name]].weights
    return (file,) if file else ()


def _find_pairs(by: str, config: Config, where: str) -> ValPairs:
    data = config.data
    pairs = find_val_pairs(data, config.train.scored_pictures)
    if len(pairs) < 2:
        raise ConfigError(
            f"train.keep is best, but val of {where} has only {show_count(len(pairs), 'pair')}, too few for an "
            "interval.\nAdd pairs, or set train.keep to latest."
        )
    least = METRICS[by].least_px
    files = [one.side("B") if isinstance(one, Pair) else one.target for one in pairs] if least > 1 else []
    sizes = [size for size in check_pictures(files, data) if size]
    side_px = min((side_at_training_scale(size, data) for size in sizes), default=least)
    if side_px < least:
        names = [name for name, metric in METRICS.items() if metric.least_px <= side_px and not metric.by_class]
        raise ConfigError(
            f"train.best_by is {by}, which needs sides of {least} px, and val has {side_px} px at the scale of "
            f"training.\nChoose one of {', '.join(name for name in names if all(map(weights.has, _files(name))))}."
        )
    return ValPairs(by, pairs)


def _find_sets(by: str, config: Config, kind: DataKind, where: str) -> ValSets:
    data, most = config.data, config.train.scored_pictures
    if kind != "images" and any(layout.bands for layout in data.layouts):
        raise ConfigError(
            f"train.best_by is {by}, which compares sets of RGB pictures, and this data has bands.\n"
            "Score pairs of val by l1, psnr or ssim, or set train.keep to latest."
        )
    if kind == "images":
        reals: dict[str, Shown] = {GENERATE: find_val_images(data, most)}
        inputs: dict[str, Shown] = {}
    else:
        sides = find_val_sides(data, most)
        inputs, reals = ({one: by_direction(one, *sides)[end] for one in ("A2B", "B2A")} for end in (0, 1))
    count = min(map(len, (*reals.values(), *inputs.values())))
    if count < LEAST:
        raise ConfigError(
            f"train.best_by is {by}, which compares sets of at least {LEAST} pictures, and val of {where} gives "
            f"{count} (train.scored_pictures is {most}).\nAdd pictures, or set train.keep to latest."
        )
    return ValSets(by, reals, inputs)
