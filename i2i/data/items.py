"""The items of a data folder, pairs and single pictures, and reading them."""

from pathlib import Path
from typing import Literal, NamedTuple

from i2i.errors import DataError
from i2i.images import PICTURE, PICTURES, Array, Header, Layout, Layouts, read_image


class Pair(NamedTuple):
    """Two pictures that belong together; `b` is None where one file holds both side by side."""

    name: str
    a: Path
    b: Path | None
    layouts: Layouts = PICTURES

    def __str__(self) -> str:
        return f"{self.a}" if self.b is None else f"{self.a} and {self.b}"

    def side(self, side: Literal["A", "B"]) -> "Picture":
        """Return one of the two alone."""
        layout = self.layouts["AB".index(side)]
        if self.b is None:
            return Picture(self.name, self.a, side, layout)
        return Picture(self.name, self.a if side == "A" else self.b, None, layout)


class Picture(NamedTuple):
    """A picture without a partner: a file, or one half of an A|B file."""

    name: str
    path: Path
    half: Literal["A", "B"] | None = None
    layout: Layout = PICTURE

    def __str__(self) -> str:
        return str(self.path)


Item = Pair | Picture


def read_pair(pair: Pair) -> tuple[Array, Array]:
    """Read both pictures, (H, W, C) each, as `images.read_image`; raises DataError when their sizes differ."""
    one, other = pair.layouts
    a = read_image(pair.a, layout=one)
    if pair.b is None:
        half = a.shape[1] // 2
        b = a if other == one else read_image(pair.a, layout=other)
        return a[:, :half], b[:, half:]
    b = read_image(pair.b, layout=other)
    if a.shape[:2] != b.shape[:2]:
        raise DataError(mismatch(pair, Header(*a.shape[:2]), Header(*b.shape[:2])))
    return a, b


def read_picture(picture: Picture) -> Array:
    """Read a picture, (H, W, C), as `images.read_image`; raises DataError."""
    array = read_image(picture.path, layout=picture.layout)
    if picture.half is None:
        return array
    half = array.shape[1] // 2
    return array[:, :half] if picture.half == "A" else array[:, half:]


def mismatch(pair: Pair, a: Header, b: Header) -> str:
    """Say that the pictures of a pair differ in size."""
    return f"{pair.a} is {a.width}x{a.height}, but its partner {pair.b} is {b.width}x{b.height}."
