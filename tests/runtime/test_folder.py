"""Folder runs: what is done, by which worker, and what remains when a run is interrupted."""

import errno
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import unicodedata
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import i2i
from i2i.cli import main
from i2i.errors import DiskFullError, ModelError, UsageError
from i2i.files import TEMP_PREFIX
from i2i.images import read_image
from i2i.images.encode import encode
from i2i.images.listing import find_inputs, list_pictures
from i2i.runtime import pipeline, worker
from i2i.runtime import plan as plans
from i2i.runtime.fit import Fit
from i2i.runtime.folder import list_tasks
from i2i.runtime.outcome import Refused, Result, Setup, lines
from i2i.runtime.picture_options import PictureOptions
from i2i.runtime.pipeline import setup_for, translate_files
from i2i.runtime.plan import Planner
from i2i.runtime.tasks import Shard
from i2i.runtime.translator import Translator
from i2i.runtime.worker import PIXEL_BYTES, Room
from tests.conftest import picture, run_i2i, save
from tests.runtime.test_translator import identity


@pytest.fixture
def folder(tmp_path) -> Path:
    """A dozen pictures of three sizes in two folders."""
    for k in range(12):
        save(tmp_path / "in" / ("sub" if k % 2 else "") / f"{k}.png", 20 + 8 * (k % 3), 24, seed=k)
    return tmp_path / "in"


def test_any_number_of_workers_gives_the_same_pictures(folder, tmp_path, tiny_onnx, tiny_run):
    alone, threads = i2i.load(tiny_run, device="cpu"), torch.get_num_threads()
    for model in (tiny_onnx, tiny_run):
        for workers in (1, 3):
            out = tmp_path / f"{model.suffix}{workers}"
            result = translate_files(i2i.load(model), list_tasks(folder, out, 3), workers=workers)
            assert (result.written, result.refused) == (12, [])
            for path in list_pictures(folder):
                output = read_image(out / path.relative_to(folder)).astype(int)
                assert np.abs(output - alone(read_image(path))).max() <= 1
    assert torch.get_num_threads() == threads


def test_trials_of_setups_do_every_picture_once(tmp_path, monkeypatch):
    for k in range(20):
        save(tmp_path / "in" / f"{k}.png", 8, 8, seed=k % 9)
    monkeypatch.setattr(pipeline, "thread_count", lambda: 4)
    monkeypatch.setattr(pipeline, "_TRIAL_PICTURES", 1)
    monkeypatch.setattr(pipeline, "_WORTH_TRYING", 1)
    tried, original = [], pipeline._FolderRun._translate

    def some(run, setup, tasks):
        tried.append(setup)
        return original(run, setup, tasks)

    monkeypatch.setattr(pipeline._FolderRun, "_translate", some)
    done = []
    result = translate_files(identity(), list_tasks(tmp_path / "in", tmp_path / "out", 3), done.append)
    assert set(tried) == {Setup(4, 1), Setup(2, 2), Setup(2, 4)}
    assert result.written == len(done) == len({task.output for task in done}) == 20


def test_few_pictures_get_more_threads_each(monkeypatch):
    monkeypatch.setattr(pipeline, "thread_count", lambda: 8)
    assert [setup_for(n) for n in (1, 3, 8, 100)] == [Setup(1, 8), Setup(3, 2), Setup(8, 1), Setup(8, 1)]
    assert setup_for(100, workers=2) == Setup(2, 4)


def test_large_pictures_wait_for_room_and_are_not_passed_over():
    room, order = Room(10), []

    def take(name, wanted):
        with room.taken(wanted):
            order.append(name)

    with room.taken(6):
        threads = [threading.Thread(target=take, args=("large", 1000))]
        threads[0].start()
        while not room._turn.locked():
            pass
        threads.append(threading.Thread(target=take, args=("small", 1)))
        threads[1].start()
        threads[1].join(0.2)
        assert order == []
    for thread in threads:
        thread.join(10)
    assert order == ["large", "small"]
    assert room.free == 10


def test_room_is_taken_for_all_frames_and_for_what_does_not_go_in_tiles(tmp_path, monkeypatch):
    content = encode([picture(16, 16), picture(64, 64)], "TIFF")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.tif").write_bytes(content)
    wanted, original, model = [], Room.taken, identity(multiple=1, least=1)
    monkeypatch.setattr(Room, "taken", lambda room, size: wanted.append(size) or original(room, size))
    monkeypatch.setattr(plans, "is_too_big", lambda *_: True)
    monkeypatch.setattr(plans, "TILE_BYTES", 1)
    for frames in ("first", "all"):
        options = PictureOptions(frames=frames)
        translate_files(model, list_tasks(tmp_path / "in", tmp_path / frames, 3), options=options)
    assert wanted == [PIXEL_BYTES * pixels + 1 for pixels in (256, 256 + 4096)]
    whole, taken = plans.estimated_bytes(model.generator, 256), []
    for fit in (Fit("pad"), Fit("tile", "exact"), Fit("tile", None, 8), Fit("tile", None, 800)):
        taken.append(Planner(model.spec, model.generator, fit).plan(16, 16).memory_bytes)
    assert taken == [whole, whole, whole // 4, whole]


def test_shards_are_the_folder_and_share_no_output(tmp_path, folder):
    save(folder / "0.bmp", 8, 8)
    whole = {task.output for task in list_tasks(folder, tmp_path / "out", 4)}
    shares = [{task.output for task in list_tasks(folder, tmp_path / "out", 4, shard=Shard(k, 3))} for k in (1, 2, 3)]
    assert sum(len(share) for share in shares) == len(whole) == 13
    assert set().union(*shares) == whole
    assert all(shares)


def test_names_that_some_disks_treat_as_equal_do_not_collide(tmp_path):
    """Upper and lower case on disks of Windows and macOS, and two forms of an accent on macOS."""
    composed, apart = "\u00e9.jpg", "e\u0301.bmp"
    for name in ("a.jpg", "A.bmp", "Sub/b.jpg", "sub/B.bmp", composed, apart, "straße.jpg", "STRASSE.bmp"):
        save(tmp_path / "in" / name, 8, 8)

    def outputs(**options):
        tasks = list_tasks(tmp_path / "in", tmp_path / "out", 3, options=PictureOptions(**options))
        return [task.output.relative_to(tmp_path / "out").as_posix() for task in tasks]

    def on_disk(names):
        return {unicodedata.normalize("NFC", name).casefold() for name in names}

    assert len(on_disk(outputs())) == 8
    assert len(on_disk(outputs(format="png"))) == 8
    assert {"A.bmp.png", "a.jpg.png", "Sub/b.jpg.png", "sub/B.bmp.png"} < set(outputs(format="png"))
    save(tmp_path / "in" / "A.jpg", 8, 8)
    if (tmp_path / "in" / "A.jpg").samefile(tmp_path / "in" / "a.jpg"):
        return  # a disk that ignores case
    save(tmp_path / "in" / "Sub" / "B.jpg", 8, 8)
    for options in ({}, {"format": "png"}, {"suffix": "_x"}):
        assert len(on_disk(outputs(**options))) == 10
    assert {"A.jpg", "a.jpg.jpg", "Sub/B.jpg", "Sub/b.jpg.jpg"} < set(outputs())
    assert [task.output for task in list_tasks(tmp_path / "in", tmp_path / "in", 3, in_place=True)] == list_pictures(
        tmp_path / "in"
    )
    result = translate_files(identity(), list_tasks(tmp_path / "in", tmp_path / "out", 3))
    assert (result.written, result.refused) == (10, [])
    assert len(list_pictures(tmp_path / "out")) == 10


def test_a_share_is_the_same_however_a_disk_writes_the_name(tmp_path):
    for number, name in enumerate(["\u00e9.png", "E\u0301.png", "e\u0301.PNG"]):
        save(tmp_path / str(number) / name, 8, 8)
    shares = [
        [len(list_tasks(tmp_path / str(number), tmp_path / "out", 3, shard=Shard(k, 4))) for k in (1, 2, 3, 4)]
        for number in range(3)
    ]
    assert shares[0] == shares[1] == shares[2]
    assert sum(shares[0]) == 1


def test_in_place_is_only_by_its_flag(folder):
    with pytest.raises(UsageError, match="--in-place"):
        list_tasks(folder, folder, 3, overwrite=True)
    with pytest.raises(UsageError, match=re.escape(str(folder))):
        list_tasks(folder, folder / "out", 3, in_place=True)
    with pytest.raises(UsageError, match="--skip-existing"):
        list_tasks(folder, folder, 3, skip_existing=True, in_place=True)
    with pytest.raises(UsageError, match=r"0\.png.*0_x"):
        list_tasks(folder, folder, 3, options=PictureOptions(suffix="_x"), shard=Shard(1, 3), in_place=True)
    before = {path: path.stat().st_mtime_ns for path in list_pictures(folder)}
    translate_files(identity(), list_tasks(folder, folder, 3, in_place=True))
    assert list_pictures(folder) == list(before)
    assert all(path.stat().st_mtime_ns > written for path, written in before.items())


def test_an_output_that_is_the_parent_of_the_input_replaces_no_input(tmp_path):
    save(tmp_path / "raw" / "a.png", 8, 8)
    assert len(list_tasks(tmp_path / "raw", tmp_path, 3)) == 1
    save(tmp_path / "raw" / "raw" / "a.png", 8, 8)
    for flags in ({}, {"overwrite": True}, {"skip_existing": True}):
        with pytest.raises(UsageError, match=r"raw.a\.png"):
            list_tasks(tmp_path / "raw", tmp_path, 3, **flags)


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights")
def test_a_link_among_outputs_leads_to_no_input(tmp_path):
    before = save(tmp_path / "in" / "sub" / "a.png", 8, 8).read_bytes()
    save(tmp_path / "in" / "b.png", 8, 8)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "sub").symlink_to(tmp_path / "in" / "sub")
    result = translate_files(identity(), list_tasks(tmp_path / "in", tmp_path / "out", 3, overwrite=True))
    assert (result.written, len(result.refused)) == (1, 1)
    assert "sub/a.png" in str(result.refused[0])
    assert (tmp_path / "in" / "sub" / "a.png").read_bytes() == before


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights")
def test_in_place_replaces_no_links_and_keeps_permissions(tmp_path, tiny_onnx):
    """A link's target may lie elsewhere or be replaced already; a hard link keeps its picture."""
    inner, outer = tmp_path / "in", tmp_path / "far.png"
    save(outer, 16, 16)
    before = outer.read_bytes()
    for name, mode in (("secret.png", 0o600), ("shared.png", 0o664), ("fixed.png", 0o444)):
        save(inner / name, 16, 16).chmod(mode)
    (inner / "far.png").symlink_to(outer)
    (inner / "again.png").symlink_to("shared.png")
    (tmp_path / "other_name.png").hardlink_to(inner / "secret.png")
    done = run_i2i("translate", inner, "-m", tiny_onnx, "--in-place")
    assert done.returncode == 3, done.stderr
    for name in ("far.png", "again.png"):
        assert re.search(rf"Refused: {re.escape(str(inner / name))} .*--in-place.* -o", done.stderr)
        assert (inner / name).is_symlink()
    assert outer.read_bytes() == (tmp_path / "other_name.png").read_bytes() == before
    for name, mode in (("secret.png", 0o600), ("shared.png", 0o664), ("fixed.png", 0o444)):
        assert (inner / name).stat().st_mode & 0o777 == mode
        assert (inner / name).read_bytes() != before
    assert run_i2i("translate", inner / "far.png", "-m", tiny_onnx, "--in-place").returncode == 3
    assert run_i2i("translate", inner, "-m", tiny_onnx, "-o", tmp_path / "out").returncode == 0
    assert len(list_pictures(tmp_path / "out")) == 5
    assert not any(path.is_symlink() for path in list_pictures(tmp_path / "out"))


@pytest.mark.skipif(sys.platform == "win32", reason="names")
def test_odd_names_break_no_line(tmp_path, tiny_onnx, monkeypatch, capsys):
    """Whether the user gave them or they were found in a folder."""
    odd = "odd\nNAME"
    save(tmp_path / "in" / f"{odd}.png", 100, 100)
    save(tmp_path / "pairs" / "trainA" / f"{odd}.png", 16, 16)
    save(tmp_path / "pairs" / "trainB" / "other.png", 16, 16)
    (tmp_path / odd / "train").mkdir(parents=True)
    (tmp_path / odd / "train" / f"{odd}.png").write_bytes(b"no picture")
    shown = ["translate", "in", "-m", str(tiny_onnx), "-o"]
    monkeypatch.chdir(tmp_path)
    for words, code in (
        ([*shown, f"out{odd}"], 0),
        ([*shown, f"out{odd}"], 2),  # exists
        ([*shown, f"in/{odd}.png"], 2),
        ([*shown, f"in/{odd}.png/deep"], 2),
        ([*shown, f"{odd}.jp2"], 2),
        ([*shown, "x", "--report", f"./{odd}.txt"], 2),
        ([*shown, "x", "--device", odd], 2),
        (["translate", odd, *shown[2:], "x"], 3),
        (["translate", odd + "s", *shown[2:], "x"], 2),
        (["translate", "in", "-m", f"{odd}.onnx", "-o", "x"], 1),
        (["train", "pix2pix", "--data", "pairs", "--out", "run"], 1),
        (["train", "dcgan", "--data", odd, "--out", "run"], 1),
    ):
        monkeypatch.setattr(sys, "argv", ["i2i", *words])
        with pytest.raises(SystemExit) as end:
            main()
        said = capsys.readouterr().err
        assert end.value.code == code, said
        assert "odd\\nNAME" in said, words
        assert "odd\n" not in said, words


def test_links_to_folders_are_followed_but_for_one_to_the_output(folder, tmp_path, tiny_onnx):
    (tmp_path / "far").mkdir()
    save(tmp_path / "far" / "x.png", 8, 8)
    (folder / "far").symlink_to(tmp_path / "far")
    save(folder / "out" / "y.png", 8, 8)
    (tmp_path / "out").symlink_to(folder / "out")
    (folder / "back").symlink_to("out")
    tasks = list_tasks(folder, tmp_path / "out", 3)
    assert len(tasks) == 13
    assert Path("far/x.png") in [task.output.relative_to(tmp_path / "out") for task in tasks]
    (note,) = tasks.notes
    assert re.search(rf"\b1 link.* {re.escape(str(folder))}\b", note)
    assert "back" in note
    assert (
        len(list_tasks(folder, None, 3, in_place=True)) == 13
    )  # y.png in, far/x.png out: it would be replaced elsewhere
    save(folder / ".git" / "z.png", 8, 8)
    done = run_i2i("translate", folder, "-m", tiny_onnx, "-o", tmp_path / "out")
    assert done.returncode == 0
    assert re.search(rf"Note: .*\b1 hidden .*{re.escape(str(folder))}.*\.git/", done.stderr)
    assert "13 of 13 pictures" in done.stderr
    again = run_i2i("translate", folder, "-m", tiny_onnx, "-o", tmp_path / "out", "--skip-existing")
    assert again.returncode == 0
    assert "13 " in again.stderr
    assert "0 of 0" not in again.stderr
    refused = run_i2i("translate", folder, "-m", tiny_onnx, "-o", tmp_path / "out")
    assert refused.returncode == 2
    assert "12 more" in refused.stderr


def test_several_inputs_go_into_one_folder(tmp_path, monkeypatch):
    for name in ("a/1.png", "a/2.jpg", "b/sub/1.png", "c/3.jpg"):
        save(tmp_path / name, 8, 8)
    monkeypatch.chdir(tmp_path)

    def outputs(words, output="out", **flags):
        tasks = list_tasks(find_inputs(words), output and Path(output), 3, **flags)
        return {task.source.as_posix(): task.output.as_posix() for task in tasks}

    shell = outputs(["a/1.png", "a/2.jpg"])
    assert shell == {"a/1.png": "out/1.png", "a/2.jpg": "out/2.jpg"}
    assert outputs(["a/*.???"]) == outputs(["a/*", "./a/1.png"]) == shell
    assert outputs(["*/3.jpg"], "3.png") == {"c/3.jpg": "3.png"}
    assert outputs(["b", "a", "c/3.jpg"]) == {
        "c/3.jpg": "out/3.jpg",
        "b/sub/1.png": "out/b/sub/1.png",
        "a/1.png": "out/a/1.png",
        "a/2.jpg": "out/a/2.jpg",
    }
    monkeypatch.chdir(tmp_path / "b")
    assert set(outputs([".", "../c/3.jpg"], "../out").values()) == {"../out/b/sub/1.png", "../out/3.jpg"}
    monkeypatch.chdir(tmp_path)
    assert outputs(["a", "c/3.jpg"], None, in_place=True) == {name: name for name in ("c/3.jpg", "a/1.png", "a/2.jpg")}
    whole = set(outputs(["a", "b", "c/3.jpg"]).values())
    shares = [set(outputs(["a", "b", "c/3.jpg"], shard=Shard(k, 2)).values()) for k in (1, 2)]
    assert shares[0] | shares[1] == whole
    assert not shares[0] & shares[1]
    save(tmp_path / "out" / "a" / "1.png", 8, 8)
    tasks = list_tasks(find_inputs(["a", "b"]), Path("out"), 3, skip_existing=True)
    assert ([str(task.output) for task in tasks], tasks.existing) == (["out/a/2.jpg", "out/b/sub/1.png"], 1)
    assert tasks[-1] == tasks[1:][0]


@pytest.mark.parametrize(
    ("words", "output", "named"),
    [
        (["a/1.png", "b/1.png"], "out", "a/1.png.*b/1.png.*out/1.png"),
        (["a", "b/a"], "out", "a.*b/a.*out/a"),
        (["a/2.jpg", "b/2.bmp"], "out", "out/2.png"),
        (["a/1.png", "b"], "out.png", "out.png"),
        (["a/1.png", "b"], "out.pgn", "out.pgn"),
        (["a"], "out.pgn", "out.pgn"),
        (["a/1.png"], "out.pgn", r"\.pgn"),
        (["a/*.gif"], "out", r"a/\*\.gif"),
        (["a/1.png", "nowhere"], "out", "nowhere"),
        (["a/1.png", "a/2.jpg"], "a", "a/1.png"),
        (["c/b", "a/1.png"], "c", "c/b/1.png"),
    ],
)
def test_inputs_that_would_meet_and_outputs_that_look_like_typos_are_refused(
    tmp_path, monkeypatch, words, output, named
):
    for name in ("a/1.png", "a/2.jpg", "b/1.png", "b/a/1.png", "b/2.bmp", "c/b/1.png"):
        save(tmp_path / name, 8, 8)
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UsageError, match=named):
        list_tasks(find_inputs(words), Path(output), 3, options=PictureOptions(format="png"))
    assert sorted(tmp_path.rglob("*")) == before
    (tmp_path / "out.pgn").mkdir()
    if output == "out.pgn":
        assert list_tasks(find_inputs(words), Path(output), 3)


def test_in_place_replaces_no_picture_of_another_name(tmp_path):
    jpg, png = (save(tmp_path / name, 8, 8) for name in ("a.jpg", "a.png"))
    with pytest.raises(UsageError, match=r"a\.png"):
        list_tasks(jpg, None, 3, options=PictureOptions(format="png"), in_place=True)
    assert [
        task.output for task in list_tasks([jpg, png], None, 3, options=PictureOptions(format="png"), in_place=True)
    ] == [
        tmp_path / "a.jpg.png",
        tmp_path / "a.png",
    ]


def test_the_rest_of_a_killed_run(folder, tmp_path):
    out = tmp_path / "out"
    translate_files(identity(), list_tasks(folder, out, 3))
    (out / "0.png").unlink()
    (out / "2.png").write_bytes(b"")  # what a power cut may leave
    old, new = out / f"{TEMP_PREFIX}old.png", out / "sub" / f"{TEMP_PREFIX}new.png"
    for temp in (old, new):
        temp.write_bytes(b"half")
    os.utime(old, (time.time() - 7200,) * 2)
    tasks = list_tasks(folder, out, 3, skip_existing=True)
    assert [task.source.name for task in tasks] == ["0.png", "2.png"]
    assert not old.exists()
    assert new.exists()  # another process may be writing it


def test_a_disk_that_fills_up_ends_the_run_and_keeps_what_is_whole(folder, tmp_path, monkeypatch):
    written, turns, original = [], itertools.count(), worker.write_file

    def write(path, content, sync):
        if next(turns) >= 5:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        original(path, content, sync)
        written.append(path)

    monkeypatch.setattr(worker, "write_file", write)
    result = Result()
    with pytest.raises(DiskFullError, match=os.strerror(errno.ENOSPC)):
        translate_files(identity(), list_tasks(folder, tmp_path / "out", 3), workers=2, result=result)
    assert result.written == 5
    assert sorted(path for path in (tmp_path / "out").rglob("*") if path.is_file()) == sorted(written)


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_ctrl_c_ends_with_a_summary_and_whole_files(tmp_path, tiny_onnx):
    for k in range(60):
        save(tmp_path / "in" / f"{k}.png", 400, 400, seed=k % 9)
    words = [sys.executable, "-m", "i2i", "translate", "in", "-m", str(tiny_onnx), "-o", "out", "--report", "r.json"]
    with subprocess.Popen(words, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        while not list(tmp_path.glob("out/*.png")):
            time.sleep(0.01)
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        _, text = process.communicate(timeout=20)
    assert process.returncode == 130, text
    outputs = list((tmp_path / "out").iterdir())
    assert f"{len(outputs)} of 60 pictures" in text
    assert json.loads((tmp_path / "r.json").read_text())["written"] == len(outputs) < 60
    assert all(read_image(path).shape == (400, 400, 3) for path in outputs)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems have no such names")
def test_odd_names_are_one_line_each(tmp_path, tiny_onnx):
    names = ["a\nb.png", "tab\t\x1b[31m.png", os.fsdecode(b"\xff\xfe.png"), "pipe.png", "dangling.png", "dir.png/x.jpg"]
    for name in names:
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name == "pipe.png":
            os.mkfifo(path)
        elif name == "dangling.png":
            path.symlink_to("nowhere")
        else:
            path.write_bytes(b"no picture")
    save(tmp_path / "in" / "good\n.png", 16, 16)
    done = run_i2i("translate", "in", "-m", tiny_onnx, "-o", "out", "--report", "failures.json", cwd=tmp_path)
    assert done.returncode == 3, done.stderr
    refused = [line for line in done.stderr.splitlines() if line.startswith("Refused: ")]
    assert len(refused) == len(names)
    assert all(line.isprintable() for line in refused)
    for shown in (r"a\nb.png", r"tab\t\x1b[31m.png", r"\udcff\udcfe.png"):
        assert sum(shown in line for line in refused) == 1
    report = json.loads((tmp_path / "failures.json").read_text(encoding="utf-8"))
    assert {Path(failure["picture"]) for failure in report["failures"]} == {Path("in", name) for name in names}
    assert (report["pictures"], report["written"]) == (7, 1)
    again = ("translate", "in", "-m", tiny_onnx, "-o", "out", "--report", "failures.json")
    assert run_i2i(*again, cwd=tmp_path).returncode == 2
    assert run_i2i(*again, "--skip-existing", cwd=tmp_path).returncode == 3  # the same names are refused again
    report = json.loads((tmp_path / "failures.json").read_text(encoding="utf-8"))
    assert (report["pictures"], report["written"], len(report["failures"])) == (6, 0, 6)


def test_folders_that_cannot_be_listed_are_refused(folder, tmp_path, monkeypatch):
    scan = os.scandir

    def scandir(path):
        if str(path).endswith("sub"):
            raise PermissionError(13, "Permission denied", path)
        return scan(path)

    monkeypatch.setattr(os, "scandir", scandir)
    tasks = list_tasks(folder, tmp_path / "out", 3)
    assert len(tasks) == 6
    assert [str(refused) for refused in tasks.refused] == [f"{folder}/sub cannot be listed: Permission denied."]
    with pytest.raises(UsageError, match=r"sub.* Permission denied"):
        list_tasks(folder / "sub", tmp_path / "out", 3)


def test_what_is_said_of_a_run():
    result = Result(3, [Refused(Path("a\n.png"), "a\n.png is bad.\nMend it.")], setup=Setup(2, 1), wall_s=0.5)
    result.busy_s.update(decode=0.1, network=0.2, encode=0.1)
    refused, speed = lines(result)
    assert refused == r"Refused: a\n.png is bad. Mend it."
    assert re.search("6.0 img/s.* 2 workers, decode 25%, network 50%, encode 25%", speed)


def test_a_line_of_pixels_that_pads_to_gigabytes_is_refused(tmp_path, tiny_onnx):
    Image.new("L", (10_000_000, 1)).save(tmp_path / "line.png")
    result = translate_files(i2i.load(tiny_onnx), list_tasks(tmp_path / "line.png", tmp_path / "out", 3))
    assert "10000000x1" in str(result.refused[0])


def test_memory_that_runs_out_is_one_refusal(tmp_path, monkeypatch):
    save(tmp_path / "a.png", 16, 16)
    translator = identity()

    def run(batch):
        raise MemoryError

    monkeypatch.setattr(translator.backend, "run", run)
    result = translate_files(translator, list_tasks(tmp_path / "a.png", tmp_path / "b.png", 3))
    assert "memory" in str(result.refused[0])


def test_what_a_model_cannot_do_names_the_picture(tmp_path, monkeypatch):
    save(tmp_path / "in" / "odd\nname.png", 16, 16)
    translator = identity()
    monkeypatch.setattr(translator.backend, "run", lambda batch: batch * np.float32(np.nan))
    (refused,) = translate_files(translator, list_tasks(tmp_path / "in", tmp_path / "out", 3)).refused
    assert str(refused).startswith(f"{tmp_path}/in/odd\\nname.png: The model's output holds NaN")
    unknown = identity().spec.model_copy(update={"trained_side_px": 0})
    with pytest.raises(ModelError, match="scale"):
        Translator(unknown, translator.backend, "A2B", Fit("resize"))
