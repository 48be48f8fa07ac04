"""Latents: the same numbers for a seed everywhere, and walks that keep to the sphere."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from i2i.errors import ModelError, UsageError
from i2i.models.spec import LatentBlock
from i2i.models.texts import hash_text
from i2i.runtime.latents import (
    captions,
    find_labels,
    read_latents,
    seed_latents,
    slerp,
    walk,
    write_latents,
)
from tests.conftest import noise

SIZE = 16


def test_a_seed_has_one_latent_whatever_stands_beside_it():
    latents = seed_latents(range(5, 9), noise(SIZE))
    assert (latents.shape, latents.dtype) == ((4, SIZE), np.float32)
    for row, seed in zip(latents, range(5, 9), strict=True):
        expected = np.random.default_rng(seed).standard_normal(SIZE, dtype=np.float32)
        np.testing.assert_array_equal(row, expected)
    np.testing.assert_array_equal(seed_latents([8, 5], noise(SIZE)), latents[[3, 0]])
    with pytest.raises(UsageError, match="-1"):
        seed_latents([3, -1], noise(SIZE))


@settings(max_examples=200, deadline=None)
@given(
    st.integers(0, 10**6),
    st.integers(0, 10**6),
    st.sampled_from([2, 3, 16, 100]),
    st.sampled_from([1e-3, 1.0, 50.0]),
    st.floats(0, 1),
)
def test_norms_change_linearly_and_directions_turn_evenly(one, other, size, scale, t):
    a, b = seed_latents([one], noise(size))[0], seed_latents([other], noise(size))[0] * np.float32(scale)
    made = slerp(a, b, t)
    assert made.dtype == np.float32
    expected = (1 - t) * np.linalg.norm(a) + t * np.linalg.norm(b)
    assert np.linalg.norm(made) == pytest.approx(expected, rel=1e-5)

    def angle(u, v):
        return np.arccos(np.clip(u @ v / np.linalg.norm(u) / np.linalg.norm(v), -1, 1))

    whole = angle(a.astype(float), b.astype(float))
    assert angle(a.astype(float), made.astype(float)) == pytest.approx(t * whole, abs=2e-3)
    assert angle(made.astype(float), b.astype(float)) == pytest.approx((1 - t) * whole, abs=2e-3)


def test_a_quarter_turn_by_hand():
    half = slerp(np.array([2.0, 0.0]), np.array([0.0, 4.0]), 0.5)
    np.testing.assert_allclose(half, [3 / np.sqrt(2)] * 2, rtol=1e-6)
    third = slerp(np.array([1.0, 0.0]), np.array([0.0, 1.0]), 1 / 3)
    np.testing.assert_allclose(third, [np.sqrt(3) / 2, 0.5], rtol=1e-6)


def test_parallel_opposite_and_zero():
    a = seed_latents([3], noise(SIZE))[0]
    for factor in (1.0, 3.0, 1 + 1e-6):
        b = (a * factor).astype(np.float32)
        np.testing.assert_allclose(slerp(a, b, 0.25), 0.75 * a + 0.25 * b, rtol=1e-5)
    for b in (-a, -2 * a):
        with pytest.raises(UsageError, match="opposite"):
            slerp(a, b, 0.5)
    np.testing.assert_allclose(slerp(a, 0 * a, 0.25), 0.75 * a, rtol=1e-6)
    np.testing.assert_array_equal(slerp(0 * a, 0 * a, 0.5), 0 * a)


def test_a_walk_meets_its_stops_exactly():
    stops = seed_latents([3, 17, 3], noise(SIZE))
    rows = walk(stops, noise(SIZE), 10)
    assert (rows.shape, rows.dtype) == ((21, SIZE), np.float32)
    np.testing.assert_array_equal(rows[[0, 10, 20]], stops)
    np.testing.assert_array_equal(rows[7], slerp(stops[0], stops[1], 0.7))
    ring = walk(stops[:2], noise(SIZE), 10, loop=True)
    np.testing.assert_array_equal(ring, rows[:20])
    np.testing.assert_array_equal(walk(stops, noise(SIZE), 1), stops)


def test_walks_without_steps_or_stops_are_refused():
    with pytest.raises(UsageError, match="two stops"):
        walk(seed_latents([1], noise(SIZE)), noise(SIZE), 5)
    with pytest.raises(UsageError, match="step"):
        walk(seed_latents([1, 2], noise(SIZE)), noise(SIZE), 0)


def test_files_of_latents(tmp_path):
    latents = seed_latents([1, 2], noise(SIZE))
    write_latents(tmp_path / "z.npy", latents)
    np.testing.assert_array_equal(read_latents(tmp_path / "z.npy", SIZE), latents)
    for dtype in (np.float64, np.float16):
        np.save(tmp_path / "z.npy", latents.astype(dtype))
        made = read_latents(tmp_path / "z.npy", SIZE)
        assert made.dtype == np.float32
        np.testing.assert_array_equal(made, latents.astype(dtype).astype(np.float32))
    np.save(tmp_path / "z.npy", np.asfortranarray(latents))
    made = read_latents(tmp_path / "z.npy", SIZE)
    assert made.flags.c_contiguous
    assert made.flags.writeable


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((2, 15), np.float32), r"\(2, 15\).*\(N, 16\)"),
        (np.zeros(16, np.float32), r"shape \(16,\)"),
        (np.zeros((0, 16), np.float32), r"shape \(0, 16\)"),
        (np.zeros((2, 16), np.int64), "in int64"),
        (np.zeros((2, 16), np.complex64), "in complex64"),
        (np.full((2, 16), np.nan, np.float32), "NaN"),
        (np.full((2, 16), 1e300), "over float32's range"),
    ],
)
def test_latents_that_do_not_fit_are_named(tmp_path, array, words):
    np.save(tmp_path / "z.npy", array)
    with pytest.raises(ModelError, match=words) as error:
        read_latents(tmp_path / "z.npy", SIZE)
    assert "z.npy" in str(error.value)


def test_files_without_latents_are_named(tmp_path):
    with pytest.raises(UsageError, match=r"z.npy"):
        read_latents(tmp_path / "z.npy", SIZE)
    np.save(tmp_path / "whole.npy", np.zeros((2, 16)))
    whole = (tmp_path / "whole.npy").read_bytes()
    np.save(tmp_path / "objects.npy", np.array([{}]), allow_pickle=True)
    for name, content in (("text", b"1,2,3"), ("empty", b""), ("cut", whole[:-8]), ("head", whole[:20])):
        (tmp_path / f"{name}.npy").write_bytes(content)
    for name in ("text", "empty", "cut", "head", "objects"):
        with pytest.raises(UsageError, match=r"\.npy"):
            read_latents(tmp_path / f"{name}.npy", SIZE)
    np.savez(tmp_path / "several.npz", a=np.zeros(3), b=np.zeros(3))
    with pytest.raises(UsageError, match="several"):
        read_latents(tmp_path / "several.npz", SIZE)


KIND = LatentBlock(name="kind", size=3, prior="one_hot", classes=("bag", "hat", "shoe"), shares=(0.5, 0.2, 0.3))
HUE = LatentBlock(name="hue", size=2, prior="one_hot", classes=("red", "hat"))
CODE = LatentBlock(name="code", size=2, prior="uniform")
TEXT = LatentBlock(name="text", size=8, prior="text", texts=("red fish", "a boat with very many red sails"))
BLOCKS = (KIND, *noise(SIZE), CODE, HUE)


def test_noise_stays_the_same_whatever_stands_beside_it():
    rows = seed_latents([7], BLOCKS)[0]
    np.testing.assert_array_equal(rows[3 : 3 + SIZE], seed_latents([7], noise(SIZE))[0])
    labelled = seed_latents([7], BLOCKS, {"kind": 1})[0]
    np.testing.assert_array_equal(labelled[:3], [0, 1, 0])
    np.testing.assert_array_equal(labelled[3:], rows[3:])


def test_labels_are_found_by_name():
    assert find_labels(["shoe", "red"], BLOCKS) == {"kind": 2, "hue": 0}
    assert find_labels(["kind=hat", "hue=hat"], BLOCKS) == {"kind": 1, "hue": 1}


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["boat"], r"boat.*kind: bag, hat, shoe; hue: red, hat"),
        (["shoes"], r"shoes\. Did you mean shoe\?"),
        (["hat"], "kind=hat"),
        (["bag", "shoe"], "bag and shoe"),
        (["hue=bag"], "hue=bag"),
    ],
)
def test_labels_that_say_nothing_are_refused(names, words):
    with pytest.raises(UsageError, match=words):
        find_labels(names, BLOCKS)
    with pytest.raises(UsageError, match="--label"):
        find_labels(names, noise(SIZE))


def test_a_text_is_hashed_into_its_block_and_leaves_the_rest():
    rows = seed_latents([7], (*BLOCKS, TEXT))[0]
    given = seed_latents([7], (*BLOCKS, TEXT), None, "Blue fish!")[0]
    np.testing.assert_array_equal(given[-8:], hash_text("blue fish", 8))
    np.testing.assert_array_equal(given[:-8], rows[:-8])
    assert any(np.array_equal(rows[-8:], hash_text(text, 8)) for text in TEXT.texts)


def test_pictures_are_captioned_by_text_if_the_model_knows_it():
    blocks = (*noise(SIZE), TEXT)
    for text, shown in (
        ("red fish", "7 red fish"),
        (TEXT.texts[1], "7 a boat with very many red..."),
        ("pink fish", "7"),
    ):
        assert captions([7], seed_latents([7], blocks, None, text), blocks) == [shown]


def test_pictures_are_captioned_by_number_and_class():
    rows = seed_latents([7, 8], BLOCKS, {"kind": 2, "hue": 0})
    assert captions([7, 8], rows, BLOCKS) == ["7 shoe red", "8 shoe red"]
    assert captions([7], seed_latents([7], noise(SIZE)), noise(SIZE)) == ["7"]


def test_a_walk_changes_labels_linearly():
    stops = seed_latents([7, 7], BLOCKS, {"kind": 0})
    stops[1, :3] = [0, 0, 1]
    middle = walk(stops, BLOCKS, 2)[1]
    np.testing.assert_array_equal(middle[:3], [0.5, 0, 0.5])
    np.testing.assert_allclose(middle[3:], stops[0, 3:], rtol=1e-6)
