"""How far an exported file may be from its model."""

from typing import NamedTuple

import numpy as np

from i2i.images import Array
from i2i.models.spec import ModelSpec


class Bound(NamedTuple):
    """How far a file may be from its model.

    worst: largest difference of any value from torch in float32, in units of the output. share: largest fraction of an
    output's values that may differ at all. An output above these is compared with the exact answer: rounding is how far
    from that, in [-1, 1], the file may always be.
    of_layer: what counts as a difference in an inner layer, relative to its largest value.
    """

    worst: float
    share: float
    rounding: float
    of_layer: float


BOUNDS = {
    ("fp32", "tensor"): Bound(1e-4, 1.0, 2e-4, 1e-4),
    ("fp32", "image"): Bound(1, 1e-4, 2e-4, 1e-4),
    ("fp16", "tensor"): Bound(2 * 2 / 255, 1.0, 2 * 2 / 255, 2 * 2 / 255),
    ("fp16", "image"): Bound(2, 1.0, 2 * 2 / 255, 2 * 2 / 255),
}
"""By precision and io. A grey level is 2 / 255 in [-1, 1]."""
SLACK = 32
"""A file may have this many times torch's own rounding error on a picture. ONNX Runtime, which takes the means of norm
layers in float32, had up to 18 times as much; 51 times on one flat emoji, which the bound of `rounding` allows."""
MOST = 0.1
"""A picture that may differ by more than this, in [-1, 1], proves nothing."""
LEAST_DB = 35.0
"""Lowest mean PSNR of an int8 file against fp32, and of its answers elsewhere against its answers at the export."""


def psnr_db(output: Array, truth: Array, spec: ModelSpec) -> float:
    """Return the PSNR in dB of two outputs of a file over their whole range; infinite for equal ones."""
    whole = 255.0 if spec.io == "image" else 2.0
    error = float(np.square(output.astype(np.float64) - truth).mean())
    return -10 * float(np.log10(error / whole**2)) if error else float("inf")
