"""SIGTERM and Ctrl-C in a real process: the exit code, the last line, and what lies in the output folder."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from i2i.images import read_image, write_image
from tests.conftest import picture, run_i2i

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows ends a process without asking it")


def stop(words, folder, how, enough):
    """Call `i2i`, send the signal once `enough` of its files in `folder` are there, and return its code and words."""
    folder.mkdir()
    command = [sys.executable, "-m", "i2i", *map(str, words)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        while process.poll() is None and not enough([one for one in folder.rglob("*") if one.is_file()]):
            time.sleep(0.01)
        process.send_signal(how)
        _, said = process.communicate(timeout=60)
    return process.returncode, said


@pytest.mark.parametrize(("how", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_a_large_picture_leaves_no_part_behind(tmp_path, tiny_onnx, how, code):
    """The control: a process that is killed leaves the hidden file in which it was writing."""
    write_image(tmp_path / "a.tif", np.tile(picture(64, 64), (40, 40, 1)))
    words = ["translate", tmp_path / "a.tif", "-m", tiny_onnx, "-o", tmp_path / "out" / "b.tif"]
    words += ["--windows", "--tile-px", "64"]
    found, said = stop(words, tmp_path / "out", how, bool)
    left = [one.name for one in (tmp_path / "out").iterdir()]
    print(f"{how.name}: exit code {found}, left {left}")
    assert found == code, said
    assert len(left) == (1 if how == signal.SIGKILL else 0)
    if how != signal.SIGKILL:
        assert said.splitlines()[-1] == "Stopped."
        assert "0 of 1 picture written" in said
        assert "Traceback" not in said


def test_of_a_folder_the_finished_pictures_stay_and_the_same_command_goes_on(tmp_path, tiny_onnx):
    for number in range(200):
        write_image(tmp_path / "in" / f"{number}.png", picture(64, 64, seed=number % 100))
    words = ["translate", tmp_path / "in", "-m", tiny_onnx, "-o", tmp_path / "out", "--workers", "2"]
    code, said = stop(words, tmp_path / "out", signal.SIGTERM, lambda files: len(files) > 3)
    assert code == 143, said
    assert said.splitlines()[-1] == "Stopped."
    written = sorted((tmp_path / "out").iterdir())
    assert 3 < len(written) < 200
    assert {read_image(one).shape for one in written} == {(64, 64, 3)}
    assert f"{len(written)} of 200 pictures written" in said
    before = {one: one.stat().st_mtime_ns for one in written}
    assert run_i2i(*words, "--skip-existing").returncode == 0
    assert len([*(tmp_path / "out").iterdir()]) == 200
    assert {one: one.stat().st_mtime_ns for one in written} == before


def test_a_program_that_ignores_sigterm_is_obeyed(tmp_path, tiny_onnx):
    """As nohup does for other signals: whoever starts i2i with SIGTERM ignored wants it ignored."""
    code = "import signal, sys\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nfrom i2i.cli import main\n"
    code += "import i2i.cli\nrun = i2i.cli.run_cleanly\n"
    code += "i2i.cli.run_cleanly = lambda *given: print(signal.getsignal(signal.SIGTERM).name) or run(*given)\nmain()"
    done = subprocess.run([sys.executable, "-c", code, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[0] == "SIG_IGN"
