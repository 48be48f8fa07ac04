"""One training step, on Lightning Fabric: any algorithm, any device.

Only this file calls backward, step and requires_grad. What trains when is the algorithm's to say
(`phases`); what a step costs is ours: the generators run forward once, and no gradient is computed
that no optimizer uses.
"""

import logging
import warnings
from collections.abc import Sequence
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from i2i.algorithms import Algorithm
from i2i.algorithms.base import Batch, Outputs, Phase
from i2i.errors import ConfigError, UsageError
from i2i.networks.recompute import recompute, recompute_stages
from i2i.runtime.backends import torch_device
from i2i.settings import Config
from i2i.training.checkpoint import State
from i2i.training.ema import Ema
from i2i.training.guard import Guard, any_broken
from i2i.training.optim import make_optimizer, set_rate

PRECISIONS = {"fp32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}


def make_fabric(config: Config) -> Fabric:
    """Return Fabric for the device and precision of the config; raises UsageError for what is not there."""
    device, precision = torch_device(config.train.device), config.train.precision
    if precision == "fp16" and device == "cpu":
        raise ConfigError("train.precision is fp16, which a CPU does not train in. Use fp32 or bf16.")
    # Fabric advises on things that are settled here.
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module="lightning_fabric.*")
    if device == "cuda":
        set_tf32(config.train.tf32)
    if config.train.compile:
        try_compiler(device)
    return Fabric(accelerator=device, devices=1, precision=PRECISIONS[precision])


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
        # The bare networks; in algorithm.networks their wrappers take their place.
        self.modules: dict[str, nn.Module] = dict(algorithm.networks)
        self.settings = algorithm.config.train
        self.steps = 0
        self.guard = Guard()
        self.layout = torch.channels_last if self.settings.channels_last else torch.contiguous_format
        for network in self.modules.values():
            network.to(fabric.device).to(memory_format=self.layout)
        generators = {name: self.modules[name] for name in algorithm.generators.values()}
        half_life = self.settings.ema_half_life_images
        self.ema = Ema(generators, half_life) if half_life else None
        for name, network in self.modules.items():
            self._change_forward(network, name in generators)
            algorithm.networks[name] = fabric.setup_module(network)
        self.optimizers = {}
        for phase in algorithm.phases:
            optimizer = make_optimizer((self.modules[name] for name in phase.trains), algorithm.config.optimizer)
            self.optimizers[phase.name] = fabric.setup_optimizers(optimizer)

    @property
    def model_networks(self) -> dict[str, nn.Module]:
        """The networks as the model file will hold them: of the generators their means, where there are any."""
        return self.modules | (self.ema.networks if self.ema else {})

    def step(self, batch: Batch, rate_factor: float = 1.0) -> dict[str, Tensor]:
        """Train on one batch, all parts of it; return the loss terms, detached and without their weights.

        Also "grad.<network>", the 2-norms of the gradients before any clipping. Raises NonFiniteError when one of
        them is no number; it has then updated nothing from the phase on in which that came up.
        """
        due = [phase for phase in self.algorithm.phases if (self.steps + 1) % phase.every_steps == 0]
        self._train_only([name for phase in due for name in phase.trains])
        parts = self._parts(batch)
        outputs = [self.algorithm.forward(part) for part in parts]
        logged: dict[str, Tensor] = {}
        for phase in due:
            self._train_only(phase.trains)
            self.optimizers[phase.name].zero_grad(set_to_none=True)
            for part, output in zip(parts, outputs, strict=True):
                for name, term in self._descend(phase, part, output, len(part[0]) / len(batch[0])).items():
                    logged[name] = logged[name] + term if name in logged else term
            self._update(phase, rate_factor, logged)
        logged = self.guard.check(logged, scaled=self._scaler is not None)
        self.steps += 1
        if self.ema:
            self.ema.update(self.modules, len(batch[0]) * self.fabric.world_size)
        return logged

    def _change_forward(self, network: nn.Module, generates: bool) -> None:
        """Let the network run as train.compile, activation_checkpointing and accumulate say."""
        if self.settings.activation_checkpointing:
            recompute_stages(network)
        if self.settings.compile:
            network.forward = torch.compile(network.forward)
        if self.settings.accumulate > 1 and generates:
            recompute(network)  # all parts go forward before the first goes back: their graphs must not pile up

    def _parts(self, batch: Batch) -> list[Batch]:
        """Split a batch into what goes through the networks at once, in their memory layout."""
        sides = [side.contiguous(memory_format=self.layout) if side.dim() == 4 else side for side in batch]
        return list(zip(*(side.split(self.settings.batch) for side in sides), strict=True))

    def _descend(self, phase: Phase, batch: Batch, outputs: Outputs, share: float) -> dict[str, Tensor]:
        """Add the gradient of a phase on a part of the batch, `share` of its images; return the terms times share."""
        terms, weights = self.algorithm.losses(phase.name, batch, outputs), self.algorithm.weights
        self.fabric.backward(sum(share * weights[name] * term for name, term in terms.items() if name in weights))
        return {name: share * term.detach() for name, term in terms.items()}

    def _update(self, phase: Phase, rate_factor: float, logged: dict[str, Tensor]) -> None:
        """Update the networks of a phase, unless something in this step is no number; log their gradients' norms."""
        optimizer, clip_norm = self.optimizers[phase.name], self.algorithm.config.optimizer.clip_norm
        if self._scaler is not None:
            self._scaler.unscale_(optimizer.optimizer)
        for name in phase.trains:
            parameters = list(self.modules[name].parameters())
            norm = torch.nn.utils.get_total_norm([one.grad for one in parameters if one.grad is not None])
            logged[f"grad.{name}"] = norm
            if clip_norm is not None:
                torch.nn.utils.clip_grads_with_norm_(parameters, clip_norm, norm)
        if self._scaler is None:  # which would set the same; torch's fused optimizers read it on the device, unasked
            optimizer.optimizer.found_inf = any_broken(logged)
        set_rate(optimizer, self._lr(phase) * rate_factor)
        optimizer.step()

    @property
    def _scaler(self) -> Any:
        """The gradient scaler of mixed fp16, or None."""
        return getattr(self.fabric.strategy.precision, "scaler", None)

    def _lr(self, phase: Phase) -> float:
        settings = self.algorithm.config.optimizer
        return settings.lr_discriminator if phase.judges and settings.lr_discriminator else settings.lr

    def _train_only(self, names: Sequence[str]) -> None:
        for name, network in self.modules.items():
            network.requires_grad_(name in names)

    def state_dict(self) -> State:
        """Return all that the next step depends on, but for the data."""
        return {
            "steps": self.steps,
            "guard": self.guard.state_dict(),
            "networks": {name: network.state_dict() for name, network in self.modules.items()},
            "optimizers": {name: optimizer.state_dict() for name, optimizer in self.optimizers.items()},
            "ema": self.ema.state_dict() if self.ema else None,
            "algorithm": self.algorithm.state_dict(),
            "precision": self.fabric.strategy.precision.state_dict(),
            "torch_rng": torch.get_rng_state(),
            "cuda_rng": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
            "mps_rng": torch.mps.get_rng_state() if torch.backends.mps.is_available() else None,
        }

    def load_state_dict(self, state: State) -> None:
        """Take up where `state_dict` left off."""
        self.steps = state["steps"]
        self.guard.load_state_dict(state["guard"])
        for name, network in self.modules.items():
            network.load_state_dict(state["networks"][name])
        for name, optimizer in self.optimizers.items():
            optimizer.load_state_dict(state["optimizers"][name])
        if self.ema:
            self.ema.load_state_dict(state["ema"])
        self.algorithm.load_state_dict(state["algorithm"])
        self.fabric.strategy.precision.load_state_dict(state["precision"])
        torch.set_rng_state(state["torch_rng"])
        if torch.cuda.is_available() and len(state["cuda_rng"]) == torch.cuda.device_count():
            torch.cuda.set_rng_state_all(state["cuda_rng"])
        if torch.backends.mps.is_available() and state["mps_rng"] is not None:
            torch.mps.set_rng_state(state["mps_rng"])
