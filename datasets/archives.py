"""Archives that came from elsewhere, unpacked as if each were hostile.

Nothing that an archive says of itself is believed: names are checked one by one, sizes are counted while
they are written, and only regular files and folders come out, with the permissions that any new file gets.
The files land in a temporary folder beside the target, which is renamed when all of them are well.
"""

import bz2
import contextlib
import errno
import gzip
import io
import lzma
import os
import re
import stat
import tarfile
import unicodedata
import uuid
import zipfile
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple, Protocol

from i2i.errors import ArchiveError
from i2i.files import TEMP_PREFIX, atomic_folder, show_size


class Limits(NamedTuple):
    """What an archive may hold at most; pictures, which are compressed already, stay far below."""

    members: int = 500_000
    total_bytes: int = 100 * 10**9
    member_bytes: int = 10**9
    ratio: int = 100  # bytes out for one byte in


class _Source(Protocol):
    def read(self, size: int, /) -> bytes: ...


class _Member(NamedTuple):
    """One entry; `refused` says in words what it is where it is neither file nor folder."""

    name: str
    folder: bool
    size: int
    refused: str
    open: Callable[[], Any]


_CHUNK = 1 << 18
_SMALL = 64 << 20  # bytes that any archive may unpack to: short files of one colour pass every sensible ratio
_TAR_HEADER = 1 << 20  # tarfile reads a header, however long it says it is, into memory at once
_ZIP_INDEX = 64 << 20  # as zipfile does with its index
_XZ_MEMORY = 256 << 20  # the strongest preset of xz takes 65 MB; a header can ask for 4 GB
_NAME_BYTES, _PATH_BYTES = 255, 1000  # the first is what file systems hold, the second leaves room for the target
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

    A single folder at the top is left out, unless it is a split such as train. What macOS adds is skipped.
    Raises ArchiveError for anything suspicious or damaged and leaves nothing behind; UsageError when
    `out` exists.
    """
    limits = limits or Limits()
    kind = kind_of(archive)
    with atomic_folder(out) as temp:
        try:
            with contextlib.closing(_members(archive, kind, limits)) as members:
                files = _write_members(members, temp, limits)
            if not files:
                raise ArchiveError("it holds no files")
        except ArchiveError as error:
            raise ArchiveError(
                f"{archive} was refused: {error}.\n"
                "Nothing was unpacked. Fetch it again, or from a source that you trust."
            ) from error
        _strip_top(temp)
    return files


def safe_parts(name: str, windows: bool = os.name == "nt") -> tuple[str, ...]:
    """Return the folders and the name of a member, () for the top itself; raises ArchiveError.

    Colons are kept, since the photos of the CycleGAN sets have the time of day in their names; on Windows,
    where they mean something else, they become underscores, as do the other characters it forbids.
    """
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in name):
        raise ArchiveError(f"the name {_show(name)} holds control characters or bytes that are no text")
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
    """The names so far, as a file system that ignores case and the spelling of accents compares them."""

    def __init__(self) -> None:
        self.spelling: dict[str, str] = {}
        self.files: set[str] = set()
        self.folders: set[str] = set()

    def add(self, parts: tuple[str, ...], folder: bool) -> None:
        """Take one member in, with the folders above it; raises ArchiveError when it meets another."""
        for depth in range(1, len(parts) + 1):
            name = "/".join(parts[:depth])
            key = unicodedata.normalize("NFC", name).casefold()
            is_file = depth == len(parts) and not folder
            known = self.spelling.setdefault(key, name)
            if known != name:
                raise ArchiveError(f"{_show(known)} and {_show(name)} are one name to some file systems")
            if key in self.files or (is_file and key in self.folders):
                raise ArchiveError(f"{_show(name)} is in it twice")
            (self.files if is_file else self.folders).add(key)


class _Budget:
    """The bytes that may still come out."""

    def __init__(self, packed_bytes: int, limits: Limits):
        self.most = min(limits.total_bytes, max(_SMALL, packed_bytes * limits.ratio))
        self.left = self.most

    def spend(self, count: int) -> None:
        """Count bytes; raises ArchiveError when there are more than the archive may unpack to."""
        self.left -= count
        if self.left < 0:
            raise ArchiveError(f"it unpacks to more than {show_size(self.most)}, too much for an archive of its size")


class _Metered:
    """A file read from start to end, in counted pieces of limited size: what tarfile may see of an archive.

    tarfile takes the sizes in headers at their word. Here, one that is huge or leads back, which would fill
    the memory or never end, is an error.
    """

    def __init__(self, source: _Source, budget: _Budget):
        self.source, self.budget = source, budget
        self.position = 0
        self.last = b""

    def read(self, size: int = -1) -> bytes:
        """Return `size` bytes, fewer only at the end."""
        if not 0 <= size <= _TAR_HEADER:
            raise ArchiveError("one of its headers is far too long")
        data = bytearray()
        while len(data) < size and (piece := self.source.read(size - len(data))):
            data += piece
        self.position += len(data)
        self.budget.spend(len(data))
        self.last = bytes(data)
        return self.last

    def tell(self) -> int:
        """Return the bytes read so far."""
        return self.position

    def seek(self, position: int, whence: int = os.SEEK_SET) -> int:
        """Read on to `position`."""
        if whence != os.SEEK_SET or position < self.position:
            raise ArchiveError("its headers lead back")
        while self.position < position and self.read(min(_CHUNK, position - self.position)):
            pass
        return self.position


class _Xz:
    """What lzma.open does, with the limit on memory that it has no argument for."""

    def __init__(self, file: IO[bytes]):
        self.file = file
        self.decompressor = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY)

    def read(self, size: int) -> bytes:
        """Return up to `size` bytes, none only at the end."""
        while not self.decompressor.eof:
            packed = self.file.read(_CHUNK) if self.decompressor.needs_input else b""
            if self.decompressor.needs_input and not packed:
                raise EOFError("it ends too early")
            if data := self.decompressor.decompress(packed, size):
                return data
        return b""


class _ZipFile(io.FileIO):
    """A zip file whose index is not read into memory when it is absurdly long."""

    def read(self, size: int | None = -1, /) -> bytes:
        """Return `size` bytes, or the rest."""
        asked = os.fstat(self.fileno()).st_size - self.tell() if size is None or size < 0 else size
        if asked > _ZIP_INDEX:
            raise ArchiveError("its index is far too long")
        return super().read(asked) or b""


@contextlib.contextmanager
def _parsing() -> Iterator[None]:
    """Make ArchiveError of whatever the parsers raise on damage; errors of the disk pass."""
    try:
        yield
    except ArchiveError:
        raise
    except Exception as error:  # zlib.error, EOFError, struct.error, RecursionError, ...: there is no list of them
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):  # a seek before the start
            raise
        raise ArchiveError(f"it is damaged ({str(error).rstrip('.') or type(error).__name__})") from error


def _members(archive: Path, kind: str, limits: Limits) -> Generator[_Member, None, None]:
    budget = _Budget(archive.stat().st_size, limits)
    if kind == "zip":
        yield from _zip_members(archive, budget)
        return
    with archive.open("rb") as file:
        openers: dict[str, Callable[[IO[bytes]], _Source]] = {"gz": gzip.open, "bz2": bz2.open, "xz": _Xz}
        yield from _tar_members(_Metered(openers[kind](file) if kind in openers else file, budget))


def _tar_members(file: _Metered) -> Generator[_Member, None, None]:
    with _parsing():
        tar = tarfile.TarFile(fileobj=file)  # type: ignore[arg-type]
    while True:
        with _parsing():
            info = tar.next()
        if info is None:
            break
        refused = "" if info.isdir() else _TAR_KINDS.get(info.type, "" if info.isreg() else "of an unknown kind")
        if info.issparse():
            refused = _TAR_KINDS[tarfile.GNUTYPE_SPARSE]
        yield _Member(info.name, info.isdir(), info.size, refused, lambda info=info: tar.extractfile(info))  # type: ignore[misc]
        tar.members.clear()  # type: ignore[attr-defined]  # all that was seen, which only links would need
    # tarfile takes a cut and garbage for the end as well; the real one is a block of zeros, with nothing behind.
    if file.last != bytes(tarfile.BLOCKSIZE):
        raise ArchiveError("it is damaged (it ends too early)")
    with _parsing():
        while rest := file.read(_CHUNK):
            if rest.strip(b"\0"):
                raise ArchiveError("something follows its end")


def _zip_members(path: Path, budget: _Budget) -> Generator[_Member, None, None]:
    with contextlib.ExitStack() as stack:
        with _parsing():
            archive = stack.enter_context(zipfile.ZipFile(stack.enter_context(_ZipFile(path))))
        for info in archive.infolist():
            mode = stat.S_IFMT(info.external_attr >> 16)
            refused = ""
            if mode not in (0, stat.S_IFREG, stat.S_IFDIR):
                refused = "a symbolic link" if mode == stat.S_IFLNK else "a device or the like"
            elif info.flag_bits & 0x1:
                refused = "encrypted"
            elif info.compress_type not in _ZIP_METHODS:
                refused = "compressed in a way that is not read here"
            # orig_filename: the other name ends at the first NUL, which would hide what follows.
            name = info.orig_filename
            yield _Member(
                name,
                name.endswith("/"),
                info.file_size,
                refused,
                lambda info=info: _Metered(archive.open(info), budget),  # type: ignore[misc]
            )


def _write_members(members: Iterator[_Member], temp: Path, limits: Limits) -> int:
    names = _Names()
    files = 0
    for number, member in enumerate(members, start=1):
        if number > limits.members:
            raise ArchiveError(f"it holds more than {limits.members:,} files")
        parts = safe_parts(member.name)
        if member.refused:
            raise ArchiveError(f"{_show(member.name)} is {member.refused}")
        if _is_junk(parts) or (not parts and member.folder):
            continue
        if not parts:
            raise ArchiveError("one of its files has no name")
        names.add(parts, member.folder)
        path = temp.joinpath(*parts)
        if member.folder:
            path.mkdir(parents=True, exist_ok=True)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(member, path, limits.member_bytes)
        files += 1
    return files


def _write(member: _Member, path: Path, most: int) -> None:
    """Copy one file, which must be as long as announced."""
    written = 0
    with _parsing():
        source = member.open()
    with path.open("xb") as file:
        while True:
            with _parsing():
                piece = source.read(_CHUNK)
            written += len(piece)
            if max(written, member.size) > most:
                raise ArchiveError(f"{_show(member.name)} is larger than {show_size(most)}")
            if not piece:
                break
            file.write(piece)
    if written != member.size:
        raise ArchiveError(f"{_show(member.name)} is {written} bytes long, and not {member.size} as announced")


def _strip_top(folder: Path) -> None:
    """Move everything one folder up where there is only one at the top."""
    entries = list(folder.iterdir())
    if len(entries) != 1 or not entries[0].is_dir() or _SPLIT.fullmatch(entries[0].name):
        return
    top = entries[0].rename(folder / f"{TEMP_PREFIX}{uuid.uuid4().hex[:12]}")  # a name that nothing inside has
    for entry in list(top.iterdir()):
        entry.rename(folder / entry.name)
    top.rmdir()


def _is_junk(parts: tuple[str, ...]) -> bool:
    """Whether macOS added this to somebody's archive."""
    return "__MACOSX" in parts or any(part.startswith("._") or part == ".DS_Store" for part in parts)


def _for_windows(part: str) -> str:
    part = re.sub(r'[<>:"|?*]|[. ]$', "_", part)
    return f"_{part}" if _RESERVED.fullmatch(part) else part


def _show(name: str) -> str:
    """Return a name for a message, which must not carry control characters to a terminal."""
    return ascii(name if len(name) <= 80 else name[:77] + "...")
