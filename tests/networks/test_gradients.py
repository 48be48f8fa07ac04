"""Gradients in every memory layout, against formulas written out in elementary operations.

torch 2.15 gives F.instance_norm a wrong gradient on a CPU, without a word, for one picture in channels_last.
"""

import pytest
import torch
from torch import nn

from i2i.networks import GENERATORS, DCGANDiscriminator, DCGANGenerator, PatchGAN, products, small_maps, winograd
from i2i.networks.layers import BlurPool, UnbiasedConv2d, UnbiasedConvTranspose2d, _SumOverRanks, make_norm
from i2i.networks.layout import join
from i2i.networks.small_maps import Conv2d, ConvTranspose2d

LAYOUTS = {"NCHW": torch.contiguous_format, "channels_last": torch.channels_last}
EXACT = {"rtol": 0, "atol": 1e-12}


def normalised(x, dims):
    centred = x - x.sum(dims, keepdim=True) / x[0, 0].numel() / (len(x) if 0 in dims else 1)
    count = x.numel() / centred.sum(dims).numel()
    return centred / ((centred * centred).sum(dims, keepdim=True) / count + 1e-5).sqrt()


def batch_norm(x, layer):
    return normalised(x, (0, 2, 3)) * layer.weight[:, None, None] + layer.bias[:, None, None]


def reflected(x, by):
    """Reflect without repeating the border, by picking rows and columns."""
    rows, columns = ([*range(by, 0, -1), *range(side), *range(side - 2, side - 2 - by, -1)] for side in x.shape[2:])
    return x[:, :, rows][:, :, :, columns]


def blurred(x, layer):
    lines = reflected(x, 1)
    lines = (lines[:, :, :-2] + 2 * lines[:, :, 1:-1] + lines[:, :, 2:]) / 4
    return ((lines[..., :-2] + 2 * lines[..., 1:-1] + lines[..., 2:]) / 4)[:, :, ::2, ::2]


def doubled(x, dim):
    """Bilinear doubling along one side: quarters of the neighbours, the border repeated."""
    side = x.shape[dim]
    before, after = (x.index_select(dim, (torch.arange(side) + step).clamp(0, side - 1)) for step in (-1, 1))
    return torch.stack([0.25 * before + 0.75 * x, 0.75 * x + 0.25 * after], dim + 1).flatten(dim, dim + 1)


def convolved(x, layer):
    """Kernel 4, stride 2, padding 1, as a sum over the kernel's places."""
    padded = nn.functional.pad(x, (1, 1, 1, 1))
    height, width = padded.shape[2] - 3, padded.shape[3] - 3
    places = [
        torch.einsum("nchw,oc->nohw", padded[:, :, i : i + height : 2, j : j + width : 2], layer.weight[:, :, i, j])
        for i in range(4)
        for j in range(4)
    ]
    return sum(places) + layer.bias[:, None, None]


def spread_out(x, layer):
    """Kernel 4, stride 2, padding 1, transposed: every pixel adds its kernel to the output."""
    columns = []
    for place in (divmod(k, 4) for k in range(16)):
        part = torch.einsum("nchw,co->nohw", x, layer.weight[:, :, place[0], place[1]])
        wide = torch.stack([part, torch.zeros_like(part)], 3).flatten(2, 3)  # rows, then columns, two apart
        wide = torch.stack([wide, torch.zeros_like(wide)], 4).flatten(3, 4)
        columns.append(nn.functional.pad(wide, (place[1], 3 - place[1], place[0], 3 - place[0])))
    return sum(columns)[:, :, 1 : 1 + 2 * x.shape[2], 1 : 1 + 2 * x.shape[3]] + layer.bias[:, None, None]


LAYERS = {
    "batch norm": (lambda: make_norm("batch", 3), batch_norm, (3, 4, 6)),
    "instance norm": (lambda: make_norm("instance", 3), lambda x, _: normalised(x, (2, 3)), (3, 4, 6)),
    "no norm": (lambda: make_norm("none", 3), lambda x, _: x * 1, (3, 4, 6)),
    "reflect 1": (lambda: nn.ReflectionPad2d(1), lambda x, _: reflected(x, 1), (3, 4, 6)),
    "reflect 3": (lambda: nn.ReflectionPad2d(3), lambda x, _: reflected(x, 3), (3, 4, 6)),
    "blur": (lambda: BlurPool(3), blurred, (3, 4, 6)),
    "doubling": (
        lambda: nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False),
        lambda x, _: doubled(doubled(x, 2), 3),
        (3, 4, 6),
    ),
    "convolution": (lambda: Conv2d(3, 5, 4, 2, 1), convolved, (3, 4, 6)),
    "convolution of a small map": (lambda: Conv2d(12, 5, 4, 2, 1), convolved, (12, 4, 6)),
    "transposed": (lambda: ConvTranspose2d(3, 5, 4, 2, 1), spread_out, (3, 4, 6)),
    "transposed of a small map": (lambda: ConvTranspose2d(48, 5, 4, 2, 1), spread_out, (48, 4, 6)),
}


def gradients(function, x, parameters, weights):
    """Of the sum of all outputs times `weights`, handed back in the layout that `weights` has."""
    x = x.clone().requires_grad_()  # keeps the layout
    output = function(x)
    return output, torch.autograd.grad(output, (x, *parameters), weights)


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("images", [1, 2])
@pytest.mark.parametrize("name", LAYERS)
def test_layers_have_the_gradient_of_their_formula(float64, name, images, layout):
    make, formula, shape = LAYERS[name]
    torch.manual_seed(0)
    layer, x = make(), torch.randn(images, *shape)
    parameters = list(layer.parameters())
    for parameter in parameters:
        nn.init.normal_(parameter)
    weights = torch.randn_like(formula(x, layer))
    expected = gradients(lambda one: formula(one, layer), x, parameters, weights)
    for parameter in parameters:
        if parameter.dim() == 4:
            parameter.data = parameter.data.contiguous(memory_format=layout)
    x, weights = x.contiguous(memory_format=layout), weights.contiguous(memory_format=layout)
    torch.testing.assert_close(gradients(layer.train(), x, parameters, weights), expected, **EXACT)


@pytest.mark.parametrize("layer", [Conv2d(12, 5, 4, 2, 1), ConvTranspose2d(12, 5, 4, 2, 1)])
def test_products_take_the_place_of_convolutions_for_training_on_small_maps(layer):
    def way(training, side):
        return layer.train(training)(torch.randn(1, 12, side, side)).grad_fn.name()

    assert way(True, 2) == "AddBackward0"
    assert way(True, 8) == way(False, 2) == "ConvolutionBackward0"  # and what is exported is one node


@pytest.mark.parametrize("layer", [Conv2d(12, 5, 4, 2, 1), ConvTranspose2d(12, 5, 4, 2, 1), Conv2d(32, 1, 4)])
def test_a_compiler_takes_layers_whole(layer):
    """It gives up where it is asked for the processor, in each layer and on each device."""
    torch.manual_seed(0)
    x = torch.randn(1, layer.in_channels, 6, 6).contiguous(memory_format=torch.channels_last)
    compiled = torch.compile(layer.train(), backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), layer(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("faster", [True, False])
@pytest.mark.parametrize("layouts", [(one, other) for one in (0, 1) for other in (0, 1)])
def test_both_libraries_make_the_same_products(monkeypatch, faster, layouts):
    monkeypatch.setattr(products, "has_faster_products", lambda: faster)
    torch.manual_seed(0)
    one, other = (
        torch.randn(*(shape[::-1] if turned else shape))
        for shape, turned in zip([(5, 7), (7, 3)], layouts, strict=True)
    )
    one, other = (x.t() if turned else x for x, turned in zip((one, other), layouts, strict=True))
    inputs = one.requires_grad_(), other.requires_grad_()
    made, weights = products.product(*inputs), torch.randn(5, 3)
    assert faster is (made.grad_fn.name() != "MmBackward0")
    first = torch.autograd.grad((made * weights).sum(), inputs, create_graph=True)
    penalty = torch.autograd.grad(first[0].square().sum(), other)  # of a gradient, as penalties take it
    expected = one.double() @ other.double(), weights.double() @ other.double().t(), one.double().t() @ weights.double()
    torch.testing.assert_close([made, *first], [x.float() for x in expected], rtol=1e-5, atol=1e-5)
    doubled = 2 * (other.double() @ weights.double().t() @ weights.double())
    torch.testing.assert_close(penalty, (doubled.float(),), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("kernel", [3, 4])
@pytest.mark.parametrize(("padding", "height", "width"), [(0, 9, 12), (1, 8, 7), (2, 5, 11)])
def test_a_convolution_with_fewer_multiplications_is_the_same(kernel, padding, height, width, layout):
    torch.manual_seed(0)
    x = torch.randn(2, 3, height, width).contiguous(memory_format=layout).requires_grad_()
    weight = torch.randn(5, 3, kernel, kernel).contiguous(memory_format=layout).requires_grad_()
    expected = nn.functional.conv2d(x.double(), weight.double(), padding=padding)
    made, back = winograd.convolve(x, weight, padding), torch.randn(expected.shape)
    torch.testing.assert_close(made, expected.float(), rtol=1e-5, atol=1e-4)
    found, wanted = (torch.autograd.grad(y, (x, weight), back.to(y), retain_graph=True) for y in (made, expected))
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=3e-4)
    penalties = [torch.autograd.grad(y, x, back.to(y), create_graph=True)[0].square().sum() for y in (made, expected)]
    twice = [torch.autograd.grad(penalty, weight)[0] for penalty in penalties]
    torch.testing.assert_close(*twice, rtol=1e-4, atol=1e-3)


def gradients_of(layer, x):
    """The output of a layer, the gradients of its input and weight, once and again, and a gradient of the first."""
    made = layer(x.requires_grad_())
    back = torch.cos(torch.arange(made.numel())).view(made.shape).to(made)
    first = torch.autograd.grad(made, (x, layer.weight), back, create_graph=True)
    once = torch.autograd.grad(made, (x, layer.weight), back, retain_graph=True)
    return made, *once, *first, torch.autograd.grad(first[0].square().sum(), layer.weight)[0]


@pytest.mark.parametrize("kernel", [3, 4])
@pytest.mark.parametrize("kind", [Conv2d, ConvTranspose2d, UnbiasedConv2d, UnbiasedConvTranspose2d])
def test_weights_get_their_gradient_from_patches_where_maps_are_wide(monkeypatch, kind, kernel):
    monkeypatch.setattr(winograd, "has_faster_products", lambda: True)
    torch.manual_seed(0)
    more = {"output_padding": 4 - kernel} if "Transpose" in kind.__name__ else {}
    layer, x = (
        kind(64, 65, kernel, 2, 1, **more),
        torch.randn(2, 64, 64, 66).contiguous(memory_format=torch.channels_last),
    )
    layer.weight.data = layer.weight.data.contiguous(memory_format=torch.channels_last)

    found = gradients_of(layer, x)
    assert found[0].grad_fn.name() == ("_StridedBackward" if not layer.adds_bias else "AddBackward0")
    expected = gradients_of(layer.double(), x.detach().double())
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one.double(), other, rtol=1e-4, atol=1e-5 * float(other.detach().abs().max()))


FEW = {
    "logits": (lambda: Conv2d(32, 1, 4, 1, 1), (32, 9, 7), "SpreadBackward"),
    "colours": (lambda: Conv2d(32, 3, 7, bias=False), (32, 9, 8), "SpreadBackward"),
    "spread colours": (lambda: ConvTranspose2d(32, 3, 3, 2, 1, 1), (32, 5, 6), "SpreadBackward"),
    "from colours": (lambda: Conv2d(3, 32, 4, 2, 1), (3, 9, 8), "_FromFewBackward"),
    "from colours, unbiased": (lambda: UnbiasedConv2d(3, 32, 7), (3, 9, 8), "_FromFewBackward"),
}


@pytest.mark.parametrize("name", FEW)
def test_few_channels_go_through_products(monkeypatch, name):
    make, shape, expected = FEW[name]
    torch.manual_seed(0)
    layer, x = make(), torch.randn(2, *shape).contiguous(memory_format=torch.channels_last)
    monkeypatch.setattr(winograd, "has_faster_products", lambda: False)
    assert expected not in ways(layer(x.requires_grad_()))
    monkeypatch.setattr(winograd, "has_faster_products", lambda: True)
    assert expected in ways(layer(x))
    assert expected not in ways(layer.eval()(x))  # and what is exported is one node
    assert expected not in ways(layer.train()(x.detach().contiguous().requires_grad_()))  # nor in another layout
    for one, other in zip(gradients_of(layer, x), gradients_of(layer.double(), x.detach().double()), strict=True):
        torch.testing.assert_close(one.double(), other, rtol=1e-4, atol=1e-5 * float(other.detach().abs().max()))


def ways(made):
    """The names of the functions that made a tensor, one after another."""
    found, step = [], made.grad_fn
    while step is not None:
        found.append(step.name())
        step = next((parent for parent, _ in step.next_functions if parent), None)
    return found


def test_gradients_of_joined_features_lie_in_memory_as_the_features_do():
    torch.manual_seed(0)
    last = {"memory_format": torch.channels_last}
    for images in (1, 2):
        one, other = (torch.randn(images, 8, 5, 6).contiguous(**last).requires_grad_() for _ in range(2))
        back = torch.randn(images, 16, 5, 6).contiguous(**last)
        joined, plain = join(one, other), torch.cat([one, other], dim=1)
        assert joined.is_contiguous(**last)
        found, wanted = (torch.autograd.grad(both, (one, other), back) for both in (joined, plain))
        torch.testing.assert_close(found, wanted, rtol=0, atol=0)
        assert all(gradient.is_contiguous(**last) for gradient in found)
        assert not any(gradient.is_contiguous(**last) for gradient in wanted)  # as torch makes them


def test_fewer_multiplications_are_for_large_maps_with_many_channels_in_training(monkeypatch):
    def is_taken(channels=256, side=34, images=1, training=True, threads=1, **changes):
        monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
        layer = Conv2d(channels, 256, **({"kernel_size": 3} | changes)).train(training)
        return layer(torch.zeros(images, channels, side, side)).grad_fn.name() != "ConvolutionBackward0"

    monkeypatch.setattr(winograd, "has_faster_products", lambda: True)
    assert is_taken(bias=False)
    assert is_taken(kernel_size=4, padding=1, side=25, bias=False)
    assert is_taken(side=17, images=4, bias=False)
    assert is_taken(channels=128, side=48, bias=False)
    assert is_taken(threads=2, side=48, bias=False)
    others = [{"channels": 128}, {"side": 30}, {"threads": 2}, {"stride": 2, "side": 48}, {"kernel_size": 5}]
    others += [{"training": False}, {"dilation": 2}, {"groups": 2}, {"padding": (0, 1)}]
    others += [{"padding": 1, "padding_mode": "reflect"}]
    for change in others:
        assert not is_taken(**change, bias=False), change
    with torch.autocast("cpu", torch.bfloat16):
        assert not is_taken(bias=False)
    monkeypatch.setattr(winograd, "has_faster_products", lambda: False)
    assert not is_taken(bias=False)


def test_products_with_patches_are_for_maps_with_few_pixels(monkeypatch):
    def is_taken(side, stride=1):
        layer = Conv2d(32, 16, 3, stride, 1, bias=False)
        layer.weight.data = layer.weight.data.contiguous(memory_format=torch.channels_last)
        return layer(torch.zeros(1, 32, side, side)).grad_fn.name() != "ConvolutionBackward0"

    monkeypatch.setattr(small_maps, "has_faster_products", lambda: True)
    assert is_taken(4)
    assert not is_taken(5)  # more pixels than output channels
    assert is_taken(22, stride=2)  # 121 of 128
    assert not is_taken(24, stride=2)


NETWORKS = {
    "unet": (lambda: GENERATORS["unet"](depth=5, width=4, dropout=0), (3, 32, 64)),
    "unet resize": (lambda: GENERATORS["unet"](depth=4, width=4, dropout=0, norm="instance", upsample="resize"), None),
    "resnet": (lambda: GENERATORS["resnet"](blocks=1, width=4), None),
    "resnet cut": (lambda: GENERATORS["resnet"](blocks=1, width=4, upsample="resize", downsample="blur"), None),
    "modern_unet": (lambda: GENERATORS["modern_unet"](depth=3, width=4, blocks=1, attention=True), None),
    "patchgan": (lambda: PatchGAN(3, layers=2, width=4, norm="instance"), None),
    "dcgan": (lambda: DCGANGenerator(size=32, latent=8, width=4), (8,)),
    "dcgan judge": (lambda: DCGANDiscriminator(size=32, width=4), (3, 32, 32)),
}


@pytest.mark.parametrize("images", [1, 2])
@pytest.mark.parametrize("name", NETWORKS)
def test_networks_have_one_gradient_in_both_layouts(float64, name, images):
    make, shape = NETWORKS[name]
    torch.manual_seed(0)
    network, x = make().train(), torch.randn(images, *(shape or (3, 16, 32)))
    found = []
    for layout in LAYOUTS.values():
        network.to(memory_format=layout)
        output = network(x.contiguous(memory_format=layout) if x.dim() == 4 else x)
        output = output if isinstance(output, torch.Tensor) else output.logits
        loss = (output.sigmoid() * torch.linspace(-1, 1, output.numel()).view_as(output)).sum()
        found.append(torch.autograd.grad(loss, list(network.parameters()), materialize_grads=True))
    torch.testing.assert_close(*found, **EXACT)


@pytest.mark.parametrize("layer", [Conv2d(8, 4, 4, 2, 1), ConvTranspose2d(8, 4, 4, 2, 1)])
def test_the_batch_stays_open_in_an_export_of_layers_for_small_maps(layer):
    batch = torch.export.Dim("batch", min=1, max=64)
    exported = torch.export.export(layer.eval(), (torch.zeros(2, 8, 4, 4),), dynamic_shapes=({0: batch},))
    assert exported.module()(torch.zeros(5, 8, 4, 4)).shape[0] == 5


def test_a_sum_over_ranks_can_be_differentiated_twice(monkeypatch):
    """Two ranks that have the same x: (2x)^3 has the slope 24 x^2, and that one 48 x. torch does not see the sum."""
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda tensor: tensor.data.mul_(2))
    x = torch.tensor(1.0, requires_grad=True)
    (slope,) = torch.autograd.grad(_SumOverRanks.apply(x) ** 3, x, create_graph=True)
    (curvature,) = torch.autograd.grad(slope, x)
    assert (slope.item(), curvature.item()) == (24, 48)
