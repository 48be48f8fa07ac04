"""A training from its first image to its last: steps, and on the way logs, samples, warnings and checkpoints."""

import contextlib
import sys
import time
from pathlib import Path

import torch
from torch import Tensor, nn

from i2i.algorithms import ALGORITHMS
from i2i.algorithms.base import Batch
from i2i.data.augment_batch import BatchAugment
from i2i.data.loader import batches
from i2i.data.sets import AUGMENT, derive_seed
from i2i.errors import NonFiniteError
from i2i.networks.layers import set_norm_statistics
from i2i.report import write_report
from i2i.settings import Config, by_direction
from i2i.spec import GENERATE
from i2i.training.alarms import Watch
from i2i.training.checkpoint import list_checkpoints
from i2i.training.engine import Stepper, make_fabric
from i2i.training.finetune import init_from
from i2i.training.log import MetricsLog, ProgressLine
from i2i.training.run import Run
from i2i.training.samples import sample

_ADVICE = "Train into another folder with a lower optimizer.lr, or with train.precision fp32."
_NAMED = 8  # files in a message before "and N more"


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
    source = run.config.train.init_from
    if source and not (resume and list_checkpoints(run.checkpoints)):  # before anything is written, since it may fail
        algorithm.notes += init_from(algorithm, source)
    state = run.prepare(resume)
    stepper = Stepper(fabric, algorithm)
    watch = Watch(run.config, draws_noise=GENERATE in algorithm.generators)
    if state:
        stepper.load_state_dict(state["stepper"])
        watch.load_state_dict(state["alarms"])
    images = state["images"] if state else 0
    if images < run.schedule.total_images:
        _loop(run, stepper, watch, images, state["seconds"] if state else 0.0)
    else:
        print(f"{run.folder} is already finished, after {images} images.", file=sys.stderr)
        if not run.model.exists():
            run.save_model(algorithm, stepper.model_networks, images)
    write_report(run.folder)
    return run.model


def _loop(run: Run, stepper: Stepper, watch: Watch, images: int, seconds: float) -> None:
    """Train from `images` seen to the end of the schedule, logging, sampling and saving on the way."""
    config, schedule, device = run.config, run.schedule, stepper.fabric.device
    augment = BatchAugment(config.data) if config.data.augment == "kornia" and not config.data.toy else None
    log, meter, started = MetricsLog(run.folder / "metrics.jsonl", images), Meter(), time.monotonic() - seconds

    def warn(warnings: list[str]) -> None:
        for text in warnings:
            progress.say(f"Warning: after {images} images {text}")
            log.warn(images, time.monotonic() - started, text)

    with ProgressLine(schedule.total_images, images) as progress:
        progress.say(f"{config.algorithm} on {run.data.what}, {device.type}, settings in {run.folder / 'config.yaml'}")
        if config.train.compile:
            progress.say(
                "train.compile: the first steps take a minute or two on a CPU, where the others gain a twentieth."
            )
        for note in (*stepper.algorithm.notes, run.data.note):
            if note:
                progress.say(note)
        if run.sample_split == "train previews":
            progress.say("There is no val split: previews show training pictures.")
        for sides in batches(run.data, config, images, schedule.total_images, device.type):
            batch = tuple(side.to(device, non_blocking=True) for side in sides)
            if augment is not None:
                batch = augment_batch(augment, batch, run.data.together, config, images)
            meter.add(_step(run, stepper, batch, images), len(batch[0]))
            before, images = images, images + len(batch[0])
            progress.advance(images)
            last = images == schedule.total_images
            if last or _crossed(before, images, config.log.every_images):
                speed, terms = meter.read()
                skipped = {"skipped_steps": stepper.guard.skipped_steps} if config.train.precision == "fp16" else {}
                log.write(images, time.monotonic() - started, "train", terms | skipped)
                progress.report(images, speed, terms)
                warn(watch.losses(stepper.steps, terms))
            sampling = last or _crossed(before, images, config.log.samples_every_images)
            saving = last or _crossed(before, images, config.log.checkpoint_every_images)
            if sampling or saving:
                _refuse_non_finite_weights(stepper.modules, images)
            if sampling:
                # Previews run as all inference does, uncompiled, and sizes that change would compile anew.
                with torch.compiler.set_stance("force_eager") if config.train.compile else contextlib.nullcontext():
                    scores = sample(run, stepper.algorithm, stepper.model_networks, images, str(device))
                log.write(images, time.monotonic() - started, run.sample_split, scores)
                warn(watch.samples(stepper.steps, scores))
                meter.restart_clock()
            if saving:
                state = {
                    "seconds": time.monotonic() - started,
                    "stepper": stepper.state_dict(),
                    "alarms": watch.state_dict(),
                }
                run.save(stepper.algorithm, stepper.model_networks, images, state)
                meter.restart_clock()


def augment_batch(augment: BatchAugment, batch: Batch, together: bool, config: Config, first_image: int) -> Batch:
    """Augment a batch on its device, drawing from the number of its first image.

    together: the sides are pairs and get one draw.
    """
    if together:
        direction, seed = config.data.direction, derive_seed(config.train.seed, AUGMENT, first_image)
        return by_direction(direction, *augment(by_direction(direction, *batch), seed))
    seeds = (derive_seed(config.train.seed, AUGMENT, 2 * first_image + side) for side in range(len(batch)))
    return tuple(augment((side,), seed)[0] for side, seed in zip(batch, seeds, strict=True))


def _crossed(before: int, after: int, every: int) -> bool:
    """Whether a multiple of `every` lies in (before, after]."""
    return after // every > before // every


def _step(run: Run, stepper: Stepper, batch: Batch, images: int) -> dict[str, Tensor]:
    """Make the step on the batch behind `images`; where it stops, say what it was learning from."""
    try:
        return stepper.step(batch, run.schedule.factor(images))
    except NonFiniteError as error:
        numbers = range(images, images + len(batch[0]))
        files = [str(file) for number in numbers for file in run.data.files(number)]
        more = f" and {len(files) - _NAMED} more" if len(files) > _NAMED else ""
        seen = f" It saw {', '.join(files[:_NAMED])}{more}." if files else ""
        raise NonFiniteError(
            f"Step {stepper.steps + 1}, images {numbers[0] + 1} to {numbers[-1] + 1}: {error}. It stopped before the "
            f"update, and the newest checkpoint is from before.{seen}\n{_ADVICE}"
        ) from error


def _refuse_non_finite_weights(modules: dict[str, nn.Module], images: int) -> None:
    """Check what is about to be saved: an update can break weights before any loss shows it."""
    broken = [name for name, network in modules.items() if not all(t.isfinite().all() for t in network.parameters())]
    if broken:
        raise NonFiniteError(
            f"After {images} images a weight of {' and '.join(broken)} is no number any more; the newest checkpoint is "
            f"from before.\n{_ADVICE}"
        )
