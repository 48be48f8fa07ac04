"""Files and folders are written whole or not at all."""

import os

import pytest

from i2i.errors import UsageError
from i2i.files import TEMP_PREFIX, atomic_folder, atomic_write, read_json_lines, sweep_temporaries, write_bytes


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.bin"
    write_bytes(path, b"old")

    def fail_half_way():
        with atomic_write(path) as temp:
            temp.write_bytes(b"ne")
            raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        fail_half_way()
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.bin"]


def test_a_folder_is_whole_or_not_there(tmp_path):
    def fail_half_way():
        with atomic_folder(tmp_path / "deep" / "out") as temp:
            (temp / "sub").mkdir()
            raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        fail_half_way()
    assert list((tmp_path / "deep").iterdir()) == []
    with atomic_folder(tmp_path / "out") as temp:
        (temp / "a").write_bytes(b"x")
        assert not (tmp_path / "out").exists()
    assert (tmp_path / "out" / "a").read_bytes() == b"x"


@pytest.mark.skipif(os.name != "posix", reason="links need rights")
def test_a_folder_is_never_replaced(tmp_path):
    (tmp_path / "out").symlink_to("nowhere")
    with pytest.raises(UsageError, match="out"), atomic_folder(tmp_path / "out"):
        pass

    def meet_another():
        with atomic_folder(tmp_path / "late") as temp:
            (temp / "a").write_bytes(b"x")
            (tmp_path / "late").mkdir()

    with pytest.raises(UsageError, match="late"):
        meet_another()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["late", "out"]


@pytest.mark.skipif(os.name != "posix", reason="permissions")
def test_a_file_that_is_replaced_keeps_its_permissions(tmp_path):
    for mode in (0o600, 0o640, 0o444):
        path = tmp_path / f"{mode}"
        path.write_bytes(b"old")
        path.chmod(mode)
        with atomic_write(path) as temp:
            assert temp.stat().st_mode & 0o077 == 0  # nobody else may read an unfinished file
            temp.write_bytes(b"new")
        assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"new", mode)
    (tmp_path / "link").symlink_to("384")
    write_bytes(tmp_path / "link", b"other")
    assert not (tmp_path / "link").is_symlink()
    assert (tmp_path / "384").read_bytes() == b"new"


def test_the_temporary_file_is_a_neighbour_with_the_same_suffix(tmp_path):
    with atomic_write(tmp_path / "deep" / "a.png") as temp:
        assert temp.parent == tmp_path / "deep"
        assert temp.suffix == ".png"
        assert not (tmp_path / "deep" / "a.png").exists()
        temp.write_bytes(b"x")
    assert (tmp_path / "deep" / "a.png").read_bytes() == b"x"


def test_sweep_takes_only_what_a_killed_process_left(tmp_path):
    (tmp_path / "sub").mkdir()
    for name in (f"{TEMP_PREFIX}1.pt", f"sub/{TEMP_PREFIX}2.png", "mine.pt"):
        (tmp_path / name).write_bytes(b"")
    assert sweep_temporaries(tmp_path) == 2
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["mine.pt"]


def test_cut_and_undecodable_lines_are_left_out(tmp_path):
    (tmp_path / "log.jsonl").write_bytes(b'{"a": 1}\n{"\xff": 3}\n{"a": 2}\n{"a"')
    assert read_json_lines(tmp_path / "log.jsonl") == [{"a": 1}, {"a": 2}]
    assert read_json_lines(tmp_path / "none.jsonl") == []
