"""Tar shards: pictures in the members of uncompressed archives, read without unpacking.

A member has a path of its own, train-000000.tar/0001.a.png, as if its archive were a folder. An index beside each
archive says where its members are: sorted by name and mapped into memory, so that a million names take none. It is made
anew where the archive has another size or time. A parquet file is an archive, too (i2i.images.parquet).
"""

import contextlib
import functools
import hashlib
import io
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from i2i import status
from i2i.errors import ImageError, one_line
from i2i.files import atomic_write
from i2i.images import parquet
from i2i.images.beside import mask_changed_ns
from i2i.images.encode import Array
from i2i.images.omezarr import is_zarr
from i2i.images.remote import is_remote_file, is_url, open_remote, read_remote, remote_size

SUFFIX = ".tar"
SUFFIXES = (SUFFIX, parquet.SUFFIX)
_INDEX = ".index"
_BLOCK = 512


class Stored(NamedTuple):
    """What the system says of a file: enough to tell whether it changed."""

    size: int
    mtime_ns: int


def is_shard(path: Path) -> bool:
    """Whether a path names an archive."""
    return path.suffix.lower() in SUFFIXES and _is_file(str(path))


def member_names(tar: Path) -> list[str]:
    """Return the names of the files in an archive, sorted; raises ImageError for a damaged one."""
    return [_text(name) for name in _index(tar)["name"][1:]]


def open_file(path: Path) -> BinaryIO:
    """Open a file, a member of an archive, or what is at an address, for reading."""
    return path.open("rb") if is_local(path) else io.BytesIO(read_file(path))


def read_file(path: Path) -> bytes:
    """Return the content of a file, a member of an archive, an address, or all files of a folder that is a picture."""
    if is_zarr(path):
        return b"".join(one.read_bytes() for one in sorted(path.rglob("*")) if one.is_file())
    if not (member := _member_of(path)):
        return read_remote(path) if is_url(path) else path.read_bytes()
    offset, size = _place(path, *member)
    if member[0].suffix == parquet.SUFFIX:
        return parquet.read(member[0], offset, stored(member[0]))
    if is_url(member[0]):
        content = read_remote(member[0], offset, offset + size)
    else:
        with member[0].open("rb") as file:
            file.seek(offset)
            content = file.read(size)
    if len(content) < size:
        raise ImageError(f"{one_line(member[0])} is damaged: it ends before {member[1]}. Copy it again.")
    return content


def stored(path: Path) -> Stored:
    """Return size and time of a file, or of a member, which has the time of its archive; raises OSError.

    The time tells whether it changed, also if a mask beside it did.
    """
    if not (member := _member_of(path)):
        if is_url(path):
            return Stored(*remote_size(path))
        found = path.stat()
        return Stored(found.st_size, found.st_mtime_ns + mask_changed_ns(path))
    return Stored(_place(path, *member)[1], stored(member[0]).mtime_ns)


def is_local(path: Path) -> bool:
    """Whether a path is that of a file or folder here, and not of a member of an archive or an address."""
    return _member_of(path) is None and not is_url(path)


def _member_of(path: Path) -> tuple[Path, str] | None:
    """Return the archive of a member and the name in it; None for other files."""
    for suffix in SUFFIXES:
        head, found, name = str(path).partition(suffix + os.sep)
        if found and _is_file(head + suffix):
            return Path(head + suffix), name.replace(os.sep, "/")
    return None


@functools.lru_cache(maxsize=1 << 16)
def _is_file(text: str) -> bool:
    return is_remote_file(Path(text)) if is_url(text) else Path(text).is_file()


def _place(path: Path, tar: Path, name: str) -> tuple[int, int]:
    """Return offset and size of a member; raises FileNotFoundError."""
    index, wanted = _index(tar), name.encode("utf-8", "surrogateescape")
    low, high = 1, len(index)
    while low < high:
        middle = (low + high) // 2
        if index[middle]["name"] < wanted:
            low = middle + 1
        else:
            high = middle
    if low == len(index) or index[low]["name"] != wanted:
        raise FileNotFoundError(2, "No such member", str(path))
    return int(index[low]["offset"]), int(index[low]["size"])


@functools.lru_cache(maxsize=1 << 14)
def _index(tar: Path) -> Array:
    """Return the sorted members: name, offset and size. The first row has size and time of the archive itself."""
    file, known = _index_file(tar), stored(tar)
    with contextlib.suppress(OSError, ValueError, EOFError):
        found: Array = np.load(file, mmap_mode="r", allow_pickle=False)
        if found.dtype.names == ("name", "offset", "size") and tuple(found[0])[1:] == known:
            return found
    with status.doing(f"Indexing {tar}"):
        rows = [(b"", *known), *sorted(parquet.entries(tar) if tar.suffix == parquet.SUFFIX else _members(tar))]
    longest = max(len(name) for name, _, _ in rows)
    made = np.array(rows, [("name", f"S{max(longest, 1)}"), ("offset", "<i8"), ("size", "<i8")])
    with contextlib.suppress(OSError), atomic_write(file, sync=False) as temp, temp.open("wb") as opened:
        np.save(opened, made)  # a folder that cannot be written to only costs time
    return made


def _index_file(tar: Path) -> Path:
    """Return the file of an index: beside its archive, or in the user's cache for a remote one."""
    if not is_url(tar):
        return tar.with_name(tar.name + _INDEX)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "i2i" / "shards"
    return cache / f"{hashlib.sha256(str(tar).encode()).hexdigest()}{_INDEX}"


def _members(tar: Path) -> Iterator[tuple[bytes, int, int]]:
    """Yield name, offset and size of each file in an archive; raises ImageError where it is damaged."""
    shown, names = one_line(tar), set[bytes]()
    try:
        with (
            open_remote(tar) if is_url(tar) else tar.open("rb") as file,
            tarfile.open(fileobj=file, mode="r:", errorlevel=2) as archive,
        ):
            for member in archive:
                if not member.isreg():
                    continue
                path = PurePosixPath(member.name)
                if path.is_absolute() or ".." in path.parts:
                    raise ImageError(f"{shown} has a member that leads out of it: {one_line(member.name)}.")
                name = str(path).encode("utf-8", "surrogateescape")
                if name in names:
                    raise ImageError(f"{shown} has two members called {one_line(str(path))}.")
                names.add(name)
                yield name, member.offset_data, member.size
            _refuse_cut(file, archive.offset, tar)
    except tarfile.TarError as error:
        raise ImageError(f"{shown} is damaged, or no uncompressed tar: {error}. Copy or make it again.") from error
    except OSError as error:
        raise ImageError(f"{shown} cannot be read: {error.strerror or error}.") from error


def _refuse_cut(file: BinaryIO, offset: int, tar: Path) -> None:
    """Raise ImageError where something other than zeros follows the last member that tarfile has found."""
    file.seek(offset)
    rest = file.read(_BLOCK)
    if len(rest) < _BLOCK or any(rest):
        raise ImageError(f"{one_line(tar)} is damaged at byte {offset:,}. Copy or make it again.")


def _text(name: Any) -> str:
    return bytes(name).decode("utf-8", "surrogateescape")
