"""The run lock: one training at a time in a run folder. A second one would delete what the first is writing.

The lock is the system's lock on a file, not the file itself, so a killed process leaves no lock behind. A second file
names the process that trains, because Windows lets nobody read a locked file.
"""

import contextlib
import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from i2i.errors import UsageError
from i2i.training.folder import LOCK_NAME
from i2i.training.log import tell

_ADVICE = "Wait for it to end or stop it, then add --resume to go on; or give another folder with --out."


@contextlib.contextmanager
def only_training(folder: Path) -> Iterator[None]:
    """Keep other trainings out of `folder`; raises UsageError, which names the process that trains there.

    Creates the folder, and removes it at the end if it is empty. On a file system without locks, it warns and goes on.
    """
    made = [path for path in (folder, *folder.absolute().parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK_NAME)
    holder = folder / f"{LOCK_NAME}.json"
    try:
        _acquire(lock, folder, holder)
        try:
            yield
        finally:
            if lock.is_locked:
                for path in (holder, folder / LOCK_NAME):  # still locked; Windows keeps the lock file, which is open
                    with contextlib.suppress(OSError):
                        path.unlink()
                lock.release()
    finally:
        with contextlib.suppress(OSError):  # stops at the first folder that is not empty
            for one in made:
                one.rmdir()


def _acquire(lock: FileLock, folder: Path, holder: Path) -> None:
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise UsageError(f"{folder} is being trained by {_read(holder)}.\n{_ADVICE}") from None
    except OSError as error:
        tell(f"{folder} cannot be locked ({error.strerror}). Make sure that no other training writes to it.")
        return
    with contextlib.suppress(OSError):  # a full disk; the lock holds anyway
        since = time.strftime("%Y-%m-%d %H:%M:%S %z")
        who = {"pid": os.getpid(), "host": socket.gethostname(), "since": since}
        holder.write_text(json.dumps(who), encoding="utf-8")


def _read(holder: Path) -> str:
    try:
        who = json.loads(holder.read_text(encoding="utf-8"))
        return f"process {who['pid']} on {who['host']}, since {who['since']}"
    except (OSError, ValueError, KeyError):  # the folder was locked a moment ago, or the disk is full
        return "another process"
