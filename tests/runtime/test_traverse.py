"""Traversals: one code changes, and nothing else."""

import numpy as np
import pytest

from i2i.errors import UsageError
from i2i.models.spec import LatentBlock
from i2i.runtime.latents import seed_latents
from i2i.runtime.traverse import traverse

CODES = (
    LatentBlock(name="noise", size=3),
    LatentBlock(name="digit", size=2, prior="one_hot", classes=("odd", "even")),
    LatentBlock(name="slant", size=1, prior="uniform"),
    LatentBlock(name="words", size=4, prior="text", texts=("a fish",)),
)


@pytest.mark.parametrize(
    ("code", "changed", "more", "values", "words"),
    [
        ("slant", [5], {"steps": 3}, [[-1], [0], [1]], ["-1", "0", "1"]),
        ("slant:0", [5], {"steps": 2, "bounds": (0.0, 3.0)}, [[0], [3]], ["0", "3"]),
        ("noise:1", [1], {"steps": 5}, [[-2], [-1], [0], [1], [2]], ["-2", "-1", "0", "1", "2"]),
        ("digit", [3, 4], {}, [[1, 0], [0, 1]], ["odd", "even"]),
    ],
)
def test_a_traversal_changes_one_code_and_nothing_else(code, changed, more, values, words):
    latents = seed_latents([3, 8], CODES)
    walked, said = traverse(latents, CODES, code, **more)
    assert (walked.dtype, said) == (np.float32, words)
    np.testing.assert_array_equal(walked[:, :, changed], [values] * 2)
    others = [place for place in range(10) if place not in changed]
    np.testing.assert_array_equal(walked[:, :, others], np.repeat(latents[:, None, others], len(values), axis=1))
    assert traverse(latents, CODES, "noise:2")[0].shape == (2, 10, 10)


@pytest.mark.parametrize(
    ("code", "more", "named"),
    [
        ("noise", {}, "noise:0"),
        ("noise:3", {}, "noise:0"),
        ("noise:x", {}, "noise:x"),
        ("slant:1", {}, "slant"),
        ("digit:0", {}, "digit"),
        ("digit:", {}, "digit:"),
        ("words", {}, "words.*--text"),
        ("words:1", {}, "words.*--text"),
        ("colour", {}, r"digit, slant\."),
        ("digit", {"steps": 4}, "--steps"),
        ("digit", {"bounds": (0.0, 1.0)}, "--range"),
    ],
)
def test_codes_that_a_model_has_not_are_refused_by_name(code, more, named):
    with pytest.raises(UsageError, match=named):
        traverse(seed_latents([3], CODES), CODES, code, **more)
