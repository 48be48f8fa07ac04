"""Checks of all pictures before training, by their headers: broken files, sizes that do not match or fit."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from i2i import status
from i2i.config.settings import Config, DataSettings
from i2i.data.headers import Headers
from i2i.data.items import Item, Pair, Picture, mismatch, read_pair, read_picture
from i2i.data.watch import watched
from i2i.errors import ConfigError, DataError, ImageError, one_line
from i2i.images import Facts, Header
from i2i.machine import core_count
from i2i.words import name_some, show_count

Checked = TypeVar("Checked", Pair, Picture)


class Seen:
    """Collects from headers which files are grey, deep, may have alpha or no data, or hold several images."""

    def __init__(self) -> None:
        self.grey, self.deep, self.alpha, self.nodata = set[Path](), set[Path](), set[Path](), set[Path]()
        self.left_out: dict[Path, int] = {}

    def add(self, path: Path, facts: Facts) -> None:
        """Add the facts of a file."""
        if facts.grey:
            self.grey.add(path)
        if facts.deep:
            self.deep.add(path)
        if facts.may_have_alpha:
            self.alpha.add(path)
        if facts.nodata:
            self.nodata.add(path)
        if facts.left_out:
            self.left_out[path] = facts.left_out

    def notes(self) -> list[str]:
        """Return a line on files of which only the first frame or page is used, if there are any."""
        if not self.left_out:
            return []
        total = sum(self.left_out.values())
        what = "1 frame or page is" if total == 1 else f"{total:,} frames or pages are"
        head = (
            f"{what} left out: only the first of each file is used. To use another one of TIFFs, choose it with "
            "data.plane_a or plane_b; to use all, save them as files. They are in"
        )
        return [name_some(head, [str(path) for path in sorted(self.left_out)])]


def check_pairs(
    pairs: Sequence[Pair], settings: DataSettings | None = None, full: bool = False, seen: Seen | None = None
) -> list[Header | None]:
    """Return the size of each pair's halves by their headers; with `full` or `data.full_check` decode them too.

    seen: collects what else the headers say. Raises one DataError that names the pairs that cannot be read or
    whose halves differ in size. With `data.skip_broken` these get None instead, and DataError is raised only
    where no others are left.
    """
    return _check(pairs, partial(_check_pair_header, seen=seen or Seen()), read_pair, settings, full, "pair")


def check_pictures(
    pictures: Sequence[Picture], settings: DataSettings | None = None, full: bool = False, seen: Seen | None = None
) -> list[Header | None]:
    """Return the size of each picture, as `check_pairs` does; raises one DataError."""
    header = partial(_check_picture_header, seen=seen or Seen())
    return _check(pictures, header, read_picture, settings, full, "picture")


def _check(
    items: Sequence[Checked],
    header: Callable[[Checked, Headers], Header | str],
    read: Callable[[Checked], object],
    settings: DataSettings | None,
    full: bool,
    noun: str,
) -> list[Header | None]:
    """Check many in threads, by their headers and, if asked for, their pixels; raises one DataError for all."""
    decode, headers = full or (settings is not None and settings.full_check), Headers(items)

    def check(item: Checked) -> Header | str:
        found = header(item, headers)
        try:
            if decode:
                read(item)
        except DataError as error:
            if isinstance(error.__cause__, MemoryError):  # not the picture's fault
                raise
            return str(error).rstrip(".")
        return found

    timeout_s = (settings or DataSettings()).timeout_s
    with status.doing(f"{'Decoding' if decode else 'Reading the headers of'} {noun}s"):
        try:
            results = watched(check, items, timeout_s, threads=min(32, core_count() + 4))
        finally:
            headers.save()
    problems = [result for result in results if isinstance(result, str)]
    skip = settings is not None and settings.skip_broken
    if problems and (not skip or len(problems) == len(items)):
        text = name_some(f"{len(problems):,} of {show_count(len(items), noun)} cannot be used:", problems, lines=True)
        may_skip = settings is not None and not skip
        way_on = "; to train without them, add --set data.skip_broken=true" if may_skip else ""
        raise DataError(f"{text}\nRepair or remove them{way_on}.")
    return [result if isinstance(result, Header) else None for result in results]


def refuse_small(
    items: Sequence[Item], sizes: Sequence[Header | None], least_px: int, reason: str, advice: str
) -> None:
    """Raise one DataError that names the pairs or pictures with a side under `least_px`, with reason and advice.

    Broken ones, which have no size, are ignored.
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


def refuse_sizes(items: Sequence[Item], sizes: Sequence[Header | None], config: Config) -> None:
    """Raise DataError for pictures smaller than the crop, and ConfigError for sizes that kornia cannot batch."""
    data = config.data
    if data.resize_px is None:
        advice = "Set data.resize_px to enlarge them, or lower data.crop_px."
        refuse_small(items, sizes, data.crop_px, f"the crop of {data.crop_px} px", advice)
    if data.augment == "kornia" and config.train.step_images > 1 and len({size for size in sizes if size}) > 1:
        raise ConfigError("data.augment kornia needs pictures of one size. Use albumentations, or train.batch 1.")


def odd_halves(items: Sequence[Item], sizes: Sequence[Header | None]) -> str | None:
    """Return a warning if most A|B files are not about twice as wide as high, so that they may be none.

    sizes: of the halves. A folder of photos of 4:3, say, holds single pictures.
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


def _check_pair_header(pair: Pair, headers: Headers, seen: Seen) -> Header | str:
    """Return the size of a pair's halves by its headers, or what is wrong with them."""
    a = _check_picture_header(pair.side("A"), headers, seen)
    if pair.b is None or isinstance(a, str):
        return a
    b = _check_picture_header(pair.side("B"), headers, seen)
    if isinstance(b, str):
        return b
    return a if a == b else mismatch(pair, a, b).rstrip(".")


def _check_picture_header(picture: Picture, headers: Headers, seen: Seen) -> Header | str:
    """Return the size of a picture by its header, or what is wrong with it."""
    try:
        facts = headers.read(picture)
    except ImageError as error:
        return str(error).rstrip(".")
    seen.add(picture.path, facts)
    size = facts.size
    if picture.half and size.width % 2:
        return f"{picture.path} is {size.width}x{size.height}: an A|B file has an even width, one half a side"
    return Header(size.height, size.width // 2) if picture.half else size
