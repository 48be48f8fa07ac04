"""Pictures in tar shards, in the layout of webdataset: a name up to its first dot is a picture, what follows its side.

Parquet files take their place, whose rows are pictures: a column of pictures, or one of A and one of B.

D/train-000000.tar, ...               0001.a.png and 0001.b.png are a pair; 0001.png is one A|B file, or a picture
D/trainA-000000.tar, ...              pictures of A, 0001.png, and those of B in trainB-*.tar
D/0001.tar, ..., or D/*.tar given     the same without splits: they count as every split
A/*.tar and B/*.tar                   two paths given
D/train-0.parquet, D/data/..., ...    the same, named by splits as on the hub (validation is val), or without
"""

import glob
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from i2i import status
from i2i.data.items import Pair, Picture
from i2i.errors import DataError
from i2i.images import Layout, Layouts
from i2i.images.listing import Side, archives_in, is_folder, list_shards, pictures_in
from i2i.images.parquet import SUFFIX as PARQUET
from i2i.images.remote import is_url
from i2i.images.shards import SUFFIX, SUFFIXES, is_shard
from i2i.words import name_some, show_count

SPLITS = ("train", "val", "test")
_OF_TABLE = re.compile(r"(train|test|val)(?:ing|id|idation)?([AB]?)(?![A-Za-z])")


class Shards(NamedTuple):
    """The archives of a split: of both sides together, or those of A and of B."""

    a: list[Path]
    b: list[Path] | None

    @property
    def has_sides(self) -> bool:
        """Whether there are pictures of A and of B."""
        return self.b is not None or None not in _by_side(self.a[:1])

    def pairs(self, layouts: Layouts) -> list[Pair]:
        """Return the pairs, sorted by name; raises DataError where a partner is missing, or a picture has no side."""
        if self.b is not None:
            a, b = (_plain(tars) for tars in (self.a, self.b))
        else:
            sides = _by_side(self.a)
            if None in sides and len(sides) > 1:
                raise DataError(f"{self.a[0].parent} mixes pictures with sides, as 0001.a.png, and without.")
            if None in sides:
                return [Pair(name, path, None, layouts) for name, path in sorted(sides[None].items())]
            a, b = sides.get("A", {}), sides.get("B", {})
        alone = [str(path) for name, path in (*a.items(), *b.items()) if name not in a or name not in b]
        if alone:
            raise DataError(name_some(f"{show_count(len(alone), 'picture')} without a partner:", alone, lines=True))
        return [Pair(name, a[name], b[name], layouts) for name in sorted(a)]

    def side(self, side: Side, layout: Layout) -> list[Picture]:
        """Return the pictures of A or of B, sorted by name."""
        if self.b is not None:
            return _pictures(_plain(self.a if side == "A" else self.b), layout)
        sides = _by_side(self.a)
        if None in sides:
            return [Picture(name, path, side, layout) for name, path in sorted(sides[None].items())]
        if side not in sides:
            raise DataError(f"{self.a[0].parent} has no picture of {side}, as 0001.{side.lower()}.png.")
        return _pictures(sides[side], layout)

    def images(self, side: Side | None, layout: Layout) -> list[Picture]:
        """Return the pictures without sides, or those of a side that is asked for."""
        if side:
            return self.side(side, layout)
        sides = _by_side(self.a)
        if self.b is not None or {*sides} != {None}:
            raise DataError(f"{self.a[0].parent} holds pictures of two sides. Choose one with --set data.side=A or B.")
        return _pictures(sides[None], layout)


def find_shards(paths: Sequence[str], split: str) -> Shards | None:
    """Return the shards of a split in data folders; None where these hold none."""
    if len(paths) == 2:
        a, b = (_tars(path, split) for path in paths)
        return Shards(a, b) if a and b else None
    if len(paths) != 1:
        return None
    root = Path(paths[0])
    a, b = (_named(root, f"{split}{side}") for side in "AB")
    if a and b:
        return Shards(a, b)
    both = _tars(paths[0], split)
    return Shards(both, None) if both else None


def has_shards(path: str) -> bool:
    """Whether a path is an archive, a pattern of archives, or a folder of them."""
    return bool(_given(path) or archives_in(Path(path)))


def has_split_shards(paths: Sequence[str], split: str) -> bool:
    """Whether there are archives named after a split."""
    return all(any(_named(Path(path), f"{split}{side}") for side in ("", "A", "B")) for path in paths)


def split_of(table: Path) -> str:
    """Return the split, and perhaps the side, that begins the name of a parquet file, as train, trainA or val."""
    found = _OF_TABLE.match(table.name)
    return f"{found[1]}{found[2]}" if found else ""


def _named(root: Path, name: str) -> list[Path]:
    """Return the archives in a folder that are named after a split, and perhaps a side."""
    tables = (one for one in archives_in(root) if one.suffix == PARQUET)
    return list_shards(root, f"{name}-*{SUFFIX}") or [one for one in tables if split_of(one) == name]


def _tars(path: str, split: str) -> list[Path]:
    """Return the archives of a split, or all where none is named after any split."""
    if given := _given(path):
        return given
    root = Path(path)
    if named := _named(root, split):
        return named
    others = any(has_split_shards([path], one) or is_folder(root / one) for one in SPLITS)
    return [] if others or any(is_folder(root / f"{one}A") for one in SPLITS) else archives_in(root)


def _given(path: str) -> list[Path]:
    """Return the archives that a path names itself."""
    if not path.lower().endswith(SUFFIXES):
        return []
    if is_url(path) and glob.has_magic(path):
        return list_shards(Path(path).parent, Path(path).name)
    return [one for one in map(Path, sorted(glob.glob(path)) or [path]) if is_shard(one)]  # noqa: PTH207


def _by_side(tars: Sequence[Path]) -> dict[Side | None, dict[str, Path]]:
    """Return the pictures in archives by side and name; raises DataError for a name that occurs twice."""
    found: dict[Side | None, dict[str, Path]] = {}
    for name, side, path in _numbered(tars):
        own = found.setdefault(side, {})
        if name in own:
            raise DataError(f"{own[name]} and {path} are pictures of one name.")
        own[name] = path
    if not found:
        raise DataError(f"{', '.join(map(str, tars[:3]))}: no picture is in {'it' if len(tars) == 1 else 'them'}.")
    return found


def _numbered(tars: Sequence[Path]) -> Iterator[tuple[str, Side | None, Path]]:
    """Yield name, side and path of each picture; rows of parquet files are numbered on from one to the next."""
    first = 0
    for count, tar in enumerate(tars):
        status.count(count, len(tars))
        name = ""
        for name, side, member in pictures_in(tar):
            yield f"{first + int(name):09d}" if tar.suffix == PARQUET else name, side, tar / member
        first += int(name) + 1 if name and tar.suffix == PARQUET else 0


def _plain(tars: Sequence[Path]) -> dict[str, Path]:
    """Return the pictures in archives of one side, whatever side their names say."""
    return {name: path for own in _by_side(tars).values() for name, path in own.items()}


def _pictures(found: dict[str, Path], layout: Layout) -> list[Picture]:
    return [Picture(name, path, None, layout) for name, path in sorted(found.items())]
