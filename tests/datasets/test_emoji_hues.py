"""datasets/emoji_hues.py on the shipped pictures."""

import csv

import numpy as np
import pytest

from i2i.errors import DataError
from i2i.images import read_image, to_unit
from tests.conftest import LINEART, ROOT, load_script

recipe = load_script(ROOT / "datasets" / "emoji_hues.py")
bench = load_script(ROOT / "tools" / "bench" / "stackgan.py")


def test_every_picture_has_the_hue_of_its_caption(tmp_path, capsys):
    """Every emoji lacks one hue in train/, and the bench reads the hue of every picture right."""
    recipe.main([str(LINEART), str(tmp_path / "out"), "--limit", "7"])
    assert "35 pictures" in capsys.readouterr().out
    with (tmp_path / "out" / "captions.csv").open(encoding="utf-8", newline="") as file:
        captions = dict(list(csv.reader(file))[1:])
    parts = {split: sorted((tmp_path / "out" / split).glob("*.png")) for split in ("train", "test")}
    names = {split: [captions[path.name] for path in paths] for split, paths in parts.items()}
    assert len(set(names["train"])) == 35
    assert not {*names["train"]} & {*names["test"]}
    emoji = {name.split(" ", 1)[1] for name in names["train"]}
    assert emoji == {name.split(" ", 1)[1] for name in names["test"]}
    words = {word for name in names["train"] for word in name.split()}
    assert words == {word for name in names["test"] for word in name.split()} | words  # no word is new
    for split, paths in parts.items():
        pictures = np.stack([to_unit(read_image(path)) for path in paths])
        assert bench.hue_of(pictures) == [name.split()[0] for name in names[split]]
    grey = np.full((1, 3, 8, 8), 0.3, np.float32)
    assert bench.hue_of(grey) == [""]


def test_emoji_are_called_by_their_code_points():
    assert recipe.name_of("1f335") == "cactus"
    assert recipe.name_of("1f468-200d-1f33e") == "man ear of rice"
    assert recipe.name_of("0036-20e3") == "digit six"


def test_a_folder_without_pictures_is_refused(tmp_path):
    with pytest.raises(DataError, match="lineart"):
        recipe.convert(tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()
