"""Parquet files as data sets on the hub lay them out, packed into shards: every byte, every row, and the splits."""

import io

import numpy as np
import pytest
from PIL import Image

from i2i.data.folders import find_images, find_pairs
from i2i.data.items import read_pair, read_picture
from i2i.data.sharding import make_shards
from i2i.errors import DataError, UsageError
from tests.conftest import picture, run_i2i

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")


def encoded(seed, kind="PNG"):
    buffer = io.BytesIO()
    Image.fromarray(picture(20, 24, seed=seed % 9)).save(buffer, kind)
    return buffer.getvalue()


def write(path, columns, count=5, first=0, **more):
    """Write a file with columns of images, {bytes, path}, each with its own pictures, and other columns."""
    table = {
        name: [{"bytes": encoded(first + row + place), "path": f"{row}.x.png"} for row in range(count)]
        for place, name in enumerate(columns)
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"text": ["no picture"] * count, **table, **more}), path)
    return path


def test_pairs_of_two_columns(tmp_path):
    for split, first, count in (("train-00000-of-00002", 0, 5), ("train-00001-of-00002", 5, 4), ("validation-0", 2, 3)):
        write(tmp_path / "data" / f"{split}.parquet", ("a", "b"), count, first)
    made = make_shards([str(tmp_path / "data")], tmp_path / "shards", 2000)
    assert len(made) > 3  # several in a split
    pairs = find_pairs([str(tmp_path / "shards")], "train")
    assert len(pairs) == 9
    assert len(find_pairs([str(tmp_path / "shards")], "val")) == 3
    for row, pair in enumerate(pairs):
        for place, array in enumerate(read_pair(pair)):
            np.testing.assert_array_equal(array, picture(20, 24, seed=(row + place) % 9))


def test_pictures_of_one_column_of_bytes_and_chosen_ones(tmp_path):
    kinds = ["PNG", "JPEG", "WEBP", "TIFF", "PNG"]
    plain = pa.array([encoded(row, kind) for row, kind in enumerate(kinds)], pa.binary())
    file = write(tmp_path / "a.parquet", ("one", "two", "three"), plain=plain)
    with pytest.raises(UsageError, match="--columns"):
        make_shards([str(file)], tmp_path / "shards", 10**6)
    with pytest.raises(UsageError, match="text"):
        make_shards([str(file)], tmp_path / "shards", 10**6, columns=["text"])
    assert run_i2i("shard", file, "-o", tmp_path / "shards", "--columns", "plain").returncode == 0
    found = find_images([str(tmp_path / "shards")], "train")
    assert [one.path.suffix for one in found] == [".png", ".jpg", ".webp", ".tif", ".png"]
    np.testing.assert_array_equal(read_picture(found[3]), picture(20, 24, seed=3))
    make_shards([str(file)], tmp_path / "pairs", 10**6, columns=["three", "one"])
    a, b = read_pair(find_pairs([str(tmp_path / "pairs")], "train")[1])
    np.testing.assert_array_equal(a, picture(20, 24, seed=3))
    np.testing.assert_array_equal(b, picture(20, 24, seed=1))


def test_rows_without_a_picture_and_damaged_files_are_named(tmp_path):
    missing = [{"bytes": encoded(0), "path": None}, {"bytes": None, "path": "far/away.png"}]
    pq.write_table(pa.table({"image": missing}), tmp_path / "missing.parquet")
    (tmp_path / "damaged.parquet").write_bytes(b"PAR1 and no more")
    pq.write_table(pa.table({"image": [b"no picture"]}), tmp_path / "text.parquet")
    for name, words in (("missing", "row 2"), ("damaged", "damaged"), ("text", "row 1")):
        with pytest.raises(DataError, match=words):
            make_shards([str(tmp_path / f"{name}.parquet")], tmp_path / name, 10**6)


def test_a_parquet_file_in_place_of_a_folder_says_how_to_pack_it(tmp_path):
    (tmp_path / "train.parquet").write_bytes(b"PAR1")
    for words in (["train", "lineart", "--data"], ["translate", "-m", "lineart", "-o", tmp_path / "out"]):
        done = run_i2i(*words, tmp_path / "train.parquet")
        assert done.returncode in (1, 2)
        assert "i2i shard" in done.stderr
