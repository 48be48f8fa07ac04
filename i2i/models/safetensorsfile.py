"""Read the header and the tensors of `.safetensors` files, by i2i and by others.

The format cannot hold code. It has no checksum either, so i2i writes a SHA-256 of the rest of the file into the header.
"""

import hashlib
import json
import mmap
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from i2i.errors import ModelError
from i2i.files import utf8_name
from i2i.models.mistaken import SAFETENSORS, require_kind, shown

if TYPE_CHECKING:
    from torch import Tensor

DIGEST_KEY = "i2i_digest"
_KINDS = {"float64", "float32", "float16", "bfloat16", "int64"}
"""Allowed dtypes. The format has more, but torch hardly computes with them."""


def read_metadata(path: Path) -> dict[str, str]:
    """Return the metadata in the header, empty where there is none. Raises ModelError."""
    from safetensors import SafetensorError, safe_open

    require_kind(path, SAFETENSORS)
    try:
        with utf8_name(path) as name, safe_open(name, framework="numpy") as file:
            return file.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{path} is not a model file: {shown(error, 200)}.") from error


def read_safetensors(path: Path) -> "dict[str, Tensor]":
    """Return the tensors by name, on the CPU, as they were saved. Raises ModelError."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    require_kind(path, SAFETENSORS)
    try:
        with utf8_name(path) as name:
            tensors: dict[str, Tensor] = load_file(name)
    except (OSError, SafetensorError, KeyError, ValueError, RuntimeError) as error:
        raise ModelError(f"{path} is not a model file: {shown(error, 200)}.") from error
    odd = {str(tensor.dtype).removeprefix("torch.") for tensor in tensors.values()} - _KINDS
    if odd:
        raise ModelError(f"{path} holds {min(odd)} numbers; weights are {', '.join(sorted(_KINDS))}.")
    return tensors


def refuse_changed(path: Path, metadata: Mapping[str, str]) -> None:
    """Raise ModelError if a .safetensors file does not match the digest in its metadata, if there is one."""
    if DIGEST_KEY not in metadata:
        return
    with (
        path.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
        memoryview(content) as view,
    ):
        if digest_of(view) != metadata[DIGEST_KEY]:
            raise ModelError(
                f"{path} is damaged, or another program changed it: it does not match the SHA-256 in its header.\n"
                "Get it again."
            )


def digest_of(content: memoryview) -> str:
    """Return the SHA-256 of a .safetensors file: of its parsed header, without the digest, and of its tensors."""
    header, data = parts_of(content)
    header["__metadata__"].pop(DIGEST_KEY, None)
    sha256 = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    sha256.update(data)
    return sha256.hexdigest()


def parts_of(content: memoryview) -> tuple[dict[str, Any], memoryview]:
    """Return the parsed header of a .safetensors file, and the bytes of its tensors."""
    start = 8 + int.from_bytes(content[:8], "little")
    return json.loads(bytes(content[8:start])), content[start:]
