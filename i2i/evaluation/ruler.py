"""What sets of pictures are measured with: a feature network, a way of resizing, and a reference set."""

import functools
import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from i2i import status, weights
from i2i.data.items import Picture, read_picture
from i2i.errors import UsageError
from i2i.files import atomic_write
from i2i.images import Array, Range
from i2i.images.shards import read_file
from i2i.metrics.features import MODES, NETWORKS, best_network, features

Progress = Callable[[int, int], object]
"""Called with how many pictures are done, and of how many."""


class Ruler(NamedTuple):
    """What sets are measured with."""

    network: str
    """One of NETWORKS in i2i.metrics.features."""
    mode: str
    """One of MODES there."""

    @property
    def sha256(self) -> str:
        """The digest of the network's weights; empty for random filters."""
        name = NETWORKS[self.network].weights
        return weights.KNOWN[name].sha256 if name else ""

    @property
    def frechet_name(self) -> str:
        """The name of the Fréchet distance: `fid` on Inception's features, `frechet` on others."""
        return "fid" if self.network == "inception" else "frechet"

    @property
    def wasserstein_name(self) -> str:
        """The name of the sliced Wasserstein distance, likewise: `mind` or `sliced_wasserstein`."""
        return "mind" if self.network == "inception" else "sliced_wasserstein"


def make_ruler(network: str | None = None, mode: str = "clean") -> Ruler:
    """Return a ruler; network: None takes the best known one whose weights are here. Raises UsageError, ModelError."""
    if network is not None and network not in NETWORKS:
        raise UsageError(f"Unknown feature network {network}. Choose one of {', '.join(NETWORKS)}.")
    if mode not in MODES:
        raise UsageError(f"Unknown mode {mode}. Choose one of {', '.join(MODES)}.")
    chosen = network or best_network()
    if name := NETWORKS[chosen].weights:
        weights.find(name)  # raises before any work
    return Ruler(chosen, mode)


def reference_digest(pictures: Sequence[Picture], value_range: Range | None) -> str:
    """Return the SHA-256 of real pictures: their names, files and halves, and the range they are read in."""
    digest = hashlib.sha256(f"{value_range}".encode())
    if pictures and (scale := pictures[0].layout.scale):
        digest.update(scale.model_dump_json().encode())
    for picture in pictures:
        digest.update(f"{picture.name} {picture.half} ".encode("utf-8", "surrogateescape"))
        digest.update(hashlib.sha256(read_file(picture.path)).digest())
    return digest.hexdigest()


def reference_features(pictures: Sequence[Picture], ruler: Ruler, value_range: Range | None) -> tuple[str, Array]:
    """Return the digest of a reference set and its features, kept in the cache by digest, network and mode."""
    sha256 = reference_digest(pictures, value_range)
    kept = weights.folder().parent / "features" / f"{sha256[:32]}-{ruler.network}-{ruler.mode}-{ruler.sha256[:8]}.npy"
    if kept.is_file():
        try:
            found: Array = np.load(kept, allow_pickle=False)
            if len(found) == len(pictures):
                return sha256, found
        except (OSError, ValueError):
            pass  # cut short, or from another numpy: computed again
    calls = [functools.partial(read_picture, one) for one in pictures]
    with status.doing("Examining the reference set"):
        found = features(counted(calls), *ruler)
    if os.access(_existing(kept.parent), os.W_OK):
        kept.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(kept) as temporary, temporary.open("wb") as file:
            np.save(file, found)
    return sha256, found


def counted(calls: Sequence[Callable[[], Array]], progress: Progress = lambda done, total: None) -> Iterator[Array]:
    """Yield the picture that each call returns, and show how many are done."""
    for done, call in enumerate(calls):
        status.count(done, len(calls))
        yield call()
        progress(done + 1, len(calls))


def _existing(path: Path) -> Path:
    """Return the nearest folder above a path that exists."""
    return next(one for one in (path, *path.parents) if one.exists())
