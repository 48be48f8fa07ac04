"""Score models from Python."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from i2i.api.results import Evaluated
from i2i.api.using import Progress
from i2i.arguments import as_names, as_path, as_paths
from i2i.errors import UsageError, speaks_python
from i2i.evaluation import EvaluationOptions, keep_evaluation, run_of, score_model
from i2i.evaluation.choosing import choose_data
from i2i.images import Range
from i2i.runtime.fit import How


@speaks_python
def evaluate(
    model: str | Path,
    data: str | Path | Sequence[str | Path] = (),
    split: str = "test",
    direction: str | None = None,
    device: str = "auto",
    *,
    metrics: Sequence[str] | None = None,
    sets: bool = False,
    network: str | None = None,
    mode: Literal["clean", "legacy"] | None = None,
    count: int | None = None,
    side: Literal["A", "B"] | None = None,
    fit: How | None = None,
    value_range: Range | None = None,
    output_value_range: Range | None = None,
    labels: Sequence[str] = (),
    table: str | None = None,
    sheet: bool = False,
    worst: bool = False,
    keep: bool = True,
    progress: Progress = lambda done, total: None,
) -> Evaluated:
    """Score a model beside trivial answers, as `i2i evaluate` does: on pairs, on sets, or samples from noise.

    data: one folder, or A's and B's; by default those of the run. direction: of a model that holds both; by default the
    usual one. metrics: of pairs, as l1 or lpips. sets: whether to compare pairs as sets. network, mode: what features
    of sets are of, and how pictures come to its size. count, side: of models from noise, the samples and the side of
    data with two. value_range, output_value_range: black and white in an .onnx file of another project. labels: the
    classes that all pictures are translated to; table: those of each, as a CSV file or "folders". sheet, worst: whether
    to make pictures of some pairs and of the worst. keep: whether a run folder keeps the scores and shows them in its
    report, with the worst pairs. Raises DataError, ModelError and UsageError.
    """
    model, given, labels = as_path(model, "model"), as_paths(data, "data"), as_names(labels)
    metrics = None if metrics is None else as_names(metrics)
    if count is not None and count < 1:
        raise UsageError(f"count is {count}. Give the number of samples, at least 1.")
    paths, run = choose_data(model, given), run_of(model) if keep else None
    asked = (split, direction, device, metrics, sets, network, mode, count, side, fit, value_range, output_value_range)
    options = EvaluationOptions(*asked, labels, table, sheet, worst)
    kind = options.choose_kind(model, paths)
    result = score_model(model, paths, kind, options, progress=progress)
    if run is not None:
        keep_evaluation(run, kind, result.to_json(), paths, split, getattr(result, "worst", None))
    return Evaluated.of(kind, result)
