"""Coupled networks: which layers a domain has to itself, and which learn from all."""

import pytest
import torch

from i2i.errors import ConfigError
from i2i.networks import CoupledDiscriminator, CoupledGenerator, DCGANDiscriminator, DCGANGenerator
from tests.conftest import make_algorithm, smallest_config

LAYERS = 4  # at 32 px: three, and the one that makes the image or the logit


def generator(own_layers):
    torch.manual_seed(0)
    return CoupledGenerator(1, 32, latent=6, width=2, norm="none", own_layers=own_layers, domains=2)


def discriminator(own_layers):
    torch.manual_seed(0)
    return CoupledDiscriminator(1, 32, width=2, norm="none", own_layers=own_layers, condition=2)


def made(network, domain):
    """The output for one noise, or image, in a domain."""
    torch.manual_seed(1)
    label = torch.eye(2)[[domain]]
    if isinstance(network, CoupledGenerator):
        return network(torch.cat([torch.randn(1, 4), label], dim=1))
    return network(torch.randn(1, 1, 32, 32), label).logits


def learning(network, domain):
    """The names of the weights that learn from an image of a domain."""
    network.zero_grad()
    made(network, domain).sum().backward()
    return {name for name, one in network.named_parameters() if one.grad is not None and one.grad.any()}


@pytest.mark.parametrize("own_layers", range(1, LAYERS + 1))
@pytest.mark.parametrize("make", [generator, discriminator])
def test_domains_share_all_but_their_own_layers(make, own_layers):
    """Each layer has a weight and a bias. Those that learn from both domains are the shared ones; with all layers of
    one's own, there are none, the control."""
    network = make(own_layers)
    first, second = (learning(network, domain) for domain in (0, 1))
    assert len(first) == len(second) == 2 * LAYERS
    assert len(first & second) == 2 * (LAYERS - own_layers)
    assert first | second == {name for name, _ in network.named_parameters()}
    assert not torch.equal(made(network, 0), made(network, 1))


@pytest.mark.parametrize("own_layers", [1, LAYERS])
def test_each_domain_is_a_dcgan(own_layers):
    """Of the same shared layers and of its own ones."""
    network, noise = generator(own_layers), torch.randn(3, 4)
    plain = DCGANGenerator(1, 32, latent=4, width=2, norm="none")
    for domain in (0, 1):
        layers = [*network.shared, *network.own[domain]]
        for mine, theirs in zip((*plain.layers, plain.head), layers, strict=True):
            mine.load_state_dict(theirs.state_dict())
        label = torch.eye(2)[[domain] * 3]
        torch.testing.assert_close(network(torch.cat([noise, label], dim=1)), plain(noise))


@pytest.mark.parametrize("own_layers", [1, LAYERS])
def test_a_mixed_batch_goes_each_its_way(own_layers):
    network, images, labels = discriminator(own_layers), torch.randn(4, 1, 32, 32), torch.eye(2)[[0, 1, 1, 0]]
    mixed = network(images, labels)
    assert [one.shape for one in mixed.features] == [
        one.shape for one in DCGANDiscriminator(1, 32, 2, "none")(images).features
    ]
    for place in range(4):
        alone = network(images[[place]], labels[[place]])
        torch.testing.assert_close(mixed.logits[[place]], alone.logits)


def test_more_layers_than_there_are_are_refused(few_pairs):
    with pytest.raises(ConfigError, match="own_layers"):
        make_algorithm(smallest_config("cogan_digits", few_pairs, "generator.own_layers=5"))


def test_domains_are_one_label_set(few_pairs, tmp_path):
    rows = (few_pairs / "labels.csv").read_text(encoding="utf-8").splitlines()
    both = [f"{row},{'ink' if not place else 'ab'[place % 2]}" for place, row in enumerate(rows)]
    (tmp_path / "two.csv").write_text("\n".join(both), encoding="utf-8")
    config = smallest_config("cogan_digits", few_pairs, f"data.labels={tmp_path}/two.csv")
    with pytest.raises(ConfigError, match="shape, ink"):
        make_algorithm(config)
