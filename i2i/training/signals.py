"""Stopping when asked to: by Ctrl-C, SIGTERM, SIGUSR1 (which Slurm can send before the time is up) or a lost terminal.

What has begun is finished first, and what was trained is saved; a second Ctrl-C leaves at once.
"""

import contextlib
import os
import signal
import threading
from types import FrameType
from typing import Any, Self

from i2i.data.loader import STOPS
from i2i.errors import Stopped
from i2i.training import ranks

_ASKED = 100  # added to the number of a signal, it is more than any state


class Stop:
    """Handlers of STOPS, as a context manager: they raise Stopped, but not between `hold` and `release`."""

    def __init__(self) -> None:
        self.asked: int | None = None
        self.holds = False
        self.before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        """Install the handlers, except for what is ignored, as SIGHUP under nohup."""
        if threading.current_thread() is threading.main_thread():  # Python allows it nowhere else
            for signum in STOPS:
                if signal.getsignal(signum) != signal.SIG_IGN:
                    self.before[signum] = signal.signal(signum, self._ask)
        return self

    def __exit__(self, *_: object) -> None:
        """Put back what was there."""
        for signum, handler in self.before.items():
            signal.signal(signum, handler)

    def hold(self) -> None:
        """Let what follows be finished."""
        self.holds = True

    def release(self) -> None:
        """Raise Stopped when it was asked for meanwhile, or is from now on. Of several ranks only `agree` raises it."""
        self.holds = ranks.count() > 1
        if self.asked and not self.holds:
            raise Stopped(self.asked)

    def agree(self, state: int) -> int:
        """Return the largest state, from 0 to 99, that any rank has: the same on all of them.

        Raises Stopped on all, and so at the same image, when any was asked to stop.
        """
        agreed = ranks.largest(_ASKED + self.asked if self.asked else state)
        if agreed >= _ASKED:  # not kept in self.asked, where a signal may have arrived meanwhile
            raise Stopped(agreed - _ASKED)
        return agreed

    def _ask(self, signum: int, frame: FrameType | None) -> None:
        self.asked = signum
        if signum == signal.SIGINT:  # the second one ends the process even in the midst of C code
            signal.signal(signum, signal.SIG_DFL)
        if not self.holds:
            raise Stopped(signum)
        if ranks.rank() > 0:
            return
        again = " Ctrl-C again leaves at once." if signum == signal.SIGINT else ""
        text = f"\n{signal.Signals(signum).name}: finishing the step and saving.{again}\n"
        with contextlib.suppress(OSError):  # the terminal may be gone; print is not safe inside a handler
            os.write(2, text.encode())
