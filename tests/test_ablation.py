"""tools/bench/ablation.py: rows are trained, scored and not done again, and the sea is told from land."""

import json
import sys

import numpy as np
import pytest

from i2i.data.folders import find_sides
from i2i.data.items import read_picture
from tests.conftest import MAPS, ROOT, load_script

QUICK = ["--seconds", "0.5", "--networks", "random", "--metrics", "l1", "ssim"]
ablation = load_script(ROOT / "tools" / "bench" / "ablation.py")


def test_rows_are_trained_scored_and_not_done_again(few_pairs, tmp_path, monkeypatch, capsys):
    def run(*words):
        monkeypatch.setattr(sys, "argv", ["ablation.py", *map(str, words)])
        ablation.main()
        return capsys.readouterr().out

    words = [tmp_path, "--case", "line art to colour", "--data", few_pairs, *QUICK]
    tiny = ["--set", "generator.width=2", "--set", "discriminator.width=2"]
    lines = run(*words, *tiny, "--rows", "plain", "modern").splitlines()
    controls = run(*words, "--rows", "input copied", "colour map").splitlines()
    plain, modern, copied, mapped = (json.loads(line) for line in (*lines, *controls))
    for trained in (plain, modern):
        assert trained["images"] > 0
        assert trained["processor_s"] >= 0.5
    assert copied["images"] == mapped["images"] == 0
    inputs, truths = (np.stack([*map(read_picture, side)]) for side in find_sides([str(few_pairs)], "val"))
    assert copied["A2B l1"] == pytest.approx(np.abs(inputs.astype(float) - truths).mean())
    assert len({one["A2B ssim"] for one in (plain, modern, copied, mapped)}) == 4
    assert len([*tmp_path.glob("*/val-A2B.png")]) == 4

    assert run(*words, *tiny, "--rows", "plain", "modern") == ""
    table = run(tmp_path, "--table").splitlines()
    assert sum(line.startswith("| modern | 0 |") for line in table) == 1


def test_every_row_is_a_training_that_can_be_built():
    for case in ablation.CASES.values():
        for row in ablation.rows_of(case).values():
            ablation.configured(case, row, (), 0)


def test_sea_is_told_from_land():
    _, truths = find_sides([str(MAPS)], "val")
    reliefs = [read_picture(one) for one in truths]
    assert ablation.sea_told(reliefs, reliefs) == 1
    grey = [np.full_like(one, 128) for one in reliefs]
    assert ablation.sea_told(grey, reliefs) == 0.5
    sea, land = np.array([190, 210, 240], np.uint8), np.array([140, 170, 160], np.uint8)
    exchanged = [np.where(ablation.at_sea(one)[..., None], land, sea) for one in reliefs]
    assert ablation.sea_told(exchanged, reliefs) == 0
