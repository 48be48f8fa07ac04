"""HTML of text and tables. Whatever comes from a file is escaped here."""

import html
import re
from collections.abc import Iterable, Sequence


def text(value: object) -> str:
    """Return a value as HTML text."""
    return html.escape(str(value).encode("utf-8", "backslashreplace").decode())


def table(head: Iterable[object], rows: Iterable[Sequence[object]], runs: int = 0) -> str:
    """Return plain values as a table; runs: so many columns at the end are runs, and have their colours."""
    titles = list(map(text, head))
    first = len(titles) - runs
    titles = [title if place < first else key(place - first) + title for place, title in enumerate(titles)]
    return html_table(titles, ([_breakable(row[0]), *map(text, row[1:])] for row in rows))


def html_table(head: Iterable[str], rows: Iterable[Sequence[str]]) -> str:
    """Return cells that are HTML already as a table; the first cell of a row names it."""
    titles = "".join(f'<th scope="col">{one}</th>' for one in head)
    body = "".join(
        f'<tr><th scope="row">{row[0]}</th>{"".join(f"<td>{cell}</td>" for cell in row[1:])}</tr>' for row in rows
    )
    return f'<div class="scroll"><table><thead><tr>{titles}</tr></thead><tbody>{body}</tbody></table></div>'


def _breakable(name: object) -> str:
    """Return a name that a narrow page may break after its dots and underscores, and nowhere else."""
    return re.sub(r"([._])(?=[a-z])", r"\1<wbr>", text(name))


def key(place: int) -> str:
    """Return a run's colour as a small square."""
    return f'<span class="key" style="--key: var(--c{place % 8})"></span>'
