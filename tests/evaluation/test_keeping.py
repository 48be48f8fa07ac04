"""Scores in run folders: each kept once, shown in the report, and with what they depend on."""

import json
import shutil

import pytest

import i2i
from i2i.errors import UsageError
from i2i.evaluation import refuse_incomparable
from i2i.evaluation.keeping import with_earlier
from i2i.metrics import METRICS
from i2i.report.scores import read_scores
from tests.cli.test_cli import call


def test_a_run_keeps_its_scores_and_shows_them(tiny_run, tiny_onnx, tmp_path, capsys):
    """The same evaluation again replaces them; another split stands beside; the report is the folder's own."""
    run = shutil.copytree(tiny_run, tmp_path / "run")
    given = {}
    for split, kept in (("test", 1), ("test", 1), ("val", 2)):
        assert call("evaluate", "-m", str(run), "--split", split, "--json") == 0
        said = capsys.readouterr()
        (given,) = json.loads(said.out)["result"]["scores"]
        assert str(run / "report.html") in said.err
        assert len(list((run / "scores").glob("*.json"))) == kept
    newest = next(scores for scores in read_scores(run) if scores["split"] == "val")
    assert {name: newest[name] for name in given} == given
    assert (newest["images_seen"], newest["kind"], len(newest["reference_sha256"])) == (16, "pairs", 64)
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "B2A: 3 pairs" in page
    assert "B2A: 4 pairs" in page
    low, high = given["intervals"]["l1"]
    assert f'{given["model"]["l1"]:.1f}<span class="range">{low:.1f} to {high:.1f}</span>' in page
    assert page.count("data:image/webp") == 4  # two previews, two sheets of the worst pairs
    (data,) = i2i.load_config(run / "config.yaml").data.path
    assert call("evaluate", "-m", str(tiny_onnx), "--data", data) == 0
    assert "Report:" not in capsys.readouterr().out  # it is no run's own model


def test_scores_of_other_metrics_are_added_to_those_that_are_kept(tiny_run, tmp_path, capsys):
    run = shutil.copytree(tiny_run, tmp_path / "run")

    def kept(*words):
        assert call("evaluate", "-m", str(run), *words) == 0
        (scores,) = read_scores(run)
        return scores

    usual = kept("--metrics", "l1,psnr")
    both = kept("--metrics", "ssim")
    assert [*both["model"]] == [*both["intervals"]] == ["l1", "psnr", "ssim"]
    assert {name: both["model"][name] for name in usual["model"]} == usual["model"]
    assert [*both["baselines"]["input_copied"]] == ["l1", "psnr", "ssim"]
    assert sum(note.startswith("The model lost") for note in both["notes"]) <= 1
    again = kept("--metrics", "l1")
    assert {name: again[name] for name in ("model", "baselines", "notes")} == {
        name: both[name] for name in ("model", "baselines", "notes")
    }
    page = (run / "report.html").read_text(encoding="utf-8")
    assert all(METRICS[name].label in page for name in ("l1", "psnr", "ssim"))
    (path,) = (run / "scores").glob("*.json")
    path.write_text(json.dumps({**again, "images_seen": 8, "file": ""}))
    assert [*kept("--metrics", "psnr")["model"]] == ["psnr"]  # the control: of another model


def test_scores_of_other_labels_are_kept_apart(tiny_run, labelled_model, tmp_path, capsys):
    """A shoe is no bag: what was measured of one says nothing of the other."""
    run = shutil.copytree(tiny_run, tmp_path / "run")
    shutil.copy(labelled_model, run / "model.safetensors")
    for label, metric in (("shoe,red", "l1"), ("bag,red", "psnr"), ("shoe,red", "ssim")):
        assert call("evaluate", "-m", str(run), "--label", label, "--metrics", metric) == 0
        assert f"to thing={label.split(',')[0]}" in capsys.readouterr().out.replace("\n", " ")
    kept = {tuple(scores["labels"]): scores for scores in read_scores(run)}
    assert [*kept["thing=shoe", "colour=red"]["model"]] == ["l1", "ssim"]
    assert [*kept["thing=bag", "colour=red"]["model"]] == ["psnr"]
    assert "to thing=bag" in (run / "report.html").read_text(encoding="utf-8")
    with pytest.raises(UsageError, match="labels"):
        refuse_incomparable(*kept.values())


@pytest.mark.parametrize("damaged", [None, 7, {"model": {"l1": "low"}}, {"model": 3}, {"baselines": 4}])
def test_damaged_scores_are_replaced(damaged):
    scores = {"kind": "pairs", "model": {"l1": 9.0}, "intervals": {"l1": [8.0, 10.0]}, "notes": []}
    scores |= {"baselines": {"input_copied": {"l1": 5.0}, "target_mean": None}, "weights_sha256": {}}
    earlier = {**scores, **damaged} if isinstance(damaged, dict) else damaged
    assert with_earlier(scores, earlier)["model"] == {"l1": 9.0}


def test_the_line_on_trivial_answers_counts_all_metrics():
    first = {"kind": "pairs", "model": {"l1": 9.0}, "intervals": {"l1": [8.0, 10.0]}, "weights_sha256": {}}
    first |= {"baselines": {"input_copied": {"l1": 5.0}, "target_mean": None}, "notes": ["x", "The model lost to y."]}
    second = {**first, "model": {"ssim": 0.5}, "intervals": {"ssim": [0.4, 0.6]}, "notes": ["x"]}
    second["baselines"] = {"input_copied": {"ssim": 0.4}, "target_mean": None}
    merged = with_earlier(second, first)
    assert merged["model"] == {"l1": 9.0, "ssim": 0.5}
    assert merged["baselines"] == {"input_copied": {"l1": 5.0, "ssim": 0.4}, "target_mean": None}
    assert merged["notes"][0] == "x"
    assert "input copied (L1)" in merged["notes"][1]


def test_sets_are_kept_too(two_way_run, few_pairs, tmp_path, capsys):
    """Of both directions, each for itself."""
    run = shutil.copytree(two_way_run, tmp_path / "run")
    for number in range(12):
        for side in "AB":
            (tmp_path / "many" / f"test{side}").mkdir(parents=True, exist_ok=True)
            shutil.copy(next((few_pairs / "test").iterdir()), tmp_path / "many" / f"test{side}" / f"{side}{number}.png")
    assert call("evaluate", "-m", str(run), "--data", str(tmp_path / "many"), "--network", "random") == 0
    said = capsys.readouterr()
    assert "Report:" in said.out
    assert len(list((run / "scores").glob("sets.test.A2B.*.json"))) == 1
    assert len(list((run / "scores").glob("sets.test.B2A.*.json"))) == 1
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "KID x 1000" in page
    assert "random features, clean" in page


def test_a_run_folder_that_cannot_be_written_to_costs_a_note(tiny_run, tmp_path, capsys):
    run = shutil.copytree(tiny_run, tmp_path / "run")
    (run / "scores").write_text("in the way")
    assert call("evaluate", "-m", str(run)) == 0
    said = capsys.readouterr()
    assert f"Note: {run}" in said.err
    assert "Report:" not in said.out
