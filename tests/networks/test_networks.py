"""Networks against the reference's outputs, the papers' numbers, and their own promises."""

import copy

import numpy as np
import pytest
import torch

from i2i.interop.pytorch_cyclegan_pix2pix import convert
from i2i.networks import (
    GENERATORS,
    DCGANDiscriminator,
    DCGANGenerator,
    MLPDiscriminator,
    MLPGenerator,
    ModernUNet,
    PatchGAN,
    ResNet,
    UNet,
)
from i2i.networks.batches import together
from i2i.networks.layers import (
    BatchNorm,
    InstanceNorm,
    UnbiasedConv2d,
    UnbiasedConvTranspose2d,
    set_norm_statistics,
)
from i2i.networks.modern_unet import SelfAttention
from i2i.networks.patchgan import RECEPTIVE_FIELD_PX, smallest_side
from tests.conftest import ORACLES

REFERENCE = {
    "unet_128_batch": lambda: UNet(depth=7, width=8),
    "resnet_6_instance": lambda: ResNet(blocks=6, width=8),
    "cut_resnet_6": lambda: ResNet(blocks=6, width=8, upsample="resize", downsample="blur"),
    "D_patchgan70": lambda: PatchGAN(width=8),
}
SMALL = {
    "unet": {"depth": 4, "width": 4},
    "unet resize": {"depth": 5, "width": 4, "upsample": "resize", "norm": "instance"},
    "resnet": {"blocks": 2, "width": 4},
    "resnet resize": {"blocks": 1, "width": 4, "upsample": "resize", "downsample": "blur", "norm": "batch"},
    "resnet none": {"blocks": 1, "width": 4, "norm": "none", "dropout": 0.5},
    "modern_unet": {"depth": 4, "width": 4},
    "modern_unet rich": {"depth": 2, "width": 4, "convolutions": 2, "blocks": 2, "attention": True},
    "modern_unet bilinear": {"depth": 3, "width": 4, "upsample": "bilinear"},
    "modern_unet shuffled": {"depth": 3, "width": 4, "upsample": "pixel_shuffle", "norm": "batch"},
}


def small(name, **extra):
    return GENERATORS[name.split()[0]](**SMALL[name], **extra)


@pytest.mark.parametrize("name", list(REFERENCE))
def test_weights_of_the_reference_give_its_outputs(name):
    network = REFERENCE[name]()
    state = torch.load(ORACLES / f"{name}.pth", weights_only=True)
    network.load_state_dict(convert(state, network))
    values = np.load(ORACLES / f"{name}.npz")
    with torch.no_grad():
        output = network.eval()(torch.from_numpy(values["x"]))
    output = output.logits if isinstance(network, PatchGAN) else output
    np.testing.assert_allclose(output.numpy(), values["y"], atol=1e-5)


@pytest.mark.parametrize("downsample", ["strided", "blur"])
@pytest.mark.parametrize("layers", list(RECEPTIVE_FIELD_PX))
def test_receptive_field_of_patchgan(layers, downsample):
    """The support of one logit's gradient is the receptive field; weights of 1 avoid accidental zeros."""
    network = PatchGAN(1, layers=layers, width=1, norm="none", downsample=downsample).double()
    field = network.receptive_field_px
    assert downsample == "blur" or field == RECEPTIVE_FIELD_PX[layers]
    for parameter in network.parameters():
        torch.nn.init.constant_(parameter, 0.1)
    side = 2 * field + 32 * (layers > 0) + 3
    image = torch.rand(1, 1, side, side, dtype=torch.float64, requires_grad=True)
    score = network(image).logits
    score[0, 0, score.shape[2] // 2, score.shape[3] // 2].backward()
    rows, columns = torch.nonzero(image.grad[0, 0], as_tuple=True)
    assert int(rows.max() - rows.min()) + 1 == field
    assert int(columns.max() - columns.min()) + 1 == field


@pytest.mark.parametrize("downsample", ["strided", "blur"])
@pytest.mark.parametrize("layers", list(RECEPTIVE_FIELD_PX))
def test_the_smallest_side_of_patchgan_leaves_one_score(layers, downsample):
    network, side = PatchGAN(3, layers=layers, width=1, downsample=downsample), smallest_side(layers)
    assert network(torch.rand(2, 3, side, side)).logits.shape == (2, 1, 1, 1)
    if layers:
        with pytest.raises(RuntimeError):
            network(torch.rand(2, 3, side - 1, side - 1))


def test_two_scales_are_two_discriminators():
    """The second sees means of 3 x 3 pixels in every other place; the features of both are returned."""
    network = PatchGAN(3, layers=1, width=2, norm="none", scales=2).eval()
    state = network.state_dict()
    fine, coarse = (PatchGAN(3, layers=1, width=2, norm="none").eval() for _ in range(2))
    fine.load_state_dict({key: value for key, value in state.items() if not key.startswith("coarser.")})
    own = {key.removeprefix("coarser."): value for key, value in state.items() if key.startswith("coarser.")}
    coarse.load_state_dict(own)
    image = torch.rand(2, 3, 16, 17)
    inside = torch.nn.functional.pad(torch.ones(1, 1, 16, 17), (1, 1, 1, 1)).unfold(2, 3, 2).unfold(3, 3, 2).sum((4, 5))
    half = torch.nn.functional.pad(image, (1, 1, 1, 1)).unfold(2, 3, 2).unfold(3, 3, 2).sum((4, 5)) / inside
    output, one, other = network(image), fine(image), coarse(half)
    torch.testing.assert_close(output.scales, (one.logits, other.logits))
    torch.testing.assert_close(output.features, (*one.features, *other.features))
    assert not torch.equal(state["head.weight"], own["head.weight"])


def test_a_coarser_scale_needs_room_too():
    for scales, least in ((2, 11), (3, 21)):  # a logit at the coarsest scale, and none 1 px below
        network = PatchGAN(layers=1, width=1, norm="none", scales=scales)
        assert network.fits(least) is None
        assert network(torch.zeros(1, 6, least, least)).scales[-1].shape == (1, 1, 1, 1)
        assert f"discriminator.scales {scales}" in (network.fits(least - 1) or "")
    assert PatchGAN(layers=1, width=1).fits(10) is None


def test_sizes_of_the_papers_networks():
    """Parameter counts that pytorch-CycleGAN-and-pix2pix prints for the same networks."""

    def millions(network):
        return round(sum(p.numel() for p in network.parameters()) / 1e6, 3)

    with torch.device("meta"):
        assert millions(UNet(depth=8)) == 54.414
        assert millions(ResNet(blocks=9)) == 11.378
        assert millions(PatchGAN(6)) == 2.769
        assert millions(PatchGAN(3, norm="instance")) == 2.765


@pytest.mark.parametrize("name", list(SMALL))
@pytest.mark.parametrize(("inputs", "outputs"), [(3, 3), (1, 4), (4, 1)])
def test_generators_keep_the_size_and_the_range(name, inputs, outputs):
    network = small(name, in_channels=inputs, out_channels=outputs).eval()
    multiple, least = network.size_multiple, network.size_minimum
    for height, width in ((least, least), (least + multiple, least + 2 * multiple)):
        output = network(torch.rand(2, inputs, height, width) * 2 - 1)
        assert output.shape == (2, outputs, height, width)
        assert output.abs().max() <= 1


@pytest.mark.parametrize("name", list(SMALL))
def test_every_parameter_of_a_generator_learns(name):
    network = small(name)
    side = 2 * network.size_minimum
    network(torch.rand(2, 3, side, side)).square().mean().backward()
    unused = {
        f"{layer}.bias"
        for layer, module in network.named_modules()
        if isinstance(module, UnbiasedConv2d | UnbiasedConvTranspose2d)
    }
    for parameter, tensor in network.named_parameters():
        assert (tensor.grad is None) == (parameter in unused)
        assert parameter in unused or torch.isfinite(tensor.grad).all()


@pytest.mark.parametrize(
    ("network", "arguments", "words"),
    [
        (UNet, {"depth": 3}, "4 to 9"),
        (UNet, {"depth": 10}, "4 to 9"),
        (PatchGAN, {"layers": 6}, "0 to 5"),
        (ResNet, {"blocks": 0}, "at least 1"),
        (ModernUNet, {"depth": 9}, "2 to 8"),
        (ModernUNet, {"residual": True, "out_channels": 1}, "equal channels"),
    ],
)
def test_impossible_networks_are_refused(network, arguments, words):
    with pytest.raises(ValueError, match=words):
        network(**arguments)


def test_initialisation():
    network = UNet(depth=6, width=32).requires_grad_(False)
    weights = torch.cat([m.weight.flatten() for m in network.modules() if isinstance(m, torch.nn.Conv2d)])
    assert float(weights.mean()) == pytest.approx(0, abs=1e-4)
    assert float(weights.std()) == pytest.approx(0.02, rel=0.01)
    scales = torch.cat([m.weight for m in network.modules() if isinstance(m, BatchNorm)])
    assert float(scales.mean()) == pytest.approx(1, abs=0.01)
    assert float(scales.std()) == pytest.approx(0.02, rel=0.2)
    assert all(not m.bias.any() for m in network.modules() if isinstance(m, BatchNorm))


def test_image_statistics_are_those_of_training_at_batch_one():
    torch.manual_seed(0)
    network = UNet(depth=4, width=4, dropout=0)
    pictures = torch.rand(3, 3, 32, 48) * 2 - 1
    with torch.no_grad():
        singly = torch.cat([network.train()(picture[None]) for picture in pictures])
        set_norm_statistics(network.eval(), "image")
        np.testing.assert_allclose(network(pictures), singly, atol=1e-5)  # whatever else is in the batch
        set_norm_statistics(network, "running")
        assert not np.allclose(network(pictures), singly, atol=1e-2)


def test_instance_norm_is_the_same_in_both_modes_and_has_the_right_gradient():
    """Group norm in training, instance norm at inference; the gradient by finite differences, in both layouts."""
    layer = InstanceNorm(3)
    for layout in (torch.contiguous_format, torch.channels_last):
        values = torch.randn(1, 3, 4, 5, dtype=torch.float64).contiguous(memory_format=layout).requires_grad_()
        torch.testing.assert_close(layer.train()(values), layer.eval()(values))
        assert torch.autograd.gradcheck(layer.train(), values)


def with_biases(**arguments):
    """A random ResNet with strong biases and weights, as after training."""
    torch.manual_seed(0)
    network = ResNet(blocks=2, width=8, **arguments)
    for layer in network.modules():
        if isinstance(layer, torch.nn.Conv2d | torch.nn.ConvTranspose2d):
            torch.nn.init.normal_(layer.weight, 0, 0.1)
            if layer.bias is not None:
                torch.nn.init.normal_(layer.bias, 0, 0.3)
    return network


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("down", ["strided", "blur"])
def test_a_flat_picture_stays_flat_through_instance_norm(training, down):
    """Whatever its colour: norms divide by the contrast, and only rounding errors would be left."""
    network = with_biases(downsample=down, upsample="resize" if down == "blur" else "transpose").train(training)
    flat = torch.tensor([[0.0, 0.1, -0.3], [-1.0, -1.0, -1.0], [1.0, 1.0, 1.0]])[:, :, None, None].expand(3, 3, 64, 96)
    for layout in (torch.contiguous_format, torch.channels_last):
        for images in (flat, *flat.split(1)):
            output = network(images.contiguous(memory_format=layout))
            assert (output == output[:1, :, :1, :1]).all()
    torch.testing.assert_close(output.double(), network.double()(flat[:1].double()), atol=1e-6, rtol=0)


def test_flat_crops_leave_instance_norm_no_gradient_to_amplify():
    network = with_biases()
    image = torch.full((1, 3, 64, 64), 0.7, requires_grad=True)
    (network(image) * torch.randn(1, 3, 64, 64)).sum().backward()
    gradients = {name: one.grad for name, one in network.named_parameters() if one.grad is not None}
    assert gradients.pop("head.1.bias").abs().max() > 0
    assert all(not gradient.any() for gradient in (image.grad, *gradients.values()))


def test_a_nearly_flat_picture_keeps_its_digits():
    """One pixel of 64 x 64 is a grey level brighter, on white; the error was a thousand times as large."""
    network = with_biases().eval()
    image = torch.full((1, 3, 64, 64), 1 - 2 / 255)
    image[:, :, 20, 30] = 1
    with torch.no_grad():
        found, expected = network(image), copy.deepcopy(network).double()(image.double())
    assert expected.std() > 0.01
    assert (found - expected).abs().max() < 1e-5


def test_colours_of_flat_pictures_count_by_running_statistics():
    network = with_biases(norm="batch").eval()
    dark, bright = network(torch.full((1, 3, 32, 32), -0.5)), network(torch.full((1, 3, 32, 32), 0.5))
    assert (dark - bright).abs().max() > 0.1
    set_norm_statistics(network, "image")
    dark, bright = network(torch.full((1, 3, 32, 32), -0.5)), network(torch.full((1, 3, 32, 32), 0.5))
    torch.testing.assert_close(dark, bright, atol=0, rtol=0)


def test_resize_convolution_leaves_no_checkerboard():
    """A flat picture stays flat away from the borders; transposed convolutions alternate there."""

    def unevenness(upsample):
        torch.manual_seed(1)
        network = ResNet(blocks=1, width=4, norm="none", upsample=upsample)
        for parameter in network.parameters():
            torch.nn.init.normal_(parameter, 0, 0.1)
        with torch.no_grad():
            middle = network(torch.full((1, 3, 64, 64), 0.5))[..., 24:40, 24:40]
        return float(middle.std(dim=(2, 3)).max())

    assert unevenness("resize") < 1e-6
    assert unevenness("transpose") > 1e-4


@pytest.mark.parametrize("size", [32, 64, 128])
@pytest.mark.parametrize("channels", [1, 3, 5])
def test_dcgan_generates_and_discriminates_its_sizes(size, channels):
    generator = DCGANGenerator(channels, size, latent=7, width=2)
    judge = DCGANDiscriminator(channels, size, width=2)
    made = generator(torch.randn(3, 7))
    assert made.shape == (3, channels, size, size)
    assert made.abs().max() <= 1
    judged = judge(made)
    assert judged.logits.shape == (3, 1, 1, 1)
    assert [feature.shape[2] for feature in judged.features] == [
        size // 2**k for k in range(1, len(judged.features) + 1)
    ]
    assert judged.features[-1].shape[2] == 4


def test_dcgan_is_built_as_the_paper_says():
    """Figure 1 and section 3: channels, no pooling, no fully connected layer, where batch norm is and is not."""
    generator, judge = DCGANGenerator(width=128), DCGANDiscriminator(width=128)
    convs = [m for m in generator.modules() if isinstance(m, torch.nn.ConvTranspose2d)]
    assert [(conv.in_channels, conv.out_channels) for conv in convs] == [
        *((100, 1024), (1024, 512), (512, 256), (256, 128)),
        (128, 3),
    ]
    for network in (generator, judge):
        kinds = {type(m).__name__ for m in network.modules()}
        assert not any("Pool" in kind or kind == "Linear" for kind in kinds)
    assert [any(isinstance(m, BatchNorm) for m in layer.modules()) for layer in generator.layers] == [True] * 4
    assert [any(isinstance(m, BatchNorm) for m in layer.modules()) for layer in judge.layers] == [
        False,
        True,
        True,
        True,
    ]
    assert not any(isinstance(m, BatchNorm) for m in (*generator.head.modules(), *judge.head.modules()))
    assert {m.negative_slope for m in judge.modules() if isinstance(m, torch.nn.LeakyReLU)} == {0.2}
    assert isinstance(generator.head[-1], torch.nn.Tanh)
    for conv in (m for network in (generator, judge) for m in network.modules()):
        if isinstance(conv, (torch.nn.Conv2d, torch.nn.ConvTranspose2d)) and conv.weight.numel() > 10_000:
            assert float(conv.weight.detach().mean()) == pytest.approx(0, abs=1e-3)
            assert float(conv.weight.detach().std()) == pytest.approx(0.02, rel=0.05)


def has_batch_norm(layer):
    return any(isinstance(module, BatchNorm) for module in layer.modules())


@pytest.mark.parametrize("layers", [1, 3])
def test_perceptrons_generate_and_discriminate_points(layers):
    made = MLPGenerator(latent=5, width=8, layers=layers)(torch.randn(6, 5))
    assert made.shape == (6, 2)
    assert MLPDiscriminator(width=8, layers=layers)(made).logits.shape == (6, 1)


def test_a_size_that_dcgan_does_not_make_is_refused():
    with pytest.raises(ValueError, match="32, 64 or 128"):
        DCGANGenerator(size=48)


def test_xavier_scales_weights_to_the_size_of_layers():
    """std = sqrt(2 / (inputs + outputs)), of 3x3 between 64 channels sqrt(2 / 1152); the paper's is 0.02 everywhere."""
    torch.manual_seed(0)
    network = ResNet(blocks=1, width=16, init="xavier")
    assert float(network.get_submodule("blocks.0.body.1").weight.detach().std()) == pytest.approx(1 / 24, rel=0.02)
    assert float(network.stem[1].weight.detach().std()) == pytest.approx((2 / (49 * 19)) ** 0.5, rel=0.05)
    assert not network.stem[1].bias.detach().any()


def test_modern_unet_joins_its_input_at_full_size():
    """With the inner levels silenced, a pixel changes its 5x5 neighbours; the paper's U-Net has no such path."""
    network = ModernUNet(depth=3, width=4, norm="none").eval()
    for stage in network.enlarge:
        stage.register_forward_hook(lambda module, inputs, output: torch.zeros_like(output))
    image = torch.zeros(1, 3, 16, 16)
    changed = image.clone()
    changed[0, :, 7, 9] = 1
    rows, columns = torch.nonzero((network(changed) != network(image))[0].any(0), as_tuple=True)
    assert (int(rows.min()), int(rows.max()), int(columns.min()), int(columns.max())) == (5, 9, 7, 11)


def test_a_residual_modern_unet_starts_from_its_input():
    network = ModernUNet(depth=2, width=4, residual=True).eval()
    torch.nn.init.zeros_(network.head.weight)
    image = torch.rand(1, 3, 16, 16) * 2 - 1
    assert torch.equal(network(image), torch.tanh(image))


def test_the_channels_of_a_modern_unet_begin_alike():
    """In an untrained network; with Xavier's weights in the last layer they do not."""
    apart = {}
    for init in ("alike", "xavier"):
        torch.manual_seed(0)
        output = ModernUNet(depth=2, width=8, head_init=init).eval()(torch.rand(1, 3, 16, 16) * 2 - 1)
        apart[init] = (output - output.mean(dim=1, keepdim=True)).abs().mean().item()
    assert apart["alike"] < 1e-6
    assert apart["xavier"] > 0.1


def test_attention_is_a_softmax_over_all_places():
    """softmax(q k^T / sqrt(C)) v, written out place by place."""
    torch.manual_seed(0)
    layer, image = SelfAttention(4, "none"), torch.randn(1, 4, 2, 3)
    query, key, value = layer.queries_keys_values(image)[0].flatten(1).t().split(4, dim=1)
    made = torch.stack([torch.softmax(key @ one / 2, 0) @ value for one in query])
    expected = image + layer.out(made.t().reshape(1, 4, 2, 3))
    torch.testing.assert_close(layer(image), expected)


@pytest.mark.parametrize(("norm", "calls"), [("instance", 1), ("group", 1), ("batch", 2)])
def test_batches_go_together_where_no_layer_mixes_images(float64, norm, calls):
    torch.manual_seed(0)
    network, seen = ResNet(blocks=1, width=4, norm=norm).train(), []
    apart = [torch.randn(count, 3, 16, 16) for count in (2, 1)]
    expected = [network(one) for one in apart]
    network.register_forward_hook(lambda *_: seen.append(1))
    torch.testing.assert_close(list(together(network, *apart)), expected, rtol=0, atol=1e-12)
    assert len(seen) == calls
