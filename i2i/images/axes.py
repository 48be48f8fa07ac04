"""What a picture of a microscope says of its axes and channels, whether it is an OME-Zarr or an OME-TIFF."""

from dataclasses import dataclass, replace
from typing import Any

OME_TIFF = (".ome.tif", ".ome.tiff")
"""Endings of names."""
_USUAL = {1, 72, 96}
"""Pixels an inch that programs write without knowing any."""
_UM = {1: 1.0, 2: 25_400.0, 3: 10_000.0}
"""Micrometres of TIFF's units of resolution; of the first, none."""


@dataclass(frozen=True)
class Axes:
    """Axes have the letters t, c, z, y and x, in this order."""

    version: str = "0.4"
    """Of OME-Zarr, that is written."""
    units: tuple[tuple[str, str], ...] = (("c", ""), ("y", ""), ("x", ""))
    """The axes, and the unit of each, as OME-Zarr names it; empty: none is stated."""
    scale: tuple[tuple[str, float], ...] = ()
    """Size of a pixel along axes, in their unit; 1 along others."""
    offset: tuple[tuple[str, float], ...] = ()
    """Where the picture begins, in the same unit; 0 along others."""
    channels: tuple[str, ...] = ()
    """Names of the channels, if it states them."""
    classes: bool = False
    """Whether values are those of classes, so that smaller sizes take one pixel of four, and not their mean."""
    planes: tuple[tuple[str, int], ...] = ()
    """The axes along which the frames of a file follow one another, the slowest first, and their sizes."""
    chosen: tuple[tuple[str, int], ...] = ()
    """Places on axes, from 0, of the only plane."""
    document: Any = None
    """The OME-XML that says more (xml.etree.ElementTree.Element), if there is one."""

    @classmethod
    def of_resolution(cls, resolution: tuple[float, float, int] | None) -> "Axes":
        """Return the axes of a picture of which only this is known, as in `Place`; None: not even this."""
        if resolution is None or not min(resolution) > 0 or all(round(one) in _USUAL for one in resolution[:2]):
            return cls()
        across, down = (_UM[resolution[2]] / pixels for pixels in resolution[:2])
        units = (("c", ""), ("y", "micrometer"), ("x", "micrometer"))
        return cls(units=units, scale=(("y", down), ("x", across)))

    def moved(self, **pixels: int) -> "Axes":
        """Return the axes of a picture that begins so many pixels (x, y) or places (z, t) further on."""
        scale, offset = dict(self.scale), dict(self.offset)
        for axis, count in pixels.items():
            offset[axis] = offset.get(axis, 0.0) + count * scale.get(axis, 1.0)
        return replace(self, offset=tuple((axis, place) for axis, place in offset.items() if place))

    def at(self, places: dict[str, int]) -> "Axes":
        """Return the axes of a plane, given its place, from 0, on some axes."""
        rest = {axis: place for axis, place in places.items() if axis in "zt"}
        channels = self.channels[places["c"] :][:1] if "c" in places else self.channels
        planes = tuple(one for one in self.planes if one[0] not in places)
        return replace(self.moved(**rest), channels=channels, planes=planes, chosen=tuple(rest.items()))
