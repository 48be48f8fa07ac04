"""What every entry of the tables of networks promises."""

import inspect
from typing import get_args

import pytest
import torch

from i2i.networks import DISCRIMINATORS, GENERATORS, DiscriminatorOutput
from i2i.networks.film import FiLM, fix_condition
from i2i.networks.layers import Norm
from i2i.networks.recompute import recompute_stages
from tests.conftest import condition_strongly

SMALL = {
    "unet": {"depth": 4, "width": 2},
    "resnet": {"blocks": 1, "width": 2},
    "modern_unet": {"depth": 3, "width": 2},
    "dcgan": {"width": 2, "size": 32},
    "mlp": {"width": 8},
    "stackgan": {"width": 2, "size": 32, "text": 2, "augmentation": 1},
    "stackgan_2": {"width": 2, "first_width": 2, "size": 64, "text": 2, "augmentation": 1},
    "coupled_dcgan": {"width": 2, "size": 32},
    "progressive": {"width": 2, "size": 32},
    "style": {"width": 2, "size": 32, "style": 3},
    "resnet_gan": {"width": 2, "size": 32, "blocks": 1},
    "cppn": {"width": 6, "size": 32, "layers": 2},
    "spatial": {"width": 2, "size": 32, "doublings": 3},
    "patchgan": {"width": 2, "layers": 1},
    "autoencoder": {"width": 2, "levels": 2, "size": 32},
    "mlp_autoencoder": {"width": 8, "code": 3},
}
OF_POINTS = ("mlp", "mlp_autoencoder")
TRANSLATORS = [name for name, network in GENERATORS.items() if getattr(network, "kind", "") == "translate"]
MAKERS = [name for name, network in GENERATORS.items() if getattr(network, "kind", "") == "generate"]


def taking(option, table=DISCRIMINATORS):
    """The networks with an option."""
    return [name for name, network in table.items() if option in inspect.signature(network).parameters]


def make(table, name, **more):
    torch.manual_seed(0)
    channels = {"in_channels": 2} if name in OF_POINTS and table is DISCRIMINATORS else {}
    return table[name](**channels, **SMALL[name], **more)


def judged(name, count=4):
    """Images that a discriminator takes."""
    if name in OF_POINTS:
        return torch.randn(count, 2)
    channels = 6 if name == "patchgan" else 3
    return torch.randn(count, channels, 32, 32)


def test_every_entry_is_here():
    assert set(SMALL) == {*GENERATORS, *DISCRIMINATORS}
    assert {*TRANSLATORS, *MAKERS} == set(GENERATORS)


@pytest.mark.parametrize("name", TRANSLATORS)
def test_sides_that_fit_go_through_and_others_are_explained(name):
    network = make(GENERATORS, name).eval()
    for side in range(1, 50):
        reason = network.fits(side)
        if reason is None:
            assert network(torch.zeros(1, 3, side, side)).shape == (1, 3, side, side)
        else:
            assert str(network.size_multiple) in reason
    assert network.fits(network.size_minimum) is None
    assert (network.fits(network.size_minimum + 1) is None) == (network.size_multiple == 1)


@pytest.mark.parametrize("name", TRANSLATORS)
def test_features_are_what_the_stages_give(name):
    network = make(GENERATORS, name).eval()
    stages = [stage for stage, _ in network.encoder()]
    image = torch.rand(1, 3, 32, 32) * 2 - 1
    seen = {}

    def keep(stage):
        def hook(_, inputs, output):
            seen.setdefault(stage, output.clone())

        return hook

    for stage, module in network.encoder():
        module.register_forward_hook(keep(stage))
    network(image)
    found = network.features(image, ["input", *stages])
    assert torch.equal(found[0], image)
    for stage, features in zip(stages, found[1:], strict=True):
        torch.testing.assert_close(features, seen[stage], rtol=0, atol=0)
    assert torch.equal(network.features(image, [stages[-1], "input"])[1], image)
    with pytest.raises(ValueError, match="nowhere"):
        network.features(image, ["nowhere"])


@pytest.mark.parametrize("name", TRANSLATORS)
def test_translators_that_fill_holes_keep_the_rest(name):
    """Known pixels stay bit for bit, whatever colours alpha hides, and the networks learn from the hole alone."""
    network = make(GENERATORS, name, in_channels=4, fills_holes=True)
    assert network.state_dict().keys() == make(GENERATORS, name, in_channels=4).state_dict().keys()
    image = torch.rand(2, 4, 32, 32) * 2 - 1
    image[:, 3] = 1
    image[:, 3, 8:20, 4:30] = -1
    hole = (image[:, 3:] < 0).expand(-1, 3, -1, -1)
    output = network.eval()(image)
    assert torch.equal(output[~hole], image[:, :3][~hole])
    assert not torch.equal(output[hole], image[:, :3][hole])
    other = torch.where((image[:, 3:] < 0) & (torch.arange(4) < 3)[:, None, None], torch.zeros(()), image)
    assert torch.equal(network(other), output)
    gradient = torch.autograd.grad(output[~hole].sum(), [*network.parameters()], allow_unused=True)
    assert all(one is None or not one.any() for one in gradient)


@pytest.mark.parametrize("name", TRANSLATORS)
def test_translators_depend_on_a_condition(name):
    """At first no label matters; then each image answers to its own, as in the network that is fixed at that label."""
    network, image = make(GENERATORS, name, condition=3), torch.rand(2, 3, 32, 32) * 2 - 1
    labels = torch.eye(3)
    without = [key for key in network.state_dict() if "embedding" not in key]
    assert {key.replace(".norm.", ".") for key in without} == set(make(GENERATORS, name).state_dict())
    network.eval()
    assert torch.equal(network(image, labels[[0, 0]]), network(image, labels[[1, 2]]))
    condition_strongly(network)
    outputs = network(image, labels[[0, 2]])
    assert not torch.allclose(outputs, network(image, labels[[2, 0]]), atol=1e-3)
    for place, number in enumerate((0, 2)):
        fixed = fix_condition(network, labels[number])
        torch.testing.assert_close(fixed(image)[place], outputs[place], rtol=0, atol=1e-5)
    with pytest.raises(TypeError):
        network(image)


@pytest.mark.parametrize("name", TRANSLATORS)
def test_every_norm_of_a_conditional_translator_learns_its_label(name):
    """Also where activations are computed again in the backward pass, and each image has its own label."""
    gradients = []
    for recomputed in (False, True):
        network = make(GENERATORS, name, condition=2)
        if recomputed:
            recompute_stages(network)
        first, second = torch.eye(2)[[0, 1]], torch.eye(2)[[1, 0]]
        torch.manual_seed(1)
        network(network(torch.randn(2, 3, 32, 32), first), second).square().mean().backward()
        films = [one.embedding.weight for one in network.modules() if isinstance(one, FiLM)]
        assert films
        assert all(weight.grad[:, label].any() for weight in films for label in (0, 1))
        gradients.append([weight.grad for weight in films])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("name", MAKERS)
def test_generators_take_latents_of_any_length(name):
    network = make(GENERATORS, name, latent=5).eval()
    assert network.latent == 5
    assert len(network(torch.randn(3, 5))) == 3
    assert (network.fits(33) is None) == (network.place_px == 1)


@pytest.mark.parametrize("name", [name for name in MAKERS if getattr(make(GENERATORS, name), "place_px", 0)])
def test_generators_take_maps_of_latents(name):
    """One latent is a map with the same at every place; others make other sizes."""
    network = make(GENERATORS, name, latent=5).eval()
    latents, places = torch.randn(3, 5), network.places(32)
    same = latents[:, :, None, None].expand(-1, -1, places, places)
    torch.testing.assert_close(network(same), network(latents))
    other = network(torch.randn(2, 5, 5, 7))
    assert (network.places(other.shape[2]), network.places(other.shape[3])) == (5, 7)
    assert not torch.allclose(network(torch.randn(3, 5, places, places)), network(latents), atol=1e-3)


@pytest.mark.parametrize("norm", get_args(Norm))
@pytest.mark.parametrize("name", taking("norm"))
def test_discriminators_take_every_norm(name, norm):
    output = make(DISCRIMINATORS, name, norm=norm)(judged(name))
    assert isinstance(output, DiscriminatorOutput)
    output.logits.mean().backward()
    assert output.logits.isfinite().all()


@pytest.mark.parametrize("norm", get_args(Norm))
@pytest.mark.parametrize("name", taking("norm", GENERATORS))
def test_generators_take_every_norm(name, norm):
    network = make(GENERATORS, name, norm=norm)
    output = network(torch.randn(4, 3, 32, 32) if name in TRANSLATORS else torch.randn(4, network.latent))
    output.mean().backward()
    assert output.isfinite().all()


@pytest.mark.parametrize("name", taking("spectral_norm"))
def test_spectral_norm_bounds_every_weight(name):
    network, free = make(DISCRIMINATORS, name, spectral_norm=True), make(DISCRIMINATORS, name)
    for module in (network, free):
        for parameter in module.parameters():
            parameter.data *= 30
    with torch.no_grad():
        for _ in range(30):  # the power iteration goes on with every forward
            network(judged(name))
    assert max(largest_singular_values(network)) == pytest.approx(1, abs=0.02)
    assert max(largest_singular_values(free)) > 2


def test_patchgan_has_low_pass_filters_by_option():
    """A picture moved by a pixel changes its scores less: the point of the filter (Zhang 2019)."""
    torch.manual_seed(0)
    image = torch.rand(1, 3, 64, 64)
    changes = {}
    for downsample in ("strided", "blur"):
        network = make(DISCRIMINATORS, "patchgan", in_channels=3, norm="none", downsample=downsample).eval()
        one, other = (network(part).features[0] for part in (image[..., :-1], image[..., 1:]))
        changes[downsample] = ((one - other).abs().mean() / one.std()).item()
    assert changes["blur"] < 0.8 * changes["strided"]


def largest_singular_values(network):
    layers = [one for one in network.modules() if isinstance(one, (torch.nn.Conv2d, torch.nn.Linear))]
    return [float(torch.linalg.matrix_norm(layer.weight.detach().flatten(1), 2)) for layer in layers]


@pytest.mark.parametrize("name", list(DISCRIMINATORS))
def test_discriminators_depend_on_a_condition(name):
    """Another condition changes the logits of the same image; a network without a condition takes none."""
    network, image = make(DISCRIMINATORS, name, condition=3).eval(), judged(name)
    one, other = (network(image, torch.eye(3)[[place] * 4]).logits for place in (0, 1))
    assert one.shape == make(DISCRIMINATORS, name).eval()(image).logits.shape
    assert not torch.equal(one, other)


@pytest.mark.parametrize("name", taking("minibatch_std"))
def test_minibatch_std_sees_a_batch_of_equal_images(name):
    """The same image among its copies and among others has other logits; without the option it has not."""
    image, others = judged(name, 1), judged(name, 3)
    for option in (False, True):
        torch.manual_seed(0)
        norm = {"norm": "none"} if name in taking("norm") else {}
        network = make(DISCRIMINATORS, name, minibatch_std=option, **norm).eval()
        alike, mixed = (network(torch.cat([image, more])).logits[0] for more in (image.expand_as(others), others))
        assert torch.allclose(alike, mixed, atol=1e-7) != option


@pytest.mark.parametrize("distance", ["l1", "l2"])
@pytest.mark.parametrize("name", taking("minibatch_discrimination"))
def test_minibatch_discrimination_sees_a_batch_of_equal_images(name, distance):
    """The same image among its copies and among others has other logits; without the option it has not."""
    image, others = judged(name, 1), judged(name, 3)
    for option in ("none", distance):
        torch.manual_seed(0)
        norm = {"norm": "none"} if name in taking("norm") else {}
        network = make(DISCRIMINATORS, name, minibatch_discrimination=option, minibatch_std=False, **norm).eval()
        alike, mixed = (network(torch.cat([image, more])).logits[0] for more in (image.expand_as(others), others))
        assert torch.allclose(alike, mixed, atol=1e-7) == (option == "none")


@pytest.mark.parametrize("name", ["autoencoder", "mlp_autoencoder"])
def test_an_energy_is_the_distance_from_the_reconstruction(name):
    """Where the last layer gives 0, it is the length of the image: 5 for a point at (3, 4)."""
    network = make(DISCRIMINATORS, name)
    for parameter in [*network.decoder.parameters()][-2:]:
        parameter.data.zero_()
    images = torch.zeros_like(judged(name))
    images.flatten(1)[0, :2] = torch.tensor([3.0, 4.0])
    output = network.eval()(images)
    assert output.logits[:, 0].tolist() == pytest.approx([-5, 0, 0, 0], abs=1e-5)
    assert output.features[-1].shape[0] == 4


@pytest.mark.parametrize("name", ["autoencoder", "mlp_autoencoder"])
def test_an_autoencoder_learns_what_it_is_shown(name):
    """Energies of what it learned fall, and those of noise stay above."""
    torch.manual_seed(0)
    norm = {"norm": "none"} if name in taking("norm") else {}
    network = make(DISCRIMINATORS, name, **norm)
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    known = torch.linspace(-1, 1, judged(name).shape[-1]).expand_as(judged(name))
    before = -network(known).logits.mean()
    for _ in range(100):
        optimizer.zero_grad()
        (-network(known).logits.mean()).backward()
        optimizer.step()
    after, strange = -network(known).logits.mean(), -network(known + torch.randn_like(known)).logits.mean()
    assert after < before / 2
    assert strange > 2 * after


@pytest.mark.parametrize("name", list(DISCRIMINATORS))
def test_packs_are_judged_by_one(name):
    network, single = make(DISCRIMINATORS, name, packing=2, condition=3), make(DISCRIMINATORS, name, condition=3)
    images, labels = judged(name), torch.eye(3)[[0, 1, 2, 0]]
    logits = network(images, labels).logits
    assert logits.shape == single(images, labels).logits[:2].shape
    network.eval()
    pairs = [network(images[[first, second]], labels[[first, second]]).logits for first, second in ((0, 1), (0, 2))]
    assert not torch.equal(*pairs)  # an image's logits depend on its neighbour's
    assert len(network(images[:3], labels[:3]).logits) == 2


@pytest.mark.parametrize("packing", [1, 2])
@pytest.mark.parametrize("name", list(DISCRIMINATORS))
def test_heads_answer_for_each_image(name, packing):
    """Beside the same logits, and with a gradient for the trunk."""
    sizes = {"label": 3, "code": 2}
    norm = {"norm": "none"} if name in taking("norm") else {}
    network, plain = (make(DISCRIMINATORS, name, packing=packing, **norm, **more) for more in ({"heads": sizes}, {}))
    plain.load_state_dict(network.state_dict(), strict=False)
    images = judged(name)
    output = network(images)
    assert output.heads is not None
    assert {key: tuple(value.shape) for key, value in output.heads.items()} == {"label": (4, 3), "code": (4, 2)}
    assert torch.equal(output.logits, plain(images).logits)
    assert plain(images).heads is None
    for number, image in enumerate(images):  # each answers to its own image, or pack
        other = images.clone()
        other[number] = -image
        changed = (network(other).heads["code"] != output.heads["code"]).any(dim=1)
        assert changed.tolist() == [place // packing == number // packing for place in range(4)]
    assert len(network(images[:3]).heads["code"]) == 3  # packs of three repeat an image
    output.heads["label"].square().sum().backward()
    without = ("head.", "decoder.", *(f"from_image.{level}." for level in range(3)))  # of levels that are grown over
    assert all(p.grad is not None for key, p in network.named_parameters() if not key.startswith(without))


@pytest.mark.parametrize("name", taking("spectral_norm"))
def test_spectral_norm_leaves_heads_free(name):
    """They are no part of the critic whose slope it bounds."""
    network = make(DISCRIMINATORS, name, spectral_norm=True, heads={"code": 2})
    assert {key.split(".")[0] for key, _ in network.named_parameters() if "parametrizations" not in key} >= {"heads"}
