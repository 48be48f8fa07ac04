"""train.keep best: what decides, what is written, what is refused; and train.patience_images."""

import json
import re
import shutil
import signal

import numpy as np
import pytest

import i2i
from i2i.config.settings import BestBy
from i2i.data import previews
from i2i.data.items import read_masked_pair
from i2i.errors import ConfigError, DataError, Stopped
from i2i.evaluation import evaluate_pairs, evaluate_samples, make_ruler
from i2i.files import read_json_lines
from i2i.images import read_image, write_image
from i2i.metrics import METRICS, OF_LABELS, SET_METRICS
from i2i.metrics.intervals import interval, mean_draws
from i2i.models.modelfile import read_spec
from i2i.training import run as run_module
from i2i.training import scaled, scoring
from i2i.training.best import Best, Measure, ValScore, choose
from i2i.training.checkpoint import list_checkpoints, load_checkpoint
from tests.conftest import SMALLEST, smallest_config, tiny_config
from tests.training.test_engine import assert_equal_trees

BEST = ("train.keep=best", "log.samples_every_images=4")
L1 = Measure("l1", "these", "lower")
TIMES = {"seconds", "scoring_s", "scoring_share"}
ESTIMATE = 1 + 3  # pairs that are scored to tell the cost


def scored(value, spread=0.0, name="L1.B2A"):
    """A score whose draws are `spread` wide, the same for all values."""
    return ValScore(value, (value + spread * np.random.default_rng(0).normal(size=100)).tolist(), {name: value})


def timeless(run):
    """The rows of a run's log without what differs from one day to the next."""
    rows = read_json_lines(run / "metrics.jsonl")
    return [{key: row[key] for key in row if key not in TIMES} for row in rows]


@pytest.fixture
def known_scores(monkeypatch):
    """An L1 on val that is lowest after 8 of the 16 images."""

    def score(self, run, engine, images, count):
        return scored({4: 9.0, 8: 5.0, 12: 7.0, 16: 6.0}[images])

    monkeypatch.setattr(scoring.ValPairs, "score", score)


@pytest.fixture(scope="module")
def dozen(tmp_path_factory, few_pairs):
    """The few pairs with a dozen of val, enough to compare sets."""
    root = tmp_path_factory.mktemp("dozen")
    shutil.copytree(few_pairs, root, dirs_exist_ok=True)
    for place, path in enumerate(sorted((few_pairs / "val").iterdir()) * 4):
        write_image(root / "val" / f"{place:02d}.png", np.roll(read_image(path), place, axis=0))
        if place < 3:
            (root / "val" / path.name).unlink()
    names = sorted(path.name for path in root.rglob("*.png"))
    rows = [f"{name},{('round', 'flat', 'tall')[place % 3]}" for place, name in enumerate(names)]
    (root / "labels.csv").write_text("\n".join(["name,shape", *rows]), encoding="utf-8")
    return root


def test_the_interval_of_the_difference_decides():
    """Pictures that differ much and models that differ little: the intervals of the scores overlap, and it is clear."""
    random = np.random.default_rng(1)
    hard = random.normal(30, 10, 100)  # how hard each picture is

    def of(values):
        return ValScore(float(np.mean(values)), mean_draws(values).tolist(), {})

    first, worse = of(hard), of(hard + 1 + random.normal(0, 2, 100))
    assert interval(first.draws)[1] > interval(worse.draws)[0]
    best, _ = choose(None, 100, first, L1)
    assert choose(best, 200, worse, L1)[1].verdict == "worse"
    assert choose(best, 200, worse, L1._replace(better="higher"))[1].verdict == "better"
    kept, decision = choose(best, 200, worse, L1, "score")
    assert (decision.verdict, kept.images) == ("undecided", 200)


def test_intervals_of_scores_decide_once_they_are_apart():
    """From 10 to 11 and from 13 to 14: apart by 2, and 4 from end to end."""
    low, high = (ValScore(start + 0.5, np.linspace(start, start + 1, 1001).tolist(), {}) for start in (10, 13))
    best, _ = choose(None, 100, low, L1)
    kept, (verdict, gain, least, most) = choose(best, 200, high, L1, "score")
    assert (verdict, gain, kept.images) == ("worse", -3, 100)
    assert (least, most) == (pytest.approx(-3.95), pytest.approx(-2.05))
    touching = ValScore(11.4, np.linspace(10.9, 11.9, 1001).tolist(), {})
    assert choose(best, 200, touching, L1, "score")[1].verdict == "undecided"


def test_of_models_that_differ_by_noise_the_later_is_kept():
    """Control: where a real difference is added, most are decided; none would be by intervals that do not overlap."""
    random = np.random.default_rng(2)
    undecided, overlap = {0.0: 0, 1.0: 0}, 0
    for shift in undecided:
        for _ in range(200):
            hard = random.normal(30, 10, 50)
            noisy = [hard + random.normal(0, 2, 50) + extra for extra in (0.0, shift)]
            first, second = (ValScore(float(one.mean()), mean_draws(one).tolist(), {}) for one in noisy)
            best, (verdict, *_) = choose(choose(None, 100, first, L1)[0], 200, second, L1)
            undecided[shift] += verdict == "undecided"
            overlap += interval(first.draws)[1] > interval(second.draws)[0]
            assert (best.images == 200) == (verdict != "worse")
    assert 180 <= undecided[0.0] <= 198
    assert undecided[1.0] < 100
    assert overlap == 400


def test_small_steps_down_do_not_add_up():
    """Each score is undecided against the one before it, but from the third on they are worse than the best."""
    scores = [
        ValScore(value, (value + np.random.default_rng(seed).normal(size=1000)).tolist(), {})
        for seed, value in enumerate((10.0, 12.0, 14.0, 16.0))
    ]
    best, verdicts = None, []
    for place, score in enumerate(scores):
        best, (verdict, *_) = choose(best, 100 + 100 * place, score, L1)
        verdicts.append(verdict)
    assert verdicts == ["first", "undecided", "worse", "worse"]
    assert (best.images, best.score, best.top_images) == (200, 12.0, 100)
    after_12, _ = choose(None, 200, scores[1], L1)
    assert choose(after_12, 300, scores[2], L1)[1].verdict == "undecided"
    tied, (verdict, *_) = choose(choose(None, 100, scored(10.0), L1)[0], 200, scored(10.0), L1)
    assert (verdict, tied.images, tied.top_images) == ("undecided", 200, 100)


def test_the_best_of_an_earlier_version_goes_on():
    old = Best.model_validate({"images": 8, "L1": 5.0})
    assert old.is_of(L1)
    assert [choose(old, 12, scored(value), L1)[0].images for value in (4.0, 6.0)] == [12, 8]
    assert not old.is_of(L1._replace(by="ssim"))


@pytest.mark.parametrize("ema", [[], ["train.ema_half_life_images=8"]], ids=["plain", "ema"])
def test_the_model_file_holds_what_was_scored(tmp_path, few_pairs, few_scaled, capsys, ema):
    """All val pairs at the scale of training, not only the previews; and best.json says which model it is."""
    model = i2i.train(tiny_config(*BEST, *ema, "log.sample_count=1", data=few_pairs), tmp_path / "run")
    spec, best = read_spec(model), json.loads((tmp_path / "run" / "best.json").read_text(encoding="utf-8"))
    rows = [row for row in read_json_lines(tmp_path / "run" / "metrics.jsonl") if row["split"] == "val"]
    (row,) = [row for row in rows if row["images"] == spec.images_seen]
    assert (best["images"], best["by"]) == (spec.images_seen, "l1")
    assert best["score"] == pytest.approx(row["L1.B2A"], rel=1e-5)
    assert best["top"] == pytest.approx(min(row["L1.B2A"] for row in rows), rel=1e-5)
    assert rows[-1]["best_images"] == spec.images_seen
    result = evaluate_pairs(model, str(few_scaled), "val")
    assert result.model["l1"] == pytest.approx(spec.metrics["val, L1.B2A"], rel=1e-5)
    assert [row["low"], row["high"]] == pytest.approx(result.intervals["l1"], rel=1e-5)
    assert spec.metrics["val previews, L1.B2A"] != spec.metrics["val, L1.B2A"]
    assert 0 < rows[-1]["scoring_share"] < 1
    said = capsys.readouterr().err
    assert said.count("train.keep best: scoring 3 val pairs") == 1
    assert said.count("val L1 ↓") == 4


@pytest.mark.parametrize("kind", list(SMALLEST))
def test_every_algorithm_keeps_its_best(tmp_path, dozen, kind):
    config = smallest_config(kind, dozen, *BEST)
    if config.data.toy:
        with pytest.raises(ConfigError, match="val"):
            i2i.train(config, tmp_path)
        return
    spec = read_spec(i2i.train(config, tmp_path))
    best = json.loads((tmp_path / "best.json").read_text(encoding="utf-8"))
    generates = bool(spec.latent_generator)
    assert (best["images"], best["by"]) == (spec.images_seen, "kid_random" if generates else "l1")
    assert sum(name.startswith("val, ") for name in spec.metrics) == len(spec.parts) - bool(spec.encoder) - bool(
        spec.classifier
    )


@pytest.mark.parametrize("name", [*METRICS, *SET_METRICS])
def test_every_score_decides_or_is_refused_with_what_is_allowed(tmp_path, dozen, name):
    config = tiny_config(*BEST, f"train.best_by={name}", "schedule.images=8", "schedule.decay_images=0", data=dozen)
    file = METRICS[name].weights if name in METRICS else (SET_METRICS[name],) if name != "kid_random" else ()
    if file or name in ("ms_ssim", *OF_LABELS):
        with pytest.raises(ConfigError) as refused:
            i2i.train(config, tmp_path)
        words = (
            (name, "176 px", "l1, psnr, ssim") if name == "ms_ssim" else (name, *file, "l1, psnr, ssim", "kid_random")
        )
        assert all(word in str(refused.value) for word in words)
        assert not (tmp_path / "config.yaml").exists()
        return
    i2i.train(config, tmp_path)
    row = next(row for row in read_json_lines(tmp_path / "metrics.jsonl") if row["split"] == "val")
    label = METRICS[name].label if name in METRICS else "KID_random"
    assert row["low"] <= row[f"{label}.B2A"] <= row["high"]


def test_the_settings_name_every_score():
    assert BestBy.__args__ == (*METRICS, *SET_METRICS)


def test_kid_of_val_is_that_of_evaluate(tmp_path, dozen):
    """As sets, at the same scale, with the same features; control: of other pictures it is another."""
    config = smallest_config("gan", dozen, *BEST, "data.resize_px=64", "data.crop_px=64")
    model = i2i.train(config, tmp_path / "run")
    ruler = make_ruler("random")
    for place, path in enumerate(sorted((dozen / "val").iterdir())):
        own = read_image(path)[:, 64:]
        write_image(tmp_path / "D" / "val" / f"{place:02d}.png", own)
        write_image(tmp_path / "D" / "test" / f"{place:02d}.png", 255 - own)
    kid, other = (
        evaluate_samples(model, str(tmp_path / "D"), split, count=12, ruler=ruler).model.scores["kid"]
        for split in ("val", "test")
    )
    assert read_spec(model).metrics["val, KID_random.generate"] == pytest.approx(kid, rel=1e-4)
    assert other != pytest.approx(kid, rel=1e-2)


def test_pictures_without_partners_are_scored_as_sets(tmp_path, dozen):
    for split in ("train", "val"):
        for place, path in enumerate(sorted((dozen / split).iterdir())):
            both = read_image(path)
            write_image(tmp_path / "D" / f"{split}A" / f"a{place}.png", both[:, :64])
            write_image(tmp_path / "D" / f"{split}B" / f"b{place}.png", both[:, 64:])
    config = smallest_config("cyclegan", tmp_path / "D", "data.disjoint=false", *BEST)
    i2i.train(config, tmp_path / "run")
    row = next(row for row in read_json_lines(tmp_path / "run" / "metrics.jsonl") if row["split"] == "val")
    assert {"KID_random.A2B", "KID_random.B2A"} < set(row)
    with pytest.raises(ConfigError, match="kid_random"):
        i2i.train(
            smallest_config("cyclegan", tmp_path / "D", "data.disjoint=false", *BEST, "train.best_by=l1"),
            tmp_path / "other",
        )
    with pytest.raises(ConfigError, match="scored_pictures"):
        i2i.train(
            smallest_config("cyclegan", tmp_path / "D", "data.disjoint=false", *BEST, "train.scored_pictures=5"),
            tmp_path / "other",
        )
    assert not (tmp_path / "other").exists()


def test_the_best_model_is_kept_also_across_a_stop(tmp_path, few_pairs, known_scores):
    i2i.train(tiny_config(*BEST, data=few_pairs), tmp_path / "run")
    i2i.train(tiny_config(*BEST, "train.keep=latest", data=few_pairs), tmp_path / "latest")
    spec = read_spec(tmp_path / "run" / "model.safetensors")
    assert (spec.images_seen, spec.metrics["val, L1.B2A"]) == (8, 5.0)
    assert read_spec(tmp_path / "latest" / "model.safetensors").images_seen == 16
    straight = (tmp_path / "run" / "model.safetensors").read_bytes()
    list_checkpoints(tmp_path / "run" / "checkpoints")[-1].unlink()  # as if killed before the end
    i2i.train(tiny_config(*BEST, data=few_pairs), tmp_path / "run", resume=True)
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == straight


class Killed(BaseException):
    """In place of kill -9."""


@pytest.mark.parametrize("place", ["save_checkpoint", "_publish_best"])
@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_run_that_is_killed_between_the_best_model_and_its_checkpoint_decides_the_same(
    tmp_path, few_pairs, monkeypatch, place, number
):
    """Scores after 4, 8, 12 and 16 images; checkpoints after 8, 16; then all is as if nothing had happened."""
    config = tiny_config(*BEST, "log.checkpoint_every_images=4", data=few_pairs)
    i2i.train(config, tmp_path / "straight")
    calls: list[int] = []
    where = run_module.Run if place == "_publish_best" else run_module
    original = getattr(where, place)

    def killed(*args):
        calls.append(1)
        if len(calls) == number:
            raise Killed
        return original(*args)

    with monkeypatch.context() as patch:
        patch.setattr(where, place, killed)
        with pytest.raises(Killed):
            i2i.train(config, tmp_path / "run")
    i2i.train(config, tmp_path / "run", resume=True)
    assert timeless(tmp_path / "run") == timeless(tmp_path / "straight")
    for file in ("model.safetensors", "best.json"):
        assert (tmp_path / "run" / file).read_bytes() == (tmp_path / "straight" / file).read_bytes()
    ends = [load_checkpoint(list_checkpoints(tmp_path / run / "checkpoints")[-1]) for run in ("straight", "run")]
    assert ends[0]["best"] == ends[1]["best"]
    assert_equal_trees(*(end["stepper"] for end in ends))
    assert not (tmp_path / "run" / "checkpoints" / "best.safetensors").exists()


def test_a_model_that_lost_to_its_inputs_says_so_at_the_end(tmp_path, few_pairs, capsys):
    """After 16 images; control: where inputs are far from their targets, as negatives are, nothing is said."""
    for split in ("train", "val"):
        for path in (few_pairs / split).iterdir():
            both = read_image(path)
            write_image(tmp_path / "same" / split / path.name, np.concatenate([both[:, :64]] * 2, axis=1))
            light = np.full_like(both[:, :64], 160)
            write_image(tmp_path / "far" / split / path.name, np.concatenate([light, 0 * light], axis=1))
    for data, count in (("same", 1), ("far", 0)):
        i2i.train(tiny_config(data=tmp_path / data), tmp_path / f"{data}_run")
        assert capsys.readouterr().err.count("lost to input copied: on 2 val previews") == count


PATIENT = (*BEST, "train.patience_images=4")


def test_patience_ends_a_training_as_if_it_were_finished(tmp_path, few_pairs, known_scores, capsys):
    """Best after 8; with a patience of 4 images the score after 12 is the last one."""
    i2i.train(tiny_config(*PATIENT, data=few_pairs), tmp_path / "run")
    said = capsys.readouterr().err
    assert said.count("train.patience_images") == 1
    assert read_spec(tmp_path / "run" / "model.safetensors").images_seen == 8
    assert list_checkpoints(tmp_path / "run" / "checkpoints")[-1].stem == "000000012"
    assert not list((tmp_path / "run").rglob(".i2i-*"))
    i2i.train(tiny_config(*PATIENT, data=few_pairs), tmp_path / "run", resume=True)
    assert "already finished, after 12 images" in (said := capsys.readouterr().err)
    assert "train.patience_images" in said
    i2i.train(tiny_config(*BEST, data=few_pairs), tmp_path / "straight")
    i2i.train(tiny_config(*BEST, data=few_pairs), tmp_path / "run", resume=True)
    ends = [load_checkpoint(list_checkpoints(tmp_path / run / "checkpoints")[-1]) for run in ("straight", "run")]
    assert_equal_trees(*(end["stepper"] for end in ends))
    assert ends[0]["best"] == ends[1]["best"]


def test_patience_counts_from_the_last_score_also_after_a_stop(tmp_path, few_pairs, known_scores, monkeypatch):
    """A stop after the patience is over, but before the next score: that one is still made."""
    config = tiny_config(*BEST, "train.patience_images=6", "schedule.images=24", data=few_pairs)
    i2i.train(config, tmp_path / "straight")
    assert list_checkpoints(tmp_path / "straight" / "checkpoints")[-1].stem == "000000016"
    for images in ("000000008", "000000016"):
        shutil.copytree(tmp_path / "straight", tmp_path / images)
    list_checkpoints(tmp_path / "000000008" / "checkpoints")[-1].unlink()
    i2i.train(config, tmp_path / "000000008", resume=True)
    assert timeless(tmp_path / "000000008") == timeless(tmp_path / "straight")


@pytest.mark.parametrize("images", [8, 16])  # in the middle, and at the end
def test_a_stop_is_heard_between_two_val_pairs_and_they_are_scored_on_resuming(
    tmp_path, few_pairs, monkeypatch, images
):
    """Scoring hundreds takes minutes, and a scheduler may wait only 30 s before killing."""
    config = tiny_config(*BEST, data=few_pairs)
    i2i.train(config, tmp_path / "straight")
    reads: list[int] = []

    def read(pair):
        reads.append(1)
        if len(reads) == ESTIMATE + 1 + 3 * (images // 4 - 1):  # the first of three
            signal.raise_signal(signal.SIGTERM)
        return read_masked_pair(pair)

    with monkeypatch.context() as patch:
        patch.setattr(scaled, "read_masked_pair", read)
        # In the training's own thread, where Python runs handlers; from a reader's thread it may arrive a little later.
        patch.setattr(scaled, "watched", lambda call, items, timeout_s: [call(item) for item in items])
        with pytest.raises(Stopped) as stopped:
            i2i.train(config, tmp_path / "run")
    assert (stopped.value.images, len(reads)) == (images, ESTIMATE + 1 + 3 * (images // 4 - 1))
    i2i.train(config, tmp_path / "run", resume=True)
    assert timeless(tmp_path / "run") == timeless(tmp_path / "straight")
    models = [(tmp_path / run / "model.safetensors").read_bytes() for run in ("straight", "run")]
    assert models[0] == models[1]
    ends = [load_checkpoint(list_checkpoints(tmp_path / run / "checkpoints")[-1]) for run in ("straight", "run")]
    assert [(end["best"], end["unscored"]) for end in ends] == [(ends[0]["best"], False)] * 2


def test_a_val_pair_that_vanishes_costs_its_score_only(tmp_path, few_pairs, monkeypatch):
    def read(pair):
        raise DataError("gone")

    monkeypatch.setattr(scaled, "read_masked_pair", read)
    i2i.train(tiny_config(*BEST, data=few_pairs), tmp_path / "run")
    rows = read_json_lines(tmp_path / "run" / "metrics.jsonl")
    assert [row["images"] for row in rows if row["split"] == "val previews"] == [4, 8, 12, 16]
    (warning,) = {row["text"] for row in rows if row["split"] == "warning"}
    assert re.search(r"\bval\b.*: gone", warning)


def test_a_score_that_is_not_finite_is_told_and_not_kept(tmp_path, few_pairs, monkeypatch):
    monkeypatch.setattr(scoring.ValPairs, "score", lambda *args: scored(float("nan")))
    i2i.train(tiny_config(*BEST, data=few_pairs), tmp_path)
    texts = {row["text"] for row in read_json_lines(tmp_path / "metrics.jsonl") if row["split"] == "warning"}
    assert texts == {"val was not scored: its L1 is nan"}
    assert read_spec(tmp_path / "model.safetensors").images_seen == 16


def test_val_pairs_are_from_all_over_a_large_split(few_pairs):
    names = [path.stem for path in sorted((few_pairs / "val").iterdir())]
    assert [pair.name for pair in previews.find_val_pairs(tiny_config(data=few_pairs).data, 2)] == [names[0], names[-1]]


def test_a_best_model_that_is_lost_is_told_and_replaced(tmp_path, few_pairs, known_scores, capsys):
    i2i.train(tiny_config(*BEST, data=few_pairs), tmp_path)
    list_checkpoints(tmp_path / "checkpoints")[-1].unlink()
    (tmp_path / "model.safetensors").unlink()
    i2i.train(tiny_config(*BEST, data=few_pairs), tmp_path, resume=True)
    assert "model.safetensors" in capsys.readouterr().err
    assert read_spec(tmp_path / "model.safetensors").images_seen == 16


def test_a_best_by_another_score_is_decided_anew(tmp_path, few_pairs, capsys):
    i2i.train(tiny_config(*BEST, data=few_pairs), tmp_path)
    list_checkpoints(tmp_path / "checkpoints")[-1].unlink()
    i2i.train(tiny_config(*BEST, "train.best_by=ssim", data=few_pairs), tmp_path, resume=True)
    assert str(tmp_path / "model.safetensors") in capsys.readouterr().err
    assert json.loads((tmp_path / "best.json").read_text(encoding="utf-8"))["by"] == "ssim"


def test_the_best_needs_val_pairs(tmp_path, few_pairs):
    shutil.copytree(few_pairs / "train", tmp_path / "D" / "train")
    shutil.copytree(few_pairs / "train", tmp_path / "E" / "train")
    (tmp_path / "E" / "val").mkdir()
    shutil.copy(next((few_pairs / "val").iterdir()), tmp_path / "E" / "val")
    none, one = (tiny_config(*BEST, data=tmp_path / name) for name in "DE")
    with pytest.raises(ConfigError, match="patience_images"):
        i2i.train(tiny_config(*BEST, "train.patience_images=3", data=few_pairs), tmp_path / "run")
    for config in (none, one, smallest_config("gan", few_pairs, *BEST)):
        with pytest.raises(ConfigError, match="val"):
            i2i.train(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        (["train.best_by=ssim"], "train.keep=best"),
        (["train.patience_images=100"], "train.keep=best"),
        (["train.keep=best", "train.best_by=fid"], "kid_inception"),
        (["train.keep=best", "train.scored_pictures=1"], "train.scored_pictures"),
        (["train.keep=best", "train.patience=9"], "train.patience_images"),
    ],
)
def test_settings_without_effect_are_refused(changes, name):
    with pytest.raises(ConfigError, match=name):
        tiny_config(*changes)
