"""Lists the tasks of a folder run before anything is done: the pictures among the inputs, and names for outputs."""

import glob
import os
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from i2i import status
from i2i.errors import UsageError, one_line
from i2i.files import sweep_temporaries
from i2i.images import FORMATS, channel_words
from i2i.images.listing import archives_in, is_folder, list_folder, list_shards, pictures_in
from i2i.images.parquet import SUFFIX as PARQUET
from i2i.images.remote import is_remote_file, is_url, shown_url
from i2i.images.shards import is_shard
from i2i.images.stacking import files_of, group_files
from i2i.runtime.names import folded, rename
from i2i.runtime.outcome import Refused
from i2i.runtime.picture_options import DEFAULTS, PictureOptions, holds_labels, suits
from i2i.runtime.refusals import (
    check_file_output,
    check_in_place,
    is_same,
    leave_existing,
    refuse_collisions,
    refuse_empty,
    refuse_file_name,
    refuse_inputs,
    refuse_links,
)
from i2i.runtime.tasks import Group, Shard, Tasks
from i2i.words import name_some, show_count

_STALE_S = 3600
"""Half-written files untouched for this long are left from a killed run; another run may be writing younger ones."""


def list_tasks(
    source: Path | Sequence[Path],
    output: Path | None,
    out_channels: int,
    skip_existing: bool = False,
    overwrite: bool = False,
    options: PictureOptions = DEFAULTS,
    shard: Shard | None = None,
    in_place: bool = False,
) -> Tasks:
    """Return which file becomes which.

    A folder keeps names, endings and subfolders, but for what `options` say; a format that cannot hold the output
    becomes .png or .tif, and if two names would collide both endings stay: a.bmp.png. Of several inputs, files go
    into the output folder, and each folder into one of its own name there.

    shard: take this share only; the shares of one folder make up all of it, and no two write the same file.
    in_place: the output is the input, which is overwritten. Raises UsageError if there is nothing to do, if outputs
    exist and neither flag says what to do with them, if an input would be overwritten unasked, if two inputs would
    collide, or if the format asked for cannot hold the output.
    """
    sources = [source] if isinstance(source, Path) else list(source)
    if options.format and options.values and not holds_labels(f".{options.format}", options.values):
        raise UsageError(f"{options.format} does not keep the values of a label map. Use --format png, tiff or npy.")
    if options.format and not suits(f".{options.format}", channels=out_channels, bands=bool(options.bands)):
        others = "tiff, npy or npz" if options.bands else "png, webp or tiff"
        what = channel_words(out_channels, options.bands)
        raise UsageError(f"{options.format} cannot hold {what}. Use --format {others}.")
    check_in_place(sources, output, skip_existing, in_place)
    tasks = _find(sources, None if in_place else output, out_channels, options)
    for group in tasks.groups:
        if shard:
            tasks.is_share = True
            _take_share(group, shard, in_place)
        if in_place:
            refuse_links(tasks, group)
    leave_existing(tasks, skip_existing, overwrite, in_place)
    if skip_existing or overwrite:
        for folder in {group.output for group in tasks.groups if group.output.is_dir()}:
            sweep_temporaries(folder, _STALE_S)
    tasks.close()
    return tasks


def _find(sources: Sequence[Path], target: Path | None, channels: int, options: PictureOptions) -> Tasks:
    """Find the pictures and name their outputs; target: where to, None in place. Raises UsageError."""
    sources = [one for source in sources for one in _shards_in(source) or [source]]
    shards = [source for source in sources if is_shard(source)]
    if target is None and (other := next((one for one in sources if one in shards or is_url(one)), None)):
        raise UsageError(f"{one_line(other)} is no file or folder here, and --in-place replaces files. Use -o.")
    if len(sources) == 1 and not is_folder(sources[0]) and not shards:
        return Tasks([_one_file(sources[0], target, channels, options)])
    folders = [source for source in sources if is_folder(source)]
    if target:
        one = f"{one_line(sources[0])} is {'an archive' if shards else 'a folder'}"
        refuse_file_name(target, one if len(sources) == 1 else "there are several inputs")
    files = [one for one in sources if one not in folders and one not in shards]
    tasks = Tasks(list(_file_groups(files, target, channels, options)))
    tasks.groups += [_shard_group(tar, target or tar, channels, options) for tar in shards]
    for folder in folders:
        # Of several, each gets a folder of its own: many folders hold files of the same names.
        own = folder.resolve().name if folder.name in ("", "..") else folder.name
        inner = "" if len(sources) == 1 else own
        tasks.groups.append(_folder_group(tasks, folder, target, inner, channels, options))
    refuse_empty(tasks, sources)
    if target:
        if len(sources) > 1:
            refuse_collisions(tasks, target)
        refuse_inputs(tasks, target)
    return tasks


def _one_file(source: Path, output: Path | None, channels: int, options: PictureOptions) -> Group:
    """Return the group of the only input; output: a picture, a folder or, in place, None."""
    if output is None:
        return Group(source.parent, source.parent, [source.name], rename([source.name], channels, options))
    check_file_output(output, options)
    is_file = output.suffix.lower() in FORMATS and not is_folder(output)
    folder = output.parent if is_file else output
    renamed = {source.name: output.name} if is_file else rename([source.name], channels, options)
    group = Group(source.parent, folder, [source.name], renamed)
    if is_same(group.task(source.name).output, source):
        raise UsageError(
            f"{one_line(output)} is the input itself. Give another name for the output, or add --in-place."
        )
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

    target: the folder of all outputs, in which these go into the folder `inner`; in place, None.
    """
    if target and is_same(target, source):
        shown = one_line(target)
        raise UsageError(f"{shown} is the input folder itself. Give another folder for the output, or add --in-place.")
    listing = list_folder(source, avoid=target, follow=target is not None, seen=status.count)
    tasks.notes += listing.notes()
    tasks.refused += [Refused(one.path, str(one)) for one in listing.unreadable]
    output = target / inner if target else source
    if options.layout.stack:
        return _stacked_group(tasks, source, output, listing.names, channels, options)
    renamed = rename(listing.names, channels, options, keep=target is None)
    return Group(source, output, listing.names, renamed)


def _shards_in(source: Path) -> list[Path]:
    """Return the archives that a pattern at an address names, or that a folder without pictures beside them holds."""
    if is_url(source) and glob.has_magic(source.name):
        if not (named := list_shards(source.parent, source.name)):
            raise UsageError(f"{shown_url(source)} matches no file.")
        return named
    if not is_folder(source):
        if is_url(source) and not is_remote_file(source):
            raise UsageError(f"{shown_url(source)} does not exist. Give pictures, folders or archives.")
        return []
    found = archives_in(source)
    return [] if found and list_folder(source).names else found


def _shard_group(tar: Path, target: Path, channels: int, options: PictureOptions) -> Group:
    """Return the pictures in an archive of the side that goes in, or without sides; rows of a table have its name."""
    first = f"{tar.stem}-" if tar.suffix == PARQUET else ""
    found = [(f"{first}{name}", member) for name, side, member in pictures_in(tar) if side in (None, options.side)]
    plain = {member: f"{name}{Path(member).suffix}" for name, member in found}
    renamed = rename(list(plain.values()), channels, options)
    return Group(tar, target, list(plain), {member: renamed.get(name, name) for member, name in plain.items()})


def _stacked_group(
    tasks: Tasks, source: Path, output: Path, files: list[str], channels: int, options: PictureOptions
) -> Group:
    """Return the pictures that files make up, each named by what its files have in common."""
    assert options.layout.stack is not None
    found, lacking = group_files(files, options.layout.stack)
    for name, one in lacking.items():
        path = source / options.layout.stack.replace("{name}", name)
        tasks.refused.append(Refused(path, f"{path} has no file for {one.lacks}, which other pictures have."))
    inside = {one.as_posix() for path in found.values() for one in files_of(Path(path))}
    inside.update(*(one.files for one in lacking.values()))
    if others := [name for name in files if name not in inside]:
        tasks.notes.append(
            name_some(f"Left out {show_count(len(others), 'file')} beside {options.layout.stack}:", others)
        )
    plain = {path: f"{name}{Path(path).suffix}" for name, path in found.items()}
    renamed = rename(list(plain.values()), channels, options)
    return Group(source, output, list(plain), {path: renamed.get(name, name) for path, name in plain.items()})


def _take_share(group: Group, shard: Shard, in_place: bool) -> None:
    new = next((name for name in group.names if group.written(name) != name), None)
    if in_place and new:  # what one share has written, another would take for an input
        raise UsageError(
            f"{one_line(new)} would become {one_line(group.written(new))}; "
            "--shard with --in-place keeps all names. Use -o."
        )
    group.names = [name for name in group.names if _in_share(group.written(name), shard)]


def _in_share(name: str, shard: Shard) -> bool:
    """Whether an output belongs to a share: by its name alone, so that no two shares write the same file."""
    return zlib.crc32(os.fsencode(folded(name))) % shard.of == shard.number - 1
