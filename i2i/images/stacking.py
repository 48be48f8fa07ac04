"""Several files as one picture: `{name}_B*.tif` makes scene_B02.tif and scene_B03.tif the bands of a picture, scene.

Such a picture has a path of its own, scene_B{02,03}.tif, which says what its files are. So nothing needs to look for
them in the folder again, and messages name it like any file.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

_BRACES = re.compile(r"^(.*)\{([^{}]+)\}(.*)$", re.DOTALL)


def misfit(pattern: str) -> str:
    """Return what is wrong with a pattern; empty if nothing."""
    once = pattern.count("{name}") == 1 and pattern.count("*") == 1
    return "" if once else f"{pattern} has not each of {{name}} and * once, as {{name}}_B*.tif has"


class Partial(NamedTuple):
    """A picture that lacks files: what `*` stands for in those that others have and it has not, and its own files."""

    lacks: str
    files: tuple[str, ...]


def group_files(names: Sequence[str], pattern: str) -> tuple[dict[str, str], dict[str, Partial]]:
    """Return the pictures that files make up, by name: the path of each, its files in the order of their numbers.

    names: paths relative to one folder; those that do not match are left out. Pictures that lack files are apart.
    """
    before, after = (re.escape(part) for part in pattern.replace("*", "\0").split("{name}"))
    found = re.compile(f"{before}(?P<name>.+){after}".replace(re.escape("\0"), r"(?P<band>[^/{},]+?)"))
    bands: dict[str, dict[str, str]] = {}
    for name in names:
        if match := found.fullmatch(name):
            bands.setdefault(match["name"], {})[match["band"]] = name
    every = {band for own in bands.values() for band in own}
    lacking = {
        name: Partial(", ".join(sorted(every - own.keys(), key=_natural)), tuple(own.values()))
        for name, own in bands.items()
        if every - own.keys()
    }
    inner = "{" + ",".join(sorted(every, key=_natural)) + "}"
    whole = sorted(bands.keys() - lacking.keys())
    return {name: pattern.replace("*", inner).replace("{name}", name) for name in whole}, lacking


def files_of(path: Path) -> list[Path]:
    """Return the files of a path by `group_files`; itself if it names one file."""
    match = _BRACES.match(str(path))
    return [Path(f"{match[1]}{band}{match[3]}") for band in match[2].split(",")] if match else [path]


def _natural(text: str) -> list[tuple[int, str]]:
    """Return a key by which B2 comes before B10."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.findall(r"\d+|\D+", text)]
