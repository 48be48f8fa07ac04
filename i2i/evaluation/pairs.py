"""A model scored against the truth, pair by pair, beside trivial answers.

The answers are the input itself, the mean of the training targets, and the best affine change of colour that the
training pairs allow.
"""

import functools
import statistics
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from i2i import status, weights
from i2i.data.checking import Seen, check_pairs, check_pictures, odd_halves, refuse_small
from i2i.data.derive import Derived, find_derived
from i2i.data.folders import Lister, find_pairs, has_split, spread
from i2i.data.items import Pair
from i2i.errors import DataError, UsageError
from i2i.evaluation.baselines import BASELINES, Answer, fit_baselines, sides
from i2i.evaluation.choosing import described
from i2i.images import Array, Header, to_channels
from i2i.images.listing import list_pictures
from i2i.metrics import METRICS, USUAL
from i2i.metrics.intervals import mean_interval
from i2i.models.modelfile import find_model
from i2i.report.sheets import sheet_png
from i2i.runtime.fit import AUTO, NATIVE_SCALE, Fit
from i2i.runtime.foreign import UNSAID, Values
from i2i.runtime.translator import Translator

Scores = dict[str, float]
Interval = tuple[float, float]
Finder = Callable[[Sequence[str], str, Lister], Sequence[Pair | Derived]]
"""Maps folders, a split and what lists a folder to the pairs of the split."""
SHEET_ROWS = 12
WORST = 10
"""Pairs on the sheet of the worst."""
OTHER_SCALE = 1.5
"""Pictures this many times as large or small as those of training get a note."""


class Evaluation(NamedTuple):
    """Mean scores over a split: of the model, and of each baseline (None if there is no train split).

    cycle_l1: for a model that holds both directions, mean L1 (0 to 255) between the inputs and their translations
    translated back; cycle_l1_unrounded: the same where the translation is not rounded to a picture in between: what
    a model hides in the lowest bits shows in the difference. sheet, worst: PNG files with rows of
    input | output | truth, of pairs from all over the split and of those with the worst scores.
    notes: what the user should know about the scores.
    """

    pairs: int
    split: str
    model: Scores
    baselines: dict[str, Scores | None]
    intervals: dict[str, Interval]
    """95% bootstrap interval of the model's mean, over pictures."""
    rows: tuple[dict[str, str | float], ...]
    """The model's scores of each pair, with its name."""
    direction: str
    cycle_l1: float | None = None
    cycle_l1_unrounded: float | None = None
    sheet: bytes | None = None
    worst: bytes | None = None
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, object]:
        """Return all but the sheets and rows as plain values; docs/evaluate.md describes them."""
        cycle = {"cycle_l1": self.cycle_l1, "cycle_l1_unrounded": self.cycle_l1_unrounded}
        return {
            "pairs": self.pairs,
            "split": self.split,
            "direction": self.direction,
            "model": self.model,
            "intervals": {name: [*interval] for name, interval in self.intervals.items()},
            "baselines": self.baselines,
            "weights_sha256": {
                file: weights.KNOWN[file].sha256 for name in self.model for file in METRICS[name].weights
            },
            **(cycle if self.cycle_l1 is not None else {}),
        }


def choose_metrics(asked: Sequence[str] | None) -> tuple[str, ...]:
    """Return the metrics to score, by default USUAL and LPIPS if its weights are here.

    Raises UsageError for an unknown one, ModelError for missing weights.
    """
    if asked is None:
        return (*USUAL, "lpips") if weights.has("alexnet") else USUAL
    for name in asked:
        if name not in METRICS:
            raise UsageError(f"Unknown metric {name}. Choose from {', '.join(METRICS)}.")
        for file in METRICS[name].weights:
            weights.find(file)
    return tuple(dict.fromkeys(asked))


def evaluate(
    model: str | Path,
    data: str | Sequence[str],
    split: str = "test",
    direction: str | None = None,
    device: str = "auto",
    sheet: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
    values: Values = UNSAID,
    say: Callable[[str], None] = lambda note: None,
    metrics: Sequence[str] | None = None,
    worst: bool = False,
    fit: Fit = AUTO,
) -> Evaluation:
    """Score a model (run folder, .safetensors, .onnx or .pth) on the pairs of a split, at their own size.

    data: one folder, or A's and B's. sheet, worst: whether to make these sheets. progress: called with
    (done, total). values: black and white in an .onnx file of another project. say: called with what the user should
    know about the data. metrics: names in METRICS. fit: how pictures come to sizes that the network takes.
    Raises DataError, also for pictures too small for a metric that was asked for, ModelError and UsageError.
    """
    paths = [data] if isinstance(data, str) else list(data)
    find = _finder(find_model(Path(model)))
    chosen = choose_metrics(metrics)
    pairs, sizes = _scorable_pairs(paths, split, find, USUAL if metrics is None else chosen, say)
    least_px = min(min(size) for size in sizes)
    chosen = tuple(name for name in chosen if METRICS[name].least_px <= least_px)
    translator = Translator.open(model, direction, device, fit=fit, values=values)
    answers = {"model": translator.translate, **_trivial_answers(paths, find, translator)}
    scorer = _Scorer(chosen, answers, _open_way_back(model, translator, device, fit))
    read = functools.partial(sides, direction=translator.direction, value_range=translator.spec.input_range)
    with status.doing("Scoring pairs"):
        for index, pair in enumerate(pairs):
            status.count(index, len(pairs))
            scorer.score(pair.name, *read(pair))
            progress(index + 1, len(pairs))
    means = {name: scorer.means(name) for name in answers}
    return Evaluation(
        len(pairs),
        split if has_split(paths, split) else "the two folders",
        means["model"],
        {name: means.get(name) for name in BASELINES},
        {name: mean_interval(scorer.of("model", name)) for name in chosen},
        tuple(scorer.rows),
        translator.direction,
        *scorer.cycles(),
        scorer.sheet(map(read, spread(pairs, SHEET_ROWS))) if sheet else None,
        scorer.sheet(read(pairs[place]) for place in scorer.worst()) if worst else None,
        (*translator.backend.notes, *_scale_note(sizes, translator.spec.trained_side_px), *_lost(means)),
    )


def _trivial_answers(paths: Sequence[str], find: Finder, translator: Translator) -> dict[str, Answer]:
    """Return the input as it is, and, if there is a train split, what is fitted to its pairs."""
    answers: dict[str, Answer] = {"input_copied": lambda x: x}
    if has_split(paths, "train"):
        with status.doing("Fitting the baselines"):
            pairs = find(paths, "train", list_pictures)
            answers |= fit_baselines(pairs, translator.direction, translator.spec.input_range)
    return answers


def _open_way_back(model: str | Path, translator: Translator, device: str, fit: Fit) -> Translator | None:
    """Return a model's other direction, if it has one."""
    back = translator.direction[::-1]
    return Translator.open(model, back, device, fit=fit) if back in translator.spec.generators else None


class _Scorer:
    """Scores of the model and each baseline, pair by pair, and of the way back if there is one."""

    def __init__(self, metrics: Sequence[str], answers: dict[str, Answer], way_back: Translator | None):
        self.metrics, self.answers, self.way_back = metrics, answers, way_back
        self.scores: dict[str, list[list[float]]] = {name: [] for name in answers}
        self.rows: list[dict[str, str | float]] = []
        self.cycle_l1 = self.cycle_l1_unrounded = 0.0

    def score(self, name: str, x: Array, y: Array) -> None:
        """Score the answers to an input against its target."""
        outputs = {answer: call(x) for answer, call in self.answers.items()}
        for answer, output in outputs.items():
            self.scores[answer].append([METRICS[metric].score(output, y) for metric in self.metrics])
        self.rows.append({"name": name, **dict(zip(self.metrics, self.scores["model"][-1], strict=True))})
        if self.way_back:
            self.cycle_l1 += self._cycle(outputs["model"], x)
            unrounded = self.answers["model"](_as_float(x))
            self.cycle_l1_unrounded += self._cycle(unrounded, x)

    def row(self, x: Array, y: Array) -> list[Array]:
        """Return input, output, the way back if there is one, and target."""
        output = self.answers["model"](x)
        return [x, output, *([self.way_back.translate(output)] if self.way_back else []), y]

    def sheet(self, examples: Iterable[tuple[Array, Array]]) -> bytes:
        """Return a PNG file with a row for each input and its target."""
        titles = ["input", "output", *(["back"] if self.way_back else []), "truth"]
        return sheet_png([self.row(x, y) for x, y in examples], titles)

    def of(self, answer: str, metric: str) -> list[float]:
        """Return the scores of an answer, pair by pair."""
        place = self.metrics.index(metric)
        return [scores[place] for scores in self.scores[answer]]

    def means(self, answer: str) -> Scores:
        """Return the mean of each score of an answer."""
        return {metric: float(np.mean(self.of(answer, metric))) for metric in self.metrics}

    def cycles(self) -> tuple[float | None, float | None]:
        """Return the mean L1 of going there and back, rounded in between and not."""
        count = len(self.rows)
        return (self.cycle_l1 / count, self.cycle_l1_unrounded / count) if self.way_back else (None, None)

    def worst(self) -> list[int]:
        """Return the places of the pairs with the worst scores by the last metric, worst first."""
        last = self.metrics[-1]
        order = np.argsort(self.of("model", last), kind="stable")
        return (order[::-1] if METRICS[last].better == "lower" else order)[:WORST].tolist()

    def _cycle(self, output: Array, x: Array) -> float:
        assert self.way_back is not None
        back = self.way_back.translate(output)
        return METRICS["l1"].score(back, to_channels(x, back.shape[2]))


def _as_float(picture: Array) -> Array:
    """Return a picture as float32 in [0, 1], so that its translation is not rounded either."""
    if picture.dtype == np.float32:
        return picture
    return (picture / np.float32(np.iinfo(picture.dtype).max)).astype(np.float32)


def _lost(means: dict[str, Scores]) -> tuple[str, ...]:
    """Return a line if a trivial answer scores better than the model."""
    better = [
        f"{name.replace('_', ' ')} ({METRICS[metric].label})"
        for name in means
        if name != "model"
        for metric in means["model"]
        if METRICS[metric].beats(means[name][metric], means["model"][metric])
    ]
    return (f"The model lost to {', '.join(better)}.",) if better else ()


def _finder(file: Path) -> Finder:
    """Return what finds pairs for a model: files, or pictures and what its training derived from them."""
    spec = described(file)
    if not (spec and spec.derivation):
        return find_pairs
    how, channels = spec.derivation, spec.generators[spec.pick(None)].out_channels
    return lambda paths, split, lister: find_derived(paths, split, how.settings, channels, how.side, lister)


def _scorable_pairs(
    paths: Sequence[str], split: str, find: Finder, asked: Sequence[str], say: Callable[[str], None]
) -> tuple[Sequence[Pair | Derived], list[Header]]:
    """Return the pairs of a split and the size of each; raises DataError where one cannot be scored."""
    notes: list[str] = []
    try:
        pairs = find(paths, split, functools.partial(list_pictures, notes=notes))
    except DataError as error:
        if find is not find_pairs:
            raise
        advice = "Scores compare pairs; pictures without partners can be translated, not scored."
        raise DataError(f"{error}\n{advice}") from error
    seen = Seen()
    targets = [pair.target for pair in pairs if isinstance(pair, Derived)]
    whole = [pair for pair in pairs if isinstance(pair, Pair)]
    sizes = check_pictures(targets, seen=seen) if targets else check_pairs(whole, seen=seen)
    files = targets or whole
    for name in asked:
        advice = "Remove them, score larger pictures, or leave it out of --metrics."
        refuse_small(files, sizes, METRICS[name].least_px, f"what {METRICS[name].label} needs", advice)
    for note in filter(None, (*notes, *seen.notes(), odd_halves(files, sizes))):
        say(note)
    return pairs, [size for size in sizes if size]


def _scale_note(sizes: Sequence[Header], trained_px: int) -> tuple[str, ...]:
    """Return a line if the pictures have another scale than those of training; trained_px 0 is unknown."""
    side_px = statistics.median(min(size) for size in sizes)
    if not trained_px or 1 / OTHER_SCALE <= side_px / trained_px <= OTHER_SCALE:
        return ()
    return (
        f"These pictures were scored at their own size, {side_px / trained_px:.2g} times the scale of training:\n"
        f"their shorter side is {side_px:.0f} px (median), in training it was {trained_px} px. {NATIVE_SCALE}",
    )
