"""One training step, on Lightning Fabric: any algorithm, any device.

Only this file calls backward, step and requires_grad. What trains when is the algorithm's to say
(`phases`); what a step costs is ours: the generators run forward once, and no gradient is computed
that no optimizer uses.
"""

import logging
import warnings
from collections.abc import Sequence

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from i2i.algorithms import Algorithm
from i2i.algorithms.base import Batch, Phase
from i2i.errors import ConfigError
from i2i.runtime.backends import torch_device
from i2i.settings import Config
from i2i.training.checkpoint import State
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
    return Fabric(accelerator=device, devices=1, precision=PRECISIONS[precision])


class Stepper:
    """An algorithm on its device with its optimizers: what one training step needs."""

    def __init__(self, fabric: Fabric, algorithm: Algorithm):
        self.fabric = fabric
        self.algorithm = algorithm
        # The bare networks; in algorithm.networks their wrappers take their place.
        self.modules: dict[str, nn.Module] = dict(algorithm.networks)
        self.steps = 0
        self.layout = torch.channels_last if algorithm.config.train.channels_last else torch.contiguous_format
        for name, network in self.modules.items():
            algorithm.networks[name] = fabric.setup_module(network.to(memory_format=self.layout))
        self.optimizers = {}
        for phase in algorithm.phases:
            optimizer = make_optimizer((self.modules[name] for name in phase.trains), algorithm.config.optimizer)
            self.optimizers[phase.name] = fabric.setup_optimizers(optimizer)

    def step(self, batch: Batch, rate_factor: float = 1.0) -> dict[str, Tensor]:
        """Train on one batch; return the loss terms, detached and without their weights."""
        due = [phase for phase in self.algorithm.phases if (self.steps + 1) % phase.every_steps == 0]
        self._train_only([name for phase in due for name in phase.trains])
        batch = tuple(side.contiguous(memory_format=self.layout) if side.dim() == 4 else side for side in batch)
        outputs = self.algorithm.forward(batch)
        logged: dict[str, Tensor] = {}
        for phase in due:
            self._train_only(phase.trains)
            terms = self.algorithm.losses(phase.name, batch, outputs)
            optimizer = self.optimizers[phase.name]
            set_rate(optimizer, self._lr(phase) * rate_factor)
            optimizer.zero_grad(set_to_none=True)
            weights = self.algorithm.weights
            self.fabric.backward(sum(weights[name] * term for name, term in terms.items() if name in weights))
            logged |= {name: term.detach() for name, term in terms.items()}
            logged |= {f"grad.{name}": self._gradient_norm(name) for name in phase.trains}
            optimizer.step()
        self.steps += 1
        return logged

    def _lr(self, phase: Phase) -> float:
        settings = self.algorithm.config.optimizer
        return settings.lr_discriminator if phase.judges and settings.lr_discriminator else settings.lr

    def _gradient_norm(self, name: str) -> Tensor:
        """Return the 2-norm of a network's gradient, without the scale of mixed fp16."""
        gradients = [parameter.grad for parameter in self.modules[name].parameters() if parameter.grad is not None]
        scaler = getattr(self.fabric.strategy.precision, "scaler", None)
        return torch.nn.utils.get_total_norm(gradients) / (scaler.get_scale() if scaler else 1.0)

    def _train_only(self, names: Sequence[str]) -> None:
        for name, network in self.modules.items():
            network.requires_grad_(name in names)

    def state_dict(self) -> State:
        """Return all that the next step depends on, but for the data."""
        return {
            "steps": self.steps,
            "networks": {name: network.state_dict() for name, network in self.modules.items()},
            "optimizers": {name: optimizer.state_dict() for name, optimizer in self.optimizers.items()},
            "algorithm": self.algorithm.state_dict(),
            "precision": self.fabric.strategy.precision.state_dict(),
            "torch_rng": torch.get_rng_state(),
            "cuda_rng": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
            "mps_rng": torch.mps.get_rng_state() if torch.backends.mps.is_available() else None,
        }

    def load_state_dict(self, state: State) -> None:
        """Take up where `state_dict` left off."""
        self.steps = state["steps"]
        for name, network in self.modules.items():
            network.load_state_dict(state["networks"][name])
        for name, optimizer in self.optimizers.items():
            optimizer.load_state_dict(state["optimizers"][name])
        self.algorithm.load_state_dict(state["algorithm"])
        self.fabric.strategy.precision.load_state_dict(state["precision"])
        torch.set_rng_state(state["torch_rng"])
        if torch.cuda.is_available() and len(state["cuda_rng"]) == torch.cuda.device_count():
            torch.cuda.set_rng_state_all(state["cuda_rng"])
        if torch.backends.mps.is_available() and state["mps_rng"] is not None:
            torch.mps.set_rng_state(state["mps_rng"])
