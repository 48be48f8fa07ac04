"""StyleGAN: modulation, mixing, truncation and regularisation, against independent computations."""

import copy
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import i2i
from i2i.errors import ConfigError, UsageError
from i2i.networks import StyleGenerator
from i2i.networks.style import ModulatedConv2d
from i2i.runtime.generator import ImageGenerator
from i2i.runtime.latents import walk
from i2i.runtime.styles import mix, truncate, walk_styles
from i2i.training.engine import Engine
from i2i.training.fabric import make_fabric
from tests.conftest import make_algorithm, smallest_config

Z = 6


@pytest.mark.parametrize("norm", ["demodulation", "none"])
def test_a_modulated_convolution_is_that_of_each_image(norm):
    """Karras et al. 2020, eq. 1 and 3, with weights of its own for each image."""
    torch.manual_seed(0)
    layer = ModulatedConv2d(5, 4, 3, 7, norm)
    images, styles = torch.randn(3, 5, 8, 8), torch.randn(3, 7)
    found = layer(images, styles)
    for image, style, made in zip(images, styles, found, strict=True):
        scales = style @ layer.affine.weight.t() / 7**0.5 + 1
        weight = layer.weight / (5 * 9) ** 0.5 * scales[None, :, None, None]
        if norm == "demodulation":
            weight = weight / weight.square().sum(dim=(1, 2, 3), keepdim=True).sqrt()
        expected = F.conv2d(image[None], weight, padding=1)[0]
        torch.testing.assert_close(made, expected, rtol=0, atol=1e-5)
    assert not torch.allclose(found, layer(images, styles.flip(0)), atol=1e-2)


@pytest.mark.parametrize("norm", ["instance", "demodulation"])
def test_an_instance_norm_lets_the_style_alone_say_how_strong_a_channel_is(norm):
    """Louder channels of an input change nothing, and silent ones stay so; demodulation passes them on."""
    torch.manual_seed(0)
    layer = ModulatedConv2d(5, 4, 3, 7, norm)
    images, styles = torch.randn(3, 5, 8, 8), torch.randn(3, 7)
    images[:, 4] = 0
    found, louder = layer(images, styles), layer(images * torch.tensor([3.0, 0.5, 7, 1, 1])[:, None, None], styles)
    assert torch.allclose(found, louder, atol=1e-3) == (norm == "instance")
    assert not torch.allclose(found, layer(images, styles.flip(0)), atol=1e-2)
    assert found.isfinite().all()


def test_the_mapping_learns_at_a_hundredth_of_the_rate():
    """A step of SGD moves what the mapping's weights stand for 10,000 times less; one of Adam, 100 times."""
    torch.manual_seed(0)
    network = StyleGenerator(3, 16, Z, 4, 8)
    layer = network.mapping[1]
    effective = (layer.weight * layer.scale).std()
    assert effective.item() == pytest.approx((2 / Z) ** 0.5, rel=0.3)  # as of a layer with the whole rate
    before = (layer.weight * layer.scale).detach().clone()
    optimizer = torch.optim.Adam(network.parameters(), lr=0.1)
    network(torch.randn(4, Z)).square().mean().backward()
    optimizer.step()
    moved = (layer.weight * layer.scale - before).abs().max()
    assert moved.item() == pytest.approx(0.1 * 0.01 * (2 / Z) ** 0.5, rel=1e-3)


@pytest.mark.parametrize("skips", [True, False])
def test_without_skips_the_last_layer_alone_makes_the_image(skips):
    torch.manual_seed(0)
    network = StyleGenerator(3, 16, Z, 4, 8, skips=skips)
    made = []
    network.convolutions[-1].register_forward_hook(lambda *call: made.append(call[-1]))
    styles = torch.randn(2, network.layers, 8)
    image, last = network.draw(styles), network.to_image[-1]
    expected = last(made[0], styles[:, -1]) + last.bias[:, None, None]
    assert len(network.to_image) == (3 if skips else 1)
    assert torch.equal(image, expected) != skips


def test_truncation_draws_pictures_to_one(style_model):
    """Their spread falls with it, and at 0 there is a single picture; 1 changes nothing."""
    generator = ImageGenerator.open(style_model)
    latents, blocks = generator.draw(range(16)), generator.generator.blocks
    made = [generator.generate(truncate(latents, blocks, value)) for value in (1, 0.75, 0.5, 0.25, 0)]
    spreads = [pictures.std(axis=0).mean() for pictures in made]
    assert all(after < 0.95 * before for before, after in pairwise(spreads))
    assert spreads[0] > 0.01
    assert (made[-1] == made[-1][:1]).all()
    assert np.array_equal(truncate(latents, blocks, 1), latents)
    mean = generator.backend.network.styles.mean
    styles = generator.backend.network.styles_of(torch.from_numpy(truncate(latents, blocks, 0)))
    assert torch.equal(styles, mean.expand_as(styles))


def test_mixes_take_coarse_layers_from_one_and_fine_ones_from_the_other(style_model):
    generator = ImageGenerator.open(style_model)
    network, blocks = generator.backend.network, generator.generator.blocks
    coarse, fine = generator.draw([0, 1]), generator.draw([2, 3])
    own, other = (network.styles_of(torch.from_numpy(one)) for one in (coarse, fine))
    for px, first in ((8, 1), (16, 3)):
        styles = network.styles_of(torch.from_numpy(mix(coarse, fine, blocks, px)))
        torch.testing.assert_close(styles, torch.cat([own[:, :first], other[:, first:]], dim=1))
    for px in (4, 12, 32):
        with pytest.raises(UsageError, match=f"{px}.*8, 16"):
            mix(coarse, fine, blocks, px)
    with pytest.raises(UsageError, match="mix"):
        mix(mix(coarse, fine, blocks, 8), fine, blocks, 8)


@pytest.mark.parametrize("loop", [False, True])
def test_a_walk_through_styles_is_straight(style_model, loop):
    """Its stops are those of a walk through latents, and its way is another."""
    generator = ImageGenerator.open(style_model)
    network, blocks, stops = generator.backend.network, generator.generator.blocks, generator.draw([4, 5, 6])
    rows = walk_styles(stops, blocks, 4, loop)
    styles = network.styles_of(torch.from_numpy(rows))
    ends = network.styles_of(torch.from_numpy(stops))
    assert len(rows) == (12 if loop else 9)
    for k, row in enumerate(styles):
        leg, t = divmod(k, 4)
        expected = torch.lerp(ends[leg], ends[(leg + 1) % 3], t / 4)
        torch.testing.assert_close(row, expected, rtol=1e-4, atol=1e-4)
    straight = network.styles_of(torch.from_numpy(walk(stops, blocks, 4, loop)))
    torch.testing.assert_close(straight[::4], styles[::4], rtol=1e-4, atol=1e-4)
    assert not torch.allclose(straight[2], styles[2], atol=1e-3)


def test_an_exported_file_truncates_and_mixes(style_model, tmp_path):
    spec = i2i.export(style_model, tmp_path / "m.onnx").spec
    assert spec.proof.max_difference < 1e-4
    generator, exported = ImageGenerator.open(style_model), ImageGenerator.open(tmp_path / "m.onnx")
    blocks = generator.generator.blocks
    for latents in (
        truncate(generator.draw([1, 2]), blocks, 0.5),
        mix(generator.draw([1, 2]), generator.draw([3, 4]), blocks, 8),
    ):
        np.testing.assert_allclose(exported.generate(latents), generator.generate(latents), atol=1e-4)


def test_models_without_styles_say_so(noise_model):
    generator = ImageGenerator.open(noise_model)
    with pytest.raises(UsageError, match="style"):
        truncate(generator.draw([0]), generator.generator.blocks, 0.5)


def test_training_mixes_from_a_random_layer_on(few_pairs):
    batch = {"image": torch.zeros(400, 3, 16, 16)}
    for probability in (0, 0.5, 1):
        algorithm = make_algorithm(smallest_config("style", few_pairs, f"loss.mixing={probability}"))
        shares = algorithm.known_blocks(batch)["share"]
        assert (shares[:, 1:] >= shares[:, :-1]).all()
        assert not shares[:, 0].any()
        assert float(shares.any(dim=1).float().mean()) == pytest.approx(probability, abs=0.1)
    assert {int(row) for row in shares.sum(dim=1)} == set(range(1, shares.shape[1]))


def test_gamma_follows_size_and_batch(few_pairs):
    """0.0002 px^2 / batch, for every step of its interval; a weight that is given stays."""
    config = smallest_config("style", few_pairs, "train.batch=8", "loss.penalty_every_steps=16")
    px = config.data.crop_px
    assert make_algorithm(config).weights()["D_penalty"] == pytest.approx(16 * 0.0002 * px**2 / 8)
    given = smallest_config("style", few_pairs, "loss.penalty_weight=3", "loss.penalty_every_steps=2")
    assert make_algorithm(given).weights()["D_penalty"] == 6


def test_the_path_length_is_that_of_the_jacobian(few_pairs, monkeypatch):
    """Karras et al. 2020, eq. 4, for one image and a fixed y, by finite differences."""
    algorithm = make_algorithm(smallest_config("style", few_pairs, "loss.path_length=2", "train.batch=2"))
    network = algorithm.networks["generator"]
    monkeypatch.setattr(torch, "randn_like", lambda like: torch.ones_like(like))
    torch.manual_seed(3)
    found = algorithm.losses("path", {"image": torch.zeros(2, 3, 16, 16)}, {})["G_path"]
    torch.manual_seed(3)
    latent = i2i.algorithms.style.draw(
        algorithm.blocks, torch.zeros(2, 3, 16, 16), algorithm.known_blocks({"image": torch.zeros(2, 3, 16, 16)})
    )[:1]
    styles = network.double().styles_of(latent.double()).detach()
    squares = torch.zeros(styles.shape[1], dtype=torch.float64)
    for layer in range(styles.shape[1]):
        for number in range(styles.shape[2]):
            step = torch.zeros_like(styles)
            step[0, layer, number] = 1e-5
            slope = (network.draw(styles + step) - network.draw(styles - step)).sum() / 2e-5 / 16
            squares[layer] += slope.detach() ** 2
    length = squares.mean().sqrt()
    assert found.item() == pytest.approx((0.99 * length.item()) ** 2, rel=1e-3)
    assert float(algorithm.path_mean) == pytest.approx(0.01 * length.item(), rel=1e-3)


def test_the_path_is_a_lazy_phase_of_the_generator_and_resumes(few_pairs, tmp_path):
    settings = ["loss.path_length=2", "loss.path_every_steps=2", "loss.penalty_every_steps=2"]
    config = smallest_config("style", few_pairs, *settings)
    algorithm = make_algorithm(config)
    engine = Engine(make_fabric(algorithm.config), algorithm)
    assert algorithm.weights()["G_path"] == 4
    batch = {"image": torch.rand(4, 3, 16, 16)}
    first, second = engine.train_step(batch), engine.train_step(batch)
    assert "G_path" not in first
    assert float(second["grad.generator.path"]) > 0
    mean = float(algorithm.path_mean)
    assert mean > 0
    state = copy.deepcopy(engine.state_dict())
    algorithm.path_mean = torch.zeros(())
    engine.load_state_dict(state)
    assert float(algorithm.path_mean) == mean


def test_another_generator_is_refused(few_pairs):
    size = ["data.crop_px=32", "data.resize_px=36"]
    config = smallest_config("style", few_pairs, *size, "generator={name: dcgan, width: 2}")
    with pytest.raises(ConfigError, match=r"dcgan.*style"):
        make_algorithm(config)
