"""The progress of a training and the time left: a live line on a terminal, else a line now and then."""

import contextlib
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import Progress, ProgressColumn, Task
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from i2i.status import EVERY_S, MOST_S, Ticker
from i2i.training.log import tell
from i2i.words import show_duration

_WINDOW_S = 30.0  # over which the speed is measured
_MARK_S = 0.5  # between two measurements
_BAR = (10, 30)  # narrowest and widest bar, in characters
_LOG_WIDTH = 160  # of a line in a file


class Pace:
    """The speed over the last half minute, without breaks, and the time left, with as many breaks as so far."""

    def __init__(self) -> None:
        self.marks: deque[tuple[float, int]] = deque()
        self.last = (0.0, 0)
        self.began = 0.0
        self.breaks_s = 0.0

    def add(self, images: int) -> None:
        """Note how many images have been seen."""
        now = time.monotonic()
        self.last = (now, images)
        if not self.marks:
            self.began = now
        if not self.marks or now - self.marks[-1][0] >= _MARK_S:
            self.marks.append(self.last)
        while len(self.marks) > 2 and self.marks[1][0] < now - _WINDOW_S:
            self.marks.popleft()

    def leave_out(self, seconds: float) -> None:
        """Leave a break that ends now, as for previews, out of the speed."""
        self.marks = deque((at + seconds, images) for at, images in self.marks)
        self.last = (self.last[0] + seconds, self.last[1])
        self.breaks_s += seconds

    @property
    def speed(self) -> float | None:
        """Images a second; None before the second step."""
        if not self.marks or self.last[0] <= self.marks[0][0]:
            return None
        return (self.last[1] - self.marks[0][1]) / (self.last[0] - self.marks[0][0])

    def seconds_for(self, images: int) -> float | None:
        """Return how long `images` more will take; None before the speed is known."""
        if not self.speed:
            return None
        whole = self.last[0] - self.began
        return images / self.speed * whole / max(whole - self.breaks_s, 1e-9)


def progress_words(
    images: int, total: int, speed: float | None, seconds_left: float | None, width: int, epoch_images: int = 0
) -> str:
    """Return counts, percentage, speed and time left, shortened if they exceed `width` characters.

    epoch_images: in an epoch; 0 leaves epochs out.
    """
    share = f"{100 * images // total}%"
    pace = [] if speed is None else [f"{speed:.{1 if speed >= 1 else 2}f} img/s"]
    left = [] if seconds_left is None else [f"{show_duration(seconds_left, 0)} left"]
    count = f"{images:>{len(str(total))}}/{total}"
    epochs = [f"{images / epoch_images:.1f}/{total / epoch_images:.4g} epochs"] if epoch_images else []
    choices = ["  ".join([f"{count} images", *one, f"{share:>4}", *pace, *left]) for one in (epochs, [])]
    fits = [words for words in choices if len(words) <= width]
    return fits[0] if fits else " ".join([count, share, *pace, *left])


def fitting(items: Sequence[str], room: int) -> str:
    """Return as many of the first items as fit into `room` characters."""
    text = ""
    for item in items:
        longer = f"{text}  {item}" if text else item
        if len(longer) > room:
            break
        text = longer
    return text


class ProgressLine:
    """Shows images and epochs, percentage, speed, time left and, as far as there is room, losses."""

    def __init__(self, total: int, done: int, quiet: bool = False, epoch_images: int = 0):
        self.total, self.images, self.epoch_images = total, done, epoch_images
        self.items: list[str] = []  # losses by name
        self.busy_with = ""
        self.pace = Pace()
        self.console = Console(stderr=True, quiet=quiet)
        self.quiet = quiet
        self.bar = Progress(_Line(self), console=self.console, disable=quiet or not self.console.is_interactive)
        self.bar.add_task("train", total=total, completed=done)
        self.ticker: Ticker | None = None
        self.began = time.monotonic()

    def __enter__(self) -> Self:
        """Show the line, or start printing lines."""
        if self.console.is_interactive:
            with contextlib.suppress(OSError):
                self.bar.start()
        elif not self.quiet:
            self.ticker = Ticker(self._print, self._pause_s)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the line in its last state."""
        if self.ticker:
            self.ticker.stop()
            self._print()
        with contextlib.suppress(OSError):
            self.bar.stop()

    def advance(self, images: int) -> None:
        """Move to `images` seen."""
        self.images = images
        self.pace.add(images)

    def report(self, terms: dict[str, float]) -> None:
        """Show new losses; accuracies and gradient norms go to the log only."""
        losses = {name: value for name, value in terms.items() if not name.startswith("grad.")}
        self.items = [f"{name} {value:.3f}" for name, value in losses.items() if not name.endswith("_accuracy")]

    @contextlib.contextmanager
    def busy(self, what: str) -> Iterator[Callable[[int, int], None]]:
        """Show what interrupts the training, and leave the time it takes out of the speed.

        Yields a function that is called with how much of it is done, and of how much.
        """
        began, self.busy_with = time.monotonic(), what

        def count(done: int, total: int) -> None:
            self.busy_with = f"{what} {done}/{total}"

        try:
            yield count
        finally:
            self.busy_with = ""
            self.pace.leave_out(time.monotonic() - began)

    def say(self, text: str) -> None:
        """Print one line, above the live line if there is one."""
        if not self.console.is_interactive:
            tell(text)
            return
        with contextlib.suppress(OSError):
            self.console.print(text, highlight=False, markup=False, soft_wrap=True)

    def words(self, width: int) -> tuple[str, str]:
        """Return the progress, and the current interruption or the losses, as far as there is room."""
        pace = self.pace
        left = pace.seconds_for(self.total - self.images)
        room = width - len(self.busy_with) - 2
        head = progress_words(self.images, self.total, pace.speed, left, room, self.epoch_images)
        return head, fitting([self.busy_with] if self.busy_with else self.items, width - len(head) - 2)

    def _print(self) -> None:
        tell("  ".join(filter(None, self.words(_LOG_WIDTH))))

    def _pause_s(self) -> float:
        """Print less often in a long training, but not while something interrupts it."""
        return EVERY_S if self.busy_with else min(max(EVERY_S, (time.monotonic() - self.began) / 100), MOST_S)


class _Line(ProgressColumn):
    """The whole line as one column: its parts share the width of the terminal, and the bar takes the rest."""

    def __init__(self, line: ProgressLine):
        self.line = line
        super().__init__()

    def render(self, task: Task) -> Table:
        """Draw it."""
        width = self.line.console.width
        head, rest = self.line.words(width)
        room = width - len(head) - len(rest) - 4
        row: list[Text | ProgressBar] = [Text(head, no_wrap=True)]
        if room >= _BAR[0]:
            row.append(ProgressBar(self.line.total, self.line.images, width=min(room, _BAR[1])))
        grid = Table.grid(padding=(0, 2, 0, 0))
        if rest:
            row.append(Text(rest, no_wrap=True))
        grid.add_row(*row)
        return grid
