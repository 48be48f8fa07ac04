"""Every algorithm has a preset, on which the contract tests run."""

from i2i.algorithms import ALGORITHMS
from tests.conftest import SMALLEST


def test_every_algorithm_has_a_preset():
    missing = sorted(ALGORITHMS.keys() - SMALLEST.keys())
    assert not missing, f"Add a preset to configs/ for {', '.join(missing)}: the contract tests run on it."
