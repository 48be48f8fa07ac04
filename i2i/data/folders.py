"""What is in a data folder, what belongs together, and what does not fit, found before training starts.

Paired pictures come in four layouts, tried in this order for a split (train, val, test):

    D/trainA/x.png + D/trainB/x.jpg       two folders, matched by the name up to the suffix
    D/train/A/x.png + D/train/B/x.jpg
    D/train/x.png                         one file a pair, A on its left half and B on its right
    A/x.png + B/x.jpg                     two paths given; A/train and B/train if those exist

Subfolders count as part of the name. Unpaired pictures come in the same layouts without matching names,
and pictures without sides in one folder, D/train where there is one, else D itself.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple, TypeVar

import numpy as np

from i2i import status
from i2i.config.settings import DataSettings
from i2i.data.watch import watched
from i2i.errors import DataError, ImageError, UsageError, one_line
from i2i.images import Array, Facts, Header, Range, read_facts, read_image
from i2i.images.listing import list_pictures
from i2i.machine import core_count
from i2i.words import name_some, show_count

SPLITS = ("train", "val", "test")
Lister = Callable[[Path], list[Path]]
"""As `list_pictures`, perhaps with some of its other arguments."""


class Pair(NamedTuple):
    """Two pictures that belong together; `b` is None where one file holds both side by side."""

    name: str
    a: Path
    b: Path | None

    def __str__(self) -> str:
        return f"{self.a}" if self.b is None else f"{self.a} and {self.b}"

    def side(self, side: Literal["A", "B"]) -> "Picture":
        """Return one of the two alone."""
        if self.b is None:
            return Picture(self.name, self.a, side)
        return Picture(self.name, self.a if side == "A" else self.b)


class Picture(NamedTuple):
    """A picture without a partner: a file, or one half of an A|B file."""

    name: str
    path: Path
    half: Literal["A", "B"] | None = None

    def __str__(self) -> str:
        return str(self.path)


Item = TypeVar("Item", Pair, Picture)
R = TypeVar("R")


def spread(items: Sequence[R], most: int) -> list[R]:
    """Return up to `most` of the items, from all over the list."""
    return [items[place] for place in np.linspace(0, len(items) - 1, min(len(items), most)).round().astype(int)]


def in_time(data: DataSettings, find: Callable[[Sequence[str]], R]) -> R:
    """Return what `find` finds in the data folders; raises LoaderError where that takes over `data.timeout_s`."""
    (found,) = watched(lambda _: find(data.path), [", ".join(data.path)], data.timeout_s)
    return found


def refuse_missing(data: DataSettings) -> None:
    """Raise UsageError where no data is given, DataError for a folder that is not there, LoaderError for no answer."""
    if not data.path and not data.toy:
        raise UsageError("No data was given. Add --data FOLDER.")

    def look(paths: Sequence[str]) -> None:
        for path in paths:
            if not Path(path).is_dir():
                raise DataError(f"{path} is not a folder. Give the folder that holds the pictures.")

    in_time(data, look)


def has_split(paths: Sequence[str], split: str) -> bool:
    """Whether the data has a folder of its own for `split`."""
    if len(paths) == 2:
        return all((Path(path) / split).is_dir() for path in paths)
    root = Path(paths[0])
    return (root / split).is_dir() or ((root / f"{split}A").is_dir() and (root / f"{split}B").is_dir())


def find_pairs(paths: Sequence[str], split: str, lister: Lister = list_pictures) -> list[Pair]:
    """Return the pairs of `split` in one data folder, or in A's and B's, sorted by name.

    Two given folders without splits inside are every split themselves. Raises DataError that names the
    files without a partner, or the layouts when there is nothing.
    """
    where = _locate(paths, split)
    return _match(*where, lister) if isinstance(where, tuple) else _side_by_side(where, lister)


def find_sides(
    paths: Sequence[str], split: str, disjoint: bool = False, lister: Lister = list_pictures
) -> tuple[list[Picture], list[Picture]]:
    """Return the pictures of A and of B of `split`, each sorted by name, without asking what matches.

    disjoint: take A's of the first half of the names of pairs, and B's of the second. Raises DataError.
    """
    where = _locate(paths, split)
    if isinstance(where, tuple) and not disjoint:
        a, b = where
        return _pictures(a, lister), _pictures(b, lister)
    try:
        pairs = find_pairs(paths, split, lister)
    except DataError as error:
        advice = "\ndata.disjoint takes pairs apart; set it to false for pictures without partners." if disjoint else ""
        raise DataError(f"{error}{advice}") from error
    if not disjoint:
        return [pair.side("A") for pair in pairs], [pair.side("B") for pair in pairs]
    if len(pairs) < 2:
        raise DataError(f"{pairs[0]} is the only pair for {split}; disjoint halves need two.")
    half = -(-len(pairs) // 2)
    return [pair.side("A") for pair in pairs[:half]], [pair.side("B") for pair in pairs[half:]]


def find_images(
    paths: Sequence[str], split: str, side: Literal["A", "B"] | None = None, lister: Lister = list_pictures
) -> list[Picture]:
    """Return the pictures of one folder and its subfolders, sorted by name; of `split` where it has a folder for it.

    side: take this side of data with two. Raises DataError and UsageError.
    """
    if side:
        return find_sides(paths, split, lister=lister)["AB".index(side)]
    if len(paths) != 1:
        raise UsageError(f"{len(paths)} data folders were given; pictures without sides come from one.")
    root = Path(paths[0])
    if not root.is_dir():
        raise DataError(f"{root} is not a folder. Give a folder of pictures.")
    if (root / f"{split}A").is_dir() or (root / split / "A").is_dir():
        raise DataError(f"{root} holds pictures of two sides. Choose one with --set data.side=A or B.")
    if (root / split).is_dir():
        return _pictures(root / split, lister)
    others = [one for one in SPLITS if (root / one).is_dir()]
    if others:  # whose pictures are not to be learned from
        raise DataError(f"{root} holds {' and '.join(others)}, but no {split}. Name the folder to learn from {split}.")
    return _pictures(root, lister)


class Seen:
    """What else a check finds in headers: files that are grey, deep, may have alpha, or hold several pictures."""

    def __init__(self) -> None:
        self.grey, self.deep, self.alpha = set[Path](), set[Path](), set[Path]()
        self.left_out: dict[Path, int] = {}

    def add(self, path: Path, facts: Facts) -> None:
        """Note the facts of a file."""
        if facts.grey:
            self.grey.add(path)
        if facts.deep:
            self.deep.add(path)
        if facts.may_have_alpha:
            self.alpha.add(path)
        if facts.left_out:
            self.left_out[path] = facts.left_out

    def notes(self) -> list[str]:
        """Return a line on the files of which only the first frame or page is used, if there are any."""
        if not self.left_out:
            return []
        total = sum(self.left_out.values())
        what = "1 frame or page is" if total == 1 else f"{total:,} frames or pages are"
        head = (
            f"{what} left out: only the first of each file is used. To use the others, save them as files. They are in"
        )
        return [name_some(head, [str(path) for path in sorted(self.left_out)])]


def check_pairs(
    pairs: Sequence[Pair], settings: DataSettings | None = None, full: bool = False, seen: Seen | None = None
) -> list[Header | None]:
    """Return the size of each pair's halves by their headers; with `full` or `data.full_check` decode them too.

    seen: filled with what else the headers say. Raises one DataError that names what cannot be read and the pairs
    whose halves differ in size; with `data.skip_broken` these get None, and DataError is raised where nothing else is
    left.
    """
    return _check(pairs, partial(_check_pair_header, seen=seen or Seen()), read_pair, settings, full, "pair")


def check_pictures(
    pictures: Sequence[Picture], settings: DataSettings | None = None, full: bool = False, seen: Seen | None = None
) -> list[Header | None]:
    """Return the size of each picture, as `check_pairs` does; raises one DataError."""
    header = partial(_check_picture_header, seen=seen or Seen())
    return _check(pictures, header, read_picture, settings, full, "picture")


def _check(
    items: Sequence[Item],
    header: Callable[[Item], Header | str],
    read: Callable[[Item, Range | None], object],
    settings: DataSettings | None,
    full: bool,
    noun: str,
) -> list[Header | None]:
    """Check many in threads, by their headers or also by their pixels; raises one DataError for all."""
    decode = full or (settings is not None and settings.full_check)

    def check(item: Item) -> Header | str:
        found = header(item)
        try:
            if decode:
                read(item, settings.input_range if settings else None)
        except DataError as error:
            if isinstance(error.__cause__, MemoryError):  # which no picture is to blame for
                raise
            return str(error).rstrip(".")
        return found

    timeout_s = (settings or DataSettings()).timeout_s
    with status.doing(f"{'Decoding' if decode else 'Reading the headers of'} {noun}s"):
        results = watched(check, items, timeout_s, threads=min(32, core_count() + 4))
    problems = [result for result in results if isinstance(result, str)]
    skip = settings is not None and settings.skip_broken
    if problems and (not skip or len(problems) == len(items)):
        text = name_some(f"{len(problems):,} of {show_count(len(items), noun)} cannot be used:", problems, lines=True)
        may_skip = settings is not None and not skip
        way_on = "; to train without them, add --set data.skip_broken=true" if may_skip else ""
        raise DataError(f"{text}\nMend or remove them{way_on}.")
    return [result if isinstance(result, Header) else None for result in results]


def refuse_small(
    items: Sequence[Pair | Picture], sizes: Sequence[Header | None], least_px: int, reason: str, advice: str
) -> None:
    """Raise one DataError that names the pairs or pictures with a side under `least_px`, says why and what to do.

    Those without a size, which are broken, are left out.
    """
    small = [
        f"{item} {'are' if isinstance(item, Pair) and item.b else 'is'} {size.width}x{size.height}"
        for item, size in zip(items, sizes, strict=True)
        if size and min(size) < least_px
    ]
    if small:
        count = f"{len(small):,} of {show_count(len(items), 'pair' if isinstance(items[0], Pair) else 'picture')}"
        head = f"{count} {'has' if len(small) == 1 else 'have'} a side under {reason}:"
        raise DataError(f"{name_some(head, small, lines=True)}\n{advice}")


def odd_halves(items: Sequence[Pair | Picture], sizes: Sequence[Header | None]) -> str | None:
    """Return a warning where most files that are cut into halves are not about twice as wide as high.

    sizes: of the halves. Photos of 4:3, say, are single pictures that nobody meant to be A|B files.
    """
    halves = {
        item.a if isinstance(item, Pair) else item.path: size
        for item, size in zip(items, sizes, strict=True)
        if size and (item.b is None if isinstance(item, Pair) else item.half)
    }
    odd = {path: size for path, size in halves.items() if not 0.9 <= size.width / size.height <= 1.125}
    if 2 * len(odd) <= len(halves):
        return None
    path, size = next(iter(odd.items()))
    count = f"{len(odd):,} of {show_count(len(halves), 'file')}"
    return (
        f"Warning: {count} cut into A, the left half, and B, the right half, are not about twice as wide as high: "
        f"{one_line(path)} is {2 * size.width}x{size.height}. "
        "If they are single pictures, put those of A and of B into folders of their own."
    )


def read_pair(pair: Pair, value_range: Range | None = None) -> tuple[Array, Array]:
    """Read both pictures, (H, W, C) each, as `images.read_image`; raises DataError when their sizes differ."""
    a = read_image(pair.a, value_range=value_range)
    if pair.b is None:
        half = a.shape[1] // 2
        return a[:, :half], a[:, half:]
    b = read_image(pair.b, value_range=value_range)
    if a.shape[:2] != b.shape[:2]:
        raise DataError(_mismatch(pair, Header(*a.shape[:2]), Header(*b.shape[:2])))
    return a, b


def read_picture(picture: Picture, value_range: Range | None = None) -> Array:
    """Read a picture, (H, W, C), as `images.read_image`; raises DataError."""
    array = read_image(picture.path, value_range=value_range)
    if picture.half is None:
        return array
    half = array.shape[1] // 2
    return array[:, :half] if picture.half == "A" else array[:, half:]


def _locate(paths: Sequence[str], split: str) -> tuple[Path, Path] | Path:
    """Return the folders of A and B, or the one of A|B files; raises DataError that names the layouts."""
    if not 1 <= len(paths) <= 2:
        raise UsageError(f"{len(paths)} data folders were given; give one, or two: A's and B's.")
    for path in paths:
        if not Path(path).is_dir():
            raise DataError(f"{path} is not a folder. {_expected(split)}")
    if len(paths) == 2:
        flat = not any((Path(path) / one).is_dir() for path in paths for one in SPLITS)
        a, b = (Path(path) if flat else Path(path) / split for path in paths)
        for folder in (a, b):
            if not folder.is_dir():  # another split is there, which must not be taken for this one
                raise DataError(f"{folder} does not exist. {_expected(split)}")
        return a, b
    root = Path(paths[0])
    for a, b in ((root / f"{split}A", root / f"{split}B"), (root / split / "A", root / split / "B")):
        if a.is_dir() and b.is_dir():
            return a, b
        if a.is_dir() or b.is_dir():
            have, miss = (a, b) if a.is_dir() else (b, a)
            raise DataError(f"{have} is there, but {miss} is not. {_expected(split)}")
    if not (root / split).is_dir():
        raise DataError(f"{root} has no pictures for {split}. {_expected(split)}")
    return root / split


def _match(folder_a: Path, folder_b: Path, lister: Lister) -> list[Pair]:
    a, b = _by_stem(folder_a, lister), _by_stem(folder_b, lister)
    alone = [f"{path} has no partner in {folder_b}" for stem, path in a.items() if stem not in b]
    alone += [f"{path} has no partner in {folder_a}" for stem, path in b.items() if stem not in a]
    if alone:
        count = f"{show_count(len(alone), 'picture')} {'has' if len(alone) == 1 else 'have'}"
        raise DataError(
            name_some(f"{count} no partner:", alone, lines=True) + "\nPartners have the same name up to the suffix."
        )
    return [Pair(stem, a[stem], b[stem]) for stem in a]


def _by_stem(folder: Path, lister: Lister) -> dict[str, Path]:
    pictures = _list_some(folder, lister)
    stems = [path.relative_to(folder).with_suffix("").as_posix() for path in pictures]
    twice = [stem for stem, count in Counter(stems).items() if count > 1]
    if twice:
        raise DataError(name_some(f"{folder} holds several pictures of one name up to the suffix:", twice))
    return dict(zip(stems, pictures, strict=True))


def _pictures(folder: Path, lister: Lister) -> list[Picture]:
    return [Picture(path.relative_to(folder).as_posix(), path) for path in _list_some(folder, lister)]


def _list_some(folder: Path, lister: Lister) -> list[Path]:
    pictures = lister(folder)
    if not pictures:
        raise DataError(f"{folder} holds no pictures.")
    return pictures


def _side_by_side(folder: Path, lister: Lister) -> list[Pair]:
    return [Pair(stem, path, None) for stem, path in _by_stem(folder, lister).items()]


def _check_pair_header(pair: Pair, seen: Seen) -> Header | str:
    """Return the size of a pair's halves, or what is wrong with it, by its headers."""
    a = _check_picture_header(pair.side("A"), seen)
    if pair.b is None or isinstance(a, str):
        return a
    b = _check_picture_header(pair.side("B"), seen)
    if isinstance(b, str):
        return b
    return a if a == b else _mismatch(pair, a, b).rstrip(".")


def _check_picture_header(picture: Picture, seen: Seen) -> Header | str:
    """Return the size of a picture, or what is wrong with it, by its header."""
    try:
        facts = read_facts(picture.path)
    except ImageError as error:
        return str(error).rstrip(".")
    seen.add(picture.path, facts)
    size = facts.size
    if picture.half and size.width % 2:
        return f"{picture.path} is {size.width}x{size.height}: an A|B file has an even width, one half a side"
    return Header(size.height, size.width // 2) if picture.half else size


def _mismatch(pair: Pair, a: Header, b: Header) -> str:
    return f"{pair.a} is {a.width}x{a.height}, but its partner {pair.b} is {b.width}x{b.height}."


def _expected(split: str) -> str:
    return (
        f"Expected {split}A and {split}B, or {split}/A and {split}/B (pairs have the same names),\n"
        f"or {split}/ with A|B files side by side; or give A's and B's folder, --data A --data B."
    )
