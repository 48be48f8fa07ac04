"""What one code of a latent changes: latents in which only one block, or one number, moves."""

from collections.abc import Sequence

import numpy as np

from i2i.errors import UsageError
from i2i.images import Array
from i2i.models.spec import LatentBlock

_REACH = {"normal": (-2.0, 2.0), "uniform": (-1.0, 1.0), "constant": (0.0, 1.0)}
"""From where to where `traverse` walks: two standard deviations on both sides of 0, or all that a number can be."""


def find_code(code: str, blocks: Sequence[LatentBlock]) -> tuple[LatentBlock, int]:
    """Return the block that `code` names, and where in the latent the walked numbers begin; raises UsageError.

    code: the name of a block, or "noise:3" for the number 3, from 0, of a block of several.
    """
    ends = np.cumsum([block.size for block in blocks])
    starts = {block.name: (block, int(end) - block.size) for block, end in zip(blocks, ends, strict=True)}
    name, _, number = (code, "", "") if code in starts else code.rpartition(":")
    if name not in starts or (name != code and not number.isdecimal()):
        listed = ", ".join(_numbers(one) if _is_many(one) else one.name for one in blocks if one.prior != "text")
        raise UsageError(f"Unknown code {code}. This model has {listed}.")
    block, start = starts[name]
    if block.prior == "text":
        raise UsageError(
            f"{name} holds words, and its numbers mean nothing one by one. Give texts with --text, or walk from one to "
            "another with `i2i interpolate`."
        )
    if _is_many(block) and not number:
        raise UsageError(f"{name} has {block.size} numbers. Say which: {_numbers(block)}.")
    if number and (block.prior == "one_hot" or int(number) >= block.size):
        raise UsageError(f"{name} has no number {number}. Give {_numbers(block) if _is_many(block) else name}.")
    return block, start + int(number or 0)


def _is_many(block: LatentBlock) -> bool:
    return block.prior != "one_hot" and block.size > 1


def _numbers(block: LatentBlock) -> str:
    return f"{block.name}:0 to {block.name}:{block.size - 1}"


def traverse(
    latents: Array,
    blocks: Sequence[LatentBlock],
    code: str,
    steps: int | None = None,
    bounds: tuple[float, float] | None = None,
) -> tuple[Array, list[str]]:
    """Return each of N latents (N, size) at K values of one code, (N, K, size) float32, and the values in words.

    All else stays as it is (Chen et al. 2016, figure 2). code: as `find_code` takes it. A one_hot block goes through
    its classes; a number through `steps` values, by default 10, from one of `bounds` to the other, by default -2 to 2
    of a normal and -1 to 1 of a uniform prior, and 0 to 1 of a constant. Raises UsageError.
    """
    block, start = find_code(code, blocks)
    if block.prior == "one_hot":
        if steps is not None or bounds is not None:
            raise UsageError(f"{code} has {block.size} classes, and all are shown. Leave out --steps and --range.")
        values, stop = np.eye(block.size, dtype=np.float32), start + block.size
        words = list(block.classes or map(str, range(block.size)))
    else:
        low, high = bounds or _REACH[block.prior]
        values, stop = np.linspace(low, high, steps or 10, dtype=np.float32)[:, None], start + 1
        words = [f"{value:.2g}" for value in values[:, 0]]
    walked = np.repeat(latents[:, None].astype(np.float32), len(values), axis=1)
    walked[:, :, start:stop] = values
    return walked, words
