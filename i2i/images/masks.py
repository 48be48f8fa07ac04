"""Masks of TIFFs, as GDAL writes them: a page, 0 where a picture has no data, in its file or in one beside it."""

from pathlib import Path
from typing import BinaryIO, NamedTuple

from i2i.errors import ImageError
from i2i.images import tiff
from i2i.images.beside import mask_beside
from i2i.images.encode import Array
from i2i.images.explained import explained
from i2i.words import show_count


class PageMask(NamedTuple):
    """A page that says which pixels of a picture are there, in its file or in the one that GDAL writes beside it."""

    path: Path
    """Of the file."""
    file: BinaryIO
    page: tiff.Page

    def missing(self) -> Array:
        """Return which pixels it leaves out, (H, W) bool; raises ImageError."""
        tiff.refuse_huge_tiles(self.page, self.path)
        with explained(self.path), tiff.open_tifffile(self.file) as opened:
            values: Array = tiff.page_in(opened, self.page, self.path).asarray(maxworkers=1)
        if values.shape != (self.page.height, self.page.width):
            raise ImageError(f"{self.path} is damaged: its mask has the shape {values.shape}.")
        return values == 0


def read_beside(file: BinaryIO, path: Path, sides: tuple[int, int]) -> PageMask:
    """Return the mask in the file beside the picture at `path`, of which sides are width and height.

    Raises ImageError for another file than GDAL writes, with one value for each pixel.
    """
    try:
        page = next(tiff.pages(file), None)
    except Exception as error:  # Pillow raises whatever it likes on other files
        raise ImageError(f"{mask_beside(path)} is damaged, or no mask that GDAL writes. Remove it.") from error
    if page is None or (page.width, page.height) != sides or page.samples > 1:
        held = f"{page.width}x{page.height} pixels of {show_count(page.samples, 'value')}" if page else "nothing"
        raise ImageError(
            f"{mask_beside(path)} holds {held}, and a mask of {path} has {sides[0]}x{sides[1]} of 1. Remove it."
        )
    return PageMask(mask_beside(path), file, page)
