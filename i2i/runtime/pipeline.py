"""Many pictures through a model at once: decoding, network and encoding overlap, and one bad picture stops no other.

Each of a few threads takes one picture all the way; the libraries that do the work release the
interpreter lock. On a CPU that is quicker than a thread a stage, and a network call has one thread of its
own; on a GPU the threads' calls become batches (runtime/batches.py).
"""

import contextlib
import itertools
import math
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, TypeGuard

from i2i.errors import DiskFullError, I2IError, ImageError, UsageError, one_line
from i2i.files import DISK_FULL, write_bytes
from i2i.images.decode import opened
from i2i.machine import available_bytes, thread_count
from i2i.runtime.batches import MOST
from i2i.runtime.fit import TILE_BYTES, estimated_bytes, is_too_big, padded_pixels
from i2i.runtime.folder import Task
from i2i.runtime.outcome import STAGES, Refused, Result, Setup
from i2i.runtime.pictures import (
    DEFAULTS,
    Picture,
    PictureOptions,
    counted,
    encode,
    lost_colours,
    output_dtype,
    read,
)
from i2i.runtime.translator import Translator

MANY = 1_000_000
"""As many pictures as keep every core busy."""
_TRIAL_PICTURES = 8
"""Pictures a thread translates before one way of sharing the CPU out is compared with another."""
_WORTH_TRYING = 8
"""So many times the pictures of one trial are to be done before trials are made."""
_GRACE_S = 5
"""How long a run that was stopped waits for the pictures in work."""
_PIXEL_BYTES = 16
"""What a pixel takes outside the network: decoded, translated, encoded."""


def setup_for(pictures: int, workers: int | None = None) -> Setup:
    """Return how to share a CPU out among so many pictures: one thread each, more where there are fewer of them."""
    cores = thread_count()
    chosen = workers or min(cores, max(pictures, 1))
    return Setup(chosen, max(cores // chosen, 1))


def translate_files(
    translator: Translator,
    tasks: Sequence[Task],
    progress: Callable[[Task], None] = lambda task: None,
    options: PictureOptions = DEFAULTS,
    workers: int | None = None,
    result: Result | None = None,
) -> Result:
    """Translate every task, whole files only; a picture that cannot be done does not stop the others.

    workers: how many at a time; by default as many as there are cores, and on long runs what is quickest.
    result: filled as pictures come out; give one to have it when the run is stopped.
    Raises DiskFullError when there is no room for more; what is written then stays, as after Ctrl-C.
    """
    _check_folder(tasks)
    run = _Run(translator, tasks, options, progress, result or Result())
    start, threads = time.perf_counter(), translator.backend.threads
    try:
        run.all(workers)
    finally:
        translator.backend.with_threads(threads)  # torch has one number for the whole process
        run.result.wall_s = time.perf_counter() - start
    return run.result


class _Done(NamedTuple):
    """What became of one picture."""

    task: Task
    pixels: int = 0
    side: int = 0
    seconds: tuple[float, ...] = ()
    left_out: int = 0
    lost: tuple[str, ...] = ()
    error: BaseException | None = None


class _Stop(Exception):
    """The run is to end; the picture in work is dropped."""


class _Run:
    """One folder run."""

    def __init__(
        self,
        translator: Translator,
        tasks: Sequence[Task],
        options: PictureOptions,
        progress: Callable[[Task], None],
        result: Result,
    ):
        self.translator, self.progress, self.result = translator, progress, result
        self.options = options.for_model(translator.spec)
        self.count, self.tasks = len(tasks), iter(tasks)
        self.room = Room((available_bytes() or 2**33) // 2)
        self.stop, self.lock = threading.Event(), threading.Lock()

    def all(self, workers: int | None) -> None:
        """Translate all tasks, the first ones in several ways if that will pay."""
        setup = setup_for(self.count, workers)
        if self.translator.backend.device != "cpu":
            setup = Setup(workers or min(thread_count() + MOST, max(self.count, 1)), 1)
        elif workers is None:
            setup = self._quickest(setup)
        self._some(setup, self.tasks)

    def _quickest(self, first: Setup) -> Setup:
        """Translate a few pictures each way, if there are many, and return the quickest way."""
        cores = thread_count()
        others = [Setup(max(cores // threads, 2), threads) for threads in {math.isqrt(cores), cores} - {1}]
        ways = dict.fromkeys([first, *others])
        if len(ways) == 1 or self.count < _WORTH_TRYING * len(ways) * _TRIAL_PICTURES * first.workers:
            return first
        speeds = {}
        for way in ways:
            self._some(way, itertools.islice(self.tasks, way.workers))  # a session's first runs are slow
            speeds[way] = self._some(way, itertools.islice(self.tasks, _TRIAL_PICTURES * first.workers))
        return max(speeds, key=speeds.__getitem__)

    def _some(self, setup: Setup, tasks: Iterator[Task]) -> float:
        """Translate some tasks; return the pixels a second."""
        self.result.setup = setup
        translator = self.translator.with_backend(self.translator.backend.with_threads(setup.threads))
        done: queue.SimpleQueue[_Done | None] = queue.SimpleQueue()
        threads = [
            threading.Thread(target=self._work, args=(translator, tasks, done), daemon=True)
            for _ in range(setup.workers)
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

    def _work(self, translator: Translator, tasks: Iterator[Task], done: "queue.SimpleQueue[_Done | None]") -> None:
        """Translate tasks one by one until there are none, in a thread of its own."""
        while not self.stop.is_set():
            with self.lock:
                task = next(tasks, None)
            if task is None:
                break
            try:
                outcome = self._one(translator, task)
            except _Stop:
                break
            except BaseException as error:  # raised in the main thread, or noted
                outcome = _Done(task, error=error)
            with self.lock:
                self._note(outcome)
            done.put(outcome)
        done.put(None)

    def _one(self, translator: Translator, task: Task) -> _Done:
        """Translate one picture and write it."""
        _refuse_input(task)
        suffix, clock = task.output.suffix, _Clock(self.stop)
        with contextlib.ExitStack() as memory:
            picture, pixels = self._read(task, memory, clock)
            clock.lap()
            outputs = [
                translator.translate(frame, output_dtype(frame, suffix, self.options), one_line(task.source))
                for frame in picture.frames
            ]
            clock.lap()
            content = encode(picture, outputs, suffix, translator.generator, self.options)
        _write(task.output, content)
        clock.lap()
        size = min(picture.frames[0].shape[:2])
        lost = (*picture.lost, *lost_colours(picture, suffix))
        return _Done(task, pixels, size, tuple(clock.laps), picture.left_out, lost)

    def _read(self, task: Task, memory: contextlib.ExitStack, clock: "_Clock") -> tuple[Picture, int]:
        """Decode a file, and count its pixels, once there is `memory` for it and for all that follows."""
        with opened(task.source, self.options.max_pixels) as source:
            if task.output == task.source and self.options.frames == "first" and source.count() > 1:
                raise ImageError(
                    f"{task.source} holds {source.count()} pictures, and --in-place would keep one. "
                    "Add --frames all, or use -o."
                )
            count, pixels = counted(source, self.options)
            memory.enter_context(self.room.taken(_PIXEL_BYTES * pixels + self._network_bytes(*source.header)))
            clock.start()
            return read(source, count, self.options), pixels

    def _network_bytes(self, height: int, width: int) -> int:
        """Return about how much memory the network takes for a picture, whole or in tiles."""
        spec, generator, fit = self.translator.spec, self.translator.generator, self.translator.fit
        pixels = padded_pixels(generator, height, width)
        whole = estimated_bytes(generator, pixels)
        if fit.how == "pad" or fit.tile == "exact" or (fit.how != "tile" and not is_too_big(spec, generator, pixels)):
            return whole  # strips hold the maps between stages whole
        return min(whole, max(TILE_BYTES, estimated_bytes(generator, (fit.tile_px or 0) ** 2)))

    def _note(self, done: _Done) -> None:
        """Count one picture. In its own thread: Ctrl-C reaches the main one at any moment, also between two lines."""
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
            name, reason = one_line(done.task.source), str(error)  # a model's own errors know of no picture
            result.refused.append(Refused(done.task.source, reason if name in reason else f"{name}: {reason}"))

    def _end(self, threads: list[threading.Thread], grace_s: float | None) -> None:
        """Let the pictures in work come to the end of what they are at."""
        self.stop.set()
        self.result.unfinished = True  # should Ctrl-C come again
        deadline = time.monotonic() + (grace_s or 0)
        for thread in threads:
            thread.join(None if grace_s is None else max(deadline - time.monotonic(), 0))
        self.result.unfinished = any(thread.is_alive() for thread in threads)


def _ends_run(error: BaseException | None) -> TypeGuard[BaseException]:
    """Whether an error is more than one picture's."""
    if error is None or isinstance(error, MemoryError):
        return False
    return isinstance(error, DiskFullError) or not isinstance(error, I2IError)


def _check_folder(tasks: Sequence[Task]) -> None:
    """Raise UsageError where nothing could be written; of other folders, each picture tells."""
    if not tasks:
        return
    folder = tasks[0].output.parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{folder} cannot be made: {error.strerror}. Give another output.") from error
    if not os.access(folder, os.W_OK):
        raise UsageError(f"{folder} cannot be written to. Give another output.")


def _refuse_input(task: Task) -> None:
    """Raise ImageError where a link among the output's folders leads to the input, which only --in-place replaces."""
    source, output = task
    if output != source and output.name == source.name and output.parent.resolve() == source.parent.resolve():
        raise ImageError(f"{source} would be replaced: {output.parent} leads to its folder. Give another output.")


def _outcomes(done: "queue.SimpleQueue[_Done | None]", threads: int) -> Iterator[_Done]:
    """Yield what comes out until so many threads have said that they are done."""
    while threads:
        try:
            outcome = done.get(timeout=1)  # on Windows, Ctrl-C does not end a wait without a limit
        except queue.Empty:
            continue
        if outcome is None:
            threads -= 1
        else:
            yield outcome


def _write(path: Path, content: bytes) -> None:
    """Write a file whole or not at all; raises ImageError, and DiskFullError, which concerns all that follow."""
    try:
        # Not flushed one by one: a process that is killed leaves whole files all the same.
        write_bytes(path, content, sync=False)
    except OSError as error:
        if error.errno in DISK_FULL:
            raise DiskFullError(
                f"{one_line(path)} cannot be written: {error.strerror}. The pictures before it are whole.\n"
                "Make room and go on with --skip-existing."
            ) from error
        raise ImageError(f"{path} cannot be written: {error.strerror or error}.") from error


class Room:
    """Memory that the pictures in work share; one that wants more than there is has it alone."""

    def __init__(self, total: int):
        self.free = self.total = total
        self._turn, self._changed = threading.Lock(), threading.Condition()

    @contextlib.contextmanager
    def taken(self, wanted: int) -> Iterator[None]:
        """Wait for so many bytes, in the order of asking: small pictures must not keep a large one waiting for ever."""
        wanted = min(wanted, self.total)
        with self._turn, self._changed:
            self._changed.wait_for(lambda: self.free >= wanted)
            self.free -= wanted
        try:
            yield
        finally:
            with self._changed:
                self.free += wanted
                self._changed.notify_all()


class _Clock:
    """Times of the stages of one picture; between them, the run may be stopped."""

    def __init__(self, stop: threading.Event):
        self.stop, self.laps = stop, list[float]()

    def start(self) -> None:
        """Begin."""
        self.last = time.perf_counter()

    def lap(self) -> None:
        """End a stage; raises _Stop."""
        now = time.perf_counter()
        self.laps.append(now - self.last)
        self.last = now
        if self.stop.is_set() and len(self.laps) < len(STAGES):
            raise _Stop
