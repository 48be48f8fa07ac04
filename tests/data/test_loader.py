"""The loader: data is a function of seed and image number."""

import shutil

import pytest
import torch

from i2i.data.folders import find_pairs
from i2i.data.loader import ImageNumbers, batches
from i2i.errors import ImageError
from tests.conftest import save, tiny_config


def pictures(config, pairs, start, stop):
    return [torch.cat(side) for side in zip(*batches(pairs, config, start, stop, "cpu"), strict=True)]


def test_numbers_run_through_without_a_gap():
    assert list(ImageNumbers(3, 10, 4)) == [[3, 4, 5, 6], [7, 8, 9]]
    assert len(ImageNumbers(3, 10, 4)) == 2
    assert list(ImageNumbers(10, 10, 4)) == []


def test_starting_later_and_more_workers_change_nothing(few_pairs):
    config = tiny_config(data=few_pairs)
    pairs = find_pairs([str(few_pairs)], "train")
    whole = pictures(config, pairs, 0, 20)
    later = pictures(config, pairs, 12, 20)
    workers = pictures(tiny_config("data.workers=2", data=few_pairs), pairs, 0, 20)
    for side in range(2):
        assert whole[side].shape == (20, 3, 16, 16)
        assert torch.equal(whole[side][12:], later[side])
        assert torch.equal(whole[side], workers[side])
    other_seed = pictures(tiny_config("train.seed=1", data=few_pairs), pairs, 0, 20)
    assert not torch.equal(whole[0], other_seed[0])


def test_the_batch_size_does_not_change_what_is_seen(few_pairs):
    pairs = find_pairs([str(few_pairs)], "train")
    four = pictures(tiny_config("train.batch=4", data=few_pairs), pairs, 0, 12)
    three = pictures(tiny_config("train.batch=3", data=few_pairs), pairs, 0, 12)
    assert torch.equal(four[0], three[0])


def test_every_epoch_shows_every_picture_once(few_pairs):
    config = tiny_config("data.flip=false", "data.resize_px=16", data=few_pairs)
    pairs = find_pairs([str(few_pairs)], "train")
    epochs = pictures(config, pairs, 0, 24)[0].split(8)
    seen = [sorted(p.numpy().tobytes() for p in epoch) for epoch in epochs]
    assert seen[0] == seen[1] == seen[2]
    assert len(set(seen[0])) == 8
    assert not torch.equal(epochs[0], epochs[1])  # in another order


def test_channels_and_depth_are_as_configured(tmp_path):
    save(tmp_path / "trainA" / "x.png", 20, 30, 1, "uint16")
    save(tmp_path / "trainB" / "x.png", 20, 30, 4)
    config = tiny_config("data.channels_a=1", "data.channels_b=4", data=tmp_path)
    a, b = pictures(config, find_pairs([str(tmp_path)], "train"), 0, 4)
    assert a.shape == (4, 1, 16, 16)
    assert b.shape == (4, 4, 16, 16)
    for side in (a, b):
        assert side.dtype == torch.float32
        assert -1 <= side.min() <= side.max() <= 1


@pytest.mark.parametrize("workers", [0, 1])
def test_a_picture_that_breaks_behind_its_header_is_named_in_one_line(few_pairs, tmp_path, workers):
    shutil.copytree(few_pairs / "train", tmp_path / "train")
    path = sorted((tmp_path / "train").iterdir())[3]
    path.write_bytes(path.read_bytes()[:-200])
    config = tiny_config(f"data.workers={workers}", data=tmp_path)
    with pytest.raises(ImageError) as error:
        pictures(config, find_pairs([str(tmp_path)], "train"), 0, 8)
    assert str(error.value).startswith(f"{path} is damaged")
    assert "\n" not in str(error.value)
