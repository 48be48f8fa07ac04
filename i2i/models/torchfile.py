"""Read weights from strangers' torch files (.pth, .pt) without running their code or trusting their sizes.

A torch file is a pickle, a program that builds objects, followed by the bytes of tensors: members of a zip archive or,
until torch 1.6, the rest of the file. i2i.models.torchpickle first turns the program into descriptions of tensors. Each
must fit its bytes, and all of them the file. Then torch.load reads the file with `weights_only=True`. That alone would
refuse code, but not huge claims of memory or tensors that reach beyond their bytes.
"""

import io
import math
import os
import pickle
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, NamedTuple

from i2i.errors import ModelError
from i2i.files import show_size
from i2i.models.mistaken import TORCH, require_kind, shown
from i2i.models.torchpickle import TensorShape, TorchUnpickler, of_type

if TYPE_CHECKING:
    from torch import Tensor

LEGACY_BYTES = 1 << 30
"""Largest file in the format of torch before 1.6; the generators of that time have at most 0.3 GB."""
_CHUNK_BYTES = 1 << 20
_DAMAGE = (LookupError, TypeError, ValueError, AttributeError, OverflowError, pickle.UnpicklingError, struct.error)
"""Exceptions that reading a damaged description raises."""
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_WRAPPERS = ("state_dict", "model_state_dict", "params_ema", "params", "model", "netG", "net_G", "generator", "G")
"""Keys under which programs store a network's weights; the first one found counts."""


class Limits(NamedTuple):
    """Limits on a file: its bytes, the bytes and steps of its description, and whether checksums are compared."""

    file_bytes: int
    description_bytes: int
    steps: int
    checksums: bool


WEIGHTS = Limits(2 << 30, 8 << 20, 400_000, checksums=True)
CHECKPOINT = Limits(1 << 50, 64 << 20, 4_000_000, checksums=False)
"""For our own checkpoints: as large as their networks, with a list of broken pictures and their own digest."""


def read_torch_file(path: Path, makes_pictures: bool = True) -> "dict[str, Tensor]":
    """Return the weights in a torch file, by name, on the CPU, as they were saved.

    Takes a state dict, or a checkpoint that holds one. Raises ModelError, which names what the file is instead.
    makes_pictures: a network whose last layer makes numbers is refused, too.
    """
    import torch

    require_kind(path, TORCH)
    names = _weights(check_torch_file(path), path, makes_pictures)
    try:
        with path.open("rb") as file:  # given a name, torch would go by its suffix
            tree = torch.load(file, map_location="cpu", weights_only=True)
        for key in names.within:
            tree = tree[key]
        tensors: dict[str, Tensor] = {name: tree[name] for name in names.tensors}
    except Exception as error:  # a damaged zip raises any of a dozen types
        raise ModelError(f"{path} is damaged: {shown(error)}") from error
    return tensors


def check_torch_file(path: Path, limits: Limits = WEIGHTS) -> object:
    """Check a torch file without torch; return what it holds, with descriptions in place of tensors.

    Raises ModelError if the file would run code, is damaged, or claims more bytes than it has.
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
        raise ModelError(f"{path} is damaged: its lists are nested too deeply.") from error
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, RuntimeError) as error:
        raise ModelError(f"{path} is damaged or cut: {shown(error)}. Get it again.") from error
    except _DAMAGE as error:
        raise ModelError(f"{path} is damaged: its description makes no sense. Get it again.") from error


class _BoundedFile(io.FileIO):
    """A file that limits the bytes of one read: zipfile would read an index of any length."""

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
                f"{path} is a TorchScript archive, which holds code; i2i reads only weights.\n"
                "Where it was made, save them: torch.save(network.state_dict(), 'weights.pth')."
            )
        packed = [m for m in members.values() if m.compress_type != zipfile.ZIP_STORED or m.flag_bits & 1]
        if packed:
            raise ModelError(
                f"{path} is a compressed archive, which torch does not write. It could unpack to any size."
            )
        if len(members) < len(archive.infolist()) or sum(m.file_size for m in members.values()) > size:
            raise ModelError(f"{path} is damaged: its parts overlap.")
        description = members.get(f"{root}/data.pkl")
        if description is None:
            raise ModelError(f"{path} is a zip archive, but not a torch file. Give the file that torch.save wrote.")
        if description.file_size > limits.description_bytes:
            raise ModelError(f"{path}: its description has {show_size(description.file_size)}; weights need far less.")
        unpickler = TorchUnpickler(path, io.BytesIO(archive.read(description)), limits.steps)
        tree = unpickler.load()
        for storage in unpickler.storages.values():
            member = members[f"{root}/data/{storage.key}"]
            if member.file_size != storage.elements * storage.element_bytes:
                raise ModelError(f"{path} is damaged: a tensor and its bytes differ in length.")
            if limits.checksums:
                with archive.open(member) as content:  # zipfile compares the checksum at the end; torch never does
                    while content.read(_CHUNK_BYTES):
                        pass
        return tree


def _check_legacy(path: Path, file: IO[bytes], size: int, limits: Limits) -> object:
    head = io.BytesIO(file.read(limits.description_bytes))
    if head.getbuffer()[:1] != b"\x80":
        raise ModelError(f"{path} is not a torch file. Give a state_dict that torch.save wrote.")
    unpickler = TorchUnpickler(path, head, limits.steps)
    if unpickler.load() != _LEGACY_MAGIC:
        raise ModelError(f"{path} is a plain Python pickle, not a torch file. Reading it could run code.")
    if size > LEGACY_BYTES:
        raise ModelError(
            f"{path} has {show_size(size)} in the format of torch before 1.6, which is read up to "
            f"{show_size(LEGACY_BYTES)}.\nSave it again with a newer torch."
        )
    _, _, tree, keys = (unpickler.load() for _ in range(4))  # the format's version, sizes of integers, ...
    if sorted(of_type(str, key) for key in keys) != sorted(unpickler.storages):
        raise ModelError(f"{path} is damaged: it does not list the tensors that it describes.")
    position = head.tell()
    for key in keys:
        storage = unpickler.storages[key]
        file.seek(position)
        if int.from_bytes(file.read(8), "little") != storage.elements:
            raise ModelError(f"{path} is damaged: a tensor and its bytes differ in length.")
        position += 8 + storage.elements * storage.element_bytes
    if position > size:
        raise ModelError(f"{path} is cut: {show_size(position - size)} are missing. Get it again.")
    return tree


class _Names(NamedTuple):
    """The weights of one network, and the keys that lead to them."""

    within: tuple[str, ...]
    tensors: dict[str, TensorShape]


def _weights(tree: object, path: Path, makes_pictures: bool) -> _Names:
    """Find the state dict in the content of a torch file; raises ModelError for none, and for a classifier's."""
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
    if makes_pictures and matrices and len(found.tensors[matrices[-1]].shape) == 2:
        outputs = found.tensors[matrices[-1]].shape[0]
        raise ModelError(
            f"{path} is a classifier or the like: its last layer, {shown(matrices[-1])}, makes {outputs} numbers, "
            "not a picture.\nGive the weights of a generator."
        )
    total = sum(tensor.storage.element_bytes * math.prod(tensor.shape) for tensor in found.tensors.values())
    if total > path.stat().st_size:
        raise ModelError(f"{path}: its tensors share bytes; as copies they would need {show_size(total)}.")
    return found


def _state_dicts(tree: object, within: tuple[str, ...] = ()) -> Iterator[_Names]:
    """Yield the dicts of tensors in a dict, up to two known wrappers deep; the best first."""
    if not isinstance(tree, dict):
        return
    tensors = {name: value for name, value in tree.items() if isinstance(name, str) and isinstance(value, TensorShape)}
    if tensors:
        yield _Names(within, tensors)
    elif len(within) < 2:
        for key in _WRAPPERS:
            yield from _state_dicts(tree.get(key), (*within, key))
