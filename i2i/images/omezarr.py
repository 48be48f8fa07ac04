"""OME-Zarr (OME-NGFF 0.1 to 0.5): a folder that is one picture, in chunks and several sizes; the largest is read.

The zarr library reads it. Only the chunks that are asked for are decoded.
"""

import contextlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from i2i.errors import ImageError
from i2i.images.axes import Axes
from i2i.images.encode import Array
from i2i.images.omezarr_writing import load_zarr
from i2i.images.planes import Plane
from i2i.images.stack import Stack

SUFFIX = ".zarr"
_OLD_AXES = "tczyx"
"""Of versions before 0.3, which name none."""
_GREY, _RGB = 1, 2
_CENTIMETRE = 3
_PER_CM = {"meter": 1e-2, "centimeter": 1.0, "millimeter": 10.0, "micrometer": 1e4, "nanometer": 1e7}


def is_zarr(path: Path) -> bool:
    """Whether a path names a folder that is an OME-Zarr picture."""
    return path.suffix.lower() == SUFFIX and path.is_dir()


class ZarrStack(Stack):
    """The largest picture of an OME-Zarr folder, by its axes."""

    def __init__(self, path: Path, plane: Plane = (), each: bool = False):
        """Raise ImageError for a folder that is no OME-Zarr picture, and UsageError where zarr is missing."""
        zarr = load_zarr()
        self.path, self.icc, self.left_out = path, None, 0
        attributes = dict(zarr.open_group(path, mode="r").attrs)
        self._version = "0.5" if "ome" in attributes else "0.4"
        self._attributes = attributes.get("ome", attributes)
        scales: list[Any] = self._attributes.get("multiscales") or []
        if not scales or not scales[0].get("datasets"):
            raise ImageError(f"{path} is no OME-Zarr picture: it has no multiscales. Give the folder that has them.")
        self._whole, self._largest = scales[0], scales[0]["datasets"][0]
        self._array: Any = zarr.open_array(path / self._largest["path"], mode="r")
        axes = [one["name"] if isinstance(one, dict) else one for one in scales[0].get("axes", _OLD_AXES)]
        self._units = [one.get("unit", "") if isinstance(one, dict) else "" for one in scales[0].get("axes", _OLD_AXES)]
        self.axes, self.shape = "".join(axis[:1].upper() for axis in axes), tuple(self._array.shape)
        if len(self.axes) != len(self.shape):
            raise ImageError(f"{path} is damaged: it has {len(self.shape)} dimensions, and {len(self.axes)} axes.")
        self.dtype = np.dtype(self._array.dtype)
        self.bits = 8 * self.dtype.itemsize
        self.check(plane, each)
        self.photometric = _RGB if self.channels == 3 else _GREY

    @property
    def described(self) -> Axes:
        """What is carried over to an OME-Zarr of this plane; statements that cannot be read are left out."""
        letters, axes = self.axes.lower(), Axes(self._version)
        places = [place for place, letter in enumerate(letters) if letter in "tczyx"]
        axes = replace(axes, units=tuple((letters[place], self._units[place]) for place in places))
        with contextlib.suppress(Exception):
            name, scale, offset = "coordinateTransformations", np.ones(len(letters)), np.zeros(len(letters))
            for step in (*self._largest.get(name, ()), *self._whole.get(name, ())):  # one after the other
                factor = np.array(step.get("scale", 1.0))
                scale, offset = scale * factor, offset * factor + np.array(step.get("translation", 0.0))
            scales = tuple((letters[place], float(scale[place])) for place in places)
            offsets = tuple((letters[place], float(offset[place])) for place in places if offset[place])
            axes = replace(axes, scale=scales, offset=offsets)
        with contextlib.suppress(Exception):
            axes = replace(axes, channels=tuple(str(one["label"]) for one in self._attributes["omero"]["channels"]))
        planes = tuple((letters[place], size) for place, size in self.steps.items())
        return replace(axes, planes=planes).at({letters[place]: number for place, number in self.chosen.items()})

    @property
    def resolution(self) -> tuple[float, float, int] | None:
        """Pixels a centimetre across and down, by the first scale transformation; None if it says none."""
        scales = [one["scale"] for one in self._largest.get("coordinateTransformations", []) if "scale" in one]
        if not scales or len(scales[0]) != len(self.axes):
            return None
        places = [self.axes.index(axis) for axis in "XY"]
        known = [(scales[0][place], _PER_CM.get(self._units[place])) for place in places]
        if not all(size > 0 and per_cm for size, per_cm in known):
            return None
        across, down = ((per_cm or 1) / size for size, per_cm in known)
        return across, down, _CENTIMETRE

    def part(self, rows: slice, columns: slice, frame: int = 0) -> Array:
        """Return a part, (H, W, C), as `decode` returns the whole."""
        chosen = self.at(frame)
        where = [chosen.get(index, slice(None)) for index in range(len(self.shape))]
        where[self.axes.index("Y")], where[self.axes.index("X")] = rows, columns
        return self.in_order(np.asarray(self._array[tuple(where)]))

    def decode(self, frame: int = 0) -> Array:
        """As in Stack."""
        return self.part(slice(None), slice(None), frame)
