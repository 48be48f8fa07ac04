"""Checkpoints: `checkpoints/<images, 9 digits>.pt`, written atomically and verified by a digest.

A checkpoint is what torch.save writes (tensors, dicts, numbers, strings, nothing that could run code) followed by a
trailer, `i2i-sha256:` and its SHA-256 in 32 bytes, since torch does not notice flipped bits. The digest is computed
while writing and reading, so the file is never held in memory beside the training itself. The trailer is not a
signature: a checkpoint is checked like any untrusted file before torch reads it.
"""

import errno
import hashlib
import io
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, FiniteFloat, NonNegativeInt, ValidationError

from i2i.errors import ModelError, OutOfMemoryError
from i2i.files import atomic_write
from i2i.machine import is_out_of_memory
from i2i.models.mistaken import shown
from i2i.models.torchfile import CHECKPOINT, check_torch_file
from i2i.networks.layers import NormStatistics
from i2i.training.best import Best

MAGIC = b"i2i-sha256:"
DAMAGED = ".damaged"
"""The suffix that replaces a damaged checkpoint's own, so that nothing takes it for a checkpoint again."""
_TRAILER = len(MAGIC) + hashlib.sha256().digest_size
_CHUNK = 1 << 20

State = dict[str, Any]


class _Head(BaseModel):
    """What a run reads from a checkpoint directly; the rest is checked by the objects that load it."""

    model_config = ConfigDict(strict=True)

    images: NonNegativeInt
    seconds: FiniteFloat
    config: dict[str, Any]
    scores: dict[str, float]
    best: Best | None
    norm_statistics: NormStatistics = "image"
    data: str
    what: str
    total_images: NonNegativeInt
    decay_images: NonNegativeInt


class _Digesting(io.BufferedWriter):
    """A file that digests what is written to it, and keeps the disk's error, which torch replaces by its own."""

    def __init__(self, path: Path):
        super().__init__(io.FileIO(path, "wb"))
        self.sha256 = hashlib.sha256()
        self.error: OSError | None = None

    def write(self, content: Any) -> int:
        try:
            written = super().write(content)
        except OSError as error:
            self.error = error
            raise
        self.sha256.update(content)
        return written


def save_checkpoint(folder: Path, images: int, state: State) -> Path:
    """Write `state` after `images` seen, atomically; return the file. Raises OSError, as for a full disk."""
    path = checkpoint_path(folder, images)
    with atomic_write(path) as temp, _Digesting(temp) as file:
        try:
            torch.save(state, file)
        except RuntimeError:
            if file.error:
                raise file.error from None
            raise
        file.write(MAGIC + file.sha256.digest())
    return path


def checkpoint_path(folder: Path, images: int) -> Path:
    """Return the file of the checkpoint after `images`."""
    return folder / f"{images:09d}.pt"


def list_checkpoints(folder: Path) -> list[Path]:
    """Return the checkpoints, oldest first."""
    return sorted(folder.glob("[0-9]" * 9 + ".pt"))


def load_checkpoint(path: Path) -> State:
    """Read and verify one checkpoint, onto the CPU; raises ModelError when it is damaged or no checkpoint."""
    verify_checkpoint(path)
    check_torch_file(path, CHECKPOINT)
    try:
        state: State = torch.load(path, map_location="cpu", weights_only=True)
        _Head.model_validate(state)
    except ValidationError as error:
        name = shown(".".join(str(part) for part in error.errors()[0]["loc"]))
        raise ModelError(
            f"{path} is not a checkpoint of a training: its {name} is not what a checkpoint holds."
        ) from error
    except Exception as error:  # a damaged zip file raises any of a dozen types
        if is_out_of_memory(error):  # the file may be fine
            raise OutOfMemoryError(f"{path} does not fit into memory: {shown(error)}") from error
        raise ModelError(f"{path} is not a checkpoint: {shown(error)}") from error
    return state


def verify_checkpoint(path: Path) -> None:
    """Read a checkpoint back from the disk; raises ModelError when its digest does not match."""
    left, sha256 = path.stat().st_size - _TRAILER, hashlib.sha256()
    with path.open("rb") as file:
        while left > 0 and (chunk := file.read(min(left, _CHUNK))):
            sha256.update(chunk)
            left -= len(chunk)
        if file.read() != MAGIC + sha256.digest():
            raise ModelError(f"{path} is damaged: its content does not have the digest it was written with.")


def load_newest(folder: Path) -> tuple[State | None, list[Path]]:
    """Return the newest undamaged checkpoint, None where there is none at all, and the damaged ones after it.

    Raises ModelError when all are damaged. A file that the disk cannot read counts as damaged.
    """
    damaged: list[Path] = []
    reasons = []
    for path in reversed(list_checkpoints(folder)):
        try:
            return load_checkpoint(path), damaged
        except (ModelError, OSError) as error:
            if (
                isinstance(error, OSError) and error.errno != errno.EIO
            ):  # as for a missing permission: the file may be fine
                raise
            damaged.append(path)
            reasons.append(str(error).splitlines()[0])
    if damaged:
        raise ModelError(
            f"Every checkpoint in {folder} is damaged: {', '.join(path.name for path in damaged)}.\n{reasons[0]}\n"
            "Train into another folder with --out; --init-from starts from the weights of a model file."
        )
    return None, []


def checkpoint_bytes(engine: State) -> int:
    """Return the approximate size of the checkpoints of a training, from the state of its Engine."""
    size = tensor_bytes(engine)
    if not any(optimizer["state"] for optimizer in engine["optimizers"].values()):
        size += 2 * tensor_bytes(engine["networks"])  # Adam's two moments, which its first step makes
    return size


def tensor_bytes(tree: object) -> int:
    """Return the size of all tensors in nested dicts and lists."""
    if isinstance(tree, torch.Tensor):
        return tree.nbytes
    if isinstance(tree, dict):
        return sum(tensor_bytes(value) for value in tree.values())
    return sum(tensor_bytes(value) for value in tree) if isinstance(tree, list | tuple) else 0


def prune_checkpoints(folder: Path, keep: int) -> None:
    """Delete all but the newest `keep`, once the newest has been verified."""
    checkpoints = list_checkpoints(folder)
    if len(checkpoints) <= keep:
        return
    verify_checkpoint(checkpoints[-1])
    for path in checkpoints[:-keep]:
        path.unlink(missing_ok=True)
