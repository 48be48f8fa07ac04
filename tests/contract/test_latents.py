"""What the runtime draws for seeds is what training drew: the same distribution, for every prior."""

import numpy as np
import pytest
import torch

from i2i.algorithms import priors
from i2i.models.spec import LatentBlock, generating
from i2i.runtime import latents, maps

COUNT = 4000
BLOCKS = {
    "normal": LatentBlock(name="noise", size=2),
    "uniform": LatentBlock(name="code", size=2, prior="uniform"),
    "one_hot": LatentBlock(name="label", size=3, prior="one_hot", classes=("a", "b", "c"), shares=(0.6, 0.3, 0.1)),
    "constant": LatentBlock(name="truncation", size=1, prior="constant", value=0.75),
    "text": LatentBlock(name="text", size=4, prior="text", texts=("red fish", "blue fish", "a red boat")),
}


def test_both_know_the_same_priors():
    assert set(BLOCKS) == set(priors.PRIORS) == set(latents.PRIORS)


@pytest.mark.parametrize("name", list(BLOCKS))
def test_the_runtime_draws_what_training_drew(name):
    torch.manual_seed(0)
    block = BLOCKS[name]
    drawn = priors.draw((block,), torch.zeros(COUNT, 1), {}).numpy()
    seeded = latents.seed_latents(range(COUNT), (block,))
    assert drawn.shape == seeded.shape == (COUNT, block.size)
    assert drawn.dtype == seeded.dtype == np.float32
    for column in range(block.size):
        assert distance(drawn[:, column], seeded[:, column]) < 0.04  # exceeds 0.036 in one of a hundred cases
    others = [distance(drawn[:, 0], latents.seed_latents(range(COUNT), (b,))[:, 0]) for b in BLOCKS.values()]
    assert sum(other < 0.04 for other in others) == 1  # the test can tell priors apart


@pytest.mark.parametrize("name", ["normal", "uniform", "one_hot", "constant"])
def test_a_draw_copies_nothing_to_the_device(name, monkeypatch):
    """After the first: a CUDA graph cannot record a copy from the host."""
    images = torch.zeros(4, 1)
    priors.draw((BLOCKS[name],), images, {})
    monkeypatch.setattr(torch, "tensor", None)
    assert priors.draw((BLOCKS[name],), images, {}).shape == (4, BLOCKS[name].size)


@pytest.mark.parametrize("name", ["normal", "uniform"])
def test_maps_of_the_runtime_are_those_of_training(name):
    """Noise of its own at each place, beside a label that all places share; also where a map goes on at its border."""
    blocks = (BLOCKS[name].model_copy(update={"each_place": True}), BLOCKS["one_hot"])
    part = generating("spatial", {}, blocks, 3, 24, place_px=8, border_places=1)
    torch.manual_seed(0)
    drawn = priors.draw(blocks, torch.zeros(COUNT, 1), {}, places=5).numpy()
    seeded = maps.seeded_inputs(part, range(COUNT))
    rows = latents.seed_latents(range(COUNT), part.at(*part.places((24, 24), tile=True)).blocks)
    ring = rows[:, maps.map_index(part, (24, 24), tile=True)]
    for one in (drawn, seeded, ring):
        assert (one.shape, one.dtype) == ((COUNT, 5, 5, 5), np.float32)
        np.testing.assert_array_equal(one[:, 2:], np.broadcast_to(one[:, 2:, :1, :1], (COUNT, 3, 5, 5)))
        for row, column in ((0, 0), (2, 3), (4, 4)):
            assert distance(one[:, 1, row, column], drawn[:, 1, 1, 1]) < 0.04
        correlations = np.corrcoef(one[:, :2].reshape(COUNT, -1), rowvar=False)
        equal = np.abs(correlations - np.eye(50)) > 0.1
        # In a ring of 3 places of which 5 are seen, two are there twice: groups of 4 places at the corners, 2 at edges.
        assert equal.sum() == (2 * (4 * 4 * 3 + 4 * 2) if one is ring else 0)


def distance(one, two):
    """The largest difference between two empirical distribution functions (Kolmogorov and Smirnov)."""
    places = np.concatenate([one, two])
    functions = (np.searchsorted(np.sort(values), places, "right") / len(values) for values in (one, two))
    return np.abs(np.subtract(*functions)).max()
