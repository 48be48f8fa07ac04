"""Which pictures are frames of one clip: those in one folder, in the order of their names."""

import re
from collections.abc import Iterable
from itertools import pairwise
from pathlib import PurePath

from i2i.errors import DataError


def clip_of(name: str | PurePath) -> str:
    """Return the folder of a picture, which is its clip."""
    return str(PurePath(name).parent)


def refuse_disorder(names: Iterable[str | PurePath]) -> None:
    """Raise DataError where names, sorted as strings, count in another order: 10 before 9."""
    for one, other in pairwise(map(PurePath, names)):
        if one.parent == other.parent and _counted(other.stem) < _counted(one.stem):
            raise DataError(
                f"{other} counts before {one}, but comes after it in the order of names, which is that of frames.\n"
                "Rename the frames with as many digits each, as in 0009 and 0010."
            )


def _counted(stem: str) -> list[tuple[bool, int, str]]:
    """Return the parts of a name as a person sorts them: numbers by their value."""
    parts = re.findall(r"\d+|\D+", stem, re.ASCII)
    return [(part.isdigit(), int(part) if part.isdigit() else 0, "" if part.isdigit() else part) for part in parts]
