"""Check an .onnx file before ONNX Runtime opens it: every stranger's model may be hostile.

A graph can loop for ever, claim terabytes in one line, or name /etc/passwd as its weights. Only what generators of
pictures need is allowed: listed operators, no graphs inside graphs, bounded sizes, and weights in the file or in a
regular file beside it. The file is mapped and its protobuf walked by length, and neither onnx nor onnxruntime is
loaded. Files that i2i exports carry a digest of graph and description, which must be right.
Field numbers are those of onnx.proto (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto).
"""

import hashlib
import math
import mmap
import stat
import struct
from collections import Counter, defaultdict
from pathlib import Path
from typing import NamedTuple

from i2i.errors import ModelError
from i2i.models.mistaken import ONNX, require_kind, shown
from i2i.models.protobuf import DamagedError, Message, fields_of, floats, integers, only, text, text_of, views
from i2i.models.spec import METADATA_KEY

OPERATORS = frozenset(
    """
    Abs Add And ArgMax Atanh AveragePool BatchNormalization Cast CastLike Ceil Clip Concat Constant ConstantOfShape Conv
    ConvInteger ConvTranspose Cos DepthToSpace DequantizeLinear Div Dropout DynamicQuantizeLinear Einsum Elu Equal Erf
    Exp Expand Flatten Floor Gather GatherElements GatherND Gelu Gemm GlobalAveragePool GlobalMaxPool Greater
    GreaterOrEqual GridSample GroupNormalization HardSigmoid HardSwish Identity InstanceNormalization
    LayerNormalization LeakyRelu Less LessOrEqual Log LogSoftmax MatMul MatMulInteger Max MaxPool Mean Min Mish Mod Mul
    Neg Not Or PRelu Pad Pow QLinearConv QLinearMatMul QuantizeLinear Range Reciprocal ReduceL1 ReduceL2 ReduceMax
    ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu Reshape Resize Round ScatterElements ScatterND Selu
    Shape Sigmoid Sign Sin Size Slice Softmax Softplus Softsign SpaceToDepth Split Sqrt Squeeze Sub Sum Tanh
    ThresholdedRelu Tile Transpose Trilu Unsqueeze Upsample Where
    """.split()  # noqa: SIM905 - a hundred words are read more easily without quotes
)
"""Allowed operators: those of generators, their input and output, without control flow, randomness or strings."""
_GROWING = {"ConstantOfShape", "Expand", "Range", "Pad", "Reshape", "Resize", "Tile", "Upsample"}
"""Operators whose output can have a size written in the file."""
MOST_ELEMENTS = 1 << 24
"""Largest number of elements that a size written in the file may give."""
MOST_GROWTH = 1 << 10
"""Largest factor by which one operator may multiply the pixels of an image."""
DIGEST_KEY = "i2i.sha256"
"""Metadata entry with the digest of the graph and of the description."""
_MOST_NODES = 20_000
_MOST_FIELDS = 2_000_000
_VALUES = 64
"""Constants up to this number of elements are read: they may be sizes."""
ELEMENT_BITS = {1: 32, 2: 8, 3: 8, 4: 16, 5: 16, 6: 32, 7: 64, 9: 8, 10: 16, 11: 64, 12: 32, 13: 64, 16: 16}
"""By number in onnx.proto, without strings and complex numbers."""
_READ = {1: "f", 6: "i", 7: "q", 11: "d"}
ELEMENT_NAMES = {1: "float32", 2: "uint8", 3: "int8", 6: "int32", 7: "int64", 9: "bool", 10: "float16", 11: "float64"}


class Value(NamedTuple):
    """An input or output: its element type, a key of ELEMENT_NAMES, and its sides, None where free."""

    name: str
    element: int
    shape: tuple[int | None, ...] | None

    def __str__(self) -> str:
        """Show type and sides, as in float32 (?, 3, 256, 256); ? is free."""
        sides = "of any shape" if self.shape is None else ", ".join("?" if s is None else str(s) for s in self.shape)
        return f"{ELEMENT_NAMES.get(self.element, 'another type')} ({sides})"


class Interface(NamedTuple):
    """What a checked model says of itself."""

    inputs: list[Value]
    outputs: list[Value]
    metadata: dict[str, str]
    operators: dict[str, int]
    """How often each operator is in the graph, the most frequent first."""
    has_outside_weights: bool
    """Whether some weights lie in another file."""


def check_onnx(path: Path) -> Interface:
    """Raise ModelError if a file is not a model, is damaged, or holds what generators of pictures do not need."""
    require_kind(path, ONNX)
    try:
        with path.open("rb") as file:
            content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)  # closed with its last view
        return _Check(path, len(content)).model(memoryview(content))
    except DamagedError as error:
        raise ModelError(f"{path} is damaged or cut: {error}. Get it again.") from error
    except (UnicodeDecodeError, struct.error) as error:
        raise ModelError(f"{path} is damaged: its names or numbers cannot be read. Get it again.") from error


def digest_of(graph: memoryview | bytes, description: str) -> str:
    """Return the SHA-256, in hex, of a graph as its protobuf stands in the file, and of the description after it."""
    digest = hashlib.sha256(graph)
    digest.update(description.encode())
    return digest.hexdigest()


def _refuse_changed(path: Path, graph: memoryview, metadata: dict[str, str]) -> None:
    """Raise ModelError if a file is not what i2i wrote; files without a digest, as by earlier versions, pass."""
    known = metadata.get(DIGEST_KEY)
    if known is not None and known != digest_of(graph, metadata.get(METADATA_KEY, "")):
        raise ModelError(
            f"{path} is not as i2i exported it: it is damaged, or another program changed it.\n"
            f"Get it again; or, after a change on purpose, remove {DIGEST_KEY} from its metadata."
        )


class _Check:
    """Checks one file."""

    def __init__(self, path: Path, size: int):
        self.path = path
        self.size = size
        self.fields = 0
        self.constants: dict[str, tuple[float, ...]] = {}
        self.operators: Counter[str] = Counter()
        self.has_outside_weights = False

    def refuse(self, what: str) -> ModelError:
        return ModelError(f"{self.path} {what}.\ni2i only runs generators of pictures.")

    def model(self, view: memoryview) -> Interface:
        model = self.message(view)
        for number, what in ((20, "a training"), (25, "functions of its own")):
            if number in model:
                raise self.refuse(f"holds {what}")
        for opset in map(self.message, views(model[8])):
            self.domain(text(opset, 1))
        written = only(model, 7, "graph")
        graph = self.message(written)
        if not graph[1]:
            raise self.refuse("holds no operators")
        if graph[15]:
            raise self.refuse("holds sparse weights")
        if len(graph[1]) > _MOST_NODES:
            raise self.refuse(f"has {len(graph[1]):,} operators; {_MOST_NODES:,} are allowed")
        weights = {self.tensor(tensor) for tensor in views(graph[5])}
        for node in views(graph[1]):
            self.node(node)
        entries = [self.message(entry) for entry in views(model[14])]
        metadata = {text(entry, 1): text(entry, 2) for entry in entries}
        _refuse_changed(self.path, written, metadata)
        return Interface(
            [value for value in map(self.value, views(graph[11])) if value.name not in weights],
            [self.value(value) for value in views(graph[12])],
            metadata,
            dict(self.operators.most_common()),
            self.has_outside_weights,
        )

    def message(self, view: memoryview) -> Message:
        """Return the fields of a protobuf message by number; nested messages and bytes are views, not copies."""
        found: Message = defaultdict(list)
        for number, field in fields_of(view):
            self.fields += 1
            if self.fields > _MOST_FIELDS:
                raise self.refuse("has too many fields")
            found[number].append(field)
        return found

    def domain(self, domain: str) -> None:
        if domain not in ("", "ai.onnx"):
            raise self.refuse(f"uses operators of {shown(domain)}, which are not ONNX's own")

    def node(self, view: memoryview) -> None:
        node = self.message(view)
        operator = text(node, 4)
        self.domain(text(node, 7))
        if operator not in OPERATORS:
            raise self.refuse(f"uses the operator {shown(operator)}, which i2i does not allow")
        self.operators[operator] += 1
        scales: tuple[float, ...] = ()
        for attribute in map(self.message, views(node[5])):
            if any(attribute[number] for number in (6, 11, 14, 15, 21, 22, 23)):
                raise self.refuse(f"has graphs or references in an operator, {shown(operator)}")
            for tensor in views(attribute[5] + attribute[10]):
                name = text_of(views(node[2])[0]) if node[2] else ""
                self.tensor(tensor, name if operator == "Constant" else "")
            if operator == "Constant" and (attribute[3] or attribute[8]):
                self.constants[text_of(views(node[2])[0])] = (*integers(attribute[3]), *integers(attribute[8]))
            if operator == "Upsample" and text(attribute, 1) == "scales":
                scales = floats(attribute[7])
        if operator in _GROWING:
            self.growth(operator, [self.constants.get(text_of(name), ()) for name in views(node[1])], scales)

    def growth(self, operator: str, inputs: list[tuple[float, ...]], scales: tuple[float, ...]) -> None:
        """Refuse sizes in the file that no generator needs; the trial run limits sizes that are computed."""
        for position, values in enumerate((*inputs, scales)):
            # Resize takes an image, a region, scales and sizes; the others take an image and a size.
            is_scale = operator in ("Tile", "Upsample") or (operator == "Resize" and position < 3)
            # 0 and -1 keep the present size.
            size = math.prod(max(abs(value), 1) for value in values)
            if not size <= (MOST_GROWTH if is_scale else MOST_ELEMENTS):  # `not <=` refuses NaN, too
                numbers = "x".join(f"{value:g}" for value in values)
                raise self.refuse(f"asks for {shown(numbers)} {'times the' if is_scale else 'as a'} size in {operator}")

    def tensor(self, view: memoryview, constant: str | None = None) -> str:
        """Check what one tensor claims, keep it if it may be a size, and return its name.

        constant: the name that an operator gives it; "" for none.
        """
        tensor = self.message(view)
        name = constant if constant is not None else text(tensor, 8)
        shape, element = integers(tensor[1]), (integers(tensor[2]) or (0,))[-1]
        if element not in ELEMENT_BITS or len(shape) > 16 or min(shape, default=0) < 0 or tensor[3] or tensor[6]:
            raise self.refuse(f"has a constant {shown(name)} that holds no numbers")
        elements = math.prod(shape)
        claimed = -(-elements * ELEMENT_BITS[element] // 8)
        if tensor[13] or any(integers(tensor[14])):
            self.external(tensor, claimed)
        elif claimed > self.size:  # ONNX Runtime finds smaller lies without harm
            raise DamagedError(f"{shown(name)} claims {claimed} bytes")
        elif name and elements <= _VALUES and element in _READ:
            self.constants[name] = _values(tensor, element, elements)
        return name

    def external(self, tensor: Message, claimed: int) -> None:
        """Refuse weights in another file unless it is a regular file beside the model, without other links to it."""
        self.has_outside_weights = True
        entries = {text(entry, 1): text(entry, 2) for entry in map(self.message, views(tensor[13]))}
        location = entries.get("location", "")
        if not location or location != Path(location).name or "\\" in location or ":" in location:
            raise ModelError(
                f"{self.path} names {shown(location) or 'nothing'} as the file of its weights.\n"
                "That file must lie beside the model, and be named without a folder."
            )
        file = self.path.parent / location
        try:
            found = file.lstat()
        except OSError as error:
            raise ModelError(
                f"{self.path} has its weights in {shown(location)}, which is not beside it. Get that file, too."
            ) from error
        if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
            raise ModelError(
                f"{self.path} has its weights in {shown(location)}, which is a link or not a regular file.\n"
                "Put a copy of the file itself beside the model."
            )
        try:
            offset, length = int(entries.get("offset", 0)), int(entries.get("length", claimed))
        except ValueError as error:
            raise DamagedError("the offset or length of its weights is not a number") from error
        if offset < 0 or length != claimed or offset + length > found.st_size:
            raise ModelError(f"{self.path} claims more weights than {shown(location)} holds. Get both files again.")

    def value(self, view: memoryview) -> Value:
        info = self.message(view)
        kind = self.message(only(info, 2, "type"))
        if 1 not in kind:
            raise self.refuse("has an input or output that is not a tensor")
        tensor = self.message(only(kind, 1, "tensor type"))
        sides = None
        if tensor[2]:
            dims = [self.message(dim) for dim in views(self.message(only(tensor, 2, "shape"))[1])]
            sides = tuple(integers(dim[1])[-1] if dim[1] else None for dim in dims)
        return Value(text(info, 1), (integers(tensor[1]) or (0,))[-1], sides)


def _values(tensor: Message, element: int, elements: int) -> tuple[float, ...]:
    """Return the elements of a small constant, from raw bytes or from the field of their type."""
    if tensor[9]:
        raw = views(tensor[9])[-1]
        if len(raw) != elements * ELEMENT_BITS[element] // 8:
            raise DamagedError("a constant does not have the bytes of its shape")
        return struct.unpack(f"<{elements}{_READ[element]}", raw)
    if element == 1:
        return floats(tensor[4])
    return integers(tensor[5] if element == 6 else tensor[7]) if element in (6, 7) else ()
