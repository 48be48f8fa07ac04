"""Validation of a run between two train steps: sheets of translations or grids of samples, and their scores.

Images take the same path as in `i2i translate` and `i2i generate`: there is one inference mode.
"""

import contextlib
import functools
import itertools
import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch

from i2i.config.settings import DataSettings, by_direction
from i2i.data.derive import Derived
from i2i.data.items import Pair, Picture, read_pair, read_picture
from i2i.data.previews import at_training_scale
from i2i.data.toy import DRAWS, modes_found
from i2i.data.watch import watched
from i2i.errors import DataError, LoaderError
from i2i.files import write_bytes
from i2i.images import Array, to_channels
from i2i.metrics.diagnostics import diversity
from i2i.metrics.pairs import as_rgb8, l1
from i2i.models.spec import GENERATE
from i2i.report.sheets import cloud_png, grid_png, sheet_png
from i2i.runtime.backends import TorchBackend
from i2i.runtime.generator import ImageGenerator
from i2i.runtime.latents import captions
from i2i.runtime.translator import Translator
from i2i.training.diagnostics import Diagnostics
from i2i.training.engine import Engine
from i2i.training.reporter import Reporter
from i2i.training.run import SAMPLES, Run
from i2i.words import show_count

Count = Callable[[int, int], object]
"""Called before each image with how many are done, and of how many."""
_GENERATED_AT_ONCE = 64  # between two counts

Samples = tuple[dict[str, bytes], dict[str, float]]
"""PNG files by direction, and scores by log name."""


class Validation:
    """Makes samples, scores val and keeps the best model, as the settings of a run ask for."""

    def __init__(self, run: Run, engine: Engine, diagnostics: Diagnostics, reporter: Reporter):
        self.run, self.engine, self.diagnostics, self.reporter = run, engine, diagnostics, reporter

    def validate(self, images: int, listen: Callable[[], object]) -> None:
        """Make samples and score val, and log both, or neither where `listen` raises in between.

        listen: called between two val pairs, since scoring all of them may take minutes.
        """
        # Previews run as all inference does, uncompiled; they have many sizes, and each would be compiled.
        compiled = self.run.config.train.compile
        with torch.compiler.set_stance("force_eager") if compiled else contextlib.nullcontext():
            scores = self._try_samples(images)
            began = time.monotonic()
            val = self._try_val(images, listen)
        if scores:
            self.reporter.write(images, self.run.sample_split, scores)
            self.reporter.warn(images, self.diagnostics.check_samples(self.engine.steps, scores))
        if val:
            self.reporter.write(images, "val", val)
            self._keep_best(images, val, time.monotonic() - began)
        self.reporter.write_report_if_due()

    def _try_samples(self, images: int) -> dict[str, float]:
        """Write samples/ and return their scores; none where a preview has become unreadable."""
        try:
            with self.reporter.progress.busy("previews") as count:
                sheets, scores = make_samples(self.run, self.engine, images, count)
        except (DataError, LoaderError) as error:
            self.reporter.warn(images, [f"no samples were made: {error}"])
            return {}
        for direction, png in sheets.items():
            with self.reporter.best_effort("samples"):
                write_bytes(self.run.folder / "samples" / f"{images:09d}.{direction}.png", png)
        self.run.scores = {f"{self.run.sample_split}, {name}": score for name, score in scores.items()}
        return scores

    def _try_val(self, images: int, listen: Callable[[], object]) -> dict[str, float]:
        """Return the scores of the val pairs; none where there are no pairs, or one has become unreadable."""
        if not self.run.val_pairs:
            return {}
        try:
            with self.reporter.progress.busy("scoring val") as show:

                def count(done: int, total: int) -> None:
                    show(done, total)
                    listen()

                return score_val(self.run, self.engine, images, count)
        except (DataError, LoaderError) as error:
            self.reporter.warn(images, [f"val was not scored: {error}"])
            return {}

    def _keep_best(self, images: int, scores: dict[str, float], seconds: float) -> None:
        if self.run.best is None:
            took = f"{seconds:.1f} s of the first {self.reporter.seconds:.1f} s"
            pairs = show_count(len(self.run.val_pairs), "val pair")
            self.reporter.progress.say(f"train.keep best: scoring {pairs} took {took}.")
        self.run.save_if_best(self.engine.algorithm, self.engine.model_networks, images, scores)


def make_samples(run: Run, engine: Engine, images: int, count: Count) -> Samples:
    """Return the samples of a run after `images`.

    Raises DataError when a preview cannot be read any more, and LoaderError when reading takes too long.
    """
    make = _generate if GENERATE in engine.algorithm.generators else _translate
    with _at_inference(engine):
        return make(run, engine, images, count)


def score_val(run: Run, engine: Engine, images: int, count: Count) -> dict[str, float]:
    """Return the mean L1 of the val pairs that choose the best weights, by direction; raises as `make_samples` does.

    Pairs are scored at the scale of training, as previews are shown. count may raise to end it.
    """
    data = run.config.data
    with _at_inference(engine):
        translators = _translators(run, engine, images)
        sums = dict.fromkeys(translators, 0.0)
        for done, pair in enumerate(run.val_pairs):
            count(done, len(run.val_pairs))
            (sides,) = watched(functools.partial(_read_val, data=data), [pair], data.timeout_s)
            for direction, translator in translators.items():
                x, truth = by_direction(direction, *sides)
                if isinstance(pair, Pair):
                    x, _ = at_training_scale(to_channels(x, translator.generator.in_channels), data)
                    truth, _ = at_training_scale(to_channels(truth, _truth_channels(translator)), data)
                sums[direction] += l1(translator.translate(x), truth)
    scores = {f"L1.{direction}": total / len(run.val_pairs) for direction, total in sums.items()}
    run.scores |= {f"val, {name}": score for name, score in scores.items()}
    return scores


def _read_val(pair: Pair | Derived, data: DataSettings) -> tuple[Array, Array]:
    """Read A and B, (H, W, C) each: derived ones at the scale of training, files as they are."""
    if isinstance(pair, Pair):
        return read_pair(pair, data.input_range)
    target, _ = at_training_scale(pair.read_target(data.input_range), data)
    return pair.input_from(target), target


@contextlib.contextmanager
def _at_inference(engine: Engine) -> Iterator[None]:
    """Put the generators into eval mode."""
    generators = [engine.model_networks[name] for name in engine.algorithm.generators.values()]
    for generator in generators:
        generator.eval()
    try:
        yield
    finally:
        for generator in generators:
            generator.train()


def _translators(run: Run, engine: Engine, images: int) -> dict[str, Translator]:
    spec, device = run.spec(engine.algorithm, images), str(engine.fabric.device)
    return {
        direction: Translator(spec, TorchBackend(engine.model_networks[name], device), direction)
        for direction, name in engine.algorithm.generators.items()
    }


def _translate(run: Run, engine: Engine, images: int, count: Count) -> Samples:
    """By direction, rows of input, output, the way back if the model has one, and truth if there is one."""
    translators = _translators(run, engine, images)
    each = len(translators)  # a model of both directions also goes back
    total, done = each * sum(len(run.previews[direction].inputs) for direction in translators), itertools.count()

    def translate_all(translator: Translator, inputs: list[Array]) -> list[Array]:
        outputs = []
        for image in inputs:
            count(next(done), total)
            outputs.append(translator.translate(image))
        return outputs

    sheets, scores = {}, {}
    for direction, translator in translators.items():
        way_back = translators.get(direction[::-1])
        previews, generator = run.previews[direction], translator.generator
        inputs, scale = _read(run, previews.inputs, generator.in_channels)
        outputs = translate_all(translator, inputs)
        columns = {f"input{scale}": inputs, "output": outputs}
        if way_back:
            columns["back"] = translate_all(way_back, outputs)
            scores[f"cycle_L1.{direction}"] = _mean_l1(columns["back"], inputs)
        if previews.truths:
            truths = columns["truth"] = _read(run, previews.truths, _truth_channels(translator))[0]
            scores[f"L1.{direction}"] = _mean_l1(outputs, truths)
            scores |= {f"{name}.{direction}": value for name, value in _diversity(outputs, truths).items()}
        rows = list(zip(*columns.values(), strict=True))
        sheets[direction] = sheet_png(rows, list(columns))
    return sheets, scores


def _read(run: Run, pictures: Sequence[Picture | Derived], channels: int) -> tuple[list[Array], str]:
    """Read previews with `channels` at the scale of training; return them and the scale in words."""
    data = run.config.data

    def read(picture: Picture | Derived) -> tuple[Array, str]:
        if isinstance(picture, Derived):
            target, words = at_training_scale(picture.read_target(data.input_range), data)
            return to_channels(picture.input_from(target), channels), words
        return at_training_scale(to_channels(read_picture(picture, data.input_range), channels), data)

    read_all = watched(read, pictures, data.timeout_s)
    return [image for image, _ in read_all], max((words for _, words in read_all), default="")


def _truth_channels(translator: Translator) -> int:
    """Return the channels in which truths are compared: RGB, with alpha on white unless the model makes alpha."""
    return max(3, translator.generator.out_channels)


def _mean_l1(outputs: list[Array], truths: list[Array]) -> float:
    return float(np.mean([l1(output, truth) for output, truth in zip(outputs, truths, strict=True)]))


def _diversity(outputs: list[Array], truths: list[Array]) -> dict[str, float]:
    """Compare the diversity of outputs and truths, where there are several of one size."""
    if len(outputs) < 2 or len({image.shape for image in truths}) > 1:
        return {}
    return diversity(*(np.stack([as_rgb8(image) for image in side]) for side in (outputs, truths)))


def _generate(run: Run, engine: Engine, images: int, count: Count) -> Samples:
    """A grid of the first seeds, or the cloud of points, and their diversity."""
    network = engine.model_networks[engine.algorithm.generators[GENERATE]]
    generator = ImageGenerator(run.spec(engine.algorithm, images), TorchBackend(network, str(engine.fabric.device)))
    toy = run.config.data.toy
    if toy:
        points = generator.points(generator.draw(range(DRAWS)))
        found, good = modes_found(toy, points)
        scores = {"modes": float(found), "good": good, **diversity(points[:SAMPLES], run.real_samples)}
        return {GENERATE: cloud_png(points, run.real_samples)}, scores
    fakes = []
    for done in range(0, SAMPLES, _GENERATED_AT_ONCE):
        count(done, SAMPLES)
        fakes.append(generator.generate(generator.draw(range(done, done + _GENERATED_AT_ONCE))))
    shown = range(run.config.log.sample_count)
    latents = generator.draw(shown)
    grid, labels = generator.pictures(latents), captions(shown, latents, generator.generator.blocks)
    scores = diversity(np.concatenate(fakes), run.real_samples)
    return {GENERATE: grid_png(grid, labels)}, scores
