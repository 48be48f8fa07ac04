"""A training from its first image to its last: train steps, and in between logs, validation and checkpoints."""

import contextlib
import time
from collections import ChainMap
from collections.abc import Generator, Iterator

import torch
from torch import Tensor

from i2i.algorithms.base import Batch
from i2i.data.augment_batch import BatchAugment, augment_batch
from i2i.data.broken import BrokenPictures
from i2i.data.loader import batches
from i2i.data.training_set import Loaded
from i2i.errors import DataError, LoaderError, NonFiniteError, Stopped
from i2i.models.spec import GENERATE
from i2i.training import ranks
from i2i.training.checkpoint import State, checkpoint_path
from i2i.training.diagnostics import Diagnostics, SpeedCheck
from i2i.training.engine import Engine
from i2i.training.finite_check import broken_weights, find_source, non_finite_networks
from i2i.training.log import Meter
from i2i.training.reporter import Reporter
from i2i.training.run import Run
from i2i.training.signals import Stop
from i2i.training.validation import Validation
from i2i.training.waiting import Waiting
from i2i.words import and_more, show_count

_ADVICE = (
    "Start again with a lower optimizer.lr or with train.precision fp32, or go on with such a change by --resume "
    "--allow-config-change."
)
_NAMED = 8  # files in a message before "and N more"

# What a rank has for its next step; the largest of all ranks counts.
_READY, _NEWS, _WAITING, _FAILED, _ENOUGH = range(5)


class Training:
    """A run under way: its state, the loop over batches, and what is due after each step."""

    def __init__(self, run: Run, engine: Engine):
        self.run, self.engine = run, engine
        fabric, data = engine.fabric, run.config.data
        self.reporter = Reporter(run, fabric.is_global_zero)
        self.diagnostics = Diagnostics(run.config, draws_noise=GENERATE in engine.algorithm.generators)
        self.validation = Validation(run, engine, self.diagnostics, self.reporter)
        self.speed_check = SpeedCheck(torch.get_num_threads() if fabric.device.type == "cpu" else 1)
        self.waiting = Waiting(torch.get_num_threads() if fabric.device.type == "cpu" else 1)
        self.meter = Meter()
        self.broken = BrokenPictures(run.data)
        self.augment = BatchAugment(data) if data.augment == "kornia" and not data.toy else None
        self.images = 0
        self.saved_images = 0
        self.unscored = False  # a stop cut the scoring of val short: it is repeated before the next step
        self.is_enough = False  # train.patience_images is over

    def state_dict(self) -> State:
        """Return all that the rest of the training depends on; every rank must call it."""
        return {
            "images": self.images,
            "seconds": self.reporter.seconds,
            "stepper": self.engine.state_dict(),
            "alarms": self.diagnostics.state_dict(),
            "meter": self.meter.state_dict(),
            "broken": self.broken.state_dict(),
            "unscored": self.unscored,
            "scoring_s": self.validation.scoring_s,
        }

    def load_state_dict(self, state: State) -> None:
        """Restore what `state_dict` returned."""
        self.images = self.saved_images = state["images"]
        self.reporter.set_clock(state["seconds"])
        self.engine.load_state_dict(state["stepper"])
        self.diagnostics.load_state_dict(state["alarms"])
        self.meter.load_state_dict(state["meter"])
        self.broken.load_state_dict(state["broken"])
        self.unscored = state.get("unscored", False)
        self.validation.scoring_s = state.get("scoring_s", 0.0)

    def train_to_end(self, stop: Stop) -> None:
        """Train to the end of the schedule, logging, validating and saving on the way.

        Raises Stopped when asked to stop, LoaderError and DataError without more pictures, all with a checkpoint.
        """
        run, fabric, self.stop = self.run, self.engine.fabric, stop
        device, rank, world_size = fabric.device.type, fabric.global_rank, fabric.world_size
        with self.reporter.open(self.images), contextlib.closing(self.waiting):
            for line in introduction(run, self.engine, self.images):
                self.reporter.progress.say(line)
            self.validation.tell_cost()
            total, size = run.schedule.total_images, self._step_images
            loader = batches(run.data, run.config, self.images, total, device, rank, world_size, size)
            try:
                if self.unscored:
                    stop.hold()
                    self._validate()
                    self._save()
                for loaded in () if self.is_enough else agreed_batches(loader, stop):
                    self._advance(loaded)
                    if self.is_enough:
                        break
                stop.hold()  # all is trained and saved: what is left is finished
            except Stopped as stopped:
                stop.hold()
                self._save_and_close(loader)
                raise Stopped(stopped.signum, self.images) from None
            except NonFiniteError as error:
                self.reporter.note_non_finite(self.images, error)
                raise
            except (DataError, LoaderError) as error:
                stop.hold()
                self._save_and_close(loader)
                trained = show_count(self.images, "image")
                saved = f"{self.saved_images:,} of {trained} of training are saved; --resume goes on there."
                raise type(error)(f"{error}\n{saved}" if self.saved_images else str(error)) from error
            finally:
                loader.close()

    def _step_images(self, images: int) -> int:
        """Return how many images of each device the step after `images` takes."""
        return self.engine.algorithm.batch_at(images) * self.run.config.train.accumulate

    def _advance(self, loaded: Loaded) -> None:
        """Train on a batch, then log, validate and save, each where it is due."""
        config, schedule, before = self.run.config.log, self.run.schedule, self.images
        broken = self.broken.add(loaded.broken)
        fabric = self.engine.fabric
        batch: Batch = {name: one.to(fabric.device, non_blocking=True) for name, one in loaded.batch.items()}
        if self.augment is not None:
            batch = augment_batch(self.augment, batch, self.run.data, self.run.config, before + fabric.global_rank)
        after = min(before + self._step_images(before) * fabric.world_size, schedule.total_images)
        began = time.monotonic()
        self.meter.add(_train_step(self.run, self.engine, batch, range(before, after), self.saved_images))
        slow = self.speed_check.add(after - before, time.monotonic() - began)
        self.waiting.look()
        self.images = after
        self.reporter.progress.advance(self.images)
        # With this step's count, since a run that is killed before it is saved names broken files again.
        self.reporter.warn(self.images, [*broken, *slow])
        last = self.images == schedule.total_images
        if last or _crossed(before, self.images, config.every_images):
            self._log()
        if last or _crossed(before, self.images, config.samples_every_images):
            self._validate()
        if last or self.is_enough or _crossed(before, self.images, config.checkpoint_every_images):
            self._save()

    def _log(self) -> None:
        terms = self.meter.read()
        fp16 = self.run.config.train.precision == "fp16"
        skipped = {"skipped_steps": self.engine.finite_check.skipped_steps} if fp16 else {}
        self.reporter.write(self.images, "train", terms | skipped)
        self.reporter.progress.report(terms)
        self.reporter.warn(self.images, self.diagnostics.check_losses(self.engine.steps, terms))

    def _validate(self) -> None:
        """Validate on rank 0; with train.keep best, the other ranks wait, and all listen for a stop."""
        _refuse_non_finite_weights(self)
        if self.run.config.train.keep != "best":
            if self.reporter.is_rank_0:
                self.validation.validate(self.images, listen=lambda: None)
            return
        self.unscored = True
        with contextlib.suppress(Stopped):  # on all ranks at once; it is raised again before the next step
            if self.reporter.is_rank_0:
                self.validation.validate(self.images, listen=lambda: self.stop.agree(_WAITING))
            self.unscored = False
            while (agreed := self.stop.agree(_ENOUGH if self.run.is_out_of_patience else _READY)) == _WAITING:
                continue
            self.is_enough = agreed == _ENOUGH

    def _save(self) -> None:
        _refuse_non_finite_weights(self)
        state = self.state_dict()
        with self.reporter.progress.busy("saving"):
            if self.reporter.is_rank_0:
                self.run.save(self.engine.algorithm, self.engine.model_networks, state)
            ranks.barrier()  # what follows a save, as the end of a process, must not overtake it
        self.saved_images = self.images

    def _save_and_close(self, loader: Generator[Loaded | None, None, None]) -> None:
        """Save what was trained since the newest checkpoint, and end the loading on all ranks."""
        if self.images > self.saved_images:
            self._save()
        loader.close()  # after the save, since it waits for threads in the middle of a read
        ranks.barrier()  # a rank that rank 0 has left would report the error a second time


def _refuse_non_finite_weights(training: Training) -> None:
    """Check what is about to be saved: an update can break weights before any loss shows it."""
    networks = training.engine.networks
    if broken := non_finite_networks(networks):
        raise NonFiniteError(
            f"After {show_count(training.images, 'image')}, a weight of {' and '.join(broken)} is not finite; "
            f"{_newest(training.saved_images)}.\n{_ADVICE}",
            broken_weights({name: networks[name].state_dict() for name in broken})[0],
        )


def agreed_batches(loader: Generator[Loaded | None, None, None], stop: Stop) -> Iterator[Loaded]:
    """Yield each batch once every rank has its own, with what any of them found broken in theirs.

    What ends the training on one rank, a signal or missing pictures, ends it here on all, between the same
    two steps, so that they can save together.
    """
    loaded: Loaded | None = None
    error: DataError | LoaderError | None = None
    stop.release()
    while True:
        try:
            loaded = loaded or next(loader)
        except StopIteration:  # on all at once: they have the same number of batches
            return
        except (DataError, LoaderError) as raised:
            error = raised
        own = _FAILED if error else _WAITING if loaded is None else _NEWS if loaded.broken else _READY
        state = stop.agree(own)
        if state == _FAILED:
            raise ranks.first_error(error)
        if state == _WAITING or loaded is None:
            continue
        if state == _NEWS:
            loaded = loaded._replace(broken=dict(ChainMap(*ranks.all_gather(dict(loaded.broken)))))
        stop.hold()
        yield loaded
        loaded = None
        stop.release()


def introduction(run: Run, engine: Engine, images: int) -> Iterator[str]:
    """Yield what the user should know before the first step, a line each."""
    if images:
        path = checkpoint_path(run.checkpoints, images)
        yield f"Going on after {images:,} of {show_count(run.schedule.total_images, 'image')}, from {path}"
    world_size, device = engine.fabric.world_size, engine.fabric.device.type
    device = f"{world_size} x {device}" if world_size > 1 else device
    yield f"{run.config.algorithm} on {run.data.what}, {device}, settings in {run.settings_file}"
    if run.config.train.compile:
        yield "train.compile: on a CPU, the first steps take a minute or two; later ones are about a twentieth faster."
    yield from engine.algorithm.notes
    yield from run.data.notes
    if run.sample_split == "train previews":
        yield "There is no val split: previews show training pictures."


def _crossed(before: int, after: int, every: int) -> bool:
    """Whether a multiple of `every` lies in (before, after]."""
    return after // every > before // every


def _train_step(run: Run, engine: Engine, batch: Batch, numbers: range, saved_images: int) -> dict[str, Tensor]:
    """Take the train step on image `numbers`, of which `batch` is this rank's share; name its files if it fails."""
    try:
        engine.algorithm.begin(numbers[0], run.schedule.total_images)
        return engine.train_step(batch, run.schedule.factor(numbers[0]), len(numbers))
    except NonFiniteError as error:
        files = [str(file) for number in numbers for file in run.data.files(number)]
        seen = f" It saw {and_more(files, _NAMED)}." if files else ""
        source = find_source(engine.algorithm, batch)
        began = f" It began in the {source}." if source else ""
        raise NonFiniteError(
            f"Step {engine.steps + 1}, images {numbers[0] + 1} to {numbers[-1] + 1}: {error}.{began} It stopped before "
            f"the update, and {_newest(saved_images)}.{seen}\n{_ADVICE}",
            source,
        ) from error


def _newest(saved_images: int) -> str:
    return "the newest checkpoint is from before" if saved_images else "there is no checkpoint yet"
