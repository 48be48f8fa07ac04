"""Unpack downloaded archives as if each were hostile.

tarfile, with its `data` filter, and zipfile write the files. This module adds what they leave open:

- limits on bytes, files and memory;
- no names that file systems would confuse or Windows refuses;
- only regular files and folders, with the permissions of any new file.

Files go into a temporary folder beside the target, which is renamed once all of them are good.
"""

import bz2
import contextlib
import errno
import gzip
import os
import re
import stat
import tarfile
import unicodedata
import uuid
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from bounded import CHUNK, BoundedZip, Budget, Limits, Metered, Source, Xz

from i2i.errors import ArchiveError
from i2i.files import TEMP_PREFIX, atomic_folder, show_size

_NAME_BYTES, _PATH_BYTES = 255, 1000  # the limit of file systems, and one that leaves room for the target
_SPLIT = re.compile(r"(train|val|test)[AB]?|[AB]")
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)  # devices on Windows, in every folder
_ZIP_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2}  # lzma's memory cannot be limited here
_TAR_KINDS = {
    tarfile.SYMTYPE: "a symbolic link",
    tarfile.LNKTYPE: "a hard link",
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
    tarfile.FIFOTYPE: "a FIFO",
    tarfile.GNUTYPE_SPARSE: "a sparse file",
}
_MAGIC = {b"PK\x03\x04": "zip", b"PK\x05\x06": "zip", b"\x1f\x8b": "gz", b"BZh": "bz2", b"\xfd7zXZ\x00": "xz"}


def kind_of(archive: Path) -> str:
    """Return zip, gz, bz2, xz or tar by the first bytes of the file, whatever its name; raises ArchiveError."""
    if not archive.is_file():
        raise ArchiveError(f"{archive} is not a file. Give a tar (plain, .gz, .bz2, .xz) or zip archive.")
    with archive.open("rb") as file:
        start = file.read(tarfile.BLOCKSIZE)
    for magic, kind in _MAGIC.items():
        if start.startswith(magic):
            return kind
    if start[257:262] == b"ustar":
        return "tar"
    raise ArchiveError(
        f"{archive} is neither a tar (plain, .gz, .bz2, .xz) nor a zip archive.\n"
        "A server's error page may have been saved in its place; remove it and fetch the archive again."
    )


def unpack(archive: Path, out: Path, limits: Limits | None = None) -> int:
    """Unpack a tar or zip archive into the new folder `out` and return the number of files.

    A single folder at the top is stripped, unless it is a split such as train. Files that macOS adds are skipped.
    Raises ArchiveError for anything suspicious or damaged, and leaves nothing behind; UsageError if `out` exists.
    """
    limits = limits or Limits()
    kind = kind_of(archive)
    with atomic_folder(out) as temp:
        check = _Check(limits)
        budget = Budget(archive.stat().st_size, limits)
        try:
            with _parsing():
                if kind == "zip":
                    _unpack_zip(archive, temp, check, budget)
                else:
                    _unpack_tar(archive, kind, temp, check, budget)
            if not check.files:
                raise ArchiveError("it holds no files")
        except ArchiveError as error:
            raise ArchiveError(
                f"{archive} was refused: {error}.\n"
                "Nothing was unpacked. Fetch it again, or from a source that you trust."
            ) from error
        _strip_top(temp)
    return check.files


def safe_parts(name: str, windows: bool = os.name == "nt") -> tuple[str, ...]:
    """Return the path of a member as parts, () for the top itself; raises ArchiveError.

    Colons stay, since photos of the CycleGAN sets have the time of day in their names. On Windows, they and the other
    forbidden characters become underscores.
    """
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in name):
        raise ArchiveError(f"the name {_show(name)} holds control characters, or bytes that are not text")
    if "\\" in name:
        raise ArchiveError(f"the name {_show(name)} holds a backslash")
    if name.startswith("/") or re.match("[A-Za-z]:", name):
        raise ArchiveError(f"{_show(name)} is an absolute path")
    parts = tuple(part for part in name.split("/") if part not in ("", "."))
    if ".." in parts:
        raise ArchiveError(f"{_show(name)} leads out of its folder")
    if len(name.encode()) > _PATH_BYTES or any(len(part.encode()) > _NAME_BYTES for part in parts):
        raise ArchiveError(f"the name {_show(name)} is too long")
    return tuple(map(_for_windows, parts)) if windows else parts


class _Names:
    """The names so far, compared as by a file system that ignores case and Unicode normalisation."""

    def __init__(self) -> None:
        self.spelling: dict[str, str] = {}
        self.files: set[str] = set()
        self.folders: set[str] = set()

    def add(self, parts: tuple[str, ...], folder: bool) -> None:
        """Add a member and the folders above it; raises ArchiveError if its name collides with another."""
        for depth in range(1, len(parts) + 1):
            name = "/".join(parts[:depth])
            key = unicodedata.normalize("NFC", name).casefold()
            is_file = depth == len(parts) and not folder
            known = self.spelling.setdefault(key, name)
            if known != name:
                raise ArchiveError(f"{_show(known)} and {_show(name)} are the same name on some file systems")
            if key in self.files or (is_file and key in self.folders):
                raise ArchiveError(f"{_show(name)} occurs twice")
            (self.files if is_file else self.folders).add(key)


class _Check:
    """What was unpacked so far, and what may be."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.names = _Names()
        self.members = self.files = 0

    def take(self, name: str, folder: bool, size: int, refused: str) -> str:
        """Return the name to write a member under, empty for one to skip; raises ArchiveError.

        refused: what the member is, in words, if it is neither file nor folder.
        """
        self.members += 1
        if self.members > self.limits.members:
            raise ArchiveError(f"it holds more than {self.limits.members:,} files")
        parts = safe_parts(name)
        if refused:
            raise ArchiveError(f"{_show(name)} is {refused}")
        if _is_junk(parts) or (not parts and folder):
            return ""
        if not parts:
            raise ArchiveError("one of its files has no name")
        if size > self.limits.member_bytes:
            raise ArchiveError(f"{_show(name)} is larger than {show_size(self.limits.member_bytes)}")
        self.names.add(parts, folder)
        self.files += not folder
        return "/".join(parts)


@contextlib.contextmanager
def _parsing() -> Iterator[None]:
    """Turn whatever the libraries raise on damage into ArchiveError; errors of the disk pass through."""
    try:
        yield
    except ArchiveError:
        raise
    except Exception as error:  # zlib.error, EOFError, struct.error, RecursionError and more
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):  # a seek before the start
            raise
        raise ArchiveError(f"it is damaged ({str(error).rstrip('.') or type(error).__name__})") from error


def _unpack_tar(archive: Path, kind: str, temp: Path, check: _Check, budget: Budget) -> None:
    openers: dict[str, Callable[[IO[bytes]], Source]] = {"gz": gzip.open, "bz2": bz2.open, "xz": Xz}
    with archive.open("rb") as packed:
        file = Metered(openers[kind](packed) if kind in openers else packed, budget)
        tar = tarfile.TarFile(fileobj=file)  # type: ignore[arg-type]
        tar.extractall(temp, _tar_members(tar, check), filter=_as_new)
        # tarfile also takes a cut or garbage for the end. The real end is a block of zeros with nothing after it.
        if file.last != bytes(tarfile.BLOCKSIZE):
            raise ArchiveError("it is damaged (it ends too early)")
        while rest := file.read(CHUNK):
            if rest.strip(b"\0"):
                raise ArchiveError("something follows its end")


def _tar_members(tar: tarfile.TarFile, check: _Check) -> Iterator[tarfile.TarInfo]:
    while info := tar.next():
        refused = "" if info.isdir() else _TAR_KINDS.get(info.type, "" if info.isreg() else "of an unknown kind")
        if info.issparse():
            refused = _TAR_KINDS[tarfile.GNUTYPE_SPARSE]
        if name := check.take(info.name, info.isdir(), info.size, refused):
            yield info.replace(name=name, deep=False)
        tar.members.clear()  # type: ignore[attr-defined]  # forget past members, which only links would need


def _as_new(info: tarfile.TarInfo, folder: str) -> tarfile.TarInfo:
    """Filter like tarfile's `data`, but give permissions and times of a new file."""
    safe = tarfile.data_filter(info, folder)
    return safe.replace(mode=None, mtime=None, deep=False)  # type: ignore[arg-type]


def _unpack_zip(path: Path, temp: Path, check: _Check, budget: Budget) -> None:
    with BoundedZip(path) as file, zipfile.ZipFile(file) as archive:
        for info in archive.infolist():
            mode = stat.S_IFMT(info.external_attr >> 16)
            refused = ""
            if mode not in (0, stat.S_IFREG, stat.S_IFDIR):
                refused = "a symbolic link" if mode == stat.S_IFLNK else "a device or the like"
            elif info.compress_type not in _ZIP_METHODS:
                refused = "compressed in an unsupported way"
            # orig_filename: `filename` ends at the first NUL and would hide what follows.
            folder = info.orig_filename.endswith("/")
            name = check.take(info.orig_filename, folder, info.file_size, refused)
            if not name:
                continue
            budget.spend(info.file_size)  # zipfile writes no more than this
            info.filename = f"{name}/" if folder else name
            written = Path(archive.extract(info, temp)).stat().st_size
            if not folder and written != info.file_size:
                raise ArchiveError(f"{_show(name)} is {written} bytes long, not {info.file_size} as stated")


def _strip_top(folder: Path) -> None:
    """Move everything one folder up if the top holds only one folder."""
    entries = list(folder.iterdir())
    if len(entries) != 1 or not entries[0].is_dir() or _SPLIT.fullmatch(entries[0].name):
        return
    top = entries[0].rename(folder / f"{TEMP_PREFIX}{uuid.uuid4().hex[:12]}")  # a name that nothing inside can have
    for entry in list(top.iterdir()):
        entry.rename(folder / entry.name)
    top.rmdir()


def _is_junk(parts: tuple[str, ...]) -> bool:
    """Whether macOS added this file to the archive."""
    return "__MACOSX" in parts or any(part.startswith("._") or part == ".DS_Store" for part in parts)


def _for_windows(part: str) -> str:
    part = re.sub(r'[<>:"|?*]|[. ]$', "_", part)
    return f"_{part}" if _RESERVED.fullmatch(part) else part


def _show(name: str) -> str:
    """Return a name for a message, without control characters that a terminal would obey."""
    return ascii(name if len(name) <= 80 else name[:77] + "...")
