"""Where a TIFF lies on the Earth, its pixel size and its nodata value: tags that stay true after a translation.

The tags are those of GeoTIFF 1.1 (OGC 19-008r4) and of GDAL. Their values are carried over as they are; where a picture
is cropped, they move with its corner.
"""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from i2i.images.encode import Array

_SCALE, _TIE_POINTS, _TRANSFORMATION, _COEFFICIENTS = 33550, 33922, 34264, 50844
_METADATA, _NODATA = 42112, 42113
_GEO = {_SCALE: "d", _TIE_POINTS: "d", _TRANSFORMATION: "d", 34735: "H", 34736: "d", 34737: "s"}
"""Scale of pixels, tie points, transformation, keys and their values, each with tifffile's letter of its type."""
_OTHERS = {_METADATA: "s", _NODATA: "s", _COEFFICIENTS: "d"}
_NAMES = {_METADATA: "GDAL metadata", _NODATA: "nodata value", _COEFFICIENTS: "rational polynomial coefficients"}
_COUNTS = {_SCALE: 3, _TIE_POINTS: 6, _TRANSFORMATION: 16, _COEFFICIENTS: 92}
"""Of how many numbers they have a multiple."""
_RESOLUTION = (282, 283, 296)
_PER_BAND = re.compile(r"\s*<Item [^>]*(?:sample=|STATISTICS_)[^>]*>.*?</Item>", re.DOTALL)
"""Of GDAL's metadata: what it says of single bands and their values, which are others after a translation."""
_OME_SIZE = re.compile(r'PhysicalSize([XY])="([0-9.eE+-]+)"(?:\s+PhysicalSize[XY]Unit="([^"]+)")?')
_IMAGEJ_UNIT = re.compile(r"^ImageJ=.*^unit=(\S+)", re.DOTALL | re.MULTILINE)
_MICROMETRES = ("µm", "μm", "um", "micron", "microns", r"\u00B5m")
_PER_CM = {"m": 1e-2, "cm": 1.0, "mm": 10.0, "nm": 1e7, **dict.fromkeys(_MICROMETRES, 1e4)}
_CENTIMETRE = 3

Tag = tuple[int, str, int, Any, bool]
"""A tag as tifffile writes it."""


class Place(NamedTuple):
    """What a TIFF says of where it is, by the numbers of tags, and its resolution."""

    tags: Mapping[int, Any] = {}
    resolution: tuple[float, float, int] | None = None
    """Pixels a unit across and down, and the unit as TIFF numbers it."""

    @property
    def names(self) -> list[str]:
        """Name what the tags say."""
        names = ["georeference"] if any(tag in self.tags for tag in _GEO) else []
        return names + [name for tag, name in _NAMES.items() if tag in self.tags]

    @property
    def nodata(self) -> float | None:
        """The value of pixels without data; None if there is none."""
        try:
            return float(str(self.tags[_NODATA]).strip("\0 "))
        except (KeyError, ValueError):
            return None

    def with_nodata(self, nodata: float) -> "Place":
        """Return the place with this nodata value."""
        return self._replace(tags={**self.tags, _NODATA: f"{nodata:.17g}"})

    def cropped(self, top: int, left: int) -> "Place":
        """Return the place of a picture without its first rows and columns."""
        tags = dict(self.tags)
        if _TIE_POINTS in tags:
            points = np.reshape(tags[_TIE_POINTS], (-1, 6)) - [left, top, 0, 0, 0, 0]
            tags[_TIE_POINTS] = points.ravel().tolist()
        if _TRANSFORMATION in tags:
            matrix = np.reshape(tags[_TRANSFORMATION], (4, 4)).copy()
            matrix[:, 3] += matrix[:, 0] * left + matrix[:, 1] * top
            tags[_TRANSFORMATION] = matrix.ravel().tolist()
        if _COEFFICIENTS in tags:  # its third and fourth numbers are the offsets of lines and samples
            values = list(tags[_COEFFICIENTS])
            values[2:4] = values[2] - top, values[3] - left
            tags[_COEFFICIENTS] = values
        return self._replace(tags=tags)

    def written(self, bands: tuple[str, ...] = ()) -> list[Tag]:
        """Return the tags as tifffile writes them; bands: the names of the bands that are written."""
        tags = {**self.tags}
        named = bands if any(not name.isdecimal() for name in bands) else ()
        kept = re.sub(r"</?GDALMetadata>", "", _PER_BAND.sub("", str(tags.pop(_METADATA, "")))).strip("\0 \n")
        items = [
            f'  <Item name="DESCRIPTION" sample="{place}" role="description">{name}</Item>'
            for place, name in enumerate(named)
        ]
        if kept or items:
            tags[_METADATA] = "\n".join(["<GDALMetadata>", *([f"  {kept}"] if kept else []), *items, "</GDALMetadata>"])
        letters = _GEO | _OTHERS
        return [_tag(tag, letters[tag], value) for tag, value in tags.items()]


NOWHERE = Place()


def _tag(number: int, letter: str, value: Any) -> Tag:
    if letter == "s":
        return number, letter, 0, str(value).encode("utf-8"), True
    return number, letter, len(value), value, True


def read_place(tags: ImageFileDirectory_v2) -> Place:
    """Return what the tags of a page say of its place, and its resolution; of a turned page, nothing."""
    if tags.get(274, 1) != 1:
        return NOWHERE
    found = {tag: tags[tag] for tag in (*_GEO, *_OTHERS) if tag in tags}
    texts = {tag: in_utf8(value) if isinstance(value, str) else value for tag, value in found.items()}
    plain = {tag: value if isinstance(value, tuple | str) else (value,) for tag, value in texts.items()}
    damaged = [tag for tag, count in _COUNTS.items() if tag in plain and len(plain[tag]) % count]
    return Place({tag: value for tag, value in plain.items() if tag not in damaged}, _resolution(tags))


def in_utf8(text: str) -> str:
    """Return a tag's text, which Pillow takes for Latin-1, as the programs that wrote it mean it."""
    try:
        return text.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return text


def _resolution(tags: ImageFileDirectory_v2) -> tuple[float, float, int] | None:
    """Return the resolution of a page, from the sizes that OME-XML or ImageJ states if there are any."""
    description = in_utf8(str(tags.get(270, "")))
    sizes = {axis: (float(size), unit or "µm") for axis, size, unit in _OME_SIZE.findall(description)}
    if {*sizes} == {"X", "Y"} and all(size > 0 and unit in _PER_CM for size, unit in sizes.values()):
        across, down = (_PER_CM[unit] / size for size, unit in (sizes["X"], sizes["Y"]))
        return across, down, _CENTIMETRE
    if not all(tag in tags for tag in _RESOLUTION):
        return None
    across, down, unit = (tags[tag] for tag in _RESOLUTION)
    if not across or not down:
        return None
    if (named := _IMAGEJ_UNIT.search(description)) and named[1] in _PER_CM:
        return float(across) * _PER_CM[named[1]], float(down) * _PER_CM[named[1]], _CENTIMETRE
    return (float(across), float(down), int(unit)) if unit in (2, 3) else None


def without_data(array: Array, nodata: float | None) -> Array | None:
    """Return where (H, W, C), as stored, has no data, (H, W) bool; None if nowhere.

    That is where all channels have the nodata value, or any is NaN.
    """
    if nodata is None:
        return None
    blank = np.isnan(array).any(axis=2) if array.dtype.kind == "f" else np.zeros(array.shape[:2], bool)
    blank |= (array == nodata).all(axis=2)
    return blank if blank.any() else None


def joined(blank: Array | None, missing: Array | None) -> Array | None:
    """Return where either says that a picture has no data, (H, W) bool; None: nowhere."""
    both = [one for one in (blank, missing) if one is not None and one.any()]
    return np.logical_or.reduce(both) if both else None


def filled(array: Array, blank: Array, black: Array, mean: Array | None = None) -> Array:
    """Return (H, W, C) with the mean of each channel where `blank` is; black if nothing else is there.

    mean: that of the picture, of which `array` is a part.
    """
    known = array[~blank]
    value = known.mean(axis=0, dtype=np.float64) if len(known) else black
    value = value if mean is None else mean
    done = array.copy()
    done[blank] = np.rint(value) if array.dtype.kind == "u" else value
    return done


def with_nodata(array: Array, mask: Array, nodata: float) -> Array:
    """Return (H, W, C) with the nodata value where `mask` is, and nowhere else: what has it by chance moves a step."""
    if not fits(nodata, array.dtype):
        return array
    if np.isnan(nodata):
        done = array.copy()
    elif array.dtype.kind == "f":
        done = np.where(array == nodata, np.nextafter(array, np.float32(np.inf)), array).astype(array.dtype)
    else:
        done = np.where(array == nodata, nodata + (1 if nodata == 0 else -1), array).astype(array.dtype)
    done[mask] = nodata
    return done


def fits(nodata: float, dtype: Any) -> bool:
    """Whether a type holds a nodata value."""
    if np.dtype(dtype).kind == "f":
        return True
    limits = np.iinfo(dtype)
    return nodata == nodata // 1 and limits.min <= nodata <= limits.max
