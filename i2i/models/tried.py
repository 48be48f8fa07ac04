"""Which .onnx files have passed their trial on this machine, so that the next start may skip it.

A file is known by the SHA-256 of all its bytes, and passed with one version of ONNX Runtime and of i2i; any other
byte or version is tried again. What is known lies in the user's cache; without one, every start is a trial.
"""

import contextlib
import hashlib
import json
import os
from pathlib import Path

from i2i.files import read_json, write_bytes
from i2i.models.onnxfile import Interface
from i2i.version import __version__

_MOST = 200
"""Files that are remembered, the last ones."""


def digest(path: Path, interface: Interface) -> str | None:
    """Return what a checked file is known by; None where its weights lie in another file, and it is never known."""
    if interface.has_outside_weights:
        return None
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def has_passed(known_by: str | None, on_cpu: bool) -> bool:
    """Whether a file passed a trial as this process would try it; imports onnxruntime if it passed any."""
    passed = _passed().get(known_by) if known_by else None
    return passed is not None and passed == _way(on_cpu)


def remember(known_by: str | None, on_cpu: bool) -> None:
    """Note that a file passed; does nothing where the cache cannot be written."""
    if known_by is None:
        return
    others = {one: way for one, way in _passed().items() if one != known_by}
    kept = list(others.items())[1 - _MOST :]
    with contextlib.suppress(OSError, RuntimeError):  # RuntimeError: this user has no home
        write_bytes(_file(), json.dumps(dict([*kept, (known_by, _way(on_cpu))])).encode(), sync=False)


def _way(on_cpu: bool) -> str:
    """Return what else the outcome of a trial depends on: the programs, and whether its memory was limited."""
    import onnxruntime

    return f"ONNX Runtime {onnxruntime.__version__}, i2i {__version__}, {'cpu' if on_cpu else 'another device'}"


def _file() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "i2i" / "tried.json"


def _passed() -> dict[str, str]:
    """Return the way that each known file passed in, by its digest; the last one last."""
    with contextlib.suppress(RuntimeError):
        found = read_json(_file())
        if isinstance(found, dict):
            return {one: way for one, way in found.items() if isinstance(way, str)}
    return {}
