"""Interactive evolution of latents."""

import numpy as np
import pytest

from i2i.breeding import LITTER, breed, next_generation
from i2i.errors import UsageError
from i2i.models.spec import LatentBlock
from i2i.runtime.generator import ImageGenerator
from i2i.runtime.latents import seed_latents
from tests.cli.test_cli import call
from tests.conftest import noise

KIND = LatentBlock(name="kind", size=3, prior="one_hot", classes=("a", "b", "c"))
CODE = LatentBlock(name="code", size=5, prior="uniform")


def draw(seed=0):
    return np.random.default_rng(seed)


def test_without_mutation_every_number_comes_from_a_parent():
    blocks = (*noise(16), KIND, CODE)
    parents = seed_latents([3, 8], blocks)
    litter = next_generation(parents, blocks, draw(), mutation=0)
    assert litter.shape == (LITTER, 24)
    np.testing.assert_array_equal(litter[:2], parents)
    children = litter[2:]
    of_first, of_second = (np.isclose(children, one) for one in parents)
    assert (of_first | of_second).all()
    mixed = of_first[:, :16].any(axis=1) & of_second[:, :16].any(axis=1)
    assert mixed.all()
    assert (children[:, 16:19].sum(axis=1) == 1).all(), "a class is never half of two"


def test_children_of_one_parent_differ_by_mutation_alone():
    parents = seed_latents([3], noise(16))
    assert np.allclose(next_generation(parents, noise(16), draw(), 0), parents, atol=1e-6)
    near, far = (next_generation(parents, noise(16), draw(), m)[1:] - parents for m in (0.2, 0.9))
    assert 0 < np.linalg.norm(near, axis=1).max() < np.linalg.norm(far, axis=1).min()


def test_latents_stay_draws_of_their_priors():
    """After 40 generations; the control adds noise without shrinking, as the paper does, and drifts."""
    blocks = (*noise(400), CODE)
    litter = control = seed_latents(range(LITTER), blocks)
    for k in range(40):
        litter = next_generation(litter[[1, 4]], blocks, draw(k), 0.3)
        control = next_generation(control[[1, 4]], blocks, draw(k), 0.0)
        control[2:, :400] += 0.3 * draw(k).standard_normal((LITTER - 2, 400))
    assert np.std(litter[2:, :400]) == pytest.approx(1, abs=0.1)
    assert np.std(control[2:, :400]) > 1.3
    assert np.abs(litter[:, 400:]).max() <= 1


def test_a_folder_of_generations_depends_on_seed_and_choice_alone(noise_model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["breed", "-m", str(noise_model), "-o"]
    for folder in ("one", "again", "other"):
        assert call(*words, folder) == 0
        assert call(*words, folder, "--keep", "2,5") == 0
        assert call(*words, folder, "--keep", "9" if folder != "other" else "8") == 0
    names = [f"{k:03d}.{kind}" for k in range(3) for kind in ("npy", "png")]
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == sorted(names)
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "again" / name).read_bytes()
    first, second = (np.load(tmp_path / "one" / f"{k:03d}.npy") for k in (0, 1))
    np.testing.assert_array_equal(first, seed_latents(range(9), noise(16)))
    np.testing.assert_array_equal(second[:2], first[[1, 4]])
    assert (tmp_path / "other" / "002.npy").read_bytes() != (tmp_path / "one" / "002.npy").read_bytes()
    assert call("generate", "-m", str(noise_model), "--latents", "one/002.npy", "-o", "g.png") == 0


def test_wrong_choices_are_refused(noise_model, point_model, tmp_path):
    model = ImageGenerator.open(noise_model)
    with pytest.raises(UsageError, match="no generation"):
        breed(model, tmp_path / "new", [1])
    breed(model, tmp_path / "new")
    with pytest.raises(UsageError, match="--keep"):
        breed(model, tmp_path / "new")
    with pytest.raises(UsageError, match="10"):
        breed(model, tmp_path / "new", [2, 10])
    with pytest.raises(UsageError, match="points"):
        breed(ImageGenerator.open(point_model), tmp_path / "points")
    assert len(list((tmp_path / "new").iterdir())) == 2
