"""Pictures in parquet files, as data sets on the hub have them: a column of images, each {bytes, path}, or of bytes.

They are packed into tar shards, which trainings read in place and in any order; the bytes stay as they are.
"""

import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from i2i.errors import DataError, UsageError, one_line
from i2i.version import DISTRIBUTION

SUFFIX = ".parquet"
_ROWS = 64
"""Rows that are read at a time."""


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


def members(file: Path, columns: Sequence[str], first: int) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of each picture of a parquet file, in the order of its rows, A before B.

    columns: that of A and that of B, or one alone; empty: the columns of images, of which there must be one or two.
    first: number of the first row, for names. Raises DataError for a file that is damaged or lacks a picture.
    """
    table = _opened(file)
    names = _chosen(file, table.schema_arrow, columns)
    row = first
    try:
        for batch in table.iter_batches(_ROWS, columns=names):
            for values in zip(*(batch.column(name).to_pylist() for name in names), strict=True):
                for side, value in zip((".a", ".b") if len(names) == 2 else ("",), values, strict=True):
                    content = value.get("bytes") if isinstance(value, dict) else value
                    if not content:
                        raise DataError(f"{one_line(file)} has no picture in row {row - first + 1}, only its name.")
                    yield f"{row:09d}{side}{_ending(content, file, row - first + 1)}", content
                row += 1
    except OSError as error:
        raise DataError(f"{one_line(file)} is damaged: {str(error).splitlines()[0]}. Copy it again.") from error


def row_count(file: Path) -> int:
    """Return how many rows a parquet file has."""
    return int(_opened(file).metadata.num_rows)


def _opened(file: Path) -> Any:
    try:
        import pyarrow
        import pyarrow.parquet
    except ModuleNotFoundError as error:
        raise UsageError(f"{one_line(file)} needs pyarrow. Run: pip install '{DISTRIBUTION}[parquet]'") from error
    try:
        return pyarrow.parquet.ParquetFile(file)
    except (pyarrow.ArrowInvalid, OSError) as error:
        raise DataError(f"{one_line(file)} is damaged, or no parquet file: {str(error).splitlines()[0]}") from error


def _chosen(file: Path, schema: Any, columns: Sequence[str]) -> list[str]:
    """Return the columns of A and B, or the only one of pictures."""
    import pyarrow.types as types

    def holds_images(kind: Any) -> bool:
        if types.is_struct(kind):
            return bool(kind.get_field_index("bytes") >= 0)
        return bool(types.is_binary(kind) or types.is_large_binary(kind))

    found = [field.name for field in schema if holds_images(field.type)]
    shown = ", ".join(found) or "none"
    if missing := [name for name in columns if name not in found]:
        raise UsageError(f"{one_line(file)} has no column of images called {missing[0]}. It has: {shown}.")
    if not columns and len(found) not in (1, 2):
        raise UsageError(f"{one_line(file)} has {len(found)} columns of images ({shown}). Choose with --columns A,B.")
    return list(columns) or found


def _ending(content: bytes, file: Path, row: int) -> str:
    """Return the ending of a picture's format, by its content."""
    if content.startswith(b"\x93NUMPY"):
        return ".npy"
    try:
        with Image.open(io.BytesIO(content)) as image:
            kind = image.format or ""
    except Exception as error:
        raise DataError(f"{one_line(file)} holds no picture in row {row} that i2i reads.") from error
    return {"JPEG": ".jpg", "MPO": ".jpg", "TIFF": ".tif", "PPM": ".ppm"}.get(kind, f".{kind.lower()}")
