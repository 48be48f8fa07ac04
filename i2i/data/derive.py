"""Pairs of which only the target is a file: the input is derived from it (`data.derive`).

The picture is the target, B, and what is made of it the input, A. A masked input is RGB with alpha, as an
image editor leaves a picture in which something was erased: alpha is 0 in the hole, and so are the colours,
which must not tell what was there. Masks depend on their seed and on the size of the picture alone; the
other derivations draw nothing.
"""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from i2i.config.derive import (
    Blur,
    CentreMask,
    DeriveSettings,
    Edges,
    FreeFormMask,
    Grey,
    LowResolution,
    RectangleMask,
)
from i2i.data.augment import resize_to
from i2i.data.folders import Lister, find_images
from i2i.data.items import Picture, read_picture
from i2i.data.training_set import DERIVE, derive_seed
from i2i.images import Array, Channels, Range, largest, to_channels
from i2i.images.listing import list_pictures

Drawn = np.random.Generator


class Derived(NamedTuple):
    """A pair whose input, A, is derived from the file that is its target, B.

    channels: of the target as the model sees it, before anything is derived.
    """

    target: Picture
    settings: DeriveSettings
    channels: Channels
    seed: int

    @property
    def name(self) -> str:
        """The target's."""
        return self.target.name

    @property
    def path(self) -> Path:
        """The target's."""
        return self.target.path

    def __str__(self) -> str:
        return str(self.target)

    def read_target(self, value_range: Range | None = None) -> Array:
        """Return B, (H, W, channels); raises DataError."""
        return to_channels(read_picture(self.target, value_range), self.channels)

    def input_from(self, target: Array) -> Array:
        """Return A, derived from B as it was read, or at another scale."""
        return derive(target, self.settings, self.seed)


def find_derived(
    paths: Sequence[str],
    split: str,
    settings: DeriveSettings,
    channels: Channels,
    side: Literal["A", "B"] | None = None,
    lister: Lister = list_pictures,
) -> list[Derived]:
    """Return the pairs of a folder of pictures that are shown and scored, as `find_images` finds them.

    Picture number k is derived by draw k, whatever the training's seed, so that scores of trainings compare.
    """
    pictures = find_images(paths, split, side, lister)
    return [Derived(one, settings, channels, derive_seed(0, DERIVE, place)) for place, one in enumerate(pictures)]


def read_input(item: Picture | Derived, value_range: Range | None = None) -> Array:
    """Return the input that a file is, or that is derived from one, at the file's own scale; raises DataError."""
    return (
        item.input_from(item.read_target(value_range)) if isinstance(item, Derived) else read_picture(item, value_range)
    )


def derive(picture: Array, settings: DeriveSettings, seed: int) -> Array:
    """(H, W, 1 to 4), uint8, uint16 or float32 in [0, 1], to the input derived from it: (H, W, C) of the same type.

    C is 4 of masks, 1 of grey and edges, else that of the picture.
    """
    return DERIVATIONS[settings.name](picture, settings, np.random.default_rng(seed))


def centre_mask(picture: Array, settings: CentreMask, drawn: Drawn) -> Array:
    """Cut the middle out."""
    hole = np.zeros(picture.shape[:2], bool)
    height, width = (max(1, round(side * settings.side)) for side in hole.shape)
    top, left = (hole.shape[0] - height) // 2, (hole.shape[1] - width) // 2
    hole[top : top + height, left : left + width] = True
    return cut_out(picture, hole)


def rectangle_mask(picture: Array, settings: RectangleMask, drawn: Drawn) -> Array:
    """Cut one rectangle or several, each with sides and a place drawn uniformly."""
    hole = np.zeros(picture.shape[:2], bool)
    for _ in range(drawn.integers(1, settings.most + 1)):
        height, width = (max(1, round(side * drawn.uniform(*settings.side))) for side in hole.shape)
        top, left = drawn.integers(hole.shape[0] - height + 1), drawn.integers(hole.shape[1] - width + 1)
        hole[top : top + height, left : left + width] = True
    return cut_out(picture, hole)


def free_form_mask(picture: Array, settings: FreeFormMask, drawn: Drawn) -> Array:
    """Cut along strokes of 4 to 8 vertices that turn to and fro (Yu et al. 2019, algorithm 1)."""
    import cv2

    height, width = picture.shape[:2]
    hole = np.zeros((height, width), np.uint8)
    thickness = max(1, round(settings.width * min(height, width)))
    radius = math.hypot(height, width) / 8
    for _ in range(drawn.integers(1, settings.most + 1)):
        turn = drawn.uniform(2 * math.pi / 5 - 2 * math.pi / 15, 2 * math.pi / 5 + 2 * math.pi / 15)
        here = np.array([drawn.integers(width), drawn.integers(height)])
        for vertex in range(drawn.integers(4, 9)):
            angle = drawn.uniform(0, turn)
            angle = 2 * math.pi - angle if vertex % 2 == 0 else angle
            length = np.clip(drawn.normal(radius, radius / 2), 0, 2 * radius)
            there = here + np.rint(length * np.array([math.cos(angle), math.sin(angle)])).astype(int)
            there = np.clip(there, 0, [width - 1, height - 1])
            cv2.line(hole, here.tolist(), there.tolist(), 1, thickness)
            here = there
    return cut_out(picture, hole.astype(bool))


def cut_out(picture: Array, hole: Array) -> Array:
    """Return a picture as RGB with alpha, with nothing in the hole, (H, W) bool; outside it is opaque, on white."""
    colour, top = to_channels(picture, 3), largest(picture.dtype)
    alpha = np.full_like(colour[:, :, :1], top)
    return np.where(hole[:, :, None], np.zeros(1, colour.dtype), np.concatenate([colour, alpha], axis=2))


def grey(picture: Array, settings: Grey, drawn: Drawn) -> Array:
    """Take the luma, as the runtime does for models of one channel."""
    return to_channels(picture, 1)


def edges(picture: Array, settings: Edges, drawn: Drawn) -> Array:
    """Draw Canny's edges in black on white."""
    import cv2

    luma, top = to_channels(picture, 1), largest(picture.dtype)
    levels = luma if luma.dtype == np.uint8 else np.rint(luma.astype(np.float32) * (255 / top)).astype(np.uint8)
    found = cv2.Canny(np.ascontiguousarray(levels[:, :, 0]), settings.low, settings.high)
    return np.where(found[:, :, None] > 0, 0, top).astype(picture.dtype)


def blur(picture: Array, settings: Blur, drawn: Drawn) -> Array:
    """Blur by a Gaussian; what lies beyond the border mirrors what lies within."""
    import cv2

    done = cv2.GaussianBlur(np.ascontiguousarray(picture), (0, 0), settings.sigma_px)
    return np.asarray(done, picture.dtype).reshape(picture.shape)


def low_resolution(picture: Array, settings: LowResolution, drawn: Drawn) -> Array:
    """Make it small with antialiasing, and as large as before."""
    height, width = picture.shape[:2]
    small = max(1, round(height / settings.factor)), max(1, round(width / settings.factor))
    return resize_to(resize_to(picture, small), (height, width))


DERIVATIONS: dict[str, Callable[[Array, Any, Drawn], Array]] = {
    "centre_mask": centre_mask,
    "rectangle_mask": rectangle_mask,
    "free_form_mask": free_form_mask,
    "grey": grey,
    "edges": edges,
    "blur": blur,
    "low_resolution": low_resolution,
}
"""A picture (H, W, C), settings and a source of draws to the input, by the name in the settings."""
