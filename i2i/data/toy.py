"""Two toy distributions of points, the usual benchmark of GANs: 8 Gaussians on a ring, 25 on a grid.

The ring as in Metz et al. 2017 (unrolled GAN), the counts as in Srivastava et al. 2017 (VEEGAN): of
2,500 draws, one within 3 sigma of a centre is good, and a mode with a good draw is found.
"""

from typing import NamedTuple

import numpy as np

from i2i.images import Array

BLOCK = 4096
"""Points drawn at once, and the length of an epoch."""
DRAWS = 2500


class Toy(NamedTuple):
    """centres: (modes, 2). sigma: of each Gaussian, in the same units."""

    centres: Array
    sigma: float


_ANGLES = 2 * np.pi * np.arange(8) / 8
_LINE = np.linspace(-1, 1, 5)
TOYS = {
    "ring": Toy(np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=1), 0.01),
    "grid": Toy(np.stack(np.meshgrid(_LINE, _LINE), axis=-1).reshape(-1, 2), 0.0125),
}


def draw(name: str, count: int, random: np.random.Generator) -> Array:
    """Return `count` points of a toy distribution, (count, 2) float32."""
    toy = TOYS[name]
    modes = random.integers(len(toy.centres), size=count)
    return (toy.centres[modes] + toy.sigma * random.standard_normal((count, 2))).astype(np.float32)


def modes_found(name: str, points: Array) -> tuple[int, float]:
    """Return (number of modes with a good point, share of good points) of points (N, 2)."""
    toy = TOYS[name]
    distances = np.linalg.norm(points[:, None] - toy.centres, axis=2)
    good = distances.min(axis=1) <= 3 * toy.sigma
    return len(set(distances.argmin(axis=1)[good].tolist())), float(good.mean())
