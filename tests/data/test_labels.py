"""Labels: found, checked by name before training, and always those of the picture shown."""

import shutil

import numpy as np
import pytest

from i2i.algorithms import ALGORITHMS, resolve
from i2i.config.settings import DataSettings
from i2i.data.labels import decode_text, encode_text, find_labels
from i2i.data.sets import make_set, with_facts
from i2i.errors import ConfigError, DataError
from i2i.models.texts import TEXT_BYTES
from tests.conftest import LINEART, save, smallest_config

GROUPS = {"Activities", "Animals & Nature", "Flags", "Food & Drink", "Objects", "People & Body", "Smileys & Emotion"}
GROUPS |= {"Symbols", "Travel & Places"}
CLASSES = {"bag": 3, "hat": 4, "shoe": 2}


@pytest.fixture
def folders(tmp_path):
    """One subfolder for each class; each picture has one grey level, by which it is recognised."""
    for number, (name, count) in enumerate(CLASSES.items()):
        for k in range(count):
            save(tmp_path / "train" / name / f"{k}.png", 34, 34, seed=10 * number + k)
    return tmp_path


def table(folder, *rows, header="name,label"):
    path = folder / "labels.csv"
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return f"data.labels={path}"


def names(folder):
    return sorted(path.relative_to(folder / "train").as_posix() for path in (folder / "train").rglob("*.png"))


def labelled(folder, *changes):
    config = smallest_config("gan", folder, "data.side=null", "data.resize_px=null", *changes)
    return make_set("images", config)


def numbers(data, count):
    return data.load(range(count)).batch["label"]


def test_subfolders_are_classes(folders):
    data = labelled(folders, "data.labels=folders")
    assert data.classes == {"label": CLASSES}
    places = [list(CLASSES).index(data.files(number)[0].path.parent.name) for number in range(9)]
    assert numbers(data, 9)[:, 0].tolist() == places
    assert with_facts(data.config, data).data.classes == {"label": CLASSES}


def test_a_table_has_several_label_sets(folders):
    rows = [
        f"{name.removesuffix('.png')},{name.split('/')[0]},{'red' if '0' in name else 'blue'}"
        for name in names(folders)
    ]
    data = labelled(folders, table(folders, *rows, header="name,kind,hue"))
    assert data.classes == {"kind": CLASSES, "hue": {"blue": 6, "red": 3}}
    assert numbers(data, 9).shape == (9, 2)
    for number, (kind, hue) in enumerate(numbers(data, 9).tolist()):
        path = data.files(number)[0].path
        assert list(CLASSES)[kind] == path.parent.name
        assert ["blue", "red"][hue] == ("red" if path.stem == "0" else "blue")


def test_a_broken_pictures_label_goes_with_it(folders):
    config = smallest_config(
        "gan", folders, "data.side=null", "data.resize_px=null", "data.labels=folders", "data.skip_broken=true"
    )
    (folders / "train" / "shoe" / "0.png").write_bytes(b"broken")
    data = make_set("images", config)
    for number in range(9):
        broken = {}
        shown = data.show(number, broken)
        pixels = {
            name: data.pictures.read(item, data.channels[0])[0]
            for item in data.lists[0]
            if "shoe/0" not in (name := item.name)
        }
        # The label is that of the picture whose pixels are shown.
        match = [name for name, whole in pixels.items() if contains(whole, shown["image"])]
        assert list(CLASSES)[int(shown["label"][0])] in {name.split("/")[0] for name in match}


def contains(whole, image):
    """Whether a crop, perhaps mirrored, is part of a picture (H, W, C)."""
    crop = np.rint((image.transpose(1, 2, 0) + 1) * 127.5)
    side = crop.shape[0]
    offsets = [(y, x) for y in range(whole.shape[0] - side + 1) for x in range(whole.shape[1] - side + 1)]
    cuts = [whole[y : y + side, x : x + side] for y, x in offsets]
    return any(np.abs(cut - one).max() < 1 for cut in cuts for one in (crop, crop[:, ::-1]))


@pytest.mark.parametrize(
    ("rows", "changes", "error", "words"),
    [
        (lambda all_: all_[1:], [], DataError, "bag/0.png"),
        (lambda all_: [*all_[:-1], "shoe/1.png,"], [], DataError, "shoe/1.png"),
        (lambda all_: [*all_[:-1], "shoe/1.png,boot"], [], DataError, r"boot \(1\)"),
        (lambda all_: all_, ["data.classes={label: {bag: 3, hat: 4}}"], DataError, "shoe"),
        (lambda all_: [*all_, "x"], [], ConfigError, "row 11"),
        (lambda all_: all_, ["data.text=words"], ConfigError, "words"),
        (lambda all_: [*all_, "", "bag/0.png,hat"], [], ConfigError, r"bag/0\.png.*row 12"),
        (lambda all_: [*all_, '"bag/9.png,bag'], [], ConfigError, "CSV"),
        (lambda all_: [f"/data/{row}" for row in all_], [], DataError, r"bag/0\.png.*look like /data/bag/0\.png"),
        (lambda all_: [f"{row.split(',')[0]},bag" for row in all_], [], DataError, "same label: bag"),
        (lambda all_: [f"{row}=1" for row in all_], [], DataError, "bag=1"),
        (lambda all_: [f'{row.split(",")[0]},"a, b"' for row in all_], [], DataError, "a, b"),
        (lambda all_: [f"{row * 30}" for row in all_], [], ConfigError, "row 2"),
        (lambda all_: all_, ["data.classes={colour: {red: 3}}"], ConfigError, "colour"),
    ],
    ids=[
        *(
            "missing",
            "empty",
            "too few",
            "unknown",
            "uneven",
            "no text",
            "twice",
            "open quote",
            "absolute",
            "one class",
        ),
        *("equal sign", "comma", "many cells", "other label set"),
    ],
)
def test_labels_that_do_not_fit_are_named(folders, rows, changes, error, words):
    every = [f"{name},{name.split('/')[0]}" for name in names(folders)]
    with pytest.raises(error, match=words):
        labelled(folders, table(folders, *rows(every)), *changes)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: "\ufeff" + text.replace("\n", "\r\n"),
        lambda text: text.replace("bag/0.png,bag", '"bag/0.png","bag"').replace(".png", ".jpg"),
        lambda text: text.replace(".png", "").replace("shoe/", "./shoe/"),
        lambda text: f"{text}bag/0.png,bag\n,bag\n.,hat\n",
    ],
    ids=["BOM and CRLF", "quotes and another suffix", "no suffix", "the same twice, and no names"],
)
def test_tables_as_programs_write_them(folders, change):
    every = [f"{name},{name.split('/')[0]}" for name in names(folders)]
    table(folders, *every)
    text = (folders / "labels.csv").read_text(encoding="utf-8")
    (folders / "labels.csv").write_bytes(change(text).encode())
    assert labelled(folders, f"data.labels={folders / 'labels.csv'}").classes == {"label": CLASSES}


def test_text_after_a_dot_is_a_suffix_only_if_pictures_have_it(tmp_path):
    """Names of pairs have no suffix, and img.3 does not get the label of img.2."""
    path = tmp_path / "labels.csv"
    path.write_text("name,label\nimg.0,a\nimg.1,b\nimg.2,b\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"1 of 4 .*img\.3\b"):
        find_labels([f"img.{number}" for number in range(4)], DataSettings(labels=str(path)))


def test_a_name_that_is_not_utf_8_cannot_be_a_class():
    with pytest.raises(DataError, match="UTF-8"):
        find_labels(["b\udcff/1.png", "b\udcff/2.png", "c/1.png", "c/2.png"], DataSettings(labels="folders"))


def test_classes_without_labels_are_refused(folders):
    with pytest.raises(ConfigError, match=r"data\.labels"):
        labelled(folders, "data.classes={label: {bag: 3, hat: 4}}")


def test_pictures_outside_of_classes_are_named(folders):
    shutil.move(folders / "train" / "hat" / "0.png", folders / "train" / "alone.png")
    with pytest.raises(DataError, match=r"alone\.png"):
        labelled(folders, "data.labels=folders")


def test_labels_change_the_digest(folders):
    every = [f"{name},{name.split('/')[0]}" for name in names(folders)]
    plain = labelled(folders).digest
    one = labelled(folders, table(folders, *every)).digest
    other = labelled(folders, table(folders, *every[:-2], "shoe/0.png,hat", "shoe/1.png,hat")).digest
    assert len({plain, one, other}) == 3


def test_texts_arrive_as_tensors_that_hold_them(folders):
    rows = [f"{name},{name.split('/')[0]},a {name} in blüe" for name in names(folders)]
    change = table(folders, *rows, header="name,label,words")
    data = labelled(folders, change, "data.text=words")
    assert list(data.classes) == ["label"]
    batch = data.load(range(9)).batch
    assert batch["text"].shape == (9, TEXT_BYTES)
    for number in range(9):
        assert decode_text(batch["text"][number].numpy()) == f"a {data.files(number)[0].name} in blüe"


@pytest.mark.parametrize("text", ["", "short", "ü" * TEXT_BYTES])
def test_texts_are_cut_between_characters(text):
    assert text.startswith(decode_text(encode_text(text)))
    assert len(encode_text(text)) == TEXT_BYTES


def test_algorithms_say_whether_they_read_labels(folders):
    with pytest.raises(ConfigError, match=r"data.labels.*gan"):
        resolve(smallest_config("gan", folders, "data.labels=folders"))
    with pytest.raises(ConfigError, match=r"data.labels"):
        resolve(smallest_config("conditional_gan", folders, "data.labels=null"))
    config = resolve(smallest_config("conditional_gan", folders))
    with pytest.raises(ConfigError, match="--data"):
        ALGORITHMS["conditional_gan"](config)  # before the data has filled its classes in
    data = config.data.model_copy(update={"classes": {"noise": {"bag": 2, "hat": 3}}})
    with pytest.raises(ConfigError, match="noise"):  # the name of the noise block
        ALGORITHMS["conditional_gan"](config.model_copy(update={"data": data}))


@pytest.mark.parametrize(("split", "count"), [("train", 400), ("val", 149), ("test", 152)])
def test_every_shipped_emoji_has_a_group(split, count):
    pictures = sorted(path.name for path in (LINEART / split).glob("*.png"))
    found = find_labels(pictures, DataSettings(labels=str(LINEART / "groups.csv")))
    assert found is not None
    assert len(found.numbers) == count
    assert set(found.classes["group"]) <= GROUPS
