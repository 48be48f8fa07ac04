"""Names that are not UTF-8, as on old disks and in archives: every command works with them or names them."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

import i2i
from i2i.cli import cli, run_cleanly
from i2i.config import load_config
from i2i.data.sets import make_set
from i2i.errors import ModelError
from i2i.files import read_json_lines
from i2i.images import read_image
from tests.conftest import ORACLES, save, tiny_config

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems have no such names")
ODD = os.fsdecode(b"caf\xe9")


@pytest.fixture(scope="module")
def odd_run(tmp_path_factory):
    """A run and its data in a folder of such a name, with pictures of such names."""
    root = tmp_path_factory.mktemp("names") / ODD
    for split in ("train", "val", "test"):
        for k in range(5):
            save(root / "data" / split / f"{ODD}{k}.png", 20, 40, seed=k)
    i2i.train(tiny_config(data=root / "data"), root / f"run{ODD}")
    return root / f"run{ODD}"


def test_a_training_can_be_resumed_and_reports(odd_run):
    config = load_config(odd_run / "config.yaml")
    assert config.data.path == (str(odd_run.parent / "data"),)
    assert i2i.train(config, odd_run, resume=True) == odd_run / "model.safetensors"
    assert "caf\\udce9" in (odd_run / "report.html").read_text(encoding="utf-8")
    assert read_json_lines(odd_run / "metrics.jsonl")[-1]["images"] == 16
    one = load_config("lineart", [f"data.path={odd_run.parent / 'data'}"])
    assert one.data.path == config.data.path
    broken = odd_run.parent / "broken" / "train"
    shutil.copytree(odd_run.parent / "data" / "train", broken)
    (broken / f"{ODD}3.png").write_bytes(b"no picture")
    notes = make_set("paired", tiny_config("data.skip_broken=true", data=broken.parent)).notes
    assert any("caf\\udce93.png" in note for note in notes)


def test_every_command_takes_them(odd_run, tmp_path, capfdbinary, noise_model):
    root = odd_run.parent
    noise, latents = root / f"noise{ODD}.safetensors", root / f"{ODD}.npy"
    shutil.copy(noise_model, noise)
    shutil.copy(ORACLES / "unet_128_batch.pth", root / f"{ODD}.pth")
    photos, onnx = root / "data" / "val", root / f"{ODD}.onnx"
    proved_on = shutil.copytree(photos, root / "proved" / ODD)
    for code, words in (
        (0, ["info", odd_run]),
        (0, ["evaluate", "-m", odd_run, "--data", root / "data", "--rows", root / f"{ODD}.jsonl"]),
        (0, ["evaluate", "-m", odd_run, "--data", root / "data", "--json"]),
        (0, ["info", odd_run, "--json"]),
        (0, ["export", odd_run, "-o", onnx, "--verify", proved_on]),
        (0, ["info", onnx]),
        (0, ["translate", photos, "-m", odd_run, "-o", root / f"torch{ODD}"]),
        (0, ["translate", f"{photos}/*{ODD}*", "-m", onnx, "-o", root / f"onnx{ODD}"]),
        (0, ["generate", "-m", noise, "-n", 2, "-o", root / f"{ODD}.png", "--save-latents", latents]),
        (0, ["generate", "-m", noise, "--latents", latents, "--separate", "-o", root / f"single{ODD}"]),
        (0, ["interpolate", "-m", noise, "--latents", latents, "--steps", 1, "-o", root / f"{ODD}.gif"]),
        (0, ["arithmetic", "-m", noise, 1, 2, 3, "-o", root / f"sum{ODD}.png"]),
        (0, ["invert", root / f"single{ODD}", "-m", noise, "-o", root / f"found{ODD}.npy", "--steps", 2]),
        (0, ["traverse", "-m", noise, "--code", "noise:0", "-o", root / f"codes{ODD}.png"]),
        (0, ["import", root / f"{ODD}.pth", "-o", root / f"{ODD}.safetensors"]),
        (0, ["info", root / f"{ODD}.safetensors"]),
        (1, ["info", root / f"none{ODD}.safetensors"]),
    ):
        assert run_cleanly(lambda words=words: cli.main([*map(str, words)], standalone_mode=False)) == code, words
        said = b"".join(capfdbinary.readouterr())
        assert b"Traceback" not in said
        if code:
            assert b"\\udce9.safetensors" in said
    for name in (f"{ODD}{k}.png" for k in range(5)):
        one, other = (read_image(root / f"{kind}{ODD}" / name).astype(int) for kind in ("torch", "onnx"))
        assert np.abs(one - other).max() <= 1
    assert json.loads((root / f"{ODD}.jsonl").read_text().splitlines()[0])["l1"] > 0
    assert "caf\\udce9" in i2i.load(onnx).spec.proof.source


def test_a_damaged_model_is_called_that(tmp_path):
    """Its name is not blamed."""
    (tmp_path / f"{ODD}.safetensors").write_bytes((500).to_bytes(8, "little") + b'{"a": ' + b" " * 600)
    with pytest.raises(ModelError, match=r"\.safetensors (?!.*codec)"):
        i2i.load(tmp_path / f"{ODD}.safetensors")


def test_what_is_printed_is_escaped(odd_run):
    """Standard output takes UTF-8 alone in most places."""
    env = {**os.environ, "PYTHONIOENCODING": "utf-8:strict"}
    done = subprocess.run([sys.executable, "-m", "i2i", "info", odd_run], capture_output=True, check=False, env=env)
    assert done.returncode == 0, done.stderr
    assert b"caf\\udce9" in done.stdout
