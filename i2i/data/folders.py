"""What is in a data folder, what belongs together, and what does not fit, found before training starts.

Paired pictures come in four layouts, tried in this order for a split (train, val, test):

    D/trainA/x.png + D/trainB/x.jpg       two folders, matched by the name up to the suffix
    D/train/A/x.png + D/train/B/x.jpg
    D/train/x.png                         one file a pair, A on its left half and B on its right
    A/x.png + B/x.jpg                     two paths given; A/train and B/train if those exist

Subfolders count as part of the name.
"""

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from i2i.errors import DataError, ImageError, UsageError
from i2i.images import Array, Header, list_pictures, read_header, read_image

SPLITS = ("train", "val", "test")
FULL_CHECK_PAIRS = (
    5000  # up to here every picture is decoded before training; above, that would take too long to wait for
)
_NAMED = 5  # files named in a message before "and N more"


class Pair(NamedTuple):
    """Two pictures that belong together; `b` is None where one file holds both side by side."""

    name: str
    a: Path
    b: Path | None

    def __str__(self) -> str:
        return f"{self.a}" if self.b is None else f"{self.a} and {self.b}"


def has_split(paths: Sequence[str], split: str) -> bool:
    """Whether the data has a folder of its own for `split`."""
    if len(paths) == 2:
        return all((Path(path) / split).is_dir() for path in paths)
    root = Path(paths[0])
    return (root / split).is_dir() or ((root / f"{split}A").is_dir() and (root / f"{split}B").is_dir())


def find_pairs(paths: Sequence[str], split: str) -> list[Pair]:
    """Return the pairs of `split` in one data folder, or in A's and B's, sorted by name.

    Two given folders without splits inside are every split themselves. Raises DataError that names the
    files without a partner, or the layouts when there is nothing.
    """
    if not 1 <= len(paths) <= 2:
        raise UsageError(f"{len(paths)} data folders were given; give one, or two: A's and B's.")
    for path in paths:
        if not Path(path).is_dir():
            raise DataError(f"{path} is not a folder. {_expected(split)}")
    if len(paths) == 2:
        flat = not any((Path(path) / one).is_dir() for path in paths for one in SPLITS)
        return _match(*(Path(path) if flat else Path(path) / split for path in paths))
    root = Path(paths[0])
    for a, b in ((root / f"{split}A", root / f"{split}B"), (root / split / "A", root / split / "B")):
        if a.is_dir() and b.is_dir():
            return _match(a, b)
        if a.is_dir() or b.is_dir():
            have, miss = (a, b) if a.is_dir() else (b, a)
            raise DataError(f"{have} is there, but {miss} is not. {_expected(split)}")
    if not (root / split).is_dir():
        raise DataError(f"{root} has no pictures for {split}. {_expected(split)}")
    return _side_by_side(root / split)


def preview_split(paths: Sequence[str]) -> str:
    """Return the split that previews and export proofs are taken from: val, or train where there is no val."""
    return "val" if has_split(paths, "val") else "train"


def find_preview_pairs(paths: Sequence[str], count: int) -> list[Pair]:
    """Return the first pairs of the preview split, checked; raises DataError."""
    pairs = find_pairs(paths, preview_split(paths))[:count]
    check_pairs(pairs)
    return pairs


def check_pairs(pairs: Sequence[Pair]) -> list[Header]:
    """Return the size of each pair's halves, having read every header and, up to FULL_CHECK_PAIRS, every picture.

    Raises one DataError that names what cannot be read and the pairs whose halves differ in size.
    """
    check = _check_pixels if len(pairs) <= FULL_CHECK_PAIRS else _check_header
    results: list[Header | str] = []
    with ThreadPoolExecutor() as pool:
        for start in range(0, len(pairs), 10_000):  # a million waiting tasks would take gigabytes
            results += pool.map(check, pairs[start : start + 10_000])
    problems = [result for result in results if isinstance(result, str)]
    if problems:
        raise DataError(_list(f"{len(problems)} of {len(pairs)} pairs cannot be used:", problems, lines=True))
    return [result for result in results if isinstance(result, Header)]


def refuse_small(pairs: Sequence[Pair], sizes: Sequence[Header], least_px: int, reason: str, advice: str) -> None:
    """Raise one DataError that names the pairs with a side under `least_px`, says why and what to do."""
    small = [
        f"{pair} {'is' if pair.b is None else 'are'} {size.width}x{size.height}"
        for pair, size in zip(pairs, sizes, strict=True)
        if min(size) < least_px
    ]
    if small:
        head = f"{len(small)} of {len(pairs)} pairs have a side under {reason}:"
        raise DataError(f"{_list(head, small, lines=True)}\n{advice}")


def read_pair(pair: Pair) -> tuple[Array, Array]:
    """Read both pictures, (H, W, C) each; raises DataError when their sizes differ."""
    a = read_image(pair.a)
    if pair.b is None:
        half = a.shape[1] // 2
        return a[:, :half], a[:, half:]
    b = read_image(pair.b)
    if a.shape[:2] != b.shape[:2]:
        raise DataError(_mismatch(pair, Header(*a.shape[:2]), Header(*b.shape[:2])))
    return a, b


def _match(folder_a: Path, folder_b: Path) -> list[Pair]:
    a, b = _by_stem(folder_a), _by_stem(folder_b)
    alone = [f"{path} has no partner in {folder_b}" for stem, path in a.items() if stem not in b]
    alone += [f"{path} has no partner in {folder_a}" for stem, path in b.items() if stem not in a]
    if alone:
        raise DataError(
            _list(f"{len(alone)} pictures have no partner:", alone, lines=True)
            + "\nPartners have the same name up to the suffix."
        )
    return [Pair(stem, a[stem], b[stem]) for stem in a]


def _by_stem(folder: Path) -> dict[str, Path]:
    pictures = list_pictures(folder)
    if not pictures:
        raise DataError(f"{folder} holds no pictures.")
    stems = [path.relative_to(folder).with_suffix("").as_posix() for path in pictures]
    twice = [stem for stem, count in Counter(stems).items() if count > 1]
    if twice:
        raise DataError(_list(f"{folder} holds several pictures of one name up to the suffix:", twice))
    return dict(zip(stems, pictures, strict=True))


def _side_by_side(folder: Path) -> list[Pair]:
    return [Pair(stem, path, None) for stem, path in _by_stem(folder).items()]


def _check_header(pair: Pair) -> Header | str:
    """Return the size of a pair's halves, or what is wrong with it, by its headers."""
    try:
        a = read_header(pair.a)
        if pair.b is None:
            if a.width % 2:
                return f"{pair.a} is {a.width}x{a.height}: an A|B file has an even width, one half a side"
            return Header(a.height, a.width // 2)
        b = read_header(pair.b)
    except ImageError as error:
        return str(error).rstrip(".")
    return a if a == b else _mismatch(pair, a, b).rstrip(".")


def _check_pixels(pair: Pair) -> Header | str:
    """Do the same, and decode the pictures."""
    found = _check_header(pair)
    try:
        read_pair(pair)
    except DataError as error:
        return str(error).rstrip(".")
    return found


def _mismatch(pair: Pair, a: Header, b: Header) -> str:
    return f"{pair.a} is {a.width}x{a.height}, but its partner {pair.b} is {b.width}x{b.height}."


def _expected(split: str) -> str:
    return (
        f"Expected {split}A and {split}B, or {split}/A and {split}/B (pictures matched by name),\n"
        f"or {split}/ with A|B files side by side; or give A's and B's folder, --data A --data B."
    )


def _list(head: str, items: Sequence[str], lines: bool = False) -> str:
    shown = [*items[:_NAMED], *([f"and {len(items) - _NAMED} more"] if len(items) > _NAMED else [])]
    return head + ("\n  " + "\n  ".join(shown) if lines else " " + ", ".join(shown) + ".")
