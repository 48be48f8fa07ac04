"""Runs side by side: figures that were measured alike are compared, others refused with the reason."""

import json
import shutil

import pytest

from i2i.errors import UsageError
from i2i.evaluation import compare_scores
from i2i.evaluation.comparing import difference
from i2i.report.record import read_run
from i2i.report.scored import scores_section
from i2i.report.scores import Answer, Column, best_of, keep_scores
from tests.cli.test_cli import call

PAIRS = {
    "kind": "pairs", "split": "test", "direction": "A2B", "pairs": 9, "fit": "auto", "reference_sha256": "7" * 64,
    "model": {"l1": 20.0, "ssim": 0.5}, "intervals": {"l1": [18.0, 22.0], "ssim": [0.4, 0.6]},
    "baselines": {"input_copied": {"l1": 50.0, "ssim": 0.1}, "target_mean": None}, "weights_sha256": {},
}  # fmt: skip
SETS = {
    "kind": "sets", "split": "test", "what": "samples", "network": "random", "mode": "clean", "fit": "auto", "real": 40,
    "reference_sha256": "8" * 64, "weights_sha256": "",
    "model": {"made": 40, "scores": {"kid": 0.01, "frechet": 3.0}, "kid_interval": [0.005, 0.02]},
    "baselines": {"real": {"made": 40, "scores": {"kid": 0.0, "frechet": 1.0}, "kid_interval": [-0.001, 0.001]}},
}  # fmt: skip


def runs_with(tmp_path, *scores):
    """A run folder for each list of evaluations."""
    folders = [tmp_path / f"run{place}" for place in range(len(scores))]
    for folder, own in zip(folders, scores, strict=True):
        folder.mkdir()
        (folder / "config.yaml").write_text("algorithm: pix2pix")
        for one in own:
            keep_scores(folder, one)
    return [read_run(folder) for folder in folders], [folder.name for folder in folders]


@pytest.mark.parametrize(
    ("kept", "change"),
    [
        (PAIRS, {"pairs": 8}),
        (PAIRS, {"direction": "B2A"}),
        (PAIRS, {"reference_sha256": "9" * 64}),
        (PAIRS, {"fit": "resize"}),
        (PAIRS, {"compared": "16-bit grey"}),
        ({**PAIRS, "weights_sha256": {"alexnet": "1"}}, {"weights_sha256": {"alexnet": "2"}}),
        (SETS, {"mode": "legacy"}),
        (SETS, {"network": "vgg16"}),
        (SETS, {"real": 39}),
        (SETS, {"weights_sha256": "1"}),
        (SETS, {"reference_sha256": "9" * 64}),
    ],
    ids=lambda value: value["kind"] if "kind" in value else next(iter(value)),
)
def test_figures_that_were_measured_differently_are_refused_by_name(tmp_path, kept, change):
    runs, names = runs_with(tmp_path, [kept], [kept])
    assert len(compare_scores(runs, names)[0]) == 1  # the control: measured alike
    (tmp_path / "other").mkdir()
    runs, names = runs_with(tmp_path / "other", [kept], [{**kept, **change}])
    with pytest.raises(UsageError, match=next(iter(change)) if "alexnet" not in str(kept) else "alexnet") as refused:
        compare_scores(runs, names)
    assert "run0 and run1" in str(refused.value)


def test_sets_of_other_counts_are_refused(tmp_path):
    few = {**SETS, "model": {**SETS["model"], "made": 30}}
    runs, names = runs_with(tmp_path, [SETS], [few])
    with pytest.raises(UsageError, match=r"made\b.*40.*30"):
        compare_scores(runs, names)


def test_what_scores_side_by_side_were_measured_with_is_not_the_state_of_one_model(tmp_path):
    runs, names = runs_with(tmp_path, *([{**SETS, "images_seen": images}] for images in (100, 200)))
    ((table,), _) = compare_scores(runs, names)
    assert all(one in table.caption for one in ("random", "clean", "40 real", "40 made", "8" * 12))
    assert "100" not in table.caption


def test_the_evaluations_that_runs_share_are_found(tmp_path):
    legacy = {**SETS, "mode": "legacy"}
    runs, names = runs_with(tmp_path, [SETS, legacy, PAIRS], [legacy], [])
    tables, notes = compare_scores(runs, names)
    assert [(len(table.models), table.runs) for table in tables] == [(1, [0]), (2, [0, 1])]
    assert "legacy" in tables[1].caption
    assert "run2" in notes[0]
    assert difference(PAIRS, SETS)
    of_before = {name: value for name, value in PAIRS.items() if name != "reference_sha256"}
    (tmp_path / "old").mkdir()
    runs, names = runs_with(tmp_path / "old", [of_before], [of_before])  # on which pictures, nobody knows
    assert compare_scores(runs, names)[0] == []


def test_a_metric_that_one_run_lacks_is_left_out(tmp_path):
    more = {**PAIRS, "model": {**PAIRS["model"], "lpips": 0.3}, "weights_sha256": {"alexnet": "1"}}
    runs, names = runs_with(tmp_path, [more], [PAIRS])
    (table,), _ = compare_scores(runs, names)
    assert [column.name for column in table.columns] == ["l1", "ssim"]


@pytest.mark.parametrize(
    ("second", "best"),
    [((23.0, 25.0), "a"), ((21.0, 25.0), None), (None, None)],  # apart, overlapping, unknown
)
def test_only_intervals_that_lie_apart_decide(second, best):
    column = Column("l1", "L1", "lower", 1)
    a = Answer("a", {"l1": 20.0}, {"l1": (18.0, 22.0)})
    b = Answer("b", {"l1": 24.0}, {"l1": second} if second else {})
    found = best_of(column, [b, a])
    assert (found and found.name) == best
    upwards = best_of(column._replace(better="higher"), [a, b])
    assert (upwards and upwards.name) == ("b" if best else None)
    assert best_of(column, [a]) is None


def test_scores_are_shown_with_intervals_and_trivial_answers(tmp_path):
    runs, names = runs_with(tmp_path, [PAIRS], [{**PAIRS, "model": {"l1": 40.0}, "intervals": {"l1": [38.0, 43.0]}}])
    tables, notes = compare_scores(runs, names)
    shown = scores_section(tables, notes)
    assert '<td class="best">20.0 ★<span class="range">18.0 to 22.0</span>' in shown
    assert '<td>40.0<span class="range">38.0 to 43.0</span>' in shown
    assert "input copied" in shown
    assert "target mean" not in shown  # there was none


def test_compare_prints_a_table_and_writes_page_and_json(tiny_run, tmp_path, capsys, monkeypatch):
    for name, seed in (("one", 0), ("two", 5)):
        run = shutil.copytree(tiny_run, tmp_path / name)
        text = (run / "config.yaml").read_text().replace("seed: 0", f"seed: {seed}")
        (run / "config.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)
    assert call("compare", "one", "two") == 0
    said = capsys.readouterr()
    for word in ("one", "two", "pix2pix", "train.seed", "-o compare.html"):
        assert word in said.out
    assert "Not scored yet: one, two" in said.err
    for name in ("one", "two"):
        assert call("evaluate", "-m", name) == 0
    capsys.readouterr()
    assert call("compare", "one", "two", "-o", "new/folder/c.html") == 0
    said = capsys.readouterr()
    assert "SSIM ↑" in said.out
    assert all(one in said.out for one in ("8-bit RGB", "reference"))
    assert said.err == ""
    assert call("compare", "one", "two", "--json") == 0
    told = json.loads(capsys.readouterr().out)["result"]
    assert [run["name"] for run in told["runs"]] == ["one", "two"]
    assert told["settings_that_differ"] == {"train.seed": ["0", "5"]}
    assert [model["name"] for model in told["scores"][0]["models"]] == ["one", "two"]
    page = (tmp_path / "new/folder/c.html").read_text(encoding="utf-8")
    assert "2 runs compared" in page
    assert "B2A: 4 pairs" in page
    assert call("compare", "one", "two", "-o", "new/folder/c.html") == 2  # it exists


def test_the_difference_that_is_named_is_the_smallest(tmp_path):
    """Of several evaluations of a run, the one counts that was measured most alike."""
    other_set = {**PAIRS, "pairs": 3, "reference_sha256": "9" * 64, "split": "val", "date": "2030"}
    runs, names = runs_with(tmp_path, [other_set, PAIRS], [{**PAIRS, "fit": "resize"}])
    with pytest.raises(UsageError, match="fit"):
        compare_scores(runs, names)


def test_compare_refuses_and_says_how_to_go_on(tiny_run, tmp_path, capsys):
    runs = [shutil.copytree(tiny_run, tmp_path / name) for name in "ab"]
    for run, fit in zip(runs, ("pad", "resize"), strict=True):
        assert call("evaluate", "-m", str(run), "--fit", fit) == 0
    capsys.readouterr()
    assert call("compare", *map(str, runs)) == 2
    said = capsys.readouterr().err
    assert all(word in said for word in ("fit", "pad", "resize", "--no-scores"))
    assert call("compare", *map(str, runs), "--no-scores") == 0
    assert call("compare", str(runs[0]), str(tmp_path)) == 2
    assert str(tmp_path) in capsys.readouterr().err
