"""CycleGAN against what the reference implementation computed, and its pool of past fakes."""

import threading

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric

import i2i
from i2i.algorithms.cyclegan import CycleGAN
from i2i.algorithms.image_pool import ImagePool
from i2i.interop.pytorch_cyclegan_pix2pix import convert
from i2i.networks.parallel import apart, run
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


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


PENALTY = ["loss.penalty=r1", "loss.penalty_every_steps=2"]


@pytest.mark.parametrize("changes", [[], ["loss.identity=0", "discriminator.spectral_norm=true"], PENALTY])
def test_two_threads_train_each_cycle_by_itself_bit_for_bit(changes, two_threads, monkeypatch):
    """Each has one thread, so the weights are those that one alone trains; the control shares every operation."""
    after, threads = {}, set()
    monkeypatch.setattr(Fabric, "backward", lambda _, loss: (threads.add(threading.current_thread()), loss.backward()))
    for way, count, is_halved in (("halves", 2, True), ("again", 2, True), ("one", 1, True), ("shared", 2, False)):
        torch.set_num_threads(count)
        torch.manual_seed(0)
        algorithm = cyclegan("generator.blocks=2", "loss.history=2", *changes)
        assert algorithm.halves
        algorithm.halves = algorithm.halves if is_halved else ()
        engine = Engine(Fabric(accelerator="cpu"), algorithm)
        threads.clear()
        for _ in range(4):
            engine.train_step({side: torch.rand(1, 3, 64, 64) * 2 - 1 for side in "ab"})
        assert len(threads) == (2 if way in ("halves", "again") else 1)
        assert torch.get_num_threads() == count
        parameters = [parameter for network in engine.networks.values() for parameter in network.parameters()]
        after[way] = torch.cat([parameter.detach().flatten() for parameter in parameters])
    assert torch.equal(after["halves"], after["again"])
    assert torch.equal(after["halves"], after["one"])
    assert not torch.equal(after["halves"], after["shared"])


@pytest.mark.parametrize(
    "change",
    [
        "generator.dropout=0.5",
        "generator.norm=batch",
        "discriminator.norm=batch",
        "loss.diffaugment=[colour]",
        "loss.instance_noise=0.1",
        "loss.flip=0.1",
        "loss.penalty=gradient",
        "train.accumulate=2",
        "train.precision=bf16",
        "train.activation_checkpointing=true",
    ],
)
def test_what_draws_or_shares_more_than_weights_trains_as_one(change):
    assert not cyclegan("generator.blocks=1", change).halves


def test_terms_of_another_kind_are_not_parted():
    algorithm = cyclegan("generator.blocks=1")
    terms = {name: torch.tensor(weight) for name, weight in algorithm.weights().items() if name.startswith("G_")}
    one, two = apart(terms, algorithm.halves)
    assert sum(one) == sum(two) == 16.0  # 1 + 10 + 5
    assert apart(terms | {"G_of_both": one[0]}, algorithm.halves) == [[*terms.values(), one[0]]]
    assert apart(terms, ()) == [[*terms.values()]]


def test_jobs_in_parallel_share_threads_and_wait_for_one_another(two_threads):
    def job(number):
        if number == 3:
            raise ValueError("third")
        return number, torch.get_num_threads(), threading.current_thread() is threading.main_thread()

    assert run([lambda: job(1), lambda: job(2)]) == [(1, 1, True), (2, 1, False)]
    assert run([lambda: job(1), lambda: job(2)], at_once=False) == [(1, 2, True), (2, 2, True)]
    assert run([lambda: job(1)] * 3) == [(1, 2, True)] * 3  # more jobs than threads
    for jobs in ((1, 3), (3, 1)):
        with pytest.raises(ValueError, match="third"):
            run([lambda number=number: job(number) for number in jobs])
        assert torch.get_num_threads() == 2
