"""A model scored against the truth, beside what can be reached without a model.

A figure alone means little: pix2pix with an L1 of 40 is poor on maps and good on line art. So every score stands
beside three trivial answers: the input itself, the mean of the training targets, and the best affine change of colour
that the training pairs allow.
"""

import functools
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from i2i import status
from i2i.config.settings import by_direction
from i2i.data.checking import Seen, check_pairs, check_pictures, odd_halves, refuse_small
from i2i.data.derive import Derived, find_derived
from i2i.data.folders import Lister, find_pairs, has_split
from i2i.data.items import Pair, read_pair
from i2i.errors import DataError
from i2i.images import Array, Header, Range, largest, to_channels
from i2i.images.listing import list_pictures
from i2i.metrics import METRICS
from i2i.metrics.pairs import SSIM_WINDOW_PX, grey_levels
from i2i.models.modelfile import find_model, is_onnx, read_spec
from i2i.models.onnxfile import check_onnx
from i2i.models.trial import described_spec
from i2i.report.sheets import sheet_png
from i2i.runtime.fit import NATIVE_SCALE
from i2i.runtime.foreign import UNSAID, Values
from i2i.runtime.translator import Translator

Scores = dict[str, float]
Answer = Callable[[Array], Array]
"""Maps a picture (H, W, C) to what is scored against the truth."""
Finder = Callable[[Sequence[str], str, Lister], Sequence[Pair | Derived]]
"""Maps folders, a split and what lists a folder to the pairs of the split."""
BASELINES = ("input_copied", "target_mean", "affine_colour")
SHEET_ROWS = 12
OTHER_SCALE = 1.5
"""Pictures this many times as large or small as those of training get a note."""


class Evaluation(NamedTuple):
    """Mean scores over a split: of the model, and of each baseline (None if there is no train split).

    cycle_l1: for a model that holds both directions, mean L1 (0 to 255) between the inputs and their translations
    translated back. sheet: a PNG file with rows of input | output | truth, if one was asked for.
    notes: what the user should know about the scores.
    """

    pairs: int
    split: str
    model: Scores
    baselines: dict[str, Scores | None]
    cycle_l1: float | None = None
    sheet: bytes | None = None
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, object]:
        """Return {"model": {...}, "baselines": {...}}, and "cycle_l1" if there is one."""
        cycle = {} if self.cycle_l1 is None else {"cycle_l1": self.cycle_l1}
        return {"model": self.model, "baselines": self.baselines, **cycle}


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
) -> Evaluation:
    """Score a model (run folder, .safetensors, .onnx or .pth) on the pairs of a split, at their own size.

    data: one folder, or A's and B's. sheet: whether to make a sheet of some pairs. progress: called with
    (done, total). values: black and white in an .onnx file of another project. say: called with what the user should
    know about the data. Raises DataError, also for pictures too small for SSIM, and ModelError.
    """
    paths = [data] if isinstance(data, str) else list(data)
    find = _finder(find_model(Path(model)))
    pairs, sizes = _scorable_pairs(paths, split, find, say)  # before torch is loaded, unless weights are bare
    translator = Translator.open(model, direction, device, values=values)
    value_range = translator.spec.input_range
    there = translator.direction
    answers: dict[str, Answer] = {"model": translator.translate, "input_copied": lambda x: x}
    if has_split(paths, "train"):
        with status.doing("Fitting the baselines"):
            answers |= fit_baselines(find(paths, "train", list_pictures), there, value_range)
    way_back = Translator.open(model, there[::-1], device) if there[::-1] in translator.spec.generators else None

    scorer = _Scorer(answers, way_back)
    rows: list[list[Array]] = []
    shown_rows = set(np.linspace(0, len(pairs) - 1, SHEET_ROWS).astype(int).tolist())  # from all over the split
    with status.doing("Scoring pairs"):
        for index, pair in enumerate(pairs):
            status.count(index, len(pairs))
            row = scorer.score(*sides(pair, there, value_range))
            if sheet and index in shown_rows:
                rows.append(row)
            progress(index + 1, len(pairs))
    means = scorer.means()
    return Evaluation(
        len(pairs),
        split if has_split(paths, split) else "the two folders",
        means["model"],
        {name: means.get(name) for name in BASELINES},
        scorer.cycle_l1 / len(pairs) if way_back else None,
        sheet_png(rows, ["input", "output", *(["back"] if way_back else []), "truth"]) if sheet else None,
        (*translator.backend.notes, *_scale_note(sizes, translator.spec.trained_side_px)),
    )


class _Scorer:
    """Sums of scores: of the model and each baseline, and of the way back if there is one."""

    def __init__(self, answers: dict[str, Answer], way_back: Translator | None):
        self.answers, self.way_back = answers, way_back
        self.sums = {name: dict.fromkeys(METRICS, 0.0) for name in answers}
        self.cycle_l1, self.count = 0.0, 0

    def score(self, x: Array, y: Array) -> list[Array]:
        """Score the answers to an input against its target; return input, output, the way back if any, and target."""
        outputs = {name: answer(x) for name, answer in self.answers.items()}
        for name, output in outputs.items():
            for metric, function in METRICS.items():
                self.sums[name][metric] += function(output, y)
        back = [self.way_back.translate(outputs["model"])] if self.way_back else []
        self.cycle_l1 += sum(METRICS["l1"](one, to_channels(x, one.shape[2])) for one in back)
        self.count += 1
        return [x, outputs["model"], *back, y]

    def means(self) -> dict[str, Scores]:
        """Return the mean of each score so far."""
        return {
            name: {metric: total / self.count for metric, total in each.items()} for name, each in self.sums.items()
        }


def _finder(file: Path) -> Finder:
    """Return what finds pairs for a model: files, or pictures and what its training derived from them."""
    spec = described_spec(file, check_onnx(file)) if is_onnx(file) else read_spec(file)
    if not (spec and spec.derivation):
        return find_pairs
    how, channels = spec.derivation, spec.generators[spec.pick(None)].out_channels
    return lambda paths, split, lister: find_derived(paths, split, how.settings, channels, how.side, lister)


def _scorable_pairs(
    paths: Sequence[str], split: str, find: Finder, say: Callable[[str], None]
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
    refuse_small(
        files,
        sizes,
        SSIM_WINDOW_PX,
        f"the {SSIM_WINDOW_PX} px window of SSIM",
        "Remove them, or score larger pictures.",
    )
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


def sides(pair: Pair | Derived, direction: str, value_range: Range | None = None) -> tuple[Array, Array]:
    """Read a pair as (input, target), in the range that the model was trained with."""
    if isinstance(pair, Derived):
        target = pair.read_target(value_range)
        return by_direction(direction, pair.input_from(target), target)
    return by_direction(direction, *read_pair(pair, value_range))


def fit_baselines(
    pairs: Sequence[Pair | Derived], direction: str, value_range: Range | None = None
) -> dict[str, Answer]:
    """Return target_mean and affine_colour, which map an input (H, W, C) to (H, W, 3) in the same type.

    If all training targets have one size, target_mean is their mean picture for inputs of that size; otherwise it is
    their mean colour. affine_colour is the least-squares 3x4 matrix from a pixel's input colour to its target colour.
    """
    picture_sum: Array | None = None
    one_size = True
    colour_sum, pixels = np.zeros(3), 0
    gram, cross = np.zeros((4, 4)), np.zeros((4, 3))
    for done, pair in enumerate(pairs):
        status.count(done, len(pairs))
        x, y = (grey_levels(side) for side in sides(pair, direction, value_range))
        if picture_sum is None:
            picture_sum = np.zeros_like(y)
        one_size = one_size and picture_sum.shape == y.shape
        if one_size:
            picture_sum += y
        colour_sum += y.sum(axis=(0, 1))
        pixels += y.shape[0] * y.shape[1]
        flat = _with_one(x)
        gram += flat.T @ flat
        cross += flat.T @ y.reshape(-1, 3)
    matrix = np.linalg.lstsq(gram, cross, rcond=None)[0]
    mean_colour = colour_sum / pixels
    mean_picture = None if picture_sum is None or not one_size else picture_sum / len(pairs)

    def target_mean(x: Array) -> Array:
        if mean_picture is not None and mean_picture.shape[:2] == x.shape[:2]:
            return _from_levels(mean_picture, x.dtype)
        return np.broadcast_to(_from_levels(mean_colour, x.dtype), (*x.shape[:2], 3))

    def affine_colour(x: Array) -> Array:
        return _from_levels(_with_one(grey_levels(x)) @ matrix, x.dtype).reshape(*x.shape[:2], 3)

    return {"target_mean": target_mean, "affine_colour": affine_colour}


def _with_one(picture: Array) -> Array:
    flat = picture.reshape(-1, 3)
    return np.concatenate([flat, np.ones((len(flat), 1))], axis=1)


def _from_levels(values: Array, dtype: Any) -> Array:
    """Map grey levels, 0 to 255, to a type by its full range, integers rounded and floats in [0, 1]."""
    if dtype == np.float32:
        return np.clip(values / 255, 0, 1).astype(np.float32)
    return np.rint(np.clip(values, 0, 255) * (largest(dtype) / 255)).astype(dtype)
