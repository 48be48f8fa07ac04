"""The page of a run: whole without a network, and written whatever the run folder holds."""

import json
import re
import shutil

import numpy as np
import pytest

from i2i.images import write_image
from i2i.report import samples
from i2i.report.curves import charts
from i2i.report.page import page_of, write_report
from i2i.report.record import labels, note_session, read_run
from i2i.report.sections import differing
from tests.conftest import picture

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>&\"'"


def rows_to(folder, rows):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def page_in(folder):
    return write_report(folder).read_text(encoding="utf-8")


def data_of(page):
    """What the page's script reads."""
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page)[1])


def test_a_page_says_what_the_run_is(tiny_run, tmp_path):
    run = shutil.copytree(tiny_run, tmp_path / "run")
    page = page_in(run)
    for fact in ("pix2pix", "8 pairs", "B2A", "16 of 16, 2 epochs", "fp32", "after 16 images", "torch", "i2i"):
        assert fact in page
    data = data_of(page)
    titles = [chart["title"] for chart in data["charts"]]
    assert {"D_real", "G_L1", "accuracy of the discriminator", "L1.B2A (val previews)"} <= set(titles)
    (loss,) = (chart for chart in data["charts"] if chart["title"] == "G_L1")
    assert data["axes"][loss["lines"][0]["axis"]]["images"] == [4, 8, 12, 16]
    assert data["axes"][loss["lines"][0]["axis"]]["epochs"] == [0.5, 1, 1.5, 2]
    logged = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert loss["lines"][0]["values"] == pytest.approx([row["G_L1"] for row in logged if "G_L1" in row], rel=1e-4)
    assert data["runs"] == ["run"]
    (sample,) = data["samples"]
    assert [frame["images"] for frame in sample["runs"][0]["frames"]] == [8, 16]


def test_a_page_needs_no_network(tiny_run, tmp_path):
    page = page_in(shutil.copytree(tiny_run, tmp_path / "run"))
    outside = re.sub(r"http://www\.w3\.org/2000/svg", "", page)  # the name of SVG, no address
    for word in ("http:", "https:", "url(", "@import", "<link", 'src="/', "fetch(", "XMLHttpRequest"):
        assert word not in outside
    assert "default-src 'none'" in page  # and the browser would refuse it


def test_names_and_texts_of_strangers_stay_texts(tiny_run, tmp_path):
    run = shutil.copytree(tiny_run, tmp_path / "<b>run & co")
    rows_to(run, [
        {"images": 1, "seconds": 1.0, "split": HOSTILE, HOSTILE: 1.0},
        {"images": 2, "seconds": 2.0, "split": "warning", "text": HOSTILE},
    ])  # fmt: skip
    (run / "diagnosis.json").write_text(json.dumps([{"name": HOSTILE, "severity": HOSTILE, "advice": HOSTILE}]))
    (run / "scores").mkdir()
    scores = {
        "kind": "pairs",
        "split": HOSTILE,
        "model": {"l1": 1},
        "notes": [HOSTILE],
        "baselines": {HOSTILE: {"l1": 2}},
    }
    (run / "scores" / "x.json").write_text(json.dumps(scores))
    note_session(run, {"data": HOSTILE, "parameters": {HOSTILE: 7}}, {"device": HOSTILE})
    page = page_in(run)
    assert page.count("<script") == page.count("</script>") == 2
    assert "<img src=x" not in page
    assert "<b>" not in page
    assert any(HOSTILE in chart["title"] for chart in data_of(page)["charts"])
    assert page.count("&lt;img src=x") >= 7


def test_a_healthy_run_and_one_that_was_not_examined_look_different(tiny_run, tmp_path):
    run = shutil.copytree(tiny_run, tmp_path / "run")
    (run / "diagnosis.json").unlink(missing_ok=True)
    pages = [page_in(run)]
    for found in ([], [{"name": "oscillation", "severity": "warning", "number": 0.6, "advice": "Lower it."}]):
        (run / "diagnosis.json").write_text(json.dumps(found))
        pages.append(page_in(run))
    assert [page.count("<h2>Diagnosis") for page in pages] == [0, 1, 1]
    assert [page.count("No illness") for page in pages] == [0, 1, 0]
    assert [page.count("Lower it.") for page in pages] == [0, 0, 1]


BROKEN = {
    "nothing at all": {},
    "a line cut short": {"metrics.jsonl": b'{"images": 1, "seconds": 1, "split": "train", "a": 1}\n{"images": 2, "sec'},
    "values of other types": {
        "metrics.jsonl": b'{"images": "x"}\n[1]\n{"images": true}\n{"images": 3, "a": NaN, "b": Infinity, "c": "x", '
        b'"d": [1], "e": 1e400, "seconds": "x", "split": [1]}\n{"images": 1' + b"0" * 400 + b"}\n",
    },
    "nested too deeply": {
        "metrics.jsonl": b"[" * 100_000,
        "run.json": b"[" * 100_000,
        "diagnosis.json": b"[" * 100_000,
    },
    "bytes": dict.fromkeys(("metrics.jsonl", "config.yaml", "run.json", "model.safetensors"), b"\xff\x00\xfe"),
    "settings of another version": {"config.yaml": b"algorithm: pix3pix\ntrain: {seed: 7}\nnew: {setting: 1}\n"},
    "settings that are a list": {"config.yaml": b"[1, 2]"},
    "facts of another kind": {
        "run.json": b'{"sessions": {"a": 1}, "parameters": [1], "total_images": -1.5}',
        "diagnosis.json": b'{"name": "x"}',
    },
    "scores of other kinds": {
        "scores/a.json": b"[]",
        "scores/b.json": b'{"kind": "sets", "model": 1, "baselines": []}',
        "scores/c.json": b'{"kind": [], "model": {"l1": "x"}, "intervals": 3}',
        "scores/d.json": b'{"model": {"l1": 3}, "intervals": {"l1": [1, "x"]}, "baselines": {"x": [1]}, "date": 3}',
        "evaluation.json": b'{"pairs": 3, "model": {"l1": 3.0}, "baselines": {"target_mean": null}}',
    },
    "samples that are none": {
        "samples/000000008.B2A.png": b"no picture",
        "samples/000000016.B2A.png": b"",
        "samples/x.png": b"",
        "samples/000000008.png": b"",
    },
}


@pytest.mark.parametrize("damage", list(BROKEN))
def test_a_page_is_written_whatever_the_folder_holds(damage, tmp_path):
    for name, content in BROKEN[damage].items():
        (tmp_path / "run" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "run" / name).write_bytes(content)
    (tmp_path / "run").mkdir(exist_ok=True)
    page = page_in(tmp_path / "run")
    assert "</html>" in page
    data = data_of(page)
    assert all(all(value is None or abs(value) < 1e300 for value in line["values"])
               for chart in data["charts"] for line in chart["lines"])  # fmt: skip
    if damage == "a line cut short":
        assert [chart["title"] for chart in data["charts"]] == ["a"]
    if damage == "settings of another version":
        assert "pix3pix" in page
        assert "new.setting: 1" in page


def test_a_long_run_has_a_small_page(tmp_path):
    """20,000 rows and 200 large sheets: some of them are shown, with the first and the newest."""
    rows = [
        {"images": k * 100, "seconds": k * 0.5, "split": "train", **{f"term{n}": (k * n) % 7 / 3 for n in range(12)}}
        for k in range(1, 20_001)
    ]
    rows_to(tmp_path / "run", rows)
    random = np.random.default_rng(0)
    sheet = np.clip(picture(1800, 800).astype(int) + random.integers(-9, 9, (1800, 800, 3)), 0, 255).astype(np.uint8)
    (tmp_path / "run" / "samples").mkdir()
    first = tmp_path / "run" / "samples" / "000000001.A2B.png"
    write_image(first, sheet)
    for number in range(1, 200):
        first.with_name(f"{number * 1000 + 1:09d}.A2B.png").hardlink_to(first)
    path = write_report(tmp_path / "run")
    assert path.stat().st_size < 4_000_000
    data = data_of(path.read_text(encoding="utf-8"))
    frames = [frame["images"] for frame in data["samples"][0]["runs"][0]["frames"]]
    assert (frames[0], frames[-1], len(frames)) == (1, 199_001, samples.MOST_FRAMES)
    assert {len(line["values"]) for chart in data["charts"] for line in chart["lines"]} == {500}
    assert data["axes"][0]["images"][0] == 100
    assert data["axes"][0]["images"][-1] == 2_000_000


def test_thinned_curves_are_means(tmp_path):
    rows_to(
        tmp_path, [{"images": k, "split": "train", "a": k % 2, **({"b": 5} if k > 3000 else {})} for k in range(6000)]
    )
    drawn = charts([read_run(tmp_path)])
    a, b = (chart["lines"][0]["values"] for chart in drawn["charts"])
    assert all(0.4 < value < 0.6 for value in a[1:-1])
    assert set(b[:240]) == {None}
    assert set(b[-240:]) == {5}


def test_a_sheet_is_encoded_once(tiny_run, tmp_path, monkeypatch):
    """A training writes its page again and again."""
    run = shutil.copytree(tiny_run, tmp_path / "run")
    write_report(run)
    monkeypatch.setattr(samples.Image, "open", lambda path: pytest.fail("opened again"))
    write_report(run)


def test_runs_side_by_side(tiny_run, two_way_run, tmp_path):
    runs = [shutil.copytree(tiny_run, tmp_path / side / "run") for side in "ab"]
    config = (runs[1] / "config.yaml").read_text(encoding="utf-8")
    (runs[1] / "config.yaml").write_text(config.replace("seed: 0", "seed: 5"), encoding="utf-8")
    names = labels(runs)
    assert names == ["a/run", "b/run"]
    records = [read_run(run) for run in runs]
    assert differing(records) == {"train.seed": ["0", "5"]}
    page = page_of(records, names, [], [])
    data = data_of(page)
    (loss,) = (chart for chart in data["charts"] if chart["title"] == "G_L1")
    assert [data["axes"][line["axis"]]["run"] for line in loss["lines"]] == [0, 1]
    assert [one["run"] for one in data["samples"][0]["runs"]] == [0, 1]
    assert "train.seed" in page
    assert labels([runs[0], two_way_run]) == ["run", "two_way"]


def test_every_start_of_a_run_is_noted(tmp_path):
    for images in (0, 8):
        note_session(tmp_path, {"data": "8 pairs"}, {"images": images})
    (tmp_path / "run.json").write_text((tmp_path / "run.json").read_text().replace("sessions", "other"))
    note_session(tmp_path, {"data": "9 pairs"}, {"images": 16})
    assert json.loads((tmp_path / "run.json").read_text()) == {"data": "9 pairs", "sessions": [{"images": 16}]}
