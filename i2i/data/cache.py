"""Images as augmentation takes them, decoded, with their channels and resized; cached where `data.cache` says.

Nothing random happens before the cache, so a training sees the same values with and without it.
"""

import contextlib
import hashlib
import os
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from i2i.config.settings import DataSettings
from i2i.data.augment import resize, resize_valid
from i2i.data.items import Item, Pair, Picture, read_masked_pair, read_masked_picture
from i2i.errors import ConfigError, DataError
from i2i.files import atomic_write, free_bytes, show_size, sweep_temporaries, write_bytes
from i2i.images import Array, Header, to_channels
from i2i.images.shards import stored
from i2i.images.stacking import files_of
from i2i.machine import available_bytes

Channels = tuple[int, ...]

_VERSION = 5  # of the cached files; raise it when decoding, channels or resizing change
_STALE_S = 3600.0  # after which nobody still writes a temporary file
_SHARE = 0.8  # of the free space that a cache may take; the rest is for the networks


class Pictures:
    """Reads pairs and pictures, from the cache if they are in it. Threads may share it."""

    def __init__(self, settings: DataSettings):
        self.settings = settings
        self.masked = False
        """Whether items come with what is valid, (H, W, 1) uint8 as resize_valid returns it, behind their images."""
        self.memory: dict[tuple[Item, Channels], tuple[Array, ...]] = {}

    def read(self, item: Item, channels: Channels) -> tuple[Array, ...]:
        """Return both images of a pair, or one of a picture, (H, W, C) with `channels`; raises DataError.

        Behind them comes what is valid, if `masked`.
        """
        if self.settings.cache == "disk":
            return self._read_disk(item, channels)
        known = self.memory.get((item, channels))
        if known is None:
            known = self._load(item, channels)
            if self.settings.cache == "ram":
                self.memory[item, channels] = known
        return known

    def reserve(self, known: Sequence[tuple[Item, Header, Channels]], copies: int) -> str:
        """Return a note on the size of the cache; raises ConfigError when there is less room, or none to write to.

        copies: processes of this training on this machine, each with a cache in its memory. Counted for 8 bits;
        16-bit pictures take twice as much, and those on disk already nothing. Empty without a cache.
        """
        cache = self.settings.cache
        if cache == "none":
            return ""
        if cache == "ram":
            copied, free, where = copies, available_bytes(), "memory"
        else:
            folder = cache_folder(self.settings)
            _prepare(folder)
            known = [each for each in known if not self._on_disk(each[0], each[2])]
            copied, free, where = 1, free_bytes(folder), f"{folder}, in addition to what it holds"
        need = sum(self._pixels(size) * (sum(channels) + self.masked) for _, size, channels in known) * copied
        told = f"{show_size(need)} in {where}"
        if free is not None and need > _SHARE * free:
            other = "disk" if cache == "ram" else "none"
            raise ConfigError(
                f"data.cache {cache} needs {told}, where {show_size(free)} are free; it may take {_SHARE:.0%} of "
                f"that. Set data.cache to {other}, or lower data.resize_px."
            )
        return f"The cache takes up to {told}{f' ({show_size(free)} free)' if free is not None else ''}."

    def _pixels(self, size: Header) -> int:
        scale = (self.settings.resize_px or min(size)) / min(size)
        return round(size.height * scale) * round(size.width * scale)

    def _load(self, item: Item, channels: Channels) -> tuple[Array, ...]:
        *sides, blank = self._decode(item)
        layouts = item.layouts if isinstance(item, Pair) else (item.layout,)
        arrays = (to_channels(side, count) for side, count in zip(sides, channels, strict=True))
        # contiguous: a view would keep the whole decoded file in memory
        done = tuple(
            np.ascontiguousarray(resize(array, self.settings.resize_px, nearest=bool(layout.values)))
            for array, layout in zip(arrays, layouts, strict=True)
        )
        if min(done[0].shape[:2]) < self.settings.crop_px:  # the file was replaced since its header was read
            raise DataError(f"{item} became smaller than the crop of {self.settings.crop_px} px.")
        if self.masked:
            own = sides[0].shape[0], sides[0].shape[1]
            done += (resize_valid(blank, own, lambda values: resize(values, self.settings.resize_px)),)
        return done

    def _decode(self, item: Item) -> tuple[Any, ...]:
        """Return the images of an item, and where they have no data; None: nowhere."""
        return read_masked_pair(item) if isinstance(item, Pair) else read_masked_picture(item)

    def _read_disk(self, item: Item, channels: Channels) -> tuple[Array, ...]:
        files = self._files(item, channels)
        with contextlib.suppress(OSError, ValueError, EOFError):  # missing or damaged: read it again
            return tuple(_read_checked(file) for file in files)
        arrays = self._load(item, channels)
        with contextlib.suppress(OSError):  # a full disk only costs time
            for file, array in zip(files, arrays, strict=True):
                with atomic_write(file, sync=False) as temp, temp.open("wb") as opened:
                    np.save(opened, array)
                    opened.write(_checksum(array))
        return arrays

    def _on_disk(self, item: Item, channels: Channels) -> bool:
        try:
            return all(file.exists() for file in self._files(item, channels))
        except DataError:  # reported when it is read
            return False

    def _files(self, item: Item, channels: Channels) -> list[Path]:
        """Return a file for each image, named by all it depends on; raises DataError for a missing source."""
        given = [item.path] if isinstance(item, Picture) else [path for path in (item.a, item.b) if path]
        layouts = (item.layout,) if isinstance(item, Picture) else item.layouts
        stacked = any(layout.stack for layout in layouts)
        sources = [one for path in given for one in (files_of(path) if stacked else [path])]
        try:
            identity = [(str(path.absolute()), *stored(path)) for path in sources]
        except OSError as error:
            raise DataError(f"{item} cannot be read: {error.strerror or error}.") from error
        half = item.half if isinstance(item, Picture) else None
        key = repr((_VERSION, identity, half, channels, self.settings.resize_px, layouts, self.masked))
        name = hashlib.sha256(key.encode()).hexdigest()
        count = len(channels) + self.masked
        return [cache_folder(self.settings) / name[:2] / f"{name[2:]}.{index}.npy" for index in range(count)]


def cache_folder(settings: DataSettings) -> Path:
    """Return the folder of `data.cache: disk`, which runs share."""
    if settings.cache_path:
        return Path(settings.cache_path).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "i2i" / "pictures"


def _prepare(folder: Path) -> None:
    """Make the folder of a cache and remove old temporary files; raises ConfigError where it cannot be written."""
    try:
        probe = folder / f"probe-{os.getpid()}"
        write_bytes(probe, b"i2i")
        probe.unlink()
    except OSError as error:
        raise ConfigError(
            f"data.cache disk cannot write to {folder}: {error.strerror or error}. Set data.cache_path to a folder "
            "that it may write to, or data.cache to ram or none."
        ) from error
    with contextlib.suppress(OSError):  # those of other users in a shared folder may stay
        sweep_temporaries(folder, _STALE_S)


def _checksum(array: Array) -> bytes:
    return zlib.crc32(array.data, zlib.crc32(f"{array.shape} {array.dtype}".encode())).to_bytes(4, "little")


def _read_checked(file: Path) -> Array:
    """Return the array of a file that ends with its checksum; raises ValueError where they differ."""
    with file.open("rb") as opened:
        array: Array = np.load(opened)
        if opened.read() != _checksum(array):
            raise ValueError(f"{file} is damaged")
    return array
