"""The labels of pictures: the class of each, from its folder or from a table.

shoe/a.png, shoe/b.png, hat/c.png     a subfolder is a class
name,kind,colour                      a CSV file with a header: names as in the data folder, with or without
a.png,shoe,red                        their suffix, and a column for each label set
"""

import csv
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np

from i2i.config.settings import DataSettings
from i2i.errors import ConfigError, DataError, one_line
from i2i.images import FORMATS, Array
from i2i.models.spec import CLASS_NAME
from i2i.models.texts import TEXT_BYTES, cut_text
from i2i.words import and_more, name_some, show_count

FOLDERS = "folders"
LEAST = 2
"""Pictures of a class at least; a single one shows nothing that a class has in common."""
_SHOWN = 64  # texts that a model file names

Classes = dict[str, dict[str, int]]
"""By label set, its classes in order and how many pictures each has."""


class Labels(NamedTuple):
    """classes: of each label set. numbers: by picture name, its class number in each set, -1 where it has no label.
    texts: by name, encoded."""

    classes: Classes
    numbers: dict[str, Array]
    texts: dict[str, Array]

    def of(self, name: str, suffix: str) -> dict[str, Array]:
        """Return "label", (label sets,), and "text", (TEXT_BYTES,), of a picture, where it has them; with a suffix."""
        label = {f"label{suffix}": self.numbers[name]} if self.classes else {}
        return label | ({f"text{suffix}": self.texts[name]} if self.texts else {})


def find_labels(names: Sequence[str], data: DataSettings, least: int = LEAST) -> Labels | None:
    """Return the labels of the pictures of these names, None without `data.labels`.

    names: as in the data folder, `shoe/a.png` or, for pairs, `shoe/a`. least: pictures of a class, for training; 0
    where nothing is learned from them. Raises DataError for pictures without a label where these are not allowed,
    classes that are not in `data.classes`, and classes with too few pictures; ConfigError for an unreadable table.
    """
    if data.labels is None:
        return None
    columns, texts = read_columns(names, data.labels, data.text, data.unlabelled)
    if absent := data.classes.keys() - columns.keys():
        raise ConfigError(f"data.classes has {', '.join(sorted(absent))}, but the labels are {', '.join(columns)}.")
    classes = {name: _classes(name, column, data.classes.get(name), least) for name, column in columns.items()}
    places = {name: {**{one: number for number, one in enumerate(known)}, "": -1} for name, known in classes.items()}
    rows = zip(names, zip(*columns.values(), strict=True), strict=True) if columns else ()
    numbers = {name: np.array([places[s][one] for s, one in zip(places, row, strict=True)]) for name, row in rows}
    return Labels(classes, numbers, texts)


def read_columns(
    names: Sequence[str], labels: str, text: str | None = None, unlabelled: bool = False
) -> tuple[dict[str, list[str]], dict[str, Array]]:
    """Return the class of each picture by label set, as it is written, and the encoded texts by picture.

    labels, text, unlabelled: as in `data`. The class of a picture without a label is "". Raises DataError and
    ConfigError as `find_labels` does.
    """
    return _from_folders(names) if labels == FOLDERS else _from_table(Path(labels), names, text, unlabelled)


def rows_without_picture(names: Sequence[str], labels: str) -> list[str]:
    """Return the names in a table of labels that none of these pictures has; none for `folders`."""
    if labels == FOLDERS:
        return []
    known = {*names, *map(_stem, names)}
    return [name for name in _read_table(Path(labels))[1] if name not in known and _stem(name) not in known]


def class_numbers(names: Sequence[str], data: DataSettings) -> list[tuple[int, ...]]:
    """Return for each picture its class number in each set of `data.classes`, as training has them; () without labels.

    Raises DataError for pictures without a label and for classes that training does not have, and ConfigError.
    """
    if data.labels is None or not data.classes:
        return [()] * len(names)
    columns, _ = read_columns(names, data.labels, data.text)
    if absent := data.classes.keys() - columns.keys():
        raise ConfigError(f"{data.labels} has no {', '.join(sorted(absent))}; its labels are {', '.join(columns)}.")
    for name, known in data.classes.items():
        _refuse_unknown(name, columns[name], known)
    places = [{one: number for number, one in enumerate(known)} for known in data.classes.values()]
    rows = zip(*(columns[name] for name in data.classes), strict=True)
    return [tuple(place[one] for place, one in zip(places, row, strict=True)) for row in rows]


def common_classes(labels: Sequence[Labels]) -> Classes:
    """Return the classes of each label set, of A and B alike; raises DataError where these differ."""
    one, *others = [each.classes for each in labels] or [{}]
    if any([*other] != [*one] or any([*other[name]] != [*one[name]] for name in one) for other in others):
        raise DataError("A and B have different classes. Give data.classes, which then holds for both.")
    return one


def some_texts(labels: Sequence[Labels]) -> tuple[str, ...]:
    """Return up to 64 of the texts, evenly chosen, each once and on one line."""
    every = {decode_text(text) for each in labels for text in each.texts.values()}
    lines = sorted({re.sub(r"[\x00-\x20\x7f-\x9f]+", " ", text).strip() for text in every} - {""})
    return tuple(lines[:: -(-len(lines) // _SHOWN) or 1])


def _from_folders(names: Sequence[str]) -> tuple[dict[str, list[str]], dict[str, Array]]:
    outside = [name for name in names if "/" not in name]
    if outside:
        head = f"data.labels is {FOLDERS}, but {len(outside)} of {len(names)} pictures are in no subfolder:"
        raise DataError(name_some(head, outside) + " Put each into the folder of its class, or give a table of labels.")
    return {"label": [PurePosixPath(name).parts[0] for name in names]}, {}


def _from_table(
    path: Path, names: Sequence[str], text: str | None, unlabelled: bool
) -> tuple[dict[str, list[str]], dict[str, Array]]:
    header, rows = _read_table(path)
    if text and text not in header:
        raise ConfigError(f"data.text is {text}, but the columns of {path} are {', '.join(header)}.")
    by_stem = _by_stem(rows)
    given = [rows.get(name, by_stem.get(_stem(name))) for name in names]
    missing = [name for name, row in zip(names, given, strict=True) if row is None or ("" in row and not unlabelled)]
    if missing:
        head = f"{len(missing)} of {len(names)} pictures have no label in {path}:"
        known = f" Names there look like {one_line(next(iter(rows)))}." if rows and not any(given) else ""
        empty = " For empty cells, train semi-supervised with data.unlabelled=true." if all(given) else ""
        advice = f"{known} Add them to the table, or remove them from the data.{empty}"
        raise DataError(name_some(head, missing) + advice)
    columns = {one: [row[place] for row in given if row] for place, one in enumerate(header)}
    texts = {}
    if text:
        encoded = columns.pop(text)
        texts = {name: encode_text(one) for name, one in zip(names, encoded, strict=True)}
    return columns, texts


def _read_table(path: Path) -> tuple[list[str], dict[str, list[str]]]:
    """Return the columns after the first, and each row of them by its first cell; raises ConfigError."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            lines = [(reader.line_num, [cell.strip() for cell in row]) for row in reader if row]
    except OSError as error:
        advice = "Give a CSV file with the columns name and label, or folders."
        raise ConfigError(f"data.labels: cannot read {path}: {error.strerror}. {advice}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(
            f"data.labels: {path} is not a CSV file in UTF-8 with commas: {one_line(str(error))}."
        ) from error
    (_, header), *rows = lines or [(1, [])]
    if len(header) < 2 or header[0].lower() != "name" or len({*header}) < len(header):
        first = one_line(", ".join(header[:4]))
        raise ConfigError(f"data.labels: {path} must begin with a line like name,label; it begins with '{first}'.")
    found: dict[str, list[str]] = {}
    for line, (name, *row) in rows:
        if len(row) != len(header) - 1:
            raise ConfigError(
                f"data.labels: row {line} of {path} has {show_count(len(row) + 1, 'cell')}, but its header has "
                f"{len(header)}."
            )
        if found.setdefault(name.removeprefix("./"), row) != row:
            raise ConfigError(f"data.labels: {path} has two labels for {one_line(name)}; the second is in row {line}.")
    return header[1:], found


def _stem(name: str) -> str:
    """Return a name without its suffix, if that is one of pictures: what follows a dot may be a number."""
    stem, dot, suffix = name.rpartition(".")
    return stem if dot + suffix.lower() in FORMATS else name


def _by_stem(rows: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """Return the rows by names without suffix, as pairs have, except for names whose rows differ."""
    found: dict[str, list[str]] = {}
    differ = {_stem(name) for name, row in rows.items() if found.setdefault(_stem(name), row) != row}
    return {stem: row for stem, row in found.items() if stem not in differ}


def _classes(name: str, column: Sequence[str], known: Mapping[str, int] | None, least: int) -> dict[str, int]:
    """Return the classes of a label set with their counts, in the order of `known` or by name."""
    counts = Counter(one for one in column if one)
    unfit = [repr(one) for one in (name, *sorted(counts)) if not _can_be_named(one)]
    if unfit:
        head = "Label names have 1 to 80 characters of UTF-8, without commas, equal signs and control characters; not:"
        raise DataError(name_some(head, unfit))
    if known:
        _refuse_unknown(name, column, known)
    few = [f"{one} ({counts[one]})" for one in known or sorted(counts) if counts[one] < least]
    if few:
        head = f"{len(few)} of {len(known or counts)} classes of {name} have under {least} pictures:"
        raise DataError(name_some(head, few) + " Add pictures, or leave these classes out.")
    if least and len(counts) < 2:
        raise DataError(f"All pictures have the same {name}: {', '.join(counts)}. Labels need two classes or more.")
    return {one: counts[one] for one in known or sorted(counts)}


def _refuse_unknown(name: str, column: Sequence[str], known: Mapping[str, int]) -> None:
    if unknown := sorted({*column} - known.keys() - {""}):
        raise DataError(name_some(f"data.classes of {name} has {and_more([*known])}, but not", unknown))


def _can_be_named(name: str) -> bool:
    """Whether a model file can hold the name of a class or label set, and --label can name it."""
    return bool(re.fullmatch(CLASS_NAME, name)) and not any("\ud800" <= one <= "\udfff" for one in name)


def encode_text(text: str) -> Array:
    """Return a text as (TEXT_BYTES,) uint8: UTF-8, cut between two characters and padded with zeros."""
    content = cut_text(text).encode()
    return np.frombuffer(content.ljust(TEXT_BYTES, b"\0"), np.uint8).copy()  # writable, as torch wants it


def decode_text(values: Array) -> str:
    """Return the text of (TEXT_BYTES,) uint8."""
    return values.tobytes().rstrip(b"\0").decode()
