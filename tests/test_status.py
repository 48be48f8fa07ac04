"""What is said while the user waits, and what is refused before that."""

import subprocess
import sys
import time

import pytest
import yaml

from i2i import status
from tests.conftest import LINEART, run_i2i


@pytest.fixture
def quick(monkeypatch):
    for name, seconds in (("FIRST_S", 0.1), ("EVERY_S", 0.3), ("_LOOK_S", 0.02)):
        monkeypatch.setattr(status, name, seconds)


def test_what_takes_long_is_said_again_with_its_count_and_what_is_quick_is_not(quick, capsys):
    with status.shown():
        with status.doing("Quick"):
            pass
        with status.doing("Listing [D]"):
            status.count(7)
            time.sleep(0.25)
            status.count(1200, 3000)
            time.sleep(0.4)
    said = capsys.readouterr().err.splitlines()
    assert [line.split(" ...")[0] for line in said] == ["Listing [D]: 7", "Listing [D]: 1,200 of 3,000"]
    time.sleep(0.5)
    assert capsys.readouterr().err == ""  # it has ended


def test_without_a_listener_and_on_other_ranks_nothing_is_said(quick, capsys, monkeypatch):
    with status.doing("Alone", at_once=True):
        time.sleep(0.3)
    monkeypatch.setenv("LOCAL_RANK", "1")
    with status.shown(), status.doing("On rank 1", at_once=True):
        time.sleep(0.3)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("words", "named", "code"),
    [
        (["train", "lineart", "--data", "nowhere"], "nowhere", 1),
        (["train", "lineart", "--data", str(LINEART), "--init-from", "gone"], "gone", 1),
        (["train", "linart", "--data", str(LINEART)], "linart", 2),
        (["train", "lineart", "--data", str(LINEART), "--out", "taken"], "taken", 2),
        (["train", "lineart"], "--data", 2),
        (["train", "lineart", "--data", "nowhere", "--dry-run"], "nowhere", 1),
        (["export", "nowhere", "-o", "m.onnx"], "nowhere", 1),
        (["export", "taken", "-o", "m.png"], "m.png", 2),
    ],
)
def test_what_is_known_to_be_wrong_is_refused_before_torch_is_loaded(tmp_path, words, named, code):
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "model.safetensors").write_bytes(b"")
    check = (
        "import sys\nsys.modules['torch'] = None\n"  # importing it fails
        f"from i2i.cli import main\nsys.argv = ['i2i', *{words!r}]\nmain()"
    )
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert (done.returncode, "Traceback" in done.stderr) == (code, False), done.stderr
    (error,) = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert named in error


def test_a_dry_run_speaks_while_it_measures_and_prints_yaml_alone(few_pairs):
    sets = ["data.crop_px=16", "data.resize_px=18", "generator.depth=4", "generator.width=2"]
    done = run_i2i("train", "lineart", "--data", few_pairs, "--dry-run", *(f"--set={one}" for one in sets))
    assert done.returncode == 0, done.stderr
    assert "Loading torch ...\n" in done.stderr
    assert yaml.safe_load(done.stdout)["algorithm"] == "pix2pix"
