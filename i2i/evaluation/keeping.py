"""Scores of a run's own model, kept in its folder and shown on its page."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from i2i.models.modelfile import MODEL_NAME, find_model, read_spec
from i2i.report.page import write_report
from i2i.report.scores import keep_scores
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
    keep_scores(run, kept, worst)
    return write_report(run)
