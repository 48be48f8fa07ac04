"""Interactive evolution of latents: a person chooses among nine pictures, and the chosen have the next nine.

Bontrager, Lin, Togelius and Risi 2018, "Deep interactive evolution" (section 3): uniform crossover and normal mutation
of a generator's latents. Here a mutation also shrinks what it changes, so that latents stay draws of their prior
however many generations pass.

A folder holds a generation as 000.npy, its latents, and 000.png, its pictures with the numbers 1 to 9.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from i2i.errors import UsageError
from i2i.files import check_folder, write_bytes
from i2i.images import Array
from i2i.models.spec import LatentBlock
from i2i.report.sheets import grid_png
from i2i.runtime.generator import ImageGenerator
from i2i.runtime.latents import read_latents, seed_latents, write_latents
from i2i.runtime.refusals import refuse_file_name

LITTER = 9
MUTATION = 0.3


class Generation(NamedTuple):
    """One generation of a folder."""

    number: int
    latents: Array
    """(LITTER, latent) float32."""
    sheet: Path


def breed(
    generator: ImageGenerator, folder: Path, keep: Sequence[int] = (), seed: int = 0, mutation: float = MUTATION
) -> Generation:
    """Write the next generation into `folder` and return it: the first from draws, others from the chosen.

    keep: numbers of the newest sheet, from 1; none for the first generation alone. mutation: see `next_generation`.
    The result depends on these, on the folder and on nothing else. Raises UsageError and ModelError.
    """
    if generator.makes_points:
        raise UsageError("This model makes points, not pictures. There is nothing to choose from.")
    refuse_file_name(folder, "generations go into a folder")
    check_folder(folder)
    blocks, number = generator.generator.blocks, len(list(folder.glob("[0-9]*.npy")))
    wrong = [one for one in keep if not 1 <= one <= LITTER]
    if wrong:
        raise UsageError(f"Picture {wrong[0]} does not exist. Choose from 1 to {LITTER}, as in --keep 2,5.")
    if number and not keep:
        raise UsageError(f"{_sheet(folder, number - 1)} is there already. Choose from it, as in --keep 2,5.")
    if keep and not number:
        raise UsageError(f"{folder} holds no generation to choose from. Leave out --keep for the first.")
    if number:
        old = read_latents(_sheet(folder, number - 1).with_suffix(".npy"), generator.latent)
        parents = old[[one - 1 for one in dict.fromkeys(keep)]]
        latents = next_generation(parents, blocks, np.random.default_rng([seed, number]), mutation)
    else:
        latents = seed_latents(range(seed, seed + LITTER), blocks)
    sheet = _sheet(folder, number)
    write_bytes(sheet, grid_png(generator.pictures(latents), [str(k) for k in range(1, LITTER + 1)], columns=3))
    write_latents(sheet.with_suffix(".npy"), latents)  # last: it is what counts as a generation
    return Generation(number, latents, sheet)


def next_generation(
    parents: Array, blocks: Sequence[LatentBlock], random: np.random.Generator, mutation: float
) -> Array:
    """Return LITTER latents of parents (K, latent), K from 1: the parents, then their children.

    A child takes each number from one of two parents, and each class or text whole. mutation: the share of a child that
    is new, from 0 to 1. A normal number z becomes sqrt(1 - m^2) z + m e with a fresh e, which keeps its prior; other
    blocks are drawn anew with the probability m.
    """
    rows = [*parents[:LITTER]]
    while len(rows) < LITTER:
        one, other = parents[random.choice(len(parents), 2, replace=len(parents) == 1)]
        fresh = seed_latents([int(random.integers(2**32))], blocks)[0]
        parts, end = [], 0
        for block in blocks:
            start, end = end, end + block.size
            parts.append(_child(block, one[start:end], other[start:end], fresh[start:end], random, mutation))
        rows.append(np.concatenate(parts).astype(np.float32))
    return np.stack(rows)


def _child(
    block: LatentBlock, one: Array, other: Array, fresh: Array, random: np.random.Generator, mutation: float
) -> Array:
    numbers = block.prior in ("normal", "uniform")
    crossed = np.where(random.random(block.size if numbers else 1) < 1 / 2, one, other)
    if block.prior == "normal":
        return np.sqrt(1 - mutation**2) * crossed + mutation * fresh
    return np.where(random.random(block.size if numbers else 1) < mutation, fresh, crossed)


def _sheet(folder: Path, number: int) -> Path:
    return folder / f"{number:03d}.png"
