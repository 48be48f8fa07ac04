"""A model scored against the truth, pair by pair, beside trivial answers.

The answers are the input itself, the mean of the training targets, the best affine change of colour that the training
pairs allow, and the linear map of colours that needs no pairs.
"""

import statistics
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from i2i import status, weights
from i2i.config.settings import by_direction
from i2i.data.checking import Seen, check_pairs, check_pictures, odd_halves, refuse_small
from i2i.data.derive import Derived, find_derived
from i2i.data.folders import Lister, find_pairs, find_sides, has_split, spread
from i2i.data.items import Pair, Picture, read_picture
from i2i.errors import DataError
from i2i.evaluation.baselines import BASELINES, Answer, fit_baselines, fit_colour_map, masked_sides
from i2i.evaluation.choosing import choose_metrics, described, layouts_of, way_on, without_partners
from i2i.evaluation.cycle import Cycle, CycleScores
from i2i.evaluation.labelled import Labelled
from i2i.evaluation.ruler import reference_digest
from i2i.evaluation.scorer import Example, PairScorer
from i2i.images import Header, Range, from_unit, to_unit
from i2i.images.listing import list_pictures
from i2i.metrics import METRICS, USUAL
from i2i.metrics.intervals import mean_interval
from i2i.models.modelfile import find_model
from i2i.runtime.fit import AUTO, NATIVE_SCALE, Fit
from i2i.runtime.foreign import UNSAID, Values
from i2i.runtime.translator import Translator

Scores = dict[str, float]
Interval = tuple[float, float]
Finder = Callable[[Sequence[str], str, Lister], Sequence[Pair | Derived]]
"""Maps folders, a split and what lists a folder to the pairs of the split."""
SHEET_ROWS = 12
OTHER_SCALE = 1.5
"""Pictures this many times as large or small as those of training get a note."""
LOST = "The model lost to "
"""How a note on better trivial answers begins."""


class Evaluation(NamedTuple):
    """Mean scores over a split: of the model, and of each baseline (None without a train split).

    Without pairs in the train split, target_mean and affine_colour are None too.
    compared: depth and channels of the targets, in words. value_range: black and white of 16-bit and float files; None
    is their full range. fit: how pictures came to the network's size; None is whole, or in tiles where memory is short.
    labels: the class of each label set that the model translated to, or OWN of labelled.py. reference_sha256: the
    digest of the targets. cycle: of a model that holds both directions. sheet, worst: PNG files with rows of input |
    output | truth, of pairs from all over the split and of those with the worst scores. notes: what the user should
    know about the scores.
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
    compared: str
    value_range: Range | None
    fit: str | None
    reference_sha256: str
    cycle: CycleScores | None = None
    sheet: bytes | None = None
    worst: bytes | None = None
    bands: Mapping[str, Scores] = MappingProxyType({})
    """The model's mean scores of each band; empty for pictures."""
    notes: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()

    @property
    def weights_sha256(self) -> dict[str, str]:
        """The digests of the files of weights that the scores needed."""
        return {file: weights.KNOWN[file].sha256 for name in self.model for file in METRICS[name].weights}

    def to_json(self) -> dict[str, object]:
        """Return all but the sheets and rows as plain values; docs/json.md describes them."""
        return {
            "pairs": self.pairs,
            "split": self.split,
            "direction": self.direction,
            "compared": self.compared,
            "value_range": self.value_range and [*self.value_range],
            "fit": self.fit,
            "labels": [*self.labels],
            "reference_sha256": self.reference_sha256,
            "model": self.model,
            "intervals": {name: [*interval] for name, interval in self.intervals.items()},
            "baselines": self.baselines,
            "bands": {**self.bands},
            "weights_sha256": self.weights_sha256,
            **(self.cycle.to_json() if self.cycle else {}),
            "notes": [*self.notes],
        }


def evaluate_pairs(
    model: str | Path,
    data: str | Sequence[str],
    split: str = "test",
    direction: str | None = None,
    device: str = "auto",
    sheet: bool = False,
    progress: Callable[[int, int], object] = lambda done, total: None,
    values: Values = UNSAID,
    say: Callable[[str], None] = lambda note: None,
    metrics: Sequence[str] | None = None,
    worst: bool = False,
    fit: Fit = AUTO,
    labels: Sequence[str] = (),
    table: str | None = None,
) -> Evaluation:
    """Score a model (run folder, .safetensors, .onnx or .pth) on the pairs of a split, at their own size.

    data: one folder, or A's and B's. sheet, worst: whether to make these sheets. progress: called with (done, total).
    values, fit, labels, table: as in Labelled.open. say: called with what the user should know about the data. metrics:
    names in METRICS. Raises DataError, also for pictures too small for one of them, ModelError, UsageError.
    """
    paths = [data] if isinstance(data, str) else list(data)
    find, matched, chosen = _finder(find_model(Path(model)), direction, metrics)
    asked = tuple(one for one in chosen if metrics or one in USUAL)  # others are left out where pictures are small
    pairs, sizes, masked = _scorable_pairs(paths, split, find, matched, asked, say)
    chosen = tuple(one for one in chosen if METRICS[one].suits(min(map(min, sizes)), masked and not metrics))
    labelled = Labelled.open(model, [pair.name for pair in pairs], direction, device, fit, values, labels, table)
    translator, cycle = labelled.translator, Cycle.open(model, labelled, device, fit)
    scorer = PairScorer(chosen, labelled, _trivial_answers(paths, find, matched, translator), cycle)
    read, spec, direction = partial(_read, translator), translator.spec, translator.direction
    pairs, means, left_out = scorer.score_all(pairs, read, progress)
    return Evaluation(
        len(pairs),
        split if has_split(paths, split) else "the two folders",
        means["model"],
        {name: means.get(name) for name in BASELINES},
        {name: mean_interval(scorer.of("model", name)) for name in chosen},
        tuple(scorer.rows),
        direction,
        scorer.compared(),
        spec.input_range,
        fit.how,
        reference_digest([_target(pair, direction) for pair in pairs], spec.input_range),
        cycle.scores() if cycle else None,
        *_sheets(scorer, pairs, read, sheet, worst),
        scorer.band_means(),
        (*left_out, *translator.backend.notes, *scale_note(sizes, spec.trained_side_px, fit), *lost_note(means)),
        labelled.labels,
    )


def _sheets(
    scorer: PairScorer,
    pairs: Sequence[Pair | Derived],
    read: Callable[[Pair | Derived], Example],
    sheet: bool,
    worst: bool,
) -> tuple[bytes | None, bytes | None]:
    """Return a sheet of pairs from all over the split, and one of the worst, as far as they are wanted."""
    return (
        scorer.sheet(pairs, read, spread(range(len(pairs)), SHEET_ROWS)) if sheet else None,
        scorer.sheet(pairs, read, scorer.worst()) if worst else None,
    )


def _target(pair: Pair | Derived, direction: str) -> Picture:
    """Return the file that is the target of a pair."""
    if isinstance(pair, Derived):
        return pair.target
    return by_direction(direction, pair.side("A"), pair.side("B"))[1]


def _read(translator: Translator, pair: Pair | Derived) -> Example:
    """Return name, input and target, and where both have data.

    The input has the target's depth if that is deeper, so that the output is not rounded.
    """
    x, y, valid = masked_sides(pair, translator.direction)
    deeper = y.dtype.itemsize > x.dtype.itemsize and translator.spec.io == "tensor"
    return pair.name, (from_unit(to_unit(x), y.dtype) if deeper else x), y, valid


def _trivial_answers(paths: Sequence[str], find: Finder, matched: bool, translator: Translator) -> dict[str, Answer]:
    """Return the input as it is, and, if there is a train split, what is fitted to its pairs or to its two sides.

    matched: whether pairs are files with equal names. Bands are copied onto the same bands only, and not mapped.
    """
    direction, part = translator.direction, translator.generator
    bands = bool(part.in_bands or part.out_bands)
    answers: dict[str, Answer] = {} if part.in_bands != part.out_bands else {"input_copied": lambda x: x}
    if not has_split(paths, "train"):
        return answers
    with status.doing("Fitting the baselines"):
        layouts = layouts_of(translator.spec, direction)
        if matched and without_partners(paths, "train", layouts):
            if bands:
                return answers
            known = by_direction(direction, *find_sides(paths, "train", layouts=layouts))
            inputs, targets = (map(read_picture, side) for side in known)
            return answers | {"colour_map": fit_colour_map(inputs, targets)}
        pairs = find(paths, "train", list_pictures)
        return answers | fit_baselines(pairs, direction, part.out_channels, bands)


def lost_note(means: Mapping[str, Scores]) -> tuple[str, ...]:
    """Return a line if a trivial answer scores better than the model; means: by answer, "model" among them."""
    better = []
    for name, scores in means.items():
        both = [one for one in scores if one in means["model"]]
        where = [METRICS[one].label for one in both if METRICS[one].beats(scores[one], means["model"][one])]
        if where and name != "model":
            better.append(f"{name.replace('_', ' ')} ({', '.join(where)})")
    return (f"{LOST}{', '.join(better)}.",) if better else ()


def _finder(file: Path, direction: str | None, metrics: Sequence[str] | None) -> tuple[Finder, bool, tuple[str, ...]]:
    """Return what finds pairs for a model, whether they are files with equal names, and the metrics that suit them.

    metrics: those that are asked for. Pairs are files, or pictures and what the model's training derived from them.
    """
    spec = described(file)
    layouts = layouts_of(spec, direction)
    labels = spec is not None and bool(by_direction(spec.pick(direction), *layouts)[1].values)
    chosen = choose_metrics(metrics, any(layout.bands for layout in layouts), labels)
    if not (spec and spec.derivation):
        return lambda paths, split, lister: find_pairs(paths, split, lister, layouts), True, chosen
    how = spec.derivation
    return (
        lambda paths, split, lister: find_derived(paths, split, how.settings, layouts[1], how.side, lister),
        False,
        chosen,
    )


def _scorable_pairs(
    paths: Sequence[str],
    split: str,
    find: Finder,
    matched: bool,
    asked: Sequence[str],
    say: Callable[[str], None],
) -> tuple[Sequence[Pair | Derived], list[Header], bool]:
    """Return the pairs of a split, the size of each, and whether pixels may be without data.

    Raises DataError where a pair cannot be scored.
    """
    notes: list[str] = []
    try:
        pairs = find(paths, split, partial(list_pictures, notes=notes))
    except DataError as error:
        if not matched or not (advice := way_on(paths, split)):
            raise
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
    return pairs, [size for size in sizes if size], bool(seen.nodata)


def scale_note(sizes: Sequence[Header], trained_px: int, fit: Fit) -> tuple[str, ...]:
    """Return a line if pictures go through at another scale than that of training; trained_px 0 is unknown."""
    side_px = statistics.median(min(size) for size in sizes)
    if not trained_px or fit.how == "resize" or 1 / OTHER_SCALE <= side_px / trained_px <= OTHER_SCALE:
        return ()
    return (
        f"These pictures were scored at their own size, {side_px / trained_px:.2g} times the scale of training:\n"
        f"their shorter side is {side_px:.0f} px (median), in training it was {trained_px} px. {NATIVE_SCALE}",
    )
