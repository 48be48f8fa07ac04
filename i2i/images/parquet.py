"""Pictures in parquet files, as data sets on the hub have them: a column of images, each {bytes, path}, or of bytes.

A row holds a picture, or a pair in two columns. Files are read in place as archives are (i2i.images.shards), where rows
are members: 000000007.a.png is the picture of A in row 7. Columns are stored in groups of rows, which are unpacked
whole, so the last of them are kept.
"""

import contextlib
import functools
import io
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from i2i import status
from i2i.errors import I2IError, ImageError, UsageError, one_line
from i2i.files import show_size
from i2i.images.remote import is_url, open_remote
from i2i.version import DISTRIBUTION

SUFFIX = ".parquet"
MOST_BYTES = 512_000_000
"""The most that a column of a group of rows may unpack to, and all that are kept, unless two take more."""
_ROWS = 64
"""Rows that are read at a time."""
_SIDES = (".a", ".b")


class Member(NamedTuple):
    """A picture of a parquet file."""

    row: int
    side: str
    """.a or .b of pairs, else empty."""
    ending: str
    """Of its format, as .png."""
    content: bytes

    @property
    def name(self) -> str:
        """As a member of an archive."""
        return f"{self.row:09d}{self.side}{self.ending}"


def parquet_files(paths: Sequence[str]) -> list[Path]:
    """Return the parquet files that are given, or lie in the folder that is given; none for other data."""
    found = [
        one
        for path in map(Path, paths)
        for one in (sorted(path.rglob(f"*{SUFFIX}")) if path.is_dir() else [path])
        if one.suffix.lower() == SUFFIX
    ]
    if found and len(found) < len(paths):
        raise UsageError("Give either parquet files or folders of pictures, not both.")
    return found


def members(file: Path, columns: Sequence[str] = (), *, broken: bool = False) -> Iterator[Member]:
    """Yield each picture of a parquet file, in the order of its rows, A before B.

    columns: that of A and that of B, or one alone; empty: the columns of images, of which there must be one or two.
    broken: yield rows that hold no picture, too, as PNGs that cannot be read. Raises ImageError for a file that is
    damaged and, unless `broken`, for a row without a picture; UsageError for other columns.
    """
    with _opened(file) as table:
        names = _chosen(file, table.schema_arrow, columns)
        row = 0
        for batch in table.iter_batches(_ROWS, columns=[_leaf(table.schema_arrow, name) for name in names]):
            for values in zip(*(batch.column(name).to_pylist() for name in names), strict=True):
                for side, value in zip(_SIDES if len(names) == 2 else ("",), values, strict=True):
                    content = _content(value) or b""
                    ending = _ending(content) or (".png" if broken else "")
                    if not ending:
                        held = "a picture that i2i reads" if content else "a picture, only its name"
                        raise ImageError(f"{one_line(file)} does not hold {held}, in row {row + 1}.")
                    yield Member(row, side, ending, content)
                row += 1


def entries(file: Path) -> Iterator[tuple[bytes, int, int]]:
    """Yield name, place for `read` and size of each picture; raises as `members`, and for groups that are too large."""
    with _opened(file) as table:
        names, meta = _chosen(file, table.schema_arrow, ()), table.metadata
        groups = range(meta.num_row_groups)
        largest = max((_group_bytes(meta, group, name) for group in groups for name in names), default=0)
    if largest > MOST_BYTES:
        raise ImageError(
            f"{one_line(file)} has groups of rows with {show_size(largest)} of pictures, and at most "
            f"{show_size(MOST_BYTES)} are read in place. Pack them first: i2i shard FILE -o shards"
        )
    for one in members(file, broken=True):
        status.count(one.row, meta.num_rows)
        yield one.name.encode(), 2 * one.row + (one.side == _SIDES[1]), len(one.content)


def read(file: Path, place: int, stamp: tuple[int, int]) -> bytes:
    """Return the picture at a place that `entries` gave; stamp: size and time of the file; raises ImageError."""
    names, ends = _footer(file, stamp)
    row, side = divmod(place, 2)
    group = int(np.searchsorted(ends, row, side="right"))
    values = _group(file, stamp, group, names[side])
    return _content(values[row - (ends[group - 1] if group else 0)].as_py()) or b""


def row_count(file: Path) -> int:
    """Return how many rows a parquet file has."""
    with _opened(file) as table:
        return int(table.metadata.num_rows)


@functools.lru_cache(maxsize=1 << 10)
def _footer(file: Path, stamp: tuple[int, int]) -> tuple[list[str], list[int]]:
    """Return the columns of pictures, and the row after each group."""
    with _opened(file) as table:
        meta = table.metadata
        rows = [meta.row_group(group).num_rows for group in range(meta.num_row_groups)]
        return _chosen(file, table.schema_arrow, ()), np.cumsum(rows).tolist()


_kept: OrderedDict[tuple[Path, tuple[int, int], int, str], Any] = OrderedDict()
_lock = threading.Lock()


def _group(file: Path, stamp: tuple[int, int], group: int, name: str) -> Any:
    """Return the column of a group of rows, unpacked."""
    key = file, stamp, group, name
    with _lock:
        if key in _kept:
            _kept.move_to_end(key)
            return _kept[key]
        with _opened(file) as table:
            leaf = _leaf(table.schema_arrow, name)
            found = table.read_row_group(group, columns=[leaf], use_threads=False).column(name)
        _kept[key] = found
        while len(_kept) > 2 and sum(one.nbytes for one in _kept.values()) > MOST_BYTES:
            _kept.popitem(last=False)
        return found


def _group_bytes(meta: Any, group: int, name: str) -> int:
    """Return what the pictures of a column in a group of rows take, unpacked."""
    rows = meta.row_group(group)
    columns = (rows.column(place) for place in range(rows.num_columns))
    return sum(one.total_uncompressed_size for one in columns if one.path_in_schema in (name, f"{name}.bytes"))


@contextlib.contextmanager
def _opened(file: Path) -> Iterator[Any]:
    """Open a parquet file; what goes wrong while it is read becomes an ImageError that names it."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ModuleNotFoundError as error:
        raise UsageError(f"{one_line(file)} needs pyarrow. Run: pip install '{DISTRIBUTION}[parquet]'") from error
    try:
        with pyarrow.parquet.ParquetFile(open_remote(file) if is_url(file) else file) as table:
            yield table
    except I2IError:
        raise
    except Exception as error:  # pyarrow raises whatever it likes on broken files
        reason = one_line(str(error).splitlines()[0].rstrip(".")) if str(error) else type(error).__name__
        raise ImageError(f"{one_line(file)} is damaged, or no parquet file: {reason}. Copy it again.") from error


def _chosen(file: Path, schema: Any, columns: Sequence[str]) -> list[str]:
    """Return the columns of A and B, or the only one of pictures."""
    found = [field.name for field in schema if _holds_images(field.type)]
    shown = ", ".join(found)
    if missing := [name for name in columns if name not in found]:
        raise UsageError(f"{one_line(file)} has no column of pictures called {missing[0]}. It has: {shown or 'none'}.")
    if not found:
        others = one_line(", ".join(f"{field.name}: {field.type}" for field in schema))
        raise UsageError(f"{one_line(file)} has no column of pictures, {{bytes, path}} or binary. It has: {others}.")
    if len({*schema.names}) < len(schema.names):
        raise UsageError(f"{one_line(file)} has several columns of one name: {one_line(', '.join(schema.names))}.")
    if not columns and len(found) > 2:
        raise UsageError(
            f"{one_line(file)} has {len(found)} columns of pictures ({shown}). Choose one or two: "
            "i2i shard FILE -o shards --columns A,B"
        )
    return list(columns) or found


def _holds_images(kind: Any) -> bool:
    import pyarrow.types as types

    if types.is_struct(kind) and (place := kind.get_field_index("bytes")) >= 0:
        kind = kind.field(place).type
    return bool(types.is_binary(kind) or types.is_large_binary(kind))


def _leaf(schema: Any, name: str) -> str:
    """Return the name of the column of bytes itself, without paths."""
    import pyarrow.types as types

    return f"{name}.bytes" if types.is_struct(schema.field(name).type) else name


def _content(value: Any) -> bytes | None:
    found: bytes | None = value["bytes"] if isinstance(value, dict) else value
    return found


def _ending(content: bytes) -> str | None:
    """Return the ending of a picture's format, by its content; None where Pillow knows no such format."""
    if content.startswith(b"\x93NUMPY"):
        return ".npy"
    try:
        with Image.open(io.BytesIO(content)) as image:
            kind = image.format or ""
    except Exception:  # decoders raise whatever they like
        return None
    return {"JPEG": ".jpg", "MPO": ".jpg", "TIFF": ".tif", "PPM": ".ppm"}.get(kind, f".{kind.lower()}")
