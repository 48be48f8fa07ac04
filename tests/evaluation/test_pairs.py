"""Scores: metrics by hand, baselines by the figures published with the data."""

import errno
import json
import os
import re
import shutil

import cv2
import numpy as np
import pytest
import torch

import i2i
from i2i.cli.tables import score_caption
from i2i.data.folders import find_pairs
from i2i.errors import DataError, ModelError, UsageError
from i2i.evaluation import evaluate_pairs, fit_baselines, refuse_incomparable, sides
from i2i.evaluation.choosing import choose_metrics
from i2i.images import read_image, write_image
from i2i.metrics.pairs import PSNR_CEILING, l1, ms_ssim, psnr, ssim
from i2i.models.modelfile import load_generator, read_spec, save_model
from i2i.models.parts import translating
from i2i.models.spec import ModelSpec
from i2i.networks import GENERATORS
from i2i.runtime.fit import Fit
from tests.cli.test_cli import call
from tests.conftest import LINEART, ROOT, picture, run_i2i, save

FITTED = ["target_mean", "affine_colour", "colour_map"]


def test_metrics_by_hand():
    black, grey = np.zeros((16, 16, 3), np.uint8), np.full((16, 16, 3), 51, np.uint8)
    assert l1(black, grey) == 51
    assert psnr(black, grey) == pytest.approx(-20 * np.log10(0.2))
    assert psnr(grey, grey) == PSNR_CEILING
    # Two flat pictures: SSIM is (2 a b + c1) / (a^2 + b^2 + c1) with c1 = 0.01^2.
    assert ssim(black, grey) == pytest.approx(1e-4 / (0.04 + 1e-4), rel=1e-9)


def test_ssim_is_that_of_scikit_image():
    """The constants are scikit-image 0.26's, with a Gaussian of sigma 1.5 and population covariance."""
    output, truth = (read_image(ROOT / "tests" / "data" / f"ssim_{name}.png") for name in ("output", "truth"))
    assert ssim(output, truth) == pytest.approx(0.7705765048450163, abs=1e-9)
    assert ssim(output[:20, :33], truth[:20, :33]) == pytest.approx(0.7659074691600161, abs=1e-9)
    assert ssim(*(side.astype(np.uint16) * 257 for side in (output, truth))) == pytest.approx(0.7705765048, abs=1e-9)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_equal_pictures_have_an_ssim_of_exactly_1(dtype):
    for x in (picture(11, 64, 3, dtype), picture(48, 48, 4, dtype), np.full((16, 16, 1), 77, dtype)):
        assert ssim(x, x.copy()) == 1
    with pytest.raises(DataError, match=r"11 px.* 64x10"):
        ssim(picture(10, 64), picture(10, 64))


def test_sixteen_bits_are_compared_in_sixteen():
    deep = picture(16, 16).astype(np.uint16) * 200
    assert l1(deep, deep + np.uint16(100)) == pytest.approx(100 / 257)
    assert psnr(deep, deep + np.uint16(100)) == pytest.approx(20 * np.log10(65535 / 100))
    assert ssim(deep, deep + np.uint16(100)) < 1


def test_floats_are_compared_unrounded():
    x = picture(16, 16).astype(np.float32) / 255 * np.float32(0.9)
    step = np.float32(1 / 2000)  # an eighth of a level of 8 bits
    assert l1(x, x + step) == pytest.approx(255 / 2000, rel=1e-3)
    assert psnr(x, x + step) == pytest.approx(20 * np.log10(2000), abs=0.01)
    assert ssim(x, x + step) < 1


def test_metrics_take_every_kind_of_picture():
    for channels in (1, 3, 4):
        eight, sixteen = picture(24, 24, channels), picture(24, 24, channels).astype(np.uint16) * 257
        assert l1(eight, sixteen) == pytest.approx(0, abs=0.01 if channels == 4 else 0)  # put on white, then rounded


@pytest.mark.parametrize(("metric", "side"), [(l1, 8), (psnr, 8), (ssim, 24), (ms_ssim, 176)])
def test_grey_scores_as_the_same_grey_in_rgb(metric, side):
    one, other = (picture(side, side, 1, np.uint16, seed=seed) for seed in (0, 1))
    in_rgb = metric(*(np.repeat(each, 3, axis=2) for each in (one, other)))
    assert metric(one, other) == pytest.approx(in_rgb, rel=1e-12)


def test_alpha_counts_and_colours_that_nobody_sees_do_not():
    """RGB on white, and alpha: four channels."""
    truth = np.full((16, 16, 4), [200, 100, 50, 255], np.uint8)
    assert l1(np.full_like(truth, [200, 100, 50, 155]), truth) == pytest.approx(
        np.mean(
            [
                round(200 + 55 * 100 / 255) - 200,
                round(100 + 155 * 100 / 255) - 100,
                round(50 + 205 * 100 / 255) - 50,
                100,
            ]
        )
    )
    clear, hidden = np.full_like(truth, [0, 0, 0, 0]), np.full_like(truth, [9, 250, 3, 0])
    assert l1(clear, hidden) == 0
    assert ssim(clear, hidden) == 1
    white = np.full((16, 16, 3), 255, np.uint8)
    assert l1(white, clear) == 255 / 4  # equal on white; alpha is 255 against 0


def deep_pairs(root, levels):
    """Grey pictures of 16 bits: B is A brighter by `levels`."""
    for split in ("train", "test"):
        for k in range(3):
            x = picture(24, 24, 1, np.uint16, seed=k) // 2
            for side, y in (("A", x), ("B", x + np.uint16(levels))):
                (root / f"{split}{side}").mkdir(parents=True, exist_ok=True)
                write_image(root / f"{split}{side}" / f"{k}.png", y)
    return root


def test_microscopy_in_16_bits_is_scored_in_16_bits(grey_model, tmp_path):
    """A change by 64 of 65,535 is a quarter of a level of 8 bits, which rounding would lose."""
    result = evaluate_pairs(grey_model, str(deep_pairs(tmp_path, 64)))
    copied = result.baselines["input_copied"]
    assert copied["l1"] == pytest.approx(64 / 257)
    assert copied["psnr"] == pytest.approx(20 * np.log10(65535 / 64))
    assert result.baselines["affine_colour"]["l1"] < 0.01  # it finds the 64 levels; rounded to 8 bits it could not
    assert result.compared == "16-bit grey"
    assert result.to_json()["compared"] == "16-bit grey"


def test_an_input_of_8_bits_is_scored_in_the_depth_of_its_target(grey_model, tmp_path):
    root = deep_pairs(tmp_path, 0)
    for split in ("train", "test"):
        for path in (root / f"{split}A").iterdir():
            write_image(path, (read_image(path) >> 8).astype(np.uint8))
    model = i2i.load(grey_model)
    x, y = (read_image(root / f"test{side}" / "0.png") for side in "AB")
    exact = model.translate(x.astype(np.uint16) * 257)
    assert evaluate_pairs(grey_model, str(root)).rows[0]["l1"] == pytest.approx(l1(exact, y), abs=1e-9)
    assert l1(model.translate(x), y) != pytest.approx(l1(exact, y), abs=1e-4)  # rounded to 8 bits, it would differ


def test_values_are_scored_in_the_range_of_training(grey_model, tmp_path):
    spec, ranged = read_spec(grey_model), tmp_path / "ranged.safetensors"
    network = load_generator(grey_model, spec, "A2B")
    save_model(ranged, spec.model_copy(update={"input_range": (0.0, 40000.0)}), {"A2B": network})
    result = evaluate_pairs(ranged, str(deep_pairs(tmp_path / "D", 64)))
    assert result.baselines["input_copied"]["l1"] == pytest.approx(64 / 40000 * 255, abs=1e-3)
    assert result.value_range == (0, 40000)


@pytest.fixture(scope="module")
def grey_model(tmp_path_factory):
    """A .safetensors file that translates grey pictures, untrained."""
    torch.manual_seed(0)
    arguments = {"in_channels": 1, "out_channels": 1, "width": 4, "blocks": 1}
    part = translating("resnet", arguments, 1, 1, 4, 8)
    spec = ModelSpec(
        i2i_version="0",
        algorithm="pix2pix",
        parts={"A2B": part},
        norm_statistics="image",
        trained_crop_px=24,
        trained_side_px=24,
    )
    path = tmp_path_factory.mktemp("grey") / "model.safetensors"
    save_model(path, spec, {"A2B": GENERATORS["resnet"](**arguments)})
    return path


@pytest.fixture(scope="module")
def copied(tiny_run):
    """The shipped test set, scored with a model that has learned next to nothing."""
    return evaluate_pairs(tiny_run, str(LINEART))


def test_baselines_are_the_published_figures(copied):
    """The table in docs/start.md and docs/benchmarks.md."""
    assert copied.pairs == 152
    known = {"input_copied": (70.9, 7.37, 0.292), "target_mean": (92.1, 7.67, 0.116), "colour_map": (70.6, 8.59, 0.311)}
    for name, figures in known.items():
        scores = copied.baselines[name]
        assert scores["l1"] == pytest.approx(figures[0], abs=0.05)
        assert scores["psnr"] == pytest.approx(figures[1], abs=0.005)
        assert scores["ssim"] == pytest.approx(figures[2], abs=0.0006)
    assert copied.baselines["affine_colour"]["l1"] < copied.baselines["target_mean"]["l1"]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_affine_colour_finds_an_affine_change_in_its_own_depth(tmp_path, dtype):
    for k in range(3):
        x = picture(20, 30, 3, dtype, seed=k)
        save(tmp_path / "trainA" / f"{k}.png", 20, 30, 3, dtype, seed=k)
        write_image(tmp_path / "trainB" / f"{k}.png", (x[:, :, ::-1] * 0.5 + 40).round().astype(dtype))
    pairs = find_pairs([str(tmp_path)], "train")
    x, y = sides(pairs[1], "A2B")
    answer = fit_baselines(pairs, "A2B")["affine_colour"](x)
    assert answer.dtype == dtype
    assert np.abs(answer.astype(int) - y).max() <= 1


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_a_train_split_without_pairs_has_its_colour_map(grey_model, tmp_path, dtype):
    """B is A with half its contrast, which mean and covariance find, whatever the names; matched names fit the rest."""
    white = 1 if dtype == np.float32 else np.iinfo(dtype).max
    for split, shift in (("train", 5), ("test", 0)):
        for k in range(5):
            x = np.random.default_rng(k).uniform(0, white, (24, 24, 1))
            for side, y, number in (("A", x, k), ("B", x / 2 + white / 4, k + shift)):
                (tmp_path / f"{split}{side}").mkdir(exist_ok=True)
                write_image(tmp_path / f"{split}{side}" / f"{number}.tiff", y.astype(dtype))
    apart = evaluate_pairs(grey_model, str(tmp_path)).baselines
    assert apart["target_mean"] is apart["affine_colour"] is None
    assert apart["colour_map"]["l1"] < 1 < apart["input_copied"]["l1"] / 10
    for k in range(5):
        (tmp_path / "trainB" / f"{k + 5}.tiff").rename(tmp_path / "trainB" / f"{k}.tiff")
    together = evaluate_pairs(grey_model, str(tmp_path)).baselines
    assert list(together) == ["input_copied", *FITTED]
    assert together["colour_map"] == pytest.approx(apart["colour_map"])
    (tmp_path / "trainB" / "0.tiff").unlink()
    with pytest.raises(DataError, match=r"0\.tiff"):  # a name that was lost is no set without pairs
        evaluate_pairs(grey_model, str(tmp_path))


def test_target_mean_of_many_sizes_is_a_colour(tmp_path):
    for k in range(2):
        save(tmp_path / "trainA" / f"{k}.png", 20 + k, 30, seed=k)
        save(tmp_path / "trainB" / f"{k}.png", 20 + k, 30, seed=k)
    answer = fit_baselines(find_pairs([str(tmp_path)], "train"), "A2B")["target_mean"](picture(20, 30))
    assert answer.shape == (20, 30, 3)
    assert np.ptp(answer, axis=(0, 1)).tolist() == [0, 0, 0]


def test_without_a_train_split_its_baselines_are_null(tiny_onnx, few_pairs, tmp_path):
    (tmp_path / "test").symlink_to(few_pairs / "test")
    words = ["evaluate", "-m", tiny_onnx, "--data", tmp_path]
    done = run_i2i(*words, "--json")
    assert done.returncode == 0, done.stderr
    (scores,) = json.loads(done.stdout)["result"]["scores"]
    assert list(scores["model"]) == ["l1", "psnr", "ssim"]
    assert list(scores["baselines"]) == ["input_copied", *FITTED]
    assert [scores["baselines"][name] for name in FITTED] == [None, None, None]
    done = run_i2i(*words)
    assert "input copied" in done.stdout
    assert f"{scores['model']['ssim']:.3f}" in done.stdout


def test_a_split_without_pairs_is_told_with_what_can_be_scored_instead(tiny_onnx, few_pairs, tmp_path):
    """Sets where both sides have pictures, another split where that one has; an empty folder gets neither."""
    for folder, names in (("testA", "ab"), ("testB", "bc")):
        for name in names:
            save(tmp_path / "sides" / folder / f"{name}.png", 32, 32)
    (tmp_path / "empty" / "test").mkdir(parents=True)
    shutil.copytree(few_pairs / "val", tmp_path / "val" / "val")
    shutil.copytree(tmp_path / "empty", tmp_path / "val", dirs_exist_ok=True)
    for data, advised in (("sides", {"--sets"}), ("empty", set()), ("val", {"--split val"})):
        with pytest.raises(DataError) as told:
            evaluate_pairs(tiny_onnx, str(tmp_path / data))
        assert {one for one in ("--sets", "--split val") if one in str(told.value)} == advised


def test_pictures_too_small_for_ssim_are_named(tiny_run, tmp_path):
    save(tmp_path / "test" / "a.png", 10, 40)
    with pytest.raises(DataError, match=r"a\.png is 20x10"):
        evaluate_pairs(tiny_run, str(tmp_path))


def test_scores_and_sheets_that_exist_are_not_touched_unasked(tiny_onnx, few_pairs, tmp_path):
    (tmp_path / "mine.csv").write_text("mine", encoding="utf-8")
    words = ["evaluate", "-m", tiny_onnx, "--data", few_pairs]
    refused = run_i2i(*words, "--rows", tmp_path / "mine.csv")
    assert refused.returncode == 2
    assert "Add --overwrite" in refused.stderr
    assert (tmp_path / "mine.csv").read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize(
    ("option", "name"),
    [("--rows", "mine/scores.csv"), ("--rows", "folder.csv"), ("--sheet", "mine/new/s.png"), ("--sheet", "s.jpg")],
)
def test_outputs_that_cannot_be_written_are_refused_before_the_work(tmp_path, monkeypatch, capsys, option, name):
    (tmp_path / "mine").write_text("a file", encoding="utf-8")
    (tmp_path / "folder.csv").mkdir()
    monkeypatch.chdir(tmp_path)
    assert call("evaluate", "-m", "no-model", "--data", "no-data", option, name, "--overwrite") == 2
    assert name.split("/")[0] in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder.csv", "mine"]


def test_the_table_is_printed_whatever_happens(tiny_onnx, few_pairs, tmp_path, monkeypatch, capsys):
    def full(path, value):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("i2i.files.write_text", full)
    words = ["evaluate", "-m", str(tiny_onnx), "--data", str(few_pairs), "--rows", str(tmp_path / "scores.csv")]
    assert call(*words) == 1
    said = capsys.readouterr()
    assert "input copied" in said.out
    assert os.strerror(errno.ENOSPC) in said.err


def test_another_scale_than_that_of_training_is_mentioned(tiny_onnx, tiny_run, tmp_path):
    for name, height in (("same", 24), ("large", 36)):  # trained at 18 px
        for side in "AB":
            save(tmp_path / name / f"test{side}" / "x.png", height, 50)
    assert not any("scale" in note for note in evaluate_pairs(tiny_run, str(tmp_path / "same")).notes)
    done = run_i2i("evaluate", "-m", tiny_onnx, "--data", tmp_path / "large", "--sheet", tmp_path / "sheet.png")
    assert done.returncode == 0, done.stderr
    assert re.search(r"\b2 times\b.* scale\b", done.stderr)
    assert "--set data.resize_px=null" in done.stderr
    assert (tmp_path / "sheet.png").stat().st_size > 0


def test_two_flat_folders_are_scored_as_what_they_are(tiny_onnx, tmp_path):
    for side in "AB":
        save(tmp_path / side / "x.png", 20, 30)
    result = evaluate_pairs(tiny_onnx, [str(tmp_path / "A"), str(tmp_path / "B")])
    assert (result.pairs, result.split) == (1, "the two folders")
    assert result.baselines["target_mean"] is None


def test_a_trivial_answer_that_wins_is_named(copied):
    (lost,) = (note for note in copied.notes if "lost" in note)
    assert "affine colour (L1" in lost or "input copied (L1" in lost
    assert max(map(lost.count, ("affine colour", "input copied", "target mean"))) == 1


def test_intervals_hold_the_mean_and_rows_its_parts(copied):
    assert len(copied.rows) == copied.pairs
    for name, (low, high) in copied.intervals.items():
        assert low < copied.model[name] < high
        assert np.mean([row[name] for row in copied.rows]) == pytest.approx(copied.model[name])


def test_metrics_are_chosen_by_name(tiny_run, few_pairs):
    result = evaluate_pairs(tiny_run, str(few_pairs), metrics=["ssim", "l1"])
    assert list(result.model) == ["ssim", "l1"]
    with pytest.raises(UsageError, match="nonsense"):
        evaluate_pairs(tiny_run, str(few_pairs), metrics=["nonsense"])
    with pytest.raises(DataError, match="MS-SSIM"):
        evaluate_pairs(tiny_run, str(few_pairs), metrics=["ms_ssim"])


def test_weights_that_are_missing_are_named_before_the_work(tiny_run, few_pairs, tmp_path, monkeypatch):
    monkeypatch.setenv("I2I_WEIGHTS", str(tmp_path))
    with pytest.raises(ModelError, match="i2i weights get vgg16"):
        evaluate_pairs(tiny_run, str(few_pairs), metrics=["dists"])


def test_a_run_knows_its_data_and_rows_and_the_worst_are_written(tiny_run, tmp_path, capsys):
    run = shutil.copytree(tiny_run, tmp_path / "run")
    for suffix in ("csv", "jsonl"):
        words = ["evaluate", "-m", run, "--rows", tmp_path / f"rows.{suffix}", "--worst", tmp_path / "w.png"]
        assert call(*map(str, words), "--overwrite") == 0, capsys.readouterr().err
    header, *rows = (tmp_path / "rows.csv").read_text().splitlines()
    assert header == "name,l1,psnr,ssim"
    parsed = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    assert [row.split(",")[0] for row in rows] == [row["name"] for row in parsed]
    assert (tmp_path / "w.png").stat().st_size > 0


def test_a_model_of_both_directions_is_scored_in_both(two_way_run, few_pairs, tmp_path, capsys):
    words = ["evaluate", "-m", two_way_run, "--data", few_pairs, "--rows", tmp_path / "r.csv"]
    assert call(*map(str, words)) == 0, capsys.readouterr().err
    said = capsys.readouterr().out
    assert "A2B: 4 pairs" in said
    assert "B2A: 4 pairs" in said
    assert said.count("not rounded") == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["r.A2B.csv", "r.B2A.csv"]
    assert call(*map(str, words), "--direction", "A2B") == 0
    assert (tmp_path / "r.csv").read_text() == (tmp_path / "r.A2B.csv").read_text()
    assert "B2A: 4 pairs" not in capsys.readouterr().out


def test_every_figure_says_what_it_depends_on(two_way_run, few_pairs, capsys):
    result = evaluate_pairs(two_way_run, str(few_pairs), direction="A2B", fit=Fit("resize"))
    said = score_caption(result)
    for word in ("8-bit RGB", "fit resize", result.reference_sha256[:12]):
        assert word in said
    whole = evaluate_pairs(two_way_run, str(few_pairs), direction="A2B").to_json()
    with pytest.raises(UsageError, match="fit"):
        refuse_incomparable(result.to_json(), whole)
    refuse_incomparable(whole, whole)


def test_resizing_to_the_scale_of_training_needs_no_note(tiny_run, tmp_path):
    for side in "AB":
        save(tmp_path / f"test{side}" / "x.png", 36, 50)  # trained at 18 px
    whole, resized = (evaluate_pairs(tiny_run, str(tmp_path), fit=Fit(how)).notes for how in (None, "resize"))
    assert any("scale" in note for note in whole)
    assert not any("scale" in note for note in resized)


def test_going_there_and_back_is_scored_with_and_without_rounding(two_way_run, few_pairs):
    cycle = evaluate_pairs(two_way_run, str(few_pairs), direction="A2B").cycle
    assert cycle.l1 == pytest.approx(cycle.l1_unrounded, abs=1)
    assert cycle.l1 != cycle.l1_unrounded
    assert cycle.interval[0] < cycle.l1 < cycle.interval[1]


def test_ms_ssim_by_hand_and_of_equal_pictures():
    x = picture(176, 180)
    assert ms_ssim(x, x) == 1
    # Two flat pictures: contrast and structure are 1 at every scale, so only the luminance of the last one counts.
    black, grey = np.zeros((176, 176, 3), np.uint8), np.full((176, 176, 3), 51, np.uint8)
    assert ms_ssim(black, grey) == pytest.approx((1e-4 / (0.04 + 1e-4)) ** 0.1333, rel=1e-6)
    blurred = cv2.GaussianBlur(x, (0, 0), 2)
    assert ssim(blurred, x) < ms_ssim(blurred, x) < 1  # detail counts little at coarser scales
    with pytest.raises(DataError, match="176 px"):
        ms_ssim(x[:175], x[:175])


@pytest.mark.parametrize("name", ["fid", "kid"])
def test_a_score_of_sets_is_not_one_of_pairs(name):
    with pytest.raises(UsageError, match="--sets"):
        choose_metrics(["l1", name])
