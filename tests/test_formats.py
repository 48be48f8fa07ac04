"""docs/formats.md against real files: no entry is missing there, and none is made up."""

import fnmatch
import json
import re
import shutil

import onnx
import pytest
import torch

import i2i
from i2i.data.sharding import make_shards
from i2i.report.record import ROW_KEYS
from i2i.training.checkpoint import MAGIC
from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "formats.md").read_text(encoding="utf-8")


def entries(title):
    """The first cells of the table below a title."""
    section = re.search(rf"^##+ {re.escape(title)}\n(.*?)(?=^##|\Z)", PAGE, re.DOTALL | re.MULTILINE)[1]
    return set(re.findall(r"^\| `([^`]+)` \|", section, re.MULTILINE))


@pytest.fixture(scope="module")
def desk(tiny_run, tmp_path_factory):
    """A folder with the run where the page has it."""
    folder = tmp_path_factory.mktemp("desk")
    shutil.copytree(tiny_run, folder / "runs" / "mine")
    return folder


def test_the_code_on_the_page_reads_a_model_file(desk, monkeypatch, capsys):
    monkeypatch.chdir(desk)
    names = {}
    exec(compile(re.search(r"```python\n(.*?)```", PAGE, re.DOTALL)[1], "docs/formats.md", "exec"), names)
    assert capsys.readouterr().out.split() == ["pix2pix", "B2A"]
    assert set(names["header"]["__metadata__"]) == entries("model.safetensors")
    description = names["description"]
    assert set(description) == entries("The description")
    part = description["parts"]["B2A"]
    assert set(part) == entries("Part")
    assert set(part["inputs"]) == entries("PictureSpec")
    tensors = [name for name in names["header"] if name != "__metadata__"]
    assert all(name.startswith("B2A.") for name in tensors)


def test_an_exported_file_has_what_it_says(tiny_onnx, noise_onnx):
    for file, inputs in ((tiny_onnx, ["image"]), (noise_onnx, ["latent"])):
        model = onnx.load(file)
        assert [one.name for one in model.graph.input] == inputs
        assert [one.name for one in model.graph.output] == ["output"]
        assert [one.version for one in model.opset_import if not one.domain] == [18]
        told = {one.key: one.value for one in model.metadata_props}
        assert all(f"`{key}`" in PAGE for key in told)
        assert set(json.loads(told["i2i"])) == entries("The description")
        assert set(json.loads(told["i2i"])["proof"]) == entries("ExportProof")
        assert set(json.loads(told["i2i"])["origin"]) == entries("Origin")
    block = i2i.load(noise_onnx).spec.latent_generator.blocks[0]
    assert set(block.model_dump()) == entries("LatentBlock")


def test_a_run_folder_holds_what_it_says(tiny_run):
    found = {path.relative_to(tiny_run).as_posix() for path in tiny_run.rglob("*") if path.is_file()}
    known = entries("A run folder")
    assert [one for one in found - {"model.onnx"} if not any(fnmatch.fnmatch(one, each) for each in known)] == []
    usual = ("config.yaml", "run.json", "metrics.jsonl", "model.safetensors", "checkpoints/*.pt", "samples/*.png")
    assert all(any(fnmatch.fnmatch(one, each) for one in found) for each in usual)


def test_checkpoints_and_rows_have_what_it_says(tiny_run):
    path = max((tiny_run / "checkpoints").glob("*.pt"))
    assert set(torch.load(path, weights_only=True)) == entries("A checkpoint")
    assert path.read_bytes()[-32 - len(MAGIC) : -32] == MAGIC
    assert MAGIC.decode() in PAGE
    assert set(ROW_KEYS) == entries("metrics.jsonl")
    for line in (tiny_run / "metrics.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        assert set(ROW_KEYS) <= set(row)
        assert all(isinstance(value, float) for name, value in row.items() if name not in ROW_KEYS)


def test_shards_are_named_as_it_says(few_pairs, tmp_path):
    made = make_shards([str(few_pairs)], tmp_path, 1 << 30)
    assert all(re.fullmatch(r"(train|val|test)[AB]?-\d{6}\.tar", one.name) for one in made)
    assert "D/train-000000.tar" in PAGE
