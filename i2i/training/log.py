"""What a run writes and says while it trains: metrics.jsonl and lines for the user.

None of it is worth a training: what cannot be written, as on a full disk or a terminal that is gone, is left out.
"""

import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torch import Tensor

from i2i.files import read_json_lines, write_text
from i2i.report.page import WARNING
from i2i.training import ranks
from i2i.training.tensorboard import TensorBoard


def tell(text: str) -> None:
    """Print a line for the user, on rank 0, if anybody still listens: a terminal may be gone, a file's disk full."""
    if ranks.rank() > 0:
        return
    with contextlib.suppress(OSError):
        print(text, file=sys.stderr, flush=True)


class Expendable:
    """What a run can do without: failing to write it is told, once for each thing, and the training goes on."""

    def __init__(self) -> None:
        self.told: set[str] = set()

    @contextlib.contextmanager
    def __call__(self, what: str) -> Iterator[None]:
        """Catch the OSError of writing `what`."""
        try:
            yield
        except OSError as error:
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
        """Return the mean of each term and start anew."""
        means = {name: float(total) / self.counts[name] for name, total in self.sums.items()}
        self.sums, self.counts = {}, {}
        return means

    def state_dict(self) -> dict[str, Any]:
        """Return the sums so far: a stop may come between two readings."""
        return {"sums": self.sums, "counts": self.counts}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up where `state_dict` left off."""
        self.sums, self.counts = dict(state["sums"]), dict(state["counts"])


class MetricsLog:
    """metrics.jsonl: one row {"images", "seconds", "split", <name>: <value>} a line, appended as it comes."""

    def __init__(self, path: Path, images: int, expendable: Expendable, tensorboard: bool = False):
        """Open for appending after `images` seen; rows behind that, of a run cut short, are dropped.

        tensorboard: write the same rows to a folder of that name beside `path`.
        """
        self.path = path
        self.board: TensorBoard | None = None
        if tensorboard:
            with expendable("tensorboard"):
                self.board = TensorBoard(path.parent / "tensorboard", images)
        self.expendable = expendable
        self.start = ""  # of the next line: a new line, where the last one may have been cut
        with expendable(path.name):
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
        row = {"images": images, "seconds": round(seconds, 2), "split": split, **values}
        start, self.start = self.start, "\n"
        with self.expendable(self.path.name):
            with self.path.open("a", encoding="utf-8") as file:
                file.write(start + json.dumps(row) + "\n")
            self.start = ""
        if self.board:
            with self.expendable("tensorboard"):
                self.board.add(row)
