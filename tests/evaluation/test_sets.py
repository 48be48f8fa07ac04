"""Comparing whole sets: worse pictures score worse, and every figure says what it was measured with."""

import json
import shutil

import cv2
import numpy as np
import pytest

from i2i.data.folders import find_pairs, find_sides
from i2i.data.items import read_picture
from i2i.errors import DataError, ModelError, UsageError
from i2i.evaluation import evaluate_samples, evaluate_translations, make_ruler, refuse_incomparable
from i2i.evaluation import ruler as module
from i2i.evaluation.baselines import fit_colour_map
from i2i.evaluation.ruler import reference_features
from i2i.evaluation.sets import evaluate_sets
from i2i.images import write_image
from i2i.runtime.fit import Fit
from tests.cli.test_cli import call
from tests.conftest import LINEART, MAPS, save


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    """No weights and an empty cache, so that random filters measure."""
    monkeypatch.setenv("I2I_WEIGHTS", str(tmp_path_factory.mktemp("cache") / "weights"))


@pytest.fixture(scope="module")
def photos():
    """Forty shipped photographs, and forty others."""
    a, _ = find_sides([str(MAPS)], "train")
    return a[:80:2], a[1:80:2]


def test_worse_pictures_score_worse_and_the_real_ones_best(photos):
    reference, others = photos
    noise = np.random.default_rng(0)

    def made(change):
        return [lambda one=one: change(read_picture(one)) for one in others]

    def noisy(picture):
        return np.clip(picture + noise.normal(0, 60, picture.shape), 0, 255).astype(np.uint8)

    ruler = make_ruler("random")
    real, blurred, spoilt = (
        evaluate_sets("test", made(change), reference, ruler, others)
        for change in (lambda x: x, lambda x: cv2.GaussianBlur(x, (0, 0), 2), noisy)
    )
    for name in ("kid", "frechet", "sliced_wasserstein"):
        assert real.model.scores[name] < blurred.model.scores[name] < spoilt.model.scores[name], name
    assert real.model.scores == real.baselines["real"].scores  # the same pictures
    low, high = spoilt.model.kid_interval
    assert low <= spoilt.model.scores["kid"] <= high


def test_a_model_that_lost_to_a_trivial_answer_is_told_so(photos):
    """The inputs are photographs: noise is further from others than they are, and the inputs themselves are not."""
    reference, inputs = photos
    noise = np.random.default_rng(0)

    def scored(change):
        made = [lambda one=one: change(read_picture(one)) for one in inputs]
        return evaluate_sets("test", made, reference, make_ruler("random"), inputs=inputs)

    good = scored(lambda x: x)
    bad = scored(lambda x: np.clip(x + noise.normal(0, 90, x.shape), 0, 255).astype(np.uint8))
    assert any("lost" in note and "input copied (KID" in note for note in bad.notes)
    assert not any("lost" in note and "input copied" in note for note in good.notes)


def test_without_other_pictures_one_half_of_the_real_ones_stands_beside_the_model(photos):
    reference, _ = photos
    noisy = [lambda one=one: 255 - read_picture(one) for one in reference]
    result = evaluate_sets("test", noisy, reference, make_ruler("random"))
    half, blurred = result.baselines["real"], result.baselines["real_blurred"]
    assert (half.made, half.real) == (blurred.made, blurred.real) == (20, 20)
    assert half.kid_interval[0] < 0 < half.kid_interval[1]  # equal sets
    assert half.scores != blurred.scores
    assert max(half.scores["kid"], blurred.scores["kid"]) < result.model.scores["kid"] / 2


def test_figures_name_what_they_were_measured_with(photos, monkeypatch):
    reference, others = photos
    made = [lambda one=one: read_picture(one) for one in others]
    first = evaluate_sets("test", made, reference, make_ruler("random")).to_json()
    assert (first["network"], first["mode"], first["real"], first["weights_sha256"]) == ("random", "clean", 40, "")
    assert "fid" not in first["model"]["scores"]
    refuse_incomparable(first, first)
    for ruler, pictures, name in (
        (make_ruler("random", "legacy"), reference, "mode"),
        (make_ruler("random"), reference[:-1], "real"),
        (make_ruler("random"), others, "reference_sha256"),
    ):
        with pytest.raises(UsageError, match=name):
            refuse_incomparable(first, evaluate_sets("test", made, pictures, ruler).to_json())


def test_features_of_a_reference_are_computed_once(photos, monkeypatch):
    reference, _ = photos
    ruler = make_ruler("random")
    sha256, found = reference_features(reference, ruler, None)
    monkeypatch.setattr(module, "features", lambda *_: pytest.fail("computed again"))
    again, cached = reference_features(reference, ruler, None)
    assert again == sha256
    np.testing.assert_array_equal(cached, found)
    (file,) = (module.weights.folder().parent / "features").iterdir()
    file.write_bytes(b"cut")
    monkeypatch.undo()


def test_rulers_are_named_or_refused():
    assert make_ruler().network == "random"  # nothing else is available here
    with pytest.raises(ModelError, match="i2i weights get inception"):
        make_ruler("inception")
    with pytest.raises(UsageError, match="nonsense"):
        make_ruler("nonsense")
    with pytest.raises(UsageError, match="nonsense"):
        make_ruler("random", "nonsense")


def test_few_pictures_are_refused(photos):
    reference, _ = photos
    with pytest.raises(DataError, match="10"):
        evaluate_sets("test", [lambda: read_picture(reference[0])] * 9, reference, make_ruler("random"))


def test_a_colour_map_gives_the_mean_and_covariance_of_the_target():
    random = np.random.default_rng(0)
    source = random.normal(128, 20, (4, 60, 60, 3)).clip(0, 255).astype(np.uint8)
    mixed = random.normal(0, 1, (4, 60, 60, 3)) @ np.array([[15, 5, 0], [0, 12, 4], [3, 0, 18]]) + [90, 140, 120]
    target = mixed.clip(0, 255).astype(np.uint8)
    apply = fit_colour_map(iter(source), iter(target))
    mapped = np.stack([apply(one) for one in source]).reshape(-1, 3).astype(float)
    flat = target.reshape(-1, 3).astype(float)
    np.testing.assert_allclose(mapped.mean(axis=0), flat.mean(axis=0), atol=0.5)
    np.testing.assert_allclose(np.cov(mapped.T), np.cov(flat.T), rtol=0.05, atol=5)


@pytest.fixture(scope="module")
def unpaired(tmp_path_factory):
    """Sixteen pictures of each side whose names do not match."""
    root = tmp_path_factory.mktemp("unpaired")
    for place, pair in enumerate(find_pairs([str(LINEART)], "test")[:16]):
        for side in "AB":
            write_image(root / f"test{side}" / f"{side}{place}.png", read_picture(pair.side(side)))
    return root


def test_pictures_without_partners_are_compared_as_sets(two_way_run, unpaired, tmp_path, capsys):
    words = ["evaluate", "-m", two_way_run, "--data", unpaired]
    assert call(*map(str, words)) == 0, capsys.readouterr().err
    said = capsys.readouterr()
    for word in ("KID", "random features of 8-bit RGB, clean", "A2B: translations", "B2A: translations"):
        assert word in said.out
    assert "biased" in said.err
    assert call(*map(str, words), "--json") == 0
    both = json.loads(capsys.readouterr().out)["result"]["scores"]
    assert [scores["direction"] for scores in both] == ["A2B", "B2A"]
    assert both[0]["reference_sha256"] != both[1]["reference_sha256"]
    for scores in both:
        assert set(scores["baselines"]) == {"input_copied", "colour_map"}  # 16 real ones are too few to halve
        assert scores["model"]["made"] == scores["model"]["real"] == scores["real"] == 16
        assert scores["cycle_l1"] != scores["cycle_l1_unrounded"]
        assert scores["cycle_l1"] == pytest.approx(scores["cycle_l1_unrounded"], abs=1)
    assert call(*map(str, words), "--rows", str(tmp_path / "rows.csv")) == 2  # as pairs have


def test_pairs_are_compared_as_sets_if_asked(tiny_run, unpaired):
    result = evaluate_translations(tiny_run, str(unpaired), "test", ruler=make_ruler("random"))
    assert result.what.startswith("B2A")
    assert result.model.made == 16


def test_another_scale_is_mentioned_for_sets_too(two_way_run, noise_model, unpaired):
    """Trained at 18 px, samples of 32 px; these pictures have 64."""
    for fit, told in ((Fit(), True), (Fit("resize"), False)):
        result = evaluate_translations(two_way_run, str(unpaired), "test", "A2B", ruler=make_ruler("random"), fit=fit)
        assert any("scale of training" in note for note in result.notes) == told
    samples = evaluate_samples(noise_model, str(unpaired / "testB"), count=12, ruler=make_ruler("random"))
    assert any("64 px" in note and "32 px" in note for note in samples.notes)


def test_samples_are_compared_with_a_folder(noise_model, unpaired, capsys):
    result = evaluate_samples(noise_model, str(unpaired / "testB"), count=12, ruler=make_ruler("random"))
    assert (result.model.made, result.real) == (12, 16)
    words = ["evaluate", "-m", noise_model, "--data", unpaired, "--side", "B", "--network", "random"]
    assert call(*map(str, words)) == 0, capsys.readouterr().err
    assert "samples" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "code", "name"),
    [
        ("-m noise --data unpaired", 2, "--side A"),
        ("-m noise --data unpaired --side B --fit resize", 2, "--fit"),
        ("-m noise --data unpaired --side B --sets", 2, "--sets"),
        ("-m noise --data unpaired --side B --rows r.csv", 2, "--rows"),
        ("-m noise --data one", 1, "10"),
        ("-m noise --data empty", 1, "empty"),
        ("-m both --data empty", 1, "testA"),
        ("-m both --data one_of_each", 1, "same name"),
        ("-m both --data broken", 1, "A3.png"),
        ("-m both --data broken", 1, "B4.png"),
        ("-m both --data unpaired --rows file/r.csv", 2, "file"),
        ("-m both --data unpaired --count 12", 2, "--count"),
        ("-m both --data pairs --network random", 2, "--network"),
        ("-m both --data pairs --mode legacy", 2, "--mode"),
    ],
)
def test_what_cannot_be_compared_is_named(words, code, name, two_way_run, noise_model, unpaired, tmp_path, capsys):
    """And leaves no file; broken files of both sides are named at once."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("a file", encoding="utf-8")
    shutil.copytree(unpaired, tmp_path / "broken")
    for file in ("testA/A3.png", "testB/B4.png"):
        (tmp_path / "broken" / file).write_bytes(b"no picture")
    for folder in ("one", "one_of_each/testA", "pairs/testA", "pairs/testB"):
        save(tmp_path / folder / "a.png", 20, 20)
    save(tmp_path / "one_of_each" / "testB" / "b.png", 20, 20)
    places = {"noise": noise_model, "both": two_way_run, "unpaired": unpaired, "r.csv": tmp_path / "r.csv"}
    before = sorted(tmp_path.rglob("*"))
    line = [str(places.get(word, word)) for word in words.split()]
    line = [str(tmp_path / word) if (tmp_path / word.split("/")[0]).exists() else word for word in line]
    assert call("evaluate", *line) == code
    said = capsys.readouterr()
    assert name in said.err
    assert said.out == ""
    assert sorted(tmp_path.rglob("*")) == before


def test_sets_of_many_sizes_fit_a_narrow_terminal(two_way_run, tmp_path, capsys):
    for number in range(20):
        for side in "AB":
            save(tmp_path / f"test{side}" / f"{side}{number}.png", 16 + number, 40 - number, seed=number)
    assert call("evaluate", "-m", str(two_way_run), "--data", str(tmp_path), "--direction", "A2B") == 0
    said = capsys.readouterr().out
    for title in ("KID x 1000 ↓", "precision ↑", "coverage ↑", "real", "copied"):
        assert title in said
    assert "…" not in said


def test_samples_say_which_pictures_they_were_compared_with(noise_model, unpaired, tmp_path):
    pictures = tmp_path / "flat"
    shutil.copytree(unpaired / "testB", pictures)
    whole = evaluate_samples(noise_model, str(pictures), ruler=make_ruler("random"))
    assert str(pictures) in whole.what
    shutil.copytree(unpaired / "testB", tmp_path / "trained" / "train")
    trained = evaluate_samples(noise_model, str(tmp_path / "trained"), ruler=make_ruler("random"))
    assert [sum("may have seen" in note for note in one.notes) for one in (whole, trained)] == [0, 1]


def test_a_single_pair_has_no_interval(two_way_run, tmp_path, capsys):
    for side in "AB":
        save(tmp_path / f"test{side}" / "a.png", 20, 20)
    assert call("evaluate", "-m", str(two_way_run), "--data", str(tmp_path)) == 0
    assert "nan" not in capsys.readouterr().out
