"""Readers for untrusted archives, which limit what a header can make the libraries do."""

import io
import lzma
import os
from typing import IO, NamedTuple, Protocol

from i2i.errors import ArchiveError
from i2i.files import show_size

CHUNK = 1 << 18
_SMALL = 64 << 20  # bytes that any archive may unpack to: a small one of flat colours exceeds every sensible ratio
_TAR_HEADER = 1 << 20  # tarfile reads a header of any stated length into memory at once
_ZIP_INDEX = 64 << 20  # as does zipfile with its index
_XZ_MEMORY = 256 << 20  # the strongest preset of xz takes 65 MB; a header can ask for 4 GB


class Limits(NamedTuple):
    """What an archive may hold at most. Pictures, already compressed, stay far below the ratio."""

    members: int = 500_000
    total_bytes: int = 100 * 10**9
    member_bytes: int = 10**9
    ratio: int = 100  # bytes out for one byte in


class Source(Protocol):
    """Something that can be read from start to end."""

    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes, none only at the end."""


class Budget:
    """The bytes that may still come out."""

    def __init__(self, packed_bytes: int, limits: Limits):
        self.most = min(limits.total_bytes, max(_SMALL, packed_bytes * limits.ratio))
        self.left = self.most

    def spend(self, count: int) -> None:
        """Count bytes; raises ArchiveError if the archive unpacks to more than it may."""
        self.left -= count
        if self.left < 0:
            raise ArchiveError(f"it unpacks to more than {show_size(self.most)}, too much for an archive of its size")


class Metered:
    """A file for tarfile that can only be read forward, in counted pieces of limited size.

    tarfile trusts the sizes in headers. A huge one would fill the memory, one that leads back would never end; both
    are errors here.
    """

    def __init__(self, source: Source, budget: Budget):
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
        while self.position < position and self.read(min(CHUNK, position - self.position)):
            pass
        return self.position


class Xz:
    """Like lzma.open, with a memory limit, for which that has no argument."""

    def __init__(self, file: IO[bytes]):
        self.file = file
        self.decompressor = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY)

    def read(self, size: int) -> bytes:
        """Return up to `size` bytes, none only at the end."""
        while not self.decompressor.eof:
            packed = self.file.read(CHUNK) if self.decompressor.needs_input else b""
            if self.decompressor.needs_input and not packed:
                raise EOFError("it ends too early")
            if data := self.decompressor.decompress(packed, size):
                return data
        return b""


class BoundedZip(io.FileIO):
    """A zip file that refuses to read an absurdly long index into memory."""

    def read(self, size: int | None = -1, /) -> bytes:
        """Return `size` bytes, or the rest."""
        asked = os.fstat(self.fileno()).st_size - self.tell() if size is None or size < 0 else size
        if asked > _ZIP_INDEX:
            raise ArchiveError("its index is far too long")
        return super().read(asked) or b""
