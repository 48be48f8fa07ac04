"""Pictures and whole folders through a model: which file becomes which; runtime/pipeline.py then does it.

Names are strings here: a million of them as paths take a quarter of a minute and a gigabyte.
"""

# ruff: noqa: PTH100, PTH114, PTH116, PTH118, PTH207

import bisect
import glob
import itertools
import os
import re
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from i2i import status
from i2i.errors import UsageError, one_line
from i2i.files import sweep_temporaries
from i2i.images import CHANNEL_NAMES, FORMATS, UNWRITTEN
from i2i.images.listing import list_folder
from i2i.runtime.names import folded, rename
from i2i.runtime.outcome import Refused
from i2i.runtime.pictures import DEFAULTS, PictureOptions, suits
from i2i.words import and_more

_STALE_S = 3600
"""Half-written files that were not touched for so long are a killed run's; younger ones may be another's at work."""
_ENDING = re.compile(r"\.[a-z]{2,5}")
"""What the ending of a file looks like: a folder may well be called v1.2."""


class Task(NamedTuple):
    """One picture of a folder run."""

    source: Path
    output: Path


class Shard(NamedTuple):
    """One of several shares of a folder, numbered from 1."""

    number: int
    of: int


class Group:
    """Pictures under one folder, and the folder that their outputs go under, by the same names but for `renamed`."""

    def __init__(self, source: Path, output: Path, names: list[str], renamed: dict[str, str]):
        self.source, self.output, self.names, self.renamed = source, output, names, renamed
        self.new = not output.exists()

    def task(self, name: str) -> Task:
        """Return what is to be done with a name."""
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


class Tasks(Sequence[Task]):
    """What a run is to do, made from names as it is asked for."""

    def __init__(self, groups: list[Group]):
        self.groups = groups
        self.refused: list[Refused] = []
        """Folders that cannot be listed, and links that --in-place does not replace."""
        self.notes: list[str] = []
        """What was left out of the inputs."""
        self.existing = 0
        """How many are left out since their outputs exist."""

    def close(self) -> None:
        """Note where each group ends, once no more names are taken out."""
        self.ends = list(itertools.accumulate(len(group.names) for group in self.groups))

    def __len__(self) -> int:
        """Return how many."""
        return self.ends[-1]

    def __getitem__(self, index: Any) -> Any:
        """Return one task, or several as a list."""
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        index = range(len(self))[index]
        place = bisect.bisect(self.ends, index)
        group = self.groups[place]
        return group.task(group.names[index - self.ends[place]])


def find_inputs(words: Sequence[str]) -> list[Path]:
    """Return the files and folders that were given, each once, with patterns as *.png expanded where no shell did.

    Raises UsageError for what does not exist.
    """
    found: dict[str, Path] = {}
    for word in words:
        matches = [word] if os.path.lexists(word) else sorted(glob.glob(word, recursive=True))
        if not matches and glob.has_magic(word):
            raise UsageError(f"{one_line(word)} matches no file or folder.")
        if not matches:
            raise UsageError(f"{one_line(word)} does not exist. Give pictures, folders or patterns such as '*.png'.")
        for match in matches:
            found.setdefault(os.path.abspath(match), Path(match))
    return list(found.values())


def plan(
    source: Path | Sequence[Path],
    output: Path | None,
    out_channels: int,
    skip_existing: bool = False,
    overwrite: bool = False,
    options: PictureOptions = DEFAULTS,
    shard: Shard | None = None,
    in_place: bool = False,
) -> Tasks:
    """Say which file becomes which, before anything is done.

    A folder keeps names, endings and subfolders, but for what `options` say; a format that cannot hold the
    output becomes .png or .tif, and where two names would meet both endings stay: a.bmp.png. Of several inputs,
    files come into the output folder, and each folder into a folder of its own name there.
    shard: take this share only; the shares of one folder are all of it, and no two write the same file.
    in_place: the output is the input, which is overwritten. Raises UsageError when there is nothing to do,
    when outputs exist and neither flag says what to do with them, when an input would be overwritten
    unasked, when two inputs of one name would meet, or when the format asked for cannot hold the output.
    """
    sources = [source] if isinstance(source, Path) else list(source)
    if options.format and not suits(f".{options.format}", channels=out_channels):
        raise UsageError(f"{options.format} cannot hold {CHANNEL_NAMES[out_channels]}. Use --format png, webp or tiff.")
    _check_in_place(sources, output, skip_existing, in_place)
    tasks = _find(sources, None if in_place else output, out_channels, options)
    for group in tasks.groups:
        if shard:
            _take_share(group, shard, in_place)
        if in_place:
            _refuse_links(tasks, group)
    _mind_existing(tasks, skip_existing, overwrite, in_place)
    if skip_existing or overwrite:
        for folder in {group.output for group in tasks.groups if group.output.is_dir()}:
            sweep_temporaries(folder, _STALE_S)
    tasks.close()
    return tasks


def _find(sources: Sequence[Path], target: Path | None, channels: int, options: PictureOptions) -> Tasks:
    """Find the pictures and name their outputs; target: where to, None in place. Raises UsageError."""
    if len(sources) == 1 and not sources[0].is_dir():
        return Tasks([_one_file(sources[0], target, channels, options)])
    folders = [source for source in sources if source.is_dir()]
    if target:
        what = f"{one_line(sources[0])} is a folder" if len(sources) == 1 else "there are several inputs"
        refuse_file_name(target, what)
    tasks = Tasks(list(_file_groups([one for one in sources if one not in folders], target, channels, options)))
    for folder in folders:
        # of several, each stays apart, since files of one name are in many folders
        own = folder.resolve().name if folder.name in ("", "..") else folder.name
        inner = "" if len(sources) == 1 else own
        tasks.groups.append(_folder_group(tasks, folder, target, inner, channels, options))
    _refuse_empty(tasks, sources)
    if target:
        if len(sources) > 1:
            _refuse_meeting(tasks, target)
        _refuse_inputs(tasks, target)
    return tasks


def refuse_file_name(folder: Path, what: str) -> None:
    """Raise UsageError where a folder that is to be made has the name of a file, as out.png or out.pgn have.

    what: why it must be a folder, for the message.
    """
    ending = folder.suffix.lower()
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{one_line(folder)} is a file, but {what}. Give a folder for the output.")
    if not folder.exists() and (ending in FORMATS or ending in UNWRITTEN or _ENDING.fullmatch(ending)):
        raise UsageError(
            f"{one_line(folder)} has the name of a file, but {what}. Give a folder for the output;\n"
            "if you mean it to have that name, create it first."
        )


def _check_in_place(sources: Sequence[Path], output: Path | None, skip_existing: bool, in_place: bool) -> None:
    if not in_place:
        assert output is not None
        return
    if output is not None and not (len(sources) == 1 and _same(output, sources[0])):
        raise UsageError(
            f"--in-place replaces {one_line(sources[0])}, but {one_line(output)} is the output. Leave out one of them."
        )
    if skip_existing:
        raise UsageError("With --in-place every output exists, so --skip-existing would do nothing. Leave out one.")


def _one_file(source: Path, output: Path | None, channels: int, options: PictureOptions) -> Group:
    """Return what becomes of the only input; output: a picture, a folder or, in place, None."""
    if output is None:
        return Group(source.parent, source.parent, [source.name], rename([source.name], channels, options))
    shown, ending, is_folder = one_line(output), output.suffix.lower(), output.is_dir()
    if not is_folder and ending not in FORMATS and (ending in UNWRITTEN or _ENDING.fullmatch(ending)):
        raise UsageError(
            f"{shown}: {output.suffix} is not a format that i2i writes. They are {', '.join(FORMATS)}.\n"
            "If you mean a folder, create it first."
        )
    is_file = ending in FORMATS and not is_folder
    if is_file and (options.suffix or options.format):
        raise UsageError(f"{shown} names the output whole. Leave out --suffix and --format, or give a folder.")
    folder = output.parent if is_file else output
    renamed = {source.name: output.name} if is_file else rename([source.name], channels, options)
    group = Group(source.parent, folder, [source.name], renamed)
    if _same(group.task(source.name).output, source):
        raise UsageError(f"{shown} is the input itself. Give another name for the output, or add --in-place.")
    return group


def _file_groups(files: Sequence[Path], output: Path | None, channels: int, options: PictureOptions) -> Iterator[Group]:
    """Yield the files of each folder as a group of their own."""
    names: dict[Path, list[str]] = {}
    for file in files:
        names.setdefault(file.parent, []).append(file.name)
    for folder, own in names.items():
        yield Group(folder, output or folder, own, rename(own, channels, options, keep=output is None))


def _folder_group(
    tasks: Tasks, source: Path, target: Path | None, inner: str, channels: int, options: PictureOptions
) -> Group:
    """Return the pictures in a folder, and note in `tasks` what is left out.

    target: the folder of all outputs, in which it gets the folder `inner`; in place, None.
    """
    if target and _same(target, source):
        shown = one_line(target)
        raise UsageError(f"{shown} is the input folder itself. Give another folder for the output, or add --in-place.")
    listing = list_folder(source, avoid=target, follow=target is not None, seen=status.count)
    tasks.notes += listing.notes()
    tasks.refused += [Refused(one.path, str(one)) for one in listing.unreadable]
    renamed = rename(listing.names, channels, options, keep=target is None)
    return Group(source, target / inner if target else source, listing.names, renamed)


def _refuse_empty(tasks: Tasks, sources: Sequence[Path]) -> None:
    """Raise UsageError where there is no picture at all."""
    if any(group.names for group in tasks.groups):
        return
    folders = and_more(sources)
    if tasks.refused:
        raise UsageError(f"{tasks.refused[0]} No other folder in {folders} holds pictures.")
    left_out = f"\n{tasks.notes[0]}" if tasks.notes else ""
    hold = "holds" if len(sources) == 1 else "hold"
    raise UsageError(f"{folders} {hold} no pictures ({', '.join(FORMATS)}).{left_out}")


def _refuse_meeting(tasks: Tasks, target: Path) -> None:
    """Raise UsageError where two of several inputs would become the same file or folder."""
    taken: dict[str, Path] = {}
    for group in tasks.groups:
        if group.output == target:
            places = [(group.written(name), group.source / name) for name in group.names]
        else:
            places = [(group.output.name, group.source)]
        for place, source in places:
            other = taken.setdefault(folded(place), source)
            if other is not source:
                raise UsageError(
                    f"{one_line(other)} and {one_line(source)} would both become {one_line(target / place)}.\n"
                    "Translate them into different folders."
                )


def _refuse_inputs(tasks: Tasks, target: Path) -> None:
    """Raise UsageError where an input would be replaced, since the output folder holds inputs."""
    inputs = set[str]()
    for group in tasks.groups:
        inner = _place(group.source, target)
        if inner is not None:
            inputs |= {folded(inner + name) for name in group.names}
    for group in tasks.groups if inputs else ():
        prefix = "" if group.output == target else f"{group.output.name}/"
        lost = next((name for name in group.names if folded(prefix + group.written(name)) in inputs), None)
        if lost is not None:
            name = one_line(group.task(lost).output)
            raise UsageError(f"{name} is an input and would be replaced. Give another folder.")


def _take_share(group: Group, shard: Shard, in_place: bool) -> None:
    new = next((name for name in group.names if group.written(name) != name), None)
    if in_place and new:  # what one share has written, another would take for an input
        raise UsageError(
            f"{one_line(new)} would become {one_line(group.written(new))}; "
            "--shard with --in-place keeps all names. Use -o."
        )
    group.names = [name for name in group.names if _share(group.written(name), shard)]


def _share(name: str, shard: Shard) -> bool:
    """Whether an output belongs to a share: by its name alone, so that no two shares write the same file."""
    return zlib.crc32(os.fsencode(folded(name))) % shard.of == shard.number - 1


def _mind_existing(tasks: Tasks, skip: bool, overwrite: bool, in_place: bool) -> None:
    """Take out, or refuse, what has been written before; in place, that is what would get another's name."""
    if overwrite:
        return
    first: Path | None = None
    for group in tasks.groups:
        there = {name for name in group.names if group.exists(name) and not (in_place and group.written(name) == name)}
        if there and not first:
            first = group.task(min(there)).output
        tasks.existing += len(there)
        group.names = [name for name in group.names if name not in there]
    if first and not skip:
        more = f" and {tasks.existing - 1:,} more exist" if tasks.existing > 1 else " exists"
        way_on = "Add" if in_place else "Add --skip-existing to do only the rest, or"
        raise UsageError(f"{one_line(first)}{more} already.\n{way_on} --overwrite to replace what is there.")


def _place(inner: Path, outer: Path) -> str | None:
    """Return where a folder lies in another, links followed, with / behind each part; None where it does not."""
    inner, outer = inner.resolve(), outer.resolve()
    place = inner.relative_to(outer).as_posix() if inner.is_relative_to(outer) else None
    return "" if place == "." else place and f"{place}/"


def _same(output: Path, source: Path) -> bool:
    """Whether both are the same file or folder, also where the disk does not tell capitals from small letters."""
    return output.exists() and output.samefile(source)


def _refuse_links(tasks: Tasks, group: Group) -> None:
    """Take out links that would be replaced: what they lead to may be elsewhere, or be replaced under its own name."""
    links = [
        name for name in group.names if group.written(name) == name and os.path.islink(os.path.join(group.source, name))
    ]
    for name in links:
        path = group.source / name
        tasks.refused.append(Refused(path, f"{path} is a link, and --in-place replaces none. Use -o, or its target."))
    if links:
        group.names = sorted(set(group.names).difference(links))
