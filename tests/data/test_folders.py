"""Data folders: the layouts that are read, and one message for all that does not fit."""

import shutil

import numpy as np
import pytest
from PIL import Image

from i2i.data import folders
from i2i.data.folders import check_pairs, find_pairs, find_preview_pairs, has_split, read_pair, refuse_small
from i2i.errors import DataError, UsageError
from i2i.images import write_image
from tests.conftest import LINEART, MAPS, picture, save


def two_folders(a, b, names=("x", "y"), suffixes=(".png", ".jpg"), size=(20, 30)):
    for seed, name in enumerate(names):
        save(a / f"{name}{suffixes[0]}", *size, seed=seed)
        save(b / f"{name}{suffixes[1]}", *size, seed=seed + 1)


@pytest.mark.parametrize(
    ("a", "b", "paths"),
    [
        ("trainA", "trainB", ["."]),
        ("train/A", "train/B", ["."]),
        ("photos", "drawings", ["photos", "drawings"]),
        ("photos/train", "drawings/train", ["photos", "drawings"]),
    ],
)
def test_two_folders_are_matched_by_name(tmp_path, a, b, paths):
    two_folders(tmp_path / a, tmp_path / b, names=("x", "sub/y"))
    paths = [str(tmp_path / path) for path in paths]
    pairs = find_pairs(paths, "train")
    assert [(pair.name, pair.a.suffix, pair.b.suffix) for pair in pairs] == [
        ("sub/y", ".png", ".jpg"),
        ("x", ".png", ".jpg"),
    ]
    assert check_pairs(pairs) == [(20, 30), (20, 30)]
    first, second = read_pair(pairs[1])
    np.testing.assert_array_equal(first, picture(20, 30, seed=0))
    assert second.shape == (20, 30, 3)
    assert not has_split(paths, "val")


def test_side_by_side_files_are_cut_in_the_middle():
    pairs = find_pairs([str(LINEART)], "test")
    assert len(pairs) == 152
    assert set(check_pairs(pairs)) == {(64, 64)}
    a, b = read_pair(pairs[0])
    whole = np.asarray(Image.open(pairs[0].a).convert("RGB"))
    np.testing.assert_array_equal(np.concatenate([a, b], axis=1), whole)
    assert len(find_pairs([str(MAPS)], "train")) == 162


def test_previews_come_from_val_or_else_from_train(tmp_path):
    shutil.copytree(LINEART / "val", tmp_path / "train")
    assert [pair.a.parent.name for pair in find_preview_pairs([str(tmp_path)], 3)] == ["train"] * 3
    assert [pair.a.parent.name for pair in find_preview_pairs([str(LINEART)], 3)] == ["val"] * 3


def test_pictures_without_a_partner_are_named(tmp_path):
    two_folders(tmp_path / "trainA", tmp_path / "trainB", names=[f"n{k}" for k in range(9)])
    for k in range(7):
        (tmp_path / "trainB" / f"n{k}.jpg").unlink()
    save(tmp_path / "trainB" / "alone.png", 20, 30)
    with pytest.raises(DataError) as error:
        find_pairs([str(tmp_path)], "train")
    text = str(error.value)
    assert "8 pictures have no partner" in text
    assert str(tmp_path / "trainA" / "n0.png") in text
    assert "and 3 more" in text
    assert "same name up to the suffix" in text


def test_two_pictures_of_one_name_are_named(tmp_path):
    two_folders(tmp_path / "trainA", tmp_path / "trainB")
    save(tmp_path / "trainA" / "x.bmp", 20, 30)
    with pytest.raises(DataError, match=r"several pictures of one name.*: x"):
        find_pairs([str(tmp_path)], "train")


@pytest.mark.parametrize(
    ("made", "words"),
    [
        ([], "has no pictures for train. Expected trainA and trainB"),
        (["train"], "holds no pictures"),
        (["trainA"], "trainA is there, but .*trainB is not"),
        (["train/B"], "train/B is there, but .*train/A is not"),
        (["trainA", "trainB"], "trainA holds no pictures"),
    ],
)
def test_empty_and_half_folders_are_named(tmp_path, made, words):
    for name in made:
        (tmp_path / name).mkdir(parents=True)
    with pytest.raises(DataError, match=words):
        find_pairs([str(tmp_path)], "train")
    with pytest.raises(DataError, match="is not a folder"):
        find_pairs([str(tmp_path / "nowhere")], "train")


def test_all_that_does_not_fit_ends_in_one_message(tmp_path):
    two_folders(tmp_path / "trainA", tmp_path / "trainB", names=("good", "size", "cut"))
    save(tmp_path / "trainB" / "size.jpg", 20, 31)
    (tmp_path / "trainA" / "cut.png").write_bytes(b"\x89PNG\r\n")
    with pytest.raises(DataError) as error:
        check_pairs(find_pairs([str(tmp_path)], "train"))
    text = str(error.value)
    assert "2 of 3 pairs cannot be used" in text
    assert "size.png is 30x20, but its partner" in text
    assert "size.jpg is 31x20" in text
    assert "cut.png" in text
    assert "good" not in text


def test_an_odd_width_and_a_small_picture_are_named(tmp_path):
    write_image(tmp_path / "train" / "odd.png", picture(20, 41))
    with pytest.raises(DataError, match=r"odd.png is 41x20: an A\|B file has an even width"):
        check_pairs(find_pairs([str(tmp_path)], "train"))
    (tmp_path / "train" / "odd.png").unlink()
    write_image(tmp_path / "train" / "small.png", picture(20, 40))
    pairs = find_pairs([str(tmp_path)], "train")
    sizes = check_pairs(pairs)
    refuse_small(pairs, sizes, 20, "the crop", "Lower it.")
    with pytest.raises(DataError, match=r"side under the crop:\n  .*small.png is 20x20\nLower it."):
        refuse_small(pairs, sizes, 21, "the crop", "Lower it.")


def test_two_folders_with_splits_are_never_taken_whole(tmp_path):
    """Their test pictures must not be trained on because a train split is missing."""
    two_folders(tmp_path / "A" / "test", tmp_path / "B" / "test")
    paths = [str(tmp_path / "A"), str(tmp_path / "B")]
    assert len(find_pairs(paths, "test")) == 2
    with pytest.raises(DataError, match="A/train holds no pictures"):
        find_pairs(paths, "train")
    with pytest.raises(UsageError, match="3 data folders were given"):
        find_pairs([*paths, "C"], "train")


def test_a_picture_cut_behind_its_header_is_found_before_training(tmp_path, monkeypatch):
    two_folders(tmp_path / "trainA", tmp_path / "trainB", names=("good", "cut"))
    path = tmp_path / "trainA" / "cut.png"
    path.write_bytes(path.read_bytes()[:-60])
    pairs = find_pairs([str(tmp_path)], "train")
    with pytest.raises(DataError, match=r"1 of 2 pairs cannot be used:\n  .*cut.png is damaged"):
        check_pairs(pairs)
    monkeypatch.setattr(folders, "FULL_CHECK_PAIRS", 1)  # a large folder is checked by its headers
    assert len(check_pairs(pairs)) == 2
