"""The direction that a model of two remembers as usual."""

import json
import shutil

import pytest

import i2i
from i2i.algorithms import ALGORITHMS
from i2i.errors import UsageError
from i2i.exporting.options import ExportOptions
from i2i.exporting.writing import reference_of
from i2i.models.modelfile import read_spec
from i2i.models.shipped import find_shipped
from i2i.training.run import Run
from tests.cli.test_cli import call
from tests.conftest import picture, save, smallest_config
from tests.runtime.test_chain import changed


@pytest.fixture
def usual(two_way_run, tmp_path):
    """A run folder whose model remembers B2A."""
    folder = shutil.copytree(two_way_run, tmp_path / "usual")
    changed(two_way_run / "model.safetensors", folder / "model.safetensors", usual="B2A")
    return folder


@pytest.mark.parametrize(
    ("algorithm", "direction", "remembered"),
    [("cyclegan", "B2A", "B2A"), ("cyclegan", "null", None), ("pix2pix", "B2A", None), ("cut", "A2B", None)],
)
def test_training_in_both_remembers_what_was_set(algorithm, direction, remembered, few_pairs, tmp_path):
    config = smallest_config(algorithm, few_pairs, f"data.direction={direction}")
    run = Run(config, tmp_path / "run")
    assert run.spec(ALGORITHMS[algorithm](run.config), 0).usual == remembered


def test_without_one_a_model_asks(two_way_run, usual):
    array = picture(20, 24)
    made = {way: i2i.translate(array, usual, way) for way in ("A2B", "B2A")}
    assert (made["A2B"] != made["B2A"]).any()  # the control
    assert (i2i.translate(array, usual) == made["B2A"]).all()
    assert i2i.load(usual).direction == "B2A"
    with pytest.raises(UsageError, match="direction"):
        i2i.load(two_way_run)


def test_commands_take_it_and_say_so(usual, two_way_run, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "photo.png", 20, 24)
    for words in (
        ["translate", "photo.png", "-m", usual, "-o", "own.png"],
        ["bench", "-m", usual, "--size", "32x32", "--seconds", "0.01"],
    ):
        assert call(*map(str, words)) == 0
        said = capsys.readouterr().err
        assert "B2A" in said
        assert "--direction A2B" in said
    assert call("translate", "photo.png", "-m", str(usual), "--direction", "B2A", "-o", "asked.png") == 0
    assert "usual" not in capsys.readouterr().err
    assert (tmp_path / "own.png").read_bytes() == (tmp_path / "asked.png").read_bytes()
    assert list(reference_of(usual / "model.safetensors", None, ExportOptions("m.onnx")).spec.parts) == ["B2A"]
    for model, code in ((usual, 0), (two_way_run, 2)):
        assert call("translate", "photo.png", "-m", str(usual), "--then", str(model), "-o", f"{code}.png") == code
    capsys.readouterr()
    assert call("info", str(usual), "--json") == 0
    assert json.loads(capsys.readouterr().out)["result"]["usual"] == "B2A"


def test_the_shipped_model_of_two_directions_remembers_its_own():
    assert i2i.load("relief_unpaired").direction == "A2B"
    assert read_spec(find_shipped("relief")).usual is None
