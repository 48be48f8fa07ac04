"""Weights from strangers' torch files (.pth, .pt): nothing in them is run, and no size that they claim is believed.

A torch file is a pickle, a program for building objects, with tensors' bytes beside it: members of a zip
archive or, until torch 1.6, the rest of the file. Before torch sees it, the program is walked here by a
reader that knows the few steps which weights take, calls nothing and builds only descriptions of tensors;
each must fit its bytes, and all of them the file. Then torch.load reads it with `weights_only=True`,
which alone would also refuse code, but neither memory claimed in a line nor tensors beyond their bytes.
"""

import io
import math
import os
import pickletools
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from i2i.errors import ModelError
from i2i.files import show_size
from i2i.models.mistaken import TORCH, require_kind, shown

if TYPE_CHECKING:
    from torch import Tensor

LEGACY_BYTES = 1 << 30
"""Largest file of torch before 1.6; the generators of that time have at most 0.3 GB."""
_CHUNK_BYTES = 1 << 20
_AXES = 16
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_WRAPPERS = ("state_dict", "model_state_dict", "params_ema", "params", "model", "netG", "net_G", "generator", "G")
"""Names under which programs keep a network's weights among other things; the first one found counts."""
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
"""Bytes of an element of each kind of storage."""
_DTYPES = {"float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool"}


class Limits(NamedTuple):
    """What a file may have: bytes, bytes and steps of its description; and whether its checksums are compared."""

    file_bytes: int
    description_bytes: int
    steps: int
    checksums: bool


WEIGHTS = Limits(2 << 30, 8 << 20, 400_000, checksums=True)
CHECKPOINT = Limits(1 << 50, 64 << 20, 4_000_000, checksums=False)
"""Of a training of our own: as large as its networks, with a list of broken pictures, and a digest of its own."""


class _Global(NamedTuple):
    """A name that the pickle would import; here it stays a name."""

    module: str
    name: str


class _Storage(NamedTuple):
    key: str
    element_bytes: int
    elements: int


class _Shape(NamedTuple):
    """A tensor as the pickle describes it."""

    storage: _Storage
    shape: tuple[int, ...]


def read_torch_file(path: Path) -> "dict[str, Tensor]":
    """Return the weights in a torch file, by name, on the CPU and as they were saved.

    Takes a state dict, or the one inside a checkpoint. Raises ModelError, which says what the file is where it is
    something else.
    """
    import torch

    require_kind(path, TORCH)
    names = _weights(check_torch_file(path), path)
    try:
        with path.open("rb") as file:  # given a name, torch would go by its ending
            tree = torch.load(file, map_location="cpu", weights_only=True)
        for key in names.within:
            tree = tree[key]
        tensors: dict[str, Tensor] = {name: tree[name] for name in names.tensors}
    except Exception as error:  # a damaged zip ends in any of a dozen
        raise ModelError(f"{path} is damaged: {shown(error)}") from error
    return tensors


def check_torch_file(path: Path, limits: Limits = WEIGHTS) -> object:
    """Check a torch file without torch; return what it holds, with descriptions in place of tensors.

    Raises ModelError for what runs code, is damaged, or claims more than the file has.
    """
    size = path.stat().st_size
    if size > limits.file_bytes:
        most = show_size(limits.file_bytes)
        raise ModelError(f"{path} has {show_size(size)}; weights of a generator have at most {most}.")
    try:
        with _BoundedFile(path, limits.description_bytes) as file:
            is_zip = file.read(4) == b"PK\x03\x04"  # as torch decides
            file.seek(0)
            return (_check_zip if is_zip else _check_legacy)(path, file, size, limits)
    except ModelError:
        raise
    except RecursionError as error:
        raise ModelError(f"{path} is damaged: its lists are nested without end.") from error
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, RuntimeError) as error:
        raise ModelError(f"{path} is damaged or cut: {shown(error)}. Get it again.") from error
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:  # of the walk below
        raise ModelError(f"{path} is damaged: its description cannot be followed. Get it again.") from error


class _BoundedFile(io.FileIO):
    """A file of which no more is read at once than a description may have, as zipfile would a long index."""

    def __init__(self, path: Path, most: int):
        super().__init__(path)
        self.most = most

    def read(self, size: int | None = -1, /) -> bytes:
        """Return `size` bytes, or the rest."""
        asked = os.fstat(self.fileno()).st_size - self.tell() if size is None or size < 0 else size
        if asked > self.most:
            raise ValueError
        return super().read(asked) or b""


def _check_zip(path: Path, file: IO[bytes], size: int, limits: Limits) -> object:
    with zipfile.ZipFile(file) as archive:
        members = {member.filename: member for member in archive.infolist()}
        if not members:
            raise ModelError(f"{path} is an empty archive. Get it again.")
        root = next(iter(members)).split("/")[0]
        if f"{root}/constants.pkl" in members or any(name.startswith(f"{root}/code/") for name in members):
            raise ModelError(
                f"{path} is a TorchScript archive, which holds code; i2i reads weights alone.\n"
                "Where it was made, save them: torch.save(network.state_dict(), 'weights.pth')."
            )
        packed = [m for m in members.values() if m.compress_type != zipfile.ZIP_STORED or m.flag_bits & 1]
        if packed:
            raise ModelError(f"{path} is a compressed archive, which torch does not write; it may unpack to any size.")
        if len(members) < len(archive.infolist()) or sum(m.file_size for m in members.values()) > size:
            raise ModelError(f"{path} is damaged: its parts overlap.")
        pickle = members.get(f"{root}/data.pkl")
        if pickle is None:
            raise ModelError(f"{path} is a zip archive, but no torch file. Give the file that torch.save wrote.")
        if pickle.file_size > limits.description_bytes:
            raise ModelError(f"{path}: its description has {show_size(pickle.file_size)}; weights need far less.")
        walk = _Walk(path, io.BytesIO(archive.read(pickle)), limits.steps)
        tree = walk.run()
        for storage in walk.storages.values():
            member = members[f"{root}/data/{storage.key}"]
            if member.file_size != storage.elements * storage.element_bytes:
                raise ModelError(f"{path} is damaged: a tensor claims other bytes than the file holds for it.")
            if limits.checksums:
                with archive.open(member) as content:  # zipfile compares the checksum at the end, torch never does
                    while content.read(_CHUNK_BYTES):
                        pass
        return tree


def _check_legacy(path: Path, file: IO[bytes], size: int, limits: Limits) -> object:
    head = io.BytesIO(file.read(limits.description_bytes))
    if head.getbuffer()[:1] != b"\x80":
        raise ModelError(f"{path} is not a torch file. Give a state_dict that torch.save wrote.")
    walk = _Walk(path, head, limits.steps)
    if walk.run() != _LEGACY_MAGIC:
        raise ModelError(f"{path} is a plain Python pickle, no torch file; reading one could run code.")
    if size > LEGACY_BYTES:
        raise ModelError(
            f"{path} has {show_size(size)} in the format of torch before 1.6, which is read up to "
            f"{show_size(LEGACY_BYTES)}.\nSave it again with a newer torch."
        )
    _, _, tree, keys = (walk.run() for _ in range(4))  # the format's version, the machine's number sizes, ...
    if sorted(_of(str, key) for key in keys) != sorted(walk.storages):
        raise ModelError(f"{path} is damaged: it lists other tensors than it describes.")
    position = head.tell()
    for key in keys:
        storage = walk.storages[key]
        file.seek(position)
        if int.from_bytes(file.read(8), "little") != storage.elements:
            raise ModelError(f"{path} is damaged: a tensor claims other bytes than the file holds for it.")
        position += 8 + storage.elements * storage.element_bytes
    if position > size:
        raise ModelError(f"{path} is cut: {show_size(position - size)} of it are missing. Get it again.")
    return tree


class _Walk:
    """Follows pickles, one after the other in a stream, without running any: calls become descriptions."""

    def __init__(self, path: Path, stream: IO[bytes], most_steps: int):
        self.path = path
        self.stream = stream
        self.storages: dict[str, _Storage] = {}
        self.most_steps = most_steps
        self.steps = 0

    def run(self) -> Any:
        """Return what the next pickle builds. Raises ModelError, and what a list raises for a damaged one."""
        stack: list[Any] = []
        marks: list[int] = []
        memo: dict[int, Any] = {}

        def since_mark() -> list[Any]:
            start = marks.pop()
            items = stack[start:]
            del stack[start:]
            return items

        argument: Any
        for opcode, argument, _ in pickletools.genops(self.stream):
            self.steps += 1
            if self.steps > self.most_steps:
                raise ModelError(
                    f"{self.path}: its description has over {self.most_steps:,} steps; weights need fewer."
                )
            match opcode.name:
                case "PROTO" if argument in range(2, 6):
                    pass
                case "BININT" | "BININT1" | "BININT2" | "LONG1" | "BINFLOAT" | "BINUNICODE" | "SHORT_BINSTRING":
                    stack.append(argument)
                case "NONE" | "NEWTRUE" | "NEWFALSE":
                    stack.append({"NONE": None, "NEWTRUE": True, "NEWFALSE": False}[opcode.name])
                case "EMPTY_DICT" | "EMPTY_LIST" | "EMPTY_TUPLE":
                    stack.append({"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple}[opcode.name]())
                case "MARK":
                    marks.append(len(stack))
                case "TUPLE":
                    stack.append(tuple(since_mark()))
                case "TUPLE1" | "TUPLE2" | "TUPLE3":
                    count = int(opcode.name[-1])
                    stack[-count:] = [tuple(stack[-count:])]
                case "BINPUT" | "LONG_BINPUT":
                    memo[argument] = stack[-1]
                case "BINGET" | "LONG_BINGET":
                    stack.append(memo[argument])
                case "APPEND":
                    item = stack.pop()
                    _of(list, stack[-1]).append(item)
                case "APPENDS":
                    items = since_mark()
                    _of(list, stack[-1]).extend(items)
                case "SETITEM":
                    value, key = stack.pop(), stack.pop()
                    _put(stack[-1], [key, value])
                case "SETITEMS":
                    items = since_mark()
                    _put(stack[-1], items)
                case "GLOBAL":
                    stack.append(self._known(*argument.split(" ", 1)))
                case "BINPERSID":
                    stack.append(self._storage(stack.pop()))
                case "REDUCE":
                    arguments = stack.pop()
                    stack.append(self._call(stack.pop(), arguments))
                case "BUILD":
                    state = stack.pop()
                    if set(_of(dict, state)) != {"_metadata"} or not isinstance(stack[-1], dict):
                        raise ModelError(f"{self.path} is damaged: it sets attributes of what has none.")
                case "STOP":
                    return stack.pop()
                case _:
                    raise ModelError(
                        f"{self.path} takes a step, {opcode.name}, that weights saved by torch do not.\n{_SAVE_AGAIN}"
                    )
        raise EOFError

    def _known(self, module: str, name: str) -> _Global:
        known = (
            (module in ("torch", "torch.cuda") and name in _STORAGES)
            or (module == "torch" and (name in _DTYPES or name == "Size"))
            or (module, name) == ("collections", "OrderedDict")
            or (module == "torch._utils" and name in ("_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_parameter"))
        )
        if not known:
            raise ModelError(
                f"{self.path} holds more than weights: {shown(f'{module}.{name}')}; making it could run code.\n"
                f"{_SAVE_AGAIN}"
            )
        return _Global(module, name)

    def _storage(self, identity: Any) -> _Storage:
        """What the fixed 5-tuple says that names a tensor's bytes; old files add a None for "no view"."""
        word, kind, key, _, elements, *view = identity
        if word != "storage" or view not in ([], [None]):
            raise ModelError(f"{self.path} holds a whole network or views, not weights alone.\n{_SAVE_AGAIN}")
        storage = _Storage(_of(str, key), _STORAGES[kind.name], _of(int, elements))
        if storage.elements < 0 or self.storages.setdefault(key, storage) != storage:
            raise ModelError(f"{self.path} is damaged: it describes the same bytes in two ways.")
        return storage

    def _call(self, function: Any, arguments: Any) -> Any:
        """Return what the one call of a few that weights need would have built."""
        match _of(_Global, function).name, _of(tuple, arguments):
            case "OrderedDict", ():
                return {}
            case "OrderedDict", (list(pairs),):
                made: dict[Any, Any] = {}
                for pair in pairs:
                    _put(made, list(pair))
                return made
            case "Size", (tuple(size),):
                return size
            case "_rebuild_parameter", (_Shape() as tensor, *_):
                return tensor
            case (("_rebuild_tensor" | "_rebuild_tensor_v2"), (_Storage() as storage, offset, shape, stride, *_)):
                return self._tensor(storage, offset, shape, stride)
        raise ModelError(f"{self.path} is damaged: it makes {function.name} of what that is not made of.")

    def _tensor(self, storage: _Storage, offset: Any, shape: Any, stride: Any) -> _Shape:
        numbers = (offset, *shape, *stride)
        is_one = len(shape) <= _AXES and len(shape) == len(stride)
        if not is_one or not all(isinstance(number, int) and 0 <= number < 1 << 63 for number in numbers):
            raise ModelError(f"{self.path} is damaged: a tensor has a shape that none has.")
        elements = math.prod(shape)
        last = offset + sum((side - 1) * step for side, step in zip(shape, stride, strict=True))
        # A stride of 0 would show one number as a billion, which the next copy of the tensor would really hold.
        if elements and (last >= storage.elements or elements > storage.elements):
            raise ModelError(f"{self.path} is damaged: a tensor of shape {shown(shape)} reaches beyond its bytes.")
        return _Shape(storage, tuple(shape))


_SAVE_AGAIN = "Where it was made, save the weights alone: torch.save(network.state_dict(), 'weights.pth')."


class _Names(NamedTuple):
    """Where in a file the weights of one network are."""

    within: tuple[str, ...]
    tensors: dict[str, _Shape]


def _weights(tree: object, path: Path) -> _Names:
    """Find the state dict in what a torch file holds; raises ModelError where there is none, or a classifier's."""
    found = next(_state_dicts(tree), None)
    if found is None and isinstance(tree, dict) and {"i2i_version", "config"} <= tree.keys():
        raise ModelError(
            f"{path} is a checkpoint of a training by i2i, for `i2i train --resume`.\n"
            "Give the run folder, or the model.safetensors in it."
        )
    if found is None:
        held = f"keys {', '.join(shown(key) for key in list(tree)[:4])}" if isinstance(tree, dict) else "no dict"
        raise ModelError(
            f"{path} holds no weights ({held}). Give the state_dict of a generator, as torch.save wrote it."
        )
    matrices = [name for name, tensor in found.tensors.items() if name.endswith("weight") and len(tensor.shape) > 1]
    if matrices and len(found.tensors[matrices[-1]].shape) == 2:
        outputs = found.tensors[matrices[-1]].shape[0]
        raise ModelError(
            f"{path} is a classifier or the like: its last layer, {shown(matrices[-1])}, makes {outputs} numbers and "
            "no picture.\nGive the weights of a generator."
        )
    total = sum(tensor.storage.element_bytes * math.prod(tensor.shape) for tensor in found.tensors.values())
    if total > path.stat().st_size:
        raise ModelError(f"{path}: its tensors share bytes; copied apart they would have {show_size(total)}.")
    return found


def _state_dicts(tree: object, within: tuple[str, ...] = ()) -> Iterator[_Names]:
    """Yield the dicts of tensors in a dict and, two levels deep, in what is known to wrap one; the best first."""
    if not isinstance(tree, dict):
        return
    tensors = {name: value for name, value in tree.items() if isinstance(name, str) and isinstance(value, _Shape)}
    if tensors:
        yield _Names(within, tensors)
    elif len(within) < 2:
        for key in _WRAPPERS:
            yield from _state_dicts(tree.get(key), (*within, key))


def _of(kind: type, value: Any) -> Any:
    if not isinstance(value, kind):
        raise TypeError
    return value


def _put(target: Any, items: list[Any]) -> None:
    """Set keys and values, alternating; only keys that hash at once, unlike tuples nested in tuples."""
    for key, value in zip(items[::2], items[1::2], strict=True):
        if not isinstance(key, str | int | float):
            raise TypeError
        _of(dict, target)[key] = value
