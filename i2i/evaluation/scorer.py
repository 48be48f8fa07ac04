"""Scores of answers to the inputs of pairs, kept pair by pair."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

import numpy as np

from i2i import status
from i2i.errors import DataError
from i2i.evaluation.baselines import Answer
from i2i.evaluation.cycle import Cycle
from i2i.evaluation.labelled import Labelled
from i2i.images import Array, channel_words, shown, to_channels
from i2i.images.frames import clip_of
from i2i.metrics import METRICS
from i2i.report.sheets import sheet_png
from i2i.words import show_count


class _Named(Protocol):
    @property
    def name(self) -> str: ...


T = TypeVar("T", bound=_Named)

Example = tuple[str, Array, Array, Array | None]
"""Name, input, target, and where both have data; None: everywhere."""
WORST = 10
"""Pairs on the sheet of the worst."""


class PairScorer:
    """Scores of a model and each baseline, and of the way back if there is one.

    Outputs and targets are compared in the channels that the model makes, each in its own depth.
    """

    def __init__(self, metrics: Sequence[str], model: Labelled, baselines: dict[str, Answer], cycle: Cycle | None):
        self.metrics, self.model, self.baselines, self.cycle = metrics, model, baselines, cycle
        self.part = model.translator.generator
        self.channels, self.bands = self.part.out_channels, self.part.out_bands
        self.scores: dict[str, list[list[float]]] = {name: [] for name in ("model", *baselines)}
        self.rows: list[dict[str, str | float]] = []
        self.of_bands: list[list[list[float]]] = []
        self.depths: Counter[int] = Counter()

    def score(self, name: str, x: Array, y: Array, valid: Array | None = None) -> bool:
        """Score the answers to an input against its target; valid: where there is data, (H, W) bool.

        Returns whether there is enough data. Raises DataError where a metric cannot leave out pixels.
        """
        if not all(METRICS[one].counts(valid) for one in self.metrics):
            return False
        y = to_channels(y, self.channels)
        answers: dict[str, Answer] = {"model": self.model.of(name).translate, **self.baselines}
        outputs = {answer: to_channels(call(x), self.channels) for answer, call in answers.items()}
        for answer, output in outputs.items():
            self.scores[answer].append([METRICS[one].of(output, y, bool(self.bands), valid) for one in self.metrics])
        if self.bands:
            self.of_bands.append([METRICS[one].each(outputs["model"], y, valid) for one in self.metrics])
        self.rows.append({"name": name, **dict(zip(self.metrics, self.scores["model"][-1], strict=True))})
        self.depths[8 * y.dtype.itemsize] += 1
        if self.cycle:
            self.cycle.add(name, x, outputs["model"], valid)
        return True

    def score_all(
        self, pairs: Sequence[T], read: Callable[[T], Example], progress: Callable[[int, int], object]
    ) -> tuple[list[T], dict[str, dict[str, float]], tuple[str, ...]]:
        """Score pairs; return those with data, the mean scores of each answer, and a line on the pairs without.

        Raises DataError where no pair has any.
        """
        scored = []
        with status.doing("Scoring pairs"):
            for index, pair in enumerate(pairs):
                status.count(index, len(pairs))
                if self.score(*read(pair)):
                    scored.append(pair)
                progress(index + 1, len(pairs))
        if not scored:
            raise DataError("No pair has enough pixels with data to be scored.")
        missing = len(pairs) - len(scored)
        what = f"{show_count(missing, 'pair')} without enough pixels with data"
        notes = (f"{what} {'was' if missing == 1 else 'were'} left out.",) if missing else ()
        return scored, {name: self.means(name) for name in self.scores}, notes

    def _row(self, name: str, x: Array, output: Array, y: Array) -> list[Array]:
        """Return input, output, the way back if there is one, and target, as people see them."""
        inputs, outputs = self.part.inputs, self.part.outputs
        back = [shown(self.cycle.back.of(name).translate(output), inputs)] if self.cycle else []
        return [shown(x, inputs), shown(output, outputs), *back, shown(y, outputs)]

    def sheet(self, pairs: Sequence[T], read: Callable[[T], Example], places: Sequence[int]) -> bytes:
        """Return a PNG file with a row for each of some pairs, given by their places.

        A recurrent model is shown the frames of their clips before them, too.
        """
        wanted, rows = set(places), dict[int, list[Array]]()
        clips = [clip_of(pair.name) if self.part.recurrent else str(place) for place, pair in enumerate(pairs)]
        last = {clips[place]: place for place in sorted(wanted)}
        clip = translator = None
        for place, pair in enumerate(pairs):
            if place > last.get(clips[place], -1):
                continue
            if translator is None or clips[place] != clip:
                clip, translator = clips[place], self.model.of(pair.name).in_order()
            name, x, y, _ = read(pair)
            output = translator.translate(x)
            if place in wanted:
                rows[place] = self._row(name, x, output, y)
        titles = ["input", "output", *(["back"] if self.cycle else []), "truth"]
        return sheet_png([rows[place] for place in places], titles)

    def of(self, answer: str, metric: str) -> list[float]:
        """Return the scores of an answer, pair by pair."""
        place = self.metrics.index(metric)
        return [scores[place] for scores in self.scores[answer]]

    def means(self, answer: str) -> dict[str, float]:
        """Return the mean of each score of an answer."""
        return {metric: float(np.mean(self.of(answer, metric))) for metric in self.metrics}

    def band_means(self) -> dict[str, dict[str, float]]:
        """Return the mean of each score of the model in each band, by their names; empty for pictures."""
        if not self.bands:
            return {}
        values = np.array(self.of_bands)  # (pairs, metrics, bands); NaN where a class is not there
        found = {}
        for column, band in enumerate(self.bands):
            known = [[one for one in row if one == one] for row in values[:, :, column].T]
            found[band] = {metric: float(np.mean(row)) for metric, row in zip(self.metrics, known, strict=True) if row}
        return {band: scores for band, scores in found.items() if scores}

    def worst(self) -> list[int]:
        """Return the places of the pairs with the worst scores by the last metric, worst first."""
        last = self.metrics[-1]
        order = np.argsort(self.of("model", last), kind="stable")
        return (order[::-1] if METRICS[last].better == "lower" else order)[:WORST].tolist()

    def compared(self) -> str:
        """Say in what depth and channels targets were compared."""
        by_scale = " by the scale of training" if self.part.outputs and self.part.outputs.scale else ""
        if self.part.outputs and self.part.outputs.values:
            return f"labels ({', '.join(self.bands)})"
        names = {8: "8-bit", 16: "16-bit", 32: "float"}
        many = len(self.depths) > 1
        depths = [f"{names[bits]}{f' ({count:,})' if many else ''}" for bits, count in sorted(self.depths.items())]
        return f"{' and '.join(depths)} {channel_words(self.channels, self.bands)}{by_scale}"
