"""Scores: metrics by hand, baselines by the figures published with the data."""

import json

import numpy as np
import pytest

import i2i
from i2i.data.folders import find_pairs
from i2i.errors import DataError, UsageError
from i2i.evaluation import fit_baselines, sides
from i2i.metrics import METRICS
from i2i.metrics.pairs import PSNR_CEILING, l1, psnr, ssim
from tests.conftest import LINEART, picture, run_i2i, save


def test_metrics_by_hand():
    black, grey = np.zeros((16, 16, 3), np.uint8), np.full((16, 16, 3), 51, np.uint8)
    assert l1(black, grey) == 51
    assert psnr(black, grey) == pytest.approx(-20 * np.log10(0.2))
    assert psnr(grey, grey) == PSNR_CEILING
    # Two flat pictures: SSIM is (2 a b + c1) / (a^2 + b^2 + c1) with c1 = 0.01^2.
    assert ssim(black, grey) == pytest.approx(1e-4 / (0.04 + 1e-4), rel=1e-3)
    assert ssim(picture(32, 32), picture(32, 32)) == pytest.approx(1, abs=1e-5)


def test_metrics_take_every_kind_of_picture():
    for channels in (1, 3, 4):
        eight, sixteen = picture(24, 24, channels), picture(24, 24, channels).astype(np.uint16) * 257
        assert l1(eight, sixteen) == 0
        assert set(METRICS) == {"l1", "psnr", "ssim"}


@pytest.fixture(scope="module")
def copied(tiny_run):
    """The shipped test set, scored with a model that has learned next to nothing."""
    return i2i.evaluate(tiny_run, str(LINEART))


def test_baselines_are_the_published_figures(copied):
    """Input copied L1 70.9, PSNR 7.37, SSIM 0.393; mean of the training targets 92.1, 7.67, 0.156."""
    assert copied.pairs == 152
    for name, figures in {"input_copied": (70.9, 7.37, 0.393), "target_mean": (92.1, 7.67, 0.156)}.items():
        scores = copied.baselines[name]
        assert scores["l1"] == pytest.approx(figures[0], abs=0.05)
        assert scores["psnr"] == pytest.approx(figures[1], abs=0.005)
        assert scores["ssim"] == pytest.approx(figures[2], abs=0.0006)
    assert copied.baselines["affine_colour"]["l1"] < copied.baselines["target_mean"]["l1"]


def test_affine_colour_finds_an_affine_change(tmp_path):
    for k in range(3):
        x = picture(20, 30, seed=k)
        save(tmp_path / "trainA" / f"{k}.png", 20, 30, seed=k)
        from i2i.images import write_image

        write_image(tmp_path / "trainB" / f"{k}.png", (x[:, :, ::-1] * 0.5 + 40).round().astype(np.uint8))
    pairs = find_pairs([str(tmp_path)], "train")
    x, y = sides(pairs[1], "A2B")
    assert np.abs(fit_baselines(pairs, "A2B")["affine_colour"](x).astype(int) - y).max() <= 1


def test_target_mean_of_many_sizes_is_a_colour(tmp_path):
    for k in range(2):
        save(tmp_path / "trainA" / f"{k}.png", 20 + k, 30, seed=k)
        save(tmp_path / "trainB" / f"{k}.png", 20 + k, 30, seed=k)
    answer = fit_baselines(find_pairs([str(tmp_path)], "train"), "A2B")["target_mean"](picture(20, 30))
    assert answer.shape == (20, 30, 3)
    assert np.ptp(answer, axis=(0, 1)).tolist() == [0, 0, 0]


def test_without_a_train_split_its_baselines_are_null(tiny_onnx, few_pairs, tmp_path):
    (tmp_path / "test").symlink_to(few_pairs / "test")
    done = run_i2i("evaluate", "-m", tiny_onnx, "--data", tmp_path, "--json", tmp_path / "scores.json")
    assert done.returncode == 0, done.stderr
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert list(scores) == ["model", "baselines"]
    assert list(scores["model"]) == ["l1", "psnr", "ssim"]
    assert list(scores["baselines"]) == ["input_copied", "target_mean", "affine_colour"]
    assert scores["baselines"]["target_mean"] is scores["baselines"]["affine_colour"] is None
    assert "input copied" in done.stdout
    assert f"{scores['model']['ssim']:.3f}" in done.stdout


def test_pictures_too_small_for_ssim_are_named(tiny_run, tmp_path):
    save(tmp_path / "test" / "a.png", 10, 40)
    with pytest.raises(DataError, match=r"a\.png is 20x10"):
        i2i.evaluate(tiny_run, str(tmp_path))


def test_scores_and_sheets_that_exist_are_not_touched_unasked(tiny_onnx, few_pairs, tmp_path):
    (tmp_path / "mine.json").write_text("mine", encoding="utf-8")
    words = ["evaluate", "-m", tiny_onnx, "--data", few_pairs]
    refused = run_i2i(*words, "--json", tmp_path / "mine.json")
    assert refused.returncode == 2
    assert "Add --overwrite" in refused.stderr
    assert (tmp_path / "mine.json").read_text(encoding="utf-8") == "mine"
    with pytest.raises(UsageError, match=r"does not end in \.png"):
        i2i.evaluate(tiny_onnx, str(few_pairs), sheet=tmp_path / "sheet.jpg")


def test_two_flat_folders_are_scored_as_what_they_are(tiny_onnx, tmp_path):
    for side in "AB":
        save(tmp_path / side / "x.png", 20, 30)
    result = i2i.evaluate(tiny_onnx, [str(tmp_path / "A"), str(tmp_path / "B")])
    assert (result.pairs, result.split) == (1, "the two folders")
    assert result.baselines["target_mean"] is None
