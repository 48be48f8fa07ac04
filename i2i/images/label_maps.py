"""Label maps: pictures whose values are classes. For networks, each class is a channel of its own."""

import colorsys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from i2i.errors import ImageError
from i2i.images.encode import Array

LABEL = ("label",)
"""In place of the names of bands: files have one channel, whose integers are classes."""
_SHOWN = 12
_GOLDEN = 0.618034
"""Neighbouring hues differ by this share of the circle, so that no two of a few classes are alike."""


def one_hot(array: Array, path: Path, values: Sequence[int], blank: Array | None = None) -> Array:
    """Return classes (H, W, 1) as (H, W, K) uint8: 255 in the channel of each pixel's class, 0 in the others.

    values: those of the K classes. blank: pixels without a class, (H, W) bool. Raises ImageError for any other value.
    """
    hot = (array == np.array(values)).astype(np.uint8) * np.uint8(255)
    unknown = ~hot.any(axis=2)
    if blank is not None:
        hot[blank] = 0
        unknown &= ~blank
    if unknown.any():
        known = ", ".join(map(str, values[:_SHOWN])) + (", ..." if len(values) > _SHOWN else "")
        raise ImageError(
            f"{path} holds the value {array[unknown].flat[0]:g}, but the classes are {known}. Name all "
            "classes, or the value of pixels without one as data.nodata_a or nodata_b."
        )
    return hot


def to_labels(scores: Array, values: Sequence[int]) -> Array:
    """Return the class with the highest score, (H, W, K) of any type to (H, W, 1) uint8, or uint16 where need be."""
    known = np.array(values, np.uint8 if max(values) < 256 else np.uint16)
    return known[scores.argmax(axis=2)][:, :, None]


def decided(scores: Array) -> Array:
    """Return scores (H, W, K) as `one_hot` would read them from a file: 255 for the highest, and 0."""
    return np.where(np.arange(scores.shape[2]) == scores.argmax(axis=2)[:, :, None], np.uint8(255), np.uint8(0))


def coloured(scores: Array) -> Array:
    """Return scores (H, W, K) as people see them, (H, W, 3) uint8: each class in a colour of its own."""
    count = scores.shape[2]
    colours = [
        colorsys.hsv_to_rgb(k * _GOLDEN % 1, 0.75 - 0.4 * (k % 2), 0.55 + 0.4 * (k % 3) / 2) for k in range(count)
    ]
    done: Array = np.rint(255 * np.array(colours)).astype(np.uint8)[scores.argmax(axis=2)]
    return done


def nearest_to(array: Array, height: int, width: int) -> Array:
    """Resize (H, W, C): each pixel becomes the one nearest to its centre."""
    rows, columns = (
        ((np.arange(new) + 0.5) * old / new).astype(int) for new, old in zip((height, width), array.shape, strict=False)
    )
    return array[rows[:, None], columns]
