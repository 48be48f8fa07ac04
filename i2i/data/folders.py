"""Finding the pictures of a data folder, and which of them belong together.

Paired pictures come in four layouts, tried in this order for a split (train, val, test):

    D/trainA/x.png + D/trainB/x.jpg       two folders, matched by the name up to the suffix
    D/train/A/x.png + D/train/B/x.jpg
    D/train/x.png                         one file a pair, A on its left half and B on its right
    A/x.png + B/x.jpg                     two paths given; A/train and B/train if those exist

Subfolders are part of the name. Unpaired pictures come in the same layouts, without matching names.
Pictures without sides come in one folder: D/train if there is one, else D itself.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np

from i2i.config.settings import DataSettings
from i2i.data.items import Pair, Picture
from i2i.data.shards import find_shards, has_shards, has_split_shards
from i2i.data.watch import watched
from i2i.errors import DataError, UsageError
from i2i.images import PICTURE, PICTURES, Header, Layout, Layouts
from i2i.images.frames import clip_of, refuse_disorder
from i2i.images.listing import is_folder, list_pictures
from i2i.images.stacking import group_files
from i2i.words import name_some, show_count

SPLITS = ("train", "val", "test")
Lister = Callable[[Path], list[Path]]
"""`list_pictures`, with or without some of its other arguments."""


R = TypeVar("R")


def spread(items: Sequence[R], most: int) -> list[R]:
    """Return up to `most` of the items, evenly spaced."""
    return [items[place] for place in np.linspace(0, len(items) - 1, min(len(items), most)).round().astype(int)]


def in_time(data: DataSettings, find: Callable[[Sequence[str]], R]) -> R:
    """Return `find` of the data folders; raises LoaderError where that takes longer than `data.timeout_s`."""
    (found,) = watched(lambda _: find(data.path), [", ".join(data.path)], data.timeout_s)
    return found


def refuse_missing(data: DataSettings) -> None:
    """Raise UsageError where no data is given, DataError for a missing folder, LoaderError for one without answer."""
    if not data.path and not data.toy:
        raise UsageError("No data was given. Add --data FOLDER.")

    def look(paths: Sequence[str]) -> None:
        for path in paths:
            if not is_folder(Path(path)) and not has_shards(path):
                raise DataError(
                    f"{path} is not a folder, tar shard or parquet file. Give the folder that holds the pictures."
                )

    in_time(data, look)


def has_split(paths: Sequence[str], split: str) -> bool:
    """Whether the data has its own folder or shards for `split`."""
    if has_split_shards(paths, split):
        return True
    if len(paths) == 2:
        return all(is_folder(Path(path) / split) for path in paths)
    root = Path(paths[0])
    return is_folder(root / split) or (is_folder(root / f"{split}A") and is_folder(root / f"{split}B"))


def has_sides(path: str, *splits: str) -> bool:
    """Whether the data folder has a folder for A or for B of one of the splits, or shards with both sides."""
    if any((shards := find_shards([path], split)) and shards.has_sides for split in splits):
        return True
    names = (name for split in splits for side in "AB" for name in (f"{split}{side}", f"{split}/{side}"))
    return any(is_folder(Path(path) / name) for name in names)


def find_pairs(
    paths: Sequence[str], split: str, lister: Lister = list_pictures, layouts: Layouts = PICTURES
) -> list[Pair]:
    """Return the pairs of `split` in one data folder, or in A's and B's, sorted by name.

    Two folders without splits inside count as every split. layouts: how A's and B's files become images. Raises
    DataError, which names the files without a partner, or the layouts if there are no pictures.
    """
    if shards := find_shards(paths, split):
        return shards.pairs(layouts)
    where = _locate(paths, split)
    return _match(*where, lister, layouts) if isinstance(where, tuple) else _side_by_side(where, lister, layouts)


def find_sides(
    paths: Sequence[str],
    split: str,
    disjoint: bool = False,
    lister: Lister = list_pictures,
    layouts: Layouts = PICTURES,
) -> tuple[list[Picture], list[Picture]]:
    """Return the pictures of A and of B of `split`, each sorted by name, whether they match or not.

    disjoint: take A from the first half of the pairs, by name, and B from the second. Raises DataError.
    """
    shards = find_shards(paths, split)
    if shards and not disjoint:
        return shards.side("A", layouts[0]), shards.side("B", layouts[1])
    where = None if shards else _locate(paths, split)
    if isinstance(where, tuple) and not disjoint:
        a, b = where
        return _pictures(a, lister, layouts[0]), _pictures(b, lister, layouts[1])
    try:
        pairs = find_pairs(paths, split, lister, layouts)
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
    paths: Sequence[str],
    split: str,
    side: Literal["A", "B"] | None = None,
    lister: Lister = list_pictures,
    layout: Layout = PICTURE,
) -> list[Picture]:
    """Return the pictures of one folder and its subfolders, sorted by name; of `split` if there is a folder for it.

    side: take this side of data with two. Raises DataError and UsageError.
    """
    if shards := find_shards(paths, split):
        return shards.images(side, layout)
    if side:
        where = _locate(paths, split)
        if isinstance(where, tuple):
            return _pictures(where["AB".index(side)], lister, layout)
        return [pair.side(side) for pair in _side_by_side(where, lister, (layout, layout))]
    if len(paths) != 1:
        raise UsageError(f"{len(paths)} data folders were given; pictures without sides come from one.")
    root = Path(paths[0])
    if not is_folder(root):
        raise DataError(f"{root} is not a folder. Give a folder of pictures.")
    if has_sides(paths[0], split):
        raise DataError(f"{root} holds pictures of two sides. Choose one with --set data.side=A or B.")
    if is_folder(root / split):
        return _pictures(root / split, lister, layout)
    others = [one for one in SPLITS if is_folder(root / one)]
    if others:  # other splits must not be trained on
        raise DataError(f"{root} holds {' and '.join(others)}, but no {split}. Name the folder to learn from {split}.")
    return _pictures(root, lister, layout)


def find_clips(names: Sequence[str], sizes: Sequence[Header | None], least: int) -> list[range]:
    """Return the places of the frames of each clip, which are those of one folder, among sorted names.

    sizes: of the frames, None for broken ones. Raises DataError for clips of fewer than `least` frames, of several
    sizes, and of frames that count in another order.
    """
    refuse_disorder(names)
    ends = [place for place in range(1, len(names)) if clip_of(names[place]) != clip_of(names[place - 1])]
    clips = [range(start, end) for start, end in zip([0, *ends], [*ends, len(names)], strict=True)]
    short = [f"{clip_of(names[clip.start])} with {len(clip)}" for clip in clips if len(clip) < least]
    if short:
        raise DataError(
            name_some(f"data.clip_frames is {least}, but there are clips of fewer frames:", short)
            + "\nA clip is a folder, with its frames in the order of their names. Lower data.clip_frames, or move them."
        )
    for clip in clips:
        if len({sizes[place] for place in clip} - {None}) > 1:
            raise DataError(f"The frames of {clip_of(names[clip.start])} have several sizes. A clip has one.")
    return clips


def _locate(paths: Sequence[str], split: str) -> tuple[Path, Path] | Path:
    """Return the folders of A and B, or the one of A|B files; raises DataError, which names the layouts."""
    if not 1 <= len(paths) <= 2:
        raise UsageError(f"{len(paths)} data folders were given; give one, or two: A's and B's.")
    for path in paths:
        if not is_folder(Path(path)):
            raise DataError(f"{path} is not a folder. {_expected(split)}")
    if len(paths) == 2:
        for path in paths:
            if has_sides(path, *SPLITS):
                raise DataError(f"{path} holds both sides, and two folders are A's and B's. Give that folder alone.")
        flat = not any(is_folder(Path(path) / one) for path in paths for one in SPLITS)
        a, b = (Path(path) if flat else Path(path) / split for path in paths)
        for folder in (a, b):
            if not is_folder(folder):  # the folder has other splits, so it is not this one itself
                raise DataError(f"{folder} does not exist. {_expected(split)}")
        return a, b
    root = Path(paths[0])
    for a, b in ((root / f"{split}A", root / f"{split}B"), (root / split / "A", root / split / "B")):
        if is_folder(a) and is_folder(b):
            return a, b
        if is_folder(a) or is_folder(b):
            have, miss = (a, b) if is_folder(a) else (b, a)
            raise DataError(f"{have} is there, but {miss} is not. {_expected(split)}")
    if not is_folder(root / split):
        raise DataError(f"{root} has no pictures for {split}. {_expected(split)}")
    return root / split


def _match(folder_a: Path, folder_b: Path, lister: Lister, layouts: Layouts) -> list[Pair]:
    a, b = _by_stem(folder_a, lister, layouts[0]), _by_stem(folder_b, lister, layouts[1])
    alone = [f"{path} has no partner in {folder_b}" for stem, path in a.items() if stem not in b]
    alone += [f"{path} has no partner in {folder_a}" for stem, path in b.items() if stem not in a]
    if alone:
        count = f"{show_count(len(alone), 'picture')} {'has' if len(alone) == 1 else 'have'}"
        raise DataError(
            name_some(f"{count} no partner:", alone, lines=True) + "\nPartners have the same name up to the suffix."
        )
    return [Pair(stem, a[stem], b[stem], layouts) for stem in a]


def name_of_pair(path: Path) -> str:
    """Return what partners have in common: the name of a file without its suffix; .ome.tif is one."""
    return path.with_suffix("").as_posix().removesuffix(".ome")


def _by_stem(folder: Path, lister: Lister, layout: Layout = PICTURE) -> dict[str, Path]:
    if layout.stack:
        return _stacked(folder, lister, layout.stack)
    pictures = _list_some(folder, lister)
    stems = [name_of_pair(path.relative_to(folder)) for path in pictures]
    twice = [stem for stem, count in Counter(stems).items() if count > 1]
    if twice:
        raise DataError(name_some(f"{folder} holds several pictures of one name up to the suffix:", twice))
    return dict(zip(stems, pictures, strict=True))


def _pictures(folder: Path, lister: Lister, layout: Layout) -> list[Picture]:
    if layout.stack:
        return [Picture(*one, None, layout) for one in _stacked(folder, lister, layout.stack).items()]
    return [Picture(path.relative_to(folder).as_posix(), path, None, layout) for path in _list_some(folder, lister)]


def _stacked(folder: Path, lister: Lister, pattern: str) -> dict[str, Path]:
    """Return the pictures that files in a folder make up by a pattern, by name."""
    files = [path.relative_to(folder).as_posix() for path in _list_some(folder, lister)]
    whole, lacking = group_files(files, pattern)
    if lacking:
        lines = [f"{name} has no {one.lacks}" for name, one in lacking.items()]
        count = f"{len(lacking):,} of {len(whole) + len(lacking):,} pictures in {folder} lack files:"
        raise DataError(
            name_some(count, lines, lines=True) + "\nAdd what is missing, or remove the others of the name."
        )
    found = {name: folder / path for name, path in whole.items()}
    if not found:
        raise DataError(f"None of the {show_count(len(files), 'picture')} in {folder} matches {pattern}.")
    return found


def _list_some(folder: Path, lister: Lister) -> list[Path]:
    pictures = lister(folder)
    if not pictures:
        raise DataError(f"{folder} holds no pictures.")
    return pictures


def _side_by_side(folder: Path, lister: Lister, layouts: Layouts) -> list[Pair]:
    if any(layout.stack for layout in layouts):
        raise DataError(f"{folder} has no folders for A and B, and data.stack_a and stack_b need them.")
    return [Pair(stem, path, None, layouts) for stem, path in _by_stem(folder, lister).items()]


def _expected(split: str) -> str:
    return (
        f"Expected {split}A and {split}B, or {split}/A and {split}/B (pairs have the same names),\n"
        f"or {split}/ with A|B files side by side; or give A's and B's folder, --data A --data B."
    )
