"""One training at a time in a run folder: a second would sweep away what the first is writing.

The system's own lock on a file in the folder, and not the file, says that somebody trains: of a process
that was killed no lock is left.
"""

import contextlib
import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from i2i.errors import UsageError
from i2i.training.folder import LOCK_NAME
from i2i.training.log import tell


@contextlib.contextmanager
def only_training(folder: Path) -> Iterator[None]:
    """Keep other trainings out of `folder`; raises UsageError, which says who trains there, when one is in it.

    Makes the folder, and takes away again what holds nothing else at the end. On file systems without locks it
    says so and goes on.
    """
    made = [path for path in (folder, *folder.absolute().parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / LOCK_NAME
    try:
        handle = _locked(path)
        if handle is None:
            raise UsageError(f"{folder} is being trained by {_holder(path)}.\n{_ADVICE}")
        try:
            yield
        finally:
            _release(path, handle)
    finally:
        with contextlib.suppress(OSError):  # the first one that holds a run, or something of others
            for one in made:
                one.rmdir()


_ADVICE = "Wait for it to end or stop it, then add --resume to go on; or give another folder with --out."
_NO_LOCK = -1


def _locked(path: Path) -> int | None:
    """Return the open lock file, _NO_LOCK where the file system has no locks, None where another holds it."""
    while True:
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
        except OSError as error:
            return _without_lock(path, error)
        try:
            _lock(handle)
        except OSError as error:
            os.close(handle)
            return None if isinstance(error, BlockingIOError | PermissionError) else _without_lock(path, error)
        with contextlib.suppress(OSError):  # gone between the two calls, it locks nothing: another makes a new one
            if os.path.samestat(os.fstat(handle), path.stat()):
                break
        os.close(handle)
    with contextlib.suppress(OSError):  # a full disk; the lock holds
        since = time.strftime("%Y-%m-%d %H:%M:%S %z")
        os.ftruncate(handle, 0)
        os.write(handle, json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "since": since}).encode())
    return handle


def _lock(handle: int) -> None:
    """Lock an open file or raise at once: BlockingIOError or PermissionError where another process has locked it."""
    try:
        import fcntl
    except ImportError:  # Windows, where what is locked cannot be read: not the words, but a byte behind them
        import msvcrt

        os.lseek(handle, 1 << 20, os.SEEK_SET)
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        os.lseek(handle, 0, os.SEEK_SET)
    else:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _release(path: Path, handle: int) -> None:
    """Take the file away while it is still locked, as far as the system lets go of an open one."""
    if handle == _NO_LOCK:
        return
    with contextlib.suppress(OSError):
        path.unlink()
    os.close(handle)


def _without_lock(path: Path, error: OSError) -> int:
    tell(f"{path} cannot be locked ({error.strerror}): see to it that no other training writes to this folder.")
    return _NO_LOCK


def _holder(path: Path) -> str:
    try:
        who = json.loads(path.read_text(encoding="utf-8"))
        return f"process {who['pid']} on {who['host']}, since {who['since']}"
    except (OSError, ValueError, KeyError):  # it has only just locked it, or its disk is full
        return "another process"
