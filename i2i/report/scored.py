"""Models side by side as a section of a page: scores, with their intervals as bars."""

from collections.abc import Sequence
from typing import NamedTuple

from i2i.report.markup import key, text
from i2i.report.scores import Answer, Column, best_of

_ARROWS = {"lower": "↓", "higher": "↑"}


class Scored(NamedTuple):
    """Models side by side, and trivial answers to the same pictures below them."""

    title: str
    caption: str
    columns: Sequence[Column]
    models: Sequence[Answer]
    """Each has the label of its run for a name."""
    trivial: Sequence[Answer]
    runs: Sequence[int]
    """The place of each model's run among those of the page."""
    notes: Sequence[str] = ()


def heading(column: Column) -> str:
    """Return the name of a score with an arrow that says what is better."""
    return f"{column.label} {_ARROWS[column.better]}"


def shown_interval(column: Column, ends: tuple[float, float]) -> str:
    """Return a 95% interval as text."""
    return f"{column.show(ends[0])} to {column.show(ends[1])}"


def scores_section(tables: Sequence[Scored], notes: Sequence[str] = ()) -> str:
    """Return tables of scores."""
    if not tables and not notes:
        return ""
    said = "".join(f'<p class="soft">{text(note)}</p>' for note in notes)
    return f"<h2>Scores</h2>{''.join(map(_table, tables))}{said}"


def _table(scored: Scored) -> str:
    best = {column.name: best_of(column, scored.models) for column in scored.columns}
    head = "".join(f'<th scope="col">{text(heading(column))}</th>' for column in scored.columns)
    rows = []
    for place, answer in enumerate((*scored.models, *scored.trivial)):
        model = place < len(scored.models)
        name = text(answer.name.replace("_", " ") if not model else answer.name)
        colour = key(scored.runs[place]) if model and len(scored.models) > 1 else ""
        cells = "".join(_cell(column, answer, scored, best[column.name] is answer) for column in scored.columns)
        kind = f'class="model" style="--key: var(--c{scored.runs[place] % 8})"' if model else 'class="trivial"'
        rows.append(f'<tr {kind}><th scope="row">{colour}{name}</th>{cells}</tr>')
    starred = any(best.values()) and " ★: its interval lies apart from every other run's."
    notes = "".join(f"<p>{text(note)}</p>" for note in scored.notes)
    return (
        f'<h3>{text(scored.title)}</h3><div class="scroll"><table class="scores">'
        f'<thead><tr><th scope="col"></th>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'
        f'<p class="soft">{text(scored.caption)}. Bars: 95% intervals.{starred or ""}</p>{notes}'
    )


def _cell(column: Column, answer: Answer, scored: Scored, is_best: bool) -> str:
    """Return a value, its interval, and both as a bar on the scale of the column."""
    if column.name not in answer.values:
        return "<td>–</td>"
    value, ends = answer.values[column.name], answer.intervals.get(column.name)
    interval = f'<span class="range">{shown_interval(column, ends)}</span>' if ends else ""
    every = [one for one in (*scored.models, *scored.trivial) if column.name in one.values]
    reach = [end for one in every for end in (one.values[column.name], *one.intervals.get(column.name, ()))]
    low, span = min(reach), max(reach) - min(reach) or 1.0
    dot = f'<b style="left:{(value - low) / span:.1%}"></b>'
    line = f'<i style="left:{(ends[0] - low) / span:.1%};width:{(ends[1] - ends[0]) / span:.1%}"></i>' if ends else ""
    shown = f'<td class="best">{column.show(value)} ★' if is_best else f"<td>{column.show(value)}"
    return f'{shown}{interval}<span class="bar" aria-hidden="true">{line}{dot}</span></td>'
