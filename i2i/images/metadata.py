"""The metadata of a picture, as far as it stays true after translation."""

import contextlib
import math
import re
from pathlib import Path
from typing import Any

from PIL import Image

from i2i.images.encode import Extras
from i2i.images.shards import open_file

_DESCRIPTION = (270, 271, 272, 305, 306, 315, 33432)  # text, camera, software, date, artist, copyright
_TEXT = 270
_OF_PAGES = re.compile(r'\s*(<\?xml|<(\w+:)?OME\b|ImageJ=|\{"shape")')
"""Texts of TIFFs that say what their pages are, which are others now: OME-XML, those of ImageJ and of tifffile."""
_EXIF, _GPS = 34665, 34853
# A maker's note holds offsets into its own file, and breaks when moved. The format itself stores the sides.
_UNTRUE = {37500, 40962, 40963}
_NO_TEXT = re.compile(r"XML:com\.adobe\.xmp|raw profile type (exif|app1|xmp)", re.IGNORECASE)
"""PNG texts that hold the original EXIF and XMP, orientation included; what stays true goes into chunks of its own."""


_COLOURS = {b"gAMA", b"cHRM", b"sRGB", b"cICP", b"mDCV", b"cLLI"}
"""PNG chunks that define its colours, besides an ICC profile (PNG, third edition, section 11.3.2)."""
_MOST_BYTES = 64  # of one of them; the largest has 36


def png_colours(path: Path) -> bytes:
    """Return the chunks that define the colours of a PNG, as stored. Pillow has opened the file before.

    No colour is converted on the way through a model, so the chunks stay true.
    """
    kept = b""
    with open_file(path) as file:
        file.seek(8)
        while len(head := file.read(8)) == 8 and head[4:] not in (b"IDAT", b"IEND"):
            rest = int.from_bytes(head[:4], "big") + 4  # its body and checksum
            if head[4:] in _COLOURS and rest <= _MOST_BYTES:
                kept += head + file.read(rest)
            else:
                file.seek(rest, 1)
    return kept


def metadata(image: Image.Image) -> Extras:
    """Return EXIF, XMP, resolution and a PNG's texts, with upright orientation and without embedded previews.

    Damaged metadata is left out, so that the picture is still translated.
    """
    exif = xmp = dpi = None
    with contextlib.suppress(Exception):  # parsers raise whatever they like on broken files
        exif = _exif(image)
    found = image.info.get("xmp")
    if isinstance(found, bytes):
        xmp = re.sub(rb'(tiff:Orientation(?:="|>))\d', rb"\g<1>1", found)
    with contextlib.suppress(Exception):
        across, down = (float(value) for value in image.info["dpi"])
        if 0 < across < math.inf and 0 < down < math.inf:
            dpi = (across, down)
    texts = getattr(image, "text", {}) if image.format == "PNG" else {}
    kept = tuple((name, str(text)) for name, text in texts.items() if not _NO_TEXT.fullmatch(name))
    return Extras(exif=exif, xmp=xmp, dpi=dpi, texts=kept)


def _exif(image: Image.Image) -> bytes | None:
    found, kept = image.getexif(), Image.Exif()
    for tag in _DESCRIPTION:
        if tag in found and not (tag == _TEXT and _OF_PAGES.match(str(found[tag]))):
            kept[tag] = found[tag]
    for directory in (_EXIF, _GPS):
        entries: dict[int, Any] = {tag: value for tag, value in found.get_ifd(directory).items() if tag not in _UNTRUE}
        if entries:
            kept[directory] = entries
    return kept.tobytes() if len(kept) else None


def fitting_profile(icc: bytes | None, channels: int) -> bytes | None:
    """Return an ICC profile if it is for images of `channels` channels; a CMYK profile never is."""
    if icc is None or len(icc) < 132 or icc[36:40] != b"acsp":  # ICC.1:2022, section 7.2
        return None
    return icc if icc[16:20] == (b"GRAY" if channels in (1, 2) else b"RGB ") else None
