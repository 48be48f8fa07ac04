"""A training on data that breaks, hangs or vanishes under it."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import i2i
from i2i.data import previews
from i2i.data.sets import PairSet
from i2i.errors import DataError, LoaderError, Stopped
from i2i.files import read_json_lines
from i2i.images import listing
from i2i.training import loop
from i2i.training.checkpoint import list_checkpoints
from tests.conftest import LINEART, tiny_config


@pytest.fixture
def data(few_pairs, tmp_path):
    return shutil.copytree(few_pairs, tmp_path / "data")


def cut(path):
    path.write_bytes(path.read_bytes()[:-200])


def warnings_of(run):
    return [row["text"] for row in read_json_lines(run / "metrics.jsonl") if row["split"] == "warning"]


def test_a_broken_pair_is_skipped_named_once_and_resumed_over(data, tmp_path):
    broken = sorted((data / "train").iterdir())[3]
    cut(broken)
    i2i.train(tiny_config("schedule.decay_images=0", data=data), tmp_path / "straight")
    i2i.train(tiny_config("schedule.decay_images=0", "schedule.images=8", data=data), tmp_path / "cut")
    i2i.train(tiny_config("schedule.decay_images=0", data=data), tmp_path / "cut", resume=True)
    one, two = (load_file(tmp_path / run / "model.safetensors") for run in ("straight", "cut"))
    assert all(torch.equal(one[name], two[name]) for name in one)
    for run in ("straight", "cut"):
        (text,) = warnings_of(tmp_path / run)
        assert text.startswith(f"{broken} is damaged")
        assert "1 of 8" in text


def test_what_is_broken_from_the_start_stops_it_unless_it_may_be_skipped(data, tmp_path):
    empty = sorted((data / "train").iterdir())[3]
    empty.write_bytes(b"")
    with pytest.raises(DataError, match=r"1 of 8 .*\n.* empty.*\n.*data\.skip_broken"):
        i2i.train(tiny_config(data=data), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    i2i.train(tiny_config("data.skip_broken=true", data=data), tmp_path / "run")
    assert len(warnings_of(tmp_path / "run")) == 1
    (cutting,) = [sorted((data / "train").iterdir())[5]]
    cut(cutting)
    with pytest.raises(DataError, match="2 of 8 pairs"):
        i2i.train(tiny_config("data.full_check=true", data=data), tmp_path / "new")


@pytest.mark.parametrize("split", ["train", "val"])
def test_a_file_that_never_answers_ends_it_before_it_begins(data, tmp_path, split):
    """A file lease of Linux makes opening the file wait, as a lost network folder does."""
    fcntl = pytest.importorskip("fcntl")
    if not hasattr(fcntl, "F_SETLEASE"):
        pytest.skip("Linux")
    silent = sorted((data / split).iterdir())[1]
    before = signal.signal(signal.SIGIO, signal.SIG_IGN)  # the system's request to give up the lease
    try:
        with silent.open("rb+") as file:
            fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
            with pytest.raises(LoaderError, match=rf"1 s.*{re.escape(str(silent))}") as error:
                i2i.train(tiny_config("data.timeout_s=1", data=data), tmp_path / "run")
    finally:
        signal.signal(signal.SIGIO, before)
    assert error.value.exit_code == 4
    assert not (tmp_path / "run").exists()


def test_a_folder_that_cannot_be_listed_in_time_ends_it(data, tmp_path, monkeypatch):
    monkeypatch.setattr(listing, "list_folder", lambda *_, **__: time.sleep(60))
    with pytest.raises(LoaderError, match=re.escape(str(data))):
        i2i.train(tiny_config("data.timeout_s=1", data=data), tmp_path / "run")


def test_a_read_that_hangs_ends_in_a_saved_run(data, tmp_path, monkeypatch):
    load = PairSet.load
    monkeypatch.setattr(
        PairSet, "load", lambda self, numbers: time.sleep(60) if numbers[0] >= 12 else load(self, numbers)
    )
    with pytest.raises(LoaderError, match=r"2 s.*\.png.*\n12 of 12 images") as error:
        i2i.train(tiny_config("data.timeout_s=2", data=data), tmp_path / "run")
    assert error.value.exit_code == 4
    assert list_checkpoints(tmp_path / "run" / "checkpoints")[-1].stem == "000000012"
    monkeypatch.undo()
    i2i.train(tiny_config(data=data), tmp_path / "run", resume=True)
    i2i.train(tiny_config(data=data), tmp_path / "straight")
    one, two = (load_file(tmp_path / run / "model.safetensors") for run in ("straight", "run"))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_a_stop_is_saved_before_threads_that_hang_are_waited_for(data, tmp_path, monkeypatch):
    load, saved = PairSet.load, []

    def hang(self, numbers):
        if numbers[0] >= 8:
            time.sleep(2)
            saved.append(bool(list_checkpoints(tmp_path / "run" / "checkpoints")))
        return load(self, numbers)

    advance = loop.Training._advance

    def stop_after_two(self, loaded):
        advance(self, loaded)
        if self.images == 8:
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(PairSet, "load", hang)
    monkeypatch.setattr(loop.Training, "_advance", stop_after_two)
    changes = ["data.workers=2", "data.cache=ram", "log.checkpoint_every_images=16"]
    with pytest.raises(Stopped, match="image 8"):
        i2i.train(tiny_config(*changes, data=data), tmp_path / "run")
    assert saved[0]


def test_a_preview_that_vanishes_costs_the_samples_only(data, tmp_path, monkeypatch):
    load = PairSet.load

    def vanish(self, numbers):
        shutil.rmtree(data / "val", ignore_errors=True)
        return load(self, numbers)

    monkeypatch.setattr(PairSet, "load", vanish)
    i2i.train(tiny_config(data=data), tmp_path / "run")
    warnings = warnings_of(tmp_path / "run")
    assert warnings
    assert all("samples" in text for text in warnings)


def test_a_preview_that_hangs_costs_the_samples_only(data, tmp_path, monkeypatch):
    monkeypatch.setattr(previews, "read_masked_picture", lambda *_: time.sleep(30))
    i2i.train(tiny_config("data.timeout_s=0.5", data=data), tmp_path / "run")
    warnings = warnings_of(tmp_path / "run")
    assert len(warnings) == 2
    assert all("samples" in text and "0.5 s" in text for text in warnings)


@pytest.mark.slow
def test_a_killed_worker_ends_the_command_in_one_line_and_a_saved_run(tmp_path):
    run = tmp_path / "run"
    changes = ["data.workers=1", "generator.width=2", "log.every_images=8", "schedule.images=100000"]
    words = ["train", "lineart", "--data", str(LINEART), "--out", str(run), *(f"--set={change}" for change in changes)]
    process = subprocess.Popen(
        [sys.executable, "-m", "i2i", *words], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        while not read_json_lines(run / "metrics.jsonl"):
            time.sleep(0.5)
            assert process.poll() is None
        threads = Path(f"/proc/{process.pid}/task").glob("*/children")
        pids = [int(pid) for file in threads for pid in file.read_text(encoding="ascii").split()]
        (worker,) = [pid for pid in pids if b"--multiprocessing-fork" in Path(f"/proc/{pid}/cmdline").read_bytes()]
        os.kill(worker, signal.SIGKILL)
        _, error = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 4
    assert f"1 of 1 (pid {worker})" in error
    assert "Traceback" not in error
    assert list_checkpoints(run / "checkpoints")
