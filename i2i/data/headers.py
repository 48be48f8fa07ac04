"""What the headers of many pictures said, kept from one training to the next.

A file whose size and time are as they were is not opened again. The index lies in the user's cache, one file for each
folder and layout; without it, or where it is damaged, all headers are read.
"""

import contextlib
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from i2i import weights
from i2i.data.items import Item, Pair, Picture
from i2i.files import atomic_write
from i2i.images import Array, Facts, Header, Layout, read_facts
from i2i.images.beside import mask_changed_ns
from i2i.images.shards import is_local

_LEAST = 10_000
"""Fewer pictures are not worth an index."""
_ROW = [(name, "<u8") for name in ("key", "size", "mtime", "height", "width", "left_out", "flags")]
_FLAGS = ("grey", "deep", "may_have_alpha", "nodata")


class Headers:
    """Reads headers; safe to use from several threads."""

    def __init__(self, items: Sequence[Item]):
        """Find the index of these items, if there are many."""
        self._file = _index_file(items) if len(items) >= _LEAST else None
        self._known: Array = np.zeros(0, _ROW)
        self._rows: dict[int, tuple[int, ...]] = {}
        with contextlib.suppress(OSError, ValueError, EOFError):
            if self._file:
                found = np.load(self._file, allow_pickle=False)
                self._known = found if found.dtype == np.dtype(_ROW) else self._known
        self._keys = np.ascontiguousarray(self._known["key"])

    def read(self, picture: Picture) -> Facts:
        """Return what `read_facts` says of a picture; raises the same."""
        path, layout = picture.path, picture.layout
        if not self._file or layout.stack or not is_local(path):
            return read_facts(path, layout=layout)
        try:
            found = os.stat(path)  # noqa: PTH116 - of a million
        except OSError:
            return read_facts(path, layout=layout)
        key, stamp = _key(path, layout), (found.st_size, found.st_mtime_ns + mask_changed_ns(path))
        place = int(np.searchsorted(self._keys, np.uint64(key)))  # an int would make floats of all keys
        if place < len(self._keys) and self._keys[place] == key:
            _, size, mtime, height, width, left_out, flags = map(int, self._known[place])
            if (size, mtime) == stamp:
                bits = {name: bool(flags >> bit & 1) for bit, name in enumerate(_FLAGS)}
                return Facts(Header(height, width), left_out=left_out, **bits)
        facts = read_facts(path, layout=layout)
        if path.is_file():  # a folder that is a picture does not tell when its content changes
            flags = sum(getattr(facts, name) << bit for bit, name in enumerate(_FLAGS))
            self._rows[key] = (key, *stamp, *facts.size, facts.left_out, flags)
        return facts

    def save(self) -> None:
        """Add what was read to the index; a cache that cannot be written to only costs time."""
        if not self._file or not self._rows:
            return
        new = np.array(list(self._rows.values()), _ROW)
        kept = self._known[~np.isin(self._keys, new["key"])]
        rows = np.sort(np.concatenate([kept, new]), order="key")
        with contextlib.suppress(OSError), atomic_write(self._file, sync=False) as temp, temp.open("wb") as opened:
            np.save(opened, rows)


def _index_file(items: Sequence[Item]) -> Path:
    first: Any = items[0]
    path = first.a if isinstance(first, Pair) else first.path
    name = hashlib.sha256(os.fsencode(os.path.abspath(path.parent))).hexdigest()[:32]  # noqa: PTH100
    return weights.folder().parent / "headers" / f"{name}.npy"


def _key(path: Path, layout: Layout) -> int:
    text = os.fsencode(os.path.abspath(path)) + repr(layout).encode()  # noqa: PTH100
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")
