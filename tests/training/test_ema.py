"""Averaged weights: how fast they follow, and which weights previews, model file and checkpoint hold."""

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import i2i
from i2i.algorithms import ALGORITHMS, resolve
from i2i.training.checkpoint import list_checkpoints, load_checkpoint
from i2i.training.ema import RAMP_UP, Ema
from i2i.training.engine import Engine
from i2i.training.fabric import make_fabric
from tests.conftest import tiny_config


def follow(half_life, batch, images=4096, warm=10**6):
    """The mean of a weight that was 0 and has been 1 for `images` images."""
    network = nn.Linear(1, 1)
    nn.init.zeros_(network.weight)
    ema = Ema({"g": network}, half_life)
    ema.images = warm
    nn.init.ones_(network.weight)
    for _ in range(images // batch):
        ema.update({"g": network}, batch)
    return ema.networks["g"].get_parameter("weight").item()


@pytest.mark.parametrize("batch", [1, 16, 256])
def test_the_half_life_is_in_images_whatever_the_batch(batch):
    assert follow(4096, batch) == pytest.approx(0.5, abs=1e-4)
    assert follow(2048, batch) == pytest.approx(0.75, abs=1e-4)


def test_the_first_weights_are_soon_forgotten():
    """A half-life longer than the run is cut to a twentieth of the run."""
    assert follow(10**9, 16, warm=0) > 0.99
    assert follow(10**9, 16, images=16, warm=0) == pytest.approx(1 - 0.5 ** (1 / RAMP_UP))


def test_running_statistics_are_averaged_and_counts_copied():
    network = nn.BatchNorm2d(2)
    ema = Ema({"g": network}, 4)
    ema.images = 1000
    network(torch.randn(4, 2, 8, 8) + 5)
    ema.update({"g": network}, 4)
    mean = ema.networks["g"]
    torch.testing.assert_close(mean.get_buffer("running_mean"), network.get_buffer("running_mean") / 2)
    assert int(mean.get_buffer("num_batches_tracked")) == 1


def test_a_mean_may_begin_on_resuming(tmp_path, few_pairs):
    i2i.train(tiny_config("schedule.images=8", data=few_pairs), tmp_path)
    before = load_checkpoint(list_checkpoints(tmp_path / "checkpoints")[-1])["stepper"]["networks"]["generator"]
    changes = tiny_config("schedule.images=8", "train.ema_half_life_images=100", data=few_pairs)
    engine = Engine(make_fabric(changes), ALGORITHMS["pix2pix"](resolve(changes)))
    engine.load_state_dict(load_checkpoint(list_checkpoints(tmp_path / "checkpoints")[-1])["stepper"])
    mean = engine.model_networks["generator"].state_dict()
    assert all(torch.equal(mean[name], before[name]) for name in mean)
    changes = tiny_config("train.ema_half_life_images=100", data=few_pairs)
    i2i.train(changes, tmp_path, resume=True, allow_config_change=True)


def test_the_model_is_the_mean_and_the_checkpoint_has_both(tmp_path, few_pairs):
    half_life = "train.ema_half_life_images=100"
    i2i.train(tiny_config(data=few_pairs), tmp_path / "plain")
    i2i.train(tiny_config(half_life, data=few_pairs), tmp_path / "run")
    state = load_checkpoint(list_checkpoints(tmp_path / "run" / "checkpoints")[-1])["stepper"]
    model = load_file(tmp_path / "run" / "model.safetensors")
    for name, tensor in state["ema"]["networks"]["generator"].items():
        assert torch.equal(model[f"B2A.{name}"], tensor)
    plain = load_file(tmp_path / "plain" / "model.safetensors")
    for name, tensor in state["networks"]["generator"].items():  # averaging does not change the training
        assert torch.equal(plain[f"B2A.{name}"], tensor)
    assert not all(torch.equal(plain[name], model[name]) for name in plain)
    sheets = [(tmp_path / name / "samples" / "000000016.B2A.png").read_bytes() for name in ("plain", "run")]
    assert sheets[0] != sheets[1]
