"""CUDA graphs: a train step is recorded once and replayed, which spares the host the launch of each kernel.

At batch 1 a GPU waits for its host most of the time. A replay computes what was recorded, on the same memory: so
what differs between steps on the host (which phases are due, the sizes, the weights of the terms) has a recording
each, and what differs on the device (images, learning rates, random draws) is read from there.
"""

from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from i2i.algorithms import Algorithm
from i2i.algorithms.base import Batch
from i2i.algorithms.phases import Phase
from i2i.errors import ConfigError
from i2i.machine import is_out_of_memory
from i2i.training.optim import OPTIMIZERS

Compute = Callable[[Batch, Sequence[Phase], int, Mapping[str, float]], dict[str, Tensor]]
WARM_UP = 3
"""Steps of a kind that run as usual before one is recorded: libraries set themselves up in them."""
_KINDS = 64  # counted at once; of weights that move, each step is a new kind


class _Recording(NamedTuple):
    graph: torch.cuda.CUDAGraph
    batch: dict[str, Tensor]
    names: list[str]
    values: Tensor


class StepGraphs:
    """Calls `compute`, by a recording of the call where there is one of its kind."""

    def __init__(self, compute: Compute):
        self._compute = compute
        self._stream = torch.cuda.Stream()
        self._seen: Counter[Hashable] = Counter()
        self._recordings: dict[Hashable, _Recording] = {}

    def __call__(
        self, batch: Batch, due: Sequence[Phase], images: int, weights: Mapping[str, float]
    ) -> dict[str, Tensor]:
        """Return what `compute` returns, in memory of its own."""
        shapes = tuple((name, tensor.shape, tensor.dtype) for name, tensor in batch.items())
        kind = (shapes, due, images, tuple(weights.items()))
        recording = self._recordings.get(kind)
        if recording is None:
            if len(self._seen) >= _KINDS:
                self._seen.clear()
            self._seen[kind] += 1
            if self._seen[kind] <= WARM_UP:
                return self._warm_up(batch, due, images, weights)
            recording = self._recordings[kind] = self._record(batch, due, images, weights)
        for name, tensor in recording.batch.items():
            tensor.copy_(batch[name])
        recording.graph.replay()
        return dict(zip(recording.names, recording.values.clone().unbind(), strict=True))

    def forget(self) -> None:
        """Drop all recordings, as after tensors that they use were replaced."""
        self._seen.clear()
        self._recordings.clear()

    def _warm_up(
        self, batch: Batch, due: Sequence[Phase], images: int, weights: Mapping[str, float]
    ) -> dict[str, Tensor]:
        """Compute a step on the stream of recordings."""
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            logged = self._compute(batch, due, images, weights)
        torch.cuda.current_stream().wait_stream(self._stream)
        return logged

    def _record(self, batch: Batch, due: Sequence[Phase], images: int, weights: Mapping[str, float]) -> _Recording:
        """Record a step; nothing is computed yet."""
        graph, own = torch.cuda.CUDAGraph(), {name: tensor.clone() for name, tensor in batch.items()}
        generator = torch.cuda.default_generators[torch.cuda.current_device()]
        before = generator.clone_state()
        try:
            # thread_local: loader threads pin memory meanwhile.
            with torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local"):
                logged = self._compute(own, due, images, weights)
                values = torch.stack(list(logged.values()))
        except RuntimeError as error:
            generator.graphsafe_set_state(before)  # which else stays as in a recording: no later draw would work
            if is_out_of_memory(error):
                raise
            raise ConfigError(
                f"A step cannot be recorded as a CUDA graph: {' '.join(str(error).split())[:200]}\n"
                "Set train.cuda_graphs to false."
            ) from error
        return _Recording(graph, own, list(logged), values)


def records_steps(algorithm: Algorithm, device: torch.device) -> bool:
    """Resolve `train.cuda_graphs`: auto records where it can on a GPU.

    Raises ConfigError where recordings are asked for, and an image pool draws on the host or the optimizer keeps its
    learning rate, or a decay rate that changes, there.
    """
    train, optimizer = algorithm.config.train, algorithm.config.optimizer.name
    capturable = [name for name, kind in OPTIMIZERS.items() if kind.capturable]
    if train.cuda_graphs is True and optimizer not in capturable:
        raise ConfigError(
            f"train.cuda_graphs is true, but optimizer.name is {optimizer}: its learning rate is on the host, and a "
            "CUDA graph repeats the one it was recorded with.\n"
            f"Set optimizer.name to {' or '.join(capturable)}, or train.cuda_graphs to auto or false."
        )
    moves = getattr(algorithm.config.optimizer, "beta2_ramp", None) is not None
    if train.cuda_graphs is True and moves:
        raise ConfigError(
            "train.cuda_graphs is true, but optimizer.beta2_ramp changes in each step, and a CUDA graph repeats what "
            "it was recorded with.\nSet optimizer.beta2_ramp to null, or train.cuda_graphs to auto or false."
        )
    uses_host = any(adversary.uses_host for adversary in algorithm.adversaries.values())
    if train.cuda_graphs is True and uses_host:
        raise ConfigError(
            f"train.cuda_graphs is true, but loss.history is {algorithm.settings.history}: the image pool draws on the "
            "host in each step, and a CUDA graph repeats what was drawn once.\n"
            "Set loss.history to 0, or train.cuda_graphs to auto or false."
        )
    if device.type != "cuda" or train.cuda_graphs is False:
        return False
    return train.cuda_graphs is True or (
        not (uses_host or moves or train.bars_graphs) and algorithm.recordable and optimizer in capturable
    )
