"""Counts, durations and lists of names, as messages show them."""

from collections.abc import Sequence

from i2i.errors import one_line

NAMED = 5
"""How many names a message lists before "and N more"."""


def show_count(number: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun: 1 picture, 3,000 pictures. plural: for nouns whose plural is not just an s."""
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"


def show_duration(seconds: float, decimals: int = 1) -> str:
    """Return a duration in a suitable unit; decimals: for seconds."""
    for unit, length in (("days", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.{decimals}f} s"


def and_more(names: Sequence[object], most: int = NAMED) -> str:
    """Return the first names, separated by commas and without line breaks, and how many more there are."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return f"{', '.join(map(one_line, names[:most]))}{more}"


def name_some(head: str, items: Sequence[str], lines: bool = False) -> str:
    """Return the head and the first items, after it or one on each line, and how many more there are."""
    if not lines:
        return f"{head} {and_more(items)}."
    shown = [*map(one_line, items[:NAMED]), *([f"and {len(items) - NAMED:,} more"] if len(items) > NAMED else [])]
    return head + "\n  " + "\n  ".join(shown)
