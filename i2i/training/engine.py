"""The training loop, on Lightning Fabric: any algorithm, any device, one loop.

Only this file calls backward, step and requires_grad. What trains when is the algorithm's to say
(`phases`); what a step costs is ours: the generators run forward once, and no gradient is computed
that no optimizer uses.
"""

import logging
import math
import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from i2i.algorithms import ALGORITHMS, Algorithm
from i2i.algorithms.base import Batch
from i2i.data.augment_batch import BatchAugment
from i2i.data.loader import AUGMENT, batches, derive_seed
from i2i.errors import ConfigError, NonFiniteError
from i2i.networks.layers import set_norm_statistics
from i2i.report import write_report
from i2i.runtime.backends import torch_device
from i2i.settings import Config, by_direction
from i2i.training.checkpoint import State
from i2i.training.log import MetricsLog, ProgressLine
from i2i.training.optim import make_optimizer, set_rate
from i2i.training.run import Run

PRECISIONS = {"fp32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}


class Stepper:
    """An algorithm on its device with its optimizers: what one training step needs."""

    def __init__(self, fabric: Fabric, algorithm: Algorithm):
        self.fabric = fabric
        self.algorithm = algorithm
        # The bare networks; in algorithm.networks their wrappers take their place.
        self.modules: dict[str, nn.Module] = dict(algorithm.networks)
        self.lr = algorithm.config.optimizer.lr
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
        due = [phase for phase in self.algorithm.phases if self.steps % phase.every_steps == 0]
        self._train_only([name for phase in due for name in phase.trains])
        batch = Batch(*(side.contiguous(memory_format=self.layout) for side in batch))
        outputs = self.algorithm.forward(batch)
        logged: dict[str, Tensor] = {}
        for phase in due:
            self._train_only(phase.trains)
            terms = self.algorithm.losses(phase.name, batch, outputs)
            optimizer = self.optimizers[phase.name]
            set_rate(optimizer, self.lr * rate_factor)
            optimizer.zero_grad(set_to_none=True)
            self.fabric.backward(sum(self.algorithm.weights[name] * term for name, term in terms.items()))
            optimizer.step()
            logged |= {name: term.detach() for name, term in terms.items()}
        self.steps += 1
        return logged

    def _train_only(self, names: Sequence[str]) -> None:
        for name, network in self.modules.items():
            network.requires_grad_(name in names)

    def state_dict(self) -> State:
        """Return all that the next step depends on, but for the data."""
        return {
            "steps": self.steps,
            "networks": {name: network.state_dict() for name, network in self.modules.items()},
            "optimizers": {name: optimizer.state_dict() for name, optimizer in self.optimizers.items()},
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
        self.fabric.strategy.precision.load_state_dict(state["precision"])
        torch.set_rng_state(state["torch_rng"])
        if torch.cuda.is_available() and len(state["cuda_rng"]) == torch.cuda.device_count():
            torch.cuda.set_rng_state_all(state["cuda_rng"])
        if torch.backends.mps.is_available() and state["mps_rng"] is not None:
            torch.mps.set_rng_state(state["mps_rng"])


class Meter:
    """Means of the loss terms, and the speed, since they were last read."""

    def __init__(self) -> None:
        self.sums: dict[str, Tensor] = {}
        self.counts: dict[str, int] = {}
        self.restart_clock()

    def add(self, terms: dict[str, Tensor], images: int) -> None:
        """Count one step; terms stay on the device, so that no step waits for it."""
        for name, term in terms.items():
            self.sums[name] = self.sums[name] + term if name in self.sums else term
            self.counts[name] = self.counts.get(name, 0) + 1
        self.images += images

    def read(self) -> tuple[float, dict[str, float]]:
        """Return (images a second, mean of each term) and start anew."""
        means = {name: float(total) / self.counts[name] for name, total in self.sums.items()}
        speed = self.images / max(time.monotonic() - self.started, 1e-9)
        self.sums, self.counts = {}, {}
        self.restart_clock()
        return speed, means

    def restart_clock(self) -> None:
        """Leave what happened since the last reading out of the speed."""
        self.started, self.images = time.monotonic(), 0


def train(config: Config, out: str | Path, resume: bool = False) -> Path:
    """Train as `config` says into the run folder `out`; return the model file.

    resume: go on from the newest checkpoint in `out`. Raises I2IError: what is wrong with settings, data
    and folder before anything is written; NonFiniteError when the losses leave the numbers.
    """
    run = Run(config, Path(out))
    fabric = make_fabric(run.config)
    torch.manual_seed(run.config.train.seed)
    algorithm = ALGORITHMS[run.config.algorithm](run.config)
    for network in algorithm.networks.values():
        set_norm_statistics(network, run.norm_statistics)
    state = run.prepare(resume)
    stepper = Stepper(fabric, algorithm)
    if state:
        stepper.load_state_dict(state["stepper"])
    images = state["images"] if state else 0
    if images < run.schedule.total_images:
        _loop(run, stepper, images, state["seconds"] if state else 0.0)
    else:
        print(f"{run.folder} is already finished, after {images} images.", file=sys.stderr)
        if not run.model.exists():
            run.save_model(algorithm, stepper.modules, images)
    write_report(run.folder)
    return run.model


def make_fabric(config: Config) -> Fabric:
    """Return Fabric for the device and precision of the config; raises UsageError for what is not there."""
    device, precision = torch_device(config.train.device), config.train.precision
    if precision == "fp16" and device == "cpu":
        raise ConfigError("train.precision is fp16, which a CPU does not train in. Use fp32 or bf16.")
    # Fabric advises on things that are settled here.
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module="lightning_fabric.*")
    return Fabric(accelerator=device, devices=1, precision=PRECISIONS[precision])


def _loop(run: Run, stepper: Stepper, images: int, seconds: float) -> None:
    """Train from `images` seen to the end of the schedule, logging, sampling and saving on the way."""
    config, schedule, device = run.config, run.schedule, stepper.fabric.device
    augment = BatchAugment(config.data) if config.data.augment == "kornia" else None
    log, meter, started = MetricsLog(run.folder / "metrics.jsonl", images), Meter(), time.monotonic() - seconds
    with ProgressLine(schedule.total_images, images) as progress:
        progress.say(
            f"{config.algorithm} on {len(run.pairs)} pairs, {device.type}, settings in {run.folder / 'config.yaml'}"
        )
        if run.preview_split != "val":
            progress.say(f"There is no val split: previews show {len(run.preview_pairs)} training pictures.")
        for a, b in batches(run.pairs, config, images, schedule.total_images, device.type):
            batch = Batch(a.to(device, non_blocking=True), b.to(device, non_blocking=True))
            if augment is not None:
                batch = augment_batch(augment, batch, config, images)
            meter.add(stepper.step(batch, schedule.factor(images)), len(a))
            before, images = images, images + len(a)
            progress.advance(images)
            last = images == schedule.total_images
            if last or _crossed(before, images, config.log.every_images):
                speed, losses = meter.read()
                _refuse_non_finite(losses, images)
                log.write(images, time.monotonic() - started, "train", losses)
                progress.report(images, speed, losses)
            if last or _crossed(before, images, config.log.samples_every_images):
                scores = run.sample(stepper.algorithm, stepper.modules, images, str(device))
                log.write(images, time.monotonic() - started, f"{run.preview_split} previews", scores)
                meter.restart_clock()
            if last or _crossed(before, images, config.log.checkpoint_every_images):
                _refuse_non_finite_weights(stepper.modules, images)
                state = {"seconds": time.monotonic() - started, "stepper": stepper.state_dict()}
                run.save(stepper.algorithm, stepper.modules, images, state)
                meter.restart_clock()


def augment_batch(augment: BatchAugment, batch: Batch, config: Config, first_image: int) -> Batch:
    """Augment a batch on its device, drawing from the number of its first image."""
    seed = derive_seed(config.train.seed, AUGMENT, first_image)
    direction = config.data.direction
    return Batch(*by_direction(direction, *augment(*by_direction(direction, *batch), seed)))


def _crossed(before: int, after: int, every: int) -> bool:
    """Whether a multiple of `every` lies in (before, after]."""
    return after // every > before // every


def _refuse_non_finite(losses: dict[str, float], images: int) -> None:
    _stop_if([name for name, value in losses.items() if not math.isfinite(value)], images)


def _refuse_non_finite_weights(modules: dict[str, nn.Module], images: int) -> None:
    """Check what is about to be saved: an update can break weights before any loss shows it."""
    broken = [name for name, network in modules.items() if not all(t.isfinite().all() for t in network.parameters())]
    _stop_if([f"a weight of the {name}" for name in broken], images)


def _stop_if(broken: list[str], images: int) -> None:
    if broken:
        raise NonFiniteError(
            f"After {images} images {', '.join(broken)} is no number any more; the newest checkpoint is from before.\n"
            "Train into another folder with a lower optimizer.lr, or with train.precision fp32."
        )
