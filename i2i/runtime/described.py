"""What the file of an output says besides its pixels: its place, its axes and channels, and where it has no data."""

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from i2i.images import DEPTHS, Array, Layout
from i2i.images.axes import OME_TIFF, Axes
from i2i.images.encode import Extras, tiff_layout
from i2i.images.geo import Place, fits, with_nodata
from i2i.models.spec import Part

if TYPE_CHECKING:
    from i2i.runtime.pictures import DecodedPicture


def place_with(place: Place, layout: Layout, has_blank: bool) -> Place:
    """Return a place that states a nodata value, 0, if only a mask says where a picture has no data."""
    masked = has_blank and place.nodata is None and layout.nodata is None
    return place.with_nodata(0.0) if masked else place


def nodata_of(picture: "DecodedPicture", generator: Part, kind: str) -> float | None:
    """Return the value that outputs have where a file has no data; None if none can be told from the others.

    That of the model's target side, in lossless formats; or, in a TIFF, what the file says.
    """
    own = generator.outputs.nodata if generator.outputs else None
    if own is not None:
        return float(own) if kind in DEPTHS else None
    return picture.place.nodata if kind == "TIFF" else None


def marked(output: Array, blank: Array | None, nodata: float) -> Array:
    """Return an output, (H, W, C) values as written, with the nodata value where its input is blank; None: nowhere."""
    if blank is None:
        return output
    top, left = corner_of(blank, output)
    return with_nodata(output, blank[top : top + output.shape[0], left : left + output.shape[1]], nodata)


def corner_of(whole: Array, output: Array) -> tuple[int, int]:
    """Return the row and column of a picture at which its output begins, if it is cropped."""
    (height, width), (whole_height, whole_width) = output.shape[:2], whole.shape[:2]
    return (whole_height - height) // 2, (whole_width - width) // 2


def axes_of(picture: "DecodedPicture", generator: Part, corner: tuple[int, int] = (0, 0)) -> Axes:
    """Return what the axes and channels of an output mean: what the input says, and the names of the model's bands.

    corner: row and column of the input at which the output begins.
    """
    axes = picture.extras.axes or Axes.of_resolution(picture.place.resolution)
    if len(picture.frames) < 2 and "c" in dict(axes.planes):
        axes = axes.at({"c": 0})  # the only page is one channel
    classes = bool(generator.outputs and generator.outputs.values)
    alike = not picture.frames or picture.frames[0].shape[2] == generator.out_channels
    names = ("classes",) if classes else tuple(generator.out_bands) or (axes.channels if alike else ())
    return replace(axes.moved(y=corner[0], x=corner[1]), channels=names, classes=classes)


def is_stack(picture: "DecodedPicture") -> bool:
    """Whether a picture is a single frame, or one whose frames are all planes along axes that it names."""
    axes, count = picture.extras.axes, len(picture.frames)
    if count < 2:  # none of a picture that is read in windows
        return True
    kinds = {(frame.shape, frame.dtype) for frame in picture.frames}
    return axes is not None and len(kinds) == 1 and math.prod(size for _, size in axes.planes) == count


def is_ome(picture: "DecodedPicture", suffix: str, cog: bool = False) -> bool:
    """Whether a TIFF becomes an OME-TIFF: one from an OME-TIFF, or by its name; GDAL, which writes COGs, drops it."""
    axes = picture.extras.axes
    if cog or not is_stack(picture):
        return False
    return suffix.lower() in OME_TIFF or (axes is not None and axes.document is not None)


def ome_of(axes: Axes, sides: tuple[int, int], first: Array, bands: bool, several: bool = False) -> bytes:
    """Return the OME-XML of pictures of these sides, of which `first`, (N, W, C) values as written, is a part."""
    from i2i.images.ometiff import Pages, ome_xml

    stored = tiff_layout(first, bands)["data"]
    channels, planes = stored.shape[2] if stored.ndim == 3 else 1, axes.planes if several else ()
    return ome_xml(axes, Pages(planes, sides, channels, bands, stored.dtype))


def placed(
    picture: "DecodedPicture", output: Array, extras: Extras, bands: tuple[str, ...], nodata: float | None
) -> Extras:
    """Return extras that say where the only output lies, and which value is without data."""
    place = picture.place.cropped(*corner_of(picture.frames[0], output))
    if nodata is not None and nodata != place.nodata and fits(nodata, output.dtype):
        place = place.with_nodata(nodata)
    return replace(extras, tags=tuple(place.written(bands)), resolution=place.resolution)
