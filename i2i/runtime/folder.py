"""Whole folders of pictures through a model: which file becomes which; runtime/pipeline.py then does it.

Names are strings here: a million of them as paths take a quarter of a minute and a gigabyte.
"""

# ruff: noqa: PTH100, PTH114, PTH116, PTH118, PTH122

import os
import unicodedata
import zlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from i2i.errors import UsageError, one_line
from i2i.files import sweep_temporaries
from i2i.images import CHANNEL_NAMES, FORMATS, UNWRITTEN
from i2i.runtime.outcome import Refused
from i2i.runtime.pictures import DEFAULTS, PictureOptions, output_suffix, suits

_STALE_S = 3600
"""Half-written files that were not touched for so long are a killed run's; younger ones may be another's at work."""


class Task(NamedTuple):
    """One picture of a folder run."""

    source: Path
    output: Path


class Shard(NamedTuple):
    """One of several shares of a folder, numbered from 1."""

    number: int
    of: int


class Tasks(Sequence[Task]):
    """What a folder run is to do, made from names as it is asked for."""

    def __init__(self, source: Path, output: Path, names: list[str], renamed: dict[str, str]):
        self.source, self.output, self.names, self.renamed = source, output, names, renamed
        self.new = not output.exists()
        self.refused: list[Refused] = []
        """Folders that cannot be listed."""
        self.notes: list[str] = []
        """What the user should know of what is not among them."""

    def __len__(self) -> int:
        """Return how many."""
        return len(self.names)

    def __getitem__(self, index: Any) -> Any:
        """Return one task, or several as a list."""
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        name = self.names[index]
        return Task(self.source / name, self.output / self.written(name))

    def written(self, name: str) -> str:
        """Return the name of an output."""
        return self.renamed.get(name, name)

    def exists(self, name: str) -> bool:
        """Whether the output of a name is there and not empty, which is what a power cut may leave of a new file."""
        if self.new:
            return False
        try:
            return os.stat(os.path.join(self.output, self.written(name))).st_size > 0
        except OSError:
            return False


def plan(
    source: Path,
    output: Path,
    out_channels: int,
    skip_existing: bool = False,
    overwrite: bool = False,
    options: PictureOptions = DEFAULTS,
    shard: Shard | None = None,
    in_place: bool = False,
) -> Tasks:
    """Say which file becomes which, before anything is done.

    A folder keeps names, endings and subfolders, but for what `options` say; a format that cannot hold the
    output becomes .png or .tif, and where two names would meet both endings stay: a.bmp.png.
    shard: take this share only; the shares of one folder are all of it, and no two write the same file.
    in_place: the output is the input, which is overwritten. Raises UsageError when there is nothing to do,
    when outputs exist and neither flag says what to do with them, when an input would be overwritten
    unasked, or when the format asked for cannot hold the output.
    """
    if options.format and not suits(f".{options.format}", channels=out_channels):
        raise UsageError(f"{options.format} cannot hold {CHANNEL_NAMES[out_channels]}. Use --format png, webp or tiff.")
    if in_place and not _same(output, source):
        raise UsageError(
            f"--in-place replaces {one_line(source)}, but {one_line(output)} is the output. Leave out one of them."
        )
    output = source if in_place else output  # however it was written
    if in_place and skip_existing:
        raise UsageError("With --in-place every output exists, so --skip-existing would do nothing. Leave out one.")
    if source.is_dir():
        tasks = _folder_tasks(source, output, out_channels, options, in_place)
    else:
        tasks = _file_task(source, output, out_channels, options, in_place)
    if shard:
        new = next((name for name in tasks.names if tasks.written(name) != name), None)
        if in_place and new:  # what one share has written, another would take for an input
            raise UsageError(
                f"{one_line(new)} would become {one_line(tasks.written(new))}; "
                "--shard with --in-place keeps all names. Use -o."
            )
        tasks.names = [name for name in tasks.names if _share(tasks.written(name), shard)]
    if in_place:
        _refuse_links(tasks)
    if skip_existing:
        tasks.names = [name for name in tasks.names if not tasks.exists(name)]
    elif not overwrite and not in_place:
        existing = [name for name in tasks.names if tasks.exists(name)]
        if existing:
            first = one_line(tasks.output / tasks.written(existing[0]))
            more = f" and {len(existing) - 1} more" if len(existing) > 1 else ""
            raise UsageError(f"{first}{more} exists already.\nAdd --skip-existing to do only the rest, or --overwrite.")
    if (skip_existing or overwrite) and tasks.output.is_dir():
        sweep_temporaries(tasks.output, _STALE_S)
    return tasks


def _file_task(source: Path, output: Path, channels: int, options: PictureOptions, in_place: bool) -> Tasks:
    shown, ending, is_folder = one_line(output), output.suffix.lower(), output.is_dir()
    if ending in UNWRITTEN and not is_folder:
        raise UsageError(
            f"{shown}: {output.suffix} is no format that i2i writes. They are {', '.join(FORMATS)}.\n"
            "Should it be a folder, make it first."
        )
    is_file = ending in FORMATS and not is_folder
    if is_file and (options.suffix or options.format):
        raise UsageError(f"{shown} names the output whole. Leave out --suffix and --format, or give a folder.")
    folder = output.parent if is_file else output
    renamed = {source.name: output.name} if is_file else _rename([source.name], channels, options)
    tasks = Tasks(source.parent, folder, [source.name], renamed)
    if _same(tasks[0].output, source) and not in_place:
        raise UsageError(f"{shown} is the input itself. Give another name for the output, or add --in-place.")
    return tasks


def _folder_tasks(source: Path, output: Path, channels: int, options: PictureOptions, in_place: bool) -> Tasks:
    shown, folder = one_line(output), one_line(source)
    if _same(output, source) and not in_place:
        raise UsageError(f"{shown} is the input folder itself. Give another folder for the output, or add --in-place.")
    if output.exists() and not output.is_dir():
        raise UsageError(f"{shown} is a file, but {folder} is a folder. Give a folder for the output.")
    if output.suffix.lower() in UNWRITTEN.union(FORMATS) and not output.exists():
        raise UsageError(
            f"{shown} has the name of a picture, but {folder} is a folder. Give a folder for the output;\n"
            "should it really have that name, make it first."
        )
    tasks = Tasks(source, output, [], {})
    links = _list_pictures(tasks)
    if not tasks.names:
        if tasks.refused:
            raise UsageError(f"{tasks.refused[0]} No other folder in {folder} holds pictures.")
        raise UsageError(f"{folder} holds no pictures ({', '.join(FORMATS)}).")
    if links:
        more = f" and {len(links) - 1} more" if len(links) > 1 else ""
        tasks.notes.append(f"{source / links[0]}{more}: links to folders are not followed.")
    tasks.renamed = _rename(tasks.names, channels, options, keep=in_place)
    inner = None if in_place else _place(source, output)
    if inner is not None:  # the output may be the parent of the input
        inputs = {_folded(inner + name) for name in tasks.names}
        lost = next((name for name in tasks.names if _folded(tasks.written(name)) in inputs), None)
        if lost is not None:
            name = one_line(output / tasks.written(lost))
            raise UsageError(f"{name} is an input and would be replaced. Give another folder.")
    return tasks


def _list_pictures(tasks: Tasks) -> list[str]:
    """Fill in the names of the pictures, sorted, with / between parts, and folders that cannot be listed.

    The output folder is left out. Returns links to folders.
    """
    links: list[str] = []

    def refuse(error: OSError) -> None:
        tasks.refused.append(Refused(Path(error.filename), f"{error.filename} cannot be listed: {error.strerror}."))

    there = _place(tasks.output, tasks.source)
    top = os.path.abspath(tasks.source)
    for root, folders, files in os.walk(top, onerror=refuse):
        prefix = "" if root == top else os.path.relpath(root, top).replace(os.sep, "/") + "/"
        folders[:] = [name for name in folders if f"{prefix}{name}/" != there]
        links += [prefix + name for name in folders if os.path.islink(os.path.join(root, name))]
        tasks.names += [prefix + name for name in files if _is_picture(name)]
    tasks.names.sort()
    return links


def _place(inner: Path, outer: Path) -> str | None:
    """Return where a folder lies in another, links followed, with / behind each part; None where it does not."""
    inner, outer = inner.resolve(), outer.resolve()
    return inner.relative_to(outer).as_posix() + "/" if inner.is_relative_to(outer) else None


def _same(output: Path, source: Path) -> bool:
    """Whether both are the same file or folder, also where the disk does not tell capitals from small letters."""
    return output.exists() and output.samefile(source)


def _refuse_links(tasks: Tasks) -> None:
    """Take out links that would be replaced: what they lead to may be elsewhere, or be replaced under its own name."""
    links = [
        name for name in tasks.names if tasks.written(name) == name and os.path.islink(os.path.join(tasks.source, name))
    ]
    for name in links:
        path = tasks.source / name
        tasks.refused.append(Refused(path, f"{path} is a link, and --in-place replaces none. Use -o, or its target."))
    if links:
        tasks.names = sorted(set(tasks.names).difference(links))


def _is_picture(name: str) -> bool:
    """As `is_picture`, of a name without folders."""
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in FORMATS


def _share(name: str, shard: Shard) -> bool:
    """Whether an output belongs to a share: by its name alone, so that no two shares write the same file."""
    return zlib.crc32(os.fsencode(_folded(name))) % shard.of == shard.number - 1


def _folded(name: str) -> str:
    """Return what is equal for names that one disk or another, of Windows or macOS, takes for the same."""
    if name.isascii():
        return name.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", name).casefold())


def _rename(names: list[str], channels: int, options: PictureOptions, keep: bool = False) -> dict[str, str]:
    """Return the new names of what gets one: a suffix that can hold the output, and no two the same on any disk.

    keep: leave names that differ only by what `_folded` takes away; they are on one disk already.
    """
    endings: dict[str, str] = {}
    wanted: dict[str, str] = {}
    for name in names:
        stem, suffix = os.path.splitext(name)
        if suffix not in endings:
            endings[suffix] = output_suffix(suffix, channels, options)
        if options.suffix or endings[suffix] != suffix:
            wanted[name] = f"{stem}{options.suffix}{endings[suffix]}"
    taken = set[str]()
    for name in names if wanted or not keep else ():
        key = _folded(name)
        if key in taken and not keep:
            wanted.setdefault(name, name)
        taken.add(key)
    counts = Counter(_folded(new) for new in wanted.values())
    for name, new in wanted.items():
        longer = f"{name}{options.suffix}"
        while _folded(new) in taken or counts[_folded(new)] > 1:
            longer += endings[os.path.splitext(name)[1]]
            new = longer
        taken.add(_folded(new))
        wanted[name] = new
    return wanted
