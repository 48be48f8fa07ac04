"""The labels of pictures: which class each belongs to, from its folder or from a table.

shoe/a.png, shoe/b.png, hat/c.png     a subfolder is a class
name,kind,colour                      a CSV file with a header: names as in the data folder, with or without
a.png,shoe,red                        their suffix, and a column for each label set
"""

import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np

from i2i.errors import ConfigError, DataError
from i2i.images import Array
from i2i.settings import DataSettings
from i2i.words import name_some

FOLDERS = "folders"
LEAST = 2
"""Pictures of a class; from one alone nothing can be learned that others share."""
TEXT_BYTES = 256
"""A text is cut to so many bytes of UTF-8."""

Classes = dict[str, dict[str, int]]
"""By label set, its classes in their order and how many pictures each has."""


class Labels(NamedTuple):
    """classes: of each label set. numbers: by a picture's name, its class in each set. texts: by name, encoded."""

    classes: Classes
    numbers: dict[str, Array]
    texts: dict[str, Array]


def find_labels(names: Sequence[str], data: DataSettings) -> Labels | None:
    """Return the labels of the pictures of these names, None where `data.labels` is off.

    names: as in the data folder, `shoe/a.png` or, of pairs, `shoe/a`. Raises DataError for pictures without a label,
    classes that `data.classes` does not have, and classes of too few pictures; ConfigError for what cannot be read.
    """
    if data.labels is None:
        return None
    by_folder = data.labels == FOLDERS
    columns, texts = _from_folders(names) if by_folder else _from_table(Path(data.labels), names, data.text)
    classes = {name: _classes(name, column, data.classes.get(name)) for name, column in columns.items()}
    places = {name: {one: number for number, one in enumerate(known)} for name, known in classes.items()}
    rows = zip(names, zip(*columns.values(), strict=True), strict=True) if columns else ()
    numbers = {name: np.array([places[s][one] for s, one in zip(places, row, strict=True)]) for name, row in rows}
    return Labels(classes, numbers, texts)


def _from_folders(names: Sequence[str]) -> tuple[dict[str, list[str]], dict[str, Array]]:
    outside = [name for name in names if "/" not in name]
    if outside:
        head = f"data.labels is {FOLDERS}, but {len(outside)} of {len(names)} pictures lie in no subfolder:"
        raise DataError(name_some(head, outside) + " Put each into the folder of its class, or give a table of labels.")
    return {"label": [PurePosixPath(name).parts[0] for name in names]}, {}


def _from_table(path: Path, names: Sequence[str], text: str | None) -> tuple[dict[str, list[str]], dict[str, Array]]:
    header, rows = _read_table(path)
    if text and text not in header:
        raise ConfigError(f"data.text is {text}, but the columns of {path} are {', '.join(header)}.")
    given = [rows.get(name, rows.get(str(PurePosixPath(name).with_suffix("")))) for name in names]
    missing = [name for name, row in zip(names, given, strict=True) if row is None or "" in row]
    if missing:
        head = f"{len(missing)} of {len(names)} pictures have no label in {path}:"
        raise DataError(name_some(head, missing) + " Add them to the table, or take them out of the data.")
    columns = {one: [row[place] for row in given if row] for place, one in enumerate(header)}
    texts = {}
    if text:
        encoded = columns.pop(text)
        texts = {name: encode_text(one) for name, one in zip(names, encoded, strict=True)}
    return columns, texts


def _read_table(path: Path) -> tuple[list[str], dict[str, list[str]]]:
    """Return the columns behind the first, and each row of them by its first cell; raises ConfigError."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            header, *rows = [[cell.strip() for cell in row] for row in csv.reader(file) if row] or [[]]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"data.labels: {path} cannot be read as CSV: {error}.") from error
    if len(header) < 2 or header[0].lower() != "name" or len({*header}) < len(header):
        raise ConfigError(f"data.labels: {path} must begin with a line like name,label; it begins with {header[:4]}.")
    uneven = next((number for number, row in enumerate(rows, 2) if len(row) != len(header)), None)
    if uneven:
        raise ConfigError(f"data.labels: row {uneven} of {path} has not {len(header)} cells, as its header has.")
    # Of 1.png and 1.jpg either name may stand for the picture; a pair has neither suffix.
    found = {row[0]: row[1:] for row in rows}
    return header[1:], {**{str(PurePosixPath(name).with_suffix("")): row for name, row in found.items()}, **found}


def _classes(name: str, column: Sequence[str], known: Mapping[str, int] | None) -> dict[str, int]:
    """Return the classes of a label set with their counts, in the order of `known` or of their names."""
    counts = Counter(column)
    unknown = sorted(counts.keys() - known) if known else []
    if unknown:
        raise DataError(name_some(f"data.classes of {name} has {', '.join(known or ())}, and not", unknown))
    few = [f"{one} ({counts[one]})" for one in known or sorted(counts) if counts[one] < LEAST]
    if few:
        head = f"{len(few)} of {len(known or counts)} classes of {name} have under {LEAST} pictures:"
        raise DataError(name_some(head, few) + " Add pictures, or leave such classes out.")
    return {one: counts[one] for one in known or sorted(counts)}


def encode_text(text: str) -> Array:
    """Return a text as (TEXT_BYTES,) uint8: UTF-8, cut between two characters, and zeros behind."""
    content = text.encode()[:TEXT_BYTES].decode(errors="ignore").encode()
    return np.frombuffer(content.ljust(TEXT_BYTES, b"\0"), np.uint8)


def decode_text(values: Array) -> str:
    """Return the text of (TEXT_BYTES,) uint8."""
    return values.tobytes().rstrip(b"\0").decode()
