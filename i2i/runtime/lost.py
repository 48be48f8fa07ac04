"""What a picture says besides its pixels, and the format of its output does not hold."""

from i2i.images import FORMATS
from i2i.images.source import USUAL_DPI
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


def lost_place(picture: DecodedPicture, suffix: str) -> tuple[str, ...]:
    """Return what a TIFF says of its place and scale, and a format or several pages do not keep."""
    place, dpi = picture.place, picture.extras.dpi
    kind = FORMATS[suffix.lower()]
    if kind == "TIFF" and len(picture.frames) == 1:
        return ()
    resolution = None if dpi or kind == "ZARR" else place.resolution
    odd = resolution and any(round(value) not in USUAL_DPI for value in resolution[:2])
    return (*place.names, *(["resolution"] if odd else []))
