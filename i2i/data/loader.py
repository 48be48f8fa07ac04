"""Batches of training data, made ahead of the training by a thread or by processes.

A TrainingSet is a function of the image number, so workers hold no state, their number changes nothing,
and a run resumes by starting at another image number. Whoever makes the batches, the training waits for
them with a limit: a read that hangs, or a process that died, ends in a LoaderError and never in silence.
"""

import contextlib
import itertools
import multiprocessing
import multiprocessing.connection
import multiprocessing.resource_tracker
import queue
import signal
import sys
import threading
import time
import types
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, wait
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from i2i.config.settings import Config
from i2i.data.training_set import Loaded, TrainingSet
from i2i.errors import DataError, LoaderError
from i2i.machine import core_count
from i2i.words import and_more

STOPS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1", "SIGHUP") if hasattr(signal, name)]
"""The signals that ask a training to stop."""

Load = Callable[[Sequence[int]], Loaded]
_NAMED = 4  # files named in a message before "and N more"
_LOOK_UP_S = 1.0
_PATIENCE_S = 5.0  # for threads and processes to end by themselves
_SHM_ADVICE = "/dev/shm, through which processes hand over batches, is full. Enlarge it, or set data.workers=0."


class ImageNumbers(Sampler[list[int]]):
    """The image numbers of each batch, from `start` up to `stop`; the last batch may be short.

    batch: of one rank; together `ranks` of them see each number once, in turn. A rank for which the last
    step has none left gets the step's first again, since it must take part; its share of that step is 0.
    """

    def __init__(self, start: int, stop: int, batch: int, rank: int = 0, ranks: int = 1):
        self.start, self.stop, self.batch, self.rank, self.ranks = start, stop, batch * ranks, rank, ranks

    def __iter__(self) -> Iterator[list[int]]:
        """Yield one list a batch."""
        for first in range(self.start, self.stop, self.batch):
            yield list(range(first, min(first + self.batch, self.stop)))[self.rank :: self.ranks] or [first]

    def __len__(self) -> int:
        """Return the number of batches."""
        return -(-(self.stop - self.start) // self.batch)


def worker_count(config: Config, device: str) -> int:
    """Resolve `data.workers`: auto is 0 on the CPU, whose cores the networks need, and for points.

    Else it is up to 8 for each device, of the cores that the trainings themselves leave.
    """
    if config.data.workers != "auto":
        return config.data.workers
    return 0 if device == "cpu" or config.data.toy else max(1, min(8, core_count() // config.train.devices - 1))


def batches(
    data: TrainingSet, config: Config, start: int, stop: int, device: str, rank: int = 0, ranks: int = 1
) -> Generator[Loaded | None, None, None]:
    """Yield batches for image numbers `start` to `stop`, as `data.load` makes them.

    rank, ranks: which share of each step to yield, and of how many; see ImageNumbers. Of several it also yields None
    now and then while none has come, for the rank to look up. Raises LoaderError when no batch comes for
    `data.timeout_s` or a loader process dies, and DataError when too much cannot be read. Nothing that it started is
    left when it ends, in whatever way.
    """
    numbers = ImageNumbers(start, stop, config.train.step_images, rank, ranks)
    workers = worker_count(config, device)
    with contextlib.ExitStack() as stack:
        load: Load = data.load
        threads = max(1, workers)
        if workers and config.data.cache != "ram":  # which only threads can share
            processes = _Processes(data, numbers, workers)
            stack.callback(processes.close)
            load, threads = processes.load, 1
        load = _pinned(load) if device == "cuda" else load
        timeout_s = config.data.timeout_s
        yield from _ahead(data, numbers, load, threads, timeout_s, _LOOK_UP_S if ranks > 1 else timeout_s)


def _ahead(
    data: TrainingSet, numbers: Iterable[list[int]], load: Load, threads: int, timeout_s: float, look_up_s: float
) -> Iterator[Loaded | None]:
    """Yield `load` of each batch, in order: made by daemon threads, one batch each, and one more ahead.

    Also None, after each `look_up_s` without one.
    """
    tasks: queue.SimpleQueue[tuple[Future[Loaded], list[int]] | None] = queue.SimpleQueue()

    def work() -> None:
        for future, batch in iter(tasks.get, None):
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(load(batch))
                except BaseException as error:  # for the training's thread to raise
                    future.set_exception(error)

    # Daemons: a thread that hangs in a read must not keep the process alive.
    pool = [threading.Thread(target=work, name=f"i2i loader {k}", daemon=True) for k in range(threads)]
    for thread in pool:
        thread.start()
    waiting: deque[tuple[Future[Loaded], list[int]]] = deque()
    todo = iter(numbers)
    timed_out = False
    try:
        while True:
            for batch in itertools.islice(todo, threads + 1 - len(waiting)):
                waiting.append((Future(), batch))
                tasks.put(waiting[-1])
            if not waiting:
                return
            future, batch = waiting[0]
            end = time.monotonic() + timeout_s
            while not wait([future], max(0.0, min(look_up_s, end - time.monotonic()))).done:
                if time.monotonic() >= end:
                    timed_out = True
                    raise LoaderError(_hung(data, batch, timeout_s))
                yield None
            waiting.popleft()
            yield future.result()
    finally:
        for future, _ in waiting:
            future.cancel()
        for _ in pool:
            tasks.put(None)
        end = time.monotonic() + (0 if timed_out else _PATIENCE_S)  # of all together
        for thread in pool:
            thread.join(max(0, end - time.monotonic()))


def _hung(data: TrainingSet, batch: list[int], timeout_s: float) -> str:
    files = list(dict.fromkeys(str(file) for number in batch for file in data.files(number)))
    asked = and_more(files, _NAMED) if files else f"image numbers {batch[0]} to {batch[-1]}"
    return f"No batch came for {timeout_s:g} s (data.timeout_s). The last files asked for: {asked}."


def _pinned(load: Load) -> Load:
    """Put batches into memory that a GPU copies from while it computes."""

    def pinned(numbers: Sequence[int]) -> Loaded:
        loaded = load(numbers)
        return loaded._replace(batch={name: tensor.pin_memory() for name, tensor in loaded.batch.items()})

    return pinned


class _QuietLoader(DataLoader[Loaded]):
    """Without torch's warning, twice a run, of more workers than cores: `data.workers` is the user's to choose."""

    def check_worker_number_rationality(self) -> None:
        """Say nothing."""


class _Processes:
    """Loader processes, behind the face of `TrainingSet.load`: called for each batch in its turn, by one thread.

    Not by the training's own: there torch would raise the death of a worker in the middle of a step.
    """

    def __init__(self, data: TrainingSet, numbers: ImageNumbers, workers: int):
        self.loader = _QuietLoader(
            _Batches(data),
            sampler=numbers,
            batch_size=None,
            collate_fn=_unchanged,
            num_workers=workers,
            # Its own generator: the loader must not draw from the one that dropout uses, or resuming would shift it.
            generator=torch.Generator(),
            worker_init_fn=_start_worker,
            multiprocessing_context="spawn",  # forking a process that holds CUDA or threads is unsafe
        )
        self.batches: Iterator[Loaded] | None = None
        self.children: list[multiprocessing.process.BaseProcess] = []

    def load(self, numbers: Sequence[int]) -> Loaded:
        """Return the next batch, which is that of `numbers`."""
        try:
            if self.batches is None:
                others = multiprocessing.active_children()
                with _deaf_to_stopping(), _without_main():
                    self.batches = iter(self.loader)
                self.children = [child for child in multiprocessing.active_children() if child not in others]
            return next(self.batches)
        except DataError as error:
            # It arrives with its traceback as the message; the end of it is what we wrote.
            raise DataError(str(error).strip().rsplit("DataError: ", 1)[-1]) from None
        except MemoryError as error:
            raise LoaderError("A loader process ran out of memory. Lower data.workers.") from error
        except (RuntimeError, OSError, EOFError, multiprocessing.ProcessError) as error:  # as a worker dies in a send
            reason = self._dead() or _shared_memory(error)
            if reason is None:
                raise
            raise LoaderError(reason) from error

    def close(self) -> None:
        """End the processes, those that hang as well."""
        self.batches = None  # asks them to end, and waits a little
        for child in self.children:
            if child.is_alive():
                child.kill()
                child.join(_PATIENCE_S)

    def _dead(self) -> str | None:
        # What a process holds breaks before the system tells of its end: wait for the one, then for the other.
        ended = multiprocessing.connection.wait([child.sentinel for child in self.children], timeout=1)
        for index, child in enumerate(self.children):
            child.join(_PATIENCE_S if child.sentinel in ended else 0)
            code = child.exitcode
            if code is not None:
                return f"Loader process {index + 1} of {len(self.children)} (pid {child.pid}) died: {_cause(code)}"
        return None


def _cause(code: int) -> str:
    """Return why a process may have ended with an exit code, and what to do."""
    name = signal.Signals(-code).name if code < 0 else ""
    if name == "SIGKILL":
        return "it was killed, as the system does when memory runs out. Lower data.workers, or data.cache ram."
    if name == "SIGBUS":
        return _SHM_ADVICE
    return f"{name or f'exit code {code}, with its own message above'}. Set data.workers=0 to do without processes."


def _shared_memory(error: Exception) -> str | None:
    known = any(words in str(error) for words in ("shared memory", "No space left", "Too many open files"))
    return f"A loader process could not hand over its batch: {_SHM_ADVICE}" if known else None


class _Batches(Dataset[Loaded]):
    """A TrainingSet by batches, as a worker has it."""

    def __init__(self, data: TrainingSet):
        self.data = data

    def __getitem__(self, numbers: list[int]) -> Loaded:
        loaded = self.data.load(numbers)
        for tensor in loaded.batch.values():
            tensor.share_memory_()  # here, where failing is heard of; the queue behind would only print it
        return loaded


def _unchanged(loaded: Any) -> Any:
    return loaded


def _start_worker(worker: int) -> None:
    torch.set_num_threads(1)


@contextlib.contextmanager
def _deaf_to_stopping() -> Iterator[None]:
    """Start processes that no signal which STOPS a training ends, from their first moment on; it ends them itself.

    Ctrl-C and schedulers reach all processes at once, and the training must still get its batch to save after it.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)  # of this thread, and inherited
    try:
        # A helper of multiprocessing, which must be deaf too; starting it unblocks some of them here.
        multiprocessing.resource_tracker.ensure_running()
        signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def _without_main() -> Iterator[None]:
    """Start processes that do not import the user's script, which nothing in them is from.

    It would train again in each of them, unless it had an `if __name__ == "__main__"`.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")  # has no file to import
    try:
        yield
    finally:
        sys.modules["__main__"] = main
