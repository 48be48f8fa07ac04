"""Compare sets of pictures: translations of A with B, or samples with the pictures of a folder.

A figure is meaningless without its feature network, way of resizing, numbers of pictures and reference, so all of them
are part of the result. Trivial answers and another real set are scored beside the model.
"""

import functools
import statistics
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from i2i import status
from i2i.config.settings import by_direction
from i2i.data.checking import check_pictures
from i2i.data.folders import find_images, find_sides, has_split, spread
from i2i.data.items import Picture, read_picture
from i2i.errors import DataError, UsageError
from i2i.evaluation.baselines import blurred, fit_colour_map
from i2i.evaluation.choosing import described, layouts_of, which_pictures
from i2i.evaluation.cycle import Cycle, CycleScores
from i2i.evaluation.labelled import Labelled
from i2i.evaluation.pairs import LOST, OTHER_SCALE, scale_note
from i2i.evaluation.ruler import Progress, Ruler, counted, make_ruler, reference_features
from i2i.images import Array, Header, Layout, Range
from i2i.metrics import distributions
from i2i.metrics.features import features
from i2i.metrics.pairs import as_rgb8
from i2i.models.modelfile import find_model
from i2i.runtime.fit import AUTO, Fit
from i2i.runtime.generator import ImageGenerator

FEW = 1000
"""Below this number of pictures the Fréchet distance is mostly bias: compare KID instead."""
MOST_SAMPLES = 1000
LEAST = 10
TRIVIAL = ("input_copied", "colour_map")
"""Baselines that need no model; the others are real pictures."""


class SetScores(NamedTuple):
    """Scores of a set of pictures against `real` pictures."""

    made: int
    real: int
    scores: dict[str, float]
    kid_interval: tuple[float, float]


class SetEvaluation(NamedTuple):
    """Scores of a model's set and of each baseline; `reference_sha256` is the digest of the real files.

    direction, labels, cycle: of translations. fit: how pictures came to the network's size. remarks: what the user
    should know besides `notes`.
    """

    what: str
    ruler: Ruler
    real: int
    reference_sha256: str
    model: SetScores
    baselines: dict[str, SetScores]
    direction: str | None = None
    fit: str | None = None
    cycle: CycleScores | None = None
    remarks: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()

    def to_json(self) -> dict[str, object]:
        """Return everything as plain values; docs/json.md describes them."""
        return {
            "what": self.what,
            "direction": self.direction,
            "fit": self.fit,
            "labels": [*self.labels],
            "network": self.ruler.network,
            "mode": self.ruler.mode,
            "weights_sha256": self.ruler.sha256,
            "real": self.real,
            "reference_sha256": self.reference_sha256,
            "model": self.model._asdict(),
            "baselines": {name: scores._asdict() for name, scores in self.baselines.items()},
            **(self.cycle.to_json() if self.cycle else {}),
            "notes": [*self.notes],
        }

    @property
    def notes(self) -> tuple[str, ...]:
        """What readers of the figures should know."""
        return (*self.remarks, *self._notes())

    def _notes(self) -> Iterator[str]:
        if lost := [*self._lost()]:
            yield f"{LOST}{', '.join(lost)}."
        if min(self.real, self.model.made) < FEW:
            frechet = "FID" if self.ruler.frechet_name == "fid" else "the Fréchet distance"
            yield (
                f"With {self.real:,} real and {self.model.made:,} generated pictures, {frechet} is too high: it is "
                f"biased below about {FEW:,}. Compare KID and its interval instead."
            )
        if self.ruler.network == "random":
            yield (
                "Random filters only rank runs on the same data; never compare them with published figures. "
                "Get weights with: i2i weights get alexnet"
            )

    def _lost(self) -> Iterator[str]:
        """Yield the answers that need no model and are nearer to the real pictures, with the distances that say so."""
        labels = {"kid": "KID", "fid": "FID", "frechet": "Fréchet", "mind": "MIND", "sliced_wasserstein": "SW"}
        for name in (one for one in TRIVIAL if one in self.baselines):
            theirs, ours = self.baselines[name].scores, self.model.scores
            nearer = [label for one, label in labels.items() if one in ours and theirs[one] < ours[one]]
            if nearer:
                yield f"{name.replace('_', ' ')} ({', '.join(nearer)})"


def evaluate_translations(
    model: str | Path,
    data: str | Sequence[str],
    split: str = "test",
    direction: str | None = None,
    device: str = "auto",
    ruler: Ruler | None = None,
    fit: Fit = AUTO,
    labels: Sequence[str] = (),
    table: str | None = None,
    progress: Progress = lambda done, total: None,
) -> SetEvaluation:
    """Compare translate(A) with B as sets (or B with A, by `direction`); pictures need no partners.

    data: one folder with two sides, or A's and B's. ruler: by default the best network whose weights are here.
    labels, table: of a model that takes any, as in Labelled.open. Raises DataError, ModelError and UsageError.
    """
    paths = [data] if isinstance(data, str) else list(data)
    ruler = ruler or make_ruler()
    layouts = layouts_of(described(find_model(Path(model))), direction)
    if any(layout.bands for layout in layouts):
        raise UsageError("Sets are compared as RGB pictures, and this model has bands. Give it pairs, without --sets.")
    a, b = find_sides(paths, split, layouts=layouts)
    _refuse_few(in_A=len(a), in_B=len(b))
    names = [picture.name for picture in (*a, *b)]
    labelled = Labelled.open(model, names, direction, device, fit, labels=labels, table=table)
    translator = labelled.translator
    inputs, reference = by_direction(translator.direction, a, b)
    sizes = [size for size in check_pictures([*inputs, *reference]) if size][: len(inputs)]
    others: Sequence[Picture] = ()
    if split != "train" and has_split(paths, "train"):
        others = spread(
            by_direction(translator.direction, *find_sides(paths, "train", layouts=layouts))[1], len(reference)
        )
    value_range, cycle = translator.spec.input_range, Cycle.open(model, labelled, device, fit)
    made = [functools.partial(_translated, labelled, one, cycle) for one in inputs]
    what = f"{translator.direction}: translations of {split} against pictures of {translator.direction[-1]}"
    result = evaluate_sets(what, made, reference, ruler, others, inputs, value_range, progress)
    return result._replace(
        direction=translator.direction,
        fit=fit.how,
        cycle=cycle.scores() if cycle else None,
        remarks=(*translator.backend.notes, *scale_note(sizes, translator.spec.trained_side_px, fit)),
        labels=labelled.labels,
    )


def evaluate_samples(
    model: str | Path,
    data: str | Sequence[str],
    split: str = "test",
    count: int | None = None,
    side: Literal["A", "B"] | None = None,
    device: str = "auto",
    ruler: Ruler | None = None,
    progress: Progress = lambda done, total: None,
) -> SetEvaluation:
    """Compare samples of a model from noise with the pictures of a folder.

    count: samples, of seeds 1, 2, ...; by default as many as pictures, at most MOST_SAMPLES. side: which side of data
    with two. Raises DataError, ModelError and UsageError.
    """
    paths = [data] if isinstance(data, str) else list(data)
    ruler = ruler or make_ruler()
    here, what, remarks = which_pictures(paths, split, side)
    generator = ImageGenerator.open(model, device)
    value_range = generator.spec.input_range
    layout = Layout(value_range=value_range)
    reference = find_images(paths, here, side, layout=layout)
    _refuse_few(real=len(reference))
    has_others = here != "train" and has_split(paths, "train")
    others = find_images(paths, "train", side, layout=layout) if has_others else ()
    sizes = [size for size in check_pictures(reference) if size]
    seeds = range(1, 1 + (count or min(len(reference), MOST_SAMPLES)))
    made = [functools.partial(_sampled, generator, seed) for seed in seeds]
    others = spread(others, len(reference))
    what = f"samples against {what}"
    result = evaluate_sets(what, made, reference, ruler, others, (), value_range, progress)
    return result._replace(remarks=(*remarks, *_sharpness_note(sizes, generator.generator.out_px)))


def _refuse_few(**counts: int) -> None:
    """Raise DataError where there are too few pictures to compare sets; counts: by what they are."""
    for name, count in counts.items():
        if count < LEAST:
            raise DataError(
                f"Too few pictures to compare sets: {count} {name.replace('_', ' ')}, at least {LEAST} are needed.\n"
                "Give more, or pairs: pictures of A and B with the same name up to the suffix."
            )


def _sharpness_note(sizes: Sequence[Header], made_px: int) -> tuple[str, ...]:
    """Return a line if the real pictures are much larger or smaller than samples."""
    side_px = statistics.median(min(size) for size in sizes)
    if not made_px or 1 / OTHER_SCALE <= side_px / made_px <= OTHER_SCALE:
        return ()
    return (
        f"The real pictures' shorter side is {side_px:.0f} px (median), that of samples {made_px} px: scores count the "
        "difference in sharpness.\nFor a fair score, give real pictures of the samples' size.",
    )


def _translated(labelled: Labelled, picture: Picture, cycle: Cycle | None) -> Array:
    x = read_picture(picture)
    output = labelled.of(picture.name).translate(x)
    if cycle:
        cycle.add(picture.name, x, output)
    return output


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
    progress: Progress = lambda done, total: None,
) -> SetEvaluation:
    """Compare what a model made with real pictures, and with what needs no model.

    what: names the two sets. made: calls that return one picture each. others: further real pictures, as of train.
    inputs: what was translated. value_range: of the real pictures, for their digest. Baselines: `real` (as many others
    or, without them, one half of the real pictures against the other half), `real_blurred` (the same, blurred); with
    inputs `input_copied` and `colour_map`, the linear map of colours that gives inputs the reference's mean and
    covariance.
    Raises DataError for fewer than LEAST pictures on a side.
    """
    _refuse_few(real=len(reference), made=len(made))
    sha256, real = reference_features(reference, ruler, value_range)
    with status.doing("Making pictures"):
        of_made = features(counted(made, progress), *ruler)
    baselines: dict[str, SetScores] = {}
    with status.doing("Scoring baselines"):
        for name, against, pictures in _baselines(reference, others, inputs):
            baselines[name] = _scores(real[against], features(pictures, *ruler), ruler)
    return SetEvaluation(what, ruler, len(real), sha256, _scores(real, of_made, ruler), baselines)


_WASSERSTEIN = {"mind": distributions.mind, "sliced_wasserstein": distributions.sliced_wasserstein}


def _scores(real: Array, made: Array, ruler: Ruler) -> SetScores:
    precision, recall = distributions.precision_recall(real, made)
    density, coverage = distributions.density_coverage(real, made)
    scores = {
        "kid": float(distributions.kid(real, made)),
        ruler.frechet_name: distributions.frechet(real, made),
        ruler.wasserstein_name: _WASSERSTEIN[ruler.wasserstein_name](real, made),
        "precision": precision,
        "recall": recall,
        "density": density,
        "coverage": coverage,
    }
    return SetScores(len(made), len(real), scores, distributions.kid_interval(real, made))


def _baselines(
    reference: Sequence[Picture], others: Sequence[Picture], inputs: Sequence[Picture]
) -> Iterator[tuple[str, slice, Iterator[Array]]]:
    """Yield name, which of the real pictures to compare with, and pictures."""

    def read(pictures: Sequence[Picture]) -> Iterator[Array]:
        return (as_rgb8(read_picture(picture)) for picture in pictures)

    everything = slice(None)
    # Not the reference itself, blurred: with the very same pictures, KID falls below that of other real ones.
    fresh, against = others[: len(reference)], everything
    if len(fresh) < LEAST <= len(reference) // 2:
        fresh, against = reference[1::2], slice(None, None, 2)
    if len(fresh) >= LEAST:
        yield "real", against, read(fresh)
        yield "real_blurred", against, map(blurred, read(fresh))
    if inputs:
        yield "input_copied", everything, read(inputs)
        colour_map = fit_colour_map(read(inputs), read(reference))
        yield "colour_map", everything, map(colour_map, read(inputs))
