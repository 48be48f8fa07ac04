"""Parquet files as data sets on the hub lay them out, packed into shards or as they are: every byte, row and split."""

import io
import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import i2i
from i2i.data.folders import find_images, find_pairs, find_sides
from i2i.data.items import read_pair, read_picture
from i2i.data.sets import make_set
from i2i.data.sharding import make_shards
from i2i.errors import DataError, ImageError, UsageError
from i2i.images import parquet, read_image
from i2i.images import shards as shard_files
from tests.conftest import picture, run_i2i, tiny_config

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")


def encoded(seed, kind="PNG"):
    buffer = io.BytesIO()
    Image.fromarray(picture(20, 24, seed=seed % 9)).save(buffer, kind)
    return buffer.getvalue()


def write(path, columns, count=5, first=0, rows=None, **more):
    """Write a file with columns of images, {bytes, path}, each with its own pictures, and others; rows: of a group."""
    table = {
        name: [{"bytes": encoded(first + row + place), "path": f"{row}.x.png"} for row in range(count)]
        for place, name in enumerate(columns)
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"text": ["no picture"] * count, **table, **more}), path, row_group_size=rows)
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


@pytest.fixture
def table_folder(tmp_path):
    """A data set as from the hub: two files of train, small groups of rows, and splits in its folder data."""
    for split, first, count in (("train-0-of-2", 0, 7), ("train-1-of-2", 7, 5), ("validation-0", 2, 3), ("test", 4, 2)):
        write(tmp_path / "set" / "data" / f"{split}.parquet", ("a", "b"), count, first, rows=3)
    return tmp_path / "set"


def test_a_training_from_parquet_is_that_from_its_shards(table_folder, tmp_path):
    """The same names in the same order, so the same draws, and weights bit for bit; also where it goes on."""
    make_shards([str(table_folder)], tmp_path / "shards", 2000)
    packed, direct = (tiny_config("data.workers=0", data=root) for root in (tmp_path / "shards", table_folder))
    one, other = make_set("paired", packed), make_set("paired", direct)
    assert one.names == other.names
    assert one.digest == other.digest
    for number in (0, 5, 77):
        assert all(torch.equal(*each) for each in zip(one[number].values(), other[number].values(), strict=True))
    short = ("schedule.images=8", "schedule.decay_images=0", "log.checkpoint_every_images=4", "train.seed=3")
    roots = (tmp_path / "shards", table_folder)
    runs = [i2i.train(tiny_config(*short, data=root), tmp_path / f"run-{root.name}") for root in roots]
    shutil.copytree(runs[1].parent, tmp_path / "cut")
    (tmp_path / "cut" / "checkpoints" / "000000008.pt").unlink()
    runs.append(i2i.train(tiny_config(*short, data=table_folder), tmp_path / "cut", resume=True))
    weights = [load_file(file) for file in runs]
    for name, value in weights[0].items():
        assert all(torch.equal(value, each[name]) for each in weights[1:])


def test_translating_and_scoring_from_parquet(table_folder, tiny_run, tmp_path):
    """Of the side that goes in, B in this preset; outputs have the names of the file and the row."""
    for source in (table_folder, table_folder / "data" / "test.parquet"):
        out = tmp_path / source.name
        assert run_i2i("translate", source, "-m", tiny_run, "-o", out).returncode == 0
        for row in range(2):
            made = read_image(out / f"test-{row:09d}.png")
            expected = i2i.load(tiny_run)(Image.open(io.BytesIO(encoded(4 + row + 1))).convert("RGB"))
            np.testing.assert_array_equal(made, np.asarray(expected))
    assert len(list((tmp_path / "set").glob("*.png"))) == 17
    run = shutil.copytree(tiny_run, tmp_path / "run")  # which keeps its scores
    done = run_i2i("evaluate", "-m", run, "--data", table_folder, "--json")
    assert json.loads(done.stdout)["result"]["scores"][0]["pairs"] == 2
    refused = run_i2i("translate", table_folder / "data" / "test.parquet", "-m", tiny_run, "--in-place")
    assert "--in-place" in refused.stderr


def test_splits_and_sides_in_the_names_of_files(tmp_path):
    for name, count in (("trainA-0", 4), ("trainB-0", 3), ("valid-0", 2), ("testing", 2), ("testimony", 2)):
        write(tmp_path / f"{name}.parquet", ("image",), count)
    write(tmp_path / "metadata.parquet", ("image",))
    assert [len(side) for side in find_sides([str(tmp_path)], "train")] == [4, 3]
    assert [len(find_images([str(tmp_path)], split)) for split in ("val", "test")] == [2, 2]
    files = [str(tmp_path / f"{name}.parquet") for name in ("valid-0", "testing")]
    assert [pair.name for pair in find_pairs(files, "train")] == ["000000000", "000000001"]
    assert len(find_images([str(tmp_path / "*.parquet")], "train")) == 18


def test_groups_are_kept_up_to_a_limit(tmp_path, monkeypatch):
    file = write(tmp_path / "a.parquet", ("image",), 12, rows=2)
    paths = [one.path for one in find_images([str(file)], "train")]
    opened = []
    monkeypatch.setattr(parquet, "_opened", lambda path, real=parquet._opened: opened.append(path) or real(path))
    parquet._kept.clear()
    for path in paths:
        read_image(path)
    assert len(opened) <= 6 + 1  # one for each group, and one for the footer
    assert len(parquet._kept) == 6
    monkeypatch.setattr(parquet, "MOST_BYTES", 1)
    parquet._kept.clear()
    for path in reversed(paths):
        np.testing.assert_array_equal(read_image(path), picture(20, 24, seed=int(path.name[:9]) % 9))
    assert len(parquet._kept) == 2
    file.with_name("a.parquet.index").unlink()
    shard_files._index.cache_clear()
    with pytest.raises(ImageError, match="i2i shard"):
        find_images([str(file)], "train")


def test_parquet_at_an_address(table_folder, tiny_run, tmp_path, monkeypatch):
    fsspec = pytest.importorskip("fsspec")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    memory = fsspec.filesystem("memory")
    for path in table_folder.rglob("*.parquet"):
        memory.pipe_file(f"/tables/{path.name}", path.read_bytes())
    try:
        remote, local = (make_set("paired", tiny_config(data=one)) for one in ("memory://tables", table_folder))
        assert remote.names == local.names
        assert torch.equal(remote[3]["a"], local[3]["a"])
        done = run_i2i("translate", "memory://tables/test.parquet", "-m", tiny_run, "-o", tmp_path / "out")
        assert done.returncode == 0, done.stderr
        assert len(list((tmp_path / "out").iterdir())) == 2
    finally:
        memory.rm("/tables", recursive=True)


def hostile(kind, file):
    """Write a parquet file that trainings cannot read."""
    whole = write(file, ("a", "b"), 30).read_bytes()
    tables = {
        "types": {"image": [1, 2], "text": ["x", "y"]},
        "strings": {"image": [{"bytes": "x", "path": "y"}]},
        "empty": {"image": pa.array([], pa.binary())},
        "several": {"one": [b"x"], "two": [b"y"], "three": [b"z"]},
    }
    if kind in tables:
        pq.write_table(pa.table(tables[kind]), file)
    elif kind == "twice":
        pq.write_table(pa.Table.from_arrays([pa.array([b"x"])] * 2, names=["a", "a"]), file)
    else:
        file.write_bytes({"cut": whole[:-500], "hole": whole[:200] + whole[900:], "nothing": b""}[kind])


def test_a_row_without_a_picture_costs_no_other(tmp_path, tiny_run):
    rows = [{"bytes": content, "path": "x"} for content in (encoded(0), b"no picture", None, encoded(3))]
    pq.write_table(pa.table({"image": rows}), tmp_path / "x.parquet")
    done = run_i2i("translate", tmp_path / "x.parquet", "-m", tiny_run, "-o", tmp_path / "out")
    assert done.returncode == 3
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["x-000000000.png", "x-000000003.png"]
    for row in (1, 2):
        assert f"{row:09d}" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("kind", ["types", "strings", "empty", "several", "twice", "cut", "hole", "nothing"])
def test_hostile_files_are_refused_in_a_line(tmp_path, tiny_run, kind):
    hostile(kind, tmp_path / "x.parquet")
    for words in (["train", "lineart", "--data"], ["translate", "-m", tiny_run, "-o", tmp_path / "out"]):
        done = run_i2i(*words, tmp_path / "x.parquet")
        assert done.returncode in (1, 2)
        (line,) = [one for one in done.stderr.splitlines() if one.startswith("Error")]
        assert "x.parquet" in line or kind == "empty"
    assert not (tmp_path / "out").exists()
