"""Reading videos: colours by their tags, upright, and one clear error for what cannot be read."""

import gc
import os
from pathlib import Path

import av
import numpy as np
import pytest

from i2i.errors import ImageError
from i2i.images import video, video_colours
from i2i.images.frames import thumbnail
from i2i.images.video import frames, survey
from tests.videos import FRAMES, shown, write_clip, write_interlaced, write_tone

LIMIT = 10_000_000


def read(path):
    found, _ = survey(path, LIMIT)
    return found, np.stack(list(frames(found))).astype(int)


def difference(one, other):
    return np.abs(one - other).mean()


@pytest.mark.parametrize("kind", ["yuv444p", "yuv444p10le"])
@pytest.mark.parametrize("matrix", [1, 6])
def test_full_and_limited_range_give_the_same_pixels(kind, matrix, tmp_path):
    values, drawn = (1 if kind == "yuv444p" else 257), np.stack([shown(number) for number in range(FRAMES)])
    limited, full = (
        read(write_clip(tmp_path / f"{full}.mp4", kind=kind, matrix=matrix, full=full))[1] for full in (False, True)
    )
    assert difference(limited, full) < 1.5 * values
    assert difference(full, values * drawn.astype(int)) < 1.5 * values
    control = write_clip(tmp_path / "control.mp4", kind=kind, matrix=matrix, full=True, mistagged=True)
    assert difference(read(control)[1], full) > 4 * values


def test_the_matrix_of_a_clip_is_the_one_its_tags_name(tmp_path, monkeypatch):
    clip = write_clip(tmp_path / "a.mp4", kind="yuv444p", matrix=6)
    right = read(clip)[1]
    monkeypatch.setitem(video_colours._SCALERS, 6, 1)
    assert difference(read(clip)[1], right) > 1


def test_what_is_untagged_is_taken_as_players_take_it(tmp_path):
    for side, matrix in ((48, 6), (720, 1)):
        still = [np.zeros((side, 64, 3), np.uint8)] * 2
        clip = write_clip(tmp_path / f"{side}.mp4", still, matrix=2, tags=(2, 2), sound=None)
        assert read(clip)[0].colours == (matrix, 2, 2)


@pytest.mark.parametrize("turned", [90, 180, -90])
def test_a_turned_clip_is_read_upright(turned, tmp_path):
    plain, made = read(write_clip(tmp_path / "a.mp4"))[1], read(write_clip(tmp_path / "b.mp4", turned=turned))
    assert made[1].shape[1:3] == (made[0].height, made[0].width)
    assert difference(np.rot90(plain, turned // 90, axes=(1, 2)), made[1]) < 0.5  # two encodings


@pytest.mark.parametrize(("matrix", "tags"), [(9, (9, 16)), (1, (1, 18)), (9, (9, 14))])
def test_hdr_is_refused(matrix, tags, tmp_path):
    clip = write_clip(tmp_path / "a.mp4", kind="yuv420p10le", matrix=matrix, tags=tags)
    with pytest.raises(ImageError, match="bt709"):
        read(clip)


@pytest.mark.parametrize(("kind", "turned"), [("yuv444p", 0), ("yuv444p10le", 0), ("yuv420p", 90)])
def test_thumbnails_are_the_means_of_each_frame(kind, turned, tmp_path):
    found, thumbnails = survey(write_clip(tmp_path / "a.mp4", kind=kind, turned=turned), LIMIT)
    expected = [thumbnail(one) for one in frames(found)]
    assert difference(np.stack(thumbnails), np.stack(expected)) < 1
    assert difference(np.stack(thumbnails)[::-1], np.stack(expected)) > 1


def broken_clips(folder):
    """Clips that cannot be translated, by what their message must say."""
    whole = write_clip(folder / "whole.mp4").read_bytes()
    long = write_clip(folder / "long.mkv", [shown(number % 12) for number in range(50)]).read_bytes()
    data = whole.index(b"mdat")
    contents = {
        "empty": ("empty.mp4", b""),
        "no video": ("text.mp4", b"no video " * 99),
        "damaged, or": ("half.mp4", whole[: len(whole) // 2]),
        "cut short": ("half.mkv", long[: len(long) // 2]),
        "damaged": ("zeros.mp4", whole[: data + 300] + bytes(400) + whole[data + 700 :]),
    }
    for says, (name, content) in contents.items():
        (folder / name).write_bytes(content)
        yield says, folder / name
    with av.open(str(folder / "sound.mp4"), "w") as container:
        write_tone(container, container.add_stream("aac", rate=48000, layout="mono"), 0.2)
    yield "only sound", folder / "sound.mp4"
    playlist = folder / "list.mp4"  # which names another file
    playlist.write_text("#EXTM3U\n#EXTINF:1,\nwhole.mp4\n#EXT-X-ENDLIST\n", encoding="utf-8")
    yield "no video", playlist


def test_what_is_broken_ends_in_one_error(tmp_path):
    for says, path in broken_clips(tmp_path):
        with pytest.raises(ImageError) as error:
            read(path)
        assert path.name in str(error.value)
        assert says in str(error.value), path


def test_a_clip_may_be_cut_short_anywhere(tmp_path):
    whole = write_clip(tmp_path / "whole.mp4", sound=None)
    content, count, said = whole.read_bytes(), len(read(whole)[1]), ""
    for end in range(content.index(b"moov") - 4, len(content) - 1, 7):
        (tmp_path / "cut.mp4").write_bytes(content[:end])
        try:
            assert len(read(tmp_path / "cut.mp4")[1]) == count  # what is missing tells of no frame
        except ImageError as error:
            said += f"{error}\n"
    assert "H.264" in said


def test_frames_are_given_back_one_by_one(tmp_path):
    """Also without the collector of cycles, which may come long after memory is full."""
    held = Path("/proc/self/statm")
    if not held.exists():
        pytest.skip("Only Linux says what a process holds now.")
    large = [np.zeros((1080, 1920, 3), np.uint8)] * 30
    found, _ = survey(write_clip(tmp_path / "a.mp4", large, sound=None), LIMIT)
    gc.disable()
    try:
        pages = [int(held.read_text(encoding="utf-8").split()[1]) for _ in frames(found)]
    finally:
        gc.enable()
    assert (pages[-1] - pages[9]) * os.sysconf("SC_PAGESIZE") < 20e6  # the last 20 frames take 60 MB


def test_a_clip_over_the_limit_is_refused_before_it_is_decoded(tmp_path):
    with pytest.raises(ImageError, match="64x48"):
        survey(write_clip(tmp_path / "a.mp4"), 3000)


def combing(pictures):
    """Mean difference of a line from those above and below, in grey levels."""
    lines = np.stack(pictures).astype(float)
    return np.abs(lines[:, 1:-1] - (lines[:, :-2] + lines[:, 2:]) / 2).mean()


def test_interlaced_frames_become_whole_at_their_own_times(tmp_path, monkeypatch):
    """The control reads them as they are stored; a clip that is not interlaced stays as it is."""
    path = write_interlaced(tmp_path / "a.mp4")
    found, _ = survey(path, 10**8)
    made = list(frames(found))
    assert found.interlaced
    assert len(made) == len(found.starts) == FRAMES
    assert np.array_equal(np.diff(found.starts), [found.starts[1]] * (FRAMES - 1))
    later = list(frames(found, range(5, FRAMES)))
    assert [np.array_equal(*pair) for pair in zip(later, made[5:], strict=True)] == [True] * (FRAMES - 5)
    plain, _ = survey(write_clip(tmp_path / "b.mp4"), 10**8)
    assert not plain.interlaced
    before = list(frames(plain))
    monkeypatch.setattr(video, "progressive", lambda frames, stream: frames)
    assert np.array_equal(before, list(frames(plain)))
    assert combing(made) < combing(list(frames(found))) / 4
