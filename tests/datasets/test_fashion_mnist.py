"""datasets/fashion_mnist.py on small IDX files."""

import gzip

import numpy as np
import pytest

from i2i.errors import DataError, UsageError
from i2i.images import read_image
from tests.conftest import ROOT, load_script

recipe = load_script(ROOT / "datasets" / "fashion_mnist.py")


def idx(array):
    header = [0x0800 + array.ndim, *array.shape]
    return b"".join(number.to_bytes(4, "big") for number in header) + array.tobytes()


@pytest.fixture
def source(tmp_path):
    """Five training pictures, plain, and three test pictures, compressed, in a folder of their own."""
    folder = tmp_path / "share" / "fashion"
    folder.mkdir(parents=True)
    for prefix, count in (("train", 5), ("t10k", 3)):
        pixels = np.random.default_rng(count).integers(0, 256, (count, 28, 28), np.uint8)
        labels = np.arange(9, 9 - count, -1, dtype=np.uint8)
        for name, array in (("images-idx3", pixels), ("labels-idx1", labels)):
            plain = prefix == "train"
            path = folder / f"{prefix}-{name}-ubyte{'' if plain else '.gz'}"
            path.write_bytes(idx(array) if plain else gzip.compress(idx(array)))
    return folder


def test_pictures_keep_their_pixels_inside_a_black_border(source, tmp_path, capsys):
    recipe.main([str(tmp_path / "share"), str(tmp_path / "out")])
    names = [f"test/{number:05}_{9 - number}.png" for number in range(3)]
    names += [f"train/{number:05}_{9 - number}.png" for number in range(5)]
    written = sorted((tmp_path / "out").rglob("*.png"))
    assert [path.relative_to(tmp_path / "out").as_posix() for path in written] == names
    pixels = np.random.default_rng(5).integers(0, 256, (5, 28, 28), np.uint8)
    fourth = read_image(tmp_path / "out" / "train" / "00003_6.png")
    np.testing.assert_array_equal(fourth[:, :, 0], np.pad(pixels[3], 2))
    assert "5 pictures of 32 px" in capsys.readouterr().out


def test_size_and_limit(source, tmp_path):
    assert recipe.convert(source, tmp_path / "out", 64, 2) == {"train": 2, "test": 2}
    assert read_image(tmp_path / "out" / "test" / "00001_8.png").shape == (64, 64, 1)
    with pytest.raises(UsageError, match="out"):
        recipe.convert(source, tmp_path / "out")


@pytest.mark.parametrize(
    ("name", "change", "match"),
    [
        ("train-images-idx3-ubyte", lambda data: data[:-1], "3,919"),
        ("train-images-idx3-ubyte", lambda data: data + b"x", "more"),
        ("train-images-idx3-ubyte", lambda data: data[:3], "header is wrong"),
        ("train-images-idx3-ubyte", lambda data: b"\x89PNG" + data[4:], "header is wrong"),
        ("train-images-idx3-ubyte", lambda data: data[:4] + b"\xff" * 12 + data[16:], "are read"),
        ("t10k-images-idx3-ubyte.gz", lambda data: data[: len(data) // 2], "damaged"),
        ("t10k-images-idx3-ubyte.gz", lambda data: data[:-8] + bytes(8), "damaged"),
        ("t10k-labels-idx1-ubyte.gz", lambda data: b"text", "damaged"),
        ("train-labels-idx1-ubyte", lambda data: idx(np.zeros(4, np.uint8)), "5 pictures.* 4 labels"),
        ("t10k-labels-idx1-ubyte.gz", lambda data: None, "holds neither"),
    ],
)
def test_a_wrong_file_is_named_and_nothing_stays(source, tmp_path, name, change, match):
    path = source / name
    data = change(path.read_bytes())
    path.unlink() if data is None else path.write_bytes(data)
    with pytest.raises(DataError, match=match):
        recipe.convert(source, tmp_path / "out")
    assert [entry.name for entry in tmp_path.iterdir()] == ["share"]


def test_two_copies_and_packages_are_asked_about(source, tmp_path):
    (source / "train-images-idx3-ubyte.gz").write_bytes(b"")
    with pytest.raises(DataError, match="images-idx3"):
        recipe.convert(source, tmp_path / "out")
    (tmp_path / "fashion.deb").write_bytes(b"")
    with pytest.raises(DataError, match="dpkg-deb -x"):
        recipe.convert(tmp_path / "fashion.deb", tmp_path / "out")
