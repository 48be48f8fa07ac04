"""Tar shards: the same training, scores and translations as from folders, and what is damaged is said in a line."""

import io
import json
import shutil
import sys
import tarfile

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import i2i
from i2i.config.settings import DataSettings
from i2i.data.folders import find_images, find_pairs, find_sides, has_split
from i2i.data.items import read_pair
from i2i.data.loader import batches
from i2i.data.sets import make_set
from i2i.data.sharding import make_shards
from i2i.errors import DataError, ImageError, UsageError
from i2i.images import read_image
from i2i.images import shards as shard_files
from i2i.images.shards import member_names, read_file
from tests.conftest import picture, run_i2i, save, tiny_config

SMALL = 8_000
"""Bytes of an archive, so that there are several."""


@pytest.fixture(scope="module")
def folders(tmp_path_factory, few_pairs):
    """Shipped pairs in two folders of each split."""
    root = tmp_path_factory.mktemp("folders")
    for split in ("train", "val", "test"):
        for pair in find_pairs([str(few_pairs)], split):
            for side, array in zip("AB", read_pair(pair), strict=True):
                (root / f"{split}{side}").mkdir(exist_ok=True)
                i2i.images.write_image(root / f"{split}{side}" / f"{pair.name}.png", array)
    return root


@pytest.fixture(scope="module")
def shards(tmp_path_factory, folders):
    root = tmp_path_factory.mktemp("shards")
    made = make_shards([str(folders)], root, SMALL)
    assert len([path for path in made if path.name.startswith("train-")]) > 1
    return root


def test_the_command_packs_every_file_as_it_is(folders, tmp_path):
    done = run_i2i("shard", folders, "-o", tmp_path)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{one}-000000.tar" for one in ("test", "train", "val")]
    with tarfile.open(tmp_path / "train-000000.tar") as archive:
        names = archive.getnames()
        assert names[:2] == sorted(names[:2])
        assert all(names[k].split(".")[0] == names[k + 1].split(".")[0] for k in range(0, len(names), 2))
        first = names[0].split(".")[0]
        inside = archive.extractfile(f"{first}.b.png").read()
    assert inside == (folders / "trainB" / f"{first}.png").read_bytes()
    again = run_i2i("shard", folders, "-o", tmp_path)
    assert again.returncode == 2
    assert "--overwrite" in again.stderr
    assert run_i2i("shard", folders, "-o", tmp_path, "--overwrite").returncode == 0


@pytest.mark.parametrize("kind", ["paired", "unpaired"])
def test_batches_are_those_of_the_folder(folders, shards, kind):
    """For every seed and image number, on every rank, and from the middle on."""
    config, other = (tiny_config("data.disjoint=false", data=root) for root in (folders, shards))
    whole = make_set(kind, config)
    packed = make_set(kind, other)
    assert [name.removesuffix(".png") for name in whole.names] == packed.names
    for number in (0, 5, 77):
        for one, two in zip(whole[number].values(), packed[number].values(), strict=True):
            assert torch.equal(one, two)
    parts = [list(batches(packed, other, 8, 24, "cpu", rank, 2)) for rank in range(2)]
    straight = list(batches(whole, config, 8, 24, "cpu"))
    shown = sum(len(batch.batch["a"]) for part in parts for batch in part if batch)
    assert shown == sum(len(batch.batch["a"]) for batch in straight) == 16
    each = {tuple(image.flatten()[:50].tolist()) for part in parts for batch in part for image in batch.batch["b"]}
    every = {tuple(image.flatten()[:50].tolist()) for batch in straight for image in batch.batch["b"]}
    assert each == every  # together the ranks show what one would


def test_training_translating_and_scoring_from_shards(folders, shards, tmp_path):
    short = ("schedule.images=8", "schedule.decay_images=0", "log.samples_every_images=1000")
    run, same = (i2i.train(tiny_config(*short, data=root), tmp_path / root.name) for root in (shards, folders))
    weights = [load_file(file) for file in (run, same)]
    assert all(torch.equal(one, two) for one, two in zip(*(each.values() for each in weights), strict=True))
    scores = []
    for model, data in ((run, shards), (run, folders)):
        done = run_i2i("evaluate", "-m", model, "--data", data, "--json")
        assert done.returncode == 0, done.stderr
        scores.append(json.loads(done.stdout)["result"]["scores"][0]["model"])
    assert scores[0] == scores[1]
    tars = sorted(shards.glob("test-*.tar"))
    for name, sources in (("packed", tars), ("plain", [folders / "testB"])):  # the preset goes from B to A
        done = run_i2i("translate", *sources, "-m", run, "-o", tmp_path / name)
        assert done.returncode == 0, done.stderr
    plain = sorted((tmp_path / "plain").iterdir())
    assert [path.name for path in plain] == [path.name for path in sorted((tmp_path / "packed").iterdir())]
    for path in plain:
        assert path.read_bytes() == (tmp_path / "packed" / path.name).read_bytes()


def test_what_is_in_shards_is_found(folders, shards, tmp_path):
    for path in (str(shards), str(shards / "train-*.tar"), str(shards / "train-000000.tar")):
        pairs = find_pairs([path], "train")
        assert pairs
        assert all(pair.a.parent.name.startswith("train-") for pair in pairs)
    assert has_split([str(shards)], "val")
    assert not has_split([str(shards / "train-*.tar")], "val")
    a, _ = find_sides([str(shards)], "test")
    assert len(a) == len(list((folders / "testA").iterdir()))
    with pytest.raises(DataError, match=r"data\.side"):
        find_images([str(shards)], "train")
    assert find_images([str(shards)], "train", "A")[0].path.name.endswith(".a.png")
    make_shards([str(folders / "trainA")], tmp_path / "flat", 10**9)
    assert len(find_images([str(tmp_path / "flat")], "train")) == len(list((folders / "trainA").iterdir()))
    shutil.copytree(folders, tmp_path / "both")
    (tmp_path / "both" / "backup1.tar").write_bytes(b"no archive")
    assert find_pairs([str(tmp_path / "both")], "train")[0].a.parent.name == "trainA"  # folders are not hijacked


def test_unpaired_pictures_get_archives_of_their_own(tmp_path):
    for side, count in (("A", 3), ("B", 2)):
        for k in range(count):
            save(tmp_path / "data" / f"train{side}" / f"{side}{k}.png", 20, 20, seed=k)
    made = make_shards([str(tmp_path / "data")], tmp_path / "out", 10**9)
    assert sorted(path.name for path in made) == ["trainA-000000.tar", "trainB-000000.tar"]
    assert [len(side) for side in find_sides([str(tmp_path / "out")], "train")] == [3, 2]


@pytest.mark.parametrize("format_", [".npy", ".npz", ".tif", ".webp", ".jpg"])
def test_every_format_is_read_from_an_archive(tmp_path, format_):
    save(tmp_path / f"a{format_}", 20, 30)
    with tarfile.open(tmp_path / "x0.tar", "w") as archive:
        archive.add(tmp_path / f"a{format_}", f"./sub/a{format_}")
    inside = tmp_path / "x0.tar" / "sub" / f"a{format_}"
    np.testing.assert_array_equal(read_image(inside), read_image(tmp_path / f"a{format_}"))
    with pytest.raises(ImageError, match=r"b\.png"):
        read_image(tmp_path / "x0.tar" / "sub" / "b.png")


def archive_of(path, **members):
    with tarfile.open(path, "w") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name.replace("__", "."))
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def test_damaged_shards_say_so_in_one_line(tmp_path):
    content = archive_of(tmp_path / "good1.tar", a__png=b"x" * 3000, b__png=b"y" * 3000).read_bytes()
    damages = {
        "cut": content[:4000],
        "ends": content[:3584],  # between two members, where only the end is missing
        "header": content[:3584] + b"\xff" * 512 + content[4096:],
        "no": b"no archive at all" * 100,
        "empty": b"",
    }
    for name, damaged in damages.items():
        path = tmp_path / f"{name}1.tar"
        path.write_bytes(damaged)
        with pytest.raises(ImageError, match=name) as refused:
            member_names(path)
        assert "\n" not in str(refused.value)
        with pytest.raises(DataError):
            i2i.train(tiny_config(data=path), tmp_path / "run")


def test_members_that_lead_out_are_refused(tmp_path):
    for name in ("../evil.png", "/evil.png"):
        archive_of(tmp_path / "x1.tar", **{name: b"x"})
        shard_files._index.cache_clear()
        with pytest.raises(ImageError, match="leads out"):
            member_names(tmp_path / "x1.tar")


def test_an_index_is_made_once_and_anew_where_its_archive_changed(tmp_path, monkeypatch):
    path = archive_of(tmp_path / "x1.tar", a__png=b"old")
    assert read_file(path / "a.png") == b"old"
    shard_files._index.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(shard_files, "_members", None)  # another process reads the index
        assert read_file(path / "a.png") == b"old"
    archive_of(path, b__png=b"x" * 20000, a__png=b"new")
    shard_files._index.cache_clear()
    assert read_file(path / "a.png") == b"new"
    (tmp_path / "x1.tar.index").write_bytes(b"damaged")
    shard_files._index.cache_clear()
    assert read_file(path / "a.png") == b"new"


def test_a_million_names_take_little_memory(tmp_path):
    """The index is mapped, and a look-up is a binary search; names with partners cost what those of folders do."""
    rows = [(b"", 7, 8), *((b"%07d.a.png" % k, 512 * k, 100) for k in range(100_000))]
    path = archive_of(tmp_path / "x1.tar", a__png=b"x")
    rows[0] = (b"", *shard_files.stored(path))
    np.save(tmp_path / "rows.npy", np.array(rows, [("name", "S13"), ("offset", "<i8"), ("size", "<i8")]))
    (tmp_path / "rows.npy").rename(tmp_path / "x1.tar.index")
    shard_files._index.cache_clear()
    assert isinstance(shard_files._index(path), np.memmap)
    assert shard_files._place(path, path, "0099999.a.png") == (512 * 99_999, 100)
    with pytest.raises(FileNotFoundError):
        shard_files._place(path, path, "0100000.a.png")


def test_what_cannot_be_packed_is_refused(tmp_path):
    save(tmp_path / "data" / "a.b.png", 20, 20)
    save(tmp_path / "data" / "a_b.png", 20, 20)
    with pytest.raises(DataError, match="one name"):
        make_shards([str(tmp_path / "data")], tmp_path / "out", 10**9)
    done = run_i2i("shard", tmp_path / "none", "-o", tmp_path / "out")
    assert done.returncode == 1
    assert "none" in done.stderr
    tar = archive_of(tmp_path / "x1.tar", a__png=picture(4, 4).tobytes())
    assert run_i2i("translate", tar, "-m", "lineart", "--in-place").returncode == 2
    assert DataSettings(path=(str(tar),)).path == (str(tar),)
    with pytest.raises(UsageError):
        make_shards([str(tmp_path / "data")], tmp_path, 10**9)


def test_addresses_take_the_place_of_folders(shards, tmp_path, monkeypatch):
    """In the memory of fsspec; the index goes into the cache, and later readings fetch members alone."""
    fsspec = pytest.importorskip("fsspec")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    memory = fsspec.filesystem("memory")
    for path in shards.glob("*.tar"):
        memory.pipe_file(f"/sets/{path.name}", path.read_bytes())
    try:
        config, other = (tiny_config("data.workers=0", data=one) for one in ("memory://sets", shards))
        remote, local = make_set("paired", config), make_set("paired", other)
        assert remote.names == local.names
        assert torch.equal(remote[3]["a"], local[3]["a"])
        short = ("schedule.images=4", "schedule.decay_images=0", "log.samples_every_images=1000")
        run = i2i.train(tiny_config("data.workers=0", *short, data="memory://sets"), tmp_path / "run")
        assert i2i.load_config(tmp_path / "run" / "config.yaml").data.path == ("memory://sets",)
        tar = next(shards.glob("test-*.tar")).name
        assert run_i2i("translate", f"memory://sets/{tar}", "-m", run, "-o", tmp_path / "out").returncode == 0
        assert run_i2i("evaluate", "-m", run, "--data", "memory://sets").returncode == 0
        assert len(find_pairs(["memory://sets/train-*.tar"], "train")) == len(remote.lists[0])
        assert not list((tmp_path / "cache").rglob("*.part"))
        assert len(list((tmp_path / "cache" / "i2i" / "shards").iterdir())) == len(list(shards.glob("*.tar")))
        assert run_i2i("translate", tmp_path, "-m", run, "-o", "memory://out").returncode == 2
        with pytest.raises(DataError, match="nowhere"):
            make_set("paired", tiny_config(data="memory://nowhere"))
        with pytest.raises(DataError, match="nosuchkind"):
            make_set("paired", tiny_config(data="nosuchkind://bucket/x1.tar"))
        monkeypatch.setitem(sys.modules, "fsspec", None)
        with pytest.raises(UsageError, match=r"\[remote\]"):
            make_set("paired", tiny_config(data="memory://others"))
    finally:
        memory.rm("/sets", recursive=True)
