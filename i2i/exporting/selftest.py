"""The self-test of an exported file: some values that torch answers to a made-up input, kept in the file.

`i2i export --verify` compares them with what another machine computes, where neither torch nor the model is needed.
"""

import numpy as np

from i2i.images import Array, to_unit
from i2i.models.spec import ModelSpec
from i2i.runtime.fit import padded_side
from i2i.runtime.maps import seeded_inputs

_BATCH = 2
_VALUES = 64


def made_up_pictures(height: int, width: int, channels: int) -> Array:
    """Return two pictures, (2, H, W, C) uint8, of gradients and edges, a quarter of them flat.

    Whole numbers alone make them, so that they are the same on every machine.
    """
    number, row, column, channel = np.ogrid[:_BATCH, :height, :width, :channels]
    values = (row * (3 + channel) + column * (5 + 2 * channel) + row * column // 7 + 31 * number) % 256
    values[:, :, : width // 4] = 128
    return np.ascontiguousarray(values.astype(np.uint8))


def self_test_input(spec: ModelSpec) -> Array:
    """Return what the file of `spec` takes for two made-up pictures, or for two seeds."""
    if noise := spec.latent_generator:
        return seeded_inputs(noise, range(_BATCH))
    (part,) = spec.generators.values()
    if spec.io == "image":
        return made_up_pictures(*(spec.fixed_size or (37, 50)), part.in_channels)  # sides that need padding
    height, width = spec.fixed_size or (padded_side(side, part.size_multiple, part.size_minimum) for side in (32, 48))
    return np.stack([to_unit(picture) for picture in made_up_pictures(height, width, part.network_channels)])


def sample(output: Array) -> tuple[float, ...]:
    """Return some values of an output, evenly spread."""
    flat = output.reshape(-1)
    places = np.linspace(0, len(flat) - 1, min(_VALUES, len(flat))).astype(int)
    return tuple(round(float(value), 6) for value in flat[places])
