"""Batches of training data, by workers or without.

A TrainingSet is a function of the image number, so workers hold no state, their number changes nothing,
and a run resumes by starting at another image number.
"""

import os
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Sampler

from i2i.data.sets import TrainingSet
from i2i.errors import DataError
from i2i.settings import Config


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
    """Resolve `data.workers`: auto is 0 on the CPU, whose cores the networks need, else up to 8 for each device."""
    if config.data.workers != "auto":
        return config.data.workers
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
    return 0 if device == "cpu" else min(8, max(1, cores // config.train.devices))


def batches(
    data: TrainingSet, config: Config, start: int, stop: int, device: str, rank: int = 0, ranks: int = 1
) -> Iterator[tuple[Tensor, ...]]:
    """Yield batches for image numbers `start` to `stop`: one tensor a side, as `data` has them, stacked.

    rank, ranks: which share of each step to yield, and of how many; see ImageNumbers. Raises DataError when
    a picture cannot be read after all.
    """
    workers = worker_count(config, device)
    loader = DataLoader(
        data,
        batch_sampler=ImageNumbers(start, stop, config.train.step_images, rank, ranks),
        num_workers=workers,
        pin_memory=device == "cuda",
        # Its own generator: the loader must not draw from the one that dropout uses, or resuming would shift it.
        generator=torch.Generator(),
        worker_init_fn=_start_worker if workers else None,
        multiprocessing_context="spawn" if workers else None,  # forking a process that holds CUDA or threads is unsafe
    )
    try:
        yield from loader
    except DataError as error:
        # A worker's error arrives with its traceback as the message; the last line of it is what we wrote.
        raise type(error)(str(error).strip().rsplit(f"{type(error).__name__}: ", 1)[-1]) from None


def _start_worker(worker: int) -> None:
    torch.set_num_threads(1)
