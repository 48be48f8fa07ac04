"""How a run reports on itself while it trains: a progress line, warnings, metrics.jsonl and report.html."""

import contextlib
import time
from collections.abc import Iterable, Iterator

from i2i.report.page import REPORT, write_report
from i2i.training.log import BestEffort, MetricsLog
from i2i.training.progress import ProgressLine
from i2i.training.run import Run
from i2i.words import show_count

_REPORT_SHARE = 0.02  # of the time that writing the report may take


class Reporter:
    """The run's clock, progress line and log. Only rank 0 prints and writes; other ranks may call every method."""

    def __init__(self, run: Run, is_rank_0: bool):
        self.run, self.is_rank_0 = run, is_rank_0
        self.best_effort = BestEffort()
        self.metrics: MetricsLog | None = None
        self.report_s, self.reported = 0.0, 0.0  # how long writing the report took, and when that was
        self.started = time.monotonic()

    @property
    def seconds(self) -> float:
        """How long the run has trained, including what it was resumed from."""
        return time.monotonic() - self.started

    def set_clock(self, seconds: float) -> None:
        """Go on from `seconds` of training."""
        self.started = time.monotonic() - seconds

    @contextlib.contextmanager
    def open(self, images: int) -> Iterator[None]:
        """Show the progress line and append to the log, from `images` seen on."""
        total, _, epoch_images = self.run.schedule
        if self.is_rank_0:
            path, tensorboard = self.run.folder / "metrics.jsonl", self.run.config.log.tensorboard
            self.metrics = MetricsLog(path, images, self.best_effort, tensorboard, epoch_images)
        with ProgressLine(total, images, not self.is_rank_0, epoch_images) as self.progress:
            yield

    def write(self, images: int, split: str, values: dict[str, float]) -> None:
        """Add a row of metrics to the log."""
        if self.metrics:
            self.metrics.write(images, self.seconds, split, values)

    def warn(self, images: int, warnings: Iterable[str]) -> None:
        """Print warnings, and add them to the log."""
        for text in warnings:
            self.progress.say(f"Warning: after {show_count(images, 'image')}, {text}")
            if self.metrics:
                self.metrics.warn(images, self.seconds, text)

    def write_report(self) -> None:
        """Bring report.html up to date."""
        if self.is_rank_0:
            began = time.monotonic()
            with self.best_effort(REPORT, Exception):  # a page is never worth a training, whatever it stumbles over
                write_report(self.run.folder)
            self.reported = time.monotonic()
            self.report_s = self.reported - began

    def write_report_if_due(self) -> None:
        """Bring report.html up to date, unless that would take too much of the time."""
        if time.monotonic() - self.reported > self.report_s / _REPORT_SHARE:
            self.write_report()
