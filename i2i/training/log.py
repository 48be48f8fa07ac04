"""What a run writes and prints while it trains: rows of metrics and lines for the user.

None of it is worth losing a training: what cannot be written, as on a full disk or a closed terminal, is left out.
"""

import contextlib
import importlib.util
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torch import Tensor

from i2i.errors import UsageError
from i2i.files import read_json_lines, write_text
from i2i.report.record import ROW_KEYS, WARNING
from i2i.training import ranks


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
    """metrics.jsonl: a row {"images", "epochs", "seconds", "split", <name>: <value>} a line, also for TensorBoard."""

    def __init__(
        self, path: Path, images: int, best_effort: BestEffort, tensorboard: bool = False, epoch_images: int = 1
    ):
        """Open for appending after `images` seen; later rows, of a run that was killed, are dropped.

        tensorboard: write the same rows to a folder of that name beside `path`. epoch_images: in an epoch.
        """
        self.path, self.epoch_images = path, epoch_images
        self.tensorboard: TensorBoard | None = None
        if tensorboard:
            with best_effort("tensorboard"):
                self.tensorboard = TensorBoard(path.parent / "tensorboard", images)
        self.best_effort = best_effort
        self.start = ""  # of the next line: a line break, where the last write may have been cut
        with best_effort(path.name):
            rows = [row for row in read_json_lines(path) if isinstance(row.get("images"), int)]  # others are not ours
            rows = [row for row in rows if row["images"] <= images]
            write_text(path, "".join(json.dumps(row) + "\n" for row in rows))

    def write(self, images: int, seconds: float, split: str, values: dict[str, float]) -> None:
        """Append one row."""
        self._append(images, seconds, split, {name: float(f"{value:.6g}") for name, value in values.items()})

    def warn(self, images: int, seconds: float, text: str) -> None:
        """Append a warning."""
        self._append(images, seconds, WARNING, {"text": text})

    def _append(self, images: int, seconds: float, split: str, values: dict[str, Any]) -> None:
        epochs = float(f"{images / self.epoch_images:.6g}")
        row = {"images": images, "epochs": epochs, "seconds": round(seconds, 2), "split": split, **values}
        start, self.start = self.start, "\n"
        with self.best_effort(self.path.name):
            with self.path.open("a", encoding="utf-8") as file:
                file.write(start + json.dumps(row) + "\n")
            self.start = ""
        if self.tensorboard:
            with self.best_effort("tensorboard"):
                self.tensorboard.add(row)


class TensorBoard:
    """Event files in their own folder: scalars "<split>/<name>" over images seen, and warnings as text."""

    def __init__(self, folder: Path, images: int):
        """Write to `folder`; what an earlier run wrote there after `images` will not be shown."""
        from torch.utils.tensorboard import SummaryWriter

        self.folder = folder
        try:
            self.writer = SummaryWriter(str(folder), purge_step=images + 1)
        except UnicodeEncodeError as error:
            raise OSError("TensorBoard cannot write to folders whose names are not UTF-8") from error

    def add(self, row: dict[str, Any]) -> None:
        """Write one row of metrics.jsonl; raises OSError, also for a deleted folder, which no write would notice."""
        if not self.folder.is_dir():
            raise FileNotFoundError(f"{self.folder} has gone")
        values = {name: value for name, value in row.items() if name not in ROW_KEYS}
        for name, value in values.items():
            if row["split"] == WARNING:
                self.writer.add_text(WARNING, value, row["images"])
            else:
                self.writer.add_scalar(f"{row['split']}/{name}", value, row["images"])
        self.writer.flush()


def refuse_missing_tensorboard() -> None:
    """Raise UsageError where TensorBoard is not installed."""
    if importlib.util.find_spec("tensorboard") is None:
        raise UsageError(
            "log.tensorboard is true, but TensorBoard is not installed.\n"
            "Install it (pip install 'i2i[tensorboard]'), or set log.tensorboard to false."
        )
