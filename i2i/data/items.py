"""The items of a data folder, pairs and single pictures, and reading them."""

from pathlib import Path
from typing import Literal, NamedTuple

from i2i.errors import DataError
from i2i.images import PICTURE, PICTURES, Array, Header, Layout, Layouts, Masked, read_masked


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
    a, b, _ = read_masked_pair(pair)
    return a, b


def read_masked_pair(pair: Pair) -> tuple[Array, Array, Array | None]:
    """Read both as `read_pair`, and where one or the other has no data, (H, W) bool; None: nowhere."""
    one, other = pair.layouts
    a = read_masked(pair.a, layout=one)
    if pair.b is None:
        b = a if other == one else read_masked(pair.a, layout=other)
        a, b = _half(a, "A"), _half(b, "B")
    else:
        b = read_masked(pair.b, layout=other)
    if a.image.shape[:2] != b.image.shape[:2]:
        raise DataError(mismatch(pair, Header(*a.image.shape[:2]), Header(*b.image.shape[:2])))
    return a.image, b.image, either(a.blank, b.blank)


def either(one: Array | None, other: Array | None) -> Array | None:
    """Return where one or the other is blank; None: nowhere."""
    return other if one is None else one if other is None else one | other


def read_picture(picture: Picture) -> Array:
    """Read a picture, (H, W, C), as `images.read_image`; raises DataError."""
    return read_masked_picture(picture).image


def read_masked_picture(picture: Picture) -> Masked:
    """Read a picture as `read_picture`, and where it has no data."""
    return _half(read_masked(picture.path, layout=picture.layout), picture.half)


def _half(masked: Masked, half: Literal["A", "B"] | None) -> Masked:
    if half is None:
        return masked
    middle = masked.image.shape[1] // 2
    part = slice(middle) if half == "A" else slice(middle, None)
    return Masked(masked.image[:, part], None if masked.blank is None else masked.blank[:, part])


def mismatch(pair: Pair, a: Header, b: Header) -> str:
    """Say that the pictures of a pair differ in size."""
    return f"{pair.a} is {a.width}x{a.height}, but its partner {pair.b} is {b.width}x{b.height}."
