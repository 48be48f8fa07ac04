"""What to score a model on, and how: `i2i evaluate` and `i2i.evaluate` ask the same."""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from i2i.errors import UsageError
from i2i.evaluation.choosing import kind_of_evaluation
from i2i.evaluation.pairs import Evaluation, evaluate_pairs
from i2i.evaluation.ruler import make_ruler
from i2i.evaluation.sets import SetEvaluation, evaluate_samples, evaluate_translations
from i2i.images import Range
from i2i.runtime.fit import How, make_fit
from i2i.runtime.foreign import Values

Kind = Literal["pairs", "sets", "samples"]
_PICTURES_OF_PAIRS = ("metrics", "rows", "sheet", "worst", "value_range", "output_value_range")
_UNREAD: dict[Kind, tuple[tuple[str, ...], str]] = {
    "pairs": (("network", "mode", "count", "side"), "these pictures are compared as pairs"),
    "sets": ((*_PICTURES_OF_PAIRS, "count", "side"), "these pictures are compared as sets"),
    "samples": (
        (*_PICTURES_OF_PAIRS, "sets", "direction", "labels", "table", "fit"),
        "this model makes pictures from noise",
    ),
}
"""Options that a kind of evaluation does not read, and why."""
_FLAGS = {"labels": "label", "table": "labels"}
"""Options that the command line calls otherwise."""


@dataclass(frozen=True)
class EvaluationOptions:
    """How to score a model. Of None, the default is what is usual for the pictures."""

    split: str = "test"
    direction: str | None = None
    device: str = "auto"
    metrics: Sequence[str] | None = None
    """Of pairs: names in METRICS."""
    sets: bool = False
    """Whether to compare translations and targets as sets, even if they are pairs."""
    network: str | None = None
    """Of sets: what finds their features; one of NETWORKS in i2i.metrics.features."""
    mode: Literal["clean", "legacy"] | None = None
    """Of sets: how pictures come to the network's size."""
    count: int | None = None
    """Of models from noise: samples."""
    side: Literal["A", "B"] | None = None
    """Of models from noise: which side of data with two."""
    fit: How | None = None
    """How pictures come to the network's size; None is whole, or in tiles where memory is short."""
    value_range: Range | None = None
    """Black and white in the floats of an .onnx file of another project ..."""
    output_value_range: Range | None = None
    """... and those of its outputs."""
    labels: Sequence[str] = ()
    """The classes that a model translates all pictures to ..."""
    table: str | None = None
    """... or those of each picture: folders, or a CSV file."""
    sheet: bool = False
    """Of pairs: whether to show some from all over the split ..."""
    worst: bool = False
    """... and the worst."""

    def choose_kind(self, model: str | Path, paths: Sequence[str], rows: bool = False) -> Kind:
        """Return how to compare pictures of `paths`; raises UsageError for an option that would do nothing.

        rows: whether a file of the scores of each pair is asked for.
        """
        kind = kind_of_evaluation(model, paths, self.split)
        kind = "sets" if self.sets and kind == "pairs" else kind
        names, reason = _UNREAD[kind]
        given: dict[str, Any] = {one.name: getattr(self, one.name) for one in dataclasses.fields(self)}
        for name in names:
            if (given | {"rows": rows})[name]:
                flag = _FLAGS.get(name, name.replace("_", "-"))
                raise UsageError(f"--{flag} does not apply: {reason}. Leave it out.")
        return kind


def score_model(
    model: str | Path,
    paths: Sequence[str],
    kind: Kind,
    options: EvaluationOptions,
    say: Callable[[str], None] = lambda note: None,
    progress: Callable[[int, int], object] = lambda done, total: None,
) -> Evaluation | SetEvaluation:
    """Score one direction of a model, or its samples; raises as evaluate_pairs and others of its kind do.

    kind: as `choose_kind` returned it. say: called with what the user should know about the data. progress: called with
    (done, total) pictures.
    """
    asked = options
    fit = make_fit(asked.fit, None, None)
    if kind == "pairs":
        import cv2  # noqa: F401  # scores need it; where it is missing, say so before anything is read

        return evaluate_pairs(
            model,
            paths,
            asked.split,
            asked.direction,
            asked.device,
            asked.sheet,
            progress,
            Values(asked.value_range, asked.output_value_range),
            say,
            asked.metrics,
            asked.worst,
            fit,
            asked.labels,
            asked.table,
        )
    ruler = make_ruler(asked.network, asked.mode or "clean")
    if kind == "samples":
        return evaluate_samples(model, paths, asked.split, asked.count, asked.side, asked.device, ruler, progress)
    return evaluate_translations(
        model, paths, asked.split, asked.direction, asked.device, ruler, fit, asked.labels, asked.table, progress
    )
