"""A model against the truth, beside what would be reached without one.

A figure means little alone: pix2pix with an L1 of 40 is poor on maps and good on line art. So every
score stands beside three trivial answers: the input itself, the mean of the training targets, and the
best affine change of colour that the training pairs admit.
"""

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from i2i.data.folders import Pair, Seen, check_pairs, find_pairs, has_split, odd_halves, read_pair, refuse_small
from i2i.errors import DataError
from i2i.images import Array, Range, to_channels
from i2i.listing import list_pictures
from i2i.metrics import METRICS
from i2i.metrics.pairs import as_rgb8
from i2i.runtime.foreign import UNSAID, Values
from i2i.runtime.translator import Translator
from i2i.settings import by_direction
from i2i.sheets import write_sheet

Scores = dict[str, float]
BASELINES = ("input_copied", "target_mean", "affine_colour")
SHEET_ROWS = 12


class Evaluation(NamedTuple):
    """Mean scores over a split: of the model, and of each baseline (None where there is no train split).

    cycle_l1: mean L1 (0 to 255) between the inputs and what comes back from their translation, of a model
    that holds both directions. notes: what the user should know of the scores.
    """

    pairs: int
    split: str
    model: Scores
    baselines: dict[str, Scores | None]
    cycle_l1: float | None = None
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, object]:
        """Return {"model": {...}, "baselines": {...}}, and "cycle_l1" where there is one."""
        cycle = {} if self.cycle_l1 is None else {"cycle_l1": self.cycle_l1}
        return {"model": self.model, "baselines": self.baselines, **cycle}


def evaluate(
    model: str | Path,
    data: str | Sequence[str],
    split: str = "test",
    direction: str | None = None,
    device: str = "auto",
    sheet: Path | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
    values: Values = UNSAID,
    say: Callable[[str], None] = lambda note: None,
) -> Evaluation:
    """Score a model (run folder, .safetensors, .onnx or .pth) on the pairs of a split.

    data: one folder, or A's and B's. sheet: write rows of input | output | truth to this picture.
    progress: called with (done, total). values: what black and white are in an .onnx file of another project.
    say: called with what the user should know of the data. Raises DataError and ModelError.
    """
    paths = [data] if isinstance(data, str) else list(data)
    translator = Translator.open(model, direction, device, values=values)
    notes: list[str] = []
    try:
        pairs = find_pairs(paths, split, functools.partial(list_pictures, notes=notes))
    except DataError as error:
        advice = "Scores compare pairs; pictures without partners can be translated, not scored."
        raise DataError(f"{error}\n{advice}") from error
    seen = Seen()
    sizes = check_pairs(pairs, seen=seen)
    refuse_small(pairs, sizes, 11, "the 11 px window of SSIM", "Score larger pictures.")
    for note in filter(None, (*notes, *seen.notes(), odd_halves(pairs, sizes))):
        say(note)
    answers: dict[str, Callable[[Array], Array]] = {"model": translator.translate, "input_copied": as_rgb8}
    if has_split(paths, "train"):
        answers |= fit_baselines(find_pairs(paths, "train"), translator.direction, translator.spec.input_range)

    there = translator.direction
    way_back = Translator.open(model, there[::-1], device) if there[::-1] in translator.spec.generators else None
    cycle = 0.0
    sums: dict[str, dict[str, float]] = {name: dict.fromkeys(METRICS, 0.0) for name in answers}
    rows: list[list[Array]] = []
    shown_rows = set(np.linspace(0, len(pairs) - 1, SHEET_ROWS).astype(int).tolist())  # from all over the split
    for index, pair in enumerate(pairs):
        x, y = sides(pair, translator.direction, translator.spec.input_range)
        for name, answer in answers.items():
            output = answer(x)
            for metric, function in METRICS.items():
                sums[name][metric] += function(output, y)
            if name != "model":
                continue
            back = [way_back.translate(output)] if way_back else []
            cycle += sum(METRICS["l1"](one, to_channels(x, one.shape[2])) for one in back)
            if sheet and index in shown_rows:
                rows.append([x, output, *back, y])
        progress(index + 1, len(pairs))
    if sheet:
        write_sheet(sheet, rows, ["input", "output", *(["back"] if way_back else []), "truth"])
    means = {name: {metric: total / len(pairs) for metric, total in each.items()} for name, each in sums.items()}
    shown = split if has_split(paths, split) else "the two folders"
    baselines = {name: means.get(name) for name in BASELINES}
    mean_cycle = cycle / len(pairs) if way_back else None
    return Evaluation(len(pairs), shown, means["model"], baselines, mean_cycle, tuple(translator.backend.notes))


def sides(pair: Pair, direction: str, value_range: Range | None = None) -> tuple[Array, Array]:
    """Read a pair as (input, target), in the range that the model was trained with."""
    return by_direction(direction, *read_pair(pair, value_range))


def fit_baselines(
    pairs: Sequence[Pair], direction: str, value_range: Range | None = None
) -> dict[str, Callable[[Array], Array]]:
    """Return target_mean and affine_colour as functions of an input, (H, W, C) to (H, W, 3) uint8.

    target_mean is the mean picture where all training targets have one size, and answers inputs of that
    size; else, and for other inputs, it is their mean colour. affine_colour is the least-squares 3x4
    matrix from a pixel's input colour to its target colour.
    """
    picture_sum: Array | None = None
    one_size = True
    colour_sum, pixels = np.zeros(3), 0
    gram, cross = np.zeros((4, 4)), np.zeros((4, 3))
    for pair in pairs:
        x, y = (as_rgb8(side).astype(np.float64) for side in sides(pair, direction, value_range))
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
    mean_colour = _to_uint8(colour_sum / pixels)
    mean_picture = None if picture_sum is None or not one_size else _to_uint8(picture_sum / len(pairs))

    def target_mean(x: Array) -> Array:
        if mean_picture is not None and mean_picture.shape[:2] == x.shape[:2]:
            return mean_picture
        return np.broadcast_to(mean_colour, (*x.shape[:2], 3))

    def affine_colour(x: Array) -> Array:
        return _to_uint8(_with_one(as_rgb8(x).astype(np.float64)) @ matrix).reshape(*x.shape[:2], 3)

    return {"target_mean": target_mean, "affine_colour": affine_colour}


def _with_one(picture: Array) -> Array:
    flat = picture.reshape(-1, 3)
    return np.concatenate([flat, np.ones((len(flat), 1))], axis=1)


def _to_uint8(values: Array) -> Array:
    return np.rint(np.clip(values, 0, 255)).astype(np.uint8)
