"""Exported files say where they come from: in their own description, in `i2i info` and on the card of the run."""

import json
import shutil

import onnx
import pytest
import yaml

import i2i
from i2i.errors import ModelError, UsageError
from i2i.exporting import ExportOptions
from i2i.exporting.origin import name_of, origin_of
from i2i.models.onnxfile import DIGEST_KEY, digest_of
from i2i.models.shipped import find_shipped
from i2i.report.card import Naming, model_card
from i2i.report.record import read_run
from tests.conftest import run_i2i


@pytest.fixture(scope="module")
def run(tiny_run, tmp_path_factory):
    """A run with an exported file by a named author."""
    folder = tmp_path_factory.mktemp("runs") / "mine"
    shutil.copytree(tiny_run, folder, ignore=shutil.ignore_patterns("*.onnx"))
    i2i.export(folder, folder / "model.onnx", licence="cc-by-4.0", author="A. Artist")
    return folder


def described_anew(path, target, change):
    """Copy a file with another description, as its writer would sign it."""
    model = onnx.load(path)
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    spec = json.loads(metadata["i2i"])
    change(spec)
    metadata["i2i"] = json.dumps(spec)
    metadata[DIGEST_KEY] = digest_of(model.graph.SerializeToString(), metadata["i2i"])
    onnx.helper.set_model_props(model, metadata)
    onnx.save(model, target)
    return target


def test_a_file_carries_what_the_run_and_the_options_say(run, tmp_path):
    facts = json.loads((run / "run.json").read_text("utf-8"))
    origin = i2i.load(run / "model.onnx").spec.origin
    assert origin.model_dump() == {
        "name": "mine",
        "licence": "cc-by-4.0",
        "author": "A. Artist",
        "date": facts["sessions"][-1]["date"][:10],
        "data_sha256": facts["data_sha256"],
    }
    first = (run / "model.onnx").read_bytes()
    for author, same in (("A. Artist", True), ("B. Artist", False)):
        i2i.export(run, tmp_path / "m.onnx", overwrite=True, licence="cc-by-4.0", author=author)
        assert ((tmp_path / "m.onnx").read_bytes() == first) == same


def test_info_and_the_card_show_it(run):
    said = run_i2i("info", run / "model.onnx").stdout
    for words in ("mine by A. Artist", "cc-by-4.0", "trained on 20", read_run(run).facts["data_sha256"]):
        assert words in said
    header = yaml.safe_load(model_card(read_run(run), Naming("Mine", "run")).split("---\n")[1])
    assert (header["license"], header["authors"]) == ("cc-by-4.0", ["A. Artist"])
    header = yaml.safe_load(model_card(read_run(run), Naming("Mine", "run", "mit", "B.")).split("---\n")[1])
    assert (header["license"], header["authors"]) == ("mit", ["B."])


def test_a_licence_that_hubs_do_not_know_is_other(run, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    file = tmp_path / "run" / "model.onnx"
    described_anew(run / "model.onnx", file, lambda spec: spec["origin"].update(licence="All rights reserved"))
    header = yaml.safe_load(model_card(read_run(file.parent), Naming("Mine", "run")).split("---\n")[1])
    assert (header["license"], header["license_name"]) == ("other", "All rights reserved")


def test_files_of_earlier_versions_still_work(run, tmp_path):
    old = described_anew(run / "model.onnx", tmp_path / "old.onnx", lambda spec: spec.pop("origin"))
    assert i2i.load(old).spec.origin is None
    assert "exported from" not in run_i2i("info", old).stdout


def test_an_origin_cannot_be_forged_or_reach_the_terminal(run, tmp_path):
    content = (run / "model.onnx").read_bytes()
    (tmp_path / "forged.onnx").write_bytes(content.replace(b"A. Artist", b"B. Artist"))
    with pytest.raises(ModelError, match="sha256"):
        i2i.load(tmp_path / "forged.onnx")
    ringing = described_anew(
        run / "model.onnx", tmp_path / "m.onnx", lambda spec: spec["origin"].update(author="A\x1b[2J")
    )
    with pytest.raises(ModelError, match="description"):
        i2i.load(ringing)


def test_what_is_unknown_is_left_out(run, tmp_path):
    lineart = find_shipped("lineart")
    assert origin_of("lineart", ExportOptions("m.onnx")).model_dump(exclude_none=True) == {
        "name": "lineart",
        "licence": "MIT, as i2i",
    }
    assert origin_of(lineart, ExportOptions("m.onnx", licence="mit")).licence == "mit"
    shutil.copy(run / "model.safetensors", tmp_path)
    for facts in ("{", "[]", '{"sessions": [3], "data_sha256": 3}', '{"sessions": [{"date": "x"}]}'):
        (tmp_path / "run.json").write_text(facts, encoding="utf-8")
        origin = origin_of(tmp_path, ExportOptions("m.onnx"))
        assert (origin.name, origin.date, origin.data_sha256) == (tmp_path.name, None, None)
    assert name_of("hf://anna/lineart@v2") == "lineart"


@pytest.mark.parametrize("words", ["", "two\nlines", "x" * 257])
def test_a_licence_is_one_line(words):
    for name in ("licence", "author"):
        with pytest.raises(UsageError, match=f"--{name}"):
            ExportOptions("m.onnx", **{name: words})
