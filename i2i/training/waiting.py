"""How threads wait for one another on a CPU: spinning for a moment, or asleep while other programs want the cores.

A thread that spins goes on at once when the others have finished, and one that sleeps must be woken: two that sleep
lose a sixth of their speed on a quiet machine. Beside other busy programs, a thread that spins takes its time from the
one that it waits for. GNU's OpenMP, which torch has on Linux, reads how long to spin when it is loaded (i2i/__init__.py
sets it). But it does not spin at all while it manages more threads than there are cores; so threads that only make
teams of their own, and do nothing, switch it over. Sums stay the same bit for bit, since they depend on the number of
threads alone.
"""

import contextlib
import math
import os
import threading
import time
from pathlib import Path

import torch

_LOOK_S = 1.0
"""Between two looks at how long threads wait for a core."""
_BUSY, _QUIET = 0.2, 0.1
"""Seconds that threads wait for a core, for each that they compute, in which the machine is busy or quiet again."""
_MOST_TEAMS = 8
_GRAIN = 32768
"""Elements that torch gives to each thread at least."""


class Waiting:
    """Lets the threads of a training sleep while the machine is busy."""

    def __init__(self, threads: int):
        """threads: how many compute. One alone waits for no other."""
        self.threads, self.teams = threads, _teams_needed(threads)
        self.over: threading.Event | None = None
        self.began, self.times = time.monotonic(), own_times()

    def look(self) -> None:
        """Look, once a second, whether others want the cores; call it after each step."""
        now = time.monotonic()
        if not self.teams or now - self.began < _LOOK_S:
            return
        before, self.times, self.began = self.times, own_times(), now
        computed_s, waited_s = (new - old for new, old in zip(self.times, before, strict=True))
        if self.over is None and waited_s > _BUSY * computed_s:
            self.over = threading.Event()
            for _ in range(self.teams):
                threading.Thread(target=_hold_team, args=(self.threads, self.over), daemon=True).start()
        elif waited_s < _QUIET * computed_s:
            self.close()

    def close(self) -> None:
        """Let threads spin again."""
        if self.over is not None:
            self.over.set()
            self.over = None


def own_times() -> tuple[float, float]:
    """Return how long the threads of this process have computed and waited for a core, in seconds; or 0."""
    tasks, computed, waited = Path("/proc/self/task"), 0, 0
    for task in tasks.iterdir() if tasks.is_dir() else ():
        with contextlib.suppress(OSError, ValueError):  # a thread may end meanwhile
            own = [int(word) for word in (task / "schedstat").read_text(encoding="ascii").split()[:2]]
            computed, waited = computed + own[0], waited + own[1]
    return computed / 1e9, waited / 1e9


def _teams_needed(threads: int) -> int:
    """Return how many more teams of so many threads make more threads than cores; 0 for none, or too many."""
    if threads < 2 or not hasattr(os, "sched_getaffinity"):
        return 0
    needed = math.ceil((len(os.sched_getaffinity(0)) + 1 - threads) / (threads - 1))
    return needed if 0 < needed <= _MOST_TEAMS else 0


def _hold_team(threads: int, over: threading.Event) -> None:
    """Compute once on all threads, so that OpenMP makes a team for this one, and keep it."""
    torch.ones(threads * _GRAIN).add_(1)
    over.wait()
