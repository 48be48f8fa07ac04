"""The loader: data is a function of seed and image number."""

import shutil

import numpy as np
import pytest
import torch

from i2i.data import folders, toy
from i2i.data.loader import ImageNumbers, batches
from i2i.data.sets import make_set
from i2i.errors import ConfigError, DataError, ImageError, UsageError
from tests.conftest import save, tiny_config


def pictures(config, start, stop, kind="paired"):
    data = make_set(kind, config)
    return [torch.cat(side) for side in zip(*batches(data, config, start, stop, "cpu"), strict=True)]


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
    workers = pictures(tiny_config("data.workers=2", *extra, data=few_pairs), 0, 20, kind)
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
    assert [len(epoch) for epoch in seen] == [7] * 4  # none of the longer side is dropped or shown twice
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
    with pytest.raises(ConfigError, match="pix2pix learns from pictures"):
        make_set("paired", tiny_config("data.toy=ring"))
    with pytest.raises(ConfigError, match="colour_jitter changes the inputs of pairs"):
        make_set("unpaired", tiny_config("data.colour_jitter=0.5", data=few_pairs))
    for setting, kind in (("disjoint=true", "paired"), ("side=A", "unpaired"), ("channels_a=1", "images")):
        with pytest.raises(ConfigError, match=f"data.{setting.split('=')[0]} is .* no use for it"):
            make_set(kind, tiny_config(f"data.{setting}", data=few_pairs))
    with pytest.raises(ConfigError, match="takes no data folder"):
        make_set("images", tiny_config("data.toy=ring", data=few_pairs))
    assert "choose a side with data.side" in make_set("images", tiny_config(data=few_pairs)).note
    save(tmp_path / "one.png", 20, 20)
    with pytest.raises(DataError, match="the only picture there"):
        make_set("images", tiny_config(data=tmp_path))
    with pytest.raises(UsageError, match="Add --data FOLDER"):
        make_set("images", tiny_config("data.path=[]"))


@pytest.mark.parametrize("workers", [0, 1])
def test_a_picture_that_breaks_behind_its_header_is_named_in_one_line(few_pairs, tmp_path, workers, monkeypatch):
    shutil.copytree(few_pairs / "train", tmp_path / "train")
    path = sorted((tmp_path / "train").iterdir())[3]
    path.write_bytes(path.read_bytes()[:-200])
    config = tiny_config(f"data.workers={workers}", data=tmp_path)
    monkeypatch.setattr(folders, "FULL_CHECK_PAIRS", 1)  # as in a large folder, where only headers are read
    with pytest.raises(ImageError) as error:
        pictures(config, 0, 8)
    assert str(error.value).startswith(f"{path} is damaged")
    assert "\n" not in str(error.value)
