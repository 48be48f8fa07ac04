"""Parts of a train step side by side on a CPU, each on its share of torch's threads.

Threads that share an operation wait for one another at its end, thousands of times in a step. Parts that share nothing
but weights wait once. What they compute depends only on the number of threads that each has, so a training still
repeats bit for bit.
"""

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TypeVar

import torch
from torch import Tensor, nn

from i2i.networks.layers import has_batch_norm

T = TypeVar("T")


def run(jobs: Sequence[Callable[[], T]], at_once: bool = True) -> list[T]:
    """Run jobs at once, or one by one with fewer threads than jobs; return what they return, in order.

    They draw no random numbers, and none changes what another reads. Two may add to the gradient of a weight that has
    none yet: the order of two does not change their sum.
    """
    threads = torch.get_num_threads()
    if not at_once or not 1 < len(jobs) <= threads:
        return [job() for job in jobs]
    share = threads // len(jobs)
    later: list[Future[T]] = []
    try:
        later += [_helpers().submit(_with_threads, share, torch.is_grad_enabled(), job) for job in jobs[1:]]
        torch.set_num_threads(share)  # of this thread alone: each has its own number
        first = jobs[0]()
    finally:
        wait(later)
        torch.set_num_threads(threads)
    return [first, *(one.result() for one in later)]


def apart(terms: Mapping[str, Tensor], parts: Sequence[tuple[str, ...]]) -> list[list[Tensor]]:
    """Part terms by how their names begin, if each is in one of the parts, and none of these is empty."""
    found = [[term for name, term in terms.items() if name.startswith(part)] for part in parts]
    return found if all(found) and sum(map(len, found)) == len(terms) else [[*terms.values()]]


def can_be_parallel(networks: Iterable[nn.Module]) -> bool:
    """Whether passes through networks draw no random numbers and keep no statistics; of a plugin's, nobody knows."""
    modules = [module for network in networks for module in network.modules()]
    known = all(type(module).__module__.split(".")[0] in ("torch", "i2i") for module in modules)
    return known and not any(isinstance(one, nn.Dropout) or has_batch_norm(one) for one in modules)


@functools.cache
def _helpers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(thread_name_prefix="i2i-part")


def _with_threads(threads: int, has_gradients: bool, job: Callable[[], T]) -> T:
    torch.set_num_threads(threads)
    with torch.set_grad_enabled(has_gradients):
        return job()
