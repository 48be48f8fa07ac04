"""Model cards: what a run's files say, with the header that hubs read, and nothing a stranger can inject."""

import json
import re
import shlex
import shutil
from pathlib import Path

import pytest
import yaml

from i2i.errors import UsageError
from i2i.report.card import Naming, model_card
from i2i.report.record import read_run
from i2i.report.scores import keep_scores
from i2i.report.sections import facts_of
from tests.conftest import run_i2i, save
from tests.evaluation.test_comparing import PAIRS


def header_of(card):
    return yaml.safe_load(card.split("---\n")[1])


@pytest.fixture
def run(tiny_run, tmp_path):
    shutil.copytree(tiny_run, tmp_path / "run")
    return tmp_path / "run"


def test_a_card_says_what_the_run_says(run):
    before = model_card(read_run(run), Naming("My model", "run"))
    assert "never scored" in before
    keep_scores(run, PAIRS)
    card = model_card(read_run(run), Naming("My model", "hf://anna/mine", "mit", "A. Artist", "preview.png"))
    assert header_of(card) == {
        "library_name": "i2i",
        "pipeline_tag": "image-to-image",
        "license": "mit",
        "authors": ["A. Artist"],
        "tags": ["i2i", "pix2pix", "gan"],
        "metrics": list(PAIRS["model"]),
    }
    assert "metrics" not in header_of(before)
    assert ("[train,hub]" in card, "[train,hub]" in before) == (True, False)
    assert "# My model\n" in card
    assert "![Samples](preview.png)" in card
    assert "i2i translate photo.png -m hf://anna/mine -o" in card
    assert "never scored" not in card
    assert f"{PAIRS['model']['l1']:.1f}" in card
    digest = json.loads((run / "run.json").read_text())["data_sha256"]
    assert digest in card
    (data,) = read_run(run).setting("data.path")  # which tells of the machine, but for its last folder
    assert Path(data).name in card
    assert str(Path(data).parent) not in card
    assert str(Path(data).parent) in facts_of(read_run(run))["Data"]


def test_the_commands_on_a_card_run(run, noise_model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "photo.png", 20, 20)
    for folder in (run, noise_model.parent):
        card = model_card(read_run(folder), Naming("x", str(folder)))
        (line,) = re.findall(r"^i2i .*", card, re.MULTILINE)
        done = run_i2i(*shlex.split(line)[1:])
        assert done.returncode == 0, done.stderr
        (code,) = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
        exec(compile(code, "card", "exec"), {})
    assert (tmp_path / "translated.png").exists()


def test_a_card_of_noise_says_how_to_generate(noise_model):
    card = model_card(read_run(noise_model.parent), Naming("Faces", "faces"))
    assert header_of(card)["pipeline_tag"] == "unconditional-image-generation"
    assert "i2i generate -m faces" in card


def test_text_of_files_is_no_markup(run):
    rows = (run / "metrics.jsonl").read_text()
    row = {"images": 16, "seconds": 1.0, "split": "warning", "text": "![x](http://e.x/p.png)\n# big <script>"}
    (run / "metrics.jsonl").write_text(rows + json.dumps(row) + "\n")
    card = model_card(read_run(run), Naming("a | b\n# c", "run"))
    assert "![x]" not in card
    assert "\n# big" not in card
    assert "<script>" not in card
    assert "# a \\| b # c\n" in card


def test_what_is_wrong_is_refused(run):
    with pytest.raises(UsageError, match="apache"):
        model_card(read_run(run), Naming("x", "run", licence="Apache 2: all"))
    (run / "model.safetensors").unlink()
    with pytest.raises(UsageError, match="resume"):
        model_card(read_run(run), Naming("x", "run"))


def test_the_command_prints_or_writes_it(run, tmp_path):
    printed = run_i2i("card", run)
    assert printed.stdout.startswith("---\nlibrary_name: i2i\n")
    written = run_i2i("card", run, "-o", tmp_path / "CARD.md")
    assert (written.returncode, (tmp_path / "CARD.md").read_text()) == (0, printed.stdout)
    assert run_i2i("card", run, "-o", tmp_path / "CARD.md").returncode == 2
    assert run_i2i("card", tmp_path).returncode == 2
