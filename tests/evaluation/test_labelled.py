"""Models that translate to labels are scored with the label of each picture, or with one for all."""

import csv
import json

import numpy as np
import pytest

import i2i
from i2i.config import load_config
from i2i.data.folders import find_pairs
from i2i.data.items import read_pair
from i2i.errors import ConfigError, DataError, UsageError
from i2i.evaluation import evaluate_pairs, evaluate_translations, make_ruler
from i2i.evaluation.labelled import OWN
from i2i.images import write_image
from i2i.metrics.pairs import l1
from tests.cli.test_cli import call
from tests.conftest import LINEART, picture, save

KINDS = [("bag", "red"), ("shoe", "blue"), ("bag", "grey"), ("shoe", "red")]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Twelve test pairs, each with a thing and a colour."""
    root = tmp_path_factory.mktemp("things")
    rows = ["name,thing,colour"]
    for place, pair in enumerate(find_pairs([str(LINEART)], "test")[:12]):
        for side, array in zip("AB", read_pair(pair), strict=True):
            write_image(root / f"test{side}" / f"{place:02}.png", array)
        rows.append(f"{place:02}.png,{','.join(KINDS[place % 4])}")
    (root / "labels.csv").write_text("\n".join(rows))
    return root


@pytest.fixture
def run(labelled_model, data, tmp_path):
    """A run folder of a model with labels, whose settings name data and labels."""
    config = load_config("modern", [f"data.path={data}", f"data.labels={data}/labels.csv"])
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").write_text(json.dumps(config.model_dump(mode="json")))
    (tmp_path / "run" / "model.safetensors").write_bytes(labelled_model.read_bytes())
    return tmp_path / "run"


def by_hand(model, data, kinds=KINDS):
    """The L1 of each pair, translated to the classes of its row."""
    scores = []
    for place, pair in enumerate(find_pairs([str(data)], "test")):
        translator = i2i.Translator.open(model, labels=kinds[place % len(kinds)], device="cpu")
        x, y = read_pair(pair)
        scores.append(l1(translator.translate(x), y))
    return scores


def test_each_pair_is_scored_with_its_own_labels(labelled_model, data):
    result = evaluate_pairs(
        labelled_model, str(data), device="cpu", metrics=["l1"], table=str(data / "labels.csv"), worst=True
    )
    own, one = by_hand(labelled_model, data), by_hand(labelled_model, data, [("bag", "red")])
    assert [row["l1"] for row in result.rows] == pytest.approx(own)
    assert np.abs(np.subtract(own, one)).max() > 0.1  # or the labels would change nothing
    assert result.to_json()["labels"] == [OWN]
    alike = evaluate_pairs(labelled_model, str(data), device="cpu", metrics=["l1"], labels=["bag", "red"])
    assert [row["l1"] for row in alike.rows] == pytest.approx(one)
    assert alike.labels == ("thing=bag", "colour=red")


def test_subfolders_are_labels_too(labelled_model, tmp_path):
    """For a model of one label set; this one has two, so that its folders lack the other."""
    for side in "AB":
        save(tmp_path / f"test{side}" / "bag" / "x.png", 32, 32)
    with pytest.raises(ConfigError, match="colour, thing"):
        evaluate_pairs(labelled_model, str(tmp_path), device="cpu", table="folders")


def test_a_run_knows_the_labels_of_its_data(run, data, tmp_path, capsys):
    assert call("evaluate", "-m", str(run), "--rows", str(tmp_path / "r.csv"), "--device", "cpu") == 0
    assert OWN in " ".join(capsys.readouterr().out.split())
    with (tmp_path / "r.csv").open() as file:
        found = [float(row["l1"]) for row in csv.DictReader(file)]
    assert found == pytest.approx(by_hand(run, data))


def test_sets_are_translated_with_their_own_labels(labelled_model, data, monkeypatch, tmp_path):
    monkeypatch.setenv("I2I_WEIGHTS", str(tmp_path / "weights"))
    ruler, table = make_ruler("random"), str(data / "labels.csv")
    own = evaluate_translations(labelled_model, str(data), device="cpu", ruler=ruler, table=table)
    one = evaluate_translations(labelled_model, str(data), device="cpu", ruler=ruler, labels=["bag", "red"])
    assert (own.labels, one.labels) == ((OWN,), ("thing=bag", "colour=red"))
    assert own.model.scores["kid"] != one.model.scores["kid"]


def test_labels_that_are_missing_or_of_no_use_are_named(labelled_model, data, tiny_run, few_pairs, tmp_path):
    with pytest.raises(UsageError, match="--labels"):
        evaluate_pairs(labelled_model, str(data), device="cpu")
    with pytest.raises(UsageError, match="--label gives"):
        evaluate_pairs(labelled_model, str(data), device="cpu", labels=["bag", "red"], table=str(data / "labels.csv"))
    with pytest.raises(UsageError, match="without labels"):
        evaluate_pairs(tiny_run, str(few_pairs), device="cpu", table="folders")
    table = (data / "labels.csv").read_text()
    (tmp_path / "l.csv").write_text(table.replace("03.png,shoe", "03.png,hat"))
    with pytest.raises(DataError, match="hat"):
        evaluate_pairs(labelled_model, str(data), device="cpu", table=str(tmp_path / "l.csv"))
    (tmp_path / "l.csv").write_text("\n".join(table.splitlines()[:-1]))
    with pytest.raises(DataError, match="11"):
        evaluate_pairs(labelled_model, str(data), device="cpu", table=str(tmp_path / "l.csv"))


def test_a_picture_alone_needs_a_label_as_before(labelled_model):
    with pytest.raises(UsageError, match="--label"):
        i2i.Translator.open(labelled_model, device="cpu")
    translator = i2i.Translator.open(labelled_model, device="cpu", labels=["shoe", "grey"])
    assert translator.translate(picture(32, 32)).shape == (32, 32, 3)
