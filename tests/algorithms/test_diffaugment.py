"""DiffAugment by values computed by hand."""

import pytest
import torch

from i2i.algorithms import diffaugment
from i2i.algorithms.diffaugment import DIFFAUGMENT, augment, colour, cutout, translation


def draw(monkeypatch, value):
    """Let every draw be `value`."""
    monkeypatch.setattr(diffaugment.torch, "rand", lambda *shape, **options: torch.full(shape, value))


def test_colour_by_hand(monkeypatch):
    """(0.1, 0.2, 0.6) in the limit of draws of 1: brightness +0.5, saturation x 2, then contrast x 1.5."""
    image = torch.tensor([0.1, 0.2, 0.6]).view(1, 3, 1, 1)
    draw(monkeypatch, 1.0)
    brighter, grey = (0.6, 0.7, 1.1), 0.8
    expected = [grey + 1.5 * 2 * (one - grey) for one in brighter]  # the mean of all is the grey of the only pixel
    assert colour(image, (3,)).flatten().tolist() == pytest.approx(expected)
    draw(monkeypatch, 0.0)  # brightness -0.5, no saturation
    assert colour(image, (3,)).flatten().tolist() == pytest.approx([-0.2] * 3)
    draw(monkeypatch, 0.5)
    assert torch.allclose(colour(image, (3,)), image)


def test_colour_takes_each_image_of_a_pair_by_itself_and_keeps_alpha(monkeypatch):
    draw(monkeypatch, 0.0)
    grey, rgba = torch.tensor([0.4]), torch.tensor([0.0, 0.3, 0.6, -0.7])
    found = colour(torch.cat([grey, rgba]).view(1, 5, 1, 1), (1, 4)).flatten().tolist()
    assert found == pytest.approx([0.4 - 0.5, *[0.3 - 0.5] * 3, -0.7])


@pytest.mark.parametrize(("drawn", "move"), [(0.0, -1), (0.5, 0), (0.999, 1)])
def test_translation_by_hand(monkeypatch, drawn, move):
    """8 px move by 1 at most; what comes in is 0."""
    image = torch.arange(1.0, 65).view(1, 1, 8, 8)
    draw(monkeypatch, drawn)
    expected = torch.zeros_like(image)
    into, out_of = slice(max(move, 0), 8 + min(move, 0)), slice(max(-move, 0), 8 - max(move, 0))
    expected[..., into, into] = image[..., out_of, out_of]
    assert torch.equal(translation(image, (1,)), expected)


@pytest.mark.parametrize(("drawn", "rows"), [(0.0, range(0, 2)), (0.5, range(2, 6)), (0.999, range(6, 8))])
def test_cutout_by_hand(monkeypatch, drawn, rows):
    """A hole of 4 px around 0, 4 or 8 in 8 px."""
    draw(monkeypatch, drawn)
    expected = torch.ones(1, 1, 8, 8)
    expected[..., rows.start : rows.stop, rows.start : rows.stop] = 0
    assert torch.equal(cutout(torch.ones(1, 1, 8, 8), (1,)), expected)


@pytest.mark.parametrize("name", list(DIFFAUGMENT))
def test_stacked_images_move_together_and_images_of_a_batch_do_not(name):
    torch.manual_seed(0)
    image = torch.rand(1, 3, 16, 16) * 2 - 1
    found = augment(torch.cat([image, image], dim=1).expand(6, -1, -1, -1), [name], (3, 3))
    assert torch.equal(found[:, :3], found[:, 3:])
    assert not torch.equal(found, found.roll(1, 0))
    torch.manual_seed(0)
    torch.rand(1, 3, 16, 16)
    assert torch.equal(augment(torch.cat([image, image], dim=1).expand(6, -1, -1, -1), [name], (3, 3)), found)


@pytest.mark.parametrize("name", list(DIFFAUGMENT))
def test_gradients_are_those_of_differences(name):
    """Of first and second order, with the same draws in each call; in float64."""
    image = torch.rand(2, 3, 4, 4, dtype=torch.float64, requires_grad=True)

    def same(one):
        torch.manual_seed(1)
        return DIFFAUGMENT[name](one, (3,))

    assert torch.autograd.gradcheck(same, image)
    assert torch.autograd.gradgradcheck(same, image)


def test_draws_fill_their_ranges():
    torch.manual_seed(0)
    image = torch.zeros(4000, 1, 8, 8)
    image[:, :, 4, 4] = 1
    moved = translation(image, (1,)).flatten(1).argmax(dim=1)
    assert set(moved.tolist()) == {8 * row + column for row in (3, 4, 5) for column in (3, 4, 5)}
    counts = moved.bincount(minlength=64)[[27, 28, 29, 35, 36, 37, 43, 44, 45]]
    assert float(counts.min()) > 0.8 * 4000 / 9
    shifts = colour(torch.zeros(4000, 1, 1, 1), (1,))
    assert (float(shifts.min()), float(shifts.max())) == pytest.approx((-0.5, 0.5), abs=0.01)
