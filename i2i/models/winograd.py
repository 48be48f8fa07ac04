"""Convolutions with fewer multiplications (Winograd's; Lavin and Gray 2016), in .onnx files that run on a CPU.

A tile of m x m outputs needs n x n inputs, n = m + r - 1, for a kernel of r x r. Transformed, each of the n * n values
is multiplied once per pair of channels, where the plain sum takes m * m * r * r multiplications. Y = A' [(G w G') * (B'
x B)] A, where * sums over channels (their eq. 8 and 12). i2i.networks.winograd trains with the same matrices.

In a file, a convolution of 3 x 3 becomes operators that ONNX Runtime computes fast: B' x B is a convolution of every
channel by itself, the sum over channels a batch of matrix products, and A' y A a transposed convolution. ONNX Runtime
transforms the kernels itself when it opens the file, and then holds four times as many.
"""

import functools
import math
from collections import defaultdict
from collections.abc import Iterable
from typing import Any, NamedTuple, Self

import numpy as np

from i2i.models.protobuf import Field, Message, Written, fields_of, integers, message_of, text, text_of, views

REACH = 6
"""n, the side of a tile of inputs."""
LEAST_CHANNELS = 256
"""Of inputs and outputs: with 128, transforms take much of what products save."""
MOST_BYTES = 1 << 28
"""Of the transformed kernels of a file: four times those in the file."""
_KERNEL, _TILE = 3, REACH - 2
_PLACES = REACH * REACH
_PREFIX = "i2i.winograd"
_FLOAT = 1  # number of the element type in onnx.proto


class Matrices(NamedTuple):
    """m, r, and the transforms along one side, in float64: B' (n, n), G (n, r) and A' (m, n)."""

    tile: int
    kernel: int
    inputs: "np.ndarray[Any, np.dtype[np.float64]]"
    kernels: "np.ndarray[Any, np.dtype[np.float64]]"
    outputs: "np.ndarray[Any, np.dtype[np.float64]]"


@functools.cache
def matrices(kernel: int) -> Matrices:
    """Return the transforms for kernels of 2 to 4 px.

    They multiply polynomials at six points, the last of which is infinity.
    """
    tile, points = REACH + 1 - kernel, (0.0, 1.0, -1.0, 0.5, -2.0)
    count = len(points)
    outputs, kernels = (
        np.concatenate([np.vander(points, most, increasing=True).T, np.eye(most)[:, -1:]], axis=1)
        for most in (tile, kernel)
    )
    inputs = np.zeros((REACH, REACH))
    for number in range(count + 1):
        others = [point for place, point in enumerate(points) if place != number]
        inputs[number, : len(others) + 1] = np.poly(others)[::-1]
        if number < count:
            kernels[:, number] /= math.prod(points[number] - point for point in others)
    return Matrices(tile, kernel, inputs, kernels.T, outputs)


def both_sides(matrix: "np.ndarray[Any, Any]") -> "np.ndarray[Any, np.dtype[np.float32]]":
    """Return the transform along both sides of what one matrix does along one, in float32."""
    return np.kron(matrix, matrix).astype(np.float32)


def rewritten(content: memoryview) -> bytes | None:
    """Return a checked .onnx file with Winograd's convolutions where they gain, for batches of 1; None if nowhere."""
    model = [*fields_of(content)]
    fields = [field for number, view in model if number == 7 for field in fields_of(views([view])[0])]
    tensors = (_Weight.read(_message(field)) for number, field in fields if number == 5)
    weights = {one.name: one for one in tensors if one}
    made: list[tuple[int, Written]] = []
    used = dict[str, int]()
    for number, field in fields:
        layer = _Layer.read(_message(field), weights, len(made)) if number == 1 else None
        made += [(1, node) for node in layer.nodes()] if layer else [(number, field)]
        used |= {layer.weight.name: 4 * _PLACES * layer.weight.made * layer.weight.taken} if layer else {}
    if not 0 < sum(used.values()) <= MOST_BYTES:
        return None
    graph = message_of([*made, *((5, tensor) for tensor in _constants())])
    return message_of((number, graph if number == 7 else field) for number, field in model)


def _message(field: Field) -> Message:
    found: Message = defaultdict(list)
    for number, inner in fields_of(views([field])[0]):
        found[number].append(inner)
    return found


class _Weight(NamedTuple):
    """The kernels of a convolution, (made, taken, 3, 3) in float32."""

    name: str
    made: int
    taken: int

    @classmethod
    def read(cls, tensor: Message) -> Self | None:
        """Return what a tensor is as kernels, None if Winograd's convolution would not gain with them."""
        shape = integers(tensor[1])
        fits = shape[2:] == (_KERNEL, _KERNEL) and integers(tensor[2]) == (_FLOAT,)
        return cls(text(tensor, 8), *shape[:2]) if fits and min(shape[:2]) >= LEAST_CHANNELS else None


class _Layer(NamedTuple):
    """A convolution that is rewritten."""

    input: str
    weight: _Weight
    bias: str
    output: str
    pads: tuple[int, ...]
    """Top, left, bottom, right."""
    prefix: str
    """Of names."""

    @classmethod
    def read(cls, node: Message, weights: dict[str, _Weight], number: int) -> Self | None:
        """Return the convolution that a node is, None if it is another operator or of another kind."""
        inputs = [text_of(name) for name in views(node[1])]
        if text(node, 4) != "Conv" or inputs[1] not in weights:
            return None
        attributes = {text(one, 1): one for one in map(_message, node[5])}
        lists = {name: integers(one[8]) for name, one in attributes.items()}
        plain = all(set(lists.get(name, ())) <= {1} for name in ("strides", "dilations"))
        grouped = "group" in attributes and integers(attributes["group"][3]) != (1,)
        automatic = "auto_pad" in attributes and text(attributes["auto_pad"], 4) != "NOTSET"
        if not plain or grouped or automatic:
            return None
        output, bias = text_of(views(node[2])[0]), inputs[2] if len(inputs) > 2 else ""
        pads = lists.get("pads", ()) or (0,) * 4
        return cls(inputs[0], weights[inputs[1]], bias, output, pads, f"{_PREFIX}.{number}")

    def nodes(self) -> list[bytes]:
        """Return the nodes that do the same, for (1, C, H, W)."""
        name, made, taken = self.weight
        top, left, bottom, right = self.pads
        tile, reach = (_TILE, _TILE), (REACH, REACH)
        beyond = (top, left, bottom + _TILE - 1, right + _TILE - 1)
        return [
            # The kernels, (places in a tile, made, taken), which ONNX Runtime computes once:
            self.node("Transpose", [name], "turned", perm=(2, 3, 0, 1)),
            self.constant("pairs", _KERNEL * _KERNEL, made * taken),
            self.node("Reshape", self.own("turned", "pairs"), "rows"),
            self.node("MatMul", [f"{_PREFIX}.kernels", *self.own("rows")], "mixed"),
            self.constant("many", _PLACES, made, taken),
            self.node("Reshape", self.own("mixed", "many"), "kernels"),
            # The tiles, (places in a tile, taken, tiles):
            self.constant("apart", -1, 1, 0, 0),
            self.node("Reshape", [self.input, *self.own("apart")], "channels"),
            self.node(
                "Conv",
                [*self.own("channels"), f"{_PREFIX}.inputs"],
                "tiled",
                kernel_shape=reach,
                strides=tile,
                pads=beyond,
            ),
            self.constant("flat", taken, _PLACES, -1),
            self.node("Reshape", self.own("tiled", "flat"), "tiles"),
            self.node("Transpose", self.own("tiles"), "places", perm=(1, 0, 2)),
            # The sums over channels, and the outputs, with up to three rows and columns too many:
            self.node("MatMul", self.own("kernels", "places"), "sums"),
            self.node("Transpose", self.own("sums"), "back", perm=(1, 0, 2)),
            self.node("Shape", self.own("tiled"), "sides", start=2),
            self.constant("first", made, _PLACES),
            self.node("Concat", self.own("first", "sides"), "shape", axis=0),
            self.node("Reshape", self.own("back", "shape"), "spread"),
            self.node(
                "ConvTranspose", [*self.own("spread"), f"{_PREFIX}.outputs"], "whole", kernel_shape=tile, strides=tile
            ),
            self.constant("together", 1, made, 0, 0),
            self.node("Reshape", self.own("whole", "together"), "joined"),
            *self.cut(top + bottom + 1 - _KERNEL, left + right + 1 - _KERNEL),
        ]

    def cut(self, rows: int, columns: int) -> list[bytes]:
        """Return the nodes that cut outputs to the sides of the input and so many more, and add the bias."""
        nodes = [
            self.node("Shape", [self.input], "given", start=2),
            self.constant("more", rows, columns),
            self.node("Add", self.own("given", "more"), "ends"),
            self.constant("starts", 0, 0),
            self.constant("axes", 2, 3),
        ]
        slices = self.own("joined", "starts", "ends", "axes")
        if not self.bias:
            return [*nodes, self.node("Slice", slices)]
        return [
            *nodes,
            self.node("Slice", slices, "cut"),
            self.constant("upright", 1, -1, 1, 1),
            self.node("Reshape", [self.bias, *self.own("upright")], "bias"),
            self.node("Add", self.own("cut", "bias")),
        ]

    def own(self, *names: str) -> list[str]:
        """Return names of values between the nodes."""
        return [f"{self.prefix}.{name}" for name in names]

    def node(
        self, operator: str, inputs: Iterable[str], output: str | None = None, **attributes: int | tuple[int, ...]
    ) -> bytes:
        """Return a node; output: a name that `own` knows, by default the output of the layer."""
        return _node(operator, inputs, self.own(output)[0] if output else self.output, attributes)

    def constant(self, output: str, *values: int) -> bytes:
        """Return a node that holds a list of numbers."""
        return self.node("Constant", (), output, value_ints=values)


def _node(operator: str, inputs: Iterable[str], output: str, attributes: dict[str, int | tuple[int, ...]]) -> bytes:
    fields: list[tuple[int, Written]] = [(1, name.encode()) for name in inputs]
    fields += [(2, output.encode()), (3, output.encode()), (4, operator.encode())]
    for name, value in attributes.items():
        number, kind, values = (3, 2, (value,)) if isinstance(value, int) else (8, 7, value)
        fields.append((5, message_of([(1, name.encode()), *((number, one) for one in values), (20, kind)])))
    return message_of(fields)


def _constants() -> Iterable[bytes]:
    """Yield the transforms as tensors."""
    by = matrices(_KERNEL)
    shapes = {
        "inputs": (both_sides(by.inputs), (_PLACES, 1, REACH, REACH)),
        "kernels": (both_sides(by.kernels), (_PLACES, _KERNEL * _KERNEL)),
        "outputs": (both_sides(by.outputs).T, (_PLACES, 1, _TILE, _TILE)),
    }
    for name, (values, shape) in shapes.items():
        raw = np.ascontiguousarray(values, "<f4").tobytes()
        yield message_of([*((1, side) for side in shape), (2, _FLOAT), (8, f"{_PREFIX}.{name}".encode()), (9, raw)])
