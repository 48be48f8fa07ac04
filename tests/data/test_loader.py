"""The loader: data is a function of seed and image number."""

import errno
import json
import multiprocessing
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from i2i.data import loader, toy
from i2i.data.broken import BrokenPictures
from i2i.data.loader import batches
from i2i.data.numbers import ImageNumbers
from i2i.data.sets import PairSet, make_set
from i2i.errors import ConfigError, DataError, LoaderError, UsageError
from tests.conftest import ROOT, save, tiny_config


def pictures(config, start, stop, kind="paired"):
    data = make_set(kind, config)
    loaded = batches(data, config, start, stop, "cpu")
    return [torch.cat(side) for side in zip(*(batch.values() for batch, _ in loaded), strict=True)]


def test_numbers_run_through_without_a_gap():
    assert list(ImageNumbers(3, 10, 4)) == [[3, 4, 5, 6], [7, 8, 9]]
    assert len(ImageNumbers(3, 10, 4)) == 2
    assert list(ImageNumbers(10, 10, 4)) == []


@pytest.mark.parametrize("kind", ["paired", "unpaired", "images"])
def test_starting_later_and_more_workers_change_nothing(few_pairs, kind):
    extra = ["data.side=A"] if kind == "images" else []
    config = tiny_config(*extra, data=few_pairs)
    whole = pictures(config, 0, 20, kind)
    later = pictures(config, 12, 20, kind)
    # processes take seconds to start: pairs stand for all
    workers = pictures(tiny_config(f"data.workers={2 * (kind == 'paired')}", *extra, data=few_pairs), 0, 20, kind)
    assert len(whole) == (1 if kind == "images" else 2)
    for side in range(len(whole)):
        assert whole[side].shape == (20, 3, 16, 16)
        assert torch.equal(whole[side][12:], later[side])
        assert torch.equal(whole[side], workers[side])
    other_seed = pictures(tiny_config("train.seed=1", *extra, data=few_pairs), 0, 20, kind)
    assert not torch.equal(whole[0], other_seed[0])


def test_the_batch_size_does_not_change_what_is_seen(few_pairs):
    four = pictures(tiny_config("train.batch=4", data=few_pairs), 0, 12)
    three = pictures(tiny_config("train.batch=3", data=few_pairs), 0, 12)
    assert torch.equal(four[0], three[0])


def test_every_epoch_shows_every_picture_once(few_pairs):
    config = tiny_config("data.flip=false", "data.resize_px=16", data=few_pairs)
    epochs = pictures(config, 0, 24)[0].split(8)
    seen = [sorted(p.numpy().tobytes() for p in epoch) for epoch in epochs]
    assert seen[0] == seen[1] == seen[2]
    assert len(set(seen[0])) == 8
    assert not torch.equal(epochs[0], epochs[1])  # in another order


def test_channels_and_depth_are_as_configured(tmp_path):
    save(tmp_path / "trainA" / "x.png", 20, 30, 1, "uint16")
    save(tmp_path / "trainB" / "x.png", 20, 30, 4)
    config = tiny_config("data.channels_a=1", "data.channels_b=4", data=tmp_path)
    a, b = pictures(config, 0, 4)
    assert a.shape == (4, 1, 16, 16)
    assert b.shape == (4, 4, 16, 16)
    for side in (a, b):
        assert side.dtype == torch.float32
        assert -1 <= side.min() <= side.max() <= 1


def test_an_unpaired_epoch_is_the_longer_side_with_partners_drawn_anew(tmp_path):
    for k in range(3):
        save(tmp_path / "trainA" / f"{k}.png", 20, 20, seed=k)
    for k in range(7):
        save(tmp_path / "trainB" / f"{k}.png", 20, 20, seed=10 + k)
    config = tiny_config("data.flip=false", "data.resize_px=16", data=tmp_path)
    data = make_set("unpaired", config)
    assert (data.epoch_images, data.what) == (7, "3 pictures of A and 7 pictures of B")
    a, b = pictures(config, 0, 28, "unpaired")
    seen = [{p.numpy().tobytes() for p in epoch} for epoch in b.split(7)]
    assert [len(epoch) for epoch in seen] == [7] * 4  # no picture of the longer side is dropped or shown twice
    assert seen[0] == seen[3]
    partners = {}
    for one, two in zip(a, b, strict=True):
        partners.setdefault(two.numpy().tobytes(), set()).add(one.numpy().tobytes())
    assert len(set.union(*partners.values())) == 3
    assert sum(len(group) > 1 for group in partners.values()) >= 4  # another one each time
    assert make_set("unpaired", tiny_config(data=tmp_path)).digest == data.digest


def test_sides_of_unpaired_pictures_are_augmented_apart(few_pairs, tmp_path):
    save(tmp_path / "trainA" / "x.png", 64, 64)
    save(tmp_path / "trainB" / "y.png", 64, 64)
    a, b = pictures(tiny_config("data.resize_px=40", data=tmp_path), 0, 8, "unpaired")
    assert not any(torch.equal(one, two) for one, two in zip(a, b, strict=True))


def test_toy_points_are_drawn_without_end():
    config = tiny_config("data.toy=ring", "data.path=[]")
    (points,) = pictures(config, 4000, 4200, "images")
    assert points.shape == (200, 2)
    modes, good = toy.modes_found("ring", points.numpy())
    assert (modes, good) == (8, pytest.approx(1 - np.exp(-4.5), abs=0.03))  # within 3 sigma in the plane
    (later,) = pictures(config, 4100, 4200, "images")
    assert torch.equal(points[100:], later)
    assert len({tuple(point.tolist()) for point in points}) == 200


def test_modes_are_counted_as_in_the_papers():
    grid = toy.TOYS["grid"]
    assert len(grid.centres) == 25
    good = grid.centres[:5] + np.array([0, 2.9 * grid.sigma])
    bad = grid.centres[5:10] + np.array([0, 3.1 * grid.sigma])
    assert toy.modes_found("grid", good) == (5, 1.0)
    assert toy.modes_found("grid", bad) == (0, 0.0)


def test_data_that_an_algorithm_cannot_use_is_refused(few_pairs, tmp_path):
    with pytest.raises(ConfigError, match="pix2pix"):
        make_set("paired", tiny_config("data.toy=ring"))
    with pytest.raises(ConfigError, match="colour_jitter"):
        make_set("unpaired", tiny_config("data.colour_jitter=0.5", data=few_pairs))
    for setting, kind in (("disjoint=true", "paired"), ("side=A", "unpaired"), ("channels_a=1", "images")):
        with pytest.raises(ConfigError, match=rf"data\.{setting.split('=')[0]}\b"):
            make_set(kind, tiny_config(f"data.{setting}", data=few_pairs))
    with pytest.raises(ConfigError, match="data folder"):
        make_set("images", tiny_config("data.toy=ring", data=few_pairs))
    assert "data.side" in make_set("images", tiny_config(data=few_pairs)).notes[-1]
    save(tmp_path / "one.png", 20, 20)
    with pytest.raises(DataError, match="only picture"):
        make_set("images", tiny_config("data.crop_px=18", data=tmp_path))
    crops = make_set("images", tiny_config("data.side=null", data=tmp_path))
    assert any((crops[0]["image"] != crops[number]["image"]).any() for number in range(1, 9))
    with pytest.raises(UsageError, match="--data"):
        make_set("images", tiny_config("data.path=[]"))


def with_broken(few_pairs, folder, *places):
    """A copy of the training pairs in which those at `places` are cut off after their headers."""
    shutil.copytree(few_pairs / "train", folder / "train")
    broken = [path for place, path in enumerate(sorted((folder / "train").iterdir())) if place in places]
    for path in broken:
        path.write_bytes(path.read_bytes()[:-200])
    return [str(path) for path in broken]


@pytest.mark.parametrize("kind", ["paired", "unpaired", "images"])
def test_a_broken_picture_loses_its_turns_and_changes_no_other(few_pairs, tmp_path, kind):
    broken = with_broken(few_pairs, tmp_path, 3)
    extra = ["data.side=A"] if kind == "images" else []
    other = ["data.workers=1"] if kind == "paired" else ["data.cache=ram", "data.workers=3"]
    configs = [tiny_config(*extra, *more, data=tmp_path) for more in ([], other, ["train.batch=3"])]
    runs = [list(batches(make_set(kind, config), config, 0, 24, "cpu")) for config in configs]
    sides = [[torch.cat(side) for side in zip(*(loaded.batch.values() for loaded in run), strict=True)] for run in runs]
    whole = pictures(tiny_config(*extra, data=few_pairs), 0, 24, kind)
    healthy = make_set(kind, configs[0])
    for index in range(len(whole)):
        assert torch.equal(sides[0][index], sides[1][index])
        assert torch.equal(sides[0][index], sides[2][index])
        own = [broken[0] == str(healthy.files(number)[min(index, len(healthy.lists) - 1)]) for number in range(24)]
        kept = [torch.equal(one, two) for one, two in zip(sides[0][index], whole[index], strict=True)]
        assert kept == [not one for one in own]
    for run in runs:
        assert {name for loaded in run for name in loaded.broken} == set(broken)
        assert "is damaged" in next(reason for loaded in run for reason in loaded.broken.values())


def test_each_broken_picture_is_named_once_and_too_many_end_the_run(few_pairs, tmp_path):
    names = with_broken(few_pairs, tmp_path, 1, 2, 5)
    data = make_set("paired", tiny_config(data=tmp_path))
    seen = BrokenPictures(data)
    (note,) = seen.add({names[0]: "x is damaged."})
    assert re.search("^x .*1 of 8", note)
    assert seen.add({names[0]: "x is damaged."}) == []
    resumed = BrokenPictures(data)
    resumed.load_state_dict(seen.state_dict())
    assert resumed.add({names[0]: "x is damaged."}) == []
    mended = BrokenPictures(data)
    mended.load_state_dict(seen.state_dict())
    assert len(mended.add({names[1]: "y.", names[2]: "z."})) == 2
    with pytest.raises(DataError, match="3 of 8 pictures"):
        seen.add({names[1]: "y.", names[2]: "z."})


def test_what_is_broken_from_the_start_is_named_and_may_not_be_too_much(few_pairs, tmp_path):
    names = with_broken(few_pairs, tmp_path, 1, 2, 5)
    config = tiny_config("data.skip_broken=true", "data.full_check=true", data=tmp_path)
    with pytest.raises(DataError, match=r"3 of 8 pairs.*data\.skip_broken.*25%"):
        make_set("paired", config)
    Path(names[0]).unlink()
    with pytest.raises(DataError, match="2 of 7 pairs"):
        make_set("paired", config)
    shutil.copy(few_pairs / "train" / Path(names[0]).name, names[0])
    data = make_set("paired", config)
    skipped, _ = data.notes
    assert re.search(f"^2 of 8 pairs .*: {re.escape(names[1])}, {re.escape(names[2])}", skipped)


def test_a_side_without_one_good_picture_is_refused(tmp_path):
    for k in range(9):
        save(tmp_path / f"train{'B' if k else 'A'}" / f"{k}.png", 20, 20)
    (tmp_path / "trainA" / "0.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"\bA\b.*0\.png"):
        make_set("unpaired", tiny_config("data.skip_broken=true", data=tmp_path))


def test_running_out_of_memory_is_not_blamed_on_the_picture(few_pairs, monkeypatch):
    config = tiny_config("data.skip_broken=true", data=few_pairs)
    data = make_set("paired", config)

    def decode(image, path):
        raise MemoryError

    monkeypatch.setattr("i2i.images.source.decode", decode)
    with pytest.raises(MemoryError, match="memory"):
        list(batches(data, config, 0, 8, "cpu"))
    with pytest.raises(DataError, match="memory"):
        make_set("paired", tiny_config("data.skip_broken=true", "data.full_check=true", data=few_pairs))


@pytest.mark.parametrize("workers", [0, 1])
def test_data_that_disappears_is_one_error(few_pairs, tmp_path, workers):
    shutil.copytree(few_pairs / "train", tmp_path / "train")
    config = tiny_config(f"data.workers={workers}", data=tmp_path)
    data = make_set("paired", config)
    shutil.rmtree(tmp_path / "train")  # as on a network mount that goes away
    with pytest.raises(DataError, match="20 pictures") as error:
        list(batches(data, config, 0, 8, "cpu"))
    assert "\n" not in str(error.value)


class Trouble(PairSet):
    """Fails from image number 8 on."""

    def load(self, numbers):
        if numbers[0] >= 8:
            if self.config.train.seed == 1:
                os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(60)
        return super().load(numbers)


def test_a_hanging_read_is_named(few_pairs):
    config = tiny_config("data.timeout_s=1", data=few_pairs)
    data, seen = Trouble(config), []
    with pytest.raises(LoaderError, match=r"1 s \(data\.timeout_s\)") as error:
        seen.extend(batches(data, config, 0, 40, "cpu"))
    assert len(seen) == 2
    assert str(data.files(8)[0]) in str(error.value)
    assert "\n" not in str(error.value)


def test_processes_that_do_not_answer_are_ended(few_pairs):
    config = tiny_config("data.workers=2", "data.timeout_s=1", data=few_pairs)  # they need longer to start
    with pytest.raises(LoaderError, match=r"data\.timeout_s"):
        list(batches(make_set("paired", config), config, 0, 40, "cpu"))
    assert not multiprocessing.active_children()


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_a_worker_that_dies_is_named_with_its_likely_cause(few_pairs):
    config = tiny_config("data.workers=1", "train.seed=1", data=few_pairs)
    with pytest.raises(LoaderError, match=r"1 of 1 \(pid \d+\).*memory") as error:
        list(batches(Trouble(config), config, 0, 40, "cpu"))
    assert error.value.exit_code == 4
    assert not multiprocessing.active_children()


_DEAF = """
import multiprocessing, os, time
from i2i.data.loader import STOPS, _ignoring_stops

children = [multiprocessing.get_context("spawn").Process(target=time.sleep, args=(60,), daemon=True) for _ in range(2)]
with _ignoring_stops():
    for child in children:
        child.start()
for child in children:
    status = open(f"/proc/{child.pid}/status").read()
    child.kill()
    blocked = int(status.split("SigBlk:")[1].split()[0], 16)
    assert all(blocked >> (stop - 1) & 1 for stop in STOPS), hex(blocked)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_loader_processes_ignore_signals_from_the_start():
    done = subprocess.run([sys.executable, "-c", _DEAF], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


_NO_GUARD = """
import sys
from i2i.data.loader import batches
from i2i.data.sets import make_set
from tests.conftest import tiny_config

print("the script ran")
config = tiny_config("data.workers=2", data=sys.argv[1])
print(len(list(batches(make_set("paired", config), config, 0, 8, "cpu"))), sys.modules["__main__"].__file__)
"""


def test_a_script_needs_no_main_guard(few_pairs, tmp_path):
    """Spawned processes import the user's script, as Python always does."""
    script = tmp_path / "script.py"
    script.write_text(_NO_GUARD)
    words = [sys.executable, str(script), str(few_pairs)]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=env)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["the script ran", f"2 {script}"]
    assert done.stderr == ""


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_leaving_early_ends_threads_and_processes(few_pairs, workers):
    config = tiny_config(f"data.workers={workers}", data=few_pairs)
    loaded, others = batches(make_set("paired", config), config, 0, 4000, "cpu"), set(threading.enumerate())
    next(loaded)
    assert set(threading.enumerate()) - others
    loaded.close()  # as at the end of a for loop on Ctrl-C
    left = set(threading.enumerate()) - others
    for thread in left:  # the feeder threads of torch's queues end a moment after the queues
        thread.join(5)
    assert not [thread for thread in left if thread.is_alive()]
    assert not multiprocessing.active_children()


@pytest.mark.parametrize("kind", ["paired", "unpaired", "images"])
@pytest.mark.parametrize("cache", ["ram", "disk"])
def test_a_cache_changes_nothing_and_spares_decoding(few_pairs, tmp_path, kind, cache, monkeypatch):
    extra = [f"data.cache_path={json.dumps(str(tmp_path / 'cache'))}", *(["data.side=A"] if kind == "images" else [])]
    plain = pictures(tiny_config(*extra, data=few_pairs), 0, 24, kind)
    config = tiny_config(f"data.cache={cache}", *extra, data=few_pairs)
    data = make_set(kind, config)
    assert any("cache" in note for note in data.notes)
    list(batches(data, config, 0, 24, "cpu"))
    reads = []
    monkeypatch.setattr("i2i.data.items.read_masked", lambda path: reads.append(path))
    if cache == "disk":
        data = make_set(kind, config)  # another run
    cached = [
        torch.cat(side)
        for side in zip(*(one.batch.values() for one in batches(data, config, 0, 24, "cpu")), strict=True)
    ]
    assert not reads
    assert all(torch.equal(one, two) for one, two in zip(plain, cached, strict=True))


def test_kornia_takes_cached_pictures_whole(few_pairs):
    plain = pictures(tiny_config("data.augment=kornia", data=few_pairs), 0, 16)
    cached = pictures(tiny_config("data.augment=kornia", "data.cache=ram", "data.workers=3", data=few_pairs), 0, 16)
    assert plain[0].shape == (16, 3, 18, 18)
    assert torch.equal(plain[0], cached[0])


def test_a_cache_on_disk_follows_the_file(few_pairs, tmp_path):
    shutil.copytree(few_pairs / "train", tmp_path / "train")
    config = tiny_config("data.cache=disk", f"data.cache_path={json.dumps(str(tmp_path / 'cache'))}", data=tmp_path)
    before = pictures(config, 0, 8)
    for path in (tmp_path / "cache").rglob("*.npy"):
        path.write_bytes(path.read_bytes()[:-1])  # power was cut
    assert torch.equal(pictures(config, 0, 8)[0], before[0])
    for path in (tmp_path / "cache").rglob("*.npy"):
        path.write_bytes(path.read_bytes()[:128] + bytes(path.stat().st_size - 128))
    assert torch.equal(pictures(config, 0, 8)[0], before[0])
    first = sorted((tmp_path / "train").iterdir())[0]
    save(first, 64, 128, seed=99)
    assert not torch.equal(pictures(config, 0, 8)[0], before[0])


def test_a_cache_that_does_not_fit_is_refused(few_pairs, tmp_path, monkeypatch):
    monkeypatch.setattr("i2i.data.cache.available_bytes", lambda: 10_000)
    with pytest.raises(ConfigError, match=r"data\.cache ram.*15\.6 KB.*10\.0 KB"):
        make_set("paired", tiny_config("data.cache=ram", data=few_pairs))
    monkeypatch.setattr("i2i.data.cache.available_bytes", lambda: None)
    make_set("paired", tiny_config("data.cache=ram", data=few_pairs))
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=10_000))
    with pytest.raises(ConfigError, match=r"data\.cache disk"):
        make_set("paired", tiny_config("data.cache=disk", data=few_pairs))


def test_what_is_in_the_cache_needs_no_room(few_pairs, tmp_path, monkeypatch):
    config = tiny_config("data.cache=disk", f"data.cache_path={json.dumps(str(tmp_path))}", data=few_pairs)
    pictures(config, 0, 8)
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=10_000))
    assert any("0 bytes" in note for note in make_set("paired", config).notes)


def test_a_cache_that_cannot_be_written_is_refused_and_an_old_one_swept(few_pairs, tmp_path):
    old, new = (tmp_path / f".i2i-part-{name}.npy" for name in ("old", "new"))
    for path in (old, new):
        path.write_bytes(b"x")
    os.utime(old, (time.time() - 7200,) * 2)
    make_set("paired", tiny_config("data.cache=disk", f"data.cache_path={json.dumps(str(tmp_path))}", data=few_pairs))
    assert list(tmp_path.iterdir()) == [new]
    with pytest.raises(ConfigError, match=rf"data\.cache disk.*new\.npy/x: {os.strerror(errno.ENOTDIR)}"):
        make_set("paired", tiny_config("data.cache=disk", f"data.cache_path={json.dumps(f'{new}/x')}", data=few_pairs))


def test_many_workers_are_taken_without_a_warning(few_pairs):
    data = make_set("paired", tiny_config(data=few_pairs))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loader._Processes(data, ImageNumbers(0, 8, 4), 1000)  # no process has started yet


def test_workers_are_chosen_from_the_machine(monkeypatch):
    monkeypatch.setattr(loader, "core_count", lambda: 16)
    assert [loader.worker_count(tiny_config(), device) for device in ("cpu", "cuda")] == [0, 8]
    assert loader.worker_count(tiny_config("data.toy=ring"), "cuda") == 0
    assert loader.worker_count(tiny_config("data.workers=3"), "cpu") == 3
    monkeypatch.setattr(loader, "core_count", lambda: 2)
    assert loader.worker_count(tiny_config(), "cuda") == 1
