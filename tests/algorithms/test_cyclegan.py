"""CycleGAN against what the reference implementation computed, and its pool of past fakes."""

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric

import i2i
from i2i.algorithms.cyclegan import CycleGAN
from i2i.algorithms.image_pool import ImagePool
from i2i.interop.pytorch_cyclegan_pix2pix import convert
from i2i.training.engine import Engine
from tests.conftest import ORACLES

NETWORKS = {"G_A2B": "G_A", "G_B2A": "G_B", "D_A": "D_B", "D_B": "D_A"}  # theirs are named by the input's side
TERMS = {  # ours: theirs, which carry their weight
    "G_A2B_GAN": "loss_G_A",
    "G_B2A_GAN": "loss_G_B",
    "G_cycle_A": "loss_cycle_A",
    "G_cycle_B": "loss_cycle_B",
    "G_identity_A": "loss_idt_B",
    "G_identity_B": "loss_idt_A",
}


def cyclegan(*overrides):
    return CycleGAN(
        i2i.load_config(
            "cyclegan",
            ["data.resize_px=null", "data.crop_px=64", "generator.width=8", "discriminator.width=8", *overrides],
        )
    )


def test_four_training_steps_equal_the_reference_in_float64(float64):
    states = torch.load(ORACLES / "cyclegan_lsgan.pth", weights_only=True)
    values = np.load(ORACLES / "cyclegan_lsgan.npz")
    algorithm = cyclegan("generator.blocks=6", "loss.history=0")
    for name, key in NETWORKS.items():
        algorithm.networks[name].load_state_dict(convert(states[key], algorithm.networks[name]))
    engine = Engine(Fabric(accelerator="cpu", precision="64-true"), algorithm)
    for step in range(4):
        batch = {side: torch.from_numpy(values[side][step]).double() / 127.5 - 1 for side in "ab"}
        terms = {name: float(value) for name, value in engine.train_step(batch).items()}
        for name, key in TERMS.items():
            assert algorithm.weights()[name] * terms[name] == pytest.approx(values[key][step], rel=1e-9)
        for ours, key in (("D_A", "loss_D_B"), ("D_B", "loss_D_A")):
            both = 0.5 * (terms[f"{ours}_real"] + terms[f"{ours}_fake"])
            assert both == pytest.approx(values[key][step], rel=1e-9)
    first = torch.from_numpy(values["a"][0]).double() / 127.5 - 1
    with torch.no_grad():
        output = engine.networks["G_A2B"].eval()(first)
    np.testing.assert_allclose(output.numpy(), values["y"], atol=1e-6)  # y was stored in float32


def test_identity_is_off_with_a_message_where_channels_differ():
    algorithm = cyclegan("generator.blocks=1", "data.channels_a=1")
    assert "loss.identity is off" in algorithm.notes[0]
    engine = Engine(Fabric(accelerator="cpu"), algorithm)
    terms = engine.train_step({"a": torch.rand(1, 1, 64, 64), "b": torch.rand(1, 3, 64, 64)})
    assert not any("identity" in name for name in terms)
    assert {name for name in terms if name.startswith("D_A")} == {
        "D_A_real",
        "D_A_fake",
        "D_A_real_accuracy",
        "D_A_fake_accuracy",
    }
    assert cyclegan("generator.blocks=1").notes == []


def test_the_pool_gives_back_old_fakes_half_of_the_time():
    pool = ImagePool(50, seed=0)
    fakes = [torch.full((1, 1, 1, 1), float(number)) for number in range(1050)]
    seen = [float(pool.exchange(fake)) for fake in fakes]
    assert seen[:50] == list(range(50))  # while it fills, what comes in goes out
    new = sum(value == number for number, value in enumerate(seen[50:], 50))
    assert 450 < new < 550
    assert len(set(seen)) > 500  # an old fake is returned once, then it is gone
    kept = [float(image) for image in pool.images]
    assert len(kept) == 50
    assert sorted(set(seen) | set(kept)) == list(range(1050))  # none is lost: each is returned or kept
    assert float(ImagePool(0, 0).exchange(fakes[3])) == 3


def test_the_pool_resumes_where_it_stopped():
    straight, cut = ImagePool(4, seed=1), ImagePool(4, seed=1)
    fakes = torch.rand(40, 2, 3, 3, generator=torch.Generator().manual_seed(0))
    whole = torch.stack([straight.exchange(fake[None])[0] for fake in fakes])
    first = torch.stack([cut.exchange(fake[None])[0] for fake in fakes[:15]])
    other = ImagePool(4, seed=9)
    other.load_state_dict(cut.state_dict(), torch.device("cpu"))
    rest = torch.stack([other.exchange(fake[None])[0] for fake in fakes[15:]])
    assert torch.equal(whole, torch.cat([first, rest]))


def test_discriminators_learn_from_the_pool():
    """With a pool of one, the second step shows the first step's fake half of the time."""
    algorithm = cyclegan("generator.blocks=1", "loss.history=1")
    shown = []
    algorithm.networks["D_B"].register_forward_pre_hook(lambda _, inputs: shown.append(inputs[0].detach().clone()))
    batch = {"a": torch.rand(1, 3, 64, 64), "b": torch.rand(1, 3, 64, 64)}
    fakes = []
    for _ in range(12):
        outputs = algorithm.forward(batch)
        fakes.append(outputs["fake_b"].detach() + len(fakes))
        algorithm.losses("discriminators", batch, {**outputs, "fake_b": fakes[-1]})
    shown = shown[1::2]  # real and fake go through one by one
    old = [not torch.equal(one, fake) for one, fake in zip(shown, fakes, strict=True)]
    assert 2 <= sum(old) <= 10
    assert all(any(torch.equal(one, fake) for fake in fakes) for one in shown)
