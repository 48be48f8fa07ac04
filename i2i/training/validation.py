"""Validation of a run between two train steps: sheets of translations or grids of samples, and their scores.

Images take the same path as in `i2i translate` and `i2i generate`: there is one inference mode.
"""

import contextlib
import itertools
import time
from collections.abc import Callable, Iterator

import numpy as np
import torch

from i2i.data.derive import Derived
from i2i.data.items import Picture
from i2i.data.labels import class_numbers
from i2i.data.toy import DRAWS, modes_found
from i2i.errors import DataError, LoaderError
from i2i.images import Array, from_unit, shown
from i2i.images.frames import clip_of
from i2i.metrics import ARROWS
from i2i.metrics.diagnostics import brightness_correlation, diversity, hue_correlation
from i2i.metrics.intervals import interval
from i2i.metrics.pairs import as_rgb8
from i2i.models.modelfile import read_spec
from i2i.models.spec import ENCODE, GENERATE, Part
from i2i.report.sheets import cloud_png, grid_png, sheet_png
from i2i.runtime.latents import captions
from i2i.runtime.translator import Translator, for_classes
from i2i.training.best import Best, Decision, ValScore
from i2i.training.diagnostics import Diagnostics
from i2i.training.engine import Engine
from i2i.training.inference import at_inference, image_encoder, image_generator, translators, truth_channels
from i2i.training.reporter import Reporter
from i2i.training.run import SAMPLES, Run
from i2i.training.scaled import both_valid, mean_l1, read_previews
from i2i.training.scoring import Count, Scorer
from i2i.words import show_count, show_duration

_ROWS = 8
_GENERATED_AT_ONCE = 64  # between two counts
_CLASSES_SHOWN = 12  # columns of previews

Samples = tuple[dict[str, bytes], dict[str, float]]
"""PNG files by direction, and scores by log name."""


class Validation:
    """Makes samples, scores val and keeps the best model, as the settings of a run ask for."""

    def __init__(self, run: Run, engine: Engine, diagnostics: Diagnostics, reporter: Reporter):
        self.run, self.engine, self.diagnostics, self.reporter = run, engine, diagnostics, reporter
        self.scoring_s = 0.0  # that scoring val has taken so far

    def validate(self, images: int, listen: Callable[[], object]) -> None:
        """Make samples and score val, and log both, or neither where `listen` raises in between.

        listen: called between two val pairs, since scoring all of them may take minutes.
        """
        scorer = self.run.scorer
        with self._uncompiled():
            scores = self._try_samples(images)
            began = time.monotonic()
            val = scorer and self._try_val(scorer, images, listen)
            seconds = time.monotonic() - began
        if scores:
            self.reporter.write(images, self.run.sample_split, scores)
            self.reporter.warn(images, self.diagnostics.check_samples(self.engine.steps, scores))
        if scorer and val:
            self._keep_best(scorer, images, val, seconds)
        self.reporter.write_report_if_due()

    def _uncompiled(self) -> contextlib.AbstractContextManager[object]:
        """Run as all inference does, uncompiled: pictures have many sizes, and each would be compiled."""
        compiled = self.run.config.train.compile
        return torch.compiler.set_stance("force_eager") if compiled else contextlib.nullcontext()

    def tell_cost(self) -> None:
        """Say how long scoring val will take, as measured on a few pictures; silent where they cannot be read."""
        scorer, every = self.run.scorer, self.run.config.log.samples_every_images
        if scorer is None or not self.reporter.is_rank_0:
            return
        with contextlib.suppress(DataError, LoaderError), self._uncompiled():
            each_s = scorer.estimate_s(self.run, self.engine)
            times = -(-self.run.schedule.total_images // every)
            self.reporter.progress.say(
                f"train.keep best: scoring {scorer.what} by {scorer.measure.by} takes about {show_duration(each_s)} "
                f"every {every:,} images, {show_duration(times * each_s)} in the whole training."
            )

    def _try_samples(self, images: int) -> dict[str, float]:
        """Write samples/ and return their scores; none where a preview has become unreadable."""
        try:
            with self.reporter.progress.busy("previews") as count:
                sheets, scores = make_samples(self.run, self.engine, images, count)
        except (DataError, LoaderError) as error:
            self.reporter.warn(images, [f"no samples were made: {error}"])
            return {}
        self.reporter.write_samples(images, sheets)
        self.run.scores = {f"{self.run.sample_split}, {name}": score for name, score in scores.items()}
        return scores

    def _try_val(self, scorer: Scorer, images: int, listen: Callable[[], object]) -> ValScore | None:
        """Return the score of val; None where a picture has become unreadable, or the score is not finite."""
        try:
            with self.reporter.progress.busy("scoring val") as show:

                def count(done: int, total: int) -> None:
                    show(done, total)
                    listen()

                score = scorer.score(self.run, self.engine, images, count)
        except (DataError, LoaderError) as error:
            self.reporter.warn(images, [f"val was not scored: {error}"])
            return None
        if not np.isfinite(score.value):
            self.reporter.warn(images, [f"val was not scored: its {scorer.label} is {score.value}"])
            return None
        self.run.scores |= {f"val, {name}": value for name, value in score.scores.items()}
        return score

    def _keep_best(self, scorer: Scorer, images: int, score: ValScore, seconds: float) -> None:
        """Keep the model of now if it is not worse than the best; log which is kept, why, and what scoring costs."""
        before, networks = self.run.best, self.engine.model_networks
        best, decision = self.run.keep_if_best(self.engine.algorithm, networks, images, score)
        self.scoring_s += seconds
        share, (low, high) = self.scoring_s / max(self.reporter.seconds, 1e-9), interval(score.draws)
        costs = {"scoring_s": seconds, "scoring_share": share}
        values = {**score.scores, "low": low, "high": high, "best_images": best.images, **costs}
        if before:
            values |= {"gain": decision.gain, "gain_low": decision.low, "gain_high": decision.high}
        self.reporter.write(images, "val", values)
        line = f"After {show_count(images, 'image')}, val {scorer.label} {ARROWS[scorer.measure.better]} "
        line += f"{score.value:.4g} (95% {low:.4g} to {high:.4g}): {_why(before, decision)}."
        self.reporter.progress.say(f"{line} Scoring: {seconds:.1f} s, {share:.0%} of the time so far.")
        total, patience = self.run.schedule.total_images, self.run.config.train.patience_images or 0
        if self.run.is_out_of_patience and images < total:
            self.reporter.progress.say(
                f"Ended after {images:,} of {total:,} images: for {patience:,} (train.patience_images), no {best.by} "
                f"on val was better than {best.top:.4g} after {best.top_images:,}. The model file is that after "
                f"{best.images:,}."
            )


def _why(before: Best | None, decision: Decision) -> str:
    """Return which model is kept, and why; before: the best before this score."""
    if before is None:
        return "the first, kept"
    verdict, gain, low, high = decision
    gained = f"gain {gain:+.2g} ({low:+.2g} to {high:+.2g}) on {before.top:.4g} after {before.top_images:,}"
    kept = {"worse": f"the model after {before.images:,} stays", "undecided": "the later model is kept"}
    return f"{gained}, {verdict}; {kept.get(verdict, 'kept')}"


def lost_to_inputs(run: Run) -> Iterator[str]:
    """Yield a line for each direction in which copying the inputs is closer to the truths than the model file is.

    Measured on the previews, by L1. Raises DataError and LoaderError where they cannot be read any more.
    """
    metrics = read_spec(run.model).metrics
    for direction, previews in run.previews.items():
        score = metrics.get(f"{run.sample_split}, L1.{direction}")
        if score is None or not previews.truths:
            continue
        one, other = (_bands_of(side[0]) for side in (previews.inputs, previews.truths))
        if one != other:
            continue
        inputs, truths = (read_previews(side, run.config.data, 3) for side in (previews.inputs, previews.truths))
        copied = mean_l1(inputs.images, truths.images, bool(one), both_valid(inputs, truths))
        if copied < score:
            count = show_count(len(inputs.images), run.sample_split.removesuffix("s"))
            yield (
                f"The model lost to input copied: on {count}, its L1 ↓ is {score:.1f} in {direction}, and that of the "
                f"inputs {copied:.1f}."
            )


def _bands_of(item: Picture | Derived) -> tuple[str, ...]:
    return (item.target if isinstance(item, Derived) else item).layout.bands


def make_samples(run: Run, engine: Engine, images: int, count: Count) -> Samples:
    """Return the samples of a run after `images`.

    Raises DataError when a preview cannot be read any more, and LoaderError when reading takes too long.
    """
    make = _generate if GENERATE in engine.algorithm.generators else _translate
    with at_inference(engine):
        return make(run, engine, images, count)


def _translate(run: Run, engine: Engine, images: int, count: Count) -> Samples:
    """By direction, rows of input, output, the way back if the model has one, and truth if there is one.

    Outputs have the labels of their inputs; a column more for each class has that one instead.
    """
    through = {direction: one.in_order() for direction, one in translators(run, engine, images).items()}
    each = len(through) + len(_classes(run))  # a model of both directions also goes back
    total, done = each * sum(len(run.previews[direction].inputs) for direction in through), itertools.count()

    def translate_all(translator: Translator, inputs: list[Array], labels: list[tuple[int, ...]]) -> list[Array]:
        outputs = []
        for image, classes, name in zip(inputs, labels, names, strict=True):
            count(next(done), total)
            translator.begin(clip_of(name))
            outputs.append(for_classes(translator, classes).translate(image))
        return outputs

    sheets, scores = {}, {}
    for direction, translator in through.items():
        way_back = through.get(direction[::-1])
        previews, generator = run.previews[direction], translator.generator
        read = read_previews(previews.inputs, run.config.data, generator.in_channels)
        inputs = read.images
        names = [one.name for one in previews.inputs]
        labels = class_numbers(names, run.config.data)
        outputs = translate_all(translator, inputs, labels)
        columns = {f"input{read.words}": inputs, "output": outputs}
        for name, place, number in _classes(run):
            others = [(*own[:place], number, *own[place + 1 :]) for own in labels]
            columns[name] = translate_all(translator, inputs, others)
        if way_back:
            columns["back"] = translate_all(way_back, outputs, labels)
            scores[f"cycle_L1.{direction}"] = mean_l1(columns["back"], inputs, bool(generator.in_bands), read.valid)
        if previews.truths:
            known = read_previews(previews.truths, run.config.data, truth_channels(translator))
            truths = columns["truth"] = known.images
            scores[f"L1.{direction}"] = mean_l1(outputs, truths, bool(generator.out_bands), both_valid(read, known))
        shown = {name: _shown(images, name, generator) for name, images in columns.items()}
        if previews.truths:
            scores |= _diversity(shown["output"], shown["truth"], direction)
        if engine.algorithm.data == "unpaired":
            beside = shown["truth"] if previews.truths else next(iter(shown.values()))
            scores[f"brightness.{direction}"] = brightness_correlation(shown["output"], beside)
            if (hue := hue_correlation(shown["output"], beside)) is not None:
                scores[f"hue.{direction}"] = hue
        sheets[direction] = sheet_png(list(zip(*shown.values(), strict=True)), list(columns))
    return sheets, scores


def _shown(images: list[Array], column: str, generator: Part) -> list[Array]:
    """Return the images of a column as people see them."""
    of_inputs = column == "back" or column.startswith("input")
    return [shown(image, generator.inputs if of_inputs else generator.outputs) for image in images]


def _classes(run: Run) -> list[tuple[str, int, int]]:
    """Return the classes that previews show: the name, the place of the label set, and the number of each."""
    named = enumerate(run.config.data.classes.items())
    each = [(f"{name}={one}", place, number) for place, (name, of) in named for number, one in enumerate(of)]
    return each[:_CLASSES_SHOWN]


def _diversity(outputs: list[Array], truths: list[Array], direction: str) -> dict[str, float]:
    """Compare the diversity of outputs and truths, where there are several of one size."""
    if len(outputs) < 2 or len({image.shape for image in truths}) > 1:
        return {}
    found = diversity(*(np.stack([as_rgb8(image) for image in side]) for side in (outputs, truths)))
    return {f"{name}.{direction}": value for name, value in found.items()}


def _generate(run: Run, engine: Engine, images: int, count: Count) -> Samples:
    """A grid of the first seeds, or the cloud of points, and their diversity."""
    generator = image_generator(run, engine, images)
    if toy := run.config.data.toy:
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
    sheets = {GENERATE: grid_png(grid, labels)}
    if ENCODE in engine.algorithm.generators:
        sheets[ENCODE], scores["reconstruction_L1"] = _reconstruct(run, engine, images)
    return sheets, scores


def _reconstruct(run: Run, engine: Engine, images: int) -> tuple[bytes, float]:
    """Return rows of training images as the networks see them and their way through the latent, and their L1."""
    reals = run.real_samples[: run.config.log.sample_count]
    latents = image_encoder(run, engine, images).encode(reals)
    inputs = [from_unit(real) for real in reals]
    outputs = image_generator(run, engine, images).pictures(latents)
    rows = list(zip(inputs, outputs, strict=True))
    return sheet_png(rows[:_ROWS], ["input", "reconstruction"]), mean_l1(outputs, inputs)
