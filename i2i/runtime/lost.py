"""What a picture says besides its pixels, and the format of its output does not hold."""

from i2i.images import FORMATS
from i2i.images.source import USUAL_DPI
from i2i.runtime.described import is_ome
from i2i.runtime.pictures import DecodedPicture

_USUAL_GAMMA = 45455  # 1 / 2.2 in the units of a PNG: what viewers assume for every format


def lost_colours(picture: DecodedPicture, suffix: str) -> tuple[str, ...]:
    """Return what is unusual about a PNG's values and the output's format cannot hold."""
    chunks = picture.extras.png_colours
    if FORMATS[suffix.lower()] == "PNG" or not chunks:
        return ()
    place = chunks.find(b"gAMA")
    gamma = int.from_bytes(chunks[place + 4 : place + 8], "big") if place >= 0 else _USUAL_GAMMA
    odd = abs(gamma - _USUAL_GAMMA) > _USUAL_GAMMA // 50
    return (*(["PNG gamma"] if odd else []), *(["PNG colour space"] if b"cICP" in chunks else []))


def lost_place(picture: DecodedPicture, suffix: str, cog: bool = False) -> tuple[str, ...]:
    """Return what a TIFF says of its place, scale and axes, and a format or several pages do not keep."""
    place, dpi, axes = picture.place, picture.extras.dpi, picture.extras.axes
    kind = FORMATS[suffix.lower()]
    kept = kind == "ZARR" or (kind == "TIFF" and is_ome(picture, suffix, cog))
    ome = ["OME metadata"] if axes and axes.document is not None and not kept else []
    if kind == "TIFF" and len(picture.frames) == 1:
        return tuple(ome)
    resolution = None if dpi or kept else place.resolution
    odd = resolution and any(round(value) not in USUAL_DPI for value in resolution[:2])
    return (*place.names, *(["resolution"] if odd else []), *ome)
