"""Lightning Fabric as a training uses it: devices, precision, processes, and networks set up for all three."""

import logging
import os
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments import LightningEnvironment, TorchElasticEnvironment
from lightning_fabric.strategies import DDPStrategy
from torch import nn

from i2i.config.settings import Config, TrainSettings
from i2i.errors import ConfigError, UsageError
from i2i.machine import keep_freed_memory
from i2i.networks.layers import synchronise_batch_norm
from i2i.networks.recompute import recompute, recompute_stages
from i2i.runtime.backends import torch_device
from i2i.training.ranks import TIMEOUT, under_torchrun

PRECISIONS = {"fp32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}

LARGE_WEIGHTS = 4_000_000
"""From this many weights on, channels_last slows a convolution on a CPU: its weights are reordered in every step."""


class UnwrappedDDPStrategy(DDPStrategy):
    """Fabric's processes, one device each, without DistributedDataParallel around the networks.

    Its reducer expects every network to run forward once and to get all of its gradients in each
    backward. A GAN breaks both: CycleGAN runs a generator three times before one backward, phases take
    turns with requires_grad, and a discriminator passes on gradients that are not its own. The engine
    therefore averages the gradients of the networks that a phase trains, once it has them: the same sums,
    exact in all these cases, at the price of not overlapping communication with backward.
    """

    def setup_module(self, module: nn.Module) -> nn.Module:
        """Leave the network as it is."""
        return module


def make_fabric(config: Config) -> Fabric:
    """Return Fabric for the devices and precision of the config; its launch() starts and connects other processes.

    Raises ConfigError and UsageError for devices, precision or a compiler that this machine does not have.
    """
    device, precision = torch_device(config.train.device), config.train.precision
    devices, nodes = config.train.devices, config.train.nodes
    available = {"cuda": torch.cuda.device_count(), "mps": 1, "cpu": devices}[device]
    if devices > available:
        raise ConfigError(f"train.devices is {devices}, but this machine has {available} of {device}.")
    if precision == "fp16" and device == "cpu":
        raise ConfigError("train.precision is fp16, which a CPU does not train in. Use fp32 or bf16.")
    # Fabric advises on things that are settled here.
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module="lightning_fabric.*")
    if device == "cpu":
        keep_freed_memory()
    if device == "cuda":
        set_tf32(config.train.tf32)
    if config.train.compile:
        try_compiler(device)
    processes = _processes(device, devices * nodes)
    return Fabric(accelerator=device, devices=devices, num_nodes=nodes, precision=PRECISIONS[precision], **processes)


def set_tf32(allowed: bool) -> None:
    """Choose between TF32 and full fp32 for matrix products and convolutions on NVIDIA GPUs."""
    torch.set_float32_matmul_precision("high" if allowed else "highest")
    torch.backends.cudnn.allow_tf32 = allowed


def try_compiler(device: str) -> None:
    """Compile a trivial function for `device`; raises UsageError where torch finds no compiler."""
    try:
        torch.compile(lambda x: x + 1)(torch.zeros(2, device=device))
    except Exception as error:  # of many kinds, by platform
        reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise UsageError(
            f"train.compile is true, but torch cannot compile here: {reason}\n"
            "Install what it asks for (a C++ compiler on a CPU, Triton on a GPU), or set it to false."
        ) from error


def with_torchrun_devices(config: Config) -> Config:
    """Take `train.devices` and `train.nodes` from torchrun where it started this process; raises ConfigError."""
    train = config.train
    if under_torchrun():
        world, local = int(os.environ["WORLD_SIZE"]), int(os.environ["LOCAL_WORLD_SIZE"])
        found = {"devices": local, "nodes": world // local}
        for name, count in found.items():
            if getattr(train, name) not in (1, count):
                raise ConfigError(
                    f"train.{name} is {getattr(train, name)}, but torchrun started {local} processes on each of "
                    f"{world // local} machines. Leave train.{name} out; it is taken from torchrun."
                )
        return config.model_copy(update={"train": train.model_copy(update=found)})
    missing = [name for name in ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK") if name not in os.environ]
    if train.nodes > 1 and missing:
        raise ConfigError(
            f"train.nodes is {train.nodes}, but {', '.join(missing)} is not set in the environment: the address and a "
            "free port of the first machine, and the number of this machine, from 0 on.\nSet them, or start with "
            "torchrun."
        )
    return config


def _processes(device: str, world_size: int) -> dict[str, Any]:
    """Return Fabric's arguments for `world_size` processes on `device`.

    CPU tensors go through gloo on every device, so that ranks can agree without waiting for a GPU.
    """
    # Given, not detected: inside a SLURM job, Fabric would take any process for one that srun started.
    environment = TorchElasticEnvironment() if under_torchrun() else LightningEnvironment()
    if world_size == 1:
        return {"plugins": [environment]}
    backend = "cpu:gloo,cuda:nccl" if device == "cuda" else "gloo"
    return {"strategy": UnwrappedDDPStrategy(process_group_backend=backend, timeout=TIMEOUT), "plugins": [environment]}


def memory_format(fabric: Fabric, settings: TrainSettings) -> torch.memory_format:
    """Resolve `train.channels_last`: auto is channels_last on a CPU."""
    wanted = settings.channels_last
    channels_last = fabric.device.type == "cpu" if wanted == "auto" else wanted
    return torch.channels_last if channels_last else torch.contiguous_format


def place_networks(fabric: Fabric, networks: Mapping[str, nn.Module], settings: TrainSettings) -> None:
    """Move networks, in place, to the device, precision and memory format of the training."""
    layout = memory_format(fabric, settings)
    for network in networks.values():
        network = fabric.strategy.precision.convert_module(network.to(fabric.device))
        set_memory_format(network, layout, large_too=settings.channels_last is True)
        if fabric.world_size > 1 and settings.sync_batch_norm:
            synchronise_batch_norm(network)


def set_memory_format(network: nn.Module, layout: torch.memory_format, large_too: bool) -> None:
    """Put the weights of convolutions into a memory format, in place; the large ones only if `large_too`."""
    for parameter in network.parameters():
        if parameter.dim() == 4 and (large_too or parameter.numel() < LARGE_WEIGHTS):
            parameter.data = parameter.data.contiguous(memory_format=layout)


def wrap_forward(fabric: Fabric, network: nn.Module, settings: TrainSettings, is_generator: bool) -> None:
    """Replace the network's forward, as activation_checkpointing, compile, accumulate and precision ask for."""
    if settings.activation_checkpointing:
        recompute_stages(network)
    if settings.compile:
        network.forward = torch.compile(network.forward)
    if settings.accumulate > 1 and is_generator:
        recompute(network)  # all micro-batches go forward before the first backward: their graphs must not pile up
    network.forward = _autocast(fabric, network, network.forward)


def _autocast(fabric: Fabric, network: nn.Module, forward: Callable[..., Any]) -> Callable[..., Any]:
    """Return `forward` in the precision of training while the network is in training mode, else unchanged.

    Fabric's own wrapper forbids a backward within forward, as a gradient penalty needs.
    """
    precision = fabric.strategy.precision

    def autocast_forward(*inputs: Any, **options: Any) -> Any:
        if not network.training:
            return forward(*inputs, **options)
        with precision.forward_context():
            output = forward(*precision.convert_input(inputs), **precision.convert_input(options))
        return precision.convert_output(output)

    return autocast_forward
