"""The tutorials, from start to end: each page's commands run in their order on data such as it speaks of."""

import re
import shlex
import shutil

import numpy as np
import pytest

from i2i.images import read_image, write_image
from tests.cli.test_cli import call, shrink, stub_web_runtime
from tests.conftest import ROOT, picture, save

PAGES = sorted((ROOT / "docs" / "tutorials").glob("*.md"))


def commands(page):
    blocks = re.findall(r"^```sh\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


def write_cells(folder):
    """Pairs of 12 bits in 16-bit TIFF files of one channel."""
    for split, count in (("train", 8), ("val", 2), ("test", 2)):
        for number in range(count):
            cells = picture(40, 40, channels=1, seed=number + 10 * count).astype(np.uint16) * 16
            for side, values in (("A", cells), ("B", 4095 - cells)):
                write_image(folder / f"{split}{side}" / f"{number}.tif", values)


@pytest.fixture
def desk(desk, tiny_run, monkeypatch):
    stub_web_runtime(desk, monkeypatch)
    (desk / "model.onnx").unlink()
    shutil.copy(tiny_run / "model.safetensors", desk)
    shutil.copytree("D", "pairs")
    save(desk / "sketch.png", 50, 70)
    for number in range(8):
        save(desk / "pictures" / f"{number}.png", 40, 40, seed=number)
        save(desk / "tiles" / f"{number}.png", 32, 32, seed=number)
    write_cells(desk / "cells")
    return desk


MADE = {
    "researcher": ["sheet.png", "modern.csv", "worst.png", "plain.csv", "runs/modern/report.html"],
    "artist": ["coloured.png", "ink.html", "drawn_again.png"],
    "engineer": ["model.onnx", "outputs/a.png"],
    "laboratory": ["scores.csv", "stained/0.tif"],
    "tiles": [*(f"outputs/{number}.png" for number in range(8))],
}


def test_there_is_a_page_for_each_of_five_people():
    assert [page.stem for page in PAGES] == sorted(MADE)


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_tutorial_runs(page, desk, few_pairs, capsys):
    if page.stem == "tiles":
        assert call("export", "model.safetensors", "-o", "model.onnx", "--io", "image", "--verify", "photos") == 0
    lines = commands(page)
    assert lines
    for line in lines:
        name, *words = shlex.split(line)
        assert name == "i2i"
        data = desk / words[words.index("--data") + 1] if "--data" in words else few_pairs
        assert call(*shrink(words, data)) == 0, f"{line}: {capsys.readouterr().err}"
    for made in MADE[page.stem]:
        assert (desk / made).stat().st_size > 0, made
    if page.stem == "laboratory":
        output = read_image(desk / "stained" / "0.tif")
        assert (output.dtype, output.shape) == (np.uint16, (40, 40, 1))
        assert output.max() <= 4095
