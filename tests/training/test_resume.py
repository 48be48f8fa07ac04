"""Runs that stop, break and go on: signals, damaged checkpoints, changed settings, disks and logs that fail."""

import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys

import pytest
import torch

import i2i
from i2i.data.sets import PairSet
from i2i.errors import ConfigError, DiskFullError, I2IError, ModelError, OutOfMemoryError, Stopped
from i2i.files import TEMP_PREFIX, read_json_lines
from i2i.training import checkpoint, loop, progress, reporter, run, start, validation
from i2i.training.checkpoint import list_checkpoints
from i2i.training.log import BestEffort, MetricsLog
from tests.conftest import damaged, tiny_config


@pytest.fixture(scope="module")
def straight(tmp_path_factory, few_pairs):
    """An undisturbed run."""
    out = tmp_path_factory.mktemp("straight") / "run"
    i2i.train(config(few_pairs), out)
    return out


def config(data, *changes):
    return tiny_config("log.every_images=8", "log.checkpoint_every_images=4", *changes, data=data)


def what_remains(out):
    """Everything in a run except times: the model's bytes, the log's rows, the names of samples and checkpoints."""
    rows = [{k: v for k, v in row.items() if k != "seconds"} for row in read_json_lines(out / "metrics.jsonl")]
    names = sorted(path.name for folder in ("samples", "checkpoints") for path in (out / folder).iterdir())
    return (out / "model.safetensors").read_bytes(), rows, names


def at_call(monkeypatch, module, name, number, happen):
    """Call `happen()` at the start of one call of a module's function; number: which call, from 1."""
    original, calls = getattr(module, name), []

    def patched(*args, **kwargs):
        calls.append(name)
        if len(calls) == number:
            happen()
        return original(*args, **kwargs)

    monkeypatch.setattr(module, name, patched)


@pytest.mark.parametrize(
    ("signum", "module", "name", "number", "images"),
    [
        (signal.SIGTERM, loop, "_train_step", 3, 12),
        (signal.SIGINT, validation, "make_samples", 1, 8),
        pytest.param(
            getattr(signal, "SIGUSR1", None),
            run,
            "save_checkpoint",
            2,
            8,
            marks=pytest.mark.skipif(sys.platform == "win32", reason="no such signal"),
        ),
    ],
    ids=["step", "sampling", "save"],
)
def test_a_training_asked_to_stop_saves_and_goes_on_exactly(
    straight, tmp_path, monkeypatch, capsys, few_pairs, signum, module, name, number, images
):
    changes = ["log.checkpoint_every_images=16"] if name == "_train_step" else []
    before = signal.getsignal(signum)
    with monkeypatch.context() as patch:
        at_call(patch, module, name, number, lambda: signal.raise_signal(signum))
        with pytest.raises(Stopped, match=f"at image {images};") as stop:
            i2i.train(config(few_pairs, *changes), tmp_path / "run")
    assert stop.value.exit_code == 128 + signum
    assert signal.getsignal(signum) == before
    newest = list_checkpoints(tmp_path / "run" / "checkpoints")[-1]
    assert newest.name == f"{images:09d}.pt"
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert f"{images} of 16" in page
    assert "after 8 images" in page
    assert re.search(r"<dt>Time</dt><dd>[\d.]+ s</dd>", page)
    capsys.readouterr()
    i2i.train(config(few_pairs), tmp_path / "run", resume=True)
    said = capsys.readouterr().err
    assert f"after {images} of 16 images" in said
    assert str(newest) in said
    assert what_remains(tmp_path / "run") == what_remains(straight)


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_a_training_asked_to_stop_while_it_waits_leaves_at_once(straight, tmp_path, monkeypatch, few_pairs):
    """Before the first step and at the third batch: all training is saved, and the log has no gap."""
    with monkeypatch.context() as patch:
        at_call(patch, start, "make_fabric", 1, lambda: signal.raise_signal(signal.SIGTERM))
        with pytest.raises(Stopped, match="before"):
            i2i.train(config(few_pairs), tmp_path / "run")
    assert not (tmp_path / "run").exists()

    def waiting(*args):
        for number, batch in enumerate(batches(*args)):
            if number == 2:
                signal.raise_signal(signal.SIGHUP)
                pytest.fail("it waited on")
            yield batch

    batches = loop.batches
    with monkeypatch.context() as patch:
        patch.setattr(loop, "batches", waiting)
        with pytest.raises(Stopped, match="at image 8"):
            i2i.train(config(few_pairs, "log.checkpoint_every_images=16"), tmp_path / "run")
    i2i.train(config(few_pairs), tmp_path / "run", resume=True)
    assert what_remains(tmp_path / "run") == what_remains(straight)


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_the_second_ctrl_c_leaves_at_once():
    code = "import signal\nfrom i2i.training.signals import Stop\nwith Stop() as stop:\n    stop.hold()\n"
    code += "    for word in ('one', 'two', 'never'):\n        print(word, flush=True)\n"
    code += "        signal.raise_signal(signal.SIGINT)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGINT
    assert done.stdout == "one\ntwo\n"
    assert done.stderr.strip().startswith("SIGINT: ")
    assert "Ctrl-C" in done.stderr


@pytest.mark.parametrize("damage", ["cut", "zeroed", "flipped"])
def test_a_damaged_checkpoint_is_passed_over(straight, tmp_path, capsys, few_pairs, damage):
    shutil.copytree(straight, tmp_path / "run")
    checkpoints = list_checkpoints(tmp_path / "run" / "checkpoints")
    checkpoints[-1].write_bytes(damaged(checkpoints[-1].read_bytes(), damage))
    (checkpoints[0].parent / f"{TEMP_PREFIX}0123.pt").write_bytes(b"half")
    i2i.train(config(few_pairs), tmp_path / "run", resume=True)
    assert "000000016.pt" in (said := capsys.readouterr().err)
    assert re.search(r"\b12 images\b.* 4\b", said)
    names = {path.name for path in checkpoints[0].parent.iterdir()}
    assert names == {"000000012.pt", "000000016.pt", "000000016.damaged"}
    (checkpoints[0].parent / "000000016.damaged").unlink()
    assert what_remains(tmp_path / "run") == what_remains(straight)
    for path in list_checkpoints(checkpoints[0].parent):
        path.write_bytes(b"")
    with pytest.raises(ModelError, match=r"000000016\.pt, 000000012\.pt"):
        i2i.train(config(few_pairs), tmp_path / "run", resume=True)


class Runs:
    """Unpickling it makes a file."""

    def __reduce__(self):
        return open, ("ran", "w")


def other(state, place, value):
    """A state with the value at a place, such as "scores" or "stepper.steps", replaced."""
    *parents, last = place.split(".")
    for name in parents:
        state = state[int(name) if isinstance(state, list) or name.isdigit() else name]
    state[last] = value


@pytest.mark.parametrize(
    ("place", "value", "reason"),
    [
        ("extra", Runs(), r"000000016\.pt(.|\n)*io\.open"),
        ("stepper.steps", torch.zeros(1).expand(10**6, 10**6), "bytes"),
        ("scores", {"L1": "low"}, "scores.L1"),
        ("best", {"images": 3}, "best.score"),
        ("images", -1, "images"),
        ("stepper", [], "checkpoints"),
        ("stepper.optimizers.discriminator.state.0.exp_avg", torch.zeros(1), "optimizer states"),
        ("stepper.ranks", [7], "checkpoints"),
    ],
)
def test_a_hostile_checkpoint_with_a_right_digest_is_refused(
    straight, tmp_path, monkeypatch, few_pairs, place, value, reason
):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(straight, "run", ignore=shutil.ignore_patterns("000000012.pt"))
    (newest,) = list_checkpoints(tmp_path / "run" / "checkpoints")
    state = checkpoint.load_checkpoint(newest)
    other(state, place, value)
    checkpoint.save_checkpoint(newest.parent, 16, state)
    with pytest.raises(I2IError, match=reason) as refused:
        i2i.train(config(few_pairs, "schedule.images=20"), tmp_path / "run", resume=True)
    assert len(str(refused.value).splitlines()) <= 3
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_killed_process_leaves_an_older_model_and_the_resumed_run_mends_it(straight, tmp_path, few_pairs, capsys):
    """kill -9 between the last checkpoint and the model, and before any settings were written."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / f"{TEMP_PREFIX}0123.yaml").write_text("half", encoding="utf-8")
    model = i2i.train(config(few_pairs, "schedule.images=12"), tmp_path / "run", resume=True)
    assert str(tmp_path / "run") in capsys.readouterr().err
    assert [path.name for path in model.parent.glob(f"{TEMP_PREFIX}*")] == []
    older = model.read_bytes()
    i2i.train(config(few_pairs), tmp_path / "run", resume=True)
    model.write_bytes(older)
    i2i.train(config(few_pairs), tmp_path / "run", resume=True)
    assert re.search(r"finished\b.* 16 images", capsys.readouterr().err)
    assert i2i.load(tmp_path / "run").spec.images_seen == 16


def test_a_changed_run_resumes_only_when_that_is_allowed(straight, tmp_path, few_pairs, capsys):
    for changes, text in [
        (["optimizer.lr=0.1", "loss.l1=3"], r"loss\.l1 .*100\.0.* 3\.0.*optimizer\.lr .*0\.0004.* 0\.1"),
        (["schedule.decay_images=4"], "schedule.decay_images .*8.* 4"),
        (["schedule.images=12"], "12 images.* 16"),
    ]:
        with pytest.raises(ConfigError, match=text):
            i2i.train(config(few_pairs, *changes), straight, resume=True)
    with pytest.raises(ConfigError, match=str(straight / "checkpoints")):
        i2i.train(config(few_pairs, "generator.width=3"), straight, resume=True, allow_config_change=True)
    out = tmp_path / "run"
    i2i.train(config(few_pairs, "schedule.images=8"), out)
    capsys.readouterr()
    i2i.train(config(few_pairs, "optimizer.lr=1e-3"), out, resume=True, allow_config_change=True)
    assert re.search(r"optimizer\.lr .*0\.0004\b.* 0\.001\b", capsys.readouterr().err)
    assert read_json_lines(out / "metrics.jsonl")[-1]["images"] == 16


def test_a_direction_that_is_left_out_is_the_default_of_earlier_versions(tmp_path, few_pairs):
    out = tmp_path / "run"
    i2i.train(config(few_pairs, "data.direction=A2B", "schedule.images=8"), out)
    i2i.train(config(few_pairs, "data.direction=null"), out, resume=True)
    assert i2i.load(out).spec.images_seen == 16
    with pytest.raises(ConfigError, match=r"data\.direction"):
        i2i.train(config(few_pairs, "data.direction=B2A"), out, resume=True)


def test_logs_that_vanish_cost_a_warning_each_and_never_the_run(straight, tmp_path, monkeypatch, few_pairs, capsys):
    out = tmp_path / "run"

    def vanish():
        shutil.rmtree(out / "samples")
        (out / "samples").write_text("in the way", encoding="utf-8")
        (out / "metrics.jsonl").unlink()
        (out / "metrics.jsonl").mkdir()

    at_call(monkeypatch, loop, "_train_step", 2, vanish)
    model = i2i.train(config(few_pairs, "log.every_images=4", "log.samples_every_images=4"), out)
    assert model.exists()
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("Warning")]
    assert len(said) == 2
    for what in ("samples", "metrics.jsonl"):
        assert sum(f"{what} cannot" in line for line in said) == 1
    assert "Model file" in (out / "report.html").read_text(encoding="utf-8")  # without the rest


def test_a_report_that_fails_costs_a_warning(straight, tmp_path, monkeypatch, few_pairs, capsys):
    """Whatever it fails with, and however often."""

    def fail(folder):
        raise LookupError("no idea")

    monkeypatch.setattr(reporter, "write_report", fail)
    i2i.train(config(few_pairs, "log.samples_every_images=4"), tmp_path / "run")
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("Warning")]
    assert len(said) == 1
    assert "report.html" in said[0]
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == (straight / "model.safetensors").read_bytes()


def test_a_log_that_cannot_be_opened_costs_a_warning(straight, tmp_path, few_pairs, capsys):
    shutil.copytree(straight, tmp_path / "run")
    (tmp_path / "run" / "metrics.jsonl").unlink()
    (tmp_path / "run" / "metrics.jsonl").mkdir()
    i2i.train(config(few_pairs, "schedule.images=20"), tmp_path / "run", resume=True, allow_config_change=True)
    assert capsys.readouterr().err.count("metrics.jsonl cannot be written") == 1


def test_a_broken_file_of_a_step_that_was_lost_is_named_once(tmp_path, monkeypatch, few_pairs):
    load = PairSet.load

    def load_broken(self, numbers):
        loaded = load(self, numbers)
        return loaded._replace(broken={"a": "a is damaged"}) if 9 in numbers else loaded

    monkeypatch.setattr(PairSet, "load", load_broken)
    with monkeypatch.context() as patch:
        at_call(patch, loop, "_train_step", 3, lambda: pytest.fail("killed"))
        with pytest.raises(pytest.fail.Exception):
            i2i.train(config(few_pairs), tmp_path / "run")
    i2i.train(config(few_pairs), tmp_path / "run", resume=True)
    rows = [row for row in read_json_lines(tmp_path / "run" / "metrics.jsonl") if "a is damaged" in row.get("text", "")]
    assert [row["images"] for row in rows] == [12]


@pytest.mark.parametrize("name", ["save_model", "write_report"])
def test_a_signal_at_the_very_end_lets_it_be_written(straight, tmp_path, monkeypatch, few_pairs, name):
    module = run if name == "save_model" else reporter
    if name == "save_model":
        monkeypatch.setattr(start, "holds_model_of", lambda path, images: False)
    else:
        monkeypatch.setattr(reporter, "_REPORT_SHARE", 1e-9)  # the first preview writes one, and then the end
    number = 5 if name == "save_model" else 2
    at_call(monkeypatch, module, name, number, lambda: signal.raise_signal(signal.SIGTERM))
    i2i.train(config(few_pairs), tmp_path / "run")
    assert what_remains(tmp_path / "run") == what_remains(straight)


def test_a_terminal_that_vanished_is_no_error(monkeypatch):
    def gone():
        raise OSError(errno.EIO, "Input/output error")

    line = progress.ProgressLine(1, 0)
    monkeypatch.setattr(line.bar, "start", gone)
    monkeypatch.setattr(line.bar, "stop", gone)
    with line:
        pass


def test_a_checkpoint_that_the_disk_cannot_read_is_passed_over(straight, monkeypatch):
    def verify(path):
        if path.stem == "000000016":
            raise OSError(number, "not readable")
        return checked(path)

    checked = checkpoint.verify_checkpoint
    monkeypatch.setattr(checkpoint, "verify_checkpoint", verify)
    number = errno.EIO
    state, damaged = checkpoint.load_newest(straight / "checkpoints")
    assert state is not None
    assert (state["images"], [path.stem for path in damaged]) == (12, ["000000016"])
    number = errno.EACCES
    with pytest.raises(OSError, match="not readable"):
        checkpoint.load_newest(straight / "checkpoints")


def test_where_no_checkpoint_can_lie_is_noticed_before_the_training(tmp_path, monkeypatch, few_pairs):
    (tmp_path / "config.yaml").write_text(config(few_pairs).model_dump_json(), encoding="utf-8")
    (tmp_path / "checkpoints").touch()
    at_call(monkeypatch, loop, "_train_step", 1, lambda: pytest.fail("it trained"))
    with pytest.raises(FileExistsError, match="checkpoints"):
        i2i.train(config(few_pairs), tmp_path, resume=True)


def test_a_log_line_that_was_cut_spoils_no_other(tmp_path):
    log = MetricsLog(tmp_path / "metrics.jsonl", 0, BestEffort())
    log.write(4, 1.0, "train", {"G": 1.0})
    with log.path.open("a", encoding="utf-8") as file:
        file.write('{"images": 8, "hal')  # what a full disk leaves
    log.start = "\n"
    log.write(12, 3.0, "train", {"G": 3.0})
    assert [json.loads(line)["images"] for line in log.path.read_text().splitlines()[::2]] == [4, 12]
    assert [row["images"] for row in read_json_lines(log.path)] == [4, 12]


def test_a_full_disk_costs_what_came_after_the_last_checkpoint(straight, tmp_path, monkeypatch, few_pairs):
    """A limit on file sizes acts like a full disk: real writes fail in the middle."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    at_call(
        monkeypatch, run, "save_checkpoint", 2, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20000, before[1]))
    )
    try:
        with pytest.raises(DiskFullError, match=rf"{os.strerror(errno.EFBIG)}.* 8 images(.|\n)* 4"):
            i2i.train(config(few_pairs), tmp_path / "run")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [path.name for path in (tmp_path / "run" / "checkpoints").iterdir()] == ["000000004.pt"]
    monkeypatch.undo()
    i2i.train(config(few_pairs), tmp_path / "run", resume=True)
    assert what_remains(tmp_path / "run") == what_remains(straight)


def test_a_disk_too_small_is_refused_before_the_training(tmp_path, monkeypatch, few_pairs):
    wide = config(few_pairs, "generator.width=16", "discriminator.width=16")
    i2i.train(wide, tmp_path / "other")
    newest = list_checkpoints(tmp_path / "other" / "checkpoints")[-1].stat().st_size
    monkeypatch.setattr(run, "free_bytes", lambda path: 3 * newest)
    with pytest.raises(DiskFullError, match=r"3 checkpoints of \d+\.\d .B") as error:
        i2i.train(wide, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    told = re.search(r"checkpoints of ([\d.]+) (.)B", str(error.value))
    assert told
    size = float(told[1]) * {"K": 1e3, "M": 1e6}[told[2]]
    assert size == pytest.approx(newest, rel=0.1)
    # Existing files, except damaged checkpoints, are overwritten; what a killed process left is removed first.
    out = tmp_path / "other"
    half = out / f"{TEMP_PREFIX}0123.pt"
    half.write_bytes(b"half")
    list_checkpoints(out / "checkpoints")[-1].write_bytes(b"damaged")
    monkeypatch.setattr(run, "free_bytes", lambda path: newest)
    with pytest.raises(DiskFullError, match="about"):
        i2i.train(wide, out, resume=True)
    assert not half.exists()
    monkeypatch.setattr(run, "free_bytes", lambda path: 5 * newest // 2)
    i2i.train(wide, out, resume=True)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (None, r"1152921504\.6 GB.* [\d.]+ GB"),
        (
            torch.OutOfMemoryError(
                "CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has a total capacity of 79.11 GiB of which "
                "1.25 GiB is free."
            ),
            "2.7 GB.* 1.3 GB",
        ),
    ],
    ids=["cpu", "cuda"],
)
def test_out_of_memory_is_said_in_settings(tmp_path, monkeypatch, few_pairs, error, words):
    def exhaust():
        if error:
            raise error
        torch.empty(2**60, dtype=torch.uint8)

    at_call(monkeypatch, loop, "_train_step", 2, exhaust)
    with pytest.raises(OutOfMemoryError, match=r"train\.batch 4.*data\.crop_px 16") as stop:
        i2i.train(config(few_pairs), tmp_path / "run")
    assert stop.value.exit_code == 5
    assert re.search(words, str(stop.value))
    assert "train.batch=2 with train.accumulate=2" in str(stop.value)
