"""Feature-wise linear modulation, against values computed by hand."""

import torch
from torch import nn

from i2i.networks.film import FiLM, Stage, fix_condition


def film():
    """One channel, no norm: label 0 scales by 1 + 2 and shifts by 3, label 1 by 1 - 1 and 5, label 2 by 1 and 10."""
    layer = FiLM(nn.Identity(), 1, 3)
    layer.embedding.weight.data = torch.tensor([[2.0, -1.0, 0.0], [3.0, 5.0, 10.0]])
    return layer


def test_labels_scale_and_shift():
    image = torch.full((2, 1, 2, 2), 4.0)
    output = film()(image, torch.eye(3)[[0, 1]])
    assert torch.equal(output[0], torch.full((1, 2, 2), 4.0 * 3 + 3))
    assert torch.equal(output[1], torch.full((1, 2, 2), 5.0))


def test_labels_of_several_sets_are_summed():
    """A condition with two ones is two label sets: here label 0 of the one, and label 2 of the other."""
    output = film()(torch.full((1, 1, 1, 1), 4.0), torch.tensor([[1.0, 0.0, 1.0]]))
    assert output.item() == 4 * (1 + 2 + 0) + (3 + 10)


def test_a_fixed_condition_leaves_the_network_as_it_was():
    network = Stage(nn.ReLU(), Stage(film()))
    fixed = fix_condition(network, torch.eye(3)[0])
    image = torch.full((1, 1, 1, 1), 4.0)
    assert fixed(image).item() == 15
    assert network(image, torch.eye(3)[[1]]).item() == 5
    assert not any(isinstance(module, FiLM) for module in fixed.modules())
