"""Write tar shards, in the layout that i2i.data.shards reads, of a data folder in any layout that trainings take."""

import io
import tarfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from i2i import status
from i2i.data.folders import SPLITS, find_images, find_pairs, find_sides, has_sides, has_split
from i2i.data.items import Picture
from i2i.data.shards import split_of
from i2i.errors import DataError, UsageError, one_line
from i2i.files import atomic_write
from i2i.images.listing import list_shards
from i2i.images.parquet import members, parquet_files, row_count

Entry = tuple[str, Path]
"""The name of a member, and its file."""


def make_shards(
    paths: Sequence[str],
    target: Path,
    most_bytes: int,
    overwrite: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
    columns: Sequence[str] = (),
) -> list[Path]:
    """Write the pictures of data folders, or of parquet files, into archives of up to `most_bytes` in `target`.

    Files go in as they are, those of a pair one after the other. progress: called with (done, total) pictures. columns:
    of the parquet files, as for `members`. Returns the archives. Raises UsageError and DataError.
    """
    if any(old := list_shards(target)) and not overwrite:
        raise UsageError(f"{one_line(old[0])} exists already. Add --overwrite to replace the archives in its folder.")
    with status.doing("Looking for pictures"):
        tables = parquet_files(paths)
        series = {} if tables else _series(paths)
    if columns and not tables:
        raise UsageError("--columns names those of parquet files, and none are given. Leave it out.")
    for path in old:  # else more of them than there will be would stay among the new ones
        path.unlink()
    done, total, made = 0, sum(map(len, series.values())), list[Path]()
    for prefix, entries in series.items():
        for number, part in enumerate(_parts(entries, most_bytes)):
            path = target / f"{prefix}-{number:06d}.tar"
            _write(path, part)
            made.append(path)
            done += len(part)
            progress(done, total)
    return made + list(_of_tables(tables, columns, target, most_bytes, progress))


def _of_tables(
    tables: Sequence[Path],
    columns: Sequence[str],
    target: Path,
    most_bytes: int,
    progress: Callable[[int, int], None],
) -> Iterator[Path]:
    """Write the archives of parquet files, a series for each split that begins their names; yield each archive."""
    by_split: dict[str, list[Path]] = {}
    for table in tables:
        by_split.setdefault(split_of(table) or "shard", []).append(table)
    done, total = 0, sum(map(row_count, tables))
    for prefix, own in by_split.items():
        first, part, size, number = 0, list[tuple[str, bytes]](), 0, 0
        for table in own:
            row = -1
            for one in members(table, columns):
                begins, row = one.row != row, one.row
                if part and begins and size + len(one.content) > most_bytes:
                    yield _write_members(target / f"{prefix}-{number:06d}.tar", part)
                    part, size, number = [], 0, number + 1
                part.append((one._replace(row=first + one.row).name, one.content))
                size += len(one.content)
                done += begins
                progress(done, total)
            first += row_count(table)
        if part:
            yield _write_members(target / f"{prefix}-{number:06d}.tar", part)


def _write_members(path: Path, part: Sequence[tuple[str, bytes]]) -> Path:
    try:
        with atomic_write(path) as temp, tarfile.open(temp, "w", format=tarfile.PAX_FORMAT) as archive:
            for name, content in part:
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    except OSError as error:
        raise DataError(f"{one_line(path)} cannot be written: {error.strerror or error}.") from error
    return path


def _series(paths: Sequence[str]) -> dict[str, list[Entry]]:
    """Return the members of each series of archives, by the prefix of its names."""
    splits = [split for split in SPLITS if has_split(paths, split)]
    found: dict[str, list[Entry]] = {}
    for split in splits or [""]:
        prefix, where = split or "shard", split or "train"
        if len(paths) == 1 and not has_sides(paths[0], where):
            found[prefix] = _entries(find_images(paths, where))
            continue
        try:
            pairs = find_pairs(paths, where)
        except DataError:  # no partners: each side is a series of its own
            for side, pictures in zip("AB", find_sides(paths, where), strict=True):
                found[f"{prefix}{side}"] = _entries(pictures)
        else:
            found[prefix] = [
                (_member(pair.name, path, f".{side}"), path)
                for pair in pairs
                for side, path in (("a", pair.a), ("b", pair.b))
                if path
            ]
    for entries in found.values():
        _refuse_twice(entries)
    return found


def _entries(pictures: Iterable[Picture]) -> list[Entry]:
    return [(_member(str(Path(one.name).with_suffix("")), one.path), one.path) for one in pictures]


def _member(name: str, path: Path, side: str = "") -> str:
    """Return the name of a member; dots would end the name of its picture."""
    return f"{name.replace('.', '_')}{side}{path.suffix.lower()}"


def _refuse_twice(entries: Sequence[Entry]) -> None:
    """Raise DataError where two pictures would have one name."""
    taken: dict[str, Path] = {}
    for name, path in entries:
        key = name.rpartition(".")[0]
        if (other := taken.setdefault(key, path)) is not path:
            raise DataError(f"{one_line(other)} and {one_line(path)} would have one name, {key}. Rename one of them.")


def _parts(entries: Sequence[Entry], most_bytes: int) -> Iterable[list[Entry]]:
    """Yield the members of each archive, together up to so many bytes, or one picture and its partner."""
    part, size = list[Entry](), 0
    for place, entry in enumerate(entries):
        own = entry[1].stat().st_size
        begins = not place or entry[0].split(".")[0] != entries[place - 1][0].split(".")[0]
        if part and begins and size + own > most_bytes:
            yield part
            part, size = [], 0
        part.append(entry)
        size += own
    if part:
        yield part


def _write(path: Path, entries: Sequence[Entry]) -> None:
    try:
        with atomic_write(path) as temp, tarfile.open(temp, "w", format=tarfile.PAX_FORMAT) as archive:
            for name, file in entries:
                with file.open("rb") as content:
                    info = tarfile.TarInfo(name)
                    info.size = file.stat().st_size
                    archive.addfile(info, content)
    except OSError as error:
        raise DataError(f"{one_line(path)} cannot be written: {error.strerror or error}.") from error
