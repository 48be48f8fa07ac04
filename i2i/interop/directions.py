"""Choose the direction of each file of weights, by an option, the names, train_opt.txt or the order."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from i2i.errors import UsageError

_BACK = {"A2B": "B2A", "B2A": "A2B"}


class Choice(NamedTuple):
    """A file, its direction, the reason, and a note for the user, if any."""

    file: Path
    direction: str
    reason: str
    note: str = ""


def choose_directions(files: Sequence[Path], asked: str | None, options: Mapping[str, str]) -> list[Choice]:
    """Return the direction of one file or of each of two.

    asked: the user's choice for one file. options: those in train_opt.txt. Raises UsageError if the names of two files
    show the same direction.
    """
    turned = options.get("direction") == "BtoA"
    usual = "B2A" if turned else "A2B"
    named = [named_direction(file.stem, turned) for file in files]
    if len(files) == 1:
        return [_of_one(files[0], asked, named[0], usual, turned)]
    if named[0] is None and named[1] is None:
        note = (
            f"The names do not show the directions. By their order, {files[0].name} is {usual} and "
            f"{files[1].name} is {_BACK[usual]}; if that is wrong, swap them."
        )
        return [
            Choice(files[0], usual, "by the order given", note),
            Choice(files[1], _BACK[usual], "by the order given"),
        ]
    if named[0] == named[1]:
        raise UsageError(
            f"{files[0].name} and {files[1].name} are both named {named[0]}.\n"
            "Rename one, or import each alone with --direction."
        )
    return [
        Choice(file, own, "by its name") if own else Choice(file, _BACK[other or usual], "by the name of the other")
        for file, own, other in zip(files, named, reversed(named), strict=True)
    ]


def _of_one(file: Path, asked: str | None, named: str | None, usual: str, turned: bool) -> Choice:
    if asked and named not in (None, asked):
        return Choice(file, asked, "by --direction", f"{file.name} is named {named}, but --direction is {asked}.")
    if asked:
        return Choice(file, asked, "by --direction")
    if named:
        return Choice(file, named, "by its name")
    return Choice(file, usual, "by train_opt.txt" if turned else "assumed; if it is wrong, add --direction B2A")


def named_direction(stem: str, turned: bool = False) -> str | None:
    """Return the direction in a file's name; None if it has none or both.

    A2B, AtoB, A_to_B and G_AB state it. pytorch-CycleGAN-and-pix2pix calls the generator from its first side to its
    second G_A. turned: it was trained with --direction BtoA, so its first side is B.
    """
    said, numbered = set(), set()
    for g, a, b, letters in (("G", "A", "B", "A-Z"), ("g", "a", "b", "a-z")):
        for direction, x, y in (("A2B", a, b), ("B2A", b, a)):
            ends = rf"(?<![{letters}])(?:{{}})(?![A-Za-z])"
            if re.search(ends.format(rf"{x}[-_]?(?:2|[tT][oO])[-_]?{y}|{g}[-_]?{x}{y}"), stem):
                said.add(direction)
            if re.search(ends.format(rf"{g}[-_]{x}"), stem):
                numbered.add(_BACK[direction] if turned else direction)
    found = said or numbered
    return found.pop() if len(found) == 1 else None
