"""`i2i doctor DATA`: the shipped sets give no findings, and each planted fault is found and named."""

import json
import re
import shutil

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from i2i.algorithms import ALGORITHMS, resolve
from i2i.cli import cli
from i2i.config import load_config
from i2i.data.folders import find_pairs
from i2i.data.items import read_pair
from i2i.errors import DataError, UsageError
from i2i.images import read_image, write_image
from i2i.metrics import faults
from i2i.metrics.examine import examine_data, lines
from i2i.metrics.suggest import Machine
from tests.conftest import LINEART, MAPS, picture


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """Thirty shipped pairs as trainA and trainB, and five as testA and testB, with nothing wrong."""
    root = tmp_path_factory.mktemp("sound")
    for split, count in (("train", 30), ("test", 5)):
        for place, pair in enumerate(find_pairs([str(LINEART)], split)[:count]):
            for side, array in zip("AB", read_pair(pair), strict=True):
                write_image(root / f"{split}{side}" / f"{place:02}.png", array)
    return root


@pytest.fixture
def data(sound, tmp_path):
    """A copy in which a fault is planted."""
    return shutil.copytree(sound, tmp_path / "data")


def kinds(folder, **options):
    return {finding.kind for finding in examine_data([str(folder)], **options).findings}


@pytest.mark.parametrize("folder", [LINEART, MAPS], ids=lambda folder: folder.name)
def test_shipped_sets_are_silent(folder):
    report = examine_data([str(folder)])
    assert report.kind == "paired"
    assert report.findings == ()


@pytest.mark.parametrize(("gpu", "preset", "told"), [(False, "generate", "dcgan_emoji"), (True, "dcgan", "generate")])
def test_single_pictures_are_told_what_decides(tmp_path, monkeypatch, gpu, preset, told):
    for number in range(3):
        write_image(tmp_path / f"{number}.png", picture(64, 64, seed=number))
    monkeypatch.setattr(Machine, "here", classmethod(lambda cls: cls(2, gpu)))
    report = examine_data([str(tmp_path)])
    assert (report.kind, report.preset) == ("images", preset)
    (line,) = [line for line in lines(report, ["D"]) if line.startswith(("At 32 px", "It is for a GPU"))]
    assert told in line


def test_a_sound_set_is_silent_and_its_suggestion_can_be_trained(sound):
    report = examine_data([str(sound)])
    assert not report.findings
    assert report.counts == {"train": 30, "test": 5}
    config = load_config(report.preset, [f"data.path={sound}", *report.changes])
    assert resolve(config).data.crop_px == 64
    assert "data.channels_a=1" not in report.changes
    warned = [[line for line in lines(one, ["D"]) if " 286," in line] for one in (report, report._replace(side_px=256))]
    assert list(map(len, warned)) == [1, 0]


def plant(fault, data):
    a, b = data / "trainA", data / "trainB"
    if fault == "unmatched":
        (b / "03.png").unlink()
    if fault == "broken":
        (b / "03.png").write_bytes((b / "03.png").read_bytes()[:200])
    if fault == "constant":
        write_image(a / "03.png", np.full((64, 64, 3), 200, np.uint8))
    if fault == "duplicates":
        for side in (a, b):
            write_image(side / "90.png", np.clip(read_image(side / "03.png").astype(int) + 1, 0, 255).astype(np.uint8))
    if fault == "leakage":
        for side in "AB":
            shutil.copy(data / f"test{side}" / "03.png", data / f"train{side}" / "90.png")
    if fault == "shuffled":
        names = sorted(b.iterdir())
        for place, path in enumerate(names):
            path.rename(b / f"new{(place + 7) % 30:02}.png")
        for path in b.iterdir():
            path.rename(b / path.name.removeprefix("new"))
    if fault == "misaligned":
        for path in b.iterdir():
            write_image(path, np.roll(read_image(path), 3, axis=1))
    if fault == "sizes":
        for side in (a, b):
            write_image(side / "03.png", picture(50, 70))
    if fault == "channels":
        write_image(a / "03.png", read_image(a / "03.png")[:, :, :1])
    if fault == "depths":
        write_image(a / "03.png", read_image(a / "03.png").astype(np.uint16) * 257)
    if fault == "profiles":
        from PIL import Image, ImageCms

        profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
        with Image.open(a / "03.png") as image:
            image.save(a / "03.png", icc_profile=profile)


FAULTS = [
    "unmatched",
    "broken",
    "constant",
    "duplicates",
    "leakage",
    "shuffled",
    "misaligned",
    "sizes",
    "channels",
    "depths",
    "profiles",
]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found_and_nothing_else(data, fault):
    plant(fault, data)
    report = examine_data([str(data)])
    assert {finding.kind for finding in report.findings} == {fault}
    finding = report.findings[0]
    named = {"leakage": "90.png", "duplicates": "90.png"}.get(fault, "03.png")
    assert fault in ("shuffled", "misaligned") or any(named in file for file in finding.files)
    if fault == "misaligned":
        assert re.search(r"\b3 px\b.* right\b", finding.text)


def mirror(data, split, number, name):
    """Write a mirrored copy of a pair into train."""
    for side in "AB":
        write_image(data / f"train{side}" / name, read_image(data / f"{split}{side}" / f"{number:02}.png")[:, ::-1])


def test_mirrored_test_pictures_in_train_are_found(data):
    mirror(data, "test", 3, "90.png")
    (finding,) = examine_data([str(data)]).findings
    assert finding.kind == "leakage"
    assert finding.files == (f"{data}/testA/03.png and {data}/trainA/90.png, mirrored",)


def test_mirrored_copies_in_train_are_found_but_for_a_few(data, monkeypatch):
    """One pair of thirty is more than the share of 0.02 that arrows to the left and right of the shipped sets have."""
    mirror(data, "train", 3, "90.png")
    (finding,) = examine_data([str(data)]).findings
    assert finding.kind == "duplicates"
    assert finding.files == (f"{data}/trainA/03.png and {data}/trainA/90.png, mirrored",)
    monkeypatch.setattr(faults, "MIRRORED_SHARE", 0.05)
    assert not examine_data([str(data)]).findings


def test_pictures_without_partners_are_unpaired_or_images(data):
    for path in (data / "trainB").iterdir():
        path.rename(path.with_name(f"other{path.name}"))
    report = examine_data([str(data)])
    assert (report.kind, report.preset) == ("unpaired", "modern_cut")
    assert not report.findings
    report = examine_data([str(data / "trainA")])
    assert (report.kind, report.counts) == ("images", {"train": 30})
    assert not report.findings


def test_labels_are_checked_and_small_classes_named(data, tmp_path):
    rows = [f"{k:02},{'rare' if k == 0 else 'common' if k < 15 else 'usual'}" for k in range(30)]
    (tmp_path / "labels.csv").write_text("\n".join(["name,kind", *rows]))
    assert kinds(data, labels=str(tmp_path / "labels.csv")) == {"labels"}  # a class of one picture
    (tmp_path / "labels.csv").write_text("\n".join(["name,kind", *rows[5:]]))
    assert kinds(data, labels=str(tmp_path / "labels.csv")) == {"labels"}  # pictures without one
    rows = [f"{k:02},{'common' if k < 15 else 'usual'}" for k in range(30)]
    (tmp_path / "labels.csv").write_text("\n".join(["name,kind", *rows]))
    assert kinds(data, labels=str(tmp_path / "labels.csv")) == set()


@pytest.mark.parametrize("shape", [(64, 64, 4), (64, 64, 2)], ids=["RGB", "grey"])
def test_a_picture_with_alpha_among_others_is_found(data, shape):
    path = data / "trainA" / "03.png"
    write_image(
        path, np.concatenate([read_image(path)[:, :, : shape[2] - 1], np.full((64, 64, 1), 9, np.uint8)], axis=2)
    )
    (finding,) = (one for one in examine_data([str(data)]).findings if one.kind == "channels")
    assert "with alpha" in finding.text
    assert finding.files == (str(path),)


def test_a_table_of_labels_that_is_missing_is_refused_at_once(data, tmp_path):
    with pytest.raises(UsageError, match=r"none\.csv"):
        examine_data([str(data)], labels=str(tmp_path / "none.csv"))


def test_a_grey_side_is_trained_with_one_channel(data):
    for path in (data / "trainA").iterdir():
        write_image(path, read_image(path)[:, :, :1])
    report = examine_data([str(data)])
    assert "data.channels_a=1" in report.changes
    assert "data.channels_b=1" not in report.changes


def label_texts(folder, table, rows):
    table.write_text("\n".join(rows))
    report = examine_data([str(folder)], labels=str(table))
    assert {finding.kind for finding in report.findings} <= {"labels"}
    return " / ".join(finding.text for finding in report.findings)


def test_class_numbers_out_of_range_are_named(data, tmp_path):
    table = tmp_path / "labels.csv"
    for first in (0, 1):  # 0 to 4, or 1 to 5
        sound = ["name,kind", *(f"{k:02},{first + k % 5}" for k in range(30))]
        assert label_texts(data, table, sound) == ""
    odd = ["name,kind", *(f"{k:02},{'255' if k < 3 else '-1' if k < 6 else k % 5}" for k in range(30))]
    text = label_texts(data, table, odd)
    assert "255 (3)" in text
    assert "-1 (3)" in text
    assert " 4 (" not in text
    names = ["name,kind", *(f"{k:02},{('1957', '1981', '2004')[k % 3]}" for k in range(30))]
    assert label_texts(data, table, names) == ""  # years, not class numbers


@pytest.mark.parametrize(("one", "other"), [("Shoe", "shoe"), ("3", "03"), ("3", "3.0")])
def test_classes_that_differ_in_spelling_alone_are_named(data, tmp_path, one, other):
    rows = ["name,kind", *(f"{k:02},{(one, other, 'hat')[k % 3]}" for k in range(30))]
    text = label_texts(data, tmp_path / "labels.csv", rows)
    assert f"{one} (10)" in text
    assert f"{other} (10)" in text


def test_captions_are_texts_and_not_classes(data, tmp_path):
    """A column in which most values differ; named as a text, it is silent unless a text is cut."""
    rows = ["name,kind,caption", *(f'{k:02},{"ab"[k % 2]},"a thing, number {k}"' for k in range(30))]
    text = label_texts(data, tmp_path / "labels.csv", rows)
    assert "--text caption" in text
    assert "thing" not in text  # no caption is called a small class
    table = str(tmp_path / "labels.csv")
    assert not examine_data([str(data)], labels=table, text="caption").findings
    label_texts(data, tmp_path / "labels.csv", [*rows[:-1], f"29,b,{'long ' * 60}"])
    (finding,) = examine_data([str(data)], labels=table, text="caption").findings
    assert "256 bytes" in finding.text


@pytest.mark.parametrize(
    ("labels", "text", "names"), [("folders", "caption", "--labels"), (None, "caption", "--labels")]
)
def test_a_text_needs_a_table(data, labels, text, names):
    with pytest.raises(UsageError, match=names):
        examine_data([str(data)], labels=labels, text=text)


def test_a_text_that_is_no_column_is_refused(data, tmp_path):
    (tmp_path / "labels.csv").write_text("name,kind\n00,a\n")
    with pytest.raises(UsageError, match=r"caption.*kind"):
        examine_data([str(data)], labels=str(tmp_path / "labels.csv"), text="caption")


def test_rows_of_pictures_that_do_not_exist_are_named(data, tmp_path):
    rows = ["name,kind", *(f"{k:02}.png,{'ab'[k % 2]}" for k in range(30))]
    assert label_texts(data, tmp_path / "labels.csv", rows) == ""
    text = label_texts(data, tmp_path / "labels.csv", [*rows, "typo.png,a", "sub/07,b"])
    assert "typo.png" in text
    assert "sub/07" in text


def test_classes_of_other_splits_that_train_does_not_know_are_named(data, tmp_path):
    for k in range(5):
        for side in "AB":  # names of their own, so that both splits fit into one table
            (data / f"test{side}" / f"{k:02}.png").rename(data / f"test{side}" / f"new{k:02}.png")
    rows = ["name,kind", *(f"{k:02},{'ab'[k % 2]}" for k in range(30))]
    assert label_texts(data, tmp_path / "labels.csv", rows) == ""  # test needs no labels
    known = [f"new{k:02},{'ab'[k % 2]}" for k in range(5)]
    assert label_texts(data, tmp_path / "labels.csv", [*rows, *known]) == ""
    text = label_texts(data, tmp_path / "labels.csv", [*rows, *known[:4], "new04,c"])
    assert "test" in text
    assert text.rstrip(".").endswith(" c")


def test_empty_labels_are_counted_and_hide_no_other_fault(data, tmp_path):
    """They may be meant, for a semi-supervised training, and are then no class."""
    rows = ["name,kind", *(f"{k:02},{'' if k < 9 else 'Shoe' if k == 9 else 'ab'[k % 2]}" for k in range(30))]
    text = label_texts(data, tmp_path / "labels.csv", rows)
    assert "9 of 30" in text
    assert "data.unlabelled" in text
    assert "Shoe (1)" in text
    text = label_texts(data, tmp_path / "labels.csv", [row.replace("Shoe", "b") for row in rows])
    assert "9 of 30" in text
    assert "Shoe" not in text


def test_labels_of_both_sides_count_without_partners(tmp_path):
    for number in range(4):
        for side in "AB":
            name = f"{'xy'[number % 2]}/{side}{number}.png"
            write_image(tmp_path / f"train{side}" / name, picture(64, 64, seed=10 * number + ord(side)))
    assert kinds(tmp_path, labels="folders") == set()
    (tmp_path / "trainB" / "x").rename(tmp_path / "trainB" / "z")
    assert kinds(tmp_path, labels="folders") == {"labels"}


def test_a_single_picture_is_named_as_too_few(tmp_path):
    write_image(tmp_path / "a.png", picture(64, 64, seed=1))
    assert kinds(tmp_path) == {"few"}
    write_image(tmp_path / "b.png", picture(64, 64, seed=2))
    assert kinds(tmp_path) == set()


def test_a_run_folder_is_no_data(tiny_run):
    with pytest.raises(UsageError, match="i2i diagnose"):
        examine_data([str(tiny_run)])


def test_folders_without_pictures_are_refused(tmp_path):
    with pytest.raises(DataError):
        examine_data([str(tmp_path)])
    (tmp_path / "a.png").write_bytes(b"nothing")
    (tmp_path / "b.png").write_bytes(b"nothing")
    with pytest.raises(DataError):
        examine_data([str(tmp_path)])


def test_the_command_prints_findings_and_how_to_train(data, tmp_path):
    plant("duplicates", data)
    words = ["doctor", str(data), "--sheet", str(tmp_path / "sheet.png")]
    done = CliRunner().invoke(cli, words)
    assert done.exit_code == 0, done.output
    assert "duplicates" in done.output
    assert f"--data {data}" in done.output
    found = json.loads(CliRunner().invoke(cli, ["doctor", str(data), "--json"]).stdout)
    assert found["result"]["findings"][0]["kind"] == "duplicates"
    assert read_image(tmp_path / "sheet.png").shape[0] > 12 * 64
    assert CliRunner().invoke(cli, words).exit_code != 0  # would overwrite


def test_a_suggestion_goes_with_what_was_found(tmp_path):
    for number in range(3):
        for one in "AB":
            write_image(tmp_path / f"train{one}" / f"{one}{number}.png", picture(40, 40, seed=number))
    report = examine_data([str(tmp_path)])
    assert report.preset == "modern_cut"
    assert any("modern_unpaired" in line for line in lines(report, [str(tmp_path)]))
    config = resolve(load_config(report.preset, [f"data.path={tmp_path}", *report.changes]))
    with torch.device("meta"):
        ALGORITHMS[config.algorithm](config)


@pytest.mark.parametrize("layout", ["trainA", "train"])
def test_a_file_that_is_no_picture_is_found_wherever_it_stands(layout, data, tmp_path):
    if layout == "train":
        data = tmp_path / "wide"
        for number in range(9):
            write_image(data / "train" / f"{number}.png", picture(32, 64, seed=number))
    first = sorted((data / layout).iterdir())[0]
    first.write_bytes(b"nonsense")
    (finding,) = (one for one in examine_data([str(data)]).findings if one.kind == "broken")
    assert str(first) in finding.files[0]


def test_an_empty_side_is_named(data):
    for file in (data / "trainB").iterdir():
        file.unlink()
    with pytest.raises(DataError, match="trainB"):
        examine_data([str(data)])


def test_twelve_bits_in_sixteen_are_not_trained_as_black_unsaid(tmp_path):
    for k in range(3):
        for side in "AB":
            dark = picture(64, 64, 3, np.uint16, seed=k) // 16
            path = tmp_path / f"train{side}" / f"{k}.png"
            path.parent.mkdir(exist_ok=True)
            write_image(path, dark if side == "A" else picture(64, 64, seed=k + 3))
    report = examine_data([str(tmp_path)])
    (finding,) = (one for one in report.findings if one.kind == "range")
    assert "6.2% of white" in finding.text
    assert "data.input_range=[0,4095]" in report.changes
    for path in (tmp_path / "trainA").iterdir():
        write_image(path, picture(64, 64, 3, np.uint16))
    assert not any(one.kind == "range" for one in examine_data([str(tmp_path)]).findings)


def test_bands_are_no_damage(tmp_path):
    for k in range(3):
        for side, count in (("A", 5), ("B", 2)):
            array = np.concatenate([picture(64, 64, 1, seed=k + band) for band in range(count)], axis=2)
            path = tmp_path / f"train{side}" / f"{k}.{'tif' if side == 'A' else 'npy'}"
            path.parent.mkdir(exist_ok=True)
            write_image(path, array, bands=True)
    report = examine_data([str(tmp_path)])
    assert not any(one.kind in ("broken", "channels") for one in report.findings)
    assert {"data.channels_a=5", "data.channels_b=2"} <= {*report.changes}
    (tmp_path / "trainB" / "0.npy").write_bytes(b"\x93NUMPY")
    assert any(one.kind == "broken" for one in examine_data([str(tmp_path)]).findings)


def test_where_nothing_can_be_read_the_reason_is_said(tmp_path):
    for side in "AB":
        (tmp_path / f"train{side}").mkdir()
        np.save(tmp_path / f"train{side}" / "0.npy", np.full((40, 40), 300, np.float32))
    with pytest.raises(DataError, match=r"0\.npy.* 300"):
        examine_data([str(tmp_path)])


def test_frames_in_order_are_trained_as_clips(tmp_path):
    """The control has the same frames in another order, so that neighbours are no more alike than others."""
    panned = read_image(sorted((MAPS / "train").glob("*"))[0])
    order = np.random.default_rng(0).permutation(16)
    for name, places in (("clips", range(16)), ("mixed", order)):
        for number, place in enumerate(places):
            frame = panned[:64, 4 * place : 4 * place + 64]
            for side, array in (("A", frame), ("B", 255 - frame)):
                path = tmp_path / name / f"train{side}" / "beach" / f"{number:04}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                write_image(path, array)
    reports = {name: examine_data([str(tmp_path / name)]) for name in ("clips", "mixed")}
    assert {name: one.preset for name, one in reports.items()} == {"clips": "clips", "mixed": "modern"}
    assert "preset modern" in "\n".join(lines(reports["clips"], ["DATA"]))
    config = resolve(load_config("clips", [f"data.path={tmp_path / 'clips'}", *reports["clips"].changes]))
    assert (config.data.crop_px, config.train.batch) == (64, 2)
