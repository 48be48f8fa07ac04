"""The progress line at every width, the speed that it shows, and the warning of a slow machine."""

import io
import re
import time

import pytest
from rich.console import Console

from i2i.status import EVERY_S
from i2i.training import progress
from i2i.training.diagnostics import SpeedCheck
from i2i.training.progress import Pace, ProgressLine, progress_words

CYCLEGAN = {
    f"{name}_{term}": 0.1234
    for name, terms in (("D_A", ("real", "fake", "real_accuracy")), ("D_B", ("real", "fake")))
    for term in terms
} | {f"G_{name}": 1.5 for name in ("A_GAN", "B_GAN", "cycle_A", "cycle_B", "identity_A", "identity_B")}


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until `clock[0]` is moved."""
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def drawn(line: ProgressLine, width: int) -> str:
    """What a terminal of this width shows."""
    screen = io.StringIO()
    line.console = Console(width=width, file=screen, force_terminal=True, color_system=None)
    line.console.print(line.bar.get_renderable())
    return screen.getvalue()


@pytest.mark.parametrize("width", [50, 60, 80, 120, 200])
def test_count_share_speed_and_time_left_are_shown_at_every_width(clock, width):
    line = ProgressLine(200_000, 0)
    line.advance(0)
    clock[0] += 10
    line.advance(600)
    line.report(CYCLEGAN)
    shown = drawn(line, width)
    assert shown.count("\n") == 1
    assert all(len(row) <= width for row in shown.splitlines())
    assert re.search(r"600/200000( images)? +0% +60\.0 img/s +55\.4 min left", shown)
    assert ("D_A_real 0.123" in shown) == (width >= 80)
    assert "accuracy" not in shown


def test_a_bar_fills_the_room_that_is_left(clock):
    line = ProgressLine(100, 50)
    assert "━" * 10 in drawn(line, 120)
    line.report(dict.fromkeys("abcdefgh", 1.0))
    assert "━" not in drawn(line, 80)


def test_previews_are_shown_with_their_count_and_left_out_of_the_speed(clock):
    line = ProgressLine(2000, 0)
    line.advance(0)
    clock[0] += 10
    line.advance(100)
    line.report({"G": 1.0})
    with line.busy("previews") as count:
        clock[0] += 10
        count(3, 16)
        assert "previews 3/16" in drawn(line, 60)
        assert "G 1.000" not in drawn(line, 60)
    clock[0] += 10
    line.advance(200)
    assert line.pace.speed == pytest.approx(10)
    assert line.pace.seconds_for(1800) == pytest.approx(180 * 1.5)  # a third of the time went to previews
    assert "G 1.000" in drawn(line, 60)


def test_the_speed_is_that_of_the_last_half_minute(clock):
    pace = Pace()
    for images in range(0, 1000, 10):  # 10 a second
        pace.add(images)
        clock[0] += 1
    for images in range(990, 1040):  # then 1
        pace.add(images)
        clock[0] += 1
    assert pace.speed == pytest.approx(1, rel=0.05)


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ((0, 100, None, None, 80), "  0/100 images    0%"),
        ((50, 100, 0.25, 200.0, 80), " 50/100 images   50%  0.25 img/s  3.3 min left"),
        ((99, 100, 2.0, 0.5, 30), " 99/100 99% 2.0 img/s 0 s left"),
        ((50, 100, 2.0, 25.0, 80, 8), " 50/100 images  6.2/12.5 epochs   50%  2.0 img/s  25 s left"),
        ((50, 100, 2.0, 25.0, 48, 8), " 50/100 images   50%  2.0 img/s  25 s left"),
    ],
)
def test_progress_in_words(words, shown):
    assert progress_words(*words) == shown


def test_without_a_terminal_lines_come_at_intervals_and_at_the_end(monkeypatch, capsys):
    monkeypatch.setattr(progress, "EVERY_S", 0.2)
    monkeypatch.setattr("i2i.status._LOOK_S", 0.02)
    monkeypatch.setattr("i2i.status.FIRST_S", EVERY_S - 0.1)  # an interval of that length would begin then
    with ProgressLine(40, 0) as line:
        for images in range(1, 41):
            time.sleep(0.025)
            line.advance(images)
    said = capsys.readouterr().err.splitlines()
    assert 3 <= len(said) <= 7
    assert re.fullmatch(r"40/40 images  100%  [\d.]+ img/s  0 s left", said[-1])
    assert all("img/s" in one and "left" in one for one in said[1:])


def speeds(slow: SpeedCheck, *windows: float) -> list[int]:
    """How many warnings come with windows of half a minute at these speeds, in steps of 5 s."""
    return [sum(len(slow.add(int(speed * 5), 5.0)) for _ in range(6)) for speed in windows]


def test_a_run_that_has_slowed_to_a_third_says_so_once_with_the_figures():
    slow = SpeedCheck(threads=2)
    assert speeds(slow, 4, 15, 15, 6, 4, 15, 4, 4, 4, 4) == [0, 0, 0, 0, 0, 0, 0, 1, 0, 0]
    assert speeds(slow, 15, 4) == [0, 0]  # quick again ...
    (text,) = [warning for _ in range(6) for warning in slow.add(15, 5.0)]
    for word in ("3 images a second", "from 15", "2 threads", "OMP_NUM_THREADS=1", "--resume"):
        assert word in text
    assert speeds(SpeedCheck(threads=1), 15, 15, 1, 1, 1) == [0, 0, 0, 0, 0]  # one thread has no other to wait for
    once = SpeedCheck(threads=2)
    assert speeds(once, 15, 15) == [0, 0]
    assert once.add(5, 3600.0) == []  # a process that was suspended
    assert speeds(once, 15, 15) == [0, 0]
