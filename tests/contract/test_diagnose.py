"""Every algorithm can be examined: each illness is measured, or a reason says why not."""

import json
import re
import shutil

import pytest
from click.testing import CliRunner

import i2i
from i2i.cli import cli
from i2i.diagnosis import DIAGNOSIS, ILLNESSES, diagnose, speed
from tests.conftest import SMALLEST, smallest_config

DIAGNOSABLE = ["schedule.images=48", "log.checkpoint_every_images=48"]
"""Just long enough for every illness that shows in its course."""


@pytest.fixture(autouse=True)
def brief(monkeypatch):
    """Of how long a training waits for its data, only whether it is measured matters here, and not how exactly."""
    monkeypatch.setattr(speed, "_ROUNDS", 2)


@pytest.mark.parametrize("kind", list(SMALLEST))
def test_every_algorithm_can_be_examined(few_pairs, tmp_path, kind):
    i2i.train(smallest_config(kind, few_pairs, *DIAGNOSABLE), tmp_path)
    result = diagnose(tmp_path, 4, "cpu")
    assert {*result.where, *result.not_measured} == set(ILLNESSES)
    assert all(result.not_measured.values())
    assert {"non-finite values", "data-bound"} <= set(result.where)
    written = json.loads((tmp_path / DIAGNOSIS).read_text())
    assert written == [one._asdict() for one in result.found]


@pytest.mark.parametrize("kind", ["pix2pix", "cyclegan", "conditional_gan"])
def test_runs_with_labels_are_examined_as_others(few_pairs, tmp_path, kind):
    """Their networks get the labels of the pictures, also those of a class that val has once, or not at all."""
    shutil.copytree(few_pairs, tmp_path / "data")
    (tmp_path / "data" / "labels.csv").write_text(  # of three val pictures, two are round and one is tall
        re.sub(r"(?m),flat$", ",round", (few_pairs / "labels.csv").read_text())
    )
    disjoint = ["data.disjoint=false"] if kind == "cyclegan" else []
    labels = [f"data.labels={tmp_path}/data/labels.csv", *DIAGNOSABLE, *disjoint]
    i2i.train(smallest_config(kind, tmp_path / "data", *labels), tmp_path / "run")
    result = diagnose(tmp_path / "run", 8, "cpu")
    known = {"model translates", "model makes", "no way back", "GPU", "batch norm", "points", "samples/"}
    known |= {"logit", "no upsampling stage", "3 are needed", "grey"}
    assert all(any(one in reason for one in known) for reason in result.not_measured.values()), result.not_measured
    assert ({"mode collapse"} if kind == "conditional_gan" else {"identity copied"}) <= set(result.where)
    assert ("steganography" in result.where) == (kind == "cyclegan")


@pytest.mark.parametrize("kind", ["pix2pix", "conditional_gan"])
def test_where_val_lacks_labels_training_pictures_are_examined(few_pairs, tmp_path, kind):
    """Only what needs unseen pictures is not measured, and says why; the control has labels for all."""
    table = (few_pairs / "labels.csv").read_text().splitlines()
    train = {path.name for path in (few_pairs / "train").iterdir()}
    of_train = [row for row in table if row.split(",")[0] in {"name", *train}]
    found = {}
    for name, rows in (("all", table), ("train", of_train)):
        (tmp_path / f"{name}.csv").write_text("\n".join(rows), encoding="utf-8")
        labels = [f"data.labels={tmp_path}/{name}.csv", *DIAGNOSABLE]
        i2i.train(smallest_config(kind, few_pairs, *labels), tmp_path / name)
        found[name] = diagnose(tmp_path / name, 8, "cpu")
    assert "of val" in found["all"].pictures
    assert "of train" in found["train"].pictures
    lost = {*found["all"].where} - {*found["train"].where} - {"oscillation"}  # which needs previews
    assert lost == {"discriminator overfits", *(["memorised pictures"] if kind == "pix2pix" else [])}
    assert all("train.csv" in found["train"].not_measured[name] for name in lost)


@pytest.mark.parametrize("missing", ["config.yaml", "metrics.jsonl", "model.safetensors", "checkpoints", "data"])
@pytest.mark.parametrize("damage", ["gone", "damaged"])
def test_what_is_missing_or_damaged_is_told(tiny_run, few_pairs, tmp_path, missing, damage):
    shutil.copytree(few_pairs, tmp_path / "data")
    shutil.copytree(tiny_run, tmp_path / "run")
    config = (tmp_path / "run" / "config.yaml").read_text().replace(str(few_pairs), str(tmp_path / "data"))
    (tmp_path / "run" / "config.yaml").write_text(config)
    path = tmp_path / ("data" if missing == "data" else f"run/{missing}")
    files = [one for one in path.rglob("*") if one.is_file()] if path.is_dir() else [path]
    for file in files:
        file.unlink() if damage == "gone" else file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    result = diagnose(tmp_path / "run", 4, "cpu")
    assert {*result.where, *result.not_measured} == set(ILLNESSES)
    assert result.not_measured


def test_what_a_folder_cannot_keep_is_printed_all_the_same(tiny_run, tmp_path):
    run = shutil.copytree(tiny_run, tmp_path / "run")
    (run / DIAGNOSIS).unlink(missing_ok=True)
    (run / DIAGNOSIS).mkdir()
    result = CliRunner().invoke(cli, ["diagnose", str(run), "--pictures", "4", "--device", "cpu"])
    assert result.exit_code == 0, result.output
    assert "identity copied" in result.stdout
    assert str(run) in result.stderr
    shutil.rmtree(run / DIAGNOSIS)
    assert str(run) not in CliRunner().invoke(cli, ["diagnose", str(run), "--device", "cpu"]).stderr
