"""Progress on stderr while the user waits: a spinner on a terminal, elsewhere a line now and then.

Commands switch it on with `shown`; long steps name themselves with `doing`, which costs nothing outside `shown`.
"""

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from i2i.words import show_duration

FIRST_S, EVERY_S = 1.0, 4.0
"""When the first line comes, and how often others follow; a busy interpreter may add a second."""
MOST_S = 60.0
"""Longest pause between two lines, for a step that takes hours."""
_LOOK_S = 0.2
_PATIENCE_S = 1.0


class _Step:
    def __init__(self, text: str):
        self.text = text
        self.done, self.total = 0, 0  # total 0: unknown
        self.began = time.monotonic()

    def __str__(self) -> str:
        if not self.total:
            return f"{self.text}: {self.done:,} ..." if self.done else f"{self.text} ..."
        return f"{self.text}: {self.done:,} of {self.total:,} ...{self._left()}"

    def _left(self) -> str:
        spent = time.monotonic() - self.began
        if not self.done or spent < EVERY_S:  # too early to tell
            return ""
        return f" {show_duration(spent / self.done * (self.total - self.done), 0)} left"


class Ticker:
    """Calls `tick` in a thread of its own, FIRST_S after the start and then every `pause_s()` seconds."""

    def __init__(self, tick: Callable[[], None], pause_s: Callable[[], float]):
        self.tick, self.pause_s = tick, pause_s
        self.last = time.monotonic() + FIRST_S - EVERY_S
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._run, name="i2i status", daemon=True)
        self.thread.start()

    def hurry(self) -> None:
        """Make the next call come FIRST_S from now at the latest, if the pause is EVERY_S."""
        self.last = min(self.last, time.monotonic() + FIRST_S - EVERY_S)

    def stop(self) -> None:
        """Stop; no further call follows."""
        self.over.set()
        self.thread.join(_PATIENCE_S)  # it may be blocked writing to a pipe that nobody reads

    def _run(self) -> None:
        while not self.over.wait(_LOOK_S):
            if time.monotonic() >= self.last + self.pause_s():
                self.tick()
                self.last = time.monotonic()


_steps: list[_Step] = []  # the innermost is the last
_ticker: Ticker | None = None
_spinner: Any = None  # rich's, on a terminal


@contextlib.contextmanager
def shown() -> Iterator[None]:
    """Show progress during the body, in the first process of a training only; does nothing inside another `shown`."""
    global _ticker, _spinner
    if _ticker is not None or not first_process():
        yield
        return
    if on_terminal():
        from rich.console import Console  # takes a while to load
        from rich.status import Status

        _spinner = Status("", console=Console(stderr=True))
    _ticker = Ticker(_tick, _pause_s)
    try:
        yield
    finally:
        _ticker.stop()
        _turn_spinner(on=False)
        _ticker = _spinner = None


@contextlib.contextmanager
def doing(text: str, at_once: bool = False) -> Iterator[_Step]:
    """Name what the body does, instead of the step around it; at_once: show it immediately, for a long step.

    Yields the step, whose `done` and `total` a thread may set while others have steps of their own.
    """
    step = _Step(text)
    _steps.append(step)
    if _ticker:
        _ticker.hurry()
        if at_once and _spinner is None:
            _tick()
            _ticker.last = time.monotonic()
    _turn_spinner(on=True)
    try:
        yield step
    finally:
        _steps.remove(step)
        _turn_spinner(on=bool(_steps))


def loading_torch() -> contextlib.AbstractContextManager[object]:
    """Name the loading of torch, which takes seconds, unless it is loaded already; import it in the body."""
    return contextlib.nullcontext() if sys.modules.get("torch") else doing("Loading torch", at_once=True)


def count(done: int, total: int = 0) -> None:
    """Set the progress of the current step, if there is one; total 0 is unknown."""
    if _steps:
        _steps[-1].done, _steps[-1].total = done, total


def say(text: str) -> None:
    """Print a line for the user inside `shown`."""
    with contextlib.suppress(OSError, ValueError):  # stderr is closed
        if _spinner is not None:
            _spinner.console.print(text, highlight=False, markup=False, soft_wrap=True)
        elif _ticker is not None:
            print(text, file=sys.stderr, flush=True)


def on_terminal() -> bool:
    """Whether stderr is a terminal that can redraw a line."""
    return sys.stderr is not None and sys.stderr.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")


def first_process() -> bool:
    """Whether this is the process that prints, among those that torchrun or Fabric started."""
    return all(os.environ.get(name, "0") == "0" for name in ("RANK", "LOCAL_RANK", "NODE_RANK"))


def _tick() -> None:
    if not _steps:
        return
    step = _steps[-1]
    with contextlib.suppress(OSError, ValueError):  # stderr is closed
        if _spinner is not None:
            _spinner.update(_for_terminal(step))
            return
        seconds = time.monotonic() - step.began
        untold = not step.total  # with a total, the line says what is left
        spent = f" {seconds:.0f} s" if seconds >= EVERY_S and untold else ""
        print(f"{step}{spent}", file=sys.stderr, flush=True)


def _pause_s() -> float:
    """Return the pause between two lines: short on a terminal, which redraws; longer and longer elsewhere."""
    if _spinner is not None:
        return _LOOK_S
    spent = time.monotonic() - _steps[-1].began if _steps else 0.0
    return min(max(EVERY_S, spent / 100), max(MOST_S, EVERY_S))


def _turn_spinner(on: bool) -> None:
    if _spinner is None:
        return
    with contextlib.suppress(OSError, ValueError):
        if on:
            _spinner.update(_for_terminal(_steps[-1]))
            _spinner.start()
        else:
            _spinner.stop()


def _for_terminal(step: _Step) -> Any:
    from rich.text import Text

    return Text(str(step), no_wrap=True, overflow="ellipsis")
