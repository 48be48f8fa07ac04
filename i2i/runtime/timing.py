"""How long a network takes for one call, by size and by batch."""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from i2i.errors import UsageError
from i2i.images import Array
from i2i.models.spec import GENERATE, ModelSpec, Part
from i2i.runtime.backends import Backend
from i2i.runtime.fit import padded_side
from i2i.runtime.maps import seeded_inputs
from i2i.runtime.plan import Sides

_FEWEST, _WARM = 5, 2


class Timing(NamedTuple):
    """How long calls with one input took."""

    height: int | None
    """Height and width of the input in pixels; None for a network that starts from noise."""
    width: int | None
    batch: int
    """Items in one call."""
    calls: int
    p50_ms: float
    """The median call, in milliseconds."""
    p95_ms: float
    """What 95% of the calls took at most."""
    images_per_second: float
    """Batch over the mean time of a call."""


def time_calls(
    spec: ModelSpec, part: str, backend: Backend, sizes: Sequence[Sides], batches: Sequence[int], seconds: float
) -> Iterator[Timing]:
    """Yield the timing of each of `sizes` (height, width) with each of `batches`, each measured for `seconds`.

    No sizes: the size that the model was trained at, and twice that; or the one that the file takes. Sides are padded
    as for pictures. Inputs are noise; the network alone is measured, without files and conversion.
    Raises UsageError for sizes that the model cannot take, and MemoryError.
    """
    for side in _sizes(spec, part, sizes):
        for batch in batches:
            times = _times(backend.run, _inputs(spec, spec.parts[part], side, batch), seconds)
            middle, late = 1000 * np.quantile(times, (0.5, 0.95))
            rate = batch / float(np.mean(times))
            height, width = side or (None, None)
            yield Timing(height, width, batch, len(times), float(middle), float(late), rate)


def _sizes(spec: ModelSpec, part: str, asked: Sequence[Sides]) -> Sequence[Sides | None]:
    """Return the sides of the network's input, None for latents."""
    if part == GENERATE:
        if asked:
            raise UsageError("This model starts from noise and makes pictures of one size. Leave out --size.")
        return [None]
    if spec.fixed_size:
        if any(one != spec.fixed_size for one in asked):
            raise UsageError(f"This file takes {spec.fixed_size[1]}x{spec.fixed_size[0]} px only (width x height).")
        return [spec.fixed_size]
    trained = spec.trained_crop_px or 256
    sizes = asked or [(trained, trained), (2 * trained, 2 * trained)]
    one = spec.parts[part]
    inside = spec.io == "image"  # such a file pads by itself
    return [sides if inside else (_fitted(sides[0], one), _fitted(sides[1], one)) for sides in dict.fromkeys(sizes)]


def _fitted(side: int, part: Part) -> int:
    """Return the side that the network gets for a picture's."""
    return padded_side(side, part.size_multiple, part.size_minimum)


def _inputs(spec: ModelSpec, part: Part, sides: Sides | None, batch: int) -> Array:
    """Return noise as the network takes it."""
    if sides is None:
        return seeded_inputs(part, range(batch))
    random = np.random.default_rng(0)
    if spec.io == "image":
        return random.integers(0, 256, (batch, *sides, part.in_channels), np.uint8)
    values: Array = random.uniform(-1, 1, (batch, part.network_channels, *sides)).astype(np.float32)
    return values


def _times(run: Callable[[Array], Array], inputs: Array, seconds: float) -> list[float]:
    """Return how long calls took, in seconds, at least five, after two that do not count."""
    times: list[float] = []
    begun = time.perf_counter()
    while len(times) < _WARM + _FEWEST or time.perf_counter() - begun < seconds:
        started = time.perf_counter()
        run(inputs)
        times.append(time.perf_counter() - started)
    return times[_WARM:]
