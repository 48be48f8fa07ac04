"""Diversity of samples, with values computed by hand."""

import numpy as np
import pytest

from i2i.metrics.diagnostics import brightness_correlation, diversity, hue_correlation


def test_distances_are_those_computed_by_hand():
    """Reals: three corners of a right triangle 3, 4, 5. Fakes: half as large, two of them nearly the same."""
    reals = np.array([[0.0, 0.0], [3.0, 0.0], [0.0, 4.0]])
    fakes = np.array([[0.0, 0.0], [0.1, 0.0], [2.0, 0.0]])
    scores = diversity(fakes, reals)
    assert scores["diversity"] == pytest.approx((0.1 + 2.0 + 1.9) / (3 + 4 + 5))
    assert scores["near_duplicates"] == pytest.approx(2 / 3)  # within 5% of the median distance, 0.2
    assert scores["real_near_duplicates"] == 0.0


def test_diversity_is_one_for_the_data_and_zero_for_a_single_picture():
    random = np.random.default_rng(0)
    reals = random.uniform(-1, 1, (200, 3, 8, 8)).astype(np.float32)
    fakes = random.uniform(-1, 1, (200, 3, 8, 8)).astype(np.float32)
    same = np.repeat(fakes[:1], 200, axis=0)
    assert diversity(fakes, reals)["diversity"] == pytest.approx(1, abs=0.02)
    assert diversity(fakes, reals)["near_duplicates"] == 0
    assert diversity(same, reals)["diversity"] == pytest.approx(0, abs=1e-6)
    assert diversity(same, reals)["near_duplicates"] == 1


def test_near_duplicates_in_the_data_are_counted_apart():
    random = np.random.default_rng(0)
    clusters = np.repeat([[0.0, 0.0], [1.0, 0.0]], 50, axis=0) + 1e-3 * random.standard_normal((100, 2))
    scores = diversity(clusters, clusters)
    assert scores["near_duplicates"] == scores["real_near_duplicates"] == 1


def test_brightness_correlates_with_its_like_and_against_its_negative():
    grey = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 1), dtype=np.uint8)
    colours, flat = np.repeat(grey, 3, axis=3), np.full((2, 8, 8, 3), 7, np.uint8)
    for others, expected in ((colours // 2, 1), (255 - colours, -1), (flat, 0), ((colours[0], 255 - colours[1]), 0)):
        assert brightness_correlation(grey, others) == pytest.approx(expected, abs=1e-3)


def test_hues_correlate_with_their_like_and_against_their_complements():
    red, green, blue, yellow, grey = (
        np.full((4, 4, 3), colour, np.uint8)
        for colour in ((200, 0, 0), (0, 200, 0), (0, 0, 200), (200, 200, 0), (9, 9, 9))
    )
    assert hue_correlation((red, blue), (red // 2 + 90, blue // 2 + 90)) == pytest.approx(1)
    assert hue_correlation((red, green, blue), (green, red, blue)) == pytest.approx(-1)  # yellow and blue as they were
    assert hue_correlation((yellow, blue), (blue, yellow)) == pytest.approx(-1)  # red and green do not vary
    assert hue_correlation((red, green) * 2, (red, green, green, red)) == pytest.approx(0)
    assert hue_correlation((red, blue), (grey, grey + 60)) is None
