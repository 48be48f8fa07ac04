"""What a training waits for: its data, or the host that feeds its device. Measured anew, by a few steps."""

import functools
import statistics
import time
from collections.abc import Callable

import torch

from i2i.algorithms import ALGORITHMS
from i2i.algorithms.base import Batch
from i2i.data.loader import worker_count
from i2i.data.sets import make_set, with_facts
from i2i.diagnosis.facts import NotMeasured, RunFacts
from i2i.diagnosis.reading import Reading
from i2i.machine import core_count
from i2i.training.engine import Engine
from i2i.training.fabric import make_fabric

_BATCHES, _ROUNDS, _STEPS = 4, 16, 4
_PATIENCE_S = 20.0


def data_bound(facts: RunFacts) -> Reading:
    """Return how long loading a batch takes, in train steps: above 1, a training waits for its data.

    Medians of single batches, shared among the loader's workers, and of single cycles of steps, measured in turn: a
    busy machine slows both, and a pause now and then moves neither. The cache of the settings has been filled.
    """
    config = facts.config
    data, batch = make_set(ALGORITHMS[config.algorithm].data, config), config.train.step_images
    steps, count = _steps(facts)
    loads, trains = list[float](), list[float]()
    while len(loads) < _ROUNDS and (not loads or sum(loads) + sum(trains) < _PATIENCE_S):
        first = len(loads) % _BATCHES * batch
        loads.append(_seconds(functools.partial(data.load, range(first, first + batch))))
        trains.append(_seconds(steps))
    workers = max(1, min(worker_count(config, facts.device), core_count()))
    load_s, step_s = _usual(loads) / workers, _usual(trains) / count
    return Reading(load_s / step_s, f"loading {1000 * load_s:.1f} ms, step {1000 * step_s:.1f} ms")


def host_bound(facts: RunFacts) -> Reading:
    """Return for what share of its train steps a GPU computes nothing.

    The time between the start of the first kernel and the end of the last in which none runs.
    """
    if facts.device != "cuda":
        raise NotMeasured(f"only a GPU waits for its host, and this ran on {facts.device}")
    from torch.profiler import ProfilerActivity, profile

    steps, _ = _steps(facts)
    steps()
    with profile(activities=[ProfilerActivity.CUDA]) as profiled:
        steps()
        torch.cuda.synchronize()
    spans = [(event.time_range.start, event.time_range.end) for event in profiled.events() or ()]
    return Reading(idle_share(spans))


def idle_share(spans: list[tuple[float, float]]) -> float:
    """Return the share of the time from the first start to the last end that no span (start, end) covers."""
    busy, until = 0.0, float("-inf")
    for start, end in sorted(spans):
        busy += max(0.0, end - max(start, until))
        until = max(until, end)
    whole = until - min(start for start, _ in spans) if spans else 0.0
    return 1 - busy / whole if whole else 0.0


def _seconds(call: Callable[[], object]) -> float:
    began = time.monotonic()
    call()
    return time.monotonic() - began


def _usual(times: list[float]) -> float:
    """Return the median without the first round, in which caches and memory are filled."""
    return statistics.median(times[_BATCHES:] or times[1:] or times)


def _steps(facts: RunFacts) -> tuple[Callable[[], None], int]:
    """Return a call of some train steps on one batch, in whole cycles of the phases, and their number."""
    alone = facts.config.train.model_copy(update={"devices": 1, "nodes": 1, "device": facts.device})
    config = with_facts(facts.config.model_copy(update={"train": alone}), facts.data)
    engine = Engine(make_fabric(config), ALGORITHMS[config.algorithm](config))
    loaded = facts.data.load(range(config.train.step_images)).batch
    batch: Batch = {name: tensor.to(engine.fabric.device) for name, tensor in loaded.items()}
    cycle = max(phase.every_steps for phase in engine.algorithm.phases)
    count = -(-_STEPS // cycle) * cycle

    def take() -> None:
        for _ in range(count):
            engine.train_step(batch)
        if facts.device == "cuda":
            torch.cuda.synchronize()

    return take, count
