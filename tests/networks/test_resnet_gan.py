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


def test_a_patch_leaves_out_the_largest_level():
    torch.manual_seed(0)
    generator = ResNetGenerator(3, 32, 8, 4, blocks=1, patch=2)
    discriminator = ResNetDiscriminator(3, 32, 4, blocks=1, patch=2)
    assert [len(blocks_of(one)) for one in (generator, discriminator)] == [3, 3]
    assert len(blocks_of(ResNetGenerator(3, 32, 8, 4, blocks=1))) == 4
    image = generator(torch.randn(2, 8))
    assert image.shape == (2, 3, 32, 32)
    assert discriminator(image).features[0].shape[2:] == (16, 16)

    assert torch.equal(image[:, :, ::2, ::2], image[:, :, 1::2, 1::2])  # a square begins in one colour
    assert not torch.equal(image[:, 0], image[:, 1])

    place = torch.zeros(1, 4, 16, 16)
    place[0, :, 5, 7] = 1
    made = F.pixel_shuffle(generator.to_image(place), 2)
    assert sorted(set(map(tuple, made.nonzero()[:, 2:].tolist()))) == [(10, 14), (10, 15), (11, 14), (11, 15)]


def test_tanh_bounds_the_image():
    torch.manual_seed(0)
    latent, images = torch.randn(4, 8), []
    for tanh in (False, True):
        torch.manual_seed(1)
        images.append(ResNetGenerator(3, 16, 8, 4, tanh=tanh)(10 * latent))
    assert images[0].abs().max() > 1
    assert torch.equal(images[1], images[0].tanh())


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_every_block_gets_the_layout_of_the_weights(layout):
    """Weights of 1x1 kernels have both layouts, so that blocks would mix them; see _in_layout_of."""
    seen = []
    for network, given in (
        (ResNetGenerator(3, 16, 8, 4), torch.randn(2, 8)),
        (ResNetDiscriminator(3, 16, 4), torch.randn(2, 3, 16, 16)),
    ):
        network.to(memory_format=layout)
        for block in blocks_of(network):
            block.register_forward_hook(lambda _, inputs, output: seen.extend((inputs[0], output)))
        network(given)
    assert len(seen) == 24
    assert all(one.is_contiguous(memory_format=layout) for one in seen)
