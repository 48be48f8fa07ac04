"""Spread and packs by values computed by hand."""

import math

import numpy as np
import pytest
import torch

from i2i.networks.batches import (
    KERNEL_SIZE,
    KERNELS,
    BatchChannels,
    MinibatchDiscrimination,
    append_spread,
    pack,
    unpack,
)


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


@pytest.mark.parametrize(("distance", "apart"), [("l1", KERNEL_SIZE), ("l2", KERNEL_SIZE**0.5)])
def test_closeness_of_three_images(distance, apart):
    """At 0, 1 and 3, in every number of every kernel: o(x) is the sum of e^-distance to the two others."""
    layer = MinibatchDiscrimination(1, distance)
    torch.nn.init.ones_(layer.kernels.weight)
    places = torch.tensor([[0.0], [1.0], [3.0]], requires_grad=True)
    found = layer(places)
    near, far, farthest = (math.exp(-apart * gap) for gap in (1, 2, 3))
    expected = [near + farthest, near + far, far + farthest]
    assert found.shape == (3, KERNELS)
    assert found.detach().T.tolist() == pytest.approx(np.tile(expected, (KERNELS, 1)), rel=1e-5)
    # Moving the first image towards the others: each of its distances falls by `apart`, in its own o and in theirs.
    (gradient,) = torch.autograd.grad(found[:, 0].sum(), places)
    assert gradient[0].item() == pytest.approx(2 * apart * (near + farthest), rel=1e-5)


@pytest.mark.parametrize("distance", ["l1", "l2"])
def test_equal_images_are_as_close_as_can_be(distance):
    """Each has e^0 from every other; the places of a feature map are averaged, and gradients are finite twice."""
    torch.manual_seed(0)
    layer = BatchChannels(2, std=True, discrimination=distance)
    features = torch.ones(4, 2, 3, 3, requires_grad=True)
    found = layer(features)
    assert found.shape == (4, 2 + 1 + KERNELS, 3, 3)
    assert layer.added == 1 + KERNELS
    assert torch.allclose(found[:, 3:], torch.tensor(3.0), atol=1e-4)
    shuffled = torch.tensor([0.0, 2.0]).repeat(4, 2, 1)[..., None]  # the same mean
    assert torch.allclose(layer.discrimination(shuffled), torch.tensor(3.0), atol=1e-4)
    (gradient,) = torch.autograd.grad(found.square().sum(), features, create_graph=True)
    gradient.square().sum().backward()
    assert features.grad.isfinite().all()
    assert BatchChannels(2, std=False, discrimination="none")(features) is features
