"""Data folders: the layouts that are read, and one message for everything that does not fit."""

import functools
import re
import shutil

import numpy as np
import pytest
from PIL import Image

from i2i.config.settings import DataSettings
from i2i.data.augment import resize
from i2i.data.checking import check_pairs, check_pictures, odd_halves, refuse_small
from i2i.data.folders import find_images, find_pairs, find_sides, has_split
from i2i.data.items import read_pair, read_picture
from i2i.data.previews import at_training_scale, find_previews
from i2i.data.sets import make_set
from i2i.errors import DataError, UsageError
from i2i.images import write_image
from tests.conftest import LINEART, MAPS, picture, save, smallest_config, tiny_config


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


def test_ome_tif_is_one_suffix(tmp_path):
    for side, suffix in (("A", ".ome.tif"), ("B", ".png")):
        save(tmp_path / f"train{side}" / "x.tif", 20, 30)
        (tmp_path / f"train{side}" / "x.tif").rename(tmp_path / f"train{side}" / f"x{suffix}")
    assert [pair.name for pair in find_pairs([str(tmp_path)], "train")] == ["x"]


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
    for root, split in ((tmp_path, "train"), (LINEART, "val")):
        previews = find_previews(DataSettings(path=(str(root),)), "paired", "B2A", 3)
        assert previews.split == split
        assert [(picture.path.parent.name, picture.half) for picture in previews.inputs] == [(split, "B")] * 3
        assert [picture.half for picture in previews.truths] == ["A"] * 3
        assert [picture.name for picture in previews.inputs] == [picture.name for picture in previews.truths]


@pytest.mark.parametrize(
    ("sides", "resize_px", "crop_px", "shown", "words"),
    [
        ((64, 64), 68, 64, (64, 64), ""),  # a little more than the crop, as in the presets
        ((256, 300), 286, 256, (256, 300), ""),
        ((1000, 1500), 286, 256, (286, 429), " at 286 px"),
        ((32, 32), 64, 64, (64, 64), " at 64 px"),
        ((600, 1000), None, 256, (512, 512), ", middle 512 px"),
        ((600, 1000), None, 400, (600, 800), ", middle 800 px"),
        ((100, 2000), 100, 64, (100, 512), ", middle 512 px"),
    ],
)
def test_previews_have_the_scale_of_training_and_crop_large_pictures(sides, resize_px, crop_px, shown, words):
    data = DataSettings(resize_px=resize_px, crop_px=crop_px)
    whole = picture(*sides)
    scaled, said = at_training_scale(whole, data)
    assert (scaled.shape[:2], said) == (shown, words)
    if " at " not in words:
        top, left = (sides[0] - shown[0]) // 2, (sides[1] - shown[1]) // 2
        np.testing.assert_array_equal(scaled, whole[top : top + shown[0], left : left + shown[1]])
    else:
        np.testing.assert_array_equal(scaled, resize(whole, resize_px))


def test_previews_of_unpaired_data_have_a_truth_where_val_is_matched(tmp_path):
    matched = find_previews(DataSettings(path=(str(LINEART),)), "unpaired", "A2B", 3)
    assert (matched.split, len(matched.truths)) == ("val", 3)
    two_folders(tmp_path / "trainA", tmp_path / "trainB")
    settings = DataSettings(path=(str(tmp_path),))
    assert find_previews(settings, "unpaired", "B2A", 1).inputs[0].path == tmp_path / "trainB" / "x.jpg"
    assert find_previews(settings, "unpaired", "B2A", 1).truths is None  # they are trained on
    save(tmp_path / "valA" / "one.png", 20, 30)
    save(tmp_path / "valB" / "two.png", 20, 30)
    assert find_previews(settings, "unpaired", "A2B", 3).split == "val"
    assert find_previews(settings, "unpaired", "A2B", 3).truths is None
    for side, size in (("A", (20, 30)), ("B", (24, 30))):  # names that meet by chance
        shutil.rmtree(tmp_path / f"val{side}")
        save(tmp_path / f"val{side}" / "0.png", *size)
    assert find_previews(settings, "unpaired", "A2B", 3).truths is None


def test_sides_need_no_partners(tmp_path):
    for name in ("x.png", "x.jpg", "sub/y.png"):
        save(tmp_path / "trainA" / name, 20, 30)
    save(tmp_path / "trainB" / "z.png", 40, 10)
    a, b = find_sides([str(tmp_path)], "train")
    assert [picture.name for picture in a] == ["sub/y.png", "x.jpg", "x.png"]
    assert [picture.name for picture in b] == ["z.png"]
    assert check_pictures([*a, *b]) == [(20, 30)] * 3 + [(40, 10)]


def test_disjoint_sides_share_no_name():
    pairs = find_pairs([str(MAPS)], "train")
    a, b = find_sides([str(MAPS)], "train", disjoint=True)
    assert [picture.name for picture in a] == [pair.name for pair in pairs[:81]]
    assert [picture.name for picture in b] == [pair.name for pair in pairs[81:]]
    np.testing.assert_array_equal(read_picture(a[0]), read_pair(pairs[0])[0])
    np.testing.assert_array_equal(read_picture(b[0]), read_pair(pairs[81])[1])
    whole_a, whole_b = find_sides([str(MAPS)], "train")
    assert len(whole_a) == len(whole_b) == 162


def test_disjoint_sides_come_from_matched_folders_too(tmp_path):
    two_folders(tmp_path / "trainA", tmp_path / "trainB", names=("x", "y", "z"))
    a, b = find_sides([str(tmp_path)], "train", disjoint=True)
    assert [picture.name for picture in a + b] == ["x", "y", "z"]
    assert b[0].path.parent.name == "trainB"
    (tmp_path / "trainB" / "x.jpg").unlink()
    with pytest.raises(DataError, match=r"x\.png"):
        find_sides([str(tmp_path)], "train", disjoint=True)


def test_images_come_from_one_folder_with_its_subfolders(tmp_path):
    for name in ("a.png", "sub/b.jpg", "sub/deep/c.tif"):
        save(tmp_path / "all" / name, 20, 30)
    assert [picture.name for picture in find_images([str(tmp_path / "all")], "train")] == [
        "a.png",
        "sub/b.jpg",
        "sub/deep/c.tif",
    ]
    (tmp_path / "all").rename(tmp_path / "train")
    assert len(find_images([str(tmp_path)], "train")) == 3
    halves = find_images([str(LINEART)], "train", side="B")
    assert len(halves) == 400
    assert {picture.half for picture in halves} == {"B"}
    with pytest.raises(UsageError, match="2 data folders"):
        find_images([str(tmp_path), str(LINEART)], "train")
    with pytest.raises(DataError, match="nowhere"):
        find_images([str(tmp_path / "nowhere")], "train")
    save(tmp_path / "only" / "test" / "a.png", 20, 30)
    with pytest.raises(DataError, match=r"test.* train"):
        find_images([str(tmp_path / "only")], "train")
    two_folders(tmp_path / "two" / "trainA", tmp_path / "two" / "trainB")
    with pytest.raises(DataError, match=r"data\.side"):
        find_images([str(tmp_path / "two")], "train")


def test_broken_pictures_without_partners_are_named(tmp_path):
    save(tmp_path / "good.png", 20, 30)
    (tmp_path / "bad.png").write_bytes((tmp_path / "good.png").read_bytes()[:-60])
    with pytest.raises(DataError, match=r"1 of 2 .*\n.*bad\.png.* damaged"):
        check_pictures(find_images([str(tmp_path)], "train"), full=True)


def test_pictures_without_a_partner_are_named(tmp_path):
    two_folders(tmp_path / "trainA", tmp_path / "trainB", names=[f"n{k}" for k in range(9)])
    for k in range(7):
        (tmp_path / "trainB" / f"n{k}.jpg").unlink()
    save(tmp_path / "trainB" / "alone.png", 20, 30)
    with pytest.raises(DataError) as error:
        find_pairs([str(tmp_path)], "train")
    text = str(error.value)
    assert "8 pictures" in text
    assert str(tmp_path / "trainA" / "n0.png") in text
    assert "and 3 more" in text


def test_two_pictures_with_the_same_name_are_named(tmp_path):
    two_folders(tmp_path / "trainA", tmp_path / "trainB")
    save(tmp_path / "trainA" / "x.bmp", 20, 30)
    with pytest.raises(DataError, match=r"several.*: x"):
        find_pairs([str(tmp_path)], "train")


@pytest.mark.parametrize(
    ("made", "words"),
    [
        ([], "trainA and trainB"),
        (["train"], "train"),
        (["trainA"], "trainA.*trainB"),
        (["train/B"], "train/B.*train/A"),
        (["trainA", "trainB"], "trainA"),
    ],
)
def test_empty_and_half_folders_are_named(tmp_path, made, words):
    for name in made:
        (tmp_path / name).mkdir(parents=True)
    with pytest.raises(DataError, match=words):
        find_pairs([str(tmp_path)], "train")
    with pytest.raises(DataError, match="nowhere"):
        find_pairs([str(tmp_path / "nowhere")], "train")


def test_everything_that_does_not_fit_is_in_one_message(tmp_path):
    two_folders(tmp_path / "trainA", tmp_path / "trainB", names=("good", "size", "cut"))
    save(tmp_path / "trainB" / "size.jpg", 20, 31)
    (tmp_path / "trainA" / "cut.png").write_bytes(b"\x89PNG\r\n")
    with pytest.raises(DataError) as error:
        check_pairs(find_pairs([str(tmp_path)], "train"))
    text = str(error.value)
    assert "2 of 3 pairs" in text
    assert re.search(r"size\.png.* 30x20\b.*size\.jpg.* 31x20\b", text)
    assert "cut.png" in text
    assert "good" not in text


def test_an_odd_width_and_a_small_picture_are_named(tmp_path):
    write_image(tmp_path / "train" / "odd.png", picture(20, 41))
    with pytest.raises(DataError, match=r"odd\.png.* 41x20"):
        check_pairs(find_pairs([str(tmp_path)], "train"))
    (tmp_path / "train" / "odd.png").unlink()
    write_image(tmp_path / "train" / "small.png", picture(20, 40))
    pairs = find_pairs([str(tmp_path)], "train")
    sizes = check_pairs(pairs)
    refuse_small(pairs, sizes, 20, "the crop", "Lower it.")
    with pytest.raises(DataError, match=r"\n.*small\.png.* 20x20\n"):
        refuse_small(pairs, sizes, 21, "the crop", "Lower it.")


@pytest.mark.parametrize(
    ("width", "warned"), [(40, False), (44, False), (36, False), (20, True), (26, True), (60, True), (32, True)]
)
@pytest.mark.parametrize("kind", ["paired", "unpaired"])
def test_single_pictures_are_not_cut_into_pairs_silently(tmp_path, kind, width, warned):
    for name in ("a", "b", "c"):
        save(tmp_path / "train" / f"{name}.png", 20, width)
    save(tmp_path / "train" / "d.png", 20, 44)  # one that differs from the others changes nothing
    config = tiny_config("data.crop_px=8", data=tmp_path) if kind == "paired" else None
    config = config or smallest_config("cyclegan", tmp_path, "data.crop_px=8")
    notes = [note for note in make_set(kind, config).notes if str(tmp_path) in note]
    assert [str(tmp_path / "train" / "a.png") in note for note in notes] == [True] * warned
    if warned:
        assert "3 of 4 files" in notes[0]
        assert f"{width}x20" in notes[0]
    assert odd_halves(find_pairs([str(LINEART)], "test"), check_pairs(find_pairs([str(LINEART)], "test"))) is None


def test_two_folders_with_splits_are_never_taken_whole(tmp_path):
    """Their test pictures must not be trained on because a train split is missing."""
    two_folders(tmp_path / "A" / "test", tmp_path / "B" / "test")
    paths = [str(tmp_path / "A"), str(tmp_path / "B")]
    assert len(find_pairs(paths, "test")) == 2
    with pytest.raises(DataError, match="A/train"):
        find_pairs(paths, "train")
    with pytest.raises(UsageError, match="3 data folders"):
        find_pairs([*paths, "C"], "train")


def test_two_folders_with_both_sides_each_are_not_mixed(tmp_path):
    """Each would be taken whole, as A and as B, test pictures included."""
    for name in ("one", "two"):
        two_folders(tmp_path / name / "trainA", tmp_path / name / "testB")
    paths = [str(tmp_path / "one"), str(tmp_path / "two")]
    for find in (find_pairs, find_sides, functools.partial(find_images, side="B")):
        with pytest.raises(DataError, match=str(tmp_path / "one")):
            find(paths, "train")


def test_one_of_two_folders_is_enough_for_one_side(tmp_path):
    two_folders(tmp_path / "a", tmp_path / "b")
    (tmp_path / "empty").mkdir()
    pictures = find_images([str(tmp_path / "empty"), str(tmp_path / "b")], "train", side="B")
    assert [picture.name for picture in pictures] == ["x.jpg", "y.jpg"]
    with pytest.raises(DataError, match="empty"):
        find_images([str(tmp_path / "empty"), str(tmp_path / "b")], "train", side="A")


def test_a_picture_cut_after_its_header_is_found_by_decoding(tmp_path):
    two_folders(tmp_path / "trainA", tmp_path / "trainB", names=("good", "cut", "none"))
    path = tmp_path / "trainA" / "cut.png"
    path.write_bytes(path.read_bytes()[:-60])
    (tmp_path / "trainA" / "none.png").write_bytes(b"")
    pairs = find_pairs([str(tmp_path)], "train")
    with pytest.raises(DataError, match=r"1 of 3 .*\n.*none\.png.* empty"):
        check_pairs(pairs)
    with pytest.raises(DataError, match=r"2 of 3 .*\n.*cut\.png.* damaged"):
        check_pairs(pairs, full=True)
    skip = DataSettings(skip_broken=True)
    assert check_pairs(pairs, skip, full=True) == [None, (20, 30), None]
    with pytest.raises(DataError, match="2 of 2 pairs"):
        check_pairs([pairs[0], pairs[2]], skip, full=True)
