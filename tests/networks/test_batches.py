"""Spread and packs by values computed by hand."""

import pytest
import torch

from i2i.networks.batches import append_spread, pack, unpack


def test_spread_of_two_groups():
    """Groups take every second image: (0, 4, 0, 4) deviates by 2, and (1, 1, 1, 1) by 0; (3, 0) of C means 1.5."""
    features = torch.tensor([[0.0, 0], [1, 7], [4, 6], [1, 7], [0, 0], [1, 7], [4, 6], [1, 7]])
    found = append_spread(features)
    assert torch.equal(found[:, :2], features)
    assert found[:, 2].tolist() == pytest.approx([2.5, 0, 2.5, 0, 2.5, 0, 2.5, 0], abs=1e-3)


@pytest.mark.parametrize(("count", "size"), [(1, 1), (2, 2), (3, 3), (4, 4), (5, 1), (6, 3), (8, 4)])
def test_groups_divide_the_batch(count, size):
    features = torch.randn(count, 3, 2, 2)
    found = append_spread(features)
    assert found.shape == (count, 4, 2, 2)
    groups = features.view(size, -1, 3, 2, 2)
    expected = groups.std(dim=0, correction=0).mean(dim=(1, 2, 3)).repeat(size) if size > 1 else torch.zeros(count)
    assert torch.allclose(found[:, 3, 0, 0], expected, atol=2e-4)


def test_the_gradient_of_equal_images_is_finite():
    features = torch.ones(4, 2, 3, 3, requires_grad=True)
    (gradient,) = torch.autograd.grad(append_spread(features).sum(), features, create_graph=True)
    gradient.sum().backward()
    assert features.grad.isfinite().all()


def test_packs_join_channels_and_come_apart():
    images = torch.arange(4.0 * 3 * 2 * 2).view(4, 3, 2, 2)
    packs = pack(images, 2)
    assert torch.equal(packs, torch.stack([torch.cat([images[0], images[1]]), torch.cat([images[2], images[3]])]))
    assert torch.equal(unpack(packs, 2), images)
    assert pack(images, 1) is images


@pytest.mark.parametrize(("images", "count", "expected"), [(3, 2, [0, 1, 2, 0]), (1, 3, [0, 0, 0]), (2, 3, [0, 1, 0])])
def test_the_first_images_fill_the_last_pack(images, count, expected):
    points = torch.arange(float(images))[:, None]
    assert unpack(pack(points, count), count)[:, 0].tolist() == expected
