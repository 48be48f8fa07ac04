"""Turn the pickle in a torch file into descriptions of tensors, without importing or running anything.

This builds on Python's own unpickler, in its Python version. The version in C allocates memory for any memo index that
a file names, and hashes keys before they can be checked. Only the opcodes that weights need are allowed, each is
counted, and stand-ins take the place of what they would import or call.
"""

import math
import pickle
import pickletools
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, NamedTuple

from i2i.errors import ModelError
from i2i.models.mistaken import shown

_AXES = 16
_STORAGES = {
    "DoubleStorage": 8,
    "FloatStorage": 4,
    "HalfStorage": 2,
    "BFloat16Storage": 2,
    "LongStorage": 8,
    "IntStorage": 4,
    "ShortStorage": 2,
    "CharStorage": 1,
    "ByteStorage": 1,
    "BoolStorage": 1,
}
"""Bytes per element of each kind of storage."""
_DTYPES = {"float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool"}
_STEPS = """
    PROTO STOP MARK NONE NEWTRUE NEWFALSE BININT BININT1 BININT2 LONG1 BINFLOAT BINUNICODE SHORT_BINSTRING
    EMPTY_DICT EMPTY_LIST EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 APPEND APPENDS SETITEM SETITEMS
    BINPUT LONG_BINPUT BINGET LONG_BINGET GLOBAL BINPERSID REDUCE BUILD
""".split()  # noqa: SIM905 - easier to read without quotes
_SAVE_AGAIN = "Where it was made, save the weights alone: torch.save(network.state_dict(), 'weights.pth')."


class Storage(NamedTuple):
    """The bytes of one or more tensors, by their name in the file."""

    key: str
    element_bytes: int
    elements: int


class TensorShape(NamedTuple):
    """A tensor as the pickle describes it."""

    storage: Storage
    shape: tuple[int, ...]


class _Global(NamedTuple):
    """The stand-in for what the pickle would import; a call returns a description of the result."""

    name: str
    make: Callable[..., Any]

    def __call__(self, *arguments: Any) -> Any:
        return self.make(*arguments)


class _Steps(dict[int, Callable[..., None]]):
    """The handlers of the allowed opcodes; looking one up counts a step."""

    def __init__(self, path: Path, most: int):
        super().__init__()
        self.path, self.most, self.taken = path, most, 0

    def __getitem__(self, opcode: int) -> Callable[..., None]:
        self.count(1)
        if opcode not in self:
            name = next((one.name for one in pickletools.opcodes if ord(one.code) == opcode), str(opcode))
            raise ModelError(
                f"{self.path} uses {name}, an opcode that weights saved by torch do not need.\n{_SAVE_AGAIN}"
            )
        return super().__getitem__(opcode)

    def count(self, steps: int) -> None:
        """Count steps; raises ModelError if there are too many."""
        self.taken += steps
        if self.taken > self.most:
            raise ModelError(f"{self.path}: its description has over {self.most:,} steps; weights need fewer.")


class TorchUnpickler(pickle._Unpickler):
    """Reads consecutive pickles from a stream.

    `load` raises ModelError, and what a list, a dict or the pickle module raises for a damaged one.
    """

    stack: list[Any]
    memo: dict[int, Any]

    def __init__(self, path: Path, stream: IO[bytes], most_steps: int):
        super().__init__(stream)
        self.path = path
        self.storages: dict[str, Storage] = {}
        self.steps = _Steps(path, most_steps)
        codes = {name: getattr(pickle, name)[0] for name in _STEPS}
        self.steps.update({code: pickle._Unpickler.dispatch[code] for code in codes.values()})
        self.steps[codes["SETITEM"]] = TorchUnpickler._set_item
        self.steps[codes["SETITEMS"]] = TorchUnpickler._set_items
        self.steps[codes["BUILD"]] = TorchUnpickler._build
        self.dispatch = self.steps  # type: ignore[misc]  # replaces that of the class, which counts nothing

    def load(self) -> Any:
        """Return a description of the next pickle."""
        self.memo = {}
        try:
            return super().load()
        except EOFError as error:
            raise ModelError(f"{self.path} is damaged or cut: its description ends too early. Get it again.") from error

    def find_class(self, module: str, name: str) -> _Global:
        """Return the stand-in for one of the few names that weights need."""
        calls: dict[tuple[str, str], Callable[..., Any]] = {
            ("collections", "OrderedDict"): self._dict,
            ("torch", "Size"): _size,
            ("torch._utils", "_rebuild_tensor"): self._tensor,
            ("torch._utils", "_rebuild_tensor_v2"): self._tensor,
            ("torch._utils", "_rebuild_parameter"): _parameter,
        }
        if (module, name) in calls:
            return _Global(name, calls[module, name])
        if (module in ("torch", "torch.cuda") and name in _STORAGES) or (module == "torch" and name in _DTYPES):
            return _Global(name, _never_called)
        full = shown(f"{module}.{name}")
        raise ModelError(f"{self.path} holds more than weights: {full}; making it could run code.\n{_SAVE_AGAIN}")

    def persistent_load(self, identity: Any) -> Storage:
        """Return the storage that a 5-tuple names; old files add a None for "no view"."""
        word, kind, key, _, elements, *view = identity
        if word != "storage" or view not in ([], [None]):
            raise ModelError(f"{self.path} holds a whole network or views, not just weights.\n{_SAVE_AGAIN}")
        storage = Storage(of_type(str, key), _STORAGES[kind.name], of_type(int, elements))
        if storage.elements < 0 or self.storages.setdefault(key, storage) != storage:
            raise ModelError(f"{self.path} is damaged: it describes the same bytes in two ways.")
        return storage

    def _set_item(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        _put(self.stack[-1], [key, value])

    def _set_items(self) -> None:
        items = self.pop_mark()  # type: ignore[attr-defined]
        _put(self.stack[-1], items)

    def _build(self) -> None:
        """Pass over the versions of a network's modules; nothing else has attributes."""
        state = self.stack.pop()
        if of_type(dict, state).keys() != {"_metadata"} or not isinstance(self.stack[-1], dict):
            raise ModelError(f"{self.path} is damaged: it sets attributes on an object without any.")

    def _dict(self, *arguments: Any) -> dict[Any, Any]:
        made: dict[Any, Any] = {}
        for pairs in arguments:
            self.steps.count(len(of_type(list, pairs)))  # the same list may become a dict any number of times
            for key, value in pairs:
                _put(made, [key, value])
        return made

    def _tensor(self, storage: Any, offset: Any, shape: Any, stride: Any, *_: Any) -> TensorShape:
        """Describe a tensor, which must lie within its bytes."""
        of_type(Storage, storage)
        if len(shape) > _AXES or len(shape) != len(stride):
            raise ModelError(f"{self.path} is damaged: a tensor has an impossible shape.")
        if not all(isinstance(number, int) and 0 <= number < 1 << 63 for number in (offset, *shape, *stride)):
            raise ModelError(f"{self.path} is damaged: a tensor has an impossible shape.")
        elements = math.prod(shape)
        last = offset + sum((side - 1) * step for side, step in zip(shape, stride, strict=True))
        # A stride of 0 could show one number as a billion, and the next copy of the tensor would hold them all.
        if elements and (last >= storage.elements or elements > storage.elements):
            raise ModelError(f"{self.path} is damaged: a tensor of shape {shown(shape)} reaches beyond its bytes.")
        return TensorShape(storage, tuple(shape))


def of_type(kind: type | tuple[type, ...], value: Any) -> Any:
    """Return a value of type `kind`; raises TypeError for others."""
    if not isinstance(value, kind):
        raise TypeError
    return value


def _size(sides: Any) -> Any:
    return of_type(tuple, sides)


def _parameter(tensor: Any, *_: Any) -> Any:
    return of_type(TensorShape, tensor)


def _never_called(*_: Any) -> None:
    raise TypeError


def _put(target: Any, items: list[Any]) -> None:
    """Set alternating keys and values; keys must hash fast, which nested tuples do not."""
    for key, value in zip(items[::2], items[1::2], strict=True):
        of_type(dict, target)[of_type((str, int, float), key)] = value
