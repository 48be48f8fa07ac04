"""Calls from several threads as one batch: calls that arrive while the device works make up the next batch.

No call waits for others to arrive, so a single caller loses nothing.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from i2i.images import Array

MOST = 16
"""Images in a batch; GPUs gain little from more."""


@dataclass(eq=False)
class _Call:
    batch: Array
    output: Array | None = None
    error: Exception | None = None
    done: bool = False


class Batches:
    """Joins calls from several threads into calls of `compute`, one batch of equal sizes at a time.

    compute: (N, ...) to (N, ...), each of the N independent of the others. When it raises MemoryError, batches are
    halved from then on, and `notes` gets a line.
    """

    def __init__(self, compute: Callable[[Array], Array], notes: list[str], most: int = MOST):
        self.most, self.notes = most, notes
        self._compute = compute
        self._waiting: list[_Call] = []
        self._lock, self._device = threading.Lock(), threading.Lock()

    def __call__(self, batch: Array) -> Array:
        """Return `compute` of a batch; raises what it raises, MemoryError only if one item alone is too much."""
        call = _Call(batch)
        with self._lock:
            self._waiting.append(call)
        with self._device:
            while not call.done:
                self._serve(self._next())
        if call.error is not None:
            raise call.error
        assert call.output is not None
        return call.output

    def _next(self) -> list[_Call]:
        """Take the call that has waited longest, and those that go with it."""
        with self._lock:
            together = [first := self._waiting[0]]
            samples = len(first.batch)
            for call in self._waiting[1:]:
                if _kind(call) == _kind(first) and samples + len(call.batch) <= self.most:
                    together.append(call)
                    samples += len(call.batch)
            self._waiting = [call for call in self._waiting if call not in together]
        return together

    def _serve(self, calls: list[_Call]) -> None:
        batch = calls[0].batch if len(calls) == 1 else np.concatenate([call.batch for call in calls])
        try:
            output = self._fitting(batch)
            start = 0
            for call in calls:
                call.output = output[start : start + len(call.batch)]
                start += len(call.batch)
        except Exception as error:  # raised again in the thread of each call
            for call in calls:
                call.error = error
        for call in calls:
            call.done = True

    def _fitting(self, batch: Array) -> Array:
        """Compute a batch in as many parts as memory requires."""
        outputs: list[Array] = []
        start = 0
        while start < len(batch):
            part = batch[start : start + self.most]
            try:
                outputs.append(self._compute(part))
                start += len(part)
            except MemoryError:
                if len(part) == 1:
                    raise
                self.most = len(part) // 2
                self.notes.append(f"Out of memory on the device: batches are of {self.most} now, not {len(part)}.")
        return outputs[0] if len(outputs) == 1 else np.concatenate(outputs)


def _kind(call: _Call) -> tuple[object, ...]:
    return call.batch.shape[1:], call.batch.dtype
