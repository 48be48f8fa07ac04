"""Two trainings never share a run folder; a killed process leaves no lock behind."""

import errno
import shutil
import signal
import subprocess
import sys

import pytest
from filelock import FileLock

import i2i
from i2i.errors import UsageError
from i2i.files import TEMP_PREFIX
from i2i.training.folder import LOCK_NAME
from i2i.training.lock import only_training
from tests.conftest import tiny_config

HOLD = """
import signal, sys
from pathlib import Path
from i2i.training.lock import only_training
with only_training(Path(sys.argv[1])):
    print("held", flush=True)
    signal.pause()
"""


@pytest.mark.skipif(not hasattr(signal, "pause"), reason="POSIX")
def test_a_second_training_is_refused_and_touches_nothing(tmp_path, tiny_run, few_pairs, capsys):
    run = shutil.copytree(tiny_run, tmp_path / "run")
    half = run / "checkpoints" / f"{TEMP_PREFIX}0123.pt"
    half.write_bytes(b"half")
    longer = tiny_config("schedule.images=20", data=few_pairs)
    first = subprocess.Popen([sys.executable, "-c", HOLD, str(run)], stdout=subprocess.PIPE, text=True)
    try:
        assert first.stdout is not None
        assert first.stdout.readline() == "held\n"
        before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
        for resume in (True, False):
            with pytest.raises(UsageError, match=rf"{first.pid} .*20\d\d-"):
                i2i.train(longer, run, resume)
        assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before
    finally:
        first.kill()
        first.communicate()
    assert (run / LOCK_NAME).exists()
    i2i.train(longer, run, resume=True)
    assert not (run / LOCK_NAME).exists()
    assert not half.exists()


def test_the_folder_is_left_as_it_was(tmp_path):
    with only_training(tmp_path / "a" / "b"), pytest.raises(UsageError), only_training(tmp_path / "a" / "b"):
        pytest.fail("locked twice")
    assert list(tmp_path.iterdir()) == []


def test_a_file_system_without_locks_costs_a_warning(tmp_path, monkeypatch, capsys):
    def no_locks(self, timeout):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(FileLock, "acquire", no_locks)
    with only_training(tmp_path / "run"):
        (tmp_path / "run" / "config.yaml").write_text("kept", encoding="utf-8")
    assert capsys.readouterr().err.count("cannot be locked (No locks available)") == 1
    assert (tmp_path / "run" / "config.yaml").exists()
