"""Folders of pictures at addresses that fsspec knows: the same training and outputs as from a folder here."""

import pytest
import torch

import i2i
from i2i.data.folders import find_pairs
from i2i.data.items import read_pair
from i2i.data.sets import make_set
from i2i.errors import DataError
from i2i.images import write_image
from tests.conftest import run_i2i, tiny_config

fsspec = pytest.importorskip("fsspec")


@pytest.fixture
def here(tmp_path, few_pairs):
    """Shipped pairs in folders for A and B, and files that are no pictures or hidden."""
    for split in ("train", "val", "test"):
        for pair in find_pairs([str(few_pairs)], split)[:4]:
            for side, array in zip("AB", read_pair(pair), strict=True):
                (tmp_path / "here" / f"{split}{side}").mkdir(parents=True, exist_ok=True)
                write_image(tmp_path / "here" / f"{split}{side}" / f"{pair.name}.png", array)
    for name in ("readme.txt", "trainA/.hidden.png"):
        (tmp_path / "here" / name).write_text("no picture", encoding="utf-8")
    return tmp_path / "here"


@pytest.fixture
def there(here):
    """The same in fsspec's memory."""
    memory = fsspec.filesystem("memory")
    memory.put(f"{here}/", "/pictures", recursive=True)
    yield "memory://pictures"
    memory.rm("/pictures", recursive=True)


@pytest.mark.parametrize("kind", ["paired", "unpaired"])
def test_batches_are_those_of_the_folder(here, there, kind, tmp_path):
    for cache in ("none", "disk"):
        change = ("data.disjoint=false", f"data.cache={cache}", f"data.cache_path={tmp_path / 'cache'}")
        local, remote = (make_set(kind, tiny_config(*change, data=root)) for root in (here, there))
        assert local.names == remote.names
        assert any("hidden" in note for note in remote.notes)
        for number in (0, 5, 5):
            assert all(torch.equal(one, remote[number][name]) for name, one in local[number].items())


def test_training_scoring_and_translating(here, there, tmp_path):
    short = ("data.workers=0", "schedule.images=4", "schedule.decay_images=0", "log.samples_every_images=1000")
    run = i2i.train(tiny_config(*short, data=there), tmp_path / "run")
    assert i2i.load_config(tmp_path / "run" / "config.yaml").data.path == (there,)
    assert run_i2i("evaluate", "-m", run, "--data", there).returncode == 0
    sources = {"folder": f"{there}/testB", "pattern": f"{there}/testB/*.png", "local": here / "testB"}
    made = []
    for name, source in sources.items():
        done = run_i2i("translate", source, "-m", run, "-o", tmp_path / name)
        assert done.returncode == 0, done.stderr
        made.append({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()})
    assert len(made[0]) == 4
    assert made[0] == made[1] == made[2]
    first = min(made[0])
    assert run_i2i("translate", f"{there}/testB/{first}", "-m", run, "-o", tmp_path / "one.png").returncode == 0
    assert (tmp_path / "one.png").read_bytes() == made[0][first]


def test_what_is_not_there_is_said_in_a_line(there, tiny_run, tmp_path):
    for words, code in (
        ([f"{there}/nothing"], 2),
        ([f"{there}/*.gif"], 2),
        ([f"{there}/testB", "--in-place"], 2),
        ([f"{there}/readme.txt"], 3),
    ):
        output = [] if "--in-place" in words else ["-o", tmp_path / "out"]
        done = run_i2i("translate", *words, "-m", tiny_run, *output)
        assert done.returncode == code
        assert "pictures" in done.stderr
    with pytest.raises(DataError, match="nothing"):
        make_set("paired", tiny_config(data=f"{there}/nothing"))
