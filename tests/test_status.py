"""What is said while the user waits, and what is refused before that."""

import shutil
import subprocess
import sys
import time

import pytest
import yaml

from i2i import status
from tests.conftest import LINEART, ORACLES, spawn_i2i


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
    assert said == ["Listing [D]: 7 ...", "Listing [D]: 1,200 of 3,000 ... 1 s left"]
    time.sleep(0.5)
    assert capsys.readouterr().err == ""  # it has ended


def test_without_a_listener_and_on_other_ranks_nothing_is_said(quick, capsys, monkeypatch):
    with status.doing("Alone", at_once=True):
        time.sleep(0.3)
    monkeypatch.setenv("LOCAL_RANK", "1")
    with status.shown(), status.doing("On rank 1", at_once=True):
        time.sleep(0.3)
    assert capsys.readouterr().err == ""


def without_torch(words, folder):
    """Run the command line where importing torch fails."""
    script = (
        f"import sys\nsys.modules['torch'] = None\nfrom i2i.cli import main\nsys.argv = ['i2i', *{words!r}]\nmain()"
    )
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=folder, check=False)


@pytest.mark.parametrize(
    "line",
    [
        "evaluate -m runs/mine --data D",
        "translate photos -m runs/mine -o out",
        "generate -m noise.safetensors -o grid.png",
        "interpolate -m noise.safetensors --seeds 1,2 -o walk.png",
        "arithmetic -m noise.safetensors 1 2 3 -o sum.png",
        "traverse -m noise.safetensors --code noise:0 -o codes.png",
        "import net_G.pth -o net.safetensors",
        "info net_G.pth",
        "export runs/mine -o new.onnx",
        "export runs/mine -o new.pth --format pytorch-CycleGAN-and-pix2pix",
        "train lineart --data D",
    ],
)
def test_every_command_says_that_it_loads_torch_before_it_does(line, desk, noise_model):
    shutil.copy(noise_model, "noise.safetensors")
    shutil.copy(ORACLES / "unet_128_batch.pth", "net_G.pth")
    said = without_torch(line.split(), desk).stderr
    assert "Loading torch ...\n" in said.partition("Traceback")[0], said


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
        (["export", "taken", "-o", "m.onnx", "--verify", "nowhere"], "nowhere", 2),
        (["export", "given.onnx", "-o", "m.onnx"], "given.onnx", 2),
        (["train", "lineart", "--data", str(LINEART), "--set", "schedule.images=300"], "5000", 2),
        (["evaluate", "-m", "taken", "--data", "nowhere"], "nowhere", 1),
        (["generate", "-m", "taken", "-o", "taken"], "taken", 2),
        (["generate", "-m", "taken", "-n", "3", "--latents", "x.npy", "-o", "x.png"], "--latents", 2),
        (["generate", "-m", "taken", "--separate", "-o", "x.png"], "x.png", 2),
        (["interpolate", "-m", "taken", "-o", "x.png"], "--latents", 2),
        (["arithmetic", "-m", "taken", "1", "2", "3", "-o", "x.gif"], "x.gif", 2),
        (["traverse", "-m", "taken", "--code", "noise:0", "-o", "x.gif"], "x.gif", 2),
        (["import", "gone.pth", "-o", "m.safetensors"], "gone.pth", 1),
    ],
)
def test_what_is_known_to_be_wrong_is_refused_before_torch_is_loaded(tmp_path, words, named, code):
    (tmp_path / "given.onnx").write_bytes(b"\x08\x08")
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "model.safetensors").write_bytes(b"")
    done = without_torch(words, tmp_path)
    assert (done.returncode, "Traceback" in done.stderr) == (code, False), done.stderr
    (error,) = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert named in error


def test_a_dry_run_speaks_while_it_measures_and_prints_yaml_alone(few_pairs):
    sets = ["data.crop_px=16", "data.resize_px=18", "generator.depth=4", "generator.width=2"]
    done = spawn_i2i("train", "lineart", "--data", few_pairs, "--dry-run", *(f"--set={one}" for one in sets))
    assert done.returncode == 0, done.stderr
    assert "Loading torch ...\n" in done.stderr
    assert yaml.safe_load(done.stdout)["algorithm"] == "pix2pix"
