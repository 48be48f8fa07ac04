"""List the pictures in a folder and its subfolders, and report what is left out. Every command uses this listing.

Hidden files and folders, and service folders, hold no data. Links to folders are followed, and each folder is listed
once. Names are strings: a million paths take a quarter of a minute and a gigabyte.
"""

# ruff: noqa: PTH100, PTH118, PTH120, PTH122, PTH207

import fnmatch
import functools
import glob
import heapq
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Literal, NamedTuple

from i2i.errors import DataError, UsageError, one_line
from i2i.images.image import FORMATS, UNWRITTEN
from i2i.images.omezarr import SUFFIX as ZARR
from i2i.images.parquet import SUFFIX as PARQUET
from i2i.images.remote import glob_remote, is_remote_folder, is_url, list_remote
from i2i.images.shards import SUFFIX, SUFFIXES, member_names
from i2i.words import name_some, show_count

SERVICE_FOLDERS = frozenset(
    {"@eadir", "#recycle", "__macosx", "$recycle.bin", "system volume information", "lost+found"}
)
"""Folders that NAS boxes, unpackers and disks add to a user's own, in lower case."""
Side = Literal["A", "B"]
_SIDES: dict[str, Side] = {"a": "A", "b": "B"}
_OF_FILES = "metadata.parquet"
"""What the hub calls a table of files beside it."""
_EVERY = 500  # pictures between two calls of `seen`


class Unreadable(NamedTuple):
    """A folder that cannot be listed, and why."""

    path: Path
    reason: str

    def __str__(self) -> str:
        return f"{self.path} cannot be listed: {self.reason}."


class Listing:
    """What was found in a folder; names are relative to it, with / between parts."""

    def __init__(self, top: Path):
        self.top = top
        self.names: list[str] = []
        """Pictures, sorted as strings, so that every file system gives one order."""
        self.hidden: list[str] = []
        """Hidden pictures and hidden or service folders, the latter with / at the end."""
        self.links: list[str] = []
        """Links to folders that are listed under another name, that hold the link itself, or that must not be read."""
        self.other: list[str] = []
        """Pictures and videos in formats that i2i does not read."""
        self.unreadable: list[Unreadable] = []

    def notes(self) -> Iterator[str]:
        """Yield a line for each kind of entry that was left out, except unreadable folders."""
        if self.hidden:
            count = show_count(len(self.hidden), "hidden file or folder", "hidden files and folders")
            yield name_some(f"Left out {count} in {self.top}:", self.hidden)
        if self.links:
            count = show_count(len(self.links), "link to a folder", "links to folders")
            yield name_some(f"Left out {count} in {self.top} (already listed, or a loop):", self.links)
        if self.other:
            count = show_count(len(self.other), "file")
            yield name_some(f"Left out {count} in {self.top} that i2i cannot read:", self.other)


def list_folder(
    top: Path, avoid: Path | None = None, follow: bool = True, seen: Callable[[int], None] | None = None
) -> Listing:
    """List the pictures in a folder, whatever its own name, and in its subfolders; raises nothing.

    avoid: a folder to leave out, even where a link leads to it. follow: follow links to folders.
    seen: called with the number of pictures so far, after every folder and every few hundred pictures.
    """
    if is_url(top):
        return _list_remote(top)
    listing, links, seen = Listing(top), list[str](), seen or (lambda count: None)
    start, barred = os.path.realpath(top), os.path.realpath(avoid) if avoid else None
    listed, queue = {start, barred}, [("", start)]
    while queue or links:
        if queue:
            prefix, real = queue.pop()
            folders = [(f"{prefix}{name}/", os.path.join(real, name)) for name in _scan(listing, prefix, links, seen)]
        else:  # links come last, so that every folder is listed under its own name
            link = heapq.heappop(links)
            place = os.path.join(top, link)
            real, own = os.path.realpath(place), os.path.realpath(os.path.dirname(place))
            if not follow or real in listed or _holds(real, own) or (barred and _holds(barred, real)):
                listing.links.append(link)
                continue
            folders = [(f"{link}/", real)]
        queue += [folder for folder in folders if folder[1] not in listed]
        listed.update(real for _, real in folders)
    listing.names.sort()
    for one in (listing.hidden, listing.links, listing.other):
        one.sort()
    return listing


def list_pictures(
    folder: Path,
    notes: list[str] | None = None,
    skip_unreadable: bool = False,
    seen: Callable[[int], None] | None = None,
) -> list[Path]:
    """Return the pictures in a folder and its subfolders, sorted by name.

    notes: receives a line for each kind of entry that was left out. skip_unreadable: leave out subfolders that cannot
    be listed instead of raising. seen: as in `list_folder`. Raises DataError for folders that cannot be listed.
    """
    listing = list_folder(folder, seen=seen)
    if listing.unreadable:
        places = [f"{one.path}: {one.reason}" for one in listing.unreadable]
        head = f"{show_count(len(places), 'folder')} of {folder} cannot be listed:"
        if not skip_unreadable or listing.unreadable[0].path == folder:
            raise DataError(f"{name_some(head, places, lines=True)}\nMake them readable, or move them away.")
        if notes is not None:
            notes.append(name_some(f"Left out {head.removesuffix(' cannot be listed:')}:", places))
    if notes is not None:
        notes.extend(listing.notes())
    return [folder / name for name in listing.names]


def list_shards(folder: Path, pattern: str = f"*[0-9]{SUFFIX}") -> list[Path]:
    """Return the archives in a folder, sorted by name; by default those whose names end with a number."""
    if is_url(folder):
        return glob_remote(folder, pattern)
    try:
        names = _archives(folder, folder.stat().st_mtime_ns)
    except OSError:
        return []
    return [folder / name for name in names if fnmatch.fnmatchcase(name, pattern)]


def archives_in(folder: Path) -> list[Path]:
    """Return all archives in a folder: tar shards, else parquet files, which may lie in its subfolder data."""
    tables = (one for inner in (folder, folder / "data") if (one := list_shards(inner, f"*{PARQUET}")))
    return list_shards(folder) or [one for one in next(tables, []) if one.name != _OF_FILES]


@functools.lru_cache(maxsize=64)
def _archives(folder: Path, changed_ns: int) -> list[str]:
    """Return the names of the archives in a folder, sorted. One pass: it may hold a million pictures instead."""
    with os.scandir(folder) as entries:
        named = (one for one in entries if one.name.endswith(SUFFIXES) and one.name[0] != ".")
        return sorted(one.name for one in named if one.is_file())


def pictures_in(tar: Path) -> Iterator[tuple[str, Side | None, str]]:
    """Yield name, side and member of each picture in an archive; others, as .json, are left out.

    As in webdataset, the name ends at the first dot: 0001.a.png is the picture of A called 0001.
    """
    for member in member_names(tar):
        path = PurePosixPath(member)
        stem, *middle, suffix = path.name.split(".")
        side = _SIDES.get(".".join(middle).lower())
        if stem and f".{suffix}".lower() in FORMATS and (side or not middle):
            yield (path.parent / stem).as_posix(), side, member


def find_inputs(words: Sequence[str]) -> list[Path]:
    """Return the files and folders that were given, each once, with patterns such as *.png expanded if no shell did.

    Raises UsageError for what does not exist.
    """
    found: dict[str, Path] = {}
    for word in words:
        matches = [word] if os.path.lexists(word) or is_url(word) else sorted(glob.glob(word, recursive=True))
        if not matches and glob.has_magic(word):
            raise UsageError(f"{one_line(word)} matches no file or folder.")
        if not matches:
            raise UsageError(f"{one_line(word)} does not exist. Give pictures, folders or patterns such as '*.png'.")
        for match in matches:
            found.setdefault(match if is_url(match) else os.path.abspath(match), Path(match))
    return list(found.values())


def list_given(paths: Iterable[Path], notes: list[str]) -> list[Path]:
    """Return the files among `paths` and, in place of folders, their pictures; notes: as in `list_pictures`."""
    return [one for path in paths for one in (list_pictures(path, notes) if is_folder(path) else [path])]


def is_folder(path: Path) -> bool:
    """Whether a path names a folder of pictures, and not one that is a picture."""
    return (is_remote_folder(path) if is_url(path) else path.is_dir()) and path.suffix.lower() != ZARR


def _list_remote(top: Path) -> Listing:
    listing = Listing(top)
    for name in sorted(list_remote(top)):
        *folders, last = name.split("/")
        ending = os.path.splitext(last)[1].lower()
        hidden = any(one.startswith(".") or one.lower() in SERVICE_FOLDERS for one in folders) or last.startswith(".")
        if ending in FORMATS:
            (listing.hidden if hidden else listing.names).append(name)
        elif ending in UNWRITTEN and not hidden:
            listing.other.append(name)
    return listing


def _scan(listing: Listing, prefix: str, links: list[str], seen: Callable[[int], None]) -> Iterator[str]:
    """Sort the entries of one folder into a listing and a heap of links; yield its subfolders."""
    try:
        with os.scandir(listing.top / prefix) as entries:
            for entry in entries:
                name, ending = entry.name, os.path.splitext(entry.name)[1].lower()
                if _is_folder(entry):
                    if name.startswith(".") or name.lower() in SERVICE_FOLDERS:
                        listing.hidden.append(f"{prefix}{name}/")
                    elif ending == ZARR:
                        listing.names.append(prefix + name)
                    elif entry.is_symlink():
                        heapq.heappush(links, prefix + name)
                    else:
                        yield name
                elif ending in FORMATS:
                    (listing.hidden if name.startswith(".") else listing.names).append(prefix + name)
                    if len(listing.names) % _EVERY == 0:
                        seen(len(listing.names))
                elif ending in UNWRITTEN and not name.startswith("."):
                    listing.other.append(prefix + name)
    except OSError as error:
        listing.unreadable.append(Unreadable(listing.top / prefix, error.strerror or str(error)))
    seen(len(listing.names))


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:  # such as a link that may not be followed; opening it reports that
        return False


def _holds(outer: str, inner: str) -> bool:
    """Whether `outer` is `inner` or a folder above it; both are real paths."""
    return inner == outer or inner.startswith(outer.rstrip(os.sep) + os.sep)
