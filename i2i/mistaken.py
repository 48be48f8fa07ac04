"""Files that users give for a model by mistake, known by their first bytes and named.

A download that was refused leaves a web page, a checkout without git-lfs leaves a pointer, a full disk
an empty file; and a right file may bear a wrong name.
"""

import codecs
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from i2i.errors import ModelError

if TYPE_CHECKING:
    from torch import Tensor

KINDS = {".onnx": "ONNX model", ".safetensors": "safetensors file", ".pth": "torch file", ".pt": "torch file"}
"""What a suffix promises."""
_HEAD_BYTES = 512
_PROTOCOLS = (b"\x02", b"\x03", b"\x04", b"\x05")
"""Of pickles in torch files, their second byte."""


def refuse_mistaken(path: Path) -> None:
    """Raise ModelError when `path` is plainly no model, or not of the kind that its suffix promises."""
    if not path.is_file():  # before opening it: a named pipe would wait for a writer
        raise ModelError(f"{path} is no file.")
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    start = head.removeprefix(codecs.BOM_UTF8).lstrip().lower()
    if not head.strip(b"\0"):
        raise ModelError(f"{path} is empty, or nothing but zeros: a download or copy of it failed. Get it again.")
    if start.startswith((b"<!doctype", b"<!--", b"<html", b"<head", b"<?xml")):
        raise ModelError(
            f"{path} is a web page, not a model: what a server answered in place of the file.\n"
            "Open its address in a browser, and download the file itself."
        )
    if start.startswith(b"version https://git-lfs"):
        raise ModelError(
            f"{path} is a git-lfs pointer, not the model itself.\nRun `git lfs pull` in the checkout it comes from."
        )
    if text := _text(head):
        raise ModelError(
            f"{path} is text, not a model; it begins: {shown(text, 60)}\n"
            "That may be what a server answered in place of the file. Get it again."
        )
    wanted, kind = KINDS.get(path.suffix.lower()), _kind(head)
    if kind is not None and wanted not in (None, kind):
        article = "an" if kind.startswith("O") else "a"
        raise ModelError(f"{path} is {article} {kind} with the name of another kind. {_advice(kind)}")


def refuse_not_finite(path: Path, tensors: "Iterable[Tensor]") -> None:
    """Raise ModelError where the weights in a file are no numbers."""
    if not all(tensor.isfinite().all() for tensor in tensors):
        raise ModelError(f"{path} holds weights that are NaN or infinite: the file is damaged, or its training failed.")


def shown(text: object, most: int = 80) -> str:
    """Return what a stranger's file says as one line, cut after `most` characters, with nothing in it to obey."""
    line = "".join(character if character.isprintable() else "?" for character in str(text))
    return line if len(line) <= most else f"{line[:most]} ..."


def _text(head: bytes) -> str:
    """Return the first lines of a text as one, or nothing where it is none."""
    try:
        text = " ".join(codecs.getincrementaldecoder("utf-8")().decode(head).split())  # cut within a letter, perhaps
    except UnicodeDecodeError:
        return ""
    return text if text.isprintable() else ""


def _kind(head: bytes) -> str | None:
    if head.startswith(b"PK\x03\x04") or (head[0] == 0x80 and head[1:2] in _PROTOCOLS):
        return "torch file"
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 1 << 40:
        return "safetensors file"
    if head.startswith(b"\x1f\x8b"):
        return "gzip archive"
    # A model's first field is its IR version, a small number; text and pickles do not begin so.
    return "ONNX model" if head[0] == 0x08 and b"\0" < head[1:2] < b"\x40" else None


def _advice(kind: str | None) -> str:
    suffixes = [suffix for suffix, name in KINDS.items() if name == kind]
    return f"Rename it to {suffixes[0]}." if suffixes else "Unpack it."
