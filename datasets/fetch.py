"""Download a public data set, or take an archive on disk, and unpack it into a folder.

    python datasets/fetch.py --list
    python datasets/fetch.py horse2zebra
    python datasets/fetch.py facades --out data/facades --sha256 DIGEST
    python datasets/fetch.py https://example.org/pictures.zip --out data/mine
    python datasets/fetch.py ~/Downloads/pictures.tar.gz --out data/mine

Nothing is unpacked before its SHA-256 matches the known digest or --sha256. Without either, the download is kept, and
its digest is printed with the command that continues.
"""

import argparse
import difflib
import hashlib
import re
import shlex
import sys
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from archives import kind_of, unpack

from i2i.cli import run_cleanly
from i2i.data.folders import find_pairs, has_split
from i2i.download import MAX_BYTES, check_url, download
from i2i.errors import DataError, DownloadError, UsageError
from i2i.files import show_size

PIX2PIX = "http://efrosgans.eecs.berkeley.edu/pix2pix/datasets/"
CYCLEGAN = "http://efrosgans.eecs.berkeley.edu/cyclegan/datasets/"


class DataSet(NamedTuple):
    """One public data set: its content, its address, and the preset that trains on it."""

    content: str
    url: str
    megabytes: int  # of the download; 0 if there is none
    preset: str  # empty if there is nothing to train on
    direction: str = "A2B"
    sha256: str | None = None
    note: str = ""


def _paired(content: str, name: str, megabytes: int, direction: str = "A2B") -> DataSet:
    return DataSet(content, f"{PIX2PIX}{name}.tar.gz", megabytes, "pix2pix", direction)


def _unpaired(content: str, name: str, megabytes: int, sha256: str) -> DataSet:
    return DataSet(content, f"{CYCLEGAN}{name}.zip", megabytes, "cyclegan", sha256=sha256)


# Digests are from tensorflow/datasets on GitHub, tensorflow_datasets/url_checksums/cycle_gan.txt. They belong to the
# files at their former address; the files at the new one have the same sizes, to the megabyte. The pix2pix sets have no
# published digests. The direction is B2A if the papers' inputs are the right halves (phillipi/pix2pix, README).
SETS = {
    "facades": _paired("photo | labels", "facades", 30, "B2A"),
    "maps": _paired("aerial photo | map", "maps", 251),
    "edges2shoes": _paired("edges | photo", "edges2shoes", 2100),
    "edges2handbags": _paired("edges | photo", "edges2handbags", 8600),
    "night2day": _paired("night | day", "night2day", 2000, "B2A"),
    "cityscapes": DataSet(
        "photo | labels",
        "",
        0,
        "pix2pix",
        "B2A",
        note="""cityscapes cannot be fetched: its licence asks each user to register at
https://www.cityscapes-dataset.com. Download leftImg8bit_trainvaltest.zip and gtFine_trainvaltest.zip. Put the photos
into D/trainA and D/valA, and the *_gtFine_color.png into D/trainB and D/valB. Remove _leftImg8bit and _gtFine_color
from the names, so that both files of a pair have one name. Then:
  i2i train pix2pix --data D --out runs/cityscapes --set data.direction=B2A""",
    ),
    "horse2zebra": _unpaired(
        "horses, zebras", "horse2zebra", 117, "a74d9d392eecca9966b51287a76ca126af473d9de4f3e8fc0e9cda08fa1730a1"
    ),
    "apple2orange": _unpaired(
        "apples, oranges", "apple2orange", 78, "845a191e9af8926408ea597001cd03a452e3300a1f44a79fe329b3d59f6e3eb8"
    ),
    "summer2winter_yosemite": _unpaired(
        "summer, winter",
        "summer2winter_yosemite",
        133,
        "167fe1726807a9d22bd106b4a6c0bd7953b688af924ac1bf967439c4961e49f9",
    ),
    "monet2photo": _unpaired(
        "Monet, photos", "monet2photo", 305, "88f91b00fc228f97c9411fbf1880ec1d119c98f1722e4cfcfaa2fb35fac05b04"
    ),
    "cezanne2photo": _unpaired(
        "Cézanne, photos", "cezanne2photo", 280, "3a6c10ca21f9485862f1cbd707744b9dc258954a04631271d23a3605eeb63cff"
    ),
    "ukiyoe2photo": _unpaired(
        "ukiyo-e, photos", "ukiyoe2photo", 293, "02a2a2fb5ecf425ca1bf86aca7304377da64a2a1d3b86df54eb65e4068bf3b08"
    ),
    "vangogh2photo": _unpaired(
        "van Gogh, photos", "vangogh2photo", 307, "362c3473e70be0944bda08d49d660eafdc2854df55d697835b8186d1d79caaff"
    ),
    "iphone2dslr_flower": _unpaired(
        "phone, camera", "iphone2dslr_flower", 340, "8fcb5e374d631b107e1d961b8c4cd0a186aa2a4ff3e279923f4c426128de7113"
    ),
    "maps_unpaired": _unpaired(
        "aerial photos, maps", "maps", 1477, "639534f69dbf9f36bef8d6292a7698006361221f83f0285d7c9ca78afe6e8a9e"
    ),
    "facades_unpaired": _unpaired(
        "photos, labels", "facades", 35, "9a31ebf3a31b9b5cd195dd5bf62e9308e00cb94604d1019e3889ac84248695c0"
    ),
    "ae_photos": DataSet(
        "photos",
        f"{CYCLEGAN}ae_photos.zip",
        10,
        "",
        note="Photos to translate with a model of monet2photo, cezanne2photo, ukiyoe2photo or vangogh2photo;\n"
        "there is no train split.",
    ),
}

_SUFFIX = re.compile(r"(\.tar)?\.(gz|bz2|xz|zip)$|\.(tar|tgz|tbz2|txz)$", re.IGNORECASE)
_SHA256 = re.compile(r"[0-9a-f]{64}")


def main(arguments: list[str] | None = None) -> None:
    """Download, compare, unpack, and print the next command."""
    options = _parser().parse_args(arguments)
    if options.list:
        print(listing())
        return
    if not options.source:
        raise UsageError("Name a data set, an http(s) address or an archive. --list shows the data sets.")
    sha256 = (options.sha256 or "").strip().lower()
    if sha256 and not _SHA256.fullmatch(sha256):
        raise UsageError(f"--sha256 {options.sha256} is not a SHA-256, which has 64 digits from 0 to 9 and a to f.")
    known = SETS.get(options.source)
    if known and not known.url:
        raise DownloadError(known.note)
    out = options.out or Path("data") / _default_name(options.source)
    if out.exists():
        raise UsageError(f"{out} exists already and is left as it is. Give another --out, or move it away.")
    archive = _archive(options.source, known, out, int(options.max_gb * 10**9))
    _compare(archive, sha256 or (known.sha256 if known else None), options.source, out)
    files = unpack(archive, out)
    print(f"{files} files in {out}. You can delete {archive}.\n{advice(out, known)}")


def listing() -> str:
    """Return the data sets as a table: name, content, size of the download, preset."""
    rows = [("name", "A, B", "download", "trains with")]
    for name, one in SETS.items():
        size = f"{one.megabytes} MB" if one.url else "by hand"
        direction = f", {one.direction}" if one.preset == "pix2pix" else ""
        rows.append((name, one.content, size, f"{one.preset}{direction}" if one.preset else "-"))
    return "\n".join(f"{a:<23} {b:<20} {c:>9}  {d}" for a, b, c, d in rows)


def advice(out: Path, known: DataSet | None) -> str:
    """Return the next command for an unpacked folder, or what it lacks for training."""
    if known and not known.preset:
        return known.note
    if not has_split([str(out)], "train"):
        return f"{out} holds no train folder, nor trainA and trainB. README.md shows the layouts that i2i reads."
    preset = known.preset if known else _guess(out)
    words = ["i2i", "train", preset, "--data", str(out), "--out", f"runs/{out.name}"]
    if known and known.preset == "pix2pix" and known.direction != "A2B":
        words += ["--set", f"data.direction={known.direction}"]
    return f"Next:\n  {shlex.join(words)}"


def _guess(out: Path) -> str:
    """Return the preset for an unknown folder: pix2pix if its pictures pair up by name, else cyclegan."""
    try:
        find_pairs([str(out)], "train")
    except DataError:
        return "cyclegan"
    return "pix2pix"


def _parser() -> argparse.ArgumentParser:
    first, _, rest = (__doc__ or "").partition("\n")
    parser = argparse.ArgumentParser(
        prog="fetch", description=first, epilog=rest, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", nargs="?", metavar="NAME|URL|FILE", help="data set, http(s) address or archive")
    parser.add_argument("--sha256", help="expected digest of the archive")
    parser.add_argument("--out", type=Path, help="new folder for the pictures (default: data/NAME)")
    parser.add_argument("--max-gb", type=gigabytes, default=MAX_BYTES / 10**9, help="largest download (default: 20)")
    parser.add_argument("--list", action="store_true", help="show the data sets")
    return parser


def gigabytes(text: str) -> float:
    """Read a positive number of gigabytes; argparse names this function in its error."""
    number = float(text)
    if not 0 < number < 10**6:  # also refuses nan
        raise ValueError
    return number


def _default_name(source: str) -> str:
    """Return the name of a data set, or that of an archive without its suffix."""
    if source in SETS:
        return source
    last = PurePosixPath(unquote(urlsplit(source).path)).name if "://" in source else Path(source).name
    name = _SUFFIX.sub("", last)
    if not re.fullmatch(r"\w[\w .-]*", name):
        raise UsageError(f"{source} gives no usable folder name. Name the folder with --out.")
    return name


def _archive(source: str, known: DataSet | None, out: Path, max_bytes: int) -> Path:
    """Return the archive on disk: the given file, or the download beside `out`, fetched if it is missing."""
    if not known and "://" not in source:
        if not Path(source).exists():
            near = difflib.get_close_matches(source, SETS, 1)
            raise UsageError(
                f"{source} is neither a known data set nor an address nor a file."
                + (f" Did you mean {near[0]}?" if near else " --list shows the data sets.")
            )
        return Path(source)
    url = known.url if known else source
    check_url(url)
    suffix = _SUFFIX.search(urlsplit(url).path)
    archive = out.with_name(f"{out.name}{suffix[0] if suffix else '.archive'}")
    if not archive.exists():
        print(f"Fetching {url} to {archive}", file=sys.stderr)
        download(url, archive, max_bytes)
    return archive


def _compare(archive: Path, expected: str | None, source: str, out: Path) -> None:
    """Raise DownloadError if the digest is wrong; UsageError, with the command that continues, if none is known."""
    kind_of(archive)  # refuse an error page before its digest is printed
    with archive.open("rb") as file:
        seen = hashlib.file_digest(file, "sha256").hexdigest()
    again = shlex.join(["python", sys.argv[0], source, "--out", str(out), "--sha256", seen])
    if expected is None:
        raise UsageError(
            f"{archive} ({show_size(archive.stat().st_size)}) was kept, but no digest is known to compare it with.\n"
            f"Its SHA-256 is {seen}.\nIf you trust it, unpack it without another download:\n  {again}"
        )
    if seen != expected:
        raise DownloadError(
            f"{archive} is not the expected file, and was not unpacked.\n  expected SHA-256 {expected}\n"
            f"  it has           {seen}\nTo start over, delete it and run the same command again."
        )


if __name__ == "__main__":
    sys.exit(run_cleanly(main))
