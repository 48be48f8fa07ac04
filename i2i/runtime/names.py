"""Names of outputs, and which names some disk takes for the same."""

# ruff: noqa: PTH122

import os
import unicodedata
from collections import Counter

from i2i.runtime.picture_options import PictureOptions, output_suffix


def folded(name: str) -> str:
    """Return a key that is equal for names that some disk, of Windows or macOS, takes for the same."""
    if name.isascii():
        return name.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", name).casefold())


def rename(names: list[str], channels: int, options: PictureOptions, keep: bool = False) -> dict[str, str]:
    """Return the new names of inputs that need one: each suffix can hold the output, and no two collide on any disk.

    keep: leave names that differ only in what `folded` removes; they are on one disk already.
    """
    endings: dict[str, str] = {}
    wanted: dict[str, str] = {}
    for name in names:
        stem, suffix = os.path.splitext(name)
        if suffix not in endings:
            endings[suffix] = output_suffix(suffix, channels, options)
        if options.suffix or endings[suffix] != suffix:
            ome = ".ome" if stem.endswith(".ome") and endings[suffix] == suffix else ""  # stays at the end
            stem = stem.removesuffix(".ome") if ome or endings[suffix].startswith(".ome.") else stem
            new = f"{stem}{options.suffix}{ome}{endings[suffix]}"
            if new != name:
                wanted[name] = new
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
