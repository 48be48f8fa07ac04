"""What a run shows of itself while it trains: sheets of translations, or grids of samples, and their figures.

Pictures take the very path of `i2i translate` and `i2i generate`: one inference mode.
"""

import contextlib
import functools
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from torch import nn

from i2i.algorithms import Algorithm
from i2i.config.settings import DataSettings, by_direction
from i2i.data.derive import Derived
from i2i.data.folders import Pair, Picture, read_pair, read_picture
from i2i.data.previews import at_training_scale
from i2i.data.toy import DRAWS, modes_found
from i2i.data.watch import watched
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
from i2i.training.log import Expendable
from i2i.training.run import SAMPLES, Run

Modules = Mapping[str, nn.Module]
Count = Callable[[int, int], object]
"""Called with how many pictures are done, and of how many, before each."""
_TOGETHER = 64  # fakes from noise between two counts

Samples = tuple[dict[str, bytes], dict[str, float]]
"""PNG files by direction, and figures by log name."""


def sample(
    run: Run, algorithm: Algorithm, modules: Modules, images: int, device: str, expendable: Expendable, count: Count
) -> dict[str, float]:
    """Write the pictures of this moment to samples/, where that is possible, and return their figures by log name.

    Raises DataError when a preview cannot be read any more, and LoaderError when that takes too long.
    """
    make = _generate if GENERATE in algorithm.generators else _translate
    with _at_inference(algorithm, modules):
        sheets, scores = make(run, algorithm, modules, images, device, count)
    for direction, png in sheets.items():
        with expendable("samples"):
            write_bytes(run.folder / "samples" / f"{images:09d}.{direction}.png", png)
    run.scores = {f"{run.sample_split}, {name}": score for name, score in scores.items()}
    return scores


def score_val(
    run: Run, algorithm: Algorithm, modules: Modules, images: int, device: str, count: Count
) -> dict[str, float]:
    """Return the mean L1 of the val pairs that choose the best weights, by direction; raises as `sample` does.

    Pairs are scored at the scale of training, as previews are shown. count may raise to end it.
    """
    data = run.config.data
    with _at_inference(algorithm, modules):
        translators = _translators(run, algorithm, modules, images, device)
        sums = dict.fromkeys(translators, 0.0)
        for done, pair in enumerate(run.val_pairs):
            count(done, len(run.val_pairs))
            (sides,) = watched(functools.partial(_read_val, data=data), [pair], data.timeout_s)
            for direction, translator in translators.items():
                x, truth = by_direction(direction, *sides)
                if isinstance(pair, Pair):
                    x, _ = at_training_scale(to_channels(x, translator.generator.in_channels), data)
                    truth, _ = at_training_scale(to_channels(truth, _of_truth(translator)), data)
                sums[direction] += l1(translator.translate(x), truth)
    scores = {f"L1.{direction}": total / len(run.val_pairs) for direction, total in sums.items()}
    run.scores |= {f"val, {name}": score for name, score in scores.items()}
    return scores


def _read_val(pair: Pair | Derived, data: DataSettings) -> tuple[Array, Array]:
    """Read A and B, (H, W, C) each: derived ones as the model sees them, files as they are."""
    if isinstance(pair, Pair):
        return read_pair(pair, data.input_range)
    target, _ = at_training_scale(pair.read_target(data.input_range), data)
    return pair.input_from(target), target


@contextlib.contextmanager
def _at_inference(algorithm: Algorithm, modules: Modules) -> Iterator[None]:
    for name in algorithm.generators.values():
        modules[name].eval()
    try:
        yield
    finally:
        for name in algorithm.generators.values():
            modules[name].train()


def _translators(run: Run, algorithm: Algorithm, modules: Modules, images: int, device: str) -> dict[str, Translator]:
    spec = run.spec(algorithm, images)
    return {
        direction: Translator(spec, TorchBackend(modules[name], device), direction)
        for direction, name in algorithm.generators.items()
    }


def _translate(run: Run, algorithm: Algorithm, modules: Modules, images: int, device: str, count: Count) -> Samples:
    """Rows of input, output, the way back where the model has one, and truth where there is one, by direction."""
    translators = _translators(run, algorithm, modules, images, device)
    each = len(translators)  # a model of both directions also goes back
    total, done = each * sum(len(run.previews[direction].inputs) for direction in translators), itertools.count()

    def through(translator: Translator, pictures: list[Array]) -> list[Array]:
        outputs = []
        for picture in pictures:
            count(next(done), total)
            outputs.append(translator.translate(picture))
        return outputs

    sheets, scores = {}, {}
    for direction, translator in translators.items():
        way_back = translators.get(direction[::-1])
        previews, generator = run.previews[direction], translator.generator
        inputs, scale = _read(run, previews.inputs, generator.in_channels)
        outputs = through(translator, inputs)
        columns = {f"input{scale}": inputs, "output": outputs}
        if way_back:
            columns["back"] = through(way_back, outputs)
            scores[f"cycle_L1.{direction}"] = _mean_l1(columns["back"], inputs)
        if previews.truths:
            truths = columns["truth"] = _read(run, previews.truths, _of_truth(translator))[0]
            scores[f"L1.{direction}"] = _mean_l1(outputs, truths)
            scores |= {f"{name}.{direction}": value for name, value in _spread(outputs, truths).items()}
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
    return [picture for picture, _ in read_all], max((words for _, words in read_all), default="")


def _of_truth(translator: Translator) -> int:
    """Return the channels in which truths are compared: RGB, with alpha on white unless the model makes alpha."""
    return max(3, translator.generator.out_channels)


def _mean_l1(outputs: list[Array], truths: list[Array]) -> float:
    return float(np.mean([l1(output, truth) for output, truth in zip(outputs, truths, strict=True)]))


def _spread(outputs: list[Array], truths: list[Array]) -> dict[str, float]:
    """Compare how much outputs and truths differ among themselves, where there are several of one size."""
    if len(outputs) < 2 or len({picture.shape for picture in truths}) > 1:
        return {}
    return diversity(*(np.stack([as_rgb8(picture) for picture in side]) for side in (outputs, truths)))


def _generate(run: Run, algorithm: Algorithm, modules: Modules, images: int, device: str, count: Count) -> Samples:
    """A grid of the first seeds, or the cloud of points, and how much they differ."""
    name = algorithm.generators[GENERATE]
    generator = ImageGenerator(run.spec(algorithm, images), TorchBackend(modules[name], device))
    toy = run.config.data.toy
    if toy:
        points = generator.points(generator.draw(range(DRAWS)))
        found, good = modes_found(toy, points)
        scores = {"modes": float(found), "good": good, **diversity(points[:SAMPLES], run.real_samples)}
        return {GENERATE: cloud_png(points, run.real_samples)}, scores
    fakes = []
    for done in range(0, SAMPLES, _TOGETHER):
        count(done, SAMPLES)
        fakes.append(generator.run(generator.draw(range(done, done + _TOGETHER))))
    shown = range(run.config.log.sample_count)
    latents = generator.draw(shown)
    pictures, under = generator.pictures(latents), captions(shown, latents, generator.generator.blocks)
    scores = diversity(np.concatenate(fakes), run.real_samples)
    return {GENERATE: grid_png(pictures, under)}, scores
