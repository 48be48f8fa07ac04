"""A picture file that is open, and what its header says; nothing is decoded yet."""

from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

import numpy as np
from PIL import Image

from i2i.images.axes import Axes
from i2i.images.encode import Array
from i2i.images.geo import NOWHERE, Place
from i2i.images.pixels import ALPHA_MODES, decode, is_16_bit, orientation_of
from i2i.images.shards import open_file

if TYPE_CHECKING:
    from i2i.images.masks import PageMask

USUAL_DPI = {1, 72, 96}
"""Resolutions that programs write by default."""
MOST_COUNTED = 10_000
"""Frames and pages counted at most where the count only goes into a message."""


class Header(NamedTuple):
    """Size of a picture in pixels, as shown (EXIF orientation applied), read without decoding it."""

    height: int
    width: int


class Source:
    """A file of an allowed kind and size, opened by Pillow; nothing is decoded yet."""

    beside: BinaryIO | None = None
    """Of a TIFF, the file beside it with its mask."""

    def __init__(self, image: Image.Image, path: Path, labels: bool = False):
        """labels: whether values are classes, and so a palette only shows them."""
        self.image = image
        self.path = path
        self.indices = labels and image.mode == "P"
        self.kind = "JPEG" if image.format == "MPO" else image.format or ""
        self.stored = image.size
        """Width and height in the file."""
        self.grey = image.mode in ("1", "L", "LA", "La") or image.mode.startswith("I")
        """Whether the header says that the first frame is grey; a palette of greys counts as colour."""
        self.deep = image.mode.startswith("I") or (image.mode in ("RGB", "RGBA") and is_16_bit(image))
        """Whether the first frame has more than 8 bits a channel, or floats."""

    @property
    def header(self) -> Header:
        """The size as shown."""
        width, height = self.stored
        # A PNG's getexif() decodes the whole file to look for EXIF after the pixels; EXIF before them is enough.
        known = self.image.format != "PNG" or "exif" in self.image.info
        if known and orientation_of(self.image) >= 5:
            width, height = height, width
        return Header(height, width)

    @property
    def place(self) -> Place:
        """Where the picture lies on the Earth, its pixel size and nodata value; only a TIFF says so."""
        return NOWHERE

    def mask(self, frame: int = 0) -> "PageMask | None":
        """Return the mask of a frame of a TIFF, as GDAL writes it."""
        return None

    @property
    def has_mask(self) -> bool:
        """Whether the first frame has a mask."""
        return self.mask() is not None

    def missing(self, frame: int = 0) -> Array | None:
        """Return which pixels of a frame its mask leaves out, (H, W) bool; None: none."""
        return None

    @property
    def axes(self) -> Axes | None:
        """What its axes and channels mean, if it is an OME-Zarr or an OME-TIFF."""
        return None

    @property
    def may_have_alpha(self) -> bool:
        """Whether the header allows for alpha."""
        return "transparency" in self.image.info or self.image.mode in ALPHA_MODES

    def count(self) -> int:
        """Return the number of frames or pages; the second picture of a camera's MPO does not count."""
        return 1 if self.kind == "JPEG" else getattr(self.image, "n_frames", 1)

    def count_up_to(self, most: int) -> int:
        """Return the number of frames or pages, or `most` if there are more, soon even then."""
        if self.kind != "GIF":  # others state it
            return min(self.count(), most)
        with open_file(self.path) as file:
            return most if gif_frames(file, most) == most else self.count()

    def left_out(self) -> int:
        """Return the number of frames after the first, of MOST_COUNTED."""
        return self.count_up_to(MOST_COUNTED) - 1

    def lost(self, keep_metadata: bool) -> list[str]:
        """Name the metadata on scale that a translated picture loses; that of `place` depends on the output."""
        dpi = self.image.info.get("dpi", ()) if self.kind == "PNG" and not keep_metadata else ()
        return ["resolution"] if any(round(float(value)) not in USUAL_DPI for value in dpi) else []

    def pixels(self, count: int) -> int:
        """Return the number of pixels in the first `count` frames."""
        width, height = self.stored
        return count * width * height

    def decode(self, frame: int = 0) -> Array:
        """Return the pixels of a frame, as i2i.images.image describes them; float32 values stay as stored."""
        if frame:
            self.image.seek(frame)
        if self.indices:
            return np.asarray(self.image)[:, :, None]
        return decode(self.image, self.path)


def gif_frames(file: BinaryIO, most: int) -> int:
    """Return the number of frames of a GIF, or `most` if there are more, by the lengths of its blocks (GIF89a).

    Pillow takes seconds for the millions of frames that a few megabytes can hold.
    """
    file.seek(10)
    file.seek(_colours(file.read(3)[:1]), 1)
    count = 0
    while count < most and (kind := file.read(1)) not in (b"", b";"):
        if kind not in (b"!", b","):
            continue
        if kind == b",":
            count += 1
            file.seek(_colours(file.read(9)[8:]), 1)
        file.seek(1, 1)  # the label of an extension, or the least size of a code
        while size := file.read(1).strip(b"\0"):
            file.seek(size[0], 1)
    return count


def _colours(flags: bytes) -> int:
    """Return the bytes of the table of colours that comes next; flags: a byte that says whether there is one."""
    return 6 << (flags[0] & 7) if flags and flags[0] & 0x80 else 0
