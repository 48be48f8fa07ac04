"""Batches of training data, loaded ahead of the training by threads or processes.

A TrainingSet is a function of the image number, so workers hold no state, their number changes nothing,
and a run resumes by starting at another image number. The training waits for batches with a limit: a read
that hangs, or a process that died, ends in a LoaderError and never in silence.
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
from torch.utils.data import DataLoader, Dataset

from i2i.config.settings import Config
from i2i.data.numbers import ImageNumbers
from i2i.data.training_set import Loaded, TrainingSet
from i2i.errors import DataError, LoaderError
from i2i.machine import core_count
from i2i.words import and_more

STOPS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1", "SIGHUP") if hasattr(signal, name)]
"""Signals that ask a training to stop."""

Load = Callable[[Sequence[int]], Loaded]
_NAMED = 4  # files named in a message before "and N more"
_LOOK_UP_S = 1.0
_PATIENCE_S = 5.0  # for threads and processes to end by themselves
_SHM_ADVICE = "/dev/shm, through which processes hand over batches, is full. Enlarge it, or set data.workers=0."


def worker_count(config: Config, device: str) -> int:
    """Resolve `data.workers`: auto is 0 on the CPU, whose cores the networks need, and for points.

    Otherwise it is up to 8 for each device, of the cores that the training leaves free.
    """
    if config.data.workers != "auto":
        return config.data.workers
    return 0 if device == "cpu" or config.data.toy else max(1, min(8, core_count() // config.train.devices - 1))


def batches(
    data: TrainingSet,
    config: Config,
    start: int,
    stop: int,
    device: str,
    rank: int = 0,
    ranks: int = 1,
    size: Callable[[int], int] | None = None,
) -> Generator[Loaded | None, None, None]:
    """Yield batches for image numbers `start` to `stop`, as `data.load` makes them.

    rank, ranks: see ImageNumbers. size: of a batch at an image number; None: as the config says. With several ranks it
    also yields None now and then while a batch is due, so that the rank can hear from the others. Raises LoaderError
    when no batch comes for `data.timeout_s` or a loader process dies, and DataError when too much cannot be read.
    However it ends, nothing that it started is left.
    """
    numbers = ImageNumbers(start, stop, size or config.train.step_images, rank, ranks)
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
    """Yield `load` of each batch, in order: loaded by daemon threads, one batch each, and one more ahead.

    It also yields None after each `look_up_s` without a batch.
    """
    tasks: queue.SimpleQueue[tuple[Future[Loaded], list[int]] | None] = queue.SimpleQueue()

    def work() -> None:
        for future, batch in iter(tasks.get, None):
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(load(batch))
                except BaseException as error:  # raised in the training's thread
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
    """Put batches into pinned memory, from which a GPU copies while it computes."""

    def pinned(numbers: Sequence[int]) -> Loaded:
        loaded = load(numbers)
        return loaded._replace(batch={name: tensor.pin_memory() for name, tensor in loaded.batch.items()})

    return pinned


class _QuietLoader(DataLoader[Loaded]):
    """DataLoader without the warning of more workers than cores: `data.workers` is for the user to choose."""

    def check_worker_number_rationality(self) -> None:
        """Do not warn."""


class _Processes:
    """Loader processes with the interface of `TrainingSet.load`: one thread calls it for each batch in turn.

    It is not the training's thread: there torch would raise the death of a worker in the middle of a step.
    """

    def __init__(self, data: TrainingSet, numbers: ImageNumbers, workers: int):
        self.loader = _QuietLoader(
            _Batches(data),
            sampler=numbers,
            batch_size=None,
            collate_fn=_unchanged,
            num_workers=workers,
            # Its own generator: draws from dropout's would make a resumed run differ.
            generator=torch.Generator(),
            worker_init_fn=_use_one_thread,
            multiprocessing_context="spawn",  # forking a process with CUDA or threads is unsafe
        )
        self.batches: Iterator[Loaded] | None = None
        self.children: list[multiprocessing.process.BaseProcess] = []

    def load(self, numbers: Sequence[int]) -> Loaded:
        """Return the next batch, which is that of `numbers`."""
        try:
            if self.batches is None:
                others = multiprocessing.active_children()
                with _ignoring_stops(), _without_main():
                    self.batches = iter(self.loader)
                self.children = [child for child in multiprocessing.active_children() if child not in others]
            return next(self.batches)
        except DataError as error:
            # Its message is a whole traceback, which ends with ours.
            raise DataError(str(error).strip().rsplit("DataError: ", 1)[-1]) from None
        except MemoryError as error:
            raise LoaderError("A loader process ran out of memory. Lower data.workers.") from error
        except (
            RuntimeError,
            OSError,
            EOFError,
            multiprocessing.ProcessError,
        ) as error:  # as a worker dies sending
            reason = self._dead() or _shared_memory(error)
            if reason is None:
                raise
            raise LoaderError(reason) from error

    def close(self) -> None:
        """End the processes, including those that hang."""
        self.batches = None  # asks them to end, and waits a little
        for child in self.children:
            if child.is_alive():
                child.kill()
                child.join(_PATIENCE_S)

    def _dead(self) -> str | None:
        # The sentinel of a process breaks before its exit code is known: wait for the one, then for the other.
        ended = multiprocessing.connection.wait([child.sentinel for child in self.children], timeout=1)
        for index, child in enumerate(self.children):
            child.join(_PATIENCE_S if child.sentinel in ended else 0)
            code = child.exitcode
            if code is not None:
                return f"Loader process {index + 1} of {len(self.children)} (pid {child.pid}) died: {_cause(code)}"
        return None


def _cause(code: int) -> str:
    """Return why a process may have ended with this exit code, and what to do."""
    name = signal.Signals(-code).name if code < 0 else ""
    if name == "SIGKILL":
        return "it was killed, as the system does when memory runs out. Lower data.workers, or data.cache ram."
    if name == "SIGBUS":
        return _SHM_ADVICE
    return f"{name or f'exit code {code}, with its own message above'}. Set data.workers=0 to load without processes."


def _shared_memory(error: Exception) -> str | None:
    known = any(words in str(error) for words in ("shared memory", "No space left", "Too many open files"))
    return f"A loader process could not hand over its batch: {_SHM_ADVICE}" if known else None


class _Batches(Dataset[Loaded]):
    """A TrainingSet by batches, for a worker."""

    def __init__(self, data: TrainingSet):
        self.data = data

    def __getitem__(self, numbers: list[int]) -> Loaded:
        loaded = self.data.load(numbers)
        for tensor in loaded.batch.values():
            tensor.share_memory_()  # here, where a failure is raised; later, the queue would only print it
        return loaded


def _unchanged(loaded: Any) -> Any:
    return loaded


def _use_one_thread(worker: int) -> None:
    torch.set_num_threads(1)


@contextlib.contextmanager
def _ignoring_stops() -> Iterator[None]:
    """Start processes that ignore the signals in STOPS from their first moment on; the training ends them itself.

    Ctrl-C and schedulers signal all processes at once, and the training still needs its next batch before it saves.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)  # for this thread, and inherited
    try:
        # multiprocessing's helper process must block them, too; starting it unblocks some of them here.
        multiprocessing.resource_tracker.ensure_running()
        signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def _without_main() -> Iterator[None]:
    """Start processes that do not import the user's script, which they do not need.

    Without an `if __name__ == "__main__"`, it would train again in each of them.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")  # a module without a file to import
    try:
        yield
    finally:
        sys.modules["__main__"] = main
