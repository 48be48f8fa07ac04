"""How a run reports on itself while it trains: a progress line, warnings, metrics.jsonl and report.html."""

import contextlib
import time
from collections.abc import Iterable, Iterator, Mapping

from i2i.errors import NonFiniteError
from i2i.files import write_bytes
from i2i.report.page import REPORT, write_report
from i2i.training.callbacks import Callbacks
from i2i.training.log import BestEffort, MetricsLog, tell
from i2i.training.loggers import Loggers
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
        self.loggers = Loggers(run.config.log.loggers, tell)
        self.callbacks = Callbacks(run.callbacks, tell)
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
        total, _, epoch_images, _ = self.run.schedule
        if self.is_rank_0:
            path = self.run.folder / "metrics.jsonl"
            self.metrics = MetricsLog(path, images, self.best_effort, epoch_images, self.loggers, self.callbacks)
            self.loggers.begin(self.run.folder, images, self.run.config.model_dump(mode="json"))
        finished = False
        try:
            with ProgressLine(total, images, not self.is_rank_0, epoch_images) as self.progress:
                yield
            finished = True
        finally:
            self.loggers.each(lambda logger: logger.finalize("success" if finished else "failed"))

    def write(self, images: int, split: str, values: dict[str, float]) -> None:
        """Add a row of metrics to the log."""
        if self.metrics:
            self.metrics.write(images, self.seconds, split, values)

    def write_samples(self, images: int, sheets: Mapping[str, bytes]) -> None:
        """Write sheets of samples, PNG files by direction, to samples/ and to the loggers."""
        paths = {direction: self.run.folder / "samples" / f"{images:09d}.{direction}.png" for direction in sheets}
        with self.best_effort("samples"):
            for direction, png in sheets.items():
                write_bytes(paths[direction], png)
            self.loggers.each(lambda logger: logger.log_sheets(paths, images))
            self.callbacks.samples(images, paths)

    def warn(self, images: int, warnings: Iterable[str]) -> None:
        """Print warnings, and add them to the log."""
        for text in warnings:
            self.progress.say(f"Warning: after {show_count(images, 'image')}, {text}")
            if self.metrics:
                self.metrics.warn(images, self.seconds, text)

    def note_non_finite(self, images: int, error: NonFiniteError) -> None:
        """Add to the log why the training ends after `images`, for the report and `i2i diagnose`."""
        if self.metrics:  # as of the next image, so that going on from a checkpoint drops the row
            text = str(error).splitlines()[0]
            self.metrics.warn(images + 1, self.seconds, text, non_finite=error.source or text.partition(". ")[0])

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
