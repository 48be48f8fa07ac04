"""Faults in the labels of a data folder, for `i2i doctor DATA --labels`."""

import contextlib
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from i2i.config.settings import DataSettings
from i2i.data.labels import Classes, common_classes, find_labels, read_columns, rows_without_picture
from i2i.errors import ConfigError, DataError
from i2i.models.texts import TEXT_BYTES
from i2i.words import and_more, name_some, show_count

Names = Mapping[str, Sequence[Sequence[str]]]
"""By split: the names of the pictures of each list that has labels, as A and B without partners."""


LEAST_TEXTS = 10
"""Fewer pictures do not show that a column holds texts."""


def label_faults(names: Names, labels: str, text: str | None = None) -> Iterator[str]:
    """Yield a sentence on each fault: what a training refuses, and what it would take for a class.

    labels, text: as in `data.labels` and `data.text`.
    """
    train = names["train"]
    if text:
        yield from _too_long(train, labels, text)
    else:
        for column, sentence in _like_texts(train, labels):
            yield sentence
            text = column  # so that its texts are not called classes
    yield from _empty(train, labels, text)
    try:
        found = [find_labels(some, DataSettings(labels=labels, text=text, unlabelled=True)) for some in train]
        classes = common_classes([one for one in found if one])
        extra = rows_without_picture([name for lists in names.values() for some in lists for name in some], labels)
    except (DataError, ConfigError) as error:
        yield str(error)
        yield from _of_written(train, labels, text)
        return
    if extra:
        yield name_some(f"{show_count(len(extra), 'row')} of {labels} that no picture belongs to:", extra)
    for label_set, counts in classes.items():
        usual = float(np.median([*counts.values()]))
        small = [f"{name} ({count:,})" for name, count in counts.items() if count < usual / 10]
        if small:
            yield name_some(f"Classes of {label_set} with under a tenth of the usual {usual:,.0f} pictures:", small)
    yield from _of_written(train, labels, text)
    for split in (one for one in names if one != "train"):
        for some in names[split]:
            yield from _unknown(split, some, labels, text, classes)


def _like_texts(lists: Sequence[Sequence[str]], labels: str) -> Iterator[tuple[str, str]]:
    """Yield columns that hold texts, not classes, since most of their values differ, each with a sentence."""
    for column, counts in _columns(lists, labels).items():
        if counts.total() >= LEAST_TEXTS and 2 * len(counts) > counts.total():
            head = f"{column} has {len(counts):,} different values for {show_count(counts.total(), 'picture')}"
            advice = f"Add --text {column}, and train with data.text={column}; or leave the column out."
            yield column, f"{head}: texts, not classes. {advice}"


def _too_long(lists: Sequence[Sequence[str]], labels: str, text: str) -> Iterator[str]:
    """Yield texts that are cut."""
    long = [one for one in _columns(lists, labels)[text] if len(one.encode()) > TEXT_BYTES]
    if long:
        head = f"{show_count(len(long), 'text')} of {text} with more than {TEXT_BYTES} bytes, which are cut:"
        yield name_some(head, [f"{one[:40]}..." for one in long])


def _empty(lists: Sequence[Sequence[str]], labels: str, text: str | None) -> Iterator[str]:
    """Yield the pictures whose label is an empty cell; nothing where labels cannot be read."""
    for names in lists:
        try:
            columns, _ = read_columns(names, labels, text, unlabelled=True)
        except (DataError, ConfigError):
            return
        empty = [name for name, *row in zip(names, *columns.values(), strict=True) if "" in row]
        if empty:
            head = f"{len(empty):,} of {show_count(len(names), 'picture')} have an empty label in {labels}:"
            yield name_some(head, empty) + " Fill them in, or train semi-supervised with data.unlabelled=true."


def _columns(lists: Sequence[Sequence[str]], labels: str, text: str | None = None) -> dict[str, Counter[str]]:
    """Return how often each value is written, by column; none where labels cannot be read, a fault by itself."""
    columns: dict[str, Counter[str]] = defaultdict(Counter)
    with contextlib.suppress(DataError, ConfigError):
        for names in lists:
            for label_set, column in read_columns(names, labels, text, unlabelled=True)[0].items():
                columns[label_set].update(one for one in column if one)
    return columns


def _of_written(lists: Sequence[Sequence[str]], labels: str, text: str | None) -> Iterator[str]:
    """Yield faults in how classes are written."""
    for label_set, counts in _columns(lists, labels, text).items():
        yield from _alike(label_set, counts)
        yield from _out_of_range(label_set, counts)


def _alike(label_set: str, counts: Counter[str]) -> Iterator[str]:
    """Yield classes that differ in spelling alone: Shoe and shoe, 3 and 03."""
    spellings: dict[object, list[str]] = {}
    for name in sorted(counts):
        spellings.setdefault(float(name) if _is_number(name) else name.casefold(), []).append(name)
    twins = [" and ".join(f"{name} ({counts[name]:,})" for name in same) for same in spellings.values() if same[1:]]
    if twins:
        yield name_some(f"Classes of {label_set} that differ in spelling alone:", twins)


def _out_of_range(label_set: str, counts: Counter[str]) -> Iterator[str]:
    """Yield class numbers outside 0 to N - 1, or 1 to N, of N classes; other numbers are taken for names."""
    if not all(re.fullmatch(r"-?[0-9]{1,9}", name) for name in counts):
        return
    numbers = sorted({int(name) for name in counts})
    first = next((one for one in numbers if one >= 0), None)
    if first not in (0, 1):
        return
    last = first + len([one for one in numbers if one >= 0]) - 1
    odd = [f"{name} ({counts[name]:,})" for name in sorted(counts, key=int) if not first <= int(name) <= last]
    if odd:
        head = f"{label_set} has {len(numbers)} class numbers that are not consecutive from {first}. Out of range:"
        yield f"{name_some(head, odd)} Each number becomes a class. If one means 'none', remove its rows and pictures."


def _is_number(name: str) -> bool:
    return bool(re.fullmatch(r"[0-9]{1,9}(\.0*)?", name))


def _unknown(split: str, names: Sequence[str], labels: str, text: str | None, classes: Classes) -> Iterator[str]:
    """Yield classes of another split that train does not have; nothing where some are not in the table."""
    try:
        columns, _ = read_columns(names, labels, text, unlabelled=True)
    except (DataError, ConfigError):  # training reads no labels but those of train
        return
    for label_set, column in columns.items():
        unknown = sorted({*column} - {""} - classes.get(label_set, {}).keys())
        if unknown:
            known = and_more([*classes.get(label_set, {})])
            yield name_some(f"{split} has classes of {label_set} that train does not know ({known}):", unknown)
