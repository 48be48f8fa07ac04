"""train.keep best, and the rows for TensorBoard."""

import re
import shutil
import signal

import pytest

import i2i
from i2i.data import previews
from i2i.data.items import read_pair
from i2i.errors import ConfigError, DataError, Stopped, UsageError
from i2i.files import read_json_lines
from i2i.models.modelfile import read_spec
from i2i.training import validation
from i2i.training.checkpoint import list_checkpoints, load_checkpoint
from i2i.training.log import BestEffort, MetricsLog
from tests.conftest import smallest_config, tiny_config

BEST = ("train.keep=best", "log.samples_every_images=4")


@pytest.fixture
def known_scores(monkeypatch):
    """An L1 on val that is lowest after 8 of the 16 images."""

    def score_val(run, engine, images, count):
        run.scores = {"L1": {4: 9.0, 8: 5.0, 12: 7.0, 16: 6.0}[images]}
        return {"L1.B2A": run.scores["L1"]}

    monkeypatch.setattr(validation, "score_val", score_val)


def test_the_best_model_is_kept_also_across_a_stop(tmp_path, few_pairs, known_scores):
    i2i.train(tiny_config(*BEST, data=few_pairs), tmp_path / "run")
    i2i.train(tiny_config(*BEST, "train.keep=latest", data=few_pairs), tmp_path / "latest")
    spec = read_spec(tmp_path / "run" / "model.safetensors")
    assert (spec.images_seen, spec.metrics) == (8, {"L1": 5.0})
    assert read_spec(tmp_path / "latest" / "model.safetensors").images_seen == 16
    straight = (tmp_path / "run" / "model.safetensors").read_bytes()
    list_checkpoints(tmp_path / "run" / "checkpoints")[-1].unlink()  # as if killed before the end
    i2i.train(tiny_config(*BEST, data=few_pairs), tmp_path / "run", resume=True)
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == straight


def test_the_best_is_that_of_all_val_pairs_at_the_scale_of_training(tmp_path, few_pairs, few_scaled, capsys):
    model = i2i.train(tiny_config(*BEST, "log.sample_count=1", data=few_pairs), tmp_path / "run")
    spec = read_spec(model)
    rows = [row for row in read_json_lines(tmp_path / "run" / "metrics.jsonl") if row["split"] == "val"]
    (best,) = [row for row in rows if row["images"] == spec.images_seen]
    assert best["L1.B2A"] == min(row["L1.B2A"] for row in rows)
    scored = i2i.evaluate(model, str(few_scaled), "val").model["l1"]
    assert scored == pytest.approx(spec.metrics["val, L1.B2A"], rel=1e-5)
    assert spec.metrics["val previews, L1.B2A"] != spec.metrics["val, L1.B2A"]
    assert capsys.readouterr().err.count("scoring 3 val pairs took") == 1


@pytest.mark.parametrize("images", [8, 16])  # in the middle, and at the end
def test_a_stop_is_heard_between_two_val_pairs_and_they_are_scored_on_resuming(
    tmp_path, few_pairs, monkeypatch, images
):
    """Scoring hundreds takes minutes, and a scheduler may wait only 30 s before killing."""
    config = tiny_config(*BEST, data=few_pairs)
    i2i.train(config, tmp_path / "straight")
    reads: list[int] = []

    def read(pair, value_range):
        reads.append(1)
        if len(reads) == 1 + 3 * (images // 4 - 1):  # the first of three
            signal.raise_signal(signal.SIGTERM)
        return read_pair(pair)

    with monkeypatch.context() as patch:
        patch.setattr(validation, "read_pair", read)
        # In the training's own thread, where Python runs handlers; from a reader's thread it may arrive a little later.
        patch.setattr(validation, "watched", lambda call, items, timeout_s: [call(item) for item in items])
        with pytest.raises(Stopped) as stopped:
            i2i.train(config, tmp_path / "run")
    assert (stopped.value.images, len(reads)) == (images, 1 + 3 * (images // 4 - 1))
    i2i.train(config, tmp_path / "run", resume=True)
    rows = [
        [
            {key: row[key] for key in row if key != "seconds"}
            for row in read_json_lines(tmp_path / run / "metrics.jsonl")
        ]
        for run in ("straight", "run")
    ]
    assert rows[0] == rows[1]
    models = [(tmp_path / run / "model.safetensors").read_bytes() for run in ("straight", "run")]
    assert models[0] == models[1]
    ends = [load_checkpoint(list_checkpoints(tmp_path / run / "checkpoints")[-1]) for run in ("straight", "run")]
    assert [(end["best"], end["unscored"]) for end in ends] == [(ends[0]["best"], False)] * 2


def test_a_val_pair_that_vanishes_costs_its_score_only(tmp_path, few_pairs, monkeypatch):
    def read(pair, value_range):
        raise DataError("gone")

    monkeypatch.setattr(validation, "read_pair", read)
    i2i.train(tiny_config(*BEST, data=few_pairs), tmp_path / "run")
    rows = read_json_lines(tmp_path / "run" / "metrics.jsonl")
    assert [row["images"] for row in rows if row["split"] == "val previews"] == [4, 8, 12, 16]
    (warning,) = {row["text"] for row in rows if row["split"] == "warning"}
    assert re.search(r"\bval\b.*: gone", warning)


def test_val_pairs_are_from_all_over_a_large_split(few_pairs, monkeypatch):
    monkeypatch.setattr(previews, "MOST_SCORED", 2)
    names = [path.stem for path in sorted((few_pairs / "val").iterdir())]
    assert [pair.name for pair in previews.find_val_pairs(tiny_config(data=few_pairs).data)] == [names[0], names[-1]]


def test_a_best_model_that_is_lost_is_told_and_replaced(tmp_path, few_pairs, known_scores, capsys):
    i2i.train(tiny_config(*BEST, data=few_pairs), tmp_path)
    list_checkpoints(tmp_path / "checkpoints")[-1].unlink()
    (tmp_path / "model.safetensors").unlink()
    i2i.train(tiny_config(*BEST, data=few_pairs), tmp_path, resume=True)
    assert "model.safetensors" in capsys.readouterr().err
    assert read_spec(tmp_path / "model.safetensors").images_seen == 16


def test_the_best_needs_val_pairs(tmp_path, few_pairs):
    shutil.copytree(few_pairs / "train", tmp_path / "D" / "train")
    for config in (tiny_config(*BEST, data=tmp_path / "D"), smallest_config("gan", few_pairs, *BEST)):
        with pytest.raises(ConfigError, match="val"):
            i2i.train(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_tensorboard_must_be_there(tmp_path, few_pairs, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"i2i\[tensorboard\]"):
        i2i.train(tiny_config("log.tensorboard=true", data=few_pairs), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_tensorboard_gets_the_rows_of_the_log(tmp_path, few_pairs, capsys):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    i2i.train(tiny_config("log.tensorboard=true", data=few_pairs), tmp_path / "run")
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    events.Reload()
    rows = read_json_lines(tmp_path / "run" / "metrics.jsonl")
    for split, name in (("train", "G_L1"), ("val previews", "L1.B2A")):
        written = [(one.step, one.value) for one in events.Scalars(f"{split}/{name}")]
        logged = [(row["images"], row[name]) for row in rows if row["split"] == split]
        assert written == [(step, pytest.approx(value)) for step, value in logged]
    log = MetricsLog(tmp_path / "run" / "metrics.jsonl", 16, BestEffort(), tensorboard=True)
    shutil.rmtree(tmp_path / "run" / "tensorboard")
    for images in (20, 24):
        log.write(images, 1.0, "train", {"G_L1": 1.0})
    assert capsys.readouterr().err.count("Warning: tensorboard ") == 1
    assert read_json_lines(tmp_path / "run" / "metrics.jsonl")[-1]["images"] == 24
