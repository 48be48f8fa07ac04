"""Scores of several runs side by side, where they were measured alike."""

from collections.abc import Mapping, Sequence
from typing import Any

from i2i.errors import UsageError
from i2i.report.record import RunRecord
from i2i.report.scored import Scored
from i2i.report.scores import Answer, ScoreTable, made_count, measured_with, table_of

OfRun = tuple[int, Mapping[str, Any], ScoreTable]
"""The place of a run, one of its evaluations, and that as a table."""


MEASURED_WITH = (
    *("network", "mode", "real", "made", "pairs", "compared", "value_range", "direction", "fit"),
    *("labels", "weights_sha256", "reference_sha256"),
)


def refuse_incomparable(first: Mapping[str, Any], second: Mapping[str, Any]) -> None:
    """Raise UsageError if two results of `to_json` were measured differently; it names the difference."""
    for name in MEASURED_WITH:
        was, now = _value(first, name), _value(second, name)
        if was != now:
            raise UsageError(
                f"These scores cannot be compared: {name} is {was} in one and {now} in the other.\n"
                "Evaluate both models in the same way, on the same pictures."
            )


def difference(first: Mapping[str, Any], second: Mapping[str, Any]) -> UsageError | None:
    """Return why two evaluations, as files keep them, cannot be compared."""
    one, other = dict(first), dict(second)
    weights, others = one.get("weights_sha256"), other.get("weights_sha256")
    if isinstance(weights, dict) and isinstance(others, dict):  # of metrics that both have
        shared = weights.keys() & others.keys()
        one["weights_sha256"], other["weights_sha256"] = (
            {name: each[name] for name in shared} for each in (weights, others)
        )
    try:
        refuse_incomparable(one, other)
    except UsageError as error:
        return error
    return None


def compare_scores(runs: Sequence[RunRecord], names: Sequence[str]) -> tuple[list[Scored], list[str]]:
    """Return the evaluations that runs have in common, side by side, and what readers should know.

    names: labels of the runs. Pairs and sets are compared by themselves. Raises UsageError, with the reason, if
    several runs have scores of one kind, and none of them were measured alike.
    """
    found: dict[str, list[list[OfRun]]] = {"pairs": [], "sets": []}
    for place, run in enumerate(runs):
        for kind, evaluated in found.items():
            of_kind = (one for one in run.scores if one["kind"] == kind)
            own: list[OfRun] = [(place, one, table) for one in of_kind if (table := _comparable(one))]
            if own:
                evaluated.append(own)
    tables = [table for evaluated in found.values() if evaluated for table in _side_by_side(evaluated, names)]
    scored = {place for evaluated in found.values() for own in evaluated for place, _, _ in own}
    without = [name for place, name in enumerate(names) if place not in scored]
    ask = f"Not scored yet: {', '.join(without)}. `i2i evaluate -m RUN` keeps scores in the run folder."
    return tables, [ask] if without else []


def _comparable(scores: Mapping[str, Any]) -> ScoreTable | None:
    """Return an evaluation as a table, None if its file does not say on which pictures it was made."""
    return table_of(scores) if scores.get("reference_sha256") else None


def _side_by_side(evaluated: Sequence[Sequence[OfRun]], names: Sequence[str]) -> list[Scored]:
    """Return a table for each evaluation of the first run that the others have too."""
    tables, reasons = [], list[tuple[int, OfRun, OfRun]]()
    for first in evaluated[0]:
        row = [first]
        for own in evaluated[1:]:
            like = next((one for one in own if difference(first[1], one[1]) is None), None)
            if like is None:
                nearest = min(own, key=lambda one: _differing(first[1], one[1]))
                reasons.append((_differing(first[1], nearest[1]), first, nearest))
                break
            row.append(like)
        else:
            tables.append(_scored(row, names))
    if not tables and reasons:  # the two that differ least, whose difference is the easiest to mend
        _, one, other = min(reasons, key=lambda reason: reason[0])
        why = difference(one[1], other[1])
        raise UsageError(f"{names[one[0]]} and {names[other[0]]}: {why} Or add --no-scores to compare the rest.")
    return tables


def _differing(first: Mapping[str, Any], second: Mapping[str, Any]) -> int:
    return sum(_value(first, name) != _value(second, name) for name in MEASURED_WITH)


def _value(scores: Mapping[str, Any], name: str) -> Any:
    """Return one of MEASURED_WITH; None for what is empty, as older evaluations have no labels."""
    return made_count(scores) if name == "made" else scores.get(name) or None


def _scored(row: Sequence[OfRun], names: Sequence[str]) -> Scored:
    table = row[0][2]
    models = [one.answers[0]._replace(name=names[place]) for place, _, one in row]
    columns = [column for column in table.columns if all(column.name in model.values for model in models)]
    trivial: list[Answer] = table.answers[1:]  # equal for all: they answer the same pictures
    notes = [f"{names[place]}: {note}" for place, _, one in row for note in one.notes]
    caption = measured_with(row[0][1])  # without the state of the first run's model
    return Scored(table.title, caption, columns, models, trivial, [place for place, _, _ in row], notes)
