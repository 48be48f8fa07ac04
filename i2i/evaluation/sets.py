"""Compare sets of pictures: translations of A with B, or samples with the pictures of a folder.

A figure is meaningless without its feature network, way of resizing, numbers of pictures and reference, so all of them
are part of the result. Trivial answers and another real set are scored beside the model.
"""

import functools
import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from i2i import status, weights
from i2i.config.settings import by_direction
from i2i.data.folders import find_images, find_sides, has_split, spread
from i2i.data.items import Picture, read_picture
from i2i.errors import DataError, UsageError
from i2i.evaluation.baselines import blurred, fit_colour_map
from i2i.files import atomic_write
from i2i.images import Array, Range
from i2i.metrics import distributions
from i2i.metrics.features import MODES, NETWORKS, best_network, features
from i2i.metrics.pairs import as_rgb8
from i2i.runtime.fit import AUTO, Fit
from i2i.runtime.generator import ImageGenerator
from i2i.runtime.translator import Translator

FEW = 1000
"""Below this number of pictures the Fréchet distance is mostly bias: compare KID instead."""
MOST_SAMPLES = 1000
LEAST = 10


class Ruler(NamedTuple):
    """What sets are measured with."""

    network: str
    """One of NETWORKS in i2i.metrics.features."""
    mode: str
    """One of MODES there."""

    @property
    def sha256(self) -> str:
        """The digest of the network's weights; empty for random filters."""
        name = NETWORKS[self.network].weights
        return weights.KNOWN[name].sha256 if name else ""

    @property
    def frechet_name(self) -> str:
        """The name of the Fréchet distance: `fid` on Inception's features, `frechet` on others."""
        return "fid" if self.network == "inception" else "frechet"


class SetScores(NamedTuple):
    """Scores of a set of pictures against a reference set."""

    made: int
    scores: dict[str, float]
    kid_interval: tuple[float, float]


class SetEvaluation(NamedTuple):
    """Scores of a model's set and of each baseline; `reference_sha256` is the digest of the real files."""

    what: str
    ruler: Ruler
    real: int
    reference_sha256: str
    model: SetScores
    baselines: dict[str, SetScores]

    def to_json(self) -> dict[str, object]:
        """Return everything as plain values."""
        return {
            "what": self.what,
            "network": self.ruler.network,
            "mode": self.ruler.mode,
            "weights_sha256": self.ruler.sha256,
            "real": self.real,
            "reference_sha256": self.reference_sha256,
            "model": self.model._asdict(),
            "baselines": {name: scores._asdict() for name, scores in self.baselines.items()},
        }

    def notes(self) -> Iterator[str]:
        """Yield what readers of the figures should know."""
        if min(self.real, self.model.made) < FEW:
            yield (
                f"With {self.real:,} real and {self.model.made:,} generated pictures, {self.ruler.frechet_name} is too "
                f"high: it is biased below about {FEW:,}. Compare KID and its interval instead."
            )
        if self.ruler.network == "random":
            yield (
                "Random filters only rank runs on the same data; never compare them with published figures. "
                "Get weights with: i2i weights get alexnet"
            )


def make_ruler(network: str | None = None, mode: str = "clean") -> Ruler:
    """Return a ruler; network: None takes the best known one whose weights are here. Raises UsageError, ModelError."""
    if network is not None and network not in NETWORKS:
        raise UsageError(f"Unknown feature network {network}. Choose one of {', '.join(NETWORKS)}.")
    if mode not in MODES:
        raise UsageError(f"Unknown mode {mode}. Choose one of {', '.join(MODES)}.")
    chosen = network or best_network()
    if name := NETWORKS[chosen].weights:
        weights.find(name)  # raises before any work
    return Ruler(chosen, mode)


def evaluate_translations(
    model: str | Path,
    data: str | Sequence[str],
    split: str = "test",
    direction: str | None = None,
    device: str = "auto",
    ruler: Ruler | None = None,
    fit: Fit = AUTO,
) -> SetEvaluation:
    """Compare translate(A) with B as sets (or B with A, by `direction`); pictures need no partners.

    data: one folder with two sides, or A's and B's. ruler: by default the best network whose weights are here.
    Raises DataError, ModelError and UsageError.
    """
    paths = [data] if isinstance(data, str) else list(data)
    ruler = ruler or make_ruler()
    a, b = find_sides(paths, split)
    translator = Translator.open(model, direction, device, fit=fit)
    inputs, reference = by_direction(translator.direction, a, b)
    others: Sequence[Picture] = ()
    if split != "train" and has_split(paths, "train"):
        others = spread(by_direction(translator.direction, *find_sides(paths, "train"))[1], len(reference))
    value_range = translator.spec.input_range
    made = [functools.partial(_translated, translator, one, value_range) for one in inputs]
    what = f"{translator.direction}: translations of {split} against pictures of {translator.direction[-1]}"
    return evaluate_sets(what, made, reference, ruler, others, inputs, value_range)


def evaluate_samples(
    model: str | Path,
    data: str | Sequence[str],
    split: str = "test",
    count: int | None = None,
    side: Literal["A", "B"] | None = None,
    device: str = "auto",
    ruler: Ruler | None = None,
) -> SetEvaluation:
    """Compare samples of a model from noise with the pictures of a folder.

    count: samples, of seeds 1, 2, ...; by default as many as pictures, at most MOST_SAMPLES. side: which side of data
    with two. Raises DataError, ModelError and UsageError.
    """
    paths = [data] if isinstance(data, str) else list(data)
    ruler = ruler or make_ruler()
    here = split if has_split(paths, split) else "train"
    reference = find_images(paths, here, side)
    has_others = here != "train" and has_split(paths, "train")
    others = find_images(paths, "train", side) if has_others else ()
    generator = ImageGenerator.open(model, device)
    seeds = range(1, 1 + (count or min(len(reference), MOST_SAMPLES)))
    made = [functools.partial(_sampled, generator, seed) for seed in seeds]
    value_range = generator.spec.input_range
    return evaluate_sets(
        f"samples against pictures of {here}", made, reference, ruler, spread(others, len(reference)), (), value_range
    )


def _translated(translator: Translator, picture: Picture, value_range: Range | None) -> Array:
    return translator.translate(read_picture(picture, value_range))


def _sampled(generator: ImageGenerator, seed: int) -> Array:
    (picture,) = generator.pictures(generator.draw([seed]))
    return picture


def evaluate_sets(
    what: str,
    made: Sequence[Callable[[], Array]],
    reference: Sequence[Picture],
    ruler: Ruler,
    others: Sequence[Picture] = (),
    inputs: Sequence[Picture] = (),
    value_range: Range | None = None,
) -> SetEvaluation:
    """Compare what a model made with real pictures, and with what needs no model.

    what: names the two sets. made: calls that return one picture each. others: further real pictures, as of train.
    inputs: what was translated. Baselines: `real` (as many others), `real_blurred`; with inputs `input_copied` and
    `colour_map`, the linear map of colours that gives inputs the reference's mean and covariance.
    Raises DataError for fewer than LEAST pictures on a side.
    """
    for name, count in (("real", len(reference)), ("made", len(made))):
        if count < LEAST:
            raise DataError(f"{count} {name} pictures are too few to compare sets: at least {LEAST} are needed.")
    sha256, real = reference_features(reference, ruler, value_range)
    with status.doing("Making pictures"):
        of_made = features(_counted(made), *ruler)
    baselines: dict[str, SetScores] = {}
    with status.doing("Scoring baselines"):
        for name, pictures in _baselines(reference, others, inputs, value_range):
            baselines[name] = _scores(real, features(pictures, *ruler), ruler)
    return SetEvaluation(what, ruler, len(real), sha256, _scores(real, of_made, ruler), baselines)


def reference_features(pictures: Sequence[Picture], ruler: Ruler, value_range: Range | None) -> tuple[str, Array]:
    """Return the digest of a reference set and its features, kept in the cache by digest, network and mode."""
    digest = hashlib.sha256(f"{value_range}".encode())
    for picture in pictures:
        digest.update(f"{picture.name} {picture.half} ".encode("utf-8", "surrogateescape"))
        digest.update(hashlib.sha256(picture.path.read_bytes()).digest())
    sha256 = digest.hexdigest()
    kept = weights.folder().parent / "features" / f"{sha256[:32]}-{ruler.network}-{ruler.mode}-{ruler.sha256[:8]}.npy"
    if kept.is_file():
        try:
            found: Array = np.load(kept, allow_pickle=False)
            if len(found) == len(pictures):
                return sha256, found
        except (OSError, ValueError):
            pass  # cut short, or from another numpy: computed again
    calls = [functools.partial(read_picture, one, value_range) for one in pictures]
    with status.doing("Examining the reference set"):
        found = features(_counted(calls), *ruler)
    if os.access(_existing(kept.parent), os.W_OK):
        kept.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(kept) as temporary, temporary.open("wb") as file:
            np.save(file, found)
    return sha256, found


def refuse_incomparable(first: dict[str, object], second: dict[str, object]) -> None:
    """Raise UsageError if two results of `SetEvaluation.to_json` were measured differently; it names the difference."""
    for name in ("network", "mode", "weights_sha256", "real", "reference_sha256"):
        if first[name] != second[name]:
            raise UsageError(
                f"These scores cannot be compared: {name} is {first[name]} in one and {second[name]} in the other.\n"
                "Evaluate both models in the same way, on the same pictures."
            )


def _scores(real: Array, made: Array, ruler: Ruler) -> SetScores:
    precision, recall = distributions.precision_recall(real, made)
    density, coverage = distributions.density_coverage(real, made)
    scores = {
        "kid": float(distributions.kid(real, made)),
        ruler.frechet_name: distributions.frechet(real, made),
        "sliced_wasserstein": distributions.sliced_wasserstein(real, made),
        "precision": precision,
        "recall": recall,
        "density": density,
        "coverage": coverage,
    }
    return SetScores(len(made), scores, distributions.kid_interval(real, made))


def _baselines(
    reference: Sequence[Picture], others: Sequence[Picture], inputs: Sequence[Picture], value_range: Range | None
) -> Iterator[tuple[str, Iterator[Array]]]:
    def read(pictures: Sequence[Picture]) -> Iterator[Array]:
        return (as_rgb8(read_picture(picture, value_range)) for picture in pictures)

    if len(others) >= LEAST:
        yield "real", read(others[: len(reference)])
    yield "real_blurred", map(blurred, read(reference))
    if inputs:
        yield "input_copied", read(inputs)
        colour_map = fit_colour_map(read(inputs), read(reference))
        yield "colour_map", map(colour_map, read(inputs))


def _counted(calls: Sequence[Callable[[], Array]]) -> Iterator[Array]:
    for done, call in enumerate(calls):
        status.count(done, len(calls))
        yield call()


def _existing(path: Path) -> Path:
    """Return the nearest folder above a path that exists."""
    return next(one for one in (path, *path.parents) if one.exists())
