"""The linear change of colours that a training without pairs begins with (`generator.recolour`).

Nobody knows which picture of A belongs to which of B, but the colours of each side are known. A change fits if the
colours of A, changed, are distributed as those of B, and the colours of B, changed back, as those of A. How far two
distributions are apart is their sliced Wasserstein distance (Bonneel et al. 2015): the distance of the sorted values
along a line, a mean over many lines.
"""

import itertools
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from i2i import status
from i2i.config.settings import Config
from i2i.data.training_set import TrainingSet
from i2i.errors import ConfigError

Rows = tuple[tuple[float, float, float, float], ...]
"""What each output channel is made of: red, green, blue, and a constant; colours are in [-1, 1]."""
_IMAGES, _PIXELS = 128, 8192
"""Image numbers that are looked at, and pixels of a side in all of them."""
_LINES, _STARTS, _STEPS, _RATE = 32, 5, 40, 0.02
_LEAST = 1e-4
"""A variance that lets grey be inverted."""


class Change(NamedTuple):
    """A change of colours from side A to side B: (colour - mean_a) @ matrix + mean_b."""

    matrix: Tensor
    mean_a: Tensor
    mean_b: Tensor

    def rows(self) -> Rows:
        """Return it as a row for each output channel."""
        offset = self.mean_b - self.mean_a @ self.matrix
        return tuple(map(tuple, torch.cat([self.matrix.T, offset[:, None]], dim=1).tolist()))


def inverse(rows: Rows) -> Rows:
    """Return the change from B to A of one from A to B."""
    whole = torch.tensor([*rows, (0.0, 0.0, 0.0, 1.0)], dtype=torch.float64, device="cpu")
    return tuple(map(tuple, torch.linalg.inv(whole)[:3].tolist()))


def with_recolouring(config: Config, data: TrainingSet) -> Config:
    """Return `config` with the change that `generator.recolour` asks for; one that is there already stays.

    Sides that are not RGB get a note in place of it. Raises ConfigError for pairs, and DataError.
    """
    how = getattr(config.generator, "recolour", None)
    if how is None or getattr(config.generator, "recolouring", None):
        return config
    if data.own_names != ("a", "b") or data.together:
        raise ConfigError(f"generator.recolour is {how}, which compares two sides without pairs. Leave it out.")
    if config.data.side_channels != (3, 3):
        data.notes.append("generator.recolour is off: it needs RGB on both sides.")
        return config
    with status.doing("Comparing the colours of A and B"):
        a, b = _colours(data)
        change = monge(a, b) if how == "kept" else search(a, b)
    generator = config.generator.model_copy(update={"recolouring": change.rows()})
    return config.model_copy(update={"generator": generator})


def monge(a: Tensor, b: Tensor) -> Change:
    """Return the change that gives colours `a` the mean and covariance of `b`, (N, 3) each, and moves them least.

    This is Monge's map between Gaussians.
    """
    root, back = _root(_covariance(a)), _root(_covariance(a), inverse=True)
    return Change(back @ _root(root @ _covariance(b) @ root) @ back, a.mean(0), b.mean(0))


def search(a: Tensor, b: Tensor) -> Change:
    """Return the change that fits best of all that were found, for colours (N, 3) of A and of B.

    The search starts where covariances agree and the principal axes of the colour cube are exchanged or mirrored in
    one of the 48 ways, and goes on from the best of these by Adam.
    """
    count = min(len(a), len(b))
    lines = torch.nn.functional.normalize(torch.randn(3, _LINES, generator=torch.Generator().manual_seed(0)), dim=0)
    centred = {"a": a[:count] - a.mean(0), "b": b[:count] - b.mean(0)}
    matrices = _root(_covariance(a), inverse=True) @ _exchanges() @ _root(_covariance(b))
    best = misfit(matrices, centred, lines, every=4).argsort()[:_STARTS]
    found = matrices[best].clone().requires_grad_()
    optimizer = torch.optim.Adam([found], lr=_RATE)
    for _ in range(_STEPS):
        optimizer.zero_grad()
        misfit(found, centred, lines, every=2).sum().backward()
        optimizer.step()
    fitting = misfit(found.detach(), centred, lines).argmin()
    return Change(found[fitting].detach(), a.mean(0), b.mean(0))


def misfit(matrices: Tensor, colours: Mapping[str, Tensor], lines: Tensor, every: int = 1) -> Tensor:
    """Return how far each of the matrices (K, 3, 3) is from fitting, in both directions: (K,), 0 is perfect.

    colours: of "a" and "b", as many of each, (N, 3) about their means. lines: (3, L) of length 1. every: look at one
    colour in so many.
    """
    a, b = colours["a"][::every], colours["b"][::every]

    def apart(made: Tensor, real: Tensor) -> Tensor:
        difference = (made @ lines).sort(dim=-2).values - (real @ lines).sort(dim=-2).values
        return difference.abs().mean(dim=(-1, -2)) / real.square().mean().sqrt()

    return apart(a @ matrices, b) + apart(b @ torch.linalg.inv(matrices), a)


def _colours(data: TrainingSet) -> tuple[Tensor, Tensor]:
    """Return some colours of A and of B, (N, 3) each, from all over the data; pixels without data do not count."""
    found: dict[str, list[Tensor]] = {"a": [], "b": []}
    count = min(_IMAGES, data.epoch_images)
    draws = torch.Generator().manual_seed(0)
    for number in range(count):
        shown = data[number * data.epoch_images // count]
        for side, colours in found.items():
            pixels = shown[side].flatten(1).T
            if (valid := shown.get(f"valid_{side}")) is not None:
                pixels = pixels[valid.flatten() > 0]
            colours.append(pixels[torch.randperm(len(pixels), generator=draws)[: _PIXELS // count]])
    a, b = (torch.cat(colours) for colours in found.values())
    return a, b


def _exchanges() -> Tensor:
    """Return all ways to exchange and mirror three axes, (48, 3, 3)."""
    signs = [torch.diag(torch.tensor(one)) for one in itertools.product((1.0, -1.0), repeat=3)]
    return torch.stack([sign[list(order)] for order in itertools.permutations(range(3)) for sign in signs])


def _covariance(colours: Tensor) -> Tensor:
    return torch.cov(colours.T) + _LEAST * torch.eye(3)


def _root(matrix: Tensor, inverse: bool = False) -> Tensor:
    """Return the symmetric square root of a positive matrix, or its inverse."""
    values, vectors = torch.linalg.eigh(matrix)
    return vectors @ torch.diag(values.clamp(min=1e-8) ** (-0.5 if inverse else 0.5)) @ vectors.T
