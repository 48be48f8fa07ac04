"""Latents of models with styles: truncated, mixed, and walked through in the space of styles.

What a latent mixes is in itself (i2i.models.styles), so that exported files do all of it, too.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from i2i.errors import UsageError
from i2i.images import Array
from i2i.models.spec import LatentBlock
from i2i.models.styles import FINE, NOISE, SHARE, TRUNCATION

FIRST_PX = 4
"""Side of the first layers."""


def truncate(latents: Array, blocks: Sequence[LatentBlock], truncation: float) -> Array:
    """Return latents (N, size) whose styles are drawn to the mean: 0 is the mean itself, 1 changes nothing."""
    changed = latents.copy()
    changed[:, _places(blocks, TRUNCATION)] = truncation
    return changed


def mix(coarse: Array, fine: Array, blocks: Sequence[LatentBlock], from_px: int) -> Array:
    """Return latents (N, size) with the styles of `coarse` (N, size), and those of `fine` from a side on.

    from_px: one of `sides`. Raises UsageError.
    """
    share = _places(blocks, SHARE)
    _refuse_mixed(coarse, share)
    _refuse_mixed(fine, share)
    if from_px not in sides(blocks):
        raise UsageError(f"--from-px is {from_px}, and styles change at {', '.join(map(str, sides(blocks)))} px.")
    mixed = coarse.copy()
    mixed[:, _places(blocks, FINE)] = fine[:, _places(blocks, NOISE)]
    mixed[:, share] = np.arange(share.stop - share.start) >= 2 * int(np.log2(from_px // FIRST_PX)) - 1
    return mixed


def sides(blocks: Sequence[LatentBlock]) -> list[int]:
    """Return the sides from which another style can take over, in pixels; raises UsageError."""
    share = _places(blocks, SHARE)
    return [FIRST_PX << level for level in range(1, (share.stop - share.start) // 2)]


def walk_styles(latents: Array, blocks: Sequence[LatentBlock], steps: int, loop: bool = False) -> Array:
    """Walk through stops as i2i.runtime.latents.walk does, but along lines from style to style."""
    share, fine, noise = (_places(blocks, name) for name in (SHARE, FINE, NOISE))
    _refuse_mixed(latents, share)
    rows = []
    for one, other in pairwise([*latents, latents[0]] if loop else list(latents)):
        for k in range(steps):
            row = (1 - k / steps) * one + k / steps * other  # of what is no style: the truncation
            row[noise], row[fine], row[share] = one[noise], other[noise], k / steps
            rows.append(row)
    return np.stack(rows if loop else [*rows, latents[-1]]).astype(np.float32)


def _places(blocks: Sequence[LatentBlock], name: str) -> slice:
    """Return where a block of styles lies in a latent; raises UsageError for a model without styles."""
    ends = np.cumsum([block.size for block in blocks])
    for block, end in zip(blocks, ends, strict=True):
        if block.name == name:
            return slice(int(end) - block.size, int(end))
    raise UsageError("This model has no styles. Train one with `i2i train style_fashion`.")


def _refuse_mixed(latents: Array, share: slice) -> None:
    """Raise UsageError for latents that mix styles already."""
    if latents[:, share].any():
        raise UsageError("Some of these latents mix two styles already. Give seeds, or latents that --seed draws.")
