"""Where the rows of metrics.jsonl and the previews also go: TensorBoard, Weights & Biases, MLflow, a CSV file.

All are loggers of lightning-fabric. metrics.jsonl is the truth, and they are copies: one that fails is told once and
left out. Fabric ships two: its TensorBoard logger is used here, its CSV logger deletes the file of an earlier session.
Four small loggers, side by side, make some 310 lines.
"""

import contextlib
import importlib.util
import json
import os
import time
import uuid
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning_fabric.loggers import Logger, TensorBoardLogger

from i2i.config.settings import LoggerName
from i2i.errors import UsageError, one_line
from i2i.files import read_json_lines, write_json, write_text
from i2i.report.record import ROW_KEYS, WARNING
from i2i.version import DISTRIBUTION

Row = Mapping[str, Any]
"""A row of metrics.jsonl."""
_PROJECT = "i2i"


class RunLogger(Logger):
    """A logger of lightning-fabric that also takes warnings and sheets of samples; may raise anything.

    It opens for the run folder, which goes on after a number of images. A step is a number of images seen. Metrics are
    named "<split>/<name>", beside "epochs" and "seconds".
    """

    version = None

    @property
    def name(self) -> str:
        """The class's name."""
        return type(self).__name__

    def log_hyperparams(self, params: dict[str, Any], *args: Any, **kwargs: Any) -> None:
        """Take the whole config."""

    @abstractmethod
    def log_warning(self, values: Mapping[str, Any], step: int) -> None:
        """Add a warning: values["text"], and when it came."""

    @abstractmethod
    def log_sheets(self, sheets: Mapping[str, Path], step: int) -> None:
        """Add the sheets of samples, PNG files by direction."""


class TensorBoard(TensorBoardLogger, RunLogger):
    """Event files in tensorboard/: scalars "<split>/<name>" over images seen, warnings as text, and sheets."""

    def __init__(self, run: Path, images: int):
        """Write to a folder of its own; what an earlier session wrote there after `images` is not shown."""
        self.folder = run / "tensorboard"
        super().__init__(run, name="tensorboard", version="", default_hp_metric=False, purge_step=images + 1)
        try:
            self.experiment.flush()
        except UnicodeEncodeError as error:
            raise OSError("it cannot write to folders whose names are not UTF-8") from error

    @property
    def log_dir(self) -> str:
        """The folder, in whose name `$` and `~` mean themselves."""
        return str(self.folder)

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Add a row; raises FileNotFoundError for a deleted folder, which no write would notice."""
        if not self.folder.is_dir():
            raise FileNotFoundError(f"{self.folder} has gone")
        super().log_metrics(metrics, step)
        self.save()

    def log_warning(self, values: Mapping[str, Any], step: int) -> None:
        """Add the text."""
        self.experiment.add_text(WARNING, values["text"], step)
        self.save()

    def log_sheets(self, sheets: Mapping[str, Path], step: int) -> None:
        """Add the sheets."""
        import numpy as np
        from PIL import Image

        for direction, path in sheets.items():
            with Image.open(path) as sheet:
                self.experiment.add_image(f"samples/{direction}", np.asarray(sheet), step, dataformats="HWC")
        self.save()


class WandB(RunLogger):
    """A run of Weights & Biases, by default in the project i2i; $WANDB_PROJECT and its other variables hold."""

    def __init__(self, run: Path, images: int):
        """Start the run, or go on in that of an earlier session."""
        import wandb

        own = wandb.Settings(console="off", disable_code=True, disable_git=True)  # only settings and figures leave
        self.run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", _PROJECT),
            name=run.name,
            dir=run,
            id=_remembered(run, "wandb", lambda: uuid.uuid4().hex[:12]),
            resume="allow",
            settings=own,
        )
        self.run.define_metric("images")
        self.run.define_metric("*", step_metric="images")

    def log_hyperparams(self, params: dict[str, Any], *args: Any, **kwargs: Any) -> None:
        """Set the run's config."""
        self.run.config.update(params, allow_val_change=True)

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Add a row."""
        self.run.log({"images": step, **metrics})

    def log_warning(self, values: Mapping[str, Any], step: int) -> None:
        """Add the text."""
        self.run.log({"images": step, WARNING: values["text"]})

    def log_sheets(self, sheets: Mapping[str, Path], step: int) -> None:
        """Add the sheets."""
        import wandb

        pictures = {f"samples/{direction}": wandb.Image(str(path)) for direction, path in sheets.items()}
        self.run.log({"images": step, **pictures})

    def finalize(self, status: str) -> None:
        """Send what is left."""
        self.run.finish(exit_code=0 if status == "success" else 1)


class MLflow(RunLogger):
    """A run of MLflow, in the experiment i2i unless $MLFLOW_EXPERIMENT_NAME says another, at $MLFLOW_TRACKING_URI."""

    def __init__(self, run: Path, images: int):
        """Start the run, or go on in that of an earlier session."""
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")  # a training does not wait minutes for a server
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
        from mlflow import MlflowClient

        self.client = MlflowClient()
        self.id = _remembered(run, "mlflow", lambda: self._create(run.name))
        self.client.update_run(self.id, status="RUNNING")

    def log_hyperparams(self, params: dict[str, Any], *args: Any, **kwargs: Any) -> None:
        """Set the parameters; those of an earlier session cannot change."""
        from mlflow.entities import Param

        known = self.client.get_run(self.id).data.params
        every = [Param(name, value) for name, value in _flat(params) if name not in known]
        for start in range(0, len(every), 100):  # as many as it takes at once
            self.client.log_batch(self.id, params=every[start : start + 100])

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Add a row."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        self.client.log_batch(self.id, metrics=[Metric(name, value, now, step) for name, value in metrics.items()])

    def log_warning(self, values: Mapping[str, Any], step: int) -> None:
        """Add a tag, since MLflow has no text over time."""
        self.client.set_tag(self.id, f"{WARNING} after {step} images", values["text"])

    def log_sheets(self, sheets: Mapping[str, Path], step: int) -> None:
        """Add the sheets, as artifacts."""
        for path in sheets.values():
            self.client.log_artifact(self.id, str(path), "samples")

    def finalize(self, status: str) -> None:
        """Say how the training ended."""
        self.client.set_terminated(self.id, "FINISHED" if status == "success" else "KILLED")

    def _create(self, name: str) -> str:
        experiment = os.environ.get("MLFLOW_EXPERIMENT_NAME", _PROJECT)
        found = self.client.get_experiment_by_name(experiment)
        number = found.experiment_id if found else self.client.create_experiment(experiment)
        identity: str = self.client.create_run(number, run_name=name).info.run_id
        return identity


class CsvFile(RunLogger):
    """metrics.csv: a column for each name of metrics.jsonl, written anew from it whenever a name is new."""

    def __init__(self, run: Path, images: int):
        """Write the rows so far."""
        self.path, self.source = run / "metrics.csv", run / "metrics.jsonl"
        self.columns: list[str] = []
        self._rewrite()

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Add a row, which metrics.jsonl has already; the part of the names before "/" is its split."""
        names = {name.rpartition("/")[2]: value for name, value in metrics.items()}
        splits = {name.rpartition("/")[0] for name in metrics} - {""}
        self._add({"images": step, "split": "".join(splits), **names})

    def log_warning(self, values: Mapping[str, Any], step: int) -> None:
        """Add a row likewise."""
        self._add({"images": step, "split": WARNING, **values})

    def log_sheets(self, sheets: Mapping[str, Path], step: int) -> None:
        """Leave pictures out."""

    def _add(self, row: Row) -> None:
        if not self.path.exists() or set(row) - set(self.columns):
            self._rewrite()
            return
        with self.path.open("a", encoding="utf-8", newline="") as file:
            file.write(self._lines([row]))

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


LOGGERS: dict[LoggerName, Callable[[Path, int], RunLogger]] = {
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
                logger = self.open[name] = LOGGERS[name](run.resolve(), images)
                logger.log_hyperparams(settings)

    def write(self, row: Row) -> None:
        """Pass on a row of metrics.jsonl."""
        step, split = row["images"], row["split"]
        when = {name: row[name] for name in ("epochs", "seconds")}
        values = {name: value for name, value in row.items() if name not in ROW_KEYS}
        if split == WARNING:
            self.each(lambda logger: logger.log_warning({**when, **values}, step))
        else:
            metrics = {**when, **{f"{split}/{name}": value for name, value in values.items()}}
            self.each(lambda logger: logger.log_metrics(metrics, step))

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
                f"Install it (pip install '{DISTRIBUTION}[{name}]'), or leave it out."
            )


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
