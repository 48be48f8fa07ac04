"""What a run shows of itself while it trains: sheets of translations, or grids of samples, and their figures.

Pictures take the very path of `i2i translate` and `i2i generate`: one inference mode.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from torch import nn

from i2i.algorithms import Algorithm
from i2i.data.folders import Picture, read_pair, read_picture
from i2i.data.toy import DRAWS, modes_found
from i2i.data.watch import watched
from i2i.files import write_bytes
from i2i.images import Array, to_channels
from i2i.metrics.diagnostics import diversity
from i2i.metrics.pairs import as_rgb8, l1
from i2i.runtime.backends import TorchBackend
from i2i.runtime.generator import ImageGenerator
from i2i.runtime.latents import seed_latents
from i2i.runtime.translator import Translator
from i2i.settings import by_direction
from i2i.sheets import cloud_png, grid_png, sheet_png
from i2i.spec import GENERATE
from i2i.training.log import Expendable
from i2i.training.run import SAMPLES, Run

Modules = Mapping[str, nn.Module]
Samples = tuple[dict[str, bytes], dict[str, float]]
"""PNG files by direction, and figures by log name."""


def sample(
    run: Run, algorithm: Algorithm, modules: Modules, images: int, device: str, expendable: Expendable
) -> dict[str, float]:
    """Write the pictures of this moment to samples/, where that is possible, and return their figures by log name.

    Raises DataError when a preview cannot be read any more, and LoaderError when that takes too long.
    """
    make = _generate if GENERATE in algorithm.generators else _translate
    with _at_inference(algorithm, modules):
        sheets, scores = make(run, algorithm, modules, images, device)
    for direction, png in sheets.items():
        with expendable("samples"):
            write_bytes(run.folder / "samples" / f"{images:09d}.{direction}.png", png)
    run.scores = {f"{run.sample_split}, {name}": score for name, score in scores.items()}
    return scores


def score_val(
    run: Run, algorithm: Algorithm, modules: Modules, images: int, device: str, listen: Callable[[], object]
) -> dict[str, float]:
    """Return the mean L1 of the val pairs that choose the best weights, by direction; raises as `sample` does.

    listen: called before each pair, and may raise to end it.
    """
    value_range = run.config.data.input_range
    with _at_inference(algorithm, modules):
        translators = _translators(run, algorithm, modules, images, device)
        sums = dict.fromkeys(translators, 0.0)
        for pair in run.val_pairs:
            listen()
            (sides,) = watched(lambda one: read_pair(one, value_range), [pair], run.config.data.timeout_s)
            for direction, translator in translators.items():
                x, truth = by_direction(direction, *sides)
                sums[direction] += l1(translator.translate(to_channels(x, translator.generator.in_channels)), truth)
    scores = {f"L1.{direction}": total / len(run.val_pairs) for direction, total in sums.items()}
    run.scores |= {f"val, {name}": score for name, score in scores.items()}
    return scores


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


def _translate(run: Run, algorithm: Algorithm, modules: Modules, images: int, device: str) -> Samples:
    """Rows of input, output, the way back where the model has one, and truth where there is one, by direction."""
    translators = _translators(run, algorithm, modules, images, device)
    sheets, scores = {}, {}
    for direction, translator in translators.items():
        way_back = translators.get(direction[::-1])
        previews = run.previews[direction]
        read = _read(run, previews.inputs)
        inputs = [to_channels(one, translator.generator.in_channels) for one in read]
        outputs = [translator.translate(x) for x in inputs]
        columns: dict[str, list[Array]] = {"input": inputs, "output": outputs}
        if way_back:
            columns["back"] = [way_back.translate(output) for output in outputs]
            scores[f"cycle_L1.{direction}"] = _mean_l1(columns["back"], inputs)
        if previews.truths:
            columns["truth"] = _read(run, previews.truths)
            scores[f"L1.{direction}"] = _mean_l1(outputs, columns["truth"])
            scores |= {f"{name}.{direction}": value for name, value in _spread(outputs, columns["truth"]).items()}
        rows = list(zip(*columns.values(), strict=True))
        sheets[direction] = sheet_png(rows, list(columns))
    return sheets, scores


def _read(run: Run, pictures: Sequence[Picture]) -> list[Array]:
    data = run.config.data
    return watched(lambda picture: read_picture(picture, data.input_range), pictures, data.timeout_s)


def _mean_l1(outputs: list[Array], truths: list[Array]) -> float:
    return float(np.mean([l1(output, truth) for output, truth in zip(outputs, truths, strict=True)]))


def _spread(outputs: list[Array], truths: list[Array]) -> dict[str, float]:
    """Compare how much outputs and truths differ among themselves, where there are several of one size."""
    if len(outputs) < 2 or len({picture.shape for picture in truths}) > 1:
        return {}
    return diversity(*(np.stack([as_rgb8(picture) for picture in side]) for side in (outputs, truths)))


def _generate(run: Run, algorithm: Algorithm, modules: Modules, images: int, device: str) -> Samples:
    """A grid of the first seeds, or the cloud of points, and how much they differ."""
    name = algorithm.generators[GENERATE]
    generator = ImageGenerator(run.spec(algorithm, images), TorchBackend(modules[name], device))
    toy = run.config.data.toy
    if toy:
        points = generator.points(seed_latents(range(DRAWS), generator.latent))
        found, good = modes_found(toy, points)
        scores = {"modes": float(found), "good": good, **diversity(points[:SAMPLES], run.real_samples)}
        return {GENERATE: cloud_png(points, run.real_samples)}, scores
    fakes = generator.run(seed_latents(range(SAMPLES), generator.latent))
    shown = range(run.config.log.sample_count)
    pictures = generator.pictures(seed_latents(shown, generator.latent))
    return {GENERATE: grid_png(pictures, [str(seed) for seed in shown])}, diversity(fakes, run.real_samples)
