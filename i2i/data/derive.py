"""Derive the input of a pair from its target (`data.derive`), so that only the target is a file.

The picture is the target, B; what is derived from it is the input, A. A masked input is RGB with alpha, as an image
editor saves a picture in which something was erased: alpha is 0 in the hole. The colours there are 0 too, so that they
cannot give the answer away. Masks depend only on their seed and on the size of the image; other derivations are not
random.
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
from i2i.data.items import Picture, read_masked_picture, read_picture
from i2i.data.seeds import DERIVE, derive_seed
from i2i.images import Array, Layout, Masked, cut_out, largest, to_channels
from i2i.images.listing import list_pictures

Random = np.random.Generator


class Derived(NamedTuple):
    """A pair whose input, A, is derived from the file that is its target, B.

    The target's layout says which channels it has as the model sees it, before the input is derived.
    """

    target: Picture
    settings: DeriveSettings
    seed: int

    @property
    def name(self) -> str:
        """The name of the target."""
        return self.target.name

    @property
    def path(self) -> Path:
        """The file of the target."""
        return self.target.path

    def __str__(self) -> str:
        return str(self.target)

    def read_target(self) -> Array:
        """Return B, (H, W, channels); raises DataError."""
        return self.read_masked_target().image

    def read_masked_target(self) -> Masked:
        """Return the same, and where it has no data."""
        array, blank = read_masked_picture(self.target)
        return Masked(to_channels(array, self.target.layout.channels or array.shape[2]), blank)

    def input_from(self, target: Array) -> Array:
        """Return A, derived from B at any scale."""
        return derive(target, self.settings, self.seed)


def find_derived(
    paths: Sequence[str],
    split: str,
    settings: DeriveSettings,
    layout: Layout,
    side: Literal["A", "B"] | None = None,
    lister: Lister = list_pictures,
) -> list[Derived]:
    """Return the pairs for previews and scores from a folder of pictures, as `find_images` finds them.

    layout: of the targets. Input number k is derived with draw k, whatever the training's seed, so that trainings
    can be compared.
    """
    pictures = find_images(paths, split, side, lister, layout)
    return [Derived(one, settings, derive_seed(0, DERIVE, place)) for place, one in enumerate(pictures)]


def read_input(item: Picture | Derived) -> Array:
    """Return an input, read from its file or derived from its target, at the file's own scale; raises DataError."""
    return item.input_from(item.read_target()) if isinstance(item, Derived) else read_picture(item)


def derive(image: Array, settings: DeriveSettings, seed: int) -> Array:
    """Derive the input, (H, W, C), from an image (H, W, 1 to 4) in uint8, uint16 or float32 in [0, 1], in its type.

    C is 4 for masks, 1 for grey and edges, else that of the image.
    """
    return DERIVATIONS[settings.name](image, settings, np.random.default_rng(seed))


def centre_mask(image: Array, settings: CentreMask, random: Random) -> Array:
    """Cut out the middle."""
    hole = np.zeros(image.shape[:2], bool)
    height, width = (max(1, round(side * settings.side)) for side in hole.shape)
    top, left = (hole.shape[0] - height) // 2, (hole.shape[1] - width) // 2
    hole[top : top + height, left : left + width] = True
    return cut_out(image, hole)


def rectangle_mask(image: Array, settings: RectangleMask, random: Random) -> Array:
    """Cut out one or more rectangles, with sides and places drawn uniformly."""
    hole = np.zeros(image.shape[:2], bool)
    for _ in range(random.integers(1, settings.most + 1)):
        height, width = (max(1, round(side * random.uniform(*settings.side))) for side in hole.shape)
        top, left = random.integers(hole.shape[0] - height + 1), random.integers(hole.shape[1] - width + 1)
        hole[top : top + height, left : left + width] = True
    return cut_out(image, hole)


def free_form_mask(image: Array, settings: FreeFormMask, random: Random) -> Array:
    """Cut out strokes of 4 to 8 vertices that zigzag (Yu et al. 2019, algorithm 1)."""
    import cv2

    height, width = image.shape[:2]
    hole = np.zeros((height, width), np.uint8)
    thickness = max(1, round(settings.width * min(height, width)))
    radius = math.hypot(height, width) / 8
    for _ in range(random.integers(1, settings.most + 1)):
        turn = random.uniform(2 * math.pi / 5 - 2 * math.pi / 15, 2 * math.pi / 5 + 2 * math.pi / 15)
        here = np.array([random.integers(width), random.integers(height)])
        for vertex in range(random.integers(4, 9)):
            angle = random.uniform(0, turn)
            angle = 2 * math.pi - angle if vertex % 2 == 0 else angle
            length = np.clip(random.normal(radius, radius / 2), 0, 2 * radius)
            there = here + np.rint(length * np.array([math.cos(angle), math.sin(angle)])).astype(int)
            there = np.clip(there, 0, [width - 1, height - 1])
            cv2.line(hole, here.tolist(), there.tolist(), 1, thickness)
            here = there
    return cut_out(image, hole.astype(bool))


def grey(image: Array, settings: Grey, random: Random) -> Array:
    """Return the luma, as the runtime does for models with one channel."""
    return to_channels(image, 1)


def edges(image: Array, settings: Edges, random: Random) -> Array:
    """Draw Canny's edges in black on white."""
    import cv2

    luma, top = to_channels(image, 1), largest(image.dtype)
    levels = luma if luma.dtype == np.uint8 else np.rint(luma.astype(np.float32) * (255 / top)).astype(np.uint8)
    found = cv2.Canny(np.ascontiguousarray(levels[:, :, 0]), settings.low, settings.high)
    return np.where(found[:, :, None] > 0, 0, top).astype(image.dtype)


def blur(image: Array, settings: Blur, random: Random) -> Array:
    """Blur with a Gaussian; the border is mirrored."""
    import cv2

    done = cv2.GaussianBlur(np.ascontiguousarray(image), (0, 0), settings.sigma_px)
    return np.asarray(done, image.dtype).reshape(image.shape)


def low_resolution(image: Array, settings: LowResolution, random: Random) -> Array:
    """Shrink with antialiasing, and enlarge to the old size."""
    height, width = image.shape[:2]
    small = max(1, round(height / settings.factor)), max(1, round(width / settings.factor))
    return resize_to(resize_to(image, small), (height, width))


DERIVATIONS: dict[str, Callable[[Array, Any, Random], Array]] = {
    "centre_mask": centre_mask,
    "rectangle_mask": rectangle_mask,
    "free_form_mask": free_form_mask,
    "grey": grey,
    "edges": edges,
    "blur": blur,
    "low_resolution": low_resolution,
}
"""By the name in the settings: (image (H, W, C), settings, random generator) to the input."""
