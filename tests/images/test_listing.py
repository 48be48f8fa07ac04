"""The listing of folders: its content and order, and what is left out and named."""

import os
import re
import sys
from pathlib import Path

import pytest

from i2i.data.folders import find_images, find_pairs, find_sides
from i2i.errors import DataError
from i2i.images.listing import list_folder, list_pictures
from tests.conftest import save


def touch(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


def test_hidden_and_service_folders_are_left_out_and_named(tmp_path):
    kept = ["A/x.PNG", "a.png", "a/b.jpg", "dangling.png", "z/deep/c.tif"]
    left = [
        ".git/a.png",
        ".ipynb_checkpoints/a.png",
        "@eaDir/a.png",
        "__MACOSX/._a.png",
        "a/._b.jpg",
        "lost+found/a.png",
    ]
    touch(tmp_path, *kept, *left, "Thumbs.db", ".DS_Store", "notes.txt", "photo.heic")
    (tmp_path / "dangling.png").unlink()
    (tmp_path / "dangling.png").symlink_to("nowhere")
    listing = list_folder(tmp_path)
    assert listing.names == kept
    assert listing.hidden == [".git/", ".ipynb_checkpoints/", "@eaDir/", "__MACOSX/", "a/._b.jpg", "lost+found/"]
    assert listing.other == ["photo.heic"]
    hidden, other = listing.notes()
    assert re.search(rf"\b6 hidden.* {re.escape(str(tmp_path))}: \.git/, ", hidden)
    assert hidden.endswith(" and 1 more.")
    assert "1 file" in other
    assert "photo.heic" in other


def test_a_folder_that_was_named_is_taken_even_when_hidden(tmp_path):
    touch(tmp_path, ".cache/@eaDir/a.png", ".cache/@eaDir/.b/c.png")
    assert list_folder(tmp_path / ".cache" / "@eaDir").names == ["a.png"]
    assert [picture.name for picture in find_images([str(tmp_path / ".cache" / "@eaDir")], "train")] == ["a.png"]


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights")
def test_links_are_followed_and_every_folder_is_listed_once(tmp_path):
    touch(tmp_path, "data/real/a.png", "data/real/sub/b.png", "far/c.png", "far/deep/d.png", "above.png")
    data = tmp_path / "data"
    for link, target in {
        "again": "real",
        "far1": "../far",
        "far2": "../far",
        "inner": "../far/deep",
        "loop": ".",
        "up": "..",
        "real/back": "..",
    }.items():
        (data / link).symlink_to(target)
    (tmp_path / "far" / "loop").symlink_to(tmp_path / "far")
    listing = list_folder(data)
    assert listing.names == ["far1/c.png", "far1/deep/d.png", "real/a.png", "real/sub/b.png"]
    assert listing.links == ["again", "far1/loop", "far2", "inner", "loop", "real/back", "up"]
    assert list_folder(data, follow=False).names == ["real/a.png", "real/sub/b.png"]
    assert list_folder(data, avoid=tmp_path / "far" / "deep").names == ["far1/c.png", "real/a.png", "real/sub/b.png"]
    assert list_folder(data, avoid=tmp_path / "far").names == ["real/a.png", "real/sub/b.png"]


@pytest.fixture
def unreadable(monkeypatch):
    """Folders of this name may not be read; permissions do not bind root."""
    scan = os.scandir

    def scandir(path):
        if "secret" in Path(path).name:
            raise PermissionError(13, "Permission denied", path)
        return scan(path)

    monkeypatch.setattr(os, "scandir", scandir)


def test_folders_that_cannot_be_listed_raise_a_data_error(tmp_path, unreadable):
    touch(tmp_path, "trainA/a.png", "trainA/secret/b.png", "trainB/a.png", "trainB/secret/b.png")
    touch(tmp_path, "secretB/a.png")
    for find in (find_pairs, find_sides):
        with pytest.raises(DataError, match="trainA/secret") as error:
            find([str(tmp_path)], "train")
        assert f"{tmp_path}/trainA/secret: Permission denied" in str(error.value)
    with pytest.raises(DataError, match="secretB: Permission denied"):
        find_pairs([str(tmp_path / "secretB"), str(tmp_path / "trainB")], "train")
    notes = []
    assert list_pictures(tmp_path / "trainA", notes, skip_unreadable=True) == [tmp_path / "trainA" / "a.png"]
    assert f"{tmp_path}/trainA/secret: Permission denied" in notes[0]
    with pytest.raises(DataError, match="secretB"):  # nothing would be left of it
        list_pictures(tmp_path / "secretB", skip_unreadable=True)


def test_progress_reports_the_number_of_pictures(tmp_path):
    touch(tmp_path, *(f"{k // 600}/{k}.png" for k in range(1300)))
    counts = []
    list_folder(tmp_path, seen=counts.append)
    assert counts == sorted(counts)
    assert counts[-1] == 1300
    assert 4 <= len(set(counts)) <= 8


def test_order_is_that_of_names_as_strings(tmp_path):
    """The digest of a data set, and so the resuming of old runs, depends on it."""
    touch(tmp_path, "b.png", "a/z.png", "a.png", "a-1.png", "B.png", "é.png")
    assert list_folder(tmp_path).names == ["B.png", "a-1.png", "a.png", "a/z.png", "b.png", "é.png"]
    assert list_pictures(tmp_path) == sorted(tmp_path.rglob("*.png"), key=lambda path: path.as_posix())


def test_training_says_what_it_leaves_out(tmp_path):
    from i2i.data.sets import make_set
    from tests.conftest import tiny_config

    for name in ("train/a.png", "train/b.png", "train/.git/c.png"):
        save(tmp_path / name, 20, 40)
    data = make_set("paired", tiny_config(data=tmp_path))
    assert data.names == ["a", "b"]
    assert any(".git/" in note for note in data.notes)
