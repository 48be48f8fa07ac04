"""Where the rows of metrics.jsonl and the previews also go: TensorBoard, Weights & Biases, MLflow, a CSV file.

metrics.jsonl is the truth, and the others are copies: one that fails is told once and left out. lightning-fabric has
loggers for two of them, which do not serve: its CSV logger deletes the file of an earlier session, and its TensorBoard
logger wraps the writer used here, without text and pictures. Those for the other two are in pytorch-lightning.
"""

import contextlib
import importlib.util
import json
import os
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from i2i.config.settings import LoggerName
from i2i.errors import UsageError, one_line
from i2i.files import read_json_lines, write_json, write_text
from i2i.report.record import ROW_KEYS, WARNING

Row = Mapping[str, Any]
"""A row of metrics.jsonl."""
_PROJECT = "i2i"


class RunLogger(Protocol):
    """A copy of the log of a run; may raise anything."""

    def __init__(self, run: Path, images: int, settings: dict[str, Any]):
        """Open for the run folder, which goes on after `images`; settings: the whole config."""

    def add(self, row: Row) -> None:
        """Add a row."""

    def show(self, images: int, sheets: Mapping[str, Path]) -> None:
        """Add the sheets of samples, PNG files by direction."""

    def close(self, finished: bool) -> None:
        """End; finished: whether the training came to its end."""


class TensorBoard:
    """Event files in tensorboard/: scalars "<split>/<name>" over images seen, warnings as text, and sheets."""

    def __init__(self, run: Path, images: int, settings: dict[str, Any]):
        """Write to a folder of its own; what an earlier session wrote there after `images` is not shown."""
        from torch.utils.tensorboard import SummaryWriter

        self.folder = run / "tensorboard"
        try:
            self.writer = SummaryWriter(str(self.folder), purge_step=images + 1)
        except UnicodeEncodeError as error:
            raise OSError("it cannot write to folders whose names are not UTF-8") from error

    def add(self, row: Row) -> None:
        """Add a row; raises OSError for a deleted folder, which no write would notice."""
        if not self.folder.is_dir():
            raise FileNotFoundError(f"{self.folder} has gone")
        for name, value in _named(row).items():
            if row["split"] == WARNING:
                self.writer.add_text(name, value, row["images"])
            else:
                self.writer.add_scalar(name, value, row["images"])
        self.writer.flush()

    def show(self, images: int, sheets: Mapping[str, Path]) -> None:
        """Add the sheets."""
        import numpy as np
        from PIL import Image

        for direction, path in sheets.items():
            with Image.open(path) as sheet:
                self.writer.add_image(f"samples/{direction}", np.asarray(sheet), images, dataformats="HWC")
        self.writer.flush()

    def close(self, finished: bool) -> None:
        """Close the file."""
        self.writer.close()


class WandB:
    """A run of Weights & Biases, by default in the project i2i; $WANDB_PROJECT and its other variables hold."""

    def __init__(self, run: Path, images: int, settings: dict[str, Any]):
        """Start the run, or go on in that of an earlier session."""
        import wandb

        own = wandb.Settings(
            console="off", disable_code=True, disable_git=True
        )  # settings and figures leave the machine
        self.run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", _PROJECT),
            name=run.name,
            dir=run,
            id=_remembered(run, "wandb", lambda: uuid.uuid4().hex[:12]),
            resume="allow",
            config=settings,
            settings=own,
        )
        self.run.define_metric("images")
        self.run.define_metric("*", step_metric="images")

    def add(self, row: Row) -> None:
        """Add a row."""
        self.run.log({"images": row["images"], **_named(row)})

    def show(self, images: int, sheets: Mapping[str, Path]) -> None:
        """Add the sheets."""
        import wandb

        pictures = {f"samples/{direction}": wandb.Image(str(path)) for direction, path in sheets.items()}
        self.run.log({"images": images, **pictures})

    def close(self, finished: bool) -> None:
        """Send what is left."""
        self.run.finish(exit_code=0 if finished else 1)


class MLflow:
    """A run of MLflow, in the experiment i2i unless $MLFLOW_EXPERIMENT_NAME says another, at $MLFLOW_TRACKING_URI."""

    def __init__(self, run: Path, images: int, settings: dict[str, Any]):
        """Start the run, or go on in that of an earlier session."""
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")  # a training does not wait minutes for a server
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
        from mlflow import MlflowClient
        from mlflow.entities import Param

        self.client = MlflowClient()
        self.id = _remembered(run, "mlflow", lambda: self._create(run.name))
        self.client.update_run(self.id, status="RUNNING")
        known = self.client.get_run(self.id).data.params  # which cannot change
        every = [Param(name, value) for name, value in _flat(settings) if name not in known]
        for start in range(0, len(every), 100):  # as many as it takes at once
            self.client.log_batch(self.id, params=every[start : start + 100])

    def add(self, row: Row) -> None:
        """Add a row; warnings become tags, since MLflow has no text over time."""
        from mlflow.entities import Metric

        if row["split"] == WARNING:
            self.client.set_tag(self.id, f"{WARNING} after {row['images']} images", row["text"])
            return
        now = int(time.time() * 1000)
        metrics = [Metric(name, value, now, row["images"]) for name, value in _named(row).items()]
        self.client.log_batch(self.id, metrics=metrics)

    def show(self, images: int, sheets: Mapping[str, Path]) -> None:
        """Add the sheets, as artifacts."""
        for path in sheets.values():
            self.client.log_artifact(self.id, str(path), "samples")

    def close(self, finished: bool) -> None:
        """Say how the training ended."""
        self.client.set_terminated(self.id, "FINISHED" if finished else "KILLED")

    def _create(self, name: str) -> str:
        experiment = os.environ.get("MLFLOW_EXPERIMENT_NAME", _PROJECT)
        found = self.client.get_experiment_by_name(experiment)
        number = found.experiment_id if found else self.client.create_experiment(experiment)
        identity: str = self.client.create_run(number, run_name=name).info.run_id
        return identity


class CsvFile:
    """metrics.csv: a column for each name of metrics.jsonl, written anew from it whenever a name is new."""

    def __init__(self, run: Path, images: int, settings: dict[str, Any]):
        """Write the rows so far."""
        self.path, self.source = run / "metrics.csv", run / "metrics.jsonl"
        self.columns: list[str] = []
        self._rewrite()

    def add(self, row: Row) -> None:
        """Add a row, which metrics.jsonl has already."""
        if not self.path.exists() or set(row) - set(self.columns):
            self._rewrite()
            return
        with self.path.open("a", encoding="utf-8", newline="") as file:
            file.write(self._lines([row]))

    def show(self, images: int, sheets: Mapping[str, Path]) -> None:
        """Leave pictures out."""

    def close(self, finished: bool) -> None:
        """Nothing is open."""

    def _rewrite(self) -> None:
        rows = read_json_lines(self.source)
        self.columns = list(dict.fromkeys([*ROW_KEYS, *(name for row in rows for name in row)]))
        write_text(self.path, self._lines([dict(zip(self.columns, self.columns, strict=True)), *rows]))

    def _lines(self, rows: Sequence[Row]) -> str:
        import csv
        import io

        buffer = io.StringIO()
        csv.DictWriter(buffer, self.columns, lineterminator="\n").writerows(rows)
        return buffer.getvalue()


LOGGERS: dict[LoggerName, type[RunLogger]] = {
    "tensorboard": TensorBoard,
    "wandb": WandB,
    "mlflow": MLflow,
    "csv": CsvFile,
}


class Loggers:
    """The loggers of a run, each until its first failure."""

    def __init__(self, names: Sequence[LoggerName], tell: Callable[[str], None]):
        self.names, self.tell = names, tell
        self.open: dict[LoggerName, RunLogger] = {}

    def begin(self, run: Path, images: int, settings: dict[str, Any]) -> None:
        """Open them for a run that goes on after `images`."""
        for name in self.names:
            with self._left_out_if_it_fails(name):
                self.open[name] = LOGGERS[name](run.resolve(), images, settings)

    def each(self, call: Callable[[RunLogger], None]) -> None:
        """Call with each that has not failed."""
        for name, logger in list(self.open.items()):
            with self._left_out_if_it_fails(name):
                call(logger)

    @contextlib.contextmanager
    def _left_out_if_it_fails(self, name: LoggerName) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # of other people's clients, services and networks
            self.open.pop(name, None)
            reason = one_line(f"{type(error).__name__}: {error}"[:300]).rstrip(".")
            self.tell(f"Warning: the logger {name} has failed, and the training goes on without it. {reason}.")


def refuse_missing_loggers(names: Sequence[LoggerName]) -> None:
    """Raise UsageError where the library of a logger is not installed."""
    for name in names:
        if name != "csv" and importlib.util.find_spec(name) is None:
            raise UsageError(
                f"log.loggers names {name}, which is not installed.\n"
                f"Install it (pip install 'i2i[{name}]'), or leave it out."
            )


def _named(row: Row) -> dict[str, Any]:
    """Return the values of a row as "<split>/<name>"; of a warning, its text by that name."""
    if row["split"] == WARNING:
        return {WARNING: row["text"]}
    return {f"{row['split']}/{name}": value for name, value in row.items() if name not in ROW_KEYS}


def _flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield dotted names and values as text, at most 500 characters each, as older servers allow."""
    for name, value in settings.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", str(value)[:500]


def _remembered(run: Path, service: str, make: Callable[[], str]) -> str:
    """Return what a service calls this run, which is kept in loggers.json so that a resumed run goes on there."""
    path = run / "loggers.json"
    known: dict[str, str] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    if service not in known:
        known[service] = make()
        write_json(path, known)
    return known[service]
