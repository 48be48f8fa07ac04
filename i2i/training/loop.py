"""A training from its first image to its last: steps, and on the way logs, samples, warnings and checkpoints."""

import contextlib
import time
from collections import ChainMap
from collections.abc import Generator, Iterator

import torch
from torch import Tensor, nn

from i2i.algorithms.base import Batch
from i2i.config.settings import Config, by_direction
from i2i.data.augment_batch import BatchAugment
from i2i.data.broken import BrokenPictures
from i2i.data.loader import batches
from i2i.data.training_set import AUGMENT, Loaded, TrainingSet, derive_seed
from i2i.errors import DataError, LoaderError, NonFiniteError, Stopped
from i2i.models.spec import GENERATE
from i2i.report.page import write_report
from i2i.training import ranks
from i2i.training.alarms import Watch
from i2i.training.checkpoint import State, checkpoint_path
from i2i.training.cpu import SlowDown
from i2i.training.engine import Stepper
from i2i.training.log import Expendable, Meter, MetricsLog
from i2i.training.progress import ProgressLine
from i2i.training.run import Run
from i2i.training.samples import Count, sample, score_val
from i2i.training.signals import Stop
from i2i.words import show_count

_ADVICE = (
    "Begin anew with a lower optimizer.lr or with train.precision fp32, or go on so with --resume "
    "--allow-config-change."
)
_REPORT_SHARE = 0.02  # of the time that writing the report may take
_NAMED = 8  # files in a message before "and N more"

# What a rank has for its next step: the worst of all ranks' counts.
_READY, _NEWS, _WAITING, _FAILED = range(4)


class Training:
    """A run under way: where it stands, and all that is due after a step."""

    def __init__(self, run: Run, stepper: Stepper):
        self.run, self.stepper = run, stepper
        self.watch = Watch(run.config, draws_noise=GENERATE in stepper.algorithm.generators)
        self.meter = Meter()
        on_cpu = stepper.fabric.device.type == "cpu"
        self.slow_down = SlowDown(torch.get_num_threads() if on_cpu else 1)
        self.report_s, self.reported = 0.0, 0.0  # how long writing the report took, and when that was
        self.expendable = Expendable()
        self.broken = BrokenPictures(run.data)
        self.images = 0
        self.saved_images = 0
        self.unscored = False  # a stop cut the scoring of val short: it is made before the next step
        self.started = time.monotonic()
        self.speaks = stepper.fabric.is_global_zero
        self.log: MetricsLog | None = None
        data = run.config.data
        self.augment = BatchAugment(data) if data.augment == "kornia" and not data.toy else None

    @property
    def seconds(self) -> float:
        """How long the run has trained, what it was resumed from included."""
        return time.monotonic() - self.started

    def state_dict(self) -> State:
        """Return all that the rest of the training depends on; every rank must call it."""
        return {
            "images": self.images,
            "seconds": self.seconds,
            "stepper": self.stepper.state_dict(),
            "alarms": self.watch.state_dict(),
            "meter": self.meter.state_dict(),
            "broken": self.broken.state_dict(),
            "unscored": self.unscored,
        }

    def load_state_dict(self, state: State) -> None:
        """Take up where `state_dict` left off."""
        self.images = self.saved_images = state["images"]
        self.started = time.monotonic() - state["seconds"]
        self.stepper.load_state_dict(state["stepper"])
        self.watch.load_state_dict(state["alarms"])
        self.meter.load_state_dict(state["meter"])
        self.broken.load_state_dict(state["broken"])
        self.unscored = state.get("unscored", False)

    def go(self, stop: Stop) -> None:
        """Train to the end of the schedule, logging, sampling and saving on the way.

        Raises Stopped when asked to stop, and LoaderError and DataError when no more pictures can be had,
        all with what was trained saved.
        """
        run, total = self.run, self.run.schedule.total_images
        fabric, self.stop = self.stepper.fabric, stop
        device, rank, world = fabric.device.type, fabric.global_rank, fabric.world_size
        if self.speaks:
            path, board = run.folder / "metrics.jsonl", run.config.log.tensorboard
            self.log = MetricsLog(path, self.images, self.expendable, board)
        with ProgressLine(total, self.images, quiet=not self.speaks) as self.progress:
            self._introduce()
            loader = batches(run.data, run.config, self.images, total, device, rank, world)
            try:
                if self.unscored:
                    stop.hold()
                    self._sample()
                    self._save()
                for loaded in self._agreed(loader, stop):
                    self._advance(loaded)
                stop.hold()  # all is trained and saved: what is left is finished
            except Stopped as stopped:
                stop.hold()
                self._end(loader)
                raise Stopped(stopped.signum, self.images) from None
            except (DataError, LoaderError) as error:
                stop.hold()
                self._end(loader)
                trained = show_count(self.images, "image")
                saved = f"{self.saved_images:,} of {trained} of training are saved; --resume goes on there."
                raise type(error)(f"{error}\n{saved}" if self.saved_images else str(error)) from error
            finally:
                loader.close()

    def _agreed(self, loader: Generator[Loaded | None, None, None], stop: Stop) -> Iterator[Loaded]:
        """Yield each batch once every rank has its own, with what any of them found broken in theirs.

        What ends the training on one rank, a signal or pictures that do not come, ends it here on all, between the
        same two steps, so that they can save together.
        """
        loaded: Loaded | None = None
        error: DataError | LoaderError | None = None
        stop.release()
        while True:
            try:
                loaded = loaded or next(loader)
            except StopIteration:  # on all at once: they have as many batches
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
                loaded = loaded._replace(broken=dict(ChainMap(*ranks.gather(dict(loaded.broken)))))
            stop.hold()
            yield loaded
            loaded = None
            stop.release()

    def _introduce(self) -> None:
        run = self.run
        if self.images:
            path = checkpoint_path(run.checkpoints, self.images)
            self.progress.say(
                f"Going on after {self.images:,} of {show_count(run.schedule.total_images, 'image')}, from {path}"
            )
        world, device = self.stepper.fabric.world_size, self.stepper.fabric.device.type
        device = f"{world} x {device}" if world > 1 else device
        self.progress.say(f"{run.config.algorithm} on {run.data.what}, {device}, settings in {run.settings_file}")
        if run.config.train.compile:
            self.progress.say(
                "train.compile: the first steps take a minute or two on a CPU, where the others gain a twentieth."
            )
        for note in (*self.stepper.algorithm.notes, *run.data.notes):
            self.progress.say(note)
        if run.sample_split == "train previews":
            self.progress.say("There is no val split: previews show training pictures.")

    def _advance(self, loaded: Loaded) -> None:
        """Train on a batch, and do what is due after it."""
        config, schedule, before = self.run.config.log, self.run.schedule, self.images
        broken = self.broken.add(loaded.broken)
        fabric = self.stepper.fabric
        batch: Batch = {name: one.to(fabric.device, non_blocking=True) for name, one in loaded.batch.items()}
        if self.augment is not None:
            first = self.images + fabric.global_rank
            batch = augment_batch(self.augment, batch, self.run.data, self.run.config, first)
        after = min(before + self.run.config.train.step_images * fabric.world_size, schedule.total_images)
        began = time.monotonic()
        self.meter.add(_step(self.run, self.stepper, batch, range(before, after), self.saved_images))
        slow = self.slow_down.add(after - before, time.monotonic() - began)
        self.images = after
        self.progress.advance(self.images)
        # With this step's count, since a run that is cut before it is saved names broken files anew.
        self._warn([*broken, *slow])
        last = self.images == schedule.total_images
        if last or _crossed(before, self.images, config.every_images):
            self._log()
        if last or _crossed(before, self.images, config.samples_every_images):
            self._sample()
        if last or _crossed(before, self.images, config.checkpoint_every_images):
            self._save()

    def _log(self) -> None:
        terms = self.meter.read()
        fp16 = self.run.config.train.precision == "fp16"
        skipped = {"skipped_steps": self.stepper.guard.skipped_steps} if fp16 else {}
        if self.log:
            self.log.write(self.images, self.seconds, "train", terms | skipped)
        self.progress.report(terms)
        self._warn(self.watch.losses(self.stepper.steps, terms))

    def _sample(self) -> None:
        _refuse_non_finite_weights(self.stepper.modules, self.images, self.saved_images)
        if self.run.config.train.keep != "best":
            self._show()
            return
        # Scoring may take minutes, in which ranks must hear of each other and a stop must be heard: between two pairs.
        self.unscored = True
        with contextlib.suppress(Stopped):  # on all at once; it is raised anew before the next step
            self._show()
            self.unscored = False
            while self.stop.agree(_READY) == _WAITING:
                continue

    def _show(self) -> None:
        """Make samples and score val on rank 0, and log both, or neither where a stop comes in between."""
        if not self.log:
            return
        algorithm, networks = self.stepper.algorithm, self.stepper.model_networks
        device = str(self.stepper.fabric.device)
        # Previews run as all inference does, uncompiled, and sizes that change would compile anew.
        eager = torch.compiler.set_stance("force_eager") if self.run.config.train.compile else contextlib.nullcontext()
        with eager:
            try:  # a picture that has become unreadable must not stop the run
                with self.progress.busy("previews") as count:
                    scores = sample(self.run, algorithm, networks, self.images, device, self.expendable, count)
            except (DataError, LoaderError) as error:
                scores = {}
                self._warn([f"no samples were made: {error}"])
            began, val = time.monotonic(), {}
            try:
                if self.run.val_pairs:
                    with self.progress.busy("scoring val") as count:
                        val = score_val(self.run, algorithm, networks, self.images, device, self._heard(count))
            except (DataError, LoaderError) as error:
                self._warn([f"val was not scored: {error}"])
        if scores:
            self.log.write(self.images, self.seconds, self.run.sample_split, scores)
            self._warn(self.watch.samples(self.stepper.steps, scores))
        if val:
            self.log.write(self.images, self.seconds, "val", val)
            self._keep_best(val, time.monotonic() - began)
        if time.monotonic() - self.reported > self.report_s / _REPORT_SHARE:
            self.report()

    def _heard(self, count: Count) -> Count:
        """Return `count`, which also looks whether any rank was asked to stop."""

        def heard(done: int, total: int) -> None:
            count(done, total)
            self.stop.agree(_WAITING)

        return heard

    def report(self) -> None:
        """Bring report.html up to date; every rank may call it."""
        if self.speaks:
            began = time.monotonic()
            with self.expendable("report.html"):
                write_report(self.run.folder)
            self.reported = time.monotonic()
            self.report_s = self.reported - began

    def _keep_best(self, scores: dict[str, float], seconds: float) -> None:
        if self.run.best is None:
            took = f"{seconds:.1f} s of the first {self.seconds:.1f} s"
            self.progress.say(
                f"train.keep best: scoring {show_count(len(self.run.val_pairs), 'val pair')} took {took}."
            )
        self.run.save_if_best(self.stepper.algorithm, self.stepper.model_networks, self.images, scores)

    def _save(self) -> None:
        _refuse_non_finite_weights(self.stepper.modules, self.images, self.saved_images)
        state = self.state_dict()
        with self.progress.busy("saving"):
            if self.speaks:
                self.run.save(self.stepper.algorithm, self.stepper.model_networks, state)
            ranks.largest(0)  # what follows a save, as the end of a process, must not overtake it
        self.saved_images = self.images

    def _end(self, loader: Generator[Loaded | None, None, None]) -> None:
        """Save what was trained since the newest checkpoint, and be done with loading on all ranks."""
        if self.images > self.saved_images:
            self._save()
        loader.close()  # after the save, since threads in the midst of a read are waited for
        ranks.largest(0)  # together: a rank that rank 0 has left would say once more why

    def _warn(self, warnings: list[str]) -> None:
        for text in warnings:
            self.progress.say(f"Warning: after {show_count(self.images, 'image')}, {text}")
            if self.log:
                self.log.warn(self.images, self.seconds, text)


def augment_batch(
    augment: BatchAugment, batch: Batch, data: TrainingSet, config: Config, first_image: int
) -> dict[str, Tensor]:
    """Augment the pictures of a batch on its device, drawing from the number of its first image."""
    names = data.pictures_named
    if data.together:
        names, seed = by_direction(config.data.direction, *names), derive_seed(config.train.seed, AUGMENT, first_image)
        done = augment(tuple(batch[name] for name in names), seed)
    else:
        seeds = (derive_seed(config.train.seed, AUGMENT, 2 * first_image + side) for side in range(len(names)))
        done = tuple(augment((batch[name],), seed)[0] for name, seed in zip(names, seeds, strict=True))
    return {**batch, **dict(zip(names, done, strict=True))}


def _crossed(before: int, after: int, every: int) -> bool:
    """Whether a multiple of `every` lies in (before, after]."""
    return after // every > before // every


def _step(run: Run, stepper: Stepper, batch: Batch, numbers: range, saved_images: int) -> dict[str, Tensor]:
    """Make the step on image `numbers`, of which a rank has its share as batch; where it stops, say what it saw."""
    try:
        stepper.algorithm.begin(numbers[0], run.schedule.total_images)
        return stepper.step(batch, run.schedule.factor(numbers[0]), len(numbers))
    except NonFiniteError as error:
        files = [str(file) for number in numbers for file in run.data.files(number)]
        more = f" and {len(files) - _NAMED} more" if len(files) > _NAMED else ""
        seen = f" It saw {', '.join(files[:_NAMED])}{more}." if files else ""
        raise NonFiniteError(
            f"Step {stepper.steps + 1}, images {numbers[0] + 1} to {numbers[-1] + 1}: {error}. It stopped before the "
            f"update, and {_newest(saved_images)}.{seen}\n{_ADVICE}"
        ) from error


def _newest(saved_images: int) -> str:
    return "the newest checkpoint is from before" if saved_images else "there is no checkpoint yet"


def _refuse_non_finite_weights(modules: dict[str, nn.Module], images: int, saved_images: int) -> None:
    """Check what is about to be saved: an update can break weights before any loss shows it."""
    broken = [name for name, network in modules.items() if not all(t.isfinite().all() for t in network.parameters())]
    if broken:
        raise NonFiniteError(
            f"After {show_count(images, 'image')}, a weight of {' and '.join(broken)} is not finite; "
            f"{_newest(saved_images)}.\n{_ADVICE}"
        )
