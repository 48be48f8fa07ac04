"""Memory layouts do not change a training, and freed memory is reused."""

import copy
import platform
import sys

import pytest
import torch
from lightning_fabric import Fabric

from i2i.algorithms.pix2pix import Pix2Pix
from i2i.machine import keep_freed_memory
from i2i.training import fabric, optim
from i2i.training.engine import Engine
from i2i.training.fabric import make_fabric
from tests.conftest import tiny_config


@pytest.mark.parametrize("layout", ["true", "auto"])
def test_channels_last_is_the_same_training(layout, monkeypatch):
    """One step in another memory layout: the same losses but for rounding; auto leaves large layers as they are."""
    monkeypatch.setattr(fabric, "LARGE_WEIGHTS", 1000)
    first = []
    for wanted in ("false", layout):
        config = tiny_config(f"train.channels_last={wanted}", "generator.dropout=0")
        torch.manual_seed(0)
        engine = Engine(make_fabric(config), Pix2Pix(config))
        terms = engine.train_step({"a": torch.rand(2, 3, 16, 16), "b": torch.rand(2, 3, 16, 16)})
        first.append({name: float(value) for name, value in terms.items()})
        weights = [parameter for parameter in engine.networks["generator"].parameters() if parameter.dim() == 4]
        assert {parameter.numel() < 1000 for parameter in weights} == {False, True}
        for parameter in weights:
            there = wanted == "true" or (wanted == "auto" and parameter.numel() < 1000)
            assert parameter.is_contiguous(memory_format=torch.channels_last) == there
    assert first[0] == pytest.approx(first[1], rel=1e-4)


def test_a_checkpoint_resumes_in_another_memory_layout(float64):
    """Fused Adam ignores strides, so moments in the old layout would silently update other weights."""
    after = []
    state = None
    for layout in ("true", "false", "true"):
        config = tiny_config(f"train.channels_last={layout}", "generator.dropout=0")
        torch.manual_seed(0)
        engine = Engine(Fabric(accelerator="cpu", precision="64-true"), Pix2Pix(config))
        if state is None:
            engine.train_step({"a": torch.rand(2, 3, 16, 16), "b": torch.rand(2, 3, 16, 16)})
            state = engine.state_dict()
            continue
        engine.load_state_dict(copy.deepcopy(state))
        torch.manual_seed(1)
        engine.train_step({"a": torch.rand(2, 3, 16, 16), "b": torch.rand(2, 3, 16, 16)})
        after.append([parameter.detach() for parameter in engine.networks["generator"].parameters()])
    torch.testing.assert_close(*after, rtol=0, atol=1e-9)


@pytest.mark.skipif(sys.platform != "linux" or platform.libc_ver()[0] != "glibc", reason="malloc is not glibc's")
@pytest.mark.parametrize("mebibytes", [8, 48])  # below and above the largest threshold that glibc accepts
def test_freed_memory_is_kept(mebibytes):
    """A tensor in memory that was just freed costs no page faults; 8 MiB of new memory cost 2,048."""
    import resource

    keep_freed_memory()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        torch.ones(mebibytes * 2**18)
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
    assert faults < 5 * mebibytes * 256  # of 20, the first few may


def test_the_norm_of_gradients_is_the_norm_in_every_layout(float64):
    torch.manual_seed(0)
    one, two = torch.randn(4, 3, 5, 2), torch.randn(4, 3, 5, 2).contiguous(memory_format=torch.channels_last)
    many = [one, two, one.transpose(0, 3), torch.randn(7), torch.randn(3, 1, 1, 1)]
    expected = torch.cat([gradient.reshape(-1) for gradient in many]).square().sum().sqrt()
    torch.testing.assert_close(optim.gradient_norm(many), expected, rtol=1e-12, atol=0)
    assert not optim.gradient_norm([*many, torch.tensor([float("inf")])]).isfinite()
