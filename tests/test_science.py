"""docs/science.md cannot rot: its commands are run."""

import re
import shlex

import pytest

import i2i
from i2i.images import read_image
from tests.conftest import ROOT, run_i2i

PAGE = (ROOT / "docs" / "science.md").read_text(encoding="utf-8")
SHORT = "generator.depth=5 generator.width=2 discriminator.width=2 discriminator.layers=1 data.crop_px=32 train.batch=4"
SHORT += " data.resize_px=null schedule.epochs=null schedule.images=8 schedule.decay_epochs=null log.sample_count=2"


def block(language):
    return "".join(re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL))


@pytest.mark.slow
def test_the_example_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "datasets").symlink_to(ROOT / "datasets")
    exec(compile(block("python"), "science.md", "exec"), {})
    for line in block("sh").splitlines():
        words = shlex.split(line)[1:]
        settings = [f"--set={one}" for one in SHORT.split()] if words[0] == "train" else []
        done = run_i2i(*words, *settings)
        assert done.returncode == 0, f"{line}: {done.stderr}"
    outputs = i2i.load("bands.onnx").generator.outputs
    assert outputs.bands == ("height", "grey")
    for path in (tmp_path / "heights").iterdir():
        assert read_image(path, layout=outputs.layout(None)).shape[2] == 2
