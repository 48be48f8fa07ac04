"""Faults in the labels of a data folder, for `i2i doctor DATA --labels`."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from i2i.config.settings import DataSettings
from i2i.data.labels import Classes, common_classes, find_labels, read_columns, rows_without_picture
from i2i.errors import ConfigError, DataError
from i2i.words import and_more, name_some, show_count

Names = Mapping[str, Sequence[Sequence[str]]]
"""By split: the names of the pictures of each list that has labels, as A and B without partners."""


def label_faults(names: Names, labels: str) -> Iterator[str]:
    """Yield a sentence on each fault: what a training refuses, and what it would take for a class.

    labels: as in `data.labels`.
    """
    train = names["train"]
    try:
        found = [find_labels(some, DataSettings(labels=labels)) for some in train]
        classes = common_classes([one for one in found if one])
        extra = rows_without_picture([name for lists in names.values() for some in lists for name in some], labels)
    except (DataError, ConfigError) as error:
        yield str(error)
        yield from _of_written(train, labels)
        return
    if extra:
        yield name_some(f"{show_count(len(extra), 'row')} of {labels} that no picture belongs to:", extra)
    for label_set, counts in classes.items():
        usual = float(np.median([*counts.values()]))
        small = [f"{name} ({count:,})" for name, count in counts.items() if count < usual / 10]
        if small:
            yield name_some(f"Classes of {label_set} with under a tenth of the usual {usual:,.0f} pictures:", small)
    yield from _of_written(train, labels)
    for split in (one for one in names if one != "train"):
        for some in names[split]:
            yield from _unknown(split, some, labels, classes)


def _of_written(lists: Sequence[Sequence[str]], labels: str) -> Iterator[str]:
    """Yield faults in how classes are written; nothing where labels cannot be read, which is a fault by itself."""
    columns: dict[str, Counter[str]] = {}
    try:
        for names in lists:
            for label_set, column in read_columns(names, labels)[0].items():
                columns.setdefault(label_set, Counter()).update(column)
    except (DataError, ConfigError):
        return
    for label_set, counts in columns.items():
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


def _unknown(split: str, names: Sequence[str], labels: str, classes: Classes) -> Iterator[str]:
    """Yield classes of another split that train does not have; nothing where some have no label."""
    try:
        columns, _ = read_columns(names, labels)
    except (DataError, ConfigError):  # training reads no labels but those of train
        return
    for label_set, column in columns.items():
        unknown = sorted({*column} - classes.get(label_set, {}).keys())
        if unknown:
            known = and_more([*classes.get(label_set, {})])
            yield name_some(f"{split} has classes of {label_set} that train does not know ({known}):", unknown)
