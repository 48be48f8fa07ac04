"""Many pictures through a model at once: decoding, network and encoding overlap, and a bad picture stops no other.

Each of a few threads takes one picture all the way; the libraries that do the work release the interpreter lock. On
a CPU this is faster than one thread for each stage, and a network call has one thread of its own; on a GPU the
threads' calls become batches (runtime/batches.py).
"""

import itertools
import math
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TypeGuard

from i2i.errors import DiskFullError, I2IError, UsageError, one_line
from i2i.images.frames import refuse_disorder
from i2i.machine import available_bytes, thread_count
from i2i.runtime.batches import MOST
from i2i.runtime.outcome import STAGES, Refused, Result, Setup
from i2i.runtime.picture_options import DEFAULTS, PictureOptions
from i2i.runtime.tasks import Task, Tasks
from i2i.runtime.translator import Translator
from i2i.runtime.worker import Done, Room, StopWork, Worker

MANY = 1_000_000
"""Enough pictures to keep every core busy."""
_TRIAL_PICTURES = 8
"""Pictures a thread translates before one way of sharing the CPU out is compared with another."""
_WORTH_TRYING = 8
"""Trials are made if the run has at least this many times the pictures of one trial."""
_GRACE_S = 5
"""How long a run that was stopped waits for the pictures in work."""


def setup_for(pictures: int, workers: int | None = None) -> Setup:
    """Return how to share a CPU out among so many pictures: one thread each, more if there are fewer of them."""
    cores = thread_count()
    chosen = workers or min(cores, max(pictures, 1))
    return Setup(chosen, max(cores // chosen, 1))


def setup_on(device: str, pictures: int, workers: int | None = None) -> Setup:
    """Return the same for any device; on a GPU, more threads than cores, whose calls become batches."""
    if device == "cpu":
        return setup_for(pictures, workers)
    return Setup(workers or min(thread_count() + MOST, max(pictures, 1)), 1)


def translate_files(
    translator: Translator,
    tasks: Sequence[Task],
    progress: Callable[[Task], None] = lambda task: None,
    options: PictureOptions = DEFAULTS,
    workers: int | None = None,
    result: Result | None = None,
    following: Sequence[Translator] = (),
) -> Result:
    """Translate every task and write whole files only; a picture that fails does not stop the others.

    workers: how many at a time; by default as many as there are cores, and on long runs what is fastest.
    following: models that get the outputs of `translator`, one after another (see chain.py).
    result: filled as pictures come out; give one to have it when the run is stopped.
    A recurrent model gets the frames of each folder in the order of their names, one at a time.
    Raises DiskFullError when the disk is full; what is written then stays, as after Ctrl-C.
    """
    _check_folder(tasks)
    run = _FolderRun(translator, tasks, options, progress, result or Result(), following)
    start, threads = time.perf_counter(), translator.backend.threads
    try:
        run.translate_all(workers)
    finally:
        translator.backend.with_threads(threads)  # torch has one number for the whole process
        run.result.wall_s = time.perf_counter() - start
    return run.result


class _FolderRun:
    """One call of `translate_files`."""

    def __init__(
        self,
        translator: Translator,
        tasks: Sequence[Task],
        options: PictureOptions,
        progress: Callable[[Task], None],
        result: Result,
        following: Sequence[Translator],
    ):
        self.progress, self.result = progress, result
        self.translator, *self.following = (
            one.with_backend(one.backend.for_many(len(tasks))).in_order() for one in (translator, *following)
        )
        self.is_recurrent = any(one.recurrence for one in (self.translator, *self.following))
        self.options = options.for_model(translator.spec, translator.generator, [translator, *following][-1].generator)
        self.count, self.tasks = len(tasks), iter(_in_order(tasks) if self.is_recurrent else tasks)
        self.room = Room((available_bytes() or 2**33) // 2)
        self.stop, self.lock = threading.Event(), threading.Lock()

    def translate_all(self, workers: int | None) -> None:
        """Translate all tasks, the first ones in several ways if that will pay."""
        device = self.translator.backend.device
        workers = 1 if self.is_recurrent else workers  # a frame waits for the one before it
        setup = setup_on(device, self.count, workers)
        if device == "cpu" and workers is None:
            setup = self._fastest(setup)
        self._translate(setup, self.tasks)

    def _fastest(self, first: Setup) -> Setup:
        """Translate a few pictures each way, if there are many, and return the fastest way."""
        cores = thread_count()
        others = [Setup(max(cores // threads, 2), threads) for threads in {math.isqrt(cores), cores} - {1}]
        ways = dict.fromkeys([first, *others])
        if len(ways) == 1 or self.count < _WORTH_TRYING * len(ways) * _TRIAL_PICTURES * first.workers:
            return first
        speeds = {}
        for way in ways:
            self._translate(way, itertools.islice(self.tasks, way.workers))  # a session's first runs are slow
            speeds[way] = self._translate(way, itertools.islice(self.tasks, _TRIAL_PICTURES * first.workers))
        return max(speeds, key=speeds.__getitem__)

    def _translate(self, setup: Setup, tasks: Iterator[Task]) -> float:
        """Translate some tasks; return the pixels a second."""
        self.result.setup = setup
        first, *others = (
            one.with_backend(one.backend.with_threads(setup.threads)) for one in (self.translator, *self.following)
        )
        worker = Worker(first, self.options, self.room, self.stop, tuple(others))
        done: queue.SimpleQueue[Done | None] = queue.SimpleQueue()
        threads = [
            threading.Thread(target=self._work, args=(worker, tasks, done), daemon=True) for _ in range(setup.workers)
        ]
        start, pixels = time.perf_counter(), 0
        for thread in threads:
            thread.start()
        try:
            for outcome in _outcomes(done, len(threads)):
                pixels += outcome.pixels
                if _ends_run(outcome.error):
                    raise outcome.error
                self.progress(outcome.task)
        except BaseException as error:
            self._end(threads, _GRACE_S if isinstance(error, KeyboardInterrupt) else None)
            raise
        return pixels / (time.perf_counter() - start)

    def _work(self, worker: Worker, tasks: Iterator[Task], done: "queue.SimpleQueue[Done | None]") -> None:
        """Do tasks one by one until none are left; the body of a thread."""
        while not self.stop.is_set():
            with self.lock:
                task = next(tasks, None)
            if task is None:
                break
            try:
                outcome = worker.do(task)
            except StopWork:
                break
            except BaseException as error:  # raised in the main thread, or noted
                outcome = Done(task, error=error)
            with self.lock:
                self._note(outcome)
            done.put(outcome)
        done.put(None)

    def _note(self, done: Done) -> None:
        """Count one picture in its own thread: Ctrl-C reaches the main one at any moment, even between two lines."""
        error, result = done.error, self.result
        if error is None:
            result.written += 1
            for stage, seconds in zip(STAGES, done.seconds, strict=True):
                result.busy_s[stage] += seconds
            result.add_unkept(done.task.source, done.left_out, done.lost)
            if done.side > 2 * self.translator.spec.trained_side_px > 0:  # 0 is unknown
                result.large[done.task.source] = done.side
        elif isinstance(error, MemoryError):
            result.refused.append(Refused(done.task.source, f"{done.task.source}: not enough memory to translate it."))
        elif not _ends_run(error):
            name, reason = one_line(done.task.source), str(error)  # a model's own errors do not name the picture
            result.refused.append(Refused(done.task.source, reason if name in reason else f"{name}: {reason}"))

    def _end(self, threads: list[threading.Thread], grace_s: float | None) -> None:
        """Let each picture in work reach the end of its stage."""
        self.stop.set()
        self.result.unfinished = True  # should Ctrl-C come again
        deadline = time.monotonic() + (grace_s or 0)
        for thread in threads:
            thread.join(None if grace_s is None else max(deadline - time.monotonic(), 0))
        self.result.unfinished = any(thread.is_alive() for thread in threads)


def _ends_run(error: BaseException | None) -> TypeGuard[BaseException]:
    """Whether an error concerns more than one picture."""
    if error is None or isinstance(error, MemoryError):
        return False
    return isinstance(error, DiskFullError) or not isinstance(error, I2IError)


def _in_order(tasks: Sequence[Task]) -> list[Task]:
    """Return tasks with the frames of each folder one after another.

    Raises UsageError where some are left out, and DataError where names count in another order.
    """
    if isinstance(tasks, Tasks) and (tasks.existing or tasks.is_share):
        raise UsageError(
            "This model makes each frame from the one before it, so no frame can be left out.\nLeave out "
            f"{'--shard' if tasks.is_share else '--skip-existing, and add --overwrite to begin again'}."
        )
    ordered = sorted(tasks, key=lambda task: (task.source.parent, task.source.name))
    refuse_disorder(task.source for task in ordered)
    return ordered


def _check_folder(tasks: Sequence[Task]) -> None:
    """Raise UsageError if the first output folder cannot be written to; other folders fail picture by picture."""
    if not tasks:
        return
    folder = tasks[0].output.parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{folder} cannot be made: {error.strerror}. Give another output.") from error
    if not os.access(folder, os.W_OK):
        raise UsageError(f"{folder} cannot be written to. Give another output.")


def _outcomes(done: "queue.SimpleQueue[Done | None]", threads: int) -> Iterator[Done]:
    """Yield outcomes until all threads have ended."""
    while threads:
        try:
            outcome = done.get(timeout=1)  # on Windows, Ctrl-C does not end a wait without a limit
        except queue.Empty:
            continue
        if outcome is None:
            threads -= 1
        else:
            yield outcome
