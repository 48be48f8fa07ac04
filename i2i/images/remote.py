"""Archives and pictures on another machine, by a URL as s3://bucket/shards, through fsspec.

A path may hold a URL, though it keeps one of its two slashes only: s3:/bucket/shards is that of s3://bucket/shards.
"""

import contextlib
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from i2i.errors import I2IError, ImageError, UsageError, one_line
from i2i.version import DISTRIBUTION

_URL = re.compile(r"^([a-z][a-z0-9+.-]+):/+(.*)$", re.DOTALL)
"""A scheme has two letters at least: one is a drive."""


def is_url(text: object) -> bool:
    """Whether a path or text is a URL."""
    return _URL.match(str(text)) is not None


def shown_url(path: Path) -> str:
    """Return a URL with both of its slashes, on one line."""
    match = _URL.match(str(path))
    return one_line(f"{match[1]}://{match[2]}" if match else path)


def is_remote_file(path: Path) -> bool:
    """Whether a URL names a file."""
    with _reading(path) as (system, name):
        return bool(system.isfile(name))


def is_remote_folder(path: Path) -> bool:
    """Whether a URL names a folder."""
    with _reading(path) as (system, name):
        return bool(system.isdir(name))


def list_remote(folder: Path) -> list[str]:
    """Return the names of all files in a remote folder and its subfolders, relative to it."""
    with _reading(folder) as (system, name):
        return [str(one).removeprefix(f"{name.rstrip('/')}/") for one in system.find(name)]


def remote_size(path: Path) -> tuple[int, int]:
    """Return the size of a file and, in place of a time, a number for what its storage says of its version."""
    with _reading(path) as (system, name):
        facts = system.info(name)
    version = [str(facts[one]) for one in ("ETag", "etag", "mtime", "created", "LastModified") if one in facts]
    return int(facts["size"]), zlib.crc32("".join(version).encode())


def read_remote(path: Path, start: int | None = None, end: int | None = None) -> bytes:
    """Return a file, or a part of it."""
    with _reading(path) as (system, name):
        return bytes(system.cat_file(name, start=start, end=end))


def open_remote(path: Path) -> BinaryIO:
    """Open a file for reading."""
    with _reading(path) as (system, name):
        opened: BinaryIO = system.open(name, "rb")
        return opened


def glob_remote(folder: Path, pattern: str) -> list[Path]:
    """Return the files in a remote folder that match a pattern, sorted."""
    with _reading(folder) as (system, name):
        names = sorted(str(one).rpartition("/")[2] for one in system.glob(f"{name.rstrip('/')}/{pattern}"))
    return [folder / one for one in names]


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[tuple[Any, str]]:
    """Yield the file system of a URL and the name in it; every failure becomes an ImageError that names the URL.

    Raises UsageError where the library for it is missing.
    """
    url = shown_url(path)
    try:
        import fsspec

        yield fsspec.core.url_to_fs(url)
    except I2IError:
        raise
    except ImportError as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise UsageError(
            f"{url} needs a library that is not here: {reason}. Run: pip install '{DISTRIBUTION}[remote]', and what "
            "fsspec needs for this kind of address."
        ) from error
    except Exception as error:  # each storage has errors of its own
        raise ImageError(f"{url} cannot be read: {str(error).rstrip('.') or type(error).__name__}.") from error
