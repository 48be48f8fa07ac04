"""Names of outputs: what an input's becomes, and which of them some disk takes for one."""

# ruff: noqa: PTH122

import os
import unicodedata
from collections import Counter

from i2i.runtime.pictures import PictureOptions, output_suffix


def folded(name: str) -> str:
    """Return what is equal for names that one disk or another, of Windows or macOS, takes for the same."""
    if name.isascii():
        return name.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", name).casefold())


def rename(names: list[str], channels: int, options: PictureOptions, keep: bool = False) -> dict[str, str]:
    """Return the new names of what gets one: a suffix that can hold the output, and no two the same on any disk.

    keep: leave names that differ only by what `folded` takes away; they are on one disk already.
    """
    endings: dict[str, str] = {}
    wanted: dict[str, str] = {}
    for name in names:
        stem, suffix = os.path.splitext(name)
        if suffix not in endings:
            endings[suffix] = output_suffix(suffix, channels, options)
        if options.suffix or endings[suffix] != suffix:
            wanted[name] = f"{stem}{options.suffix}{endings[suffix]}"
    taken = set[str]()
    for name in names if wanted or not keep else ():
        key = folded(name)
        if key in taken and not keep:
            wanted.setdefault(name, name)
        taken.add(key)
    counts = Counter(folded(new) for new in wanted.values())
    for name, new in wanted.items():
        longer = f"{name}{options.suffix}"
        while folded(new) in taken or counts[folded(new)] > 1:
            longer += endings[os.path.splitext(name)[1]]
            new = longer
        taken.add(folded(new))
        wanted[name] = new
    return wanted
