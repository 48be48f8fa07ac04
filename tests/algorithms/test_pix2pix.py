"""pix2pix against what the reference implementation computed, through the engine's own step."""

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric

import i2i
from i2i.algorithms.building import build_generator, generator_arguments
from i2i.algorithms.pix2pix import Pix2Pix
from i2i.errors import ConfigError
from i2i.interop.pytorch_cyclegan_pix2pix import convert
from i2i.training.engine import Engine
from tests.conftest import ORACLES, tiny_config

NAMES = {"G_GAN": "loss_G_GAN", "D_real": "loss_D_real", "D_fake": "loss_D_fake"}


@pytest.fixture
def oracle():
    states = torch.load(ORACLES / "pix2pix_vanilla.pth", weights_only=True)
    return states, np.load(ORACLES / "pix2pix_vanilla.npz")


def test_four_training_steps_equal_the_reference_in_float64(oracle):
    states, values = oracle
    config = i2i.load_config(
        "pix2pix",
        [
            *("data.crop_px=128", "train.batch=2", "generator.dropout=0"),
            *("generator.depth=7", "generator.width=8", "discriminator.width=8"),
        ],
    )
    algorithm = Pix2Pix(config)
    for name, key in (("generator", "G"), ("discriminator", "D")):
        network = algorithm.networks[name]
        network.load_state_dict(convert(states[key], network))
    engine = Engine(Fabric(accelerator="cpu", precision="64-true"), algorithm)
    for step in range(4):
        batch = {side: torch.from_numpy(values[side][step]).double() / 127.5 - 1 for side in "ab"}
        terms = engine.train_step(batch)
        for name, key in NAMES.items():
            assert float(terms[name]) == pytest.approx(values[key][step], rel=1e-9)
        assert 100 * float(terms["G_L1"]) == pytest.approx(values["loss_G_L1"][step], rel=1e-9)
    first = torch.from_numpy(values["a"][0]).double() / 127.5 - 1
    with torch.no_grad():
        output = engine.networks["generator"].eval()(first)
    np.testing.assert_allclose(output.numpy(), values["y"], atol=1e-6)  # y was stored in float32


def test_a_generator_without_terms_is_refused():
    """Any term by itself will do."""
    off = ["loss.gan=0", "loss.l1=0"]
    for one in ("loss.gan=1", "loss.l1=1", "loss.terms.l2=1"):
        Pix2Pix(tiny_config(*off, one))
    with pytest.raises(ConfigError, match=r"gan, l1.*terms"):
        Pix2Pix(tiny_config(*off))


def test_each_phase_computes_gradients_for_its_own_networks_alone():
    algorithm = Pix2Pix(tiny_config())
    engine = Engine(Fabric(accelerator="cpu"), algorithm)
    generator, discriminator = engine.networks["generator"], engine.networks["discriminator"]
    calls = []
    generator.register_forward_hook(lambda *_: calls.append("forward"))
    original = algorithm.losses

    def losses(phase, batch, outputs):
        trains = {"discriminator": discriminator, "generator": generator}
        for name, network in trains.items():
            assert all(parameter.requires_grad == (name == phase) for parameter in network.parameters())
        return original(phase, batch, outputs)

    algorithm.losses = losses
    engine.train_step({"a": torch.randn(2, 3, 16, 16), "b": torch.randn(2, 3, 16, 16)})
    assert calls == ["forward"]  # once a step, for both phases


def test_direction_swaps_the_sides():
    batch = {"a": torch.zeros(1, 1, 16, 16), "b": torch.ones(1, 3, 16, 16)}
    forward = Pix2Pix(tiny_config("data.direction=A2B", "data.channels_a=1"))
    backward = Pix2Pix(tiny_config("data.direction=B2A", "data.channels_a=1"))
    assert forward.forward(batch)["fake"].shape[1] == 3
    assert backward.forward(batch)["fake"].shape[1] == 1
    assert list(forward.parts()) == ["A2B"]
    assert backward.parts()["B2A"].out_meaning == "grey"


def test_a_generator_that_does_not_fit_the_channels_is_refused():
    changes = ("generator={name: modern_unet, depth: 2, width: 2, residual: true}", "data.channels_b=1")
    with pytest.raises(ConfigError, match="residual"):
        Pix2Pix(tiny_config(*changes))
    Pix2Pix(tiny_config(*changes, "data.channels_a=1"))


@pytest.mark.parametrize(("crop_px", "depth"), [(8, 2), (64, 5), (96, 5), (128, 6), (256, 7), (2048, 8)])
def test_modern_is_as_deep_as_its_crop(crop_px, depth):
    settings = [f"data.crop_px={crop_px}", "data.resize_px=null", "generator.width=1", "generator.norm=none"]
    config = i2i.load_config("modern", settings)
    assert len(build_generator(config, "A2B").down) == depth == generator_arguments(config, "A2B")["depth"]


def test_modern_refuses_a_crop_that_cannot_be_halved_so_often():
    with pytest.raises(ConfigError, match="80"):
        build_generator(i2i.load_config("modern", ["data.crop_px=80", "data.resize_px=null"]), "A2B")


def test_the_adversarial_term_can_be_left_out():
    """Without it, the generator's update is that of L1 alone; the control, with it, is another."""
    updates = {}
    for gan, l1 in ((0.0, 1.0), (1.0, 1.0), (0.0, 5.0)):
        torch.manual_seed(0)
        algorithm = Pix2Pix(tiny_config(f"loss.gan={gan}", f"loss.l1={l1}", "generator.dropout=0"))
        batch = {side: torch.rand(4, 3, 32, 32) * 2 - 1 for side in "ab"}
        outputs = algorithm.forward(batch)
        terms, weights = algorithm.losses("generator", batch, outputs), algorithm.weights()
        loss = sum(weights[name] * term for name, term in terms.items()) / l1
        updates[gan, l1] = torch.autograd.grad(loss, outputs["fake"])[0]
    torch.testing.assert_close(updates[0.0, 1.0], updates[0.0, 5.0])
    assert not torch.allclose(updates[0.0, 1.0], updates[1.0, 1.0])
