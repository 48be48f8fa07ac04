"""Scores of a run's own model, kept in its folder and shown on its page."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from i2i.evaluation.pairs import LOST, lost_note
from i2i.files import read_json
from i2i.metrics import METRICS
from i2i.models.modelfile import MODEL_NAME, find_model, read_spec
from i2i.report.page import write_report
from i2i.report.scores import is_number, keep_scores, scores_file
from i2i.version import __version__


def run_of(model: str | Path) -> Path | None:
    """Return the run folder that a model is the newest of, None for any other model. Raises ModelError."""
    file = find_model(Path(model))
    return file.parent if file.name == MODEL_NAME and (file.parent / "config.yaml").is_file() else None


def keep_evaluation(
    run: Path, kind: str, scores: Mapping[str, Any], data: Sequence[str], split: str, worst: bytes | None = None
) -> Path:
    """Keep what `to_json` of an evaluation returned, and the sheet of the worst pairs; return the run's new page.

    kind: pairs, sets or samples, which are sets too. Raises OSError where the folder cannot be written to.
    """
    kept = {
        "kind": "pairs" if kind == "pairs" else "sets",
        "date": datetime.now().astimezone().isoformat(timespec="seconds"),
        "i2i_version": __version__,
        "images_seen": read_spec(run / MODEL_NAME).images_seen,
        "data": [str(Path(path).resolve()) for path in data],
        "split": split,
        **scores,
    }
    keep_scores(run, with_earlier(kept, read_json(scores_file(run, kept))), worst)
    return write_report(run)


_ALIKE = (
    *("kind", "i2i_version", "images_seen", "pairs", "compared", "value_range", "reference_sha256", "direction", "fit"),
    "labels",
)


def with_earlier(scores: Mapping[str, Any], earlier: Any) -> dict[str, Any]:
    """Return scores of pairs with those metrics of an earlier evaluation that they lack.

    earlier: what its file holds, if anything. It counts if it is of the same model and pictures, in the same way.
    """
    merged = dict(scores)
    if merged["kind"] != "pairs" or not isinstance(earlier, dict):
        return merged
    differ = any((earlier.get(name) or None) != (merged.get(name) or None) for name in _ALIKE)
    if differ or not _is_table(earlier.get("model")):
        return merged
    for name in ("model", "intervals", "weights_sha256"):
        merged[name] = _ordered(_merge(earlier.get(name), merged[name]))
    old = _merge(earlier.get("baselines"), {})
    baselines = {name: new and _ordered(_merge(old.get(name), new)) for name, new in merged["baselines"].items()}
    notes = [note for note in merged["notes"] if not note.startswith(LOST)]
    both = {name: values for name, values in ({"model": merged["model"]} | baselines).items() if values}
    return merged | {"baselines": baselines, "notes": [*notes, *lost_note(both)]}


def _is_table(value: Any) -> bool:
    return isinstance(value, dict) and all(name in METRICS and is_number(one) for name, one in value.items())


def _merge(earlier: Any, newer: Mapping[str, Any]) -> dict[str, Any]:
    return {**(earlier if isinstance(earlier, dict) else {}), **newer}


def _ordered(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values by metric in the order of METRICS, others last."""
    return {name: values[name] for name in (*(one for one in METRICS if one in values), *values)}
