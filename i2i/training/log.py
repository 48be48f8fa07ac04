"""What a run writes and prints while it trains: rows of metrics and lines for the user.

None of it is worth losing a training: what cannot be written, as on a full disk or a closed terminal, is left out.
"""

import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torch import Tensor

from i2i.files import read_json_lines, write_text
from i2i.report.record import WARNING
from i2i.training import ranks
from i2i.training.callbacks import Callbacks
from i2i.training.loggers import Loggers


def tell(text: str) -> None:
    """Print a line for the user, on rank 0; a closed terminal or a full disk is ignored."""
    if ranks.rank() > 0:
        return
    with contextlib.suppress(OSError):
        print(text, file=sys.stderr, flush=True)


class BestEffort:
    """Writes that a run can do without: a failure is reported, once for each thing, and the training goes on."""

    def __init__(self) -> None:
        self.told: set[str] = set()

    @contextlib.contextmanager
    def __call__(self, what: str, errors: type[Exception] = OSError) -> Iterator[None]:
        """Catch the errors of writing `what`."""
        try:
            yield
        except errors as error:
            if what not in self.told:
                self.told.add(what)
                tell(f"Warning: {what} cannot be written, and the training goes on without: {error}.")


class Meter:
    """Means of the loss terms since they were last read."""

    def __init__(self) -> None:
        self.sums: dict[str, Tensor] = {}
        self.counts: dict[str, int] = {}

    def add(self, terms: dict[str, Tensor]) -> None:
        """Count one step; terms stay on the device, so that no step waits for it."""
        for name, term in terms.items():
            self.sums[name] = self.sums[name] + term if name in self.sums else term
            self.counts[name] = self.counts.get(name, 0) + 1

    def read(self) -> dict[str, float]:
        """Return the mean of each term and reset."""
        means = {name: float(total) / self.counts[name] for name, total in self.sums.items()}
        self.sums, self.counts = {}, {}
        return means

    def state_dict(self) -> dict[str, Any]:
        """Return the sums so far: a stop may come between two readings."""
        return {"sums": self.sums, "counts": self.counts}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.sums, self.counts = dict(state["sums"]), dict(state["counts"])


class MetricsLog:
    """metrics.jsonl: a row {"images", "epochs", "seconds", "split", <name>: <value>} a line, also for `loggers`."""

    def __init__(
        self,
        path: Path,
        images: int,
        best_effort: BestEffort,
        epoch_images: int = 1,
        loggers: Loggers | None = None,
        callbacks: Callbacks | None = None,
    ):
        """Open for appending after `images` seen; later rows, of a run that was killed, are dropped.

        epoch_images: in an epoch. loggers, callbacks: get the same rows.
        """
        self.path, self.epoch_images = path, epoch_images
        self.loggers = loggers or Loggers((), tell)
        self.callbacks = callbacks or Callbacks((), tell)
        self.best_effort = best_effort
        self.start = ""  # of the next line: a line break, where the last write may have been cut
        with best_effort(path.name):
            rows = [row for row in read_json_lines(path) if isinstance(row.get("images"), int)]  # others are not ours
            rows = [row for row in rows if row["images"] <= images]
            write_text(path, "".join(json.dumps(row) + "\n" for row in rows))

    def write(self, images: int, seconds: float, split: str, values: dict[str, float]) -> None:
        """Append one row."""
        self._append(images, seconds, split, {name: float(f"{value:.6g}") for name, value in values.items()})

    def warn(self, images: int, seconds: float, text: str, **more: str) -> None:
        """Append a warning; more: further keys of its row."""
        self._append(images, seconds, WARNING, {"text": text, **more})

    def _append(self, images: int, seconds: float, split: str, values: dict[str, Any]) -> None:
        epochs = float(f"{images / self.epoch_images:.6g}")
        row = {"images": images, "epochs": epochs, "seconds": round(seconds, 2), "split": split, **values}
        start, self.start = self.start, "\n"
        with self.best_effort(self.path.name):
            with self.path.open("a", encoding="utf-8") as file:
                file.write(start + json.dumps(row) + "\n")
            self.start = ""
        self.loggers.write(row)
        self.callbacks.row(row)
