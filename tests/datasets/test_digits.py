"""datasets/digits.py on a table of a few digits."""

import csv
import gzip
import zipfile

import numpy as np
import pytest

from i2i.errors import DataError, UsageError
from i2i.images import read_image
from tests.conftest import ROOT, load_script

recipe = load_script(ROOT / "datasets" / "digits.py")
PIXELS = np.random.default_rng(0).integers(0, 17, (7, 64))


def table(pixels=PIXELS):
    rows = (",".join(map(str, [*row, number % 10])) for number, row in enumerate(pixels))
    return gzip.compress("\n".join(rows).encode())


@pytest.fixture(params=["wheel", "folder", "file"])
def source(request, tmp_path):
    """The table, as people have it."""
    name = "sklearn/datasets/data/digits.csv.gz"
    if request.param == "wheel":
        with zipfile.ZipFile(tmp_path / "scikit_learn-1.whl", "w") as wheel:
            wheel.writestr(name, table())
        return tmp_path / "scikit_learn-1.whl"
    file = tmp_path / "installed" / name
    file.parent.mkdir(parents=True)
    file.write_bytes(table())
    return tmp_path / "installed" if request.param == "folder" else file


def test_every_fifth_digit_is_for_test_and_all_are_enlarged(source, tmp_path, capsys):
    recipe.main([str(source), str(tmp_path / "out")])
    assert "5 pictures of 32 px" in capsys.readouterr().out
    names = {split: sorted(path.name for path in (tmp_path / "out" / split).iterdir()) for split in ("train", "test")}
    assert names == {
        "train": ["00001_1.png", "00002_2.png", "00003_3.png", "00004_4.png", "00006_6.png"],
        "test": ["00000_0.png", "00005_5.png"],
    }
    with (tmp_path / "out" / "test.csv").open(encoding="utf-8", newline="") as file:
        assert list(csv.reader(file)) == [["name", "label"], ["00000_0.png", "0"], ["00005_5.png", "5"]]
    found = read_image(tmp_path / "out" / "test" / "00005_5.png")
    assert (found.shape, found.dtype) == ((32, 32, 1), np.uint8)
    corners = found[[0, 0, -1, -1], [0, -1, 0, -1], 0]
    assert corners.tolist() == np.round(PIXELS[5].reshape(8, 8)[[0, 0, -1, -1], [0, -1, 0, -1]] * 255 / 16).tolist()
    with pytest.raises(UsageError, match="out"):
        recipe.convert(source, tmp_path / "out")


@pytest.mark.parametrize(
    "content",
    [b"", table()[:-9], gzip.compress(b"1,2,x"), table(PIXELS[:, 1:]), table(PIXELS + 1), table(-PIXELS)],
    ids=["empty", "cut", "no number", "a pixel short", "above 16", "below 0"],
)
def test_a_damaged_table_is_refused_and_nothing_is_left(tmp_path, content):
    (tmp_path / "digits.csv.gz").write_bytes(content)
    with pytest.raises(DataError, match=r"digits\.csv\.gz"):
        recipe.convert(tmp_path / "digits.csv.gz", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["empty.whl", "folder"])
def test_a_source_without_the_table_is_refused(tmp_path, name):
    if name == "folder":
        (tmp_path / name).mkdir()
    else:
        zipfile.ZipFile(tmp_path / name, "w").close()
    with pytest.raises(DataError, match=r"digits\.csv\.gz"):
        recipe.convert(tmp_path / name, tmp_path / "out")
