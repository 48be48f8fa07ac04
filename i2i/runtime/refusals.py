"""What a folder run must not write: onto an input, two inputs onto one output, onto what exists, through a link."""

# ruff: noqa: PTH114, PTH118

import os
import re
from collections.abc import Sequence
from pathlib import Path

from i2i.errors import DiskFullError, ImageError, UsageError, one_line
from i2i.files import DISK_FULL
from i2i.images import FORMATS, UNWRITTEN
from i2i.images.listing import is_folder
from i2i.runtime.names import folded
from i2i.runtime.outcome import Refused
from i2i.runtime.picture_options import PictureOptions
from i2i.runtime.tasks import Group, Tasks
from i2i.words import and_more

_ENDING = re.compile(r"\.[a-z]{2,5}")
"""What the ending of a file looks like: a folder may well be called v1.2."""


def has_file_ending(path: Path) -> bool:
    """Whether the name of a path ends as that of a file does."""
    ending = path.suffix.lower()
    return ending in FORMATS or ending in UNWRITTEN or bool(_ENDING.fullmatch(ending))


def is_same(output: Path, source: Path) -> bool:
    """Whether both are the same file or folder, even on a disk that ignores case."""
    return output.exists() and source.exists() and output.samefile(source)


def refuse_file_name(folder: Path, what: str) -> None:
    """Raise UsageError if a folder to be made has the name of a file, such as out.png or out.pgn.

    what: why it must be a folder, for the message.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{one_line(folder)} is a file, but {what}. Give a folder for the output.")
    if not folder.exists() and has_file_ending(folder):
        raise UsageError(
            f"{one_line(folder)} has the name of a file, but {what}. Give a folder for the output;\n"
            "if you mean it to have that name, create it first."
        )


def check_in_place(sources: Sequence[Path], output: Path | None, skip_existing: bool, in_place: bool) -> None:
    """Raise UsageError if --in-place contradicts the other options."""
    if not in_place:
        assert output is not None
        return
    if output is not None and not (len(sources) == 1 and is_same(output, sources[0])):
        raise UsageError(
            f"--in-place replaces {one_line(sources[0])}, but {one_line(output)} is the output. Leave out one of them."
        )
    if skip_existing:
        raise UsageError("With --in-place every output exists, so --skip-existing would do nothing. Leave out one.")


def check_file_output(output: Path, options: PictureOptions) -> None:
    """Raise UsageError unless `output` of a single picture is a folder, or a file that can be written as given."""
    shown, ending = one_line(output), output.suffix.lower()
    if not is_folder(output) and ending not in FORMATS and has_file_ending(output):
        raise UsageError(
            f"{shown}: {output.suffix} is not a format that i2i writes. It writes {', '.join(FORMATS)}.\n"
            "If you mean a folder, create it first."
        )
    if ending in FORMATS and not is_folder(output) and (options.suffix or options.format):
        raise UsageError(f"{shown} already names the output file. Leave out --suffix and --format, or give a folder.")


def refuse_empty(tasks: Tasks, sources: Sequence[Path]) -> None:
    """Raise UsageError if there is no picture at all."""
    if any(group.names for group in tasks.groups):
        return
    folders = and_more(sources)
    if tasks.refused:
        raise UsageError(f"{tasks.refused[0]} No other folder in {folders} holds pictures.")
    left_out = f"\n{tasks.notes[0]}" if tasks.notes else ""
    hold = "holds" if len(sources) == 1 else "hold"
    raise UsageError(f"{folders} {hold} no pictures ({', '.join(FORMATS)}).{left_out}")


def refuse_collisions(tasks: Tasks, target: Path) -> None:
    """Raise UsageError if two of several inputs would become the same file or folder."""
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


def refuse_inputs(tasks: Tasks, target: Path) -> None:
    """Raise UsageError if an input would be replaced, because the output folder holds inputs."""
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


def _place(inner: Path, outer: Path) -> str | None:
    """Return where a folder lies in another, links followed, with / behind each part; None if it does not."""
    inner, outer = inner.resolve(), outer.resolve()
    place = inner.relative_to(outer).as_posix() if inner.is_relative_to(outer) else None
    return "" if place == "." else place and f"{place}/"


def leave_existing(tasks: Tasks, skip: bool, overwrite: bool, in_place: bool) -> None:
    """Take out outputs that exist, or raise UsageError; in place, only those that would get another input's name."""
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


def refuse_links(tasks: Tasks, group: Group) -> None:
    """Take out links that would be replaced: their targets may be elsewhere, or be replaced under their own names."""
    links = [
        name for name in group.names if group.written(name) == name and os.path.islink(os.path.join(group.source, name))
    ]
    for name in links:
        path = group.source / name
        tasks.refused.append(Refused(path, f"{path} is a link, and --in-place replaces none. Use -o, or its target."))
    if links:
        group.names = sorted(set(group.names).difference(links))


def write_failure(path: Path, error: OSError) -> DiskFullError | ImageError:
    """Return what to raise where an output cannot be written; a full disk concerns all pictures that follow."""
    if error.errno in DISK_FULL:
        return DiskFullError(
            f"{one_line(path)} cannot be written: {error.strerror}. The pictures before it are whole.\n"
            "Make room and continue with --skip-existing."
        )
    return ImageError(f"{path} cannot be written: {error.strerror or error}.")
