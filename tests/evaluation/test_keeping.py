"""Scores in run folders: each kept once, shown in the report, and with what they depend on."""

import json
import shutil

import i2i
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
