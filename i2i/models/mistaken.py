"""Recognise model files by their first bytes, and name what users give by mistake.

A refused download leaves a web page, a checkout without git-lfs a pointer, a full disk an empty file. Names do not
count: weights come as .bin, .ckpt or .PTH, and under the suffix of another format.
"""

import codecs
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from i2i.errors import ModelError

if TYPE_CHECKING:
    from torch import Tensor

ONNX, SAFETENSORS, TORCH = "ONNX model", "safetensors file", "torch file"
_SUFFIXES = {".onnx": ONNX, ".safetensors": SAFETENSORS, ".pth": TORCH, ".pt": TORCH}
"""The kind of a file whose first bytes show none, so that its reader can say what is wrong."""
_HEAD_BYTES = 512
_PROTOCOLS = (b"\x02", b"\x03", b"\x04", b"\x05")
"""Second bytes of the pickles in torch files."""


def kind_of(path: Path) -> str:
    """Return ONNX, SAFETENSORS or TORCH, by a file's content. Raises ModelError for other files.

    Only the first bytes are read. The reader of each kind checks whether the file is whole and harmless.
    """
    if not path.is_file():  # opening a named pipe would wait for a writer
        raise ModelError(f"{path} is not a file.")
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    _refuse_mistaken(path, head)
    kind = _kind(head) or _SUFFIXES.get(path.suffix.lower())
    if kind is None:
        raise ModelError(
            f"{path} is not a model file. i2i reads run folders, and .safetensors, .onnx and .pth files.\n"
            "Export models of other kinds to ONNX where they were made."
        )
    return kind


def require_kind(path: Path, wanted: str) -> None:
    """Raise ModelError for files that `kind_of` refuses, and for kinds other than `wanted`."""
    kind = kind_of(path)
    if kind != wanted:
        raise ModelError(f"{path} is {_with_article(kind)}, not {_with_article(wanted)}.")


def _refuse_mistaken(path: Path, head: bytes) -> None:
    """Raise ModelError where the first bytes of a file show that it is not a model."""
    start = head.removeprefix(codecs.BOM_UTF8).lstrip().lower()
    if not head.strip(b"\0"):
        raise ModelError(f"{path} is empty or holds only zeros: a download or copy failed. Get it again.")
    if start.startswith((b"<!doctype", b"<!--", b"<html", b"<head", b"<?xml")):
        raise ModelError(
            f"{path} is a web page, not a model: a server sent it in place of the file.\n"
            "Open its address in a browser, and download the file itself."
        )
    if start.startswith(b"version https://git-lfs"):
        raise ModelError(
            f"{path} is a git-lfs pointer, not the model itself.\nRun `git lfs pull` in the checkout it comes from."
        )
    if head.startswith(b"\x1f\x8b"):
        raise ModelError(f"{path} is a gzip archive. Unpack it, and give the file inside.")
    if text := _text(head):
        raise ModelError(
            f"{path} is text, not a model; it begins: {shown(text, 60)}\n"
            "A server may have sent it in place of the file. Get it again."
        )


def refuse_not_finite(path: Path, tensors: "Iterable[Tensor]") -> None:
    """Raise ModelError if a weight in a file is NaN or infinite."""
    if not all(tensor.isfinite().all() for tensor in tensors):
        raise ModelError(f"{path} holds weights that are NaN or infinite: the file is damaged, or its training failed.")


def shown(text: object, most: int = 80) -> str:
    """Return text from a stranger's file as one line without control characters, cut after `most` characters."""
    line = "".join(character if character.isprintable() else "?" for character in str(text))
    return line if len(line) <= most else f"{line[:most]} ..."


def _text(head: bytes) -> str:
    """Return the first lines of a text as one; empty if it is not text."""
    try:
        text = " ".join(codecs.getincrementaldecoder("utf-8")().decode(head).split())  # the cut may split a character
    except UnicodeDecodeError:
        return ""
    return text if text.isprintable() else ""


def _kind(head: bytes) -> str | None:
    # First, since the length of a header may look like the start of a pickle, as 640 does. No pickle or archive goes on
    # with three zeros and a brace.
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 1 << 40:
        return SAFETENSORS
    if head.startswith(b"PK\x03\x04") or (head[0] == 0x80 and head[1:2] in _PROTOCOLS):
        return TORCH
    # A model's first field is its IR version, a small number. Text and pickles begin in other ways.
    return ONNX if head[0] == 0x08 and b"\0" < head[1:2] < b"\x40" else None


def _with_article(kind: str) -> str:
    return f"{'an' if kind == ONNX else 'a'} {kind}"
