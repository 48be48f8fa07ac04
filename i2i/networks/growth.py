"""How far networks have grown: Karras et al. 2018, "Progressive growing of GANs", section 2.

Images have the same side throughout; at an earlier level, their pixels repeat.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

FIRST_PX = 4
"""Side at level 0; every level doubles it."""
_MOST_PX = 1024


class Growth:
    """The level of a network, and how far it has faded in: 0 is the level before, enlarged, and 1 the whole of it.

    A copy of a network grows with it, so that its mean (EMA) is at the same level.
    """

    def __init__(self, level: int, fade: float = 1.0):
        self.level, self.fade = level, fade

    def __deepcopy__(self, memo: dict[int, Any]) -> "Growth":
        """Return itself."""
        return self


def make_growth(size: int, level: int | None, fade: float) -> Growth:
    """Return the growth of a network for `size` px; level None is all of them. Raises ValueError."""
    last = levels(size) - 1
    level = last if level is None else level
    if not 0 <= level <= last or not 0 <= fade <= 1 or (level == 0 and fade < 1):
        raise ValueError(f"level {level} with fade {fade} is none of a network of {size} px, which has 0 to {last}")
    return Growth(level, fade)


def levels(size: int) -> int:
    """Return how many levels a network for `size` px has; raises ValueError for a size without any."""
    if size < 2 * FIRST_PX or size > _MOST_PX or size & (size - 1):
        raise ValueError(f"progressive networks make powers of two from {2 * FIRST_PX} to {_MOST_PX} px")
    return (size // FIRST_PX).bit_length()


def channels(width: int, size: int) -> list[int]:
    """Return the channels of each level: `width` at the last, and twice as many at each before, up to 512."""
    return [min(width * 2**k, max(width, 512)) for k in reversed(range(levels(size)))]


def at_level(images: Tensor, level: int, fade: float) -> Tensor:
    """Show images (N, C, S, S) as the level does: with repeated pixels, mixed with those of the level before."""
    factor = images.shape[-1] // (FIRST_PX << level)
    shown = shrink(images, factor)
    if fade < 1:
        shown = torch.lerp(enlarge(shrink(shown, 2), 2), shown, fade)
    return enlarge(shown, factor)


def enlarge(images: Tensor, factor: int) -> Tensor:
    """Repeat each pixel: (N, C, H, W) to (N, C, factor * H, factor * W)."""
    return F.interpolate(images, scale_factor=factor) if factor > 1 else images


def shrink(images: Tensor, factor: int) -> Tensor:
    """Average squares of pixels: (N, C, H, W) to (N, C, H / factor, W / factor), for a power of two.

    Halved step by step, so that repeated pixels give their value exactly.
    """
    while factor > 1:
        images, factor = F.avg_pool2d(images, 2), factor // 2
    return images
