"""Print what the packages of an environment take, in MB of 10^6 bytes, largest first.

    python tools/installed_size.py [SITE-PACKAGES]

Counted are all files that a package installed, scripts included, and what Python compiled of them. `size` is the sum of
their lengths, `disk` what the file system gives them, in whole blocks.
"""

import sys
import sysconfig
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import NamedTuple


class Size(NamedTuple):
    """Bytes of a package: as long as its files are, and in whole blocks of the disk."""

    size: int
    disk: int


def files_of(package: Distribution) -> set[Path]:
    """Return the files of an installed package that exist, compiled ones included."""
    listed = {Path(str(package.locate_file(one))) for one in package.files or ()}
    sources = [one for one in listed if one.suffix == ".py"]
    compiled = {made for one in sources for made in (one.parent / "__pycache__").glob(f"{one.stem}.*.pyc")}
    return {one.resolve() for one in listed | compiled if one.is_file()}


def sizes(folder: Path) -> dict[str, Size]:
    """Return the size of each package in a folder of packages by its name, largest first."""
    found = {}
    for package in distributions(path=[str(folder)]):
        told = [one.stat() for one in files_of(package)]
        disk = sum(one.st_blocks * 512 if hasattr(one, "st_blocks") else one.st_size for one in told)
        found[package.name.lower()] = Size(sum(one.st_size for one in told), disk)
    return dict(sorted(found.items(), key=lambda one: -one[1].size))


def main() -> None:
    """Print a line for each package of 0.5 MB and more, and the whole."""
    folder = Path(sys.argv[1] if sys.argv[1:] else sysconfig.get_path("purelib"))
    found = sizes(folder)
    for name, size in found.items():
        if size.size >= 500_000:
            print(f"{name:28} {size.size / 1e6:7.1f} {size.disk / 1e6:7.1f}")
    size, disk = (sum(column) / 1e6 for column in zip(*found.values(), strict=True))
    print(f"{f'{len(found)} packages':28} {size:7.1f} {disk:7.1f}")


if __name__ == "__main__":
    main()
