"""Scores in a run folder: what `i2i evaluate` keeps there, and tables of them.

Each evaluation is a JSON file in scores/, with what its figures depend on; another one of the same pictures, in the
same way, has the same file. Values of files are checked one by one, since anything may stand there.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from i2i.files import read_json, write_bytes, write_json
from i2i.metrics import METRICS
from i2i.words import show_count

SCORES = "scores"
"""The folder of evaluations in a run folder."""
MODEL = "model"
_BEFORE = "evaluation.json"
"""Where the quickstart of earlier versions kept its scores."""
_KEY = ("kind", "what", "split", "direction", "data", "network", "mode", "fit")
"""What tells two evaluations of a run apart, with the labels that a model translated to."""
_MOST = 1e300


class Column(NamedTuple):
    """One score in a table."""

    name: str
    label: str
    better: str
    """lower or higher."""
    decimals: int
    scale: float = 1.0
    """Values are shown times this."""

    def show(self, value: float) -> str:
        """Return a value as text."""
        return f"{value * self.scale:.{self.decimals}f}"


class Answer(NamedTuple):
    """The scores of a model, or of an answer that needs none, with 95% intervals where there are any."""

    name: str
    values: dict[str, float]
    intervals: dict[str, tuple[float, float]]


class ScoreTable(NamedTuple):
    """One evaluation as a table: the model first, then trivial answers."""

    title: str
    caption: str
    columns: list[Column]
    answers: list[Answer]
    notes: list[str]


_OF_SETS = [
    Column("kid", "KID x 1000", "lower", 1, 1000),
    Column("fid", "FID", "lower", 1),
    Column("frechet", "Fréchet", "lower", 2),
    Column("mind", "MIND", "lower", 1),
    Column("sliced_wasserstein", "SW", "lower", 3),
    Column("precision", "precision", "higher", 3),
    Column("recall", "recall", "higher", 3),
    Column("density", "density", "higher", 3),
    Column("coverage", "coverage", "higher", 3),
]


def scores_file(run: Path, scores: Mapping[str, Any]) -> Path:
    """Return the file in a run folder for an evaluation, which an earlier one of the same kind may have written."""
    key = json.dumps([*(scores.get(name) for name in _KEY), *(scores.get("labels") or ())]).encode()
    parts = [str(scores[name]) for name in ("kind", "split", "direction") if scores.get(name)]
    return run / SCORES / f"{'.'.join(parts)}.{hashlib.sha256(key).hexdigest()[:8]}.json"


def keep_scores(run: Path, scores: Mapping[str, Any], worst: bytes | None = None) -> Path:
    """Write scores, and the sheet of the worst pairs, into a run folder; return the file of the scores."""
    path = scores_file(run, scores)
    write_json(path, dict(scores))
    if worst:
        write_bytes(path.with_suffix(".worst.png"), worst)
    return path


def read_scores(run: Path) -> list[dict[str, Any]]:
    """Return the evaluations in a run folder, newest first, as far as they can be read; `file` is added to each."""
    found = []
    for path in (run / _BEFORE, *sorted((run / SCORES).glob("*.json"))):
        scores = read_json(path)
        if isinstance(scores, dict):
            found.append({"kind": "pairs", "date": "", **scores, "file": path})
    return sorted(found, key=lambda scores: str(scores["date"]), reverse=True)


def table_of(scores: Mapping[str, Any]) -> ScoreTable | None:
    """Return an evaluation as a table; None if its file holds no scores."""
    sets = scores["kind"] == "sets"
    answers = list(_answers(scores, sets))
    columns = [column for column in _columns(sets) if any(column.name in answer.values for answer in answers)]
    if not columns or not answers or answers[0].name != MODEL:
        return None
    notes = scores.get("notes")
    said = [str(one) for one in notes] if isinstance(notes, list) else []
    return ScoreTable(_title(scores), _caption(scores), columns, answers, said)


def is_number(value: object) -> bool:
    """Whether a value from a JSON file is a number within floats."""
    return isinstance(value, int | float) and not isinstance(value, bool) and -_MOST < value < _MOST


def best_of(column: Column, answers: Sequence[Answer]) -> Answer | None:
    """Return the best of several models; None where its interval and the next one's overlap, or one is unknown."""
    sign = 1 if column.better == "lower" else -1
    known = (one for one in answers if column.name in one.values)
    ranked = sorted(known, key=lambda one: sign * one.values[column.name])
    if len(ranked) < 2:
        return None
    first, second = (one.intervals.get(column.name) for one in ranked[:2])
    if not first or not second or (first[0] <= second[1] and second[0] <= first[1]):
        return None
    return ranked[0]


def _columns(sets: bool) -> list[Column]:
    if sets:
        return _OF_SETS
    return [Column(name, one.label, one.better, one.decimals) for name, one in METRICS.items()]


def _answers(scores: Mapping[str, Any], sets: bool) -> Iterator[Answer]:
    """Yield the model and the trivial answers of an evaluation of pairs, or of sets."""
    baselines = scores.get("baselines")
    given = {MODEL: scores.get(MODEL), **(baselines if isinstance(baselines, dict) else {})}
    for name, values in given.items():
        if not isinstance(values, dict):
            continue
        of_sets = values.get("scores") if sets else values
        ends = {"kid": values.get("kid_interval")} if sets else scores.get("intervals") if name == MODEL else {}
        clean = {key: float(one) for key, one in _items(of_sets) if is_number(one)}
        if clean:
            yield Answer(str(name), clean, {key: (float(pair[0]), float(pair[1])) for key, pair in _pairs(ends)})


def _items(value: object) -> list[tuple[str, Any]]:
    return list(value.items()) if isinstance(value, dict) else []


def _pairs(value: object) -> Iterator[tuple[str, Sequence[float]]]:
    for name, pair in _items(value):
        if isinstance(pair, list | tuple) and len(pair) == 2 and all(map(is_number, pair)):
            yield name, pair


def _title(scores: Mapping[str, Any]) -> str:
    if scores["kind"] == "sets":
        return str(scores.get("what", "sets of pictures"))
    pairs = scores.get("pairs")
    counted = show_count(pairs, "pair") if isinstance(pairs, int) else "pairs"
    direction = f"{scores['direction']}: " if scores.get("direction") else ""
    return f"{direction}{counted} of {scores.get('split', 'a split')}"


def _caption(scores: Mapping[str, Any]) -> str:
    """Return the state of the model, what its figures depend on, and when they were measured."""
    seen, date = scores.get("images_seen"), scores.get("date")
    state = f"The model after {show_count(seen, 'image')}" if isinstance(seen, int) else ""
    return ", ".join(filter(None, [state, measured_with(scores), str(date)[:10] if date else ""]))


def made_count(scores: Mapping[str, Any]) -> int | None:
    """Return how many pictures a model made for an evaluation of sets; None for pairs."""
    model = scores.get(MODEL)
    count = model.get("made") if isinstance(model, dict) else None
    return count if isinstance(count, int) else None


def measured_with(scores: Mapping[str, Any]) -> str:
    """Return what the figures of an evaluation depend on, whatever the model."""
    parts = []
    if scores["kind"] == "sets":
        parts.append(f"{scores.get('network')} features, {scores.get('mode')}")
        parts.append(f"{scores.get('real')} real pictures")
        if made := made_count(scores):
            parts.append(f"{made} made")
    if scores.get("compared"):
        parts.append(str(scores["compared"]))
    if scores.get("fit"):
        parts.append(f"fit {scores['fit']}")
    if isinstance(labels := scores.get("labels"), list):
        parts += [f"to {label}" for label in labels]
    ends = scores.get("value_range")
    if isinstance(ends, list) and len(ends) == 2 and all(map(is_number, ends)):
        parts.append(f"{ends[0]:g} to {ends[1]:g} as 0 to 255")
    weights = scores.get("weights_sha256")
    named = weights if isinstance(weights, dict) else {"": weights} if weights else {}
    parts += [" ".join(filter(None, ("weights", name, str(one)[:12]))) for name, one in named.items()]
    if scores.get("reference_sha256"):
        parts.append(f"reference {str(scores['reference_sha256'])[:12]}")
    return ", ".join(parts)
