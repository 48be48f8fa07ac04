"""Videos through a model: whole, in time, with their sound; without flicker; and done only once."""

import json
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image, ImageSequence

from i2i.images.video import frames, survey
from i2i.runtime import clip
from i2i.runtime.backends import OnnxBackend
from i2i.runtime.clip_statistics import for_clip
from i2i.runtime.smoothing import Smoothing
from i2i.runtime.translator import Translator
from tests.conftest import run_i2i
from tests.images.test_video import broken_clips
from tests.videos import FRAMES, shown, sound_of, sound_start, times_of, write_clip

STARTS = [0, 512, 1024, 2000, 2500, 4000, 4512, 5024, 6000, 7000, 8000, 9000]


def read(path):
    return list(frames(survey(path, 10**8)[0]))


def difference(one, other):
    return np.abs(np.asarray(one, float) - np.asarray(other, float)).mean()


@pytest.mark.parametrize("ending", ["mp4", "mov", "mkv", "webm"])
def test_a_clip_keeps_its_timing_and_its_sound(ending, tmp_path):
    source, output = write_clip(tmp_path / "a.mp4", starts=STARTS), tmp_path / f"out.{ending}"
    done = run_i2i("translate", source, "-m", "lineart", "-o", output, "--quality", "90")
    assert done.returncode == 0, done.stderr
    exact = ending in ("mp4", "mov")  # the others count milliseconds, from the first packet of the sound
    found, expected = (np.array(times_of(path)) - (0 if exact else sound_start(path)) for path in (output, source))
    np.testing.assert_allclose(found, expected, atol=1e-9 if exact else 1.1e-3 if ending == "mkv" else 0.03)
    assert (sound_of(output) == sound_of(source)) == (ending != "webm")
    assert ("encoded again" in done.stderr) == (ending == "webm")
    translator = Translator.open("lineart")
    expected = [translator.translate(frame) for frame in read(source)]
    assert difference(read(output), expected) < difference(read(output)[::-1], expected) / 2
    assert not output.with_name(f"{output.name}.parts").exists()


def test_a_turned_deep_clip_with_odd_sides(tiny_onnx, tmp_path):
    odd = [shown(number, 45, 63) for number in range(3)]
    source = write_clip(tmp_path / "a.mkv", odd, kind="yuv444p10le", sound=None)
    assert run_i2i("translate", source, "-m", tiny_onnx, "-o", tmp_path / "out").returncode == 0
    made = read(tmp_path / "out" / "a.mkv")
    assert (made[0].shape, made[0].dtype) == ((45, 63, 3), np.uint16)
    turned = write_clip(tmp_path / "b.mp4", [shown(0)] * 2, turned=90)
    assert run_i2i("translate", turned, "-m", tiny_onnx, "-o", tmp_path / "b2.mp4").returncode == 0
    assert read(tmp_path / "b2.mp4")[0].shape == (64, 48, 3)


def test_broken_clips_are_refused_and_the_others_done(tiny_onnx, tmp_path):
    broken = [path for _, path in broken_clips(tmp_path)]
    whole = write_clip(tmp_path / "good.mp4")
    done = run_i2i("translate", *broken, whole, "-m", tiny_onnx, "-o", tmp_path / "out", "--json")
    assert done.returncode == 3
    result = json.loads(done.stdout)["result"]
    assert [one["picture"] for one in result["failures"]] == [str(path) for path in broken]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["good.mp4"]


def test_what_does_not_change_does_not_flicker():
    """The right half gets brighter; the left half, farther away than the network sees, does not change."""
    translator = Translator.open("lineart")
    still = np.kron(np.random.default_rng(0).integers(0, 256, (12, 32, 3)), np.ones((8, 8, 1)))
    ramp = [still.copy() for _ in range(6)]
    for number, frame in enumerate(ramp):
        frame[:, 160:] *= 0.4 + 0.1 * number
    ramp = [frame.astype(np.uint8) for frame in ramp]
    alone, together = (
        np.stack([one.translate(frame)[:, :64] for frame in ramp]).astype(float).var(axis=0).mean()
        for one in (translator, for_clip(translator, ramp[::2]))
    )
    assert alone > 1
    assert together <= alone / 3


def test_the_statistics_of_a_still_clip_are_those_of_its_frames():
    translator = Translator.open("lineart")
    assert difference(for_clip(translator, [shown(0)] * 3).translate(shown(0)), translator.translate(shown(0))) < 0.1


def test_a_model_whose_statistics_cannot_be_set_says_that_its_frames_may_flicker(tiny_onnx):
    translator = Translator.open("lineart")
    exported = translator.with_backend(OnnxBackend.__new__(OnnxBackend))
    assert for_clip(exported, [shown(0)]) is exported
    assert "flicker" in " ".join(exported.notes)
    running = Translator.open(tiny_onnx)  # statistics of the training, the same for all frames
    assert for_clip(running, [shown(0)]) is running
    assert not running.notes


def test_smoothing_calms_what_is_still_and_leaves_what_moves():
    rng, still = np.random.default_rng(0), np.full((32, 32, 3), 100, np.uint8)
    noisy = [rng.integers(80, 121, still.shape).astype(np.uint8) for _ in range(30)]
    smooth = Smoothing(0.8)
    calm = np.stack([smooth(still, output) for output in noisy])[10:].astype(float)
    assert calm.var(axis=0).mean() < np.stack(noisy)[10:].astype(float).var(axis=0).mean() / 5
    smooth = Smoothing(0.8)
    smooth(still, np.zeros_like(still))
    moved = smooth(255 - still // 2, np.full_like(still, 200))
    assert difference(moved, 200) < 2


@pytest.mark.parametrize("kind", ["gif", "png", "webp", "folder"])
def test_animations_and_folders_of_frames_become_videos(kind, tiny_onnx, tmp_path):
    pictures = [Image.fromarray(shown(number)) for number in range(4)]
    source = tmp_path / ("frames" if kind == "folder" else f"a.{kind}")
    if kind == "folder":
        source.mkdir()
        for number, one in enumerate(pictures):
            one.save(source / f"{number:03}.png")
    else:
        pictures[0].save(source, save_all=True, append_images=pictures[1:], duration=[40, 100, 40, 60])
    output = tmp_path / "out.mp4"
    done = run_i2i("translate", source, "-m", tiny_onnx, "-o", output, "--fps", "10")
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(times_of(output), [0, 0.1, 0.2, 0.3] if kind == "folder" else [0, 0.04, 0.14, 0.18])
    pictures[0].save(tmp_path / "still.png")
    assert run_i2i("translate", tmp_path / "still.png", "-m", tiny_onnx, "-o", tmp_path / "c.mp4").returncode == 2


@pytest.mark.parametrize("ending", ["gif", "png"])
def test_a_clip_becomes_an_animation_and_goes_back(ending, tiny_onnx, tmp_path, monkeypatch):
    """From several segments; an APNG holds the pixels exactly, a GIF 256 colours of each frame."""
    monkeypatch.setattr(clip, "SEGMENT_FRAMES", 5)
    source, output = write_clip(tmp_path / "a.mp4", starts=STARTS), tmp_path / f"out.{ending}"
    done = run_i2i("translate", source, "-m", tiny_onnx, "-o", output)
    assert (done.returncode, "sound" in done.stderr) == (0, True), done.stderr
    translator = Translator.open(tiny_onnx)
    with Image.open(output) as made:
        pictures, spent = [], []
        for frame in ImageSequence.Iterator(made):
            pictures.append(np.asarray(frame.convert("RGB")))
            spent.append(frame.info["duration"])
        assert made.info["loop"] == 0
    expected = [translator.translate(frame) for frame in read(source)]
    assert difference(pictures, expected) <= (0 if ending == "png" else 3)
    found = survey(source, 10**8)[0]
    exact = np.diff([*found.starts, found.end]) * float(1000 * found.base)
    np.testing.assert_allclose(np.cumsum(spent), np.cumsum(exact), atol=1 if ending == "png" else 10)
    assert run_i2i("translate", output, "-m", tiny_onnx, "-o", tmp_path / "back.mp4").returncode == 0
    np.testing.assert_allclose(times_of(tmp_path / "back.mp4"), [0, *np.cumsum(spent)[:-1] / 1000], atol=2e-3)


def test_a_gif_leaves_out_what_browsers_would_slow_down(tiny_onnx, tmp_path):
    source = write_clip(tmp_path / "a.mp4", starts=[128 * number for number in range(FRAMES)])  # 100 a second
    done = run_i2i("translate", source, "-m", tiny_onnx, "-o", tmp_path / "out.gif")
    assert "6 frames" in done.stderr
    with Image.open(tmp_path / "out.gif") as made:
        assert {frame.info["duration"] for frame in ImageSequence.Iterator(made)} == {20}
        assert made.n_frames == 6
    refused = run_i2i("translate", source, "-m", tiny_onnx, "-o", tmp_path / "b.gif", "--quality", "50")
    assert (refused.returncode, "--quality" in refused.stderr) == (2, True)


def test_frames_of_an_animation_share_their_statistics(tmp_path):
    still = np.kron(np.random.default_rng(0).integers(0, 256, (4, 32, 3)), np.ones((8, 8, 1)))
    ramp = [still.copy() for _ in range(3)]
    for number, frame in enumerate(ramp):
        frame[:, 160:] *= 0.4 + 0.3 * number
    pictures = [Image.fromarray(frame.astype(np.uint8)) for frame in ramp]
    pictures[0].save(tmp_path / "a.png", save_all=True, append_images=pictures[1:])
    words = ["translate", tmp_path / "a.png", "-m", "lineart", "--frames", "all", "-o"]
    assert run_i2i(*words, tmp_path / "b.png").returncode == 0
    with Image.open(tmp_path / "b.png") as made:
        left = [np.asarray(frame)[:, :64].astype(float) for frame in ImageSequence.Iterator(made)]
    translator = Translator.open("lineart")
    alone = [translator.translate(np.asarray(one))[:, :64] for one in pictures]
    assert np.var(left, axis=0).mean() <= np.var(alone, axis=0).mean() / 3


KILLED = """
import sys, time
from i2i.runtime import clip
from i2i.runtime.backends import OnnxBackend
from i2i.runtime.translator import Translator
clip.SEGMENT_FRAMES = 3
quick = Translator.translate
def slow(*words, **named):
    time.sleep(0.3)
    return quick(*words, **named)
Translator.translate = slow
from i2i.cli import main
main()
"""


def test_a_killed_run_goes_on_where_it_was(tiny_onnx, tmp_path, monkeypatch):
    source, output = write_clip(tmp_path / "a.mp4"), tmp_path / "out.mp4"
    words = ["translate", str(source), "-m", str(tiny_onnx), "-o", str(output), "--temporal", "0.5"]
    parts = tmp_path / "out.mp4.parts"
    with subprocess.Popen([sys.executable, "-c", KILLED, *words], stderr=subprocess.DEVNULL) as first:
        while not (parts / "000000003.nut").exists():
            assert first.poll() is None
            time.sleep(0.02)
        first.kill()
    kept = {path.name: path.stat().st_mtime_ns for path in parts.glob("0*.nut")}
    assert not output.exists()
    other = run_i2i(*words[:-1], "0.6")
    assert (other.returncode, "--overwrite" in other.stderr) == (2, True)

    made, translate = [], Translator.translate
    monkeypatch.setattr(clip, "SEGMENT_FRAMES", 3)
    monkeypatch.setattr(Translator, "translate", lambda *words: made.append(1) or translate(*words))
    done = run_i2i(*words)
    assert done.returncode == 0, done.stderr
    assert len(made) == FRAMES - 3 * len(kept)
    assert not parts.exists()
    again = run_i2i(*words[:5], tmp_path / "whole.mp4", *words[6:])
    assert again.returncode == 0
    assert difference(read(output), read(tmp_path / "whole.mp4")) < 0.5  # two encodings


def test_ctrl_c_loses_no_frame(tiny_onnx, tmp_path, monkeypatch):
    source, words = write_clip(tmp_path / "a.mp4"), ["-m", tiny_onnx, "-o", tmp_path / "out.mp4"]
    made, translate = [], Translator.translate

    def stopped(*arguments):
        made.append(1)
        if len(made) == 6:
            raise KeyboardInterrupt
        return translate(*arguments)

    monkeypatch.setattr(Translator, "translate", stopped)
    done = run_i2i("translate", source, *words, "--workers", "1")
    assert done.returncode == 130
    assert "5 of 12 frames" in done.stderr
    assert run_i2i("translate", source, *words, "--workers", "1").returncode == 0
    assert len(made) <= FRAMES + 2  # again the one that was in work, and the one behind it
    assert len(read(tmp_path / "out.mp4")) == FRAMES
