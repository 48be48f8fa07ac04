"""R3GAN's networks: initialisation, resampling and groups as its paper says."""

import pytest
import torch
from torch.nn import functional as F

from i2i.networks import ResNetDiscriminator, ResNetGenerator
from i2i.networks.resnet_gan import GroupedBlock, _Shrink


def blocks_of(network):
    return [one for one in network.modules() if isinstance(one, GroupedBlock)]


def test_every_block_begins_as_the_identity():
    torch.manual_seed(0)
    for network in (ResNetGenerator(3, 32, 8, 4), ResNetDiscriminator(3, 32, 4)):
        assert len(blocks_of(network)) == 8
        for block in blocks_of(network):
            value = torch.randn(2, block.layers[0].in_channels, 4, 4)
            assert torch.equal(block(value), value)
            torch.nn.init.normal_(block.layers[4].weight)
            assert not torch.allclose(block(value), value, atol=1e-3)


def test_weights_are_smaller_in_deeper_networks():
    """By L^(-1/4) for L blocks of three layers (Zhang et al. 2019, section 4)."""
    torch.manual_seed(0)
    gain = (2 / 1.04) ** 0.5
    for total in (1, 16):
        block = GroupedBlock(256, total)
        first, second = block.layers[0].weight, block.layers[2].weight
        assert first.std().item() == pytest.approx(gain * total**-0.25 / 256**0.5, rel=0.02)
        assert second.std().item() == pytest.approx(gain * total**-0.25 / (16 * 9) ** 0.5, rel=0.02)


def test_convolutions_have_groups_of_16_channels_of_a_wide_middle():
    block = GroupedBlock(64, 1)
    assert block.layers[2].in_channels == 128
    assert block.layers[2].groups == 8
    assert GroupedBlock(2, 1).layers[2].groups == 1


def test_sides_are_halved_by_a_bilinear_filter():
    torch.manual_seed(0)
    image = torch.randn(2, 3, 8, 8)
    line = torch.tensor([1.0, 3, 3, 1]) / 8
    kernel = torch.outer(line, line).expand(3, 1, 4, 4)
    torch.testing.assert_close(_Shrink()(image), F.conv2d(image, kernel, stride=2, padding=1, groups=3))


def test_there_is_no_norm():
    """Images of a batch do not depend on one another, in training either."""
    torch.manual_seed(0)
    generator, discriminator = ResNetGenerator(3, 16, 8, 4), ResNetDiscriminator(3, 16, 4)
    latent = torch.randn(4, 8)
    images = generator(latent)
    torch.testing.assert_close(generator(latent[:1]), images[:1])
    torch.testing.assert_close(discriminator(images[:1]).logits, discriminator(images).logits[:1])
