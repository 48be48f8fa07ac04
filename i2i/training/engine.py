"""One training step, on Lightning Fabric: any algorithm, any device.

Only this file calls backward, step and requires_grad. What trains when is the algorithm's to say
(`phases`); what a step costs is ours: the generators run forward once, and no gradient is computed
that no optimizer uses.
"""

import logging
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from i2i.algorithms import Algorithm
from i2i.algorithms.base import Batch, Outputs, Phase
from i2i.config.settings import Config
from i2i.data.training_set import RANKS, derive_seed
from i2i.errors import ConfigError, UsageError
from i2i.machine import keep_freed_memory
from i2i.networks.layers import synchronise_batch_norm
from i2i.networks.recompute import recompute, recompute_stages
from i2i.runtime.backends import torch_device
from i2i.training import ranks
from i2i.training.checkpoint import State
from i2i.training.cpu import gradient_norm, lay_out
from i2i.training.ema import Ema
from i2i.training.guard import Guard, any_broken
from i2i.training.optim import load_optimizer, make_optimizer, set_rate

PRECISIONS = {"fp32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}


def make_fabric(config: Config) -> Fabric:
    """Return Fabric for the devices and precision of the config; raises UsageError for what is not there.

    Other processes are started, and connected, by its launch().
    """
    device, precision = torch_device(config.train.device), config.train.precision
    devices, nodes = config.train.devices, config.train.nodes
    there = {"cuda": torch.cuda.device_count(), "mps": 1, "cpu": devices}[device]
    if devices > there:
        raise ConfigError(f"train.devices is {devices}, but this machine has {there} of {device}.")
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
    where = ranks.make_strategy(device, devices * nodes)
    return Fabric(accelerator=device, devices=devices, num_nodes=nodes, precision=PRECISIONS[precision], **where)


def set_tf32(allowed: bool) -> None:
    """Choose between TF32 and full fp32 for products and convolutions on NVIDIA GPUs."""
    torch.set_float32_matmul_precision("high" if allowed else "highest")
    torch.backends.cudnn.allow_tf32 = allowed


def try_compiler(device: str) -> None:
    """Compile next to nothing for `device`; raises UsageError where torch finds no compiler."""
    try:
        torch.compile(lambda x: x + 1)(torch.zeros(2, device=device))
    except Exception as error:  # of many kinds, by platform
        reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise UsageError(
            f"train.compile is true, but torch cannot compile here: {reason}\n"
            "Install what it asks for (a C++ compiler on a CPU, Triton on a GPU), or set it to false."
        ) from error


class Stepper:
    """An algorithm on its device with its optimizers: what one training step needs."""

    def __init__(self, fabric: Fabric, algorithm: Algorithm):
        self.fabric = fabric
        self.algorithm = algorithm
        self.modules: dict[str, nn.Module] = algorithm.networks
        self.settings = algorithm.config.train
        self.steps = 0
        self.guard = Guard()
        wanted = self.settings.channels_last
        last = fabric.device.type == "cpu" if wanted == "auto" else wanted
        self.layout = torch.channels_last if last else torch.contiguous_format
        for network in self.modules.values():
            network = fabric.strategy.precision.convert_module(network.to(fabric.device))
            lay_out(network, self.layout, large_too=wanted is True)
            if fabric.world_size > 1 and self.settings.sync_batch_norm:
                synchronise_batch_norm(network)
        ranks.spread(list(self.modules.values()))
        generators = {name: self.modules[name] for name in algorithm.generators.values()}
        half_life = self.settings.ema_half_life_images
        self.ema = Ema(generators, half_life) if half_life else None
        for name, network in self.modules.items():
            self._change_forward(network, name in generators)
        self.optimizers = {}
        for phase in algorithm.phases:
            if not phase.optimizer:
                optimizer = make_optimizer((self.modules[name] for name in phase.trains), algorithm.config.optimizer)
                self.optimizers[phase.name] = fabric.setup_optimizers(optimizer)
        if fabric.global_rank:  # noise and dropout of its own; rank 0 goes on as if it were alone
            torch.manual_seed(derive_seed(self.settings.seed, RANKS, fabric.global_rank))
        algorithm.draw_as(fabric.global_rank)

    @property
    def model_networks(self) -> dict[str, nn.Module]:
        """The networks as the model file will hold them: of the generators their means, where there are any."""
        return self.modules | (self.ema.networks if self.ema else {})

    def step(self, batch: Batch, rate_factor: float = 1.0, images: int | None = None) -> dict[str, Tensor]:
        """Train on one batch, all parts of it; return the loss terms, detached and without their weights.

        images: how many all ranks have in this step together, in turn; None is as many on each as here. What
        comes back is the same on all ranks: means over all images.

        Also "grad.<network>", the 2-norms of the gradients before any clipping, and "grad.<network>.<phase>" of a
        phase that uses another's optimizer. Raises NonFiniteError when one of
        them is NaN or infinite; then nothing is updated from the phase on in which that came up.
        """
        due = [phase for phase in self.algorithm.phases if (self.steps + 1) % phase.every_steps == 0]
        self._train_only([name for phase in due for name in phase.trains])
        images = images or batch_size(batch) * self.fabric.world_size
        parts = self._parts(batch, images)
        outputs = [self.algorithm.forward(part) for part, _ in parts]
        logged: dict[str, Tensor] = {}
        for phase in due:
            self._train_only(phase.trains)
            self._optimizer(phase).zero_grad(set_to_none=True)
            terms: dict[str, Tensor] = {}
            for (part, share), output in zip(parts, outputs, strict=True):
                for name, term in self._descend(phase, part, output, share).items():
                    terms[name] = terms[name] + term if name in terms else term
            ranks.average([*self._gradients(*phase.trains), *terms.values()])
            logged |= terms
            self._update(phase, rate_factor, logged)
        logged = self.guard.check(logged, scaled=self._scaler is not None)
        self.steps += 1
        if self.ema:
            self.ema.update(self.modules, images)
        return logged

    def _change_forward(self, network: nn.Module, generates: bool) -> None:
        """Let the network run as train.compile, activation_checkpointing, accumulate and precision say."""
        if self.settings.activation_checkpointing:
            recompute_stages(network)
        if self.settings.compile:
            network.forward = torch.compile(network.forward)
        if self.settings.accumulate > 1 and generates:
            recompute(network)  # all parts go forward before the first goes back: their graphs must not pile up
        network.forward = self._in_precision(network, network.forward)

    def _in_precision(self, network: nn.Module, forward: Callable[..., Any]) -> Callable[..., Any]:
        """Return `forward` in the precision of training while the network trains; at inference it stays as it is.

        Not Fabric's wrapper, which forbids the backward within a forward that a gradient penalty takes.
        """
        precision = self.fabric.strategy.precision

        def run(*inputs: Any, **options: Any) -> Any:
            if not network.training:
                return forward(*inputs, **options)
            with precision.forward_context():
                made = forward(*precision.convert_input(inputs), **precision.convert_input(options))
            return precision.convert_output(made)

        return run

    def _parts(self, batch: Batch, images: int) -> list[tuple[Batch, float]]:
        """Split a batch into what goes through the networks at once, in their memory layout.

        Each comes with its share: its images by the mean number of images that a rank has in this step. All ranks
        take as many parts, since networks may wait for each other in them; a share of 0 fills up.
        """
        rank, world = self.fabric.global_rank, self.fabric.world_size
        count, most = batch_size(batch), self.settings.batch
        whole = {name: self._laid_out(tensor) for name, tensor in batch.items()}
        slices = [slice(first, first + most) for first in range(0, count, most)]
        parts = [{name: tensor[one] for name, tensor in whole.items()} for one in slices]
        shares = [batch_size(part) * world / images if rank < images else 0.0 for part in parts]
        missing = -(-images // (world * self.settings.batch)) - len(parts)
        return [*zip(parts, shares, strict=True), *[(parts[0], 0.0)] * missing]

    def _laid_out(self, tensor: Tensor) -> Tensor:
        """Return pictures in the memory layout of the networks, and other tensors as they are."""
        return tensor.contiguous(memory_format=self.layout) if tensor.dim() == 4 else tensor

    def _descend(self, phase: Phase, batch: Batch, outputs: Outputs, share: float) -> dict[str, Tensor]:
        """Add the gradient of a phase on a part of the batch, times its share; return the terms times share."""
        terms, weights = self.algorithm.losses(phase.name, batch, outputs), self.algorithm.weights()
        self.fabric.backward(sum(share * weights[name] * term for name, term in terms.items() if name in weights))
        return {name: share * term.detach() for name, term in terms.items()}

    def _update(self, phase: Phase, rate_factor: float, logged: dict[str, Tensor]) -> None:
        """Update the networks of a phase, unless this step met NaN or infinity; log their gradients' norms."""
        optimizer, clip_norm = self._optimizer(phase), self.algorithm.config.optimizer.clip_norm
        if self._scaler is not None:
            self._scaler.unscale_(optimizer.optimizer)
        for name in phase.trains:
            norm = gradient_norm(self._gradients(name))
            logged[f"grad.{name}.{phase.name}" if phase.optimizer else f"grad.{name}"] = norm
            if clip_norm is not None:
                torch.nn.utils.clip_grads_with_norm_(self.modules[name].parameters(), clip_norm, norm)
        if self._scaler is None:  # which would set the same; torch's fused optimizers read it on the device, unasked
            optimizer.optimizer.found_inf = any_broken(logged)
        set_rate(optimizer, self._lr(phase) * rate_factor)
        optimizer.step()

    def _gradients(self, *names: str) -> list[Tensor]:
        parameters = (parameter for name in names for parameter in self.modules[name].parameters())
        return [parameter.grad for parameter in parameters if parameter.grad is not None]

    @property
    def _scaler(self) -> Any:
        """The gradient scaler of mixed fp16, or None."""
        return getattr(self.fabric.strategy.precision, "scaler", None)

    def _optimizer(self, phase: Phase) -> Any:
        return self.optimizers[phase.optimizer or phase.name]

    def _lr(self, phase: Phase) -> float:
        settings = self.algorithm.config.optimizer
        return settings.lr_discriminator if phase.judges and settings.lr_discriminator else settings.lr

    def _train_only(self, names: Sequence[str]) -> None:
        for name, network in self.modules.items():
            network.requires_grad_(name in names)

    def state_dict(self) -> State:
        """Return all that the next step depends on, but for the data. Every rank must call it; all get the same.

        What differs between ranks stands under "ranks", one entry each; networks and optimizers do not.
        """
        return {
            "steps": self.steps,
            "guard": self.guard.state_dict(),
            "networks": {name: network.state_dict() for name, network in self.modules.items()},
            "optimizers": {name: optimizer.state_dict() for name, optimizer in self.optimizers.items()},
            "ema": self.ema.state_dict() if self.ema else None,
            "precision": self.fabric.strategy.precision.state_dict(),
            "ranks": ranks.gather(self._own_state()),
        }

    def _own_state(self) -> State:
        device = self.fabric.device
        return {
            "algorithm": self.algorithm.state_dict(),
            "torch_rng": torch.get_rng_state(),
            "cuda_rng": torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
            "mps_rng": torch.mps.get_rng_state() if device.type == "mps" else None,
        }

    def load_state_dict(self, state: State) -> None:
        """Take up where `state_dict` left off.

        Where there are more ranks than then, the new ones begin with draws and an algorithm's state of their
        own; where there are fewer, those of the last ranks are lost.
        """
        self.steps = state["steps"]
        self.guard.load_state_dict(state["guard"])
        for name, network in self.modules.items():
            network.load_state_dict(state["networks"][name])
        for name, optimizer in self.optimizers.items():
            load_optimizer(optimizer, state["optimizers"][name])
        if self.ema and state["ema"]:
            self.ema.load_state_dict(state["ema"])
        elif self.ema:  # switched on only now
            self.ema.begin_at(self.modules)
        if state["precision"]:  # fp16's scale, which it begins anew where the run had another precision
            self.fabric.strategy.precision.load_state_dict(state["precision"])
        if self.fabric.global_rank < len(state["ranks"]):
            self._load_own_state(state["ranks"][self.fabric.global_rank])

    def _load_own_state(self, own: State) -> None:
        device = self.fabric.device
        self.algorithm.load_state_dict(own["algorithm"])
        torch.set_rng_state(own["torch_rng"])
        if device.type == "cuda" and own["cuda_rng"] is not None:
            torch.cuda.set_rng_state(own["cuda_rng"], device)
        if device.type == "mps" and own["mps_rng"] is not None:
            torch.mps.set_rng_state(own["mps_rng"])


def batch_size(batch: Batch) -> int:
    """Return how many images a batch has."""
    return len(next(iter(batch.values())))
