"""What `i2i translate` says while it works and at its end."""

import contextlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from i2i import status
from i2i.errors import DataError, UsageError, one_line
from i2i.words import show_count

if TYPE_CHECKING:
    from i2i.runtime.outcome import Result
    from i2i.runtime.tasks import Task
    from i2i.runtime.translator import Translator


@contextlib.contextmanager
def show_progress(total: int) -> Iterator[Callable[["Task"], None]]:
    """Show a progress bar on a terminal, or a line now and then elsewhere; yields what advances it by one picture.

    Of a single picture, which a bar could not show, the parts are counted where it goes through in windows.
    """
    if total == 1 or not status.on_terminal():
        done = itertools.count(1)
        with status.shown(), status.doing("Translating"):
            yield lambda task: status.count(next(done), total)
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True)) as bar:
        whole = bar.add_task("Translating", total=total)
        yield lambda task: bar.advance(whole)


@contextlib.contextmanager
def summed_up(result: "Result", say: Callable[[], None]) -> Iterator[None]:
    """Call `say` at the end, also of a run that is stopped or fills the disk, but not where nothing could begin."""
    try:
        yield
    except BaseException as error:
        if result.written or not isinstance(error, (DataError, UsageError)):
            say()
        raise
    say()


def counted(written: int, total: int, existing: int, output: Path | None, noun: str = "picture") -> str:
    """Return how many pictures a run wrote, and how many it left because they existed."""
    there = f"{existing:,} exist{'s' if existing == 1 else ''} already" if existing else ""
    if not total:
        return f"Nothing to do{f': {there}' if there else ''}."
    where = f" to {one_line(output)}" if output else ""
    return f"{written:,} of {show_count(total, noun)} written{where}{f'; {there}' if there else ''}."


def notes_on(translators: Sequence["Translator"], result: "Result") -> Iterator[str]:
    """Yield what the user should know about the outputs."""
    from i2i.runtime.fit import large_note
    from i2i.runtime.outcome import unkept

    yield from dict.fromkeys(note for one in translators for note in (*one.backend.notes, *one.notes))
    yield from dict.fromkeys(result.notes)
    yield from unkept(result)
    translator = translators[0]
    if result.large and translator.planner.fit.how != "resize":
        path, side_px = max(result.large.items(), key=lambda one: one[1])
        others = f" (the largest of {len(result.large)})" if len(result.large) > 1 else ""
        note = large_note(side_px, translator.spec.trained_side_px)
        yield f"{one_line(str(path))}{others} is {note}"


def show_summary(translators: Sequence["Translator"], result: "Result", count: str) -> None:
    """Print notes, refusals and counts."""
    from i2i.runtime.outcome import lines

    for note in notes_on(translators, result):
        click.echo(f"Note: {note}", err=True)
    for line in (*lines(result), count):
        click.echo(line, err=True)
