"""The lessons of docs/gan.md, each with its control, and the figures on that page."""

import math
import re

import numpy as np
import pytest

import i2i
from i2i.algorithms import resolve
from i2i.data.toy import DRAWS, TOYS, draw, modes_found
from tests.conftest import ROOT, load_script

lessons = load_script(ROOT / "tools" / "bench" / "gan_lessons.py")
toy_modes = load_script(ROOT / "tools" / "bench" / "toy_modes.py")
START = math.hypot(1, 1)


@pytest.mark.parametrize("loss", ["wasserstein", "minimax"])
def test_two_players_at_once_spiral_outwards_and_r1_pulls_them_in(loss):
    assert lessons.play(loss, alternating=False, gamma=0.0) > 1.5 * START
    assert lessons.play(loss, alternating=False, gamma=1.0) < 1e-6


@pytest.mark.parametrize("loss", ["wasserstein", "minimax"])
def test_two_players_in_turn_circle_and_r1_pulls_them_in(loss):
    assert 0.8 * START < lessons.play(loss, alternating=True, gamma=0.0) < 1.2 * START
    assert lessons.play(loss, alternating=True, gamma=1.0) < 1e-6


@pytest.mark.parametrize("loss", ["wasserstein", "minimax"])
def test_a_generator_that_foresees_a_step_of_d_gets_near(loss):
    """Without, it circles for ever."""
    assert lessons.foresee(loss, 0) > 0.8 * START
    assert lessons.foresee(loss, 1) < 0.1


def test_the_xy_game_grows_as_computed_by_hand():
    """Each step multiplies the distance by the root of 1 + rate^2."""
    found = lessons.play("wasserstein", alternating=False, gamma=0.0, steps=100, rate=0.1)
    assert found == pytest.approx(START * math.sqrt(1 + 0.1**2) ** 100, rel=1e-4)


def test_jensen_shannon_of_points_is_flat_and_wasserstein_is_not():
    found = [lessons.divergences(distance) for distance in (0.5, 1.0, 2.0)]
    assert [points for points, _, _ in found] == pytest.approx([math.log(2)] * 3, abs=1e-6)
    assert [wasserstein for _, wasserstein, _ in found] == pytest.approx([0.5, 1.0, 2.0])
    overlapping = [gaussians for _, _, gaussians in found]
    assert overlapping[0] < overlapping[1] / 2 < overlapping[2] / 4  # the control: where supports overlap, it grows


def test_jensen_shannon_of_gaussians_is_that_of_numerical_integration():
    at = np.linspace(-12, 14, 20001)
    p, q = (np.exp(-((at - mean) ** 2) / 2) / math.sqrt(2 * math.pi) for mean in (0.0, 2.0))
    middle = (p + q) / 2
    expected = float(np.trapezoid(p * np.log(p / middle) + q * np.log(q / middle), at)) / 2
    assert lessons.divergences(2.0)[2] == pytest.approx(expected, abs=3e-3)


@pytest.mark.parametrize("logit", lessons.LOGITS)
def test_gradients_on_logits_are_sigmoids(logit):
    """Of log(1 - D): -D; of -log D: D - 1."""
    undecided = 1 / (1 + math.exp(-logit))
    assert lessons.gradient_on_logit("minimax", logit) == pytest.approx(undecided)
    assert lessons.gradient_on_logit("non_saturating", logit) == pytest.approx(1 - undecided)


def test_the_gradient_on_networks_vanishes_with_minimax_alone():
    rows = dict(lessons.gradients_on_networks((0, 50, 1000)))
    assert rows[0][1] == pytest.approx(rows[0][2], rel=0.05)  # an undecided D: both are alike
    assert rows[1000][0] < -5  # D has won
    assert rows[1000][1] < rows[50][1] / 20
    assert rows[1000][2] > rows[50][2]


def test_the_ring_has_eight_modes():
    """A ring whose end is its first point, as np.linspace makes by default, has seven."""
    centres = TOYS["ring"].centres
    assert len(np.unique(centres.round(6), axis=0)) == 8
    angles = np.linspace(0, 2 * np.pi, 8)
    copied = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    assert len(np.unique(copied.round(6), axis=0)) == 7
    neighbours = np.linalg.norm(centres - np.roll(centres, 1, axis=0), axis=1)
    assert neighbours == pytest.approx(np.full(8, neighbours[0]))
    modes, good = modes_found("ring", draw("ring", DRAWS, np.random.default_rng(0)))
    assert modes == 8
    assert good > 0.95


def test_distances_and_ranks():
    random = np.random.default_rng(0)
    one, same, far = (draw("ring", 500, random) for _ in range(3))
    assert abs(lessons.energy_distance(one, same)) < 0.02
    assert lessons.energy_distance(one, far + 3) > 2
    assert lessons.ranks_agree([1, 2, 3, 5], [0.1, 7, 8, 90]) == pytest.approx(1)
    assert lessons.ranks_agree([1, 2, 3, 5], [4, 3, 2, 1]) == pytest.approx(-1)


@pytest.mark.parametrize("case", list(toy_modes.CURES))
def test_every_cure_trains(case):
    """Within a moment of processor time, as the tables of modes do for longer."""
    modes, good, steps = toy_modes.find_modes_within(0.05, "grid", 0, toy_modes.CURES[case])
    assert steps >= 1
    assert 0 <= modes <= 25
    assert 0 <= good <= 1


@pytest.mark.slow
def test_the_loss_of_a_critic_follows_the_quality_and_that_of_a_discriminator_does_not():
    found = {
        name: lessons.follow(resolve(i2i.load_config("wgan_gp_ring", changes)))[2]
        for name, changes in lessons.QUALITY.items()
    }
    assert found["WGAN-GP"] >= 0.6
    assert found["WGAN"] >= 0.6 > found["non-saturating"]


@pytest.mark.parametrize("lesson", ["game", "foresight", "disjoint", "saturation"])
def test_the_page_has_the_figures_of_the_script(lesson, capsys, monkeypatch):
    """All but those of trained networks and those near 0, which rounding changes."""
    monkeypatch.setattr(lessons, "SEEDS", (0,))
    lessons.LESSONS[lesson]()
    page = (ROOT / "docs" / "gan.md").read_text(encoding="utf-8")
    cells = {cell.strip() for line in page.splitlines() if line.startswith("|") for cell in line.split("|")}
    lines = [line for line in capsys.readouterr().out.splitlines() if "steps of D" not in line and ":" in line]
    said = [number for line in lines for number in re.findall(r"-?\d[\d.e+-]*\d|\d", line.partition(":")[2])]
    missing = [number for number in said if number not in cells and "e-1" not in number and "e-0" not in number]
    assert said
    assert not missing
