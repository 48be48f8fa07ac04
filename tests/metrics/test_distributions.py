"""Distances between sets, against their definitions, and on real pictures that get worse step by step."""

import cv2
import numpy as np
import pytest

from i2i.images import read_image
from i2i.metrics.distributions import (
    density_coverage,
    frechet,
    kid,
    kid_interval,
    mind,
    precision_recall,
    sliced_wasserstein,
)
from i2i.metrics.features import features
from i2i.metrics.intervals import mean_interval
from tests.conftest import MAPS, ROOT, load_script, picture, use_published_weights

PUBLISHED = {"alexnet": None, "inception": 40}
"""Networks of published weights, and how many photographs are enough for the half second that one takes a picture."""


def draw(count, seed, shift=0.0, width=6):
    random = np.random.default_rng(seed)
    return random.standard_normal((count, width)) @ np.diag(np.arange(1, width + 1)) + shift


@pytest.mark.parametrize(("n", "m"), [(200, 300), (4, 300), (4, 3)])  # more rows than columns, and fewer
def test_frechet_is_the_formula_with_a_matrix_root(n, m):
    real, made = draw(n, 0), draw(m, 1, 0.5)
    one, other = (np.cov(each, rowvar=False) for each in (real, made))
    eigenvalues = np.linalg.eigvals(one @ other).real
    root = np.sqrt(np.maximum(eigenvalues, 0)).sum()  # the trace of the root of a product of covariances
    shift = np.square(real.mean(axis=0) - made.mean(axis=0)).sum()
    assert frechet(real, made) == pytest.approx(shift + np.trace(one) + np.trace(other) - 2 * root, rel=1e-6)
    assert frechet(real, real) == pytest.approx(0, abs=1e-8)


def test_kid_is_the_unbiased_estimate_written_out():
    real, made = draw(7, 0), draw(5, 1, 0.5)

    def kernel(x, y):
        return (x @ y / 6 + 1) ** 3

    within = [
        np.mean([kernel(x, y) for i, x in enumerate(one) for j, y in enumerate(one) if i != j]) for one in (real, made)
    ]
    between = np.mean([kernel(x, y) for x in real for y in made])
    assert kid(real, made) == pytest.approx(sum(within) - 2 * between, rel=1e-9)


def test_kid_of_equal_distributions_is_zero_on_average_where_frechet_is_not():
    """At 200 pictures KID scatters around 0, and the Fréchet distance lies far above it."""
    kids, frechets = zip(
        *((kid(a, b), frechet(a, b)) for a, b in ((draw(200, 2 * s), draw(200, 2 * s + 1)) for s in range(40))),
        strict=True,
    )
    assert abs(np.mean(kids)) < 3 * np.std(kids) / np.sqrt(40)
    assert min(kids) < 0 < max(kids)
    assert np.mean(frechets) > 10 * np.std(frechets) / np.sqrt(40)


def test_the_interval_of_kid_holds_the_truth_about_as_often_as_it_says():
    truth = np.mean([kid(draw(400, 1000 + s), draw(400, 2000 + s, 0.8)) for s in range(20)])
    held = sum(
        low <= truth <= high
        for low, high in (kid_interval(draw(100, 2 * s), draw(100, 2 * s + 1, 0.8), 300) for s in range(60))
    )
    assert 51 <= held <= 60  # 95% of 60 is 57


def test_bootstrap_intervals_hold_the_mean_about_as_often_as_they_say():
    held = 0
    for seed in range(200):
        low, high = mean_interval(np.random.default_rng(seed).exponential(size=60).tolist())  # skewed; its mean is 1
        held += low <= 1 <= high
    assert 178 <= held <= 198  # 190 expected; the percentile bootstrap falls a little short on skewed data
    assert all(np.isnan(end) for end in mean_interval([1.0]))


def test_missing_kinds_lower_recall_and_coverage_bad_pictures_precision_and_density():
    random = np.random.default_rng(0)
    centres = np.array([[0.0, 0.0], [100.0, 0.0]])
    real = np.concatenate([centre + random.standard_normal((100, 2)) for centre in centres])
    one_kind = random.standard_normal((200, 2))
    precision, recall = precision_recall(real, one_kind)
    assert precision > 0.9 > 0.55 > recall
    density, coverage = density_coverage(real, one_kind)
    assert density > 0.9
    assert coverage <= 0.5
    wrong = random.standard_normal((200, 2)) + 50
    assert precision_recall(real, wrong) == (0, 0)
    assert density_coverage(real, wrong) == (0, 0)
    assert all(np.isnan(value) for value in precision_recall(real[:3], wrong))


def test_balls_are_those_of_the_papers_written_out():
    """Kynkäänniemi et al. 2019, equations 1 and 2; Naeem et al. 2020, equations 3 and 4."""
    real, made = draw(14, 0), draw(9, 1, 0.7)

    def radius(own, one, neighbours):
        return sorted(np.linalg.norm(own - one, axis=1))[neighbours]  # the nearest is the point itself

    def inside(point, own, neighbours):
        return [np.linalg.norm(point - one) <= radius(own, one, neighbours) for one in own]

    precision = np.mean([any(inside(one, real, 3)) for one in made])
    recall = np.mean([any(inside(one, made, 3)) for one in real])
    assert precision_recall(real, made) == pytest.approx((precision, recall))
    assert 0 < precision < 1  # the sets overlap in part, or this says little
    assert 0 < recall < 1
    hits = np.array([inside(one, real, 5) for one in made])
    assert density_coverage(real, made) == pytest.approx((hits.sum() / (5 * 9), hits.any(axis=0).mean()))


def test_figures_are_those_of_torch_fidelity_and_clean_fid(halves):
    """Where they are installed, on 256 features, whose roots take no minute; docs/benchmarks.md has figures of all."""
    for name in ("torch_fidelity", "cleanfid"):
        pytest.importorskip(name)
    bench = load_script(ROOT / "tools" / "bench" / "fidelity.py")
    real, *others = halves
    for made in others:
        for name, ours, theirs in bench.compare(real[:, :256], made[:, :256]):
            # Their square root is of a product of covariances, whose eigenvalues of 0 are rounded.
            assert ours == pytest.approx(theirs, rel=1e-4 if "Fréchet" in name else 1e-6), name
    for mode, difference in bench.compare_resizing(picture(100, 130)):
        assert difference < 1e-3, mode  # of 255


def test_sliced_wasserstein_of_a_shift_is_its_length_over_the_root_of_the_dimensions():
    """A shift by s moves each projection by s cos(angle), whose root mean square over directions is |s| / sqrt(D)."""
    real = draw(300, 0)
    shift = np.array([3.0, 0, 4, 0, 0, 0])
    assert sliced_wasserstein(real, real + shift) == pytest.approx(5 / np.sqrt(6), rel=0.1)
    assert sliced_wasserstein(real, real[::-1]) == pytest.approx(0, abs=1e-12)
    assert sliced_wasserstein(real, real[:150]) < 1  # sets of two sizes


def test_mind_is_the_formula_of_the_paper_written_out():
    """3 D times the mean square of differences of sorted projections; of a shift by s, 3 |s|^2."""
    real, made = draw(40, 0), draw(40, 1, 0.5)
    random = np.random.default_rng(0)
    directions = random.standard_normal((6, 1000))
    squares = []
    for direction in (directions / np.linalg.norm(directions, axis=0)).T:
        squares += [(a - b) ** 2 for a, b in zip(sorted(real @ direction), sorted(made @ direction), strict=True)]
    assert mind(real, made) == pytest.approx(3 * 6 * np.mean(squares), rel=1e-9)
    assert mind(real, real + np.array([3.0, 0, 4, 0, 0, 0])) == pytest.approx(3 * 25, rel=0.1)
    assert mind(real, real[::-1]) == pytest.approx(0, abs=1e-12)


@pytest.fixture(scope="module", params=["random", *(pytest.param(x, marks=pytest.mark.slow) for x in PUBLISHED)])
def halves(request):
    """Two halves of the shipped photographs, and the second half blurred and with noise."""
    photos = [read_image(path)[:, :128] for path in sorted((MAPS / "train").iterdir())[: PUBLISHED.get(request.param)]]
    random = np.random.default_rng(0)
    others = photos[1::2]
    blurred = [cv2.GaussianBlur(photo, (0, 0), 2) for photo in others]
    noisy = [np.clip(photo + random.normal(0, 60, photo.shape), 0, 255).astype(np.uint8) for photo in others]
    with pytest.MonkeyPatch.context() as patch:
        if request.param in PUBLISHED:
            use_published_weights(request.param, patch)
        return [features(each, request.param) for each in (photos[::2], others, blurred, noisy)]


def test_distances_grow_as_pictures_get_worse(halves):
    real, half, blurred, noisy = halves
    for distance in (frechet, kid, sliced_wasserstein):
        assert distance(real, half) < distance(real, blurred) < distance(real, noisy), distance.__name__
    low, high = kid_interval(real, half)
    assert low < 0 < high  # two halves of one set are not told apart
    assert kid_interval(real, noisy)[0] > high  # noise is
