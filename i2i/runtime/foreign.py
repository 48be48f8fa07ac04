"""ONNX models of other projects, which do not state the format of their images.

Axes, channels, element types and sizes are found from the file and by runs on zeros. Black and white cannot be found:
floats are taken to be -1 to 1 unless the user says otherwise, and a note points out outputs that do not look like it.
The rest of i2i sees float32 NCHW in [-1, 1], as with its own models.
"""

import contextlib
import math
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from i2i.errors import ModelError, UsageError
from i2i.images import Array, Range
from i2i.models.mistaken import shown
from i2i.models.onnxfile import Interface
from i2i.models.spec import MEANINGS, UNDESCRIBED, ModelSpec, translating
from i2i.models.trial import NotRunError, Output, Trial, check_output

UNIT: Range = (-1.0, 1.0)
BYTES: Range = (0.0, 255.0)
_USUAL: tuple[Range, ...] = ((0.0, 1.0), UNIT, BYTES)
"""Common values of black and white, the narrowest range first."""
_TYPES: dict[int, Any] = {1: np.float32, 2: np.uint8, 10: np.float16}
"""By element type in onnx.proto."""
_LEAST_PX = 32
_MULTIPLES = tuple(2**power for power in range(10))
_FAR = 0.25
"""Values this far outside their range, as a fraction of it, are more than overshoot ..."""
_MANY = 0.01
"""... if at least this fraction of an image's values are."""


class Values(NamedTuple):
    """Black and white in the floats of a model that does not state them, as the user gave them; None: not given.

    inputs: for outputs too, unless these have their own.
    """

    inputs: Range | None = None
    outputs: Range | None = None

    def check(self) -> None:
        """Raise UsageError for a pair that is not a range."""
        for name, pair in (("--value-range", self.inputs), ("--output-value-range", self.outputs)):
            if pair and not (math.isfinite(pair[0]) and math.isfinite(pair[1]) and pair[0] < pair[1]):
                raise UsageError(
                    f"{name} {pair[0]:g} {pair[1]:g} is not a range. Give black, then a larger value for white."
                )

    def refuse_for(self, file: Path) -> None:
        """Raise UsageError if a range is given for a file that states its own."""
        if self != UNSAID:
            raise UsageError(
                f"{file} states its own value ranges. Leave out --value-range and --output-value-range,\n"
                "which are for .onnx files of other projects."
            )


UNSAID = Values()


class TensorFormat(NamedTuple):
    """How a model represents images: axes as NHWC or NCHW, the type of its input, black and white."""

    input_last: bool
    output_last: bool
    dtype: Any
    input_range: Range
    output_range: Range

    def encode(self, batch: Array) -> Array:
        """Convert (N, C, H, W) float32 in [-1, 1] to what the model takes."""
        low, high = self.input_range
        values = batch if self.input_range == UNIT else (batch + 1) * np.float32((high - low) / 2) + np.float32(low)
        if np.issubdtype(self.dtype, np.integer):
            values = np.rint(values).clip(low, high)
        return np.ascontiguousarray(values.transpose(0, 2, 3, 1) if self.input_last else values, self.dtype)

    def decode(self, output: Array) -> Array:
        """Convert the model's output to (N, C, H, W) float32 in [-1, 1]. Raises ModelError if it is not an image."""
        if output.ndim != 4:
            raise ModelError(f"The model returns {output.shape} for this picture, which is not a picture.")
        low, high = self.output_range
        values = (output.transpose(0, 3, 1, 2) if self.output_last else output).astype(np.float32, copy=False)
        return values if self.output_range == UNIT else (values - np.float32(low)) * np.float32(2 / (high - low)) - 1

    def __str__(self) -> str:
        """Return a phrase such as "float32 NCHW from -1 to 1"."""
        last = {False: "NCHW", True: "NHWC"}
        phrase = f"{np.dtype(self.dtype)} {last[self.input_last]} {_range_phrase(self.input_range)}"
        if (self.input_last, self.input_range) == (self.output_last, self.output_range):
            return phrase
        return f"{phrase}, and assumed to return {last[self.output_last]} {_range_phrase(self.output_range)}"


def assumed(path: Path, interface: Interface, trial: Trial, asked: Values) -> tuple[ModelSpec, TensorFormat]:
    """Describe a model that has no description, by the inputs it declares and by runs on zeros.

    Raises ModelError, and UsageError for a range of values that are not floats.
    """
    layouts, dtype = _layouts(path, interface), _TYPES[interface.inputs[0].element]
    input_range, output_range = _ranges(path, interface, asked)
    end = time.monotonic() + trial.seconds  # shared by all these runs
    for last, channels in layouts:
        try:
            found = _try_layout(path, interface, trial, last, channels, end)
        except ModelError:
            if (last, channels) == layouts[-1]:
                raise
            continue
        break
    least = 1 if found.fixed else _LEAST_PX
    part = translating(UNDESCRIBED, {}, channels, found.made, found.multiple, least)
    spec = ModelSpec(
        i2i_version=UNDESCRIBED,
        algorithm=UNDESCRIBED,
        parts={"A2B": part},
        value_range=input_range,
        norm_statistics="image",
        trained_crop_px=0,
        trained_side_px=0,
        fixed_size=found.fixed,
    )
    return spec, TensorFormat(last, found.made_last, dtype, input_range, output_range)


def _ranges(path: Path, interface: Interface, asked: Values) -> tuple[Range, Range]:
    """Return black and white of inputs and outputs. Raises UsageError for a range of values that are not floats."""
    takes_bytes, makes_bytes = (_TYPES[value.element] is np.uint8 for value in (*interface.inputs, *interface.outputs))
    if makes_bytes and (asked.outputs or (asked.inputs and takes_bytes)):
        raise UsageError(f"{path} returns uint8, which is 0 to 255. Leave out --value-range and --output-value-range.")
    taken = BYTES if takes_bytes else asked.inputs or UNIT
    return taken, BYTES if makes_bytes else asked.outputs or asked.inputs or taken


class _Found(NamedTuple):
    """What runs on zeros showed: output channels, whether they are the last axis, multiple of sides, fixed sides."""

    made: int
    made_last: bool
    multiple: int
    fixed: tuple[int, int] | None


def _try_layout(path: Path, interface: Interface, trial: Trial, last: bool, channels: int, end: float) -> _Found:
    """Run a model on zeros in one layout. Raises ModelError if the output is not an image of the same size."""
    shape = interface.inputs[0].shape
    assert shape is not None
    height, width = shape[1:3] if last else shape[2:]
    fixed = (height, width) if height is not None and width is not None else None

    def output_of_size(height: int, width: int) -> Output:
        axes = (1, height, width, channels) if last else (1, channels, height, width)
        return trial.run(axes, _TYPES[interface.inputs[0].element])

    multiple, output = (1, output_of_size(*fixed)) if fixed else _smallest_multiple(path, output_of_size, end)
    return _Found(*_made(path, output, fixed), multiple, fixed)


def _layouts(path: Path, interface: Interface) -> list[tuple[bool, int]]:
    """Return the inputs that a model may take, the likeliest first: whether channels are the last axis, and how many.

    Raises ModelError for a model that does not map one picture to another.
    """
    inputs, outputs = interface.inputs, interface.outputs
    if len(inputs) == 1 and len(outputs) == 1:
        taken, made = inputs[0].shape, outputs[0].shape
        if made is not None and (len(made) < 4 or made[1:3] == (1, 1) or made[2:] == (1, 1)):
            raise ModelError(f"{path} returns {outputs[0]}, not a picture: it is a classifier or the like.")
        known = inputs[0].element in _TYPES and outputs[0].element in _TYPES
        if known and taken is not None and len(taken) == 4 and (made is None or len(made) == 4):
            found = []
            for last, count, height, width in ((False, *taken[1:]), (True, taken[3], *taken[1:3])):
                counts = [count] if count in MEANINGS else [3, 1] if count is None else []
                found += [(last, one, count is None) for one in counts if (height is None) == (width is None)]
            if found:
                certain = [(last, count) for last, count, guessed in found if not guessed]
                return certain[:1] or [(last, count) for last, count, _ in found]
    has = "; ".join(str(value) for value in inputs) or "nothing"
    raise ModelError(
        f"{path} takes {shown(has)} and holds no description by i2i.\n"
        "Without one, i2i runs models that map one picture to another: float32, float16 or uint8, NCHW or NHWC,\n"
        "with 1, 3 or 4 channels."
    )


def _smallest_multiple(path: Path, output_of_size: Callable[[int, int], Output], end: float) -> tuple[int, Output]:
    """Return the smallest multiple whose sides come out as they went in, and the output for zeros.

    end: when to give up, by time.monotonic. Raises ModelError.
    """
    for multiple in _MULTIPLES:
        if time.monotonic() > end:
            raise ModelError(f"{path} takes too long for pictures of zeros.")
        # Not a side of the next multiple, or the smaller one could pass.
        side = (-(-_LEAST_PX // multiple) | 1) * multiple
        with contextlib.suppress(NotRunError):
            output = output_of_size(side, side)
            if (side, side) in (output.shape[1:3], output.shape[2:]):
                return multiple, output
    raise ModelError(
        f"{path} makes no picture as large as its input, for any side from {_LEAST_PX} to {_MULTIPLES[-1]} px."
    )


def _made(path: Path, output: Output, fixed: tuple[int, int] | None) -> tuple[int, bool]:
    """Return the channels of the output for zeros, and whether they are the last axis. Raises ModelError."""
    sides = fixed or (output.shape[2], output.shape[2])  # a square, either way
    last = len(output.shape) == 4 and output.shape[1:3] == sides and output.shape[3] in MEANINGS
    check_output(path, output, (None, *sides, None) if last else (None, None, *sides))
    made = output.shape[3 if last else 1]
    if made not in MEANINGS:
        raise ModelError(f"{path} makes {made} channels; without a description, i2i can use 1, 3 or 4.")
    return made, last


class OutputWatch:
    """Watches the outputs of a model and keeps one line in `notes` while they do not look like the assumed range."""

    def __init__(self, assumed: Range, notes: list[str]):
        self.assumed, self.notes = assumed, notes
        self.low, self.high, self.far, self.said = math.inf, -math.inf, False, ""
        self._lock = threading.Lock()

    def see(self, output: Array) -> None:
        """Look at one output, in the model's own values. May be called from several threads."""
        if not np.issubdtype(output.dtype, np.floating):
            return  # of integers, black and white are known
        low, high = float(output.min()), float(output.max())
        if not (math.isfinite(low) and math.isfinite(high)):
            return  # refused elsewhere
        slack = _FAR * (self.assumed[1] - self.assumed[0])
        least, most = self.assumed[0] - slack, self.assumed[1] + slack
        far = (low < least or high > most) and np.mean((output < least) | (output > most)) > _MANY
        with self._lock:
            self.low, self.high, self.far = min(self.low, low), max(self.high, high), bool(self.far or far)
            self._say(self._note())

    def _say(self, note: str) -> None:
        if note == self.said:
            return
        if self.said:
            self.notes.remove(self.said)
        if note:
            self.notes.append(note)
        self.said = note

    def _note(self) -> str:
        seen = f"Its outputs are from {self.low:.3g} to {self.high:.3g}"
        guess = next((pair for pair in _USUAL if pair != self.assumed and self._fits(pair)), None)
        if guess and (self.far or guess[1] - guess[0] < self.assumed[1] - self.assumed[0]):
            pair = f"{guess[0]:g} {guess[1]:g}"
            return (
                f"{seen}, not {self.assumed[0]:g} to {self.assumed[1]:g} as assumed. If the pictures are wrong, try "
                f"--output-value-range {pair}, or --value-range {pair} if the model takes these values too."
            )
        if self.far:
            return (
                f"{seen}, far outside {self.assumed[0]:g} to {self.assumed[1]:g} as assumed. State black and white "
                "with --output-value-range LO HI, or --value-range LO HI for inputs and outputs."
            )
        return ""

    def _fits(self, pair: Range) -> bool:
        """Whether all outputs so far lie in a range, but for overshoot, and fill half of it."""
        slack = 0.1 * (pair[1] - pair[0])
        inside = pair[0] - slack <= self.low and self.high <= pair[1] + slack
        return inside and self.high - self.low > 0.5 * (pair[1] - pair[0])


def _range_phrase(values: Range) -> str:
    return f"from {values[0]:g} to {values[1]:g}"
