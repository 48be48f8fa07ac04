"""Batches of training pictures, each a function of (seed, image number) and nothing else.

Image numbers count what training has seen: number n is picture n mod N of epoch n div N, epochs run
into one another without a short batch, and order, crop and flip are drawn from the seed and n. So
workers hold no state, their number changes nothing, and a run resumes by starting at another n.
"""

import functools
import os
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from i2i.data.augment import PairAugment, make_augment
from i2i.data.folders import Pair, read_pair
from i2i.errors import DataError
from i2i.images import Array, to_channels
from i2i.settings import Config, by_direction

# The independent streams of random numbers that hang on a run's seed.
ORDER, AUGMENT = 0, 1


def derive_seed(seed: int, stream: int, number: int) -> int:
    """Return a 64-bit seed for draw `number` of a stream, independent of all others."""
    return int(np.random.SeedSequence((seed, stream, number)).generate_state(1, np.uint64)[0]) >> 1


class PairDataset(Dataset[tuple[Tensor, Tensor]]):
    """Pairs by image number: (a, b), each (C, H, W) float32 in [-1, 1]."""

    def __init__(self, pairs: Sequence[Pair], config: Config):
        self.pairs = pairs
        self.data = config.data
        self.seed = config.train.seed

    @functools.cached_property
    def augment(self) -> PairAugment:
        """Made where it is first used: in the worker, to which no closure can be sent."""
        return make_augment(self.data)

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor]:
        """Return the pair with image number `number`, augmented."""
        epoch, position = divmod(number, len(self.pairs))
        pair = self.pairs[_order(self.seed, epoch, len(self.pairs))[position]]
        a, b = read_pair(pair)
        a, b = to_channels(a, self.data.channels_a), to_channels(b, self.data.channels_b)
        seed = derive_seed(self.seed, AUGMENT, number)
        a, b = by_direction(self.data.direction, *self.augment(*by_direction(self.data.direction, a, b), seed))
        return _tensor(a), _tensor(b)


@functools.lru_cache(maxsize=2)
def _order(seed: int, epoch: int, count: int) -> Array:
    return np.random.default_rng(derive_seed(seed, ORDER, epoch)).permutation(count)


def _tensor(array: Array) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array.transpose(2, 0, 1))).mul_(2).sub_(1)


class ImageNumbers(Sampler[list[int]]):
    """The image numbers of each batch, from `start` up to `stop`; the last batch may be short."""

    def __init__(self, start: int, stop: int, batch: int):
        self.start, self.stop, self.batch = start, stop, batch

    def __iter__(self) -> Iterator[list[int]]:
        """Yield one list a batch."""
        for first in range(self.start, self.stop, self.batch):
            yield list(range(first, min(first + self.batch, self.stop)))

    def __len__(self) -> int:
        """Return the number of batches."""
        return -(-(self.stop - self.start) // self.batch)


def worker_count(config: Config, device: str) -> int:
    """Resolve `data.workers`: auto is 0 on the CPU, whose cores the networks need, else up to 8."""
    if config.data.workers != "auto":
        return config.data.workers
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
    return 0 if device == "cpu" else min(8, cores)


def batches(
    pairs: Sequence[Pair], config: Config, start: int, stop: int, device: str
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield batches (a, b), (N, C, H, W) float32 in [-1, 1], for image numbers `start` to `stop`.

    Raises DataError when a picture cannot be read after all.
    """
    workers = worker_count(config, device)
    loader = DataLoader(
        PairDataset(pairs, config),
        batch_sampler=ImageNumbers(start, stop, config.train.batch),
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
