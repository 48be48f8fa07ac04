"""Pictures as augmentation takes them: decoded, with their channels, resized; kept where `data.cache` says.

Nothing random happens before the cache, so training sees the same values with it and without it.
"""

import contextlib
import hashlib
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from i2i.data.augment import resize
from i2i.data.folders import Pair, Picture, read_pair, read_picture
from i2i.errors import ConfigError, DataError
from i2i.files import atomic_write, show_size
from i2i.images import Array, Header, to_channels
from i2i.settings import DataSettings

Item = Pair | Picture
Channels = tuple[int, ...]

_VERSION = 1  # of what the files of a cache hold; raise it when decoding, channels or resizing change
_SHARE = 0.8  # of what is free that a cache may take; the rest is for the networks


class Pictures:
    """Reads pairs and pictures, from the cache where they are in it. Threads may share it."""

    def __init__(self, settings: DataSettings):
        self.settings = settings
        self.memory: dict[tuple[Item, Channels], tuple[Array, ...]] = {}

    def read(self, item: Item, channels: Channels) -> tuple[Array, ...]:
        """Return both pictures of a pair, or the one, as integers (H, W, C) with `channels`; raises DataError."""
        if self.settings.cache == "disk":
            return self._read_disk(item, channels)
        known = self.memory.get((item, channels))
        if known is None:
            known = self._load(item, channels)
            if self.settings.cache == "ram":
                self.memory[item, channels] = known
        return known

    def reserve(self, sizes: Sequence[tuple[Header, Channels]], copies: int) -> str:
        """Say what the cache of pictures of these sizes takes; raises ConfigError when that is more than there is.

        copies: trainings on this machine, each with memory of its own. Counted as 8-bit pictures; those of 16 bits take
        twice as much. Empty without a cache.
        """
        cache = self.settings.cache
        if cache == "none":
            return ""
        need = sum(self._pixels(size) * sum(channels) for size, channels in sizes) * (copies if cache == "ram" else 1)
        free = free_memory() if cache == "ram" else _free_disk(cache_folder(self.settings))
        where = "memory" if cache == "ram" else str(cache_folder(self.settings))
        told = f"{show_size(need)} in {where}"
        if free is not None and need > _SHARE * free:
            other = "disk" if cache == "ram" else "none"
            raise ConfigError(
                f"data.cache {cache} needs {told}, where {show_size(free)} are free and {_SHARE:.0%} of that may be "
                f"taken. Set data.cache to {other}, or lower data.resize_px."
            )
        return f"The cache takes up to {told}{f' ({show_size(free)} free)' if free is not None else ''}."

    def _pixels(self, size: Header) -> int:
        scale = (self.settings.resize_px or min(size)) / min(size)
        return round(size.height * scale) * round(size.width * scale)

    def _load(self, item: Item, channels: Channels) -> tuple[Array, ...]:
        sides = read_pair(item) if isinstance(item, Pair) else (read_picture(item),)
        arrays = (to_channels(side, count) for side, count in zip(sides, channels, strict=True))
        # contiguous: a view would keep the whole file's picture in memory
        done = tuple(np.ascontiguousarray(resize(array, self.settings.resize_px)) for array in arrays)
        if min(done[0].shape[:2]) < self.settings.crop_px:  # replaced since its header was read
            raise DataError(f"{item} became smaller than the crop of {self.settings.crop_px} px.")
        return done

    def _read_disk(self, item: Item, channels: Channels) -> tuple[Array, ...]:
        files = self._files(item, channels)
        with contextlib.suppress(OSError, ValueError, EOFError):  # not there yet, or damaged: then anew
            return tuple(np.load(file) for file in files)
        arrays = self._load(item, channels)
        with contextlib.suppress(OSError):  # a full disk costs time only
            for file, array in zip(files, arrays, strict=True):
                with atomic_write(file, sync=False) as temp:
                    np.save(temp, array)
        return arrays

    def _files(self, item: Item, channels: Channels) -> list[Path]:
        """Return one file a picture, named by all that its values depend on; raises DataError for a missing source."""
        sources = [item.path] if isinstance(item, Picture) else [path for path in (item.a, item.b) if path]
        try:
            identity = [(str(path.absolute()), (s := path.stat()).st_size, s.st_mtime_ns) for path in sources]
        except OSError as error:
            raise DataError(f"{item} cannot be read: {error.strerror or error}.") from error
        half = item.half if isinstance(item, Picture) else None
        key = repr((_VERSION, identity, half, channels, self.settings.resize_px))
        name = hashlib.sha256(key.encode()).hexdigest()
        return [cache_folder(self.settings) / name[:2] / f"{name[2:]}.{index}.npy" for index in range(len(channels))]


def cache_folder(settings: DataSettings) -> Path:
    """Return where `data.cache: disk` keeps its files; runs share them."""
    if settings.cache_path:
        return Path(settings.cache_path).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "i2i" / "pictures"


def free_memory() -> int | None:
    """Return how many bytes can be taken without swapping, here or in this container; None where nobody says."""
    try:
        lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines())
        free = int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return None
    group = Path("/sys/fs/cgroup")
    with contextlib.suppress(OSError, KeyError, ValueError):  # no limit, which reads "max"
        limit = int((group / "memory.max").read_text(encoding="ascii"))
        used = int((group / "memory.current").read_text(encoding="ascii"))
        parts = dict(line.split() for line in (group / "memory.stat").read_text(encoding="ascii").splitlines())
        cached = int(parts["active_file"]) + int(parts["inactive_file"])  # of files, given up on demand
        free = min(free, limit - used + cached)
    return free


def _free_disk(folder: Path) -> int:
    existing = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    return shutil.disk_usage(existing).free
