"""The items of a data folder, pairs and single pictures, and reading them."""

from pathlib import Path
from typing import Literal, NamedTuple

from i2i.errors import DataError
from i2i.images import Array, Header, Range, read_image


class Pair(NamedTuple):
    """Two pictures that belong together; `b` is None where one file holds both side by side."""

    name: str
    a: Path
    b: Path | None

    def __str__(self) -> str:
        return f"{self.a}" if self.b is None else f"{self.a} and {self.b}"

    def side(self, side: Literal["A", "B"]) -> "Picture":
        """Return one of the two alone."""
        if self.b is None:
            return Picture(self.name, self.a, side)
        return Picture(self.name, self.a if side == "A" else self.b)


class Picture(NamedTuple):
    """A picture without a partner: a file, or one half of an A|B file."""

    name: str
    path: Path
    half: Literal["A", "B"] | None = None

    def __str__(self) -> str:
        return str(self.path)


Item = Pair | Picture


def read_pair(pair: Pair, value_range: Range | None = None) -> tuple[Array, Array]:
    """Read both pictures, (H, W, C) each, as `images.read_image`; raises DataError when their sizes differ."""
    a = read_image(pair.a, value_range=value_range)
    if pair.b is None:
        half = a.shape[1] // 2
        return a[:, :half], a[:, half:]
    b = read_image(pair.b, value_range=value_range)
    if a.shape[:2] != b.shape[:2]:
        raise DataError(mismatch(pair, Header(*a.shape[:2]), Header(*b.shape[:2])))
    return a, b


def read_picture(picture: Picture, value_range: Range | None = None) -> Array:
    """Read a picture, (H, W, C), as `images.read_image`; raises DataError."""
    array = read_image(picture.path, value_range=value_range)
    if picture.half is None:
        return array
    half = array.shape[1] // 2
    return array[:, :half] if picture.half == "A" else array[:, half:]


def mismatch(pair: Pair, a: Header, b: Header) -> str:
    """Say that the pictures of a pair differ in size."""
    return f"{pair.a} is {a.width}x{a.height}, but its partner {pair.b} is {b.width}x{b.height}."
