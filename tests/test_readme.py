"""The README and the first steps cannot rot: their commands, their Python and their names are run."""

import re
import shlex
import shutil

import numpy as np
import pytest
import torch
from click.testing import CliRunner

import i2i
from i2i.cli import cli
from i2i.config import preset_names
from i2i.images import read_image
from i2i.interop.pytorch_cyclegan_pix2pix import revert
from i2i.networks import UNet
from tests.cli.test_cli import call, shrink, stub_web_runtime
from tests.conftest import ROOT, save

README = (ROOT / "README.md").read_text(encoding="utf-8")
BOTH = README + (ROOT / "docs" / "start.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", BOTH, re.MULTILINE | re.DOTALL)


@pytest.fixture
def desk(desk):
    save(desk / "photo.png", 50, 70)
    for seed in range(5):
        save(desk / "pictures" / f"{seed}.png", 40, 50, seed=seed)
    torch.save(revert(UNet(3, 3, depth=7, width=2)), desk / "latest_net_G.pth")
    return desk


def test_the_commands_run_in_their_order(desk, few_pairs, capsys, monkeypatch):
    stub_web_runtime(desk, monkeypatch)
    shutil.rmtree("runs")
    lines = [line for block in blocks("sh") for line in block.splitlines() if line.startswith("i2i ")]
    assert len(lines) == 31
    assert len(re.findall(r"^i2i .*  # ", README, re.MULTILINE)) == 6
    assert len(README.splitlines()) <= 80
    (desk / "model.onnx").unlink()
    for line in lines:
        words = shlex.split(line, comments=True)[1:]
        assert call(*shrink(words, few_pairs)) == 0, f"{line}: {capsys.readouterr().err}"
    assert (desk / "drawings" / "a.png").exists()
    assert (desk / "drawing.png").exists()
    assert len(list((desk / "singles").iterdir())) == 8
    assert (desk / "both.A2B.onnx").exists()
    assert (desk / "demo.html").exists()


def test_the_python_runs_and_needs_no_i2i_to_deploy(desk, capfd):
    opened, use, deploy = blocks("python")
    exec(compile(opened.replace("pairs.onnx", "model.onnx"), "README.md", "exec"), {})
    assert call("export", "runs/mine", "-o", "deploy.onnx", "--io", "image") == 0
    exec(compile(use, "start.md", "exec"), {})
    capfd.readouterr()
    exec(compile(deploy, "start.md", "exec"), {})
    assert "CUDA" not in capfd.readouterr().err  # where ONNX Runtime cannot start its CUDA provider, it prints errors
    assert "import i2i" not in deploy
    assert (desk / "by_python.png").read_bytes() == (desk / "drawing.png").read_bytes()
    ours, plain = read_image(desk / "drawing.png"), read_image(desk / "output.png")
    assert ours.shape == plain.shape == (50, 70, 3)
    apart = np.abs(plain.astype(int) - ours)  # the graph rounds in float32, where equal values may round differently
    assert apart.max() <= 1
    assert (apart > 0).mean() <= 1e-3


def test_only_public_names_are_shown():
    names = set(re.findall(r"\bi2i\.([a-z_]+)\(", BOTH))
    assert names <= set(i2i.__all__)


def test_the_presets_of_the_page_are_those_there_are():
    presets = ROOT / "docs" / "presets.md"
    assert sorted(re.findall(r"^\| \[`(\w+)`\]", presets.read_text(encoding="utf-8"), re.MULTILINE)) == preset_names()


def test_the_list_of_commands_cuts_no_sentence():
    listed = CliRunner().invoke(cli, ["--help"], terminal_width=80).output.partition("Commands:")[2]
    assert len(listed.splitlines()) > 20
    assert "..." not in listed
