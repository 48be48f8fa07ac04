"""The image numbers of each batch of a training."""

from collections.abc import Callable, Iterator

from torch.utils.data import Sampler


class ImageNumbers(Sampler[list[int]]):
    """The image numbers of each batch, from `start` up to `stop`; the last batch may be short.

    batch: of one rank, or how many at an image number; the numbers are dealt in turn to `ranks` of them. A rank for
    which the last step has none left gets the step's first again, since it must take part; its share of that step is 0.
    """

    def __init__(self, start: int, stop: int, batch: int | Callable[[int], int], rank: int = 0, ranks: int = 1):
        self.start, self.stop, self.batch, self.rank, self.ranks = start, stop, batch, rank, ranks

    def __iter__(self) -> Iterator[list[int]]:
        """Yield a list for each batch."""
        for first, end in self._steps():
            yield list(range(first, end))[self.rank :: self.ranks] or [first]

    def __len__(self) -> int:
        """Return the number of batches."""
        return sum(1 for _ in self._steps())

    def _steps(self) -> Iterator[tuple[int, int]]:
        """Yield where each step of all ranks begins and ends."""
        first = self.start
        while first < self.stop:
            size = self.batch if isinstance(self.batch, int) else self.batch(first)
            end = min(first + size * self.ranks, self.stop)
            yield first, end
            first = end
