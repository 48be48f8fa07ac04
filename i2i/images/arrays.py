"""Arrays that numpy saved, as pictures or bands."""

import os
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, BinaryIO

import numpy as np
from PIL import Image

from i2i.errors import ImageError
from i2i.images.encode import Array
from i2i.images.layout import refuse_other_count
from i2i.images.shards import is_local, open_file, stored
from i2i.images.source import Source

_OF_PICTURES = (np.uint8, np.uint16, np.float16, np.float32, np.float64)


class NpySource(Source):
    """An array that numpy saved: (H, W), or (H, W, C) with 1, 3 or 4 channels, or as many as there are bands."""

    may_have_alpha = True

    def __init__(self, file: BinaryIO, path: Path, bands: Sequence[str] = ()):
        self.path, self.kind = path, "NPY"
        self.image = Image.new("L", (1, 1))  # has no profile and no metadata
        shape, dtype = self._header(file, bands)
        if stored(path).size - file.tell() < dtype.itemsize * int(np.prod(shape, dtype=object)):
            raise ImageError(f"{path} is damaged: it is too short for {shape} values of {dtype}.")

    def _header(self, file: IO[bytes], bands: Sequence[str]) -> tuple[tuple[int, ...], np.dtype[Any]]:
        """Read shape and type, and refuse those that are no image."""
        path = self.path
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(file)
        known = dtype.kind in "uif" if bands else dtype.newbyteorder("=") in _OF_PICTURES
        if not known or dtype.itemsize > 8:
            raise ImageError(f"{path} holds {dtype}; i2i reads uint8, uint16 and float.")
        if len(shape) not in (2, 3) or min(shape) < 1:
            raise ImageError(f"{path} has the shape {shape}; an image is (H, W), or (H, W, C).")
        channels = 1 if len(shape) == 2 else shape[2]
        refuse_other_count(path, channels, bands)
        if not bands and channels not in (1, 3, 4):
            raise ImageError(
                f"{path} has the shape {shape}, and does not say what its {channels} channels are. A picture has 1, 3 "
                "or 4; name others in training, with data.channels_a and channels_b."
            )
        self.stored = (shape[1], shape[0])
        self.grey, self.deep = channels == 1, dtype.itemsize > 1
        return shape, dtype

    def decode(self, frame: int = 0) -> Array:
        """Return the array, in the byte order of this machine; a mapped file is read as its values are used."""
        return self.part(slice(None), slice(None))

    def part(self, rows: slice, columns: slice) -> Array:
        """Return a part of it."""
        array = self._load()[rows, columns]
        native = array.dtype.newbyteorder("=")
        array = array.astype(native if native in (np.uint8, np.uint16) else np.float32, copy=False)
        return np.ascontiguousarray(array.reshape(*array.shape[:2], -1))

    def _load(self) -> Array:
        if not is_local(self.path) or os.name == "nt":  # Windows replaces no file that is mapped
            array: Array = np.load(open_file(self.path), allow_pickle=False)
        else:
            array = np.load(self.path, mmap_mode="r", allow_pickle=False)
        return array


class NpzSource(NpySource):
    """The one array of a file that `numpy.savez` wrote."""

    def __init__(self, file: BinaryIO, path: Path, bands: Sequence[str] = ()):
        self.path, self.kind = path, "NPZ"
        self.image = Image.new("L", (1, 1))
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
            if len(names) != 1 or not names[0].endswith(".npy"):
                held = ", ".join(name.removesuffix(".npy") for name in names)
                raise ImageError(f"{path} holds {held or 'nothing'}; i2i reads .npz files with one array.")
            with archive.open(names[0]) as member:
                shape, dtype = self._header(member, bands)
            if archive.getinfo(names[0]).file_size < dtype.itemsize * int(np.prod(shape, dtype=object)):
                raise ImageError(f"{path} is damaged: it is too short for {shape} values of {dtype}.")

    def _load(self) -> Array:
        with np.load(open_file(self.path), allow_pickle=False) as archive:
            array: Array = archive[archive.files[0]]
        return array
