"""One train step, on Lightning Fabric: any algorithm, any device.

Only this file calls backward, step and requires_grad. The algorithm says what trains when (`phases`).
The engine keeps a step cheap: the generators run forward once, and no gradient is computed that no
optimizer uses.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from i2i.algorithms import Algorithm
from i2i.algorithms.base import Batch, Outputs
from i2i.algorithms.phases import Phase
from i2i.config.optimizers import OptimizerSettings
from i2i.data.seeds import RANKS, derive_seed
from i2i.networks.parallel import apart, run
from i2i.training import ranks
from i2i.training.checkpoint import State
from i2i.training.ema import Ema
from i2i.training.fabric import memory_format, place_networks, wrap_forward
from i2i.training.finite_check import FiniteCheck, any_non_finite
from i2i.training.graphs import WARM_UP, Compute, StepGraphs, records_steps
from i2i.training.optim import gradient_norm, load_optimizer, make_optimizer, set_decay, set_rate


class Engine:
    """An algorithm on its device with its optimizers: all that a train step needs."""

    def __init__(self, fabric: Fabric, algorithm: Algorithm):
        self.fabric, self.algorithm = fabric, algorithm
        algorithm.halves = algorithm.halves if fabric.device.type == "cpu" else ()
        self.networks: dict[str, nn.Module] = algorithm.networks
        self.settings, self.steps, self.stage = algorithm.config.train, 0, algorithm.stage
        self.finite_check = FiniteCheck()
        self.layout = memory_format(fabric, self.settings)
        placed = self.networks | algorithm.load_frozen()
        place_networks(fabric, placed, self.settings)
        ranks.broadcast_networks(list(self.networks.values()))
        generators = {name: self.networks[name] for name in algorithm.generators.values()}
        half_life = self.settings.ema_half_life_images
        self.ema = Ema(generators, half_life) if half_life else None
        for name, network in placed.items():
            wrap_forward(fabric, network, self.settings, is_generator=name in generators)
        graphs = records_steps(algorithm, fabric.device)
        self.warm_up_steps = WARM_UP + 1 if graphs else 1  # until a step takes its usual time
        self._run: Compute = StepGraphs(self._compute) if graphs else self._compute
        self.optimizers = make_optimizers(fabric, algorithm, capturable=graphs)
        if fabric.global_rank:  # its own noise and dropout; rank 0 draws as a single process would
            torch.manual_seed(derive_seed(self.settings.seed, RANKS, fabric.global_rank))
        algorithm.reseed(fabric.global_rank)

    @property
    def model_networks(self) -> dict[str, nn.Module]:
        """The networks that the model file will hold: where there is an EMA, the averaged generators."""
        return self.networks | (self.ema.networks if self.ema else {})

    def train_step(self, batch: Batch, rate_factor: float = 1.0, images: int | None = None) -> dict[str, Tensor]:
        """Train on one batch, all micro-batches of it; return the loss terms, detached and without their weights.

        images: of all ranks in this step, dealt in turn; None: as many on each rank as here. The terms are means over
        all images, the same on all ranks. The result also has "grad.<network>", the 2-norm of its gradient before any
        clipping, and "grad.<network>.<phase>" for a phase that uses another's optimizer. Raises NonFiniteError when a
        value is NaN or infinite; then nothing is updated from that phase on.
        """
        due = tuple(phase for phase in self.algorithm.phases if phase.is_due(self.steps + 1))
        self.stage = start_afresh(self.optimizers, self.stage, self.algorithm.stage)
        images = images or batch_size(batch) * self.fabric.world_size
        for phase in due:
            set_rate(self._optimizer(phase), rate_factor * learning_rate(phase, self.algorithm.config.optimizer))
            set_decay(self._optimizer(phase), self.algorithm.config.optimizer, self.algorithm.images)
        logged = self._run(batch, due, images, self.algorithm.weights())
        logged = self.finite_check.check(logged, scaled=self._scaler is not None)
        self.steps += 1
        if self.ema:
            self.ema.update(self.networks, images)
        return logged

    def _compute(
        self, batch: Batch, due: Sequence[Phase], images: int, weights: Mapping[str, float]
    ) -> dict[str, Tensor]:
        """Train the phases that are due; return the scalars to log. It never waits for the device."""
        self._train_only([name for phase in due for name in phase.trains])
        fabric, whole = self.fabric, {name: in_format(tensor, self.layout) for name, tensor in batch.items()}
        size = self.algorithm.batch_at(self.algorithm.images)
        micro_batches = split_batch(whole, size, images, fabric.global_rank, fabric.world_size)
        outputs = [self.algorithm.forward(part) for part, _ in micro_batches]
        logged: dict[str, Tensor] = {}
        for phase in due:
            self._train_only(phase.trains)
            self._optimizer(phase).zero_grad(set_to_none=True)
            terms: dict[str, Tensor] = {}
            for (part, share), output in zip(micro_batches, outputs, strict=True):
                for name, term in self._backward(phase, part, output, share, weights).items():
                    terms[name] = terms[name] + term if name in terms else term
            ranks.all_reduce_mean([*gradients(self.networks[name] for name in phase.trains), *terms.values()])
            logged |= terms
            self._update(phase, logged)
        return logged

    def _backward(
        self, phase: Phase, batch: Batch, outputs: Outputs, share: float, weights: Mapping[str, float]
    ) -> dict[str, Tensor]:
        """Add a phase's gradient on a micro-batch, times its share; return the terms times the share."""
        terms = self.algorithm.losses(phase.name, batch, outputs)
        weighted = {name: share * weights[name] * term for name, term in terms.items() if name in weights}
        run([partial(self.fabric.backward, sum(part)) for part in apart(weighted, self.algorithm.halves)])
        return {name: share * term.detach() for name, term in terms.items()}

    def _update(self, phase: Phase, logged: dict[str, Tensor]) -> None:
        """Update the networks of a phase, unless this step met NaN or infinity; log the norms of their gradients."""
        optimizer, clip_norm = self._optimizer(phase), self.algorithm.config.optimizer.clip_norm
        if self._scaler is not None:
            self._scaler.unscale_(optimizer.optimizer)
        for name in phase.trains:
            norm = gradient_norm(gradients([self.networks[name]]))
            logged[f"grad.{name}.{phase.name}" if phase.optimizer else f"grad.{name}"] = norm
            if clip_norm is not None:
                torch.nn.utils.clip_grads_with_norm_(self.networks[name].parameters(), clip_norm, norm)
        if self._scaler is None:  # which sets the same; optimizers read it without waiting for the device
            optimizer.optimizer.found_inf = any_non_finite(logged)
        optimizer.step()

    @property
    def _scaler(self) -> Any:
        """The gradient scaler of mixed fp16, or None."""
        return getattr(self.fabric.strategy.precision, "scaler", None)

    def _optimizer(self, phase: Phase) -> Any:
        return self.optimizers[phase.optimizer or phase.name]

    def _train_only(self, names: Sequence[str]) -> None:
        for name, network in self.networks.items():
            network.requires_grad_(name in names)

    def state_dict(self) -> State:
        """Return all that the next step depends on, except the data. Every rank must call it; all get the same.

        What differs between ranks is under "ranks", one entry each; networks and optimizers do not.
        """
        own = {"algorithm": self.algorithm.state_dict(), **rng_state(self.fabric.device)}
        return {
            "steps": self.steps,
            "stage": self.stage,
            "guard": self.finite_check.state_dict(),
            "networks": {name: network.state_dict() for name, network in self.networks.items()},
            "optimizers": {name: optimizer.state_dict() for name, optimizer in self.optimizers.items()},
            "ema": self.ema.state_dict() if self.ema else None,
            "precision": self.fabric.strategy.precision.state_dict(),
            "ranks": ranks.all_gather(own),
        }

    def load_state_dict(self, state: State) -> None:
        """Restore what `state_dict` returned.

        With more ranks than then, the new ones start with their own draws and algorithm state; with fewer,
        those of the last ranks are lost.
        """
        if isinstance(self._run, StepGraphs):
            self._run.forget()  # the moments below get memory of their own
        self.steps, self.stage = state["steps"], state.get("stage", 0)
        self.finite_check.load_state_dict(state["guard"])
        for name, network in self.networks.items():
            network.load_state_dict(state["networks"][name])
        for name, optimizer in self.optimizers.items():
            load_optimizer(optimizer, state["optimizers"][name], self.algorithm.config.optimizer.name)
        if self.ema and state["ema"]:
            self.ema.load_state_dict(state["ema"])
        elif self.ema:  # switched on only now
            self.ema.restart_from(self.networks)
        if state["precision"]:  # the scale of fp16; after another precision it starts again
            self.fabric.strategy.precision.load_state_dict(state["precision"])
        if self.fabric.global_rank < len(state["ranks"]):
            own = state["ranks"][self.fabric.global_rank]
            self.algorithm.load_state_dict(own["algorithm"])
            set_rng_state(self.fabric.device, own)


def make_optimizers(fabric: Fabric, algorithm: Algorithm, capturable: bool) -> dict[str, Any]:
    """Return the optimizer of each phase that has its own, set up by Fabric; capturable: see `make_optimizer`.

    Adversaries look at that of their network, from whose moments unrolling goes on.
    """
    optimizers = {}
    for phase in algorithm.phases:
        if not phase.optimizer:
            trained = [algorithm.networks[name] for name in phase.trains]
            optimizer = make_optimizer(trained, algorithm.config.optimizer, capturable)
            optimizers[phase.name] = fabric.setup_optimizers(optimizer)
            for adversary in algorithm.adversaries.values():
                if adversary.name in phase.trains:
                    adversary.optimizer = optimizer
    return optimizers


def start_afresh(optimizers: Mapping[str, Any], last: int, stage: int) -> int:
    """Forget the moments of optimizers where a training enters another stage than its last; return the stage."""
    if last != stage:
        for optimizer in optimizers.values():
            optimizer.optimizer.state.clear()
    return stage


def split_batch(batch: Batch, size: int, images: int, rank: int, world_size: int) -> list[tuple[Batch, float]]:
    """Split a rank's batch into micro-batches of up to `size` images, which go through the networks at once.

    Each comes with its share: its images divided by the mean number of images of a rank in this step, in which
    all ranks together have `images`. All ranks take the same number of micro-batches, since networks may wait
    for each other in them; where one is missing, the first is repeated with a share of 0.
    """
    slices = [slice(first, first + size) for first in range(0, batch_size(batch), size)]
    parts = [{name: tensor[one] for name, tensor in batch.items()} for one in slices]
    shares = [batch_size(part) * world_size / images if rank < images else 0.0 for part in parts]
    missing = -(-images // (world_size * size)) - len(parts)
    return [*zip(parts, shares, strict=True), *[(parts[0], 0.0)] * missing]


def rng_state(device: torch.device) -> State:
    """Return the states of torch's random number generators: the CPU's and, if it is another, the device's."""
    return {
        "torch_rng": torch.get_rng_state(),
        "cuda_rng": torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
        "mps_rng": torch.mps.get_rng_state() if device.type == "mps" else None,
    }


def set_rng_state(device: torch.device, state: State) -> None:
    """Restore what `rng_state` returned; a device that had no generator then keeps its own state."""
    torch.set_rng_state(state["torch_rng"])
    if device.type == "cuda" and state["cuda_rng"] is not None:
        torch.cuda.set_rng_state(state["cuda_rng"], device)
    if device.type == "mps" and state["mps_rng"] is not None:
        torch.mps.set_rng_state(state["mps_rng"])


def learning_rate(phase: Phase, settings: OptimizerSettings) -> float:
    """Return the learning rate of a phase before any decay."""
    return settings.lr_discriminator or settings.lr if phase.role == "discriminator" else settings.lr


def gradients(networks: Iterable[nn.Module]) -> list[Tensor]:
    """Return the gradients that the parameters of networks have."""
    parameters = (parameter for network in networks for parameter in network.parameters())
    return [parameter.grad for parameter in parameters if parameter.grad is not None]


def in_format(tensor: Tensor, layout: torch.memory_format) -> Tensor:
    """Return images (N, C, H, W) in a memory format; other tensors as they are."""
    return tensor.contiguous(memory_format=layout) if tensor.dim() == 4 else tensor


def batch_size(batch: Batch) -> int:
    """Return the number of images in a batch."""
    return len(next(iter(batch.values())))
