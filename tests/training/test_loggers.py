"""Copies of the log for other programs: the same figures, on resuming too, and never the end of a training."""

import csv
import json

import pytest
from lightning_fabric.loggers import Logger

import i2i
from i2i.config import load_config
from i2i.errors import ConfigError, DataError, UsageError
from i2i.files import read_json_lines
from i2i.report.record import ROW_KEYS
from i2i.training import loggers
from i2i.training.log import BestEffort, MetricsLog
from i2i.training.loggers import CsvFile, Loggers, MLflow, RunLogger, TensorBoard, WandB
from tests.conftest import tiny_config


def train(data, run, *changes, resume=False):
    i2i.train(tiny_config(*changes, data=data), run, resume=resume)
    return read_json_lines(run / "metrics.jsonl")


def half_and_resumed(data, run, name):
    """Train to the half, then to the end: the rows of metrics.jsonl."""
    half = ("schedule.images=8", "schedule.decay_images=0")
    train(data, run, f"log.loggers={name}", *half)
    return train(data, run, f"log.loggers={name}", "schedule.decay_images=0", resume=True)


class Recorder(RunLogger):
    """A logger that remembers, and fails where it is told to."""

    fails: tuple[str, ...] = ()
    calls: tuple[tuple, ...] = ()

    def __init__(self, run, images):
        self._call("begin", images)

    def log_hyperparams(self, params, *_, **__):
        self._call("settings", params["algorithm"])

    def log_metrics(self, metrics, step=None):
        self._call("metrics", metrics, step)

    def log_warning(self, values, step):
        self._call("warning", values, step)

    def log_sheets(self, sheets, step):
        self._call("sheets", step, {direction: path.read_bytes()[1:4] for direction, path in sheets.items()})

    def finalize(self, status):
        self._call("end", status)

    def _call(self, name, *arguments):
        type(self).calls += ((name, *arguments),)
        if name in self.fails:
            raise RuntimeError(f"the service is away\n{name}")


@pytest.fixture
def recorder(monkeypatch):
    made = type("OneRecorder", (Recorder,), {})
    monkeypatch.setitem(loggers.LOGGERS, "csv", made)
    return made


def test_a_logger_gets_the_rows_the_sheets_and_the_end(tmp_path, few_pairs, recorder):
    rows = train(few_pairs, tmp_path / "run", "log.loggers=csv")
    assert recorder.calls[:2] == (("begin", 0), ("settings", "pix2pix"))
    passed = [call[1:] for call in recorder.calls if call[0] == "metrics"]
    for row, (metrics, step) in zip(rows, passed, strict=True):
        split, when = row.pop("split"), {"epochs": row.pop("epochs"), "seconds": row.pop("seconds")}
        assert step == row.pop("images")
        assert metrics == when | {f"{split}/{name}": value for name, value in row.items()}
    shown = [call[1:] for call in recorder.calls if call[0] == "sheets"]
    assert shown == [(images, {"B2A": b"PNG"}) for images in (8, 16)]
    assert recorder.calls[-1] == ("end", "success")


@pytest.mark.parametrize("where", ["begin", "settings", "metrics", "sheets", "end"])
def test_a_logger_that_fails_costs_one_warning(where, tmp_path, few_pairs, recorder, capsys):
    """And the other loggers go on; the control is the model, which is that of a training without loggers."""
    train(few_pairs, tmp_path / "plain")
    recorder.fails = (where,)
    rows = train(few_pairs, tmp_path / "run", "log.loggers=[csv, tensorboard]")
    said = capsys.readouterr().err
    assert said.count("Warning: the logger csv") == said.count("the service is away") == 1
    assert sum(call[0] == where for call in recorder.calls) == 1  # and is not asked again
    assert list((tmp_path / "run" / "tensorboard").iterdir())
    models = [(tmp_path / run / "model.safetensors").read_bytes() for run in ("plain", "run")]
    assert models[0] == models[1]
    assert len(rows) == len(read_json_lines(tmp_path / "plain" / "metrics.jsonl"))


def test_a_training_that_ends_early_says_so(tmp_path, few_pairs, recorder, monkeypatch):
    def fail(*_, **__):
        raise DataError("gone")

    monkeypatch.setattr("i2i.training.validation.Validation.validate", fail)
    with pytest.raises(DataError):
        train(few_pairs, tmp_path / "run", "log.loggers=csv")
    assert recorder.calls[-1] == ("end", "failed")


def test_the_csv_file_has_the_rows_of_the_log(tmp_path, few_pairs):
    rows = half_and_resumed(few_pairs, tmp_path / "run", "csv")
    with (tmp_path / "run" / "metrics.csv").open(encoding="utf-8", newline="") as file:
        written = list(csv.DictReader(file))
    assert [*written[0]][: len(ROW_KEYS)] == [*ROW_KEYS]
    assert [{name: text for name, text in row.items() if text} for row in written] == [
        {name: str(value) for name, value in row.items()} for row in rows
    ]
    assert {row["images"] for row in rows} >= {4, 8, 12, 16}


def test_a_resumed_log_drops_what_came_after_the_checkpoint_in_the_csv_file_too(tmp_path):
    for images, seen in ((0, (4, 8, 12)), (8, (12, 16))):
        copies = Loggers(("csv",), pytest.fail)
        log = MetricsLog(tmp_path / "metrics.jsonl", images, BestEffort(), loggers=copies)
        copies.begin(tmp_path, images, {})
        for number in seen:
            log.write(number, 1.0, "train", {"G": number / 2, **({"new": 1.0} if number == 16 else {})})
    log.warn(20, 2.0, 'a "text", of\ntwo lines')
    with (tmp_path / "metrics.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["images"] for row in rows] == ["4", "8", "12", "16", "20"]
    assert [row["new"] for row in rows] == ["", "", "", "1.0", ""]
    assert rows[-1]["text"] == 'a "text", of\ntwo lines'


def test_what_is_missing_is_named_before_the_training(tmp_path, few_pairs, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for name in ("tensorboard", "wandb", "mlflow"):
        with pytest.raises(UsageError, match=rf"\[{name}\]"):
            train(few_pairs, tmp_path / "run", f"log.loggers={name}")
    assert not (tmp_path / "run").exists()
    train(few_pairs, tmp_path / "run", "log.loggers=csv")


def test_loggers_are_settings_and_the_old_switch_is_read():
    def chosen(*changes):
        return load_config("lineart", changes).log.loggers

    assert chosen() == chosen("log.tensorboard=false") == ()
    assert chosen("log.tensorboard=true") == chosen("log.loggers=tensorboard") == ("tensorboard",)
    assert chosen("log.loggers=[wandb, csv, wandb]") == ("wandb", "csv")
    assert chosen("log.tensorboard=true", "log.loggers=csv") == ("csv", "tensorboard")
    for wrong in ("log.loggers=visdom", "log.tensorboard=perhaps"):
        with pytest.raises(ConfigError, match=r"log\."):
            chosen(wrong)


def test_tensorboard_gets_rows_warnings_and_sheets_and_goes_on_when_resumed(tmp_path, few_pairs):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    rows = half_and_resumed(few_pairs, tmp_path / "run", "tensorboard")
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard"), size_guidance={"images": 0})
    events.Reload()
    for split, name in (("train", "G_L1"), ("val previews", "L1.B2A")):
        written = [(one.step, one.value) for one in events.Scalars(f"{split}/{name}")]
        logged = [(row["images"], row[name]) for row in rows if row["split"] == split]
        assert written == [(step, pytest.approx(value)) for step, value in logged]
    sheets = events.Images("samples/B2A")
    assert [sheet.step for sheet in sheets] == [8, 16]
    assert sheets[0].encoded_image_string[1:4] == b"PNG"


def test_a_folder_that_vanishes_costs_one_warning(tmp_path):
    import shutil

    told = []
    copies = Loggers(("tensorboard",), told.append)
    log = MetricsLog(tmp_path / "metrics.jsonl", 0, BestEffort(), loggers=copies)
    copies.begin(tmp_path, 0, {})
    log.warn(2, 0.5, "all is alike")
    shutil.rmtree(tmp_path / "tensorboard")
    for images in (4, 8):
        log.write(images, 1.0, "train", {"G": 1.0})
    assert len(told) == 1
    assert "tensorboard" in told[0]
    assert read_json_lines(tmp_path / "metrics.jsonl")[-1]["images"] == 8


def test_mlflow_gets_rows_and_sheets_and_a_resumed_run_goes_on_in_its_run(tmp_path, few_pairs, monkeypatch):
    """In a store of files, which newer versions allow on request."""
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "store").as_uri())
    rows = half_and_resumed(few_pairs, tmp_path / "run", "mlflow")
    client = mlflow.MlflowClient()
    (run,) = client.search_runs([client.get_experiment_by_name("i2i").experiment_id])
    assert (run.info.run_name, run.info.status) == ("run", "FINISHED")
    assert run.data.params["algorithm"] == "pix2pix"
    assert run.data.params["schedule.images"] == "8"  # of the first session: parameters cannot change
    for split, name in (("train", "G_L1"), ("val previews", "L1.B2A")):
        written = [(one.step, one.value) for one in client.get_metric_history(run.info.run_id, f"{split}/{name}")]
        assert written == [(row["images"], row[name]) for row in rows if row["split"] == split]
    names = [one.path for one in client.list_artifacts(run.info.run_id, "samples")]
    assert names == [f"samples/{images:09d}.B2A.png" for images in (8, 16)]


def records_of(content):
    """The records of a file in the format of LevelDB's log: blocks of 32 KiB, the first with 7 bytes of wandb's own."""
    place, parts = 7, []
    while place + 7 <= len(content):
        left = 32768 - place % 32768
        if left < 7:
            place += left
            continue
        length, kind = int.from_bytes(content[place + 4 : place + 6], "little"), content[place + 6]
        parts.append(content[place + 7 : place + 7 + length])
        place += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield b"".join(parts)
            parts = []


def test_wandb_gets_rows_and_sheets_and_a_resumed_run_keeps_its_name(tmp_path, few_pairs, monkeypatch):
    """Offline: what would be sent stands in a file for each session, with one id."""
    pytest.importorskip("wandb")
    from wandb.proto.wandb_internal_pb2 import Record

    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    rows = half_and_resumed(few_pairs, tmp_path / "run", "wandb")
    files = sorted((tmp_path / "run" / "wandb").glob("offline-run-*/run-*.wandb"))
    assert len({file.name for file in files}) == 1 < len(files)
    found = []
    for file in files:
        for data in records_of(file.read_bytes()):
            record = Record()
            record.ParseFromString(data)
            if record.HasField("history"):
                items = {item.key or ".".join(item.nested_key): item.value_json for item in record.history.item}
                found.append({name: json.loads(value) for name, value in items.items()})
    for split, name in (("train", "G_L1"), ("val previews", "L1.B2A")):
        written = [(one["images"], one[f"{split}/{name}"]) for one in found if f"{split}/{name}" in one]
        assert written == [(row["images"], row[name]) for row in rows if row["split"] == split]
    sheets = [one["images"] for one in found if any(name.startswith("samples/B2A") for name in one)]
    assert sheets == [8, 16]


def test_warnings_reach_a_logger_as_text(tmp_path, recorder):
    copies = Loggers(("csv",), pytest.fail)
    log = MetricsLog(tmp_path / "metrics.jsonl", 0, BestEffort(), loggers=copies)
    copies.begin(tmp_path, 0, {"algorithm": "pix2pix"})
    log.warn(4, 1.0, "all is alike")
    assert recorder.calls[-1] == ("warning", {"epochs": 4.0, "seconds": 1.0, "text": "all is alike"}, 4)


def test_every_logger_is_one_of_fabric():
    assert all(issubclass(one, Logger) and not one.__abstractmethods__ for one in (TensorBoard, WandB, MLflow, CsvFile))
