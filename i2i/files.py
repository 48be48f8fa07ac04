"""Files that are replaced atomically.

Everything i2i writes goes through `atomic_write`: a reader, or a user after a power cut, finds the old file or the new
one and never half of either.
"""

import contextlib
import errno
import json
import os
import shutil
import stat
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from i2i.errors import UsageError
from i2i.words import show_count

TEMP_PREFIX = ".i2i-part-"
DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Error numbers for a full disk, an exhausted quota and a file over the size limit."""


@contextlib.contextmanager
def atomic_write(path: Path, sync: bool = True) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on leaving, flush it to disk and rename it over `path`.

    The temporary file has the suffix of `path`, because encoders choose the format by it. If the body raises, it is
    removed and `path` stays as it was. Creates missing parent folders. A file that is replaced keeps its permissions;
    a link is itself replaced, and its target stays.
    sync: false leaves flushing to the system, for files that can be made again after a power cut.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temp = path.parent / f"{TEMP_PREFIX}{uuid.uuid4().hex[:12]}{path.suffix}"
    mode = _permissions(path)
    os.close(os.open(temp, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666 if mode is None else 0o600))
    try:
        yield temp
        if sync:
            with temp.open("rb+") as file:
                os.fsync(file.fileno())
        if mode is not None:
            with contextlib.suppress(OSError):  # a file system without permissions
                temp.chmod(mode)
        temp.replace(path)
        if sync:
            _sync_folder(path.parent)
    except BaseException:
        temp.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def atomic_folder(path: Path, replace: bool = False, sync: bool = True) -> Iterator[Path]:
    """Yield a fresh folder beside `path`; on leaving, flush it to disk and rename it to `path`.

    If the body raises, the folder is removed. Raises UsageError if `path` exists: folders are never merged, and only
    replaced with `replace`, for folders that are one file to the user. Creates missing parent folders.
    sync: as in `atomic_write`.
    """
    if not replace:
        _refuse_folder(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temp = path.parent / f"{TEMP_PREFIX}{uuid.uuid4().hex[:12]}"
    temp.mkdir()
    try:
        yield temp
        if sync and hasattr(os, "sync"):
            os.sync()  # once: an fsync for each of 100,000 pictures would take minutes
        if replace and os.path.lexists(path):
            _exchange(temp, path)
        else:
            _refuse_folder(path)  # an empty folder made in the meantime would be replaced silently
            temp.rename(path)
        if sync:
            _sync_folder(path.parent)
    except BaseException:
        shutil.rmtree(temp, ignore_errors=True)
        raise


def refuse_existing(path: Path, overwrite: bool) -> None:
    """Raise UsageError if `path` exists and the user has not allowed replacing it."""
    if path.exists() and not overwrite:
        raise UsageError(f"{path} exists already. Add --overwrite to replace it.")


def check_output(path: Path, overwrite: bool, *suffixes: str) -> None:
    """Raise UsageError unless a file `path` can be written, is new or may be replaced, and has one of `suffixes`.

    Call it before long work, whose result must not be lost because it cannot be written. suffixes: each with its dot
    and in lower case; none allows any.
    """
    if suffixes and path.suffix.lower() not in suffixes:
        raise UsageError(f"{path} does not end in {' or '.join(suffixes)}.")
    refuse_existing(path, overwrite)
    if path.is_dir():
        raise UsageError(f"{path} is a folder. Give the name of a file.")
    check_folder(path.parent)


def check_folder(folder: Path) -> None:
    """Raise UsageError unless files can be written into `folder`, or it can be made."""
    existing = next(one for one in (folder, *folder.absolute().parents) if os.path.lexists(one))
    try:
        if not existing.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        temp = existing / f"{TEMP_PREFIX}{uuid.uuid4().hex[:12]}"  # permissions do not reveal a read-only disk
        temp.touch(exist_ok=False)
        temp.unlink(missing_ok=True)
    except OSError as error:
        raise UsageError(f"Cannot write into {folder}: {existing}: {error.strerror or error}.") from error


@contextlib.contextmanager
def utf8_name(path: Path) -> Iterator[str]:
    """Yield a name under which libraries that accept only UTF-8 can open `path`: its own, or that of a link to it."""
    try:
        str(path).encode()
    except UnicodeEncodeError:  # bytes that are not UTF-8, which Python keeps as surrogates; on POSIX only
        with tempfile.TemporaryDirectory() as folder:
            link = Path(folder, "file")
            link.symlink_to(path.absolute())
            yield str(link)
    else:
        yield str(path)


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8, atomically; parts of file names that are not UTF-8 are escaped."""
    with atomic_write(path) as temp:
        temp.write_text(text, encoding="utf-8", errors="backslashreplace")


def write_bytes(path: Path, content: bytes, sync: bool = True) -> None:
    """Write `content`, atomically; sync: as in `atomic_write`."""
    with atomic_write(path, sync) as temp:
        temp.write_bytes(content)


def write_json(path: Path, value: object) -> None:
    """Write `value` as indented JSON, atomically."""
    write_text(path, json.dumps(value, indent=2) + "\n")


def read_json(path: Path) -> Any:
    """Return what a JSON file holds, None if it cannot be read."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None


def read_json_lines(path: Path) -> list[dict[str, Any]]:
    """Return the objects of a file with one JSON object on each line; an empty list if the file is missing.

    A line that a crash cut short, or that the disk damaged, is left out.
    """
    rows = []
    for line in path.read_bytes().splitlines() if path.exists() else []:
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):  # not JSON, or not UTF-8
            continue
        if isinstance(row, dict):
            rows.append(row)
    return rows


def sweep_temporaries(folder: Path, older_than_s: float = 0) -> int:
    """Remove half-written files that killed processes left anywhere under `folder`; return how many.

    older_than_s: keep files modified more recently, which running processes may be writing; 0: all files, and no
    folders.
    """
    left = [path for path in folder.rglob(f"{TEMP_PREFIX}*") if path.is_file() or older_than_s]
    if older_than_s:
        left = [path for path in left if _age_s(path) > older_than_s]
    for path in left:
        _remove(path)
    return len(left)


def _age_s(path: Path) -> float:
    """Return how long ago a file, or anything in a folder, was modified."""
    try:
        return time.time() - max(one.stat().st_mtime for one in (path, *path.rglob("*")))
    except FileNotFoundError:  # its writer has just renamed it
        return 0


def free_bytes(path: Path) -> int:
    """Return how many bytes are free on the disk that `path` is on, or would be."""
    existing = next(folder for folder in (path, *path.absolute().parents) if folder.exists())
    return shutil.disk_usage(existing).free


def show_size(count: float) -> str:
    """Return a number of bytes in a suitable decimal unit: 512 bytes, 29.4 MB, 2.1 GB."""
    for unit in ("bytes", "KB", "MB"):
        if count < 1000:
            return show_count(round(count), "byte") if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def _permissions(path: Path) -> int | None:
    """Return the permission bits of a regular file, or None if there is none."""
    try:
        mode = path.lstat().st_mode
    except OSError:
        return None
    return stat.S_IMODE(mode) & 0o777 if stat.S_ISREG(mode) else None


def _exchange(new: Path, path: Path) -> None:
    """Put a folder in the place of another, which is removed."""
    old = new.with_name(f"{new.name}-old")
    path.rename(old)
    try:
        new.rename(path)
    except BaseException:
        old.rename(path)
        raise
    _remove(old)


def _remove(path: Path) -> None:
    """Remove a file, a link or a folder; does nothing if it is gone."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _refuse_folder(path: Path) -> None:
    if os.path.lexists(path):  # even a broken link counts
        raise UsageError(f"{path} exists already, and folders are never merged or replaced. Name another, or move it.")


def _sync_folder(folder: Path) -> None:
    """Make a rename survive a power cut; does nothing if folders cannot be opened (Windows)."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
