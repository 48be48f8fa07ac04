"""Stopping on request: by Ctrl-C, SIGTERM, SIGUSR1 (which Slurm can send before the time is up) or a lost terminal.

The current step is finished and saved first; a second Ctrl-C exits at once.
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

_ASKED = 100  # plus the number of a signal, it is larger than any state


class Stop:
    """Signal handlers as a context manager: they raise Stopped, but not between `hold` and `release`."""

    def __init__(self) -> None:
        self.asked: int | None = None
        self.holds = False
        self.before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        """Install the handlers, except for ignored signals, as SIGHUP under nohup."""
        if threading.current_thread() is threading.main_thread():  # Python allows it nowhere else
            for signum in STOPS:
                if signal.getsignal(signum) != signal.SIG_IGN:
                    self.before[signum] = signal.signal(signum, self._ask)
        return self

    def __exit__(self, *_: object) -> None:
        """Restore the previous handlers."""
        for signum, handler in self.before.items():
            signal.signal(signum, handler)

    def hold(self) -> None:
        """Let what follows finish."""
        self.holds = True

    def release(self) -> None:
        """Raise Stopped if it was requested meanwhile, and from now on. With several ranks only `agree` raises it."""
        self.holds = ranks.world_size() > 1
        if self.asked and not self.holds:
            raise Stopped(self.asked)

    def agree(self, state: int) -> int:
        """Return the largest state, from 0 to 99, of any rank: the same on all of them.

        Raises Stopped on all ranks, and so at the same image, when any was asked to stop.
        """
        agreed = ranks.all_reduce_max(_ASKED + self.asked if self.asked else state)
        if agreed >= _ASKED:  # not stored in self.asked, which a signal may have set meanwhile
            raise Stopped(agreed - _ASKED)
        return agreed

    def _ask(self, signum: int, frame: FrameType | None) -> None:
        self.asked = signum
        if signum == signal.SIGINT:  # the second one ends the process even inside C code
            signal.signal(signum, signal.SIG_DFL)
        if not self.holds:
            raise Stopped(signum)
        if ranks.rank() > 0:
            return
        again = " Press Ctrl-C again to exit at once." if signum == signal.SIGINT else ""
        text = f"\n{signal.Signals(signum).name}: finishing the step and saving.{again}\n"
        with contextlib.suppress(OSError):  # the terminal may be gone; print is unsafe inside a handler
            os.write(2, text.encode())
