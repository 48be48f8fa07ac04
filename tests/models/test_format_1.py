"""Model files of format 1, as the first i2i wrote them, still give the same pixels."""

import numpy as np
import pytest

import i2i
from i2i.models.modelfile import read_spec
from tests.conftest import DATA, run_i2i

FILES = DATA / "format_1"
EXPECTED = np.load(FILES / "expected.npz")


@pytest.mark.parametrize(
    ("file", "direction"), [("cyclegan.safetensors", "A2B"), ("cyclegan.safetensors", "B2A"), ("cyclegan.onnx", "A2B")]
)
def test_translators(file, direction):
    made = i2i.load(FILES / file, direction)(EXPECTED["picture"])
    np.testing.assert_array_equal(made, EXPECTED[f"{file}.{direction}"])


@pytest.mark.parametrize("file", ["gan.safetensors", "gan.onnx"])
def test_generators(file):
    made = i2i.ImageGenerator.open(FILES / file)([1, 7])
    np.testing.assert_array_equal(np.stack([np.asarray(one) for one in made]), EXPECTED[file])


def test_they_are_read_as_parts():
    spec = read_spec(FILES / "cyclegan.safetensors")
    assert (spec.format, list(spec.parts), spec.task) == (2, ["A2B", "B2A"], "translate")
    noise = read_spec(FILES / "gan.safetensors").parts["generate"]
    assert [(block.name, block.size, block.prior) for block in noise.blocks] == [("noise", 4, "normal")]


def test_they_can_be_exported_again_and_are_shown(tmp_path):
    done = run_i2i("export", FILES / "gan.safetensors", "-o", tmp_path / "again.onnx")
    assert done.returncode == 0, done.stderr
    assert read_spec(FILES / "gan.safetensors").parts == i2i.load(tmp_path / "again.onnx").spec.parts
    assert "32x32" in run_i2i("info", FILES / "gan.onnx").stdout
