"""Checkpoints: `checkpoints/<images, 9 digits>.pt`, whole or absent, checked by a digest of their own.

A checkpoint is what torch.save writes (tensors, dicts, numbers, strings, nothing that could run code)
followed by a trailer with its SHA-256, since torch reads flipped bits without noticing.
"""

import hashlib
import io
import pickle
from pathlib import Path
from typing import Any

import torch

from i2i.errors import ModelError
from i2i.files import write_bytes

MAGIC = b"i2i-sha256:"
_TRAILER = len(MAGIC) + hashlib.sha256().digest_size

State = dict[str, Any]


def save_checkpoint(folder: Path, images: int, state: State) -> Path:
    """Write `state` for `images` seen, atomically; return the file."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    content = buffer.getvalue()
    path = folder / f"{images:09d}.pt"
    write_bytes(path, content + MAGIC + hashlib.sha256(content).digest())
    return path


def list_checkpoints(folder: Path) -> list[Path]:
    """Return the checkpoints, oldest first."""
    return sorted(folder.glob("[0-9]" * 9 + ".pt"))


def load_checkpoint(path: Path) -> State:
    """Read and verify one checkpoint, onto the CPU; raises ModelError when it is damaged."""
    content = path.read_bytes()
    body, trailer = content[:-_TRAILER], content[-_TRAILER:]
    if not trailer.startswith(MAGIC) or trailer[len(MAGIC) :] != hashlib.sha256(body).digest():
        raise ModelError(
            f"{path} is damaged: its content does not have the digest it was written with.\n"
            "Delete it to resume from the one before it."
        )
    try:
        state: State = torch.load(io.BytesIO(body), map_location="cpu", weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError) as error:
        raise ModelError(f"{path} is no checkpoint: {str(error).splitlines()[0]}") from error
    return state


def prune_checkpoints(folder: Path, keep: int) -> None:
    """Delete all but the newest `keep`, once the newest has been read back whole."""
    checkpoints = list_checkpoints(folder)
    if len(checkpoints) <= keep:
        return
    load_checkpoint(checkpoints[-1])
    for path in checkpoints[:-keep]:
        path.unlink(missing_ok=True)
