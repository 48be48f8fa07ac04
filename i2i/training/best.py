"""Which of the models that a run has scored it keeps.

Every checkpoint scores the same pictures of val, so the interval of the difference of two scores decides, over those
pictures: what differs between pictures makes the intervals of the scores themselves overlap almost always
(with `train.best_interval` score, they decide nevertheless). The later model is kept unless it is worse than the one
with the best score so far. That one stays the yardstick: if each were compared with the model kept before it, many
small steps down would count for nothing.
"""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, FiniteFloat, NonNegativeInt, model_validator

from i2i.metrics.intervals import interval

Verdict = Literal["first", "better", "undecided", "worse"]
Interval = Literal["difference", "score"]


class ValScore(NamedTuple):
    """A score on val: the mean over the directions of a model, and bootstrap draws of it."""

    value: float
    draws: Sequence[float]
    scores: dict[str, float]
    """Of each direction, by log name."""


class Decision(NamedTuple):
    """What a model is beside the best score before it: how much better, with the 95% interval that decides."""

    verdict: Verdict
    gain: float = 0.0
    low: float = 0.0
    high: float = 0.0


class Measure(NamedTuple):
    """What is scored: how, and on which pictures. Scores of different measures cannot be compared."""

    by: str
    """A name in METRICS or SET_METRICS."""
    val: str
    """A digest of the names of the pictures."""
    better: Literal["lower", "higher"]


class Best(BaseModel):
    """The model that is kept and the best score so far; part of each checkpoint."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", use_attribute_docstrings=True)

    images: NonNegativeInt
    """Images seen by the model that is kept."""
    score: FiniteFloat
    """Its score, ..."""
    verdict: Verdict
    """... and what that was beside the best score before it."""
    by: str
    """As in Measure."""
    val: str
    """As in Measure; empty in checkpoints of earlier versions."""
    top: FiniteFloat
    """The best score so far, ..."""
    top_images: NonNegativeInt
    """... after so many images, ..."""
    top_draws: list[FiniteFloat]
    """... and its bootstrap draws; none in checkpoints of earlier versions."""
    scored_images: NonNegativeInt
    """Images seen at the newest score."""

    @model_validator(mode="before")
    @classmethod
    def _from_earlier_versions(cls, values: Any) -> Any:
        if not isinstance(values, dict) or set(values) != {"images", "L1"}:
            return values
        images, l1 = values["images"], values["L1"]
        top = {"top": l1, "top_images": images, "top_draws": [], "scored_images": images}
        return {"images": images, "score": l1, "verdict": "better", "by": "l1", "val": "", **top}

    def is_of(self, measure: Measure) -> bool:
        """Whether scores of `measure` can be compared with this one."""
        return self.by == measure.by and self.val in ("", measure.val)

    def out_of_patience(self, patience_images: int | None) -> bool:
        """Whether no score was better for so many images; None is never."""
        return patience_images is not None and self.scored_images - self.top_images >= patience_images


def choose(
    best: Best | None, images: int, score: ValScore, measure: Measure, decided_by: Interval = "difference"
) -> tuple[Best, Decision]:
    """Return the best after `images` have got `score`, and what decided."""
    own: dict[str, Any] = {"top": score.value, "top_images": images, "top_draws": [*score.draws]}
    if best is None:
        kept: dict[str, Any] = {"images": images, "score": score.value, "verdict": "first"}
        return Best(**kept, by=measure.by, val=measure.val, scored_images=images, **own), Decision("first")
    sign = 1 if measure.better == "higher" else -1
    gain = sign * (score.value - best.top)
    low, high = _gain_interval(best.top_draws, score.draws, sign, decided_by) or (gain, gain)
    verdict: Verdict = "better" if min(low, gain) > 0 else "worse" if max(high, gain) < 0 else "undecided"
    update: dict[str, Any] = {"val": measure.val, "scored_images": images}
    if verdict != "worse":
        update |= {"images": images, "score": score.value, "verdict": verdict}
    if gain > 0:
        update |= own
    return best.model_copy(update=update), Decision(verdict, gain, low, high)


def _gain_interval(
    before: Sequence[float], now: Sequence[float], sign: int, decided_by: Interval
) -> tuple[float, float] | None:
    """Return the least and the largest gain; None where the draws of an earlier version are missing.

    By the scores' own intervals, these are what lies between their opposite ends, so that 0 is inside if they overlap.
    """
    if len(before) != len(now):
        return None
    old, new = sign * np.asarray(before), sign * np.asarray(now)
    if decided_by == "difference":
        return interval(new - old)
    (old_low, old_high), (new_low, new_high) = interval(old), interval(new)
    return new_low - old_high, new_high - old_low
