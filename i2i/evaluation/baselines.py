"""Trivial answers: what pictures would score without a model."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from i2i import status
from i2i.config.settings import by_direction
from i2i.data.derive import Derived
from i2i.data.items import Pair, read_masked_pair
from i2i.images import Array, largest, to_channels
from i2i.metrics.pairs import grey_levels

Answer = Callable[[Array], Array]
"""Maps an input (H, W, C) to an answer that is scored against the truth."""
BLUR = 0.02
"""Sigma of blurred pictures, as a share of their shorter side."""
BASELINES = ("input_copied", "target_mean", "affine_colour", "colour_map")
"""Trivial answers beside the scores of pairs; only affine_colour needs pairs to be fitted."""


def sides(pair: Pair | Derived, direction: str) -> tuple[Array, Array]:
    """Read a pair as (input, target)."""
    x, y, _ = masked_sides(pair, direction)
    return x, y


def masked_sides(pair: Pair | Derived, direction: str) -> tuple[Array, Array, Array | None]:
    """Read a pair as (input, target), and where both have data, (H, W) bool; None: everywhere."""
    if isinstance(pair, Derived):
        b, blank = pair.read_masked_target()
        a = pair.input_from(b)
    else:
        a, b, blank = read_masked_pair(pair)
    return *by_direction(direction, a, b), None if blank is None else ~blank


def fit_baselines(
    pairs: Sequence[Pair | Derived], direction: str, channels: int = 3, bands: bool = False
) -> dict[str, Answer]:
    """Return target_mean, affine_colour and colour_map, which map an input (H, W, C) to an answer in the same type.

    If all training targets have one size, target_mean is their mean picture for inputs of that size; otherwise it is
    their mean colour. affine_colour is the least-squares matrix from a pixel's RGB input to its target. Both return
    (H, W, channels). colour_map is that of fit_colour_map. bands: whether a side has bands, which are taken as they
    are and get no colour_map. Pixels without data do not count; if a target has any, target_mean is a colour.
    """
    picture_sum: Array | None = None
    one_size = True
    colour_sum, pixels = np.zeros(channels), 0
    levels = _own_levels if bands else grey_levels
    gram, of_targets, cross = np.zeros((1, 1)), np.zeros((4, 4)), np.zeros((1, channels))
    for done, pair in enumerate(pairs):
        status.count(done, len(pairs))
        source, target, valid = masked_sides(pair, direction)
        x, y = levels(source), to_channels(target, channels) / (largest(target.dtype) / 255)
        one_size = one_size and valid is None
        if picture_sum is None:
            picture_sum = np.zeros_like(y)
        one_size = one_size and picture_sum.shape == y.shape
        if one_size:
            picture_sum += y
        chosen = np.ones(y.shape[:2], bool) if valid is None else valid
        colour_sum += y[chosen].sum(axis=0)
        pixels += int(chosen.sum())
        flat = _with_one(x[chosen])
        gram = gram + flat.T @ flat
        cross = cross + flat.T @ y[chosen]
        of_targets += 0 if bands else _moments(target[chosen][None])
    matrix = np.linalg.lstsq(gram, cross, rcond=None)[0]
    mean_colour = colour_sum / max(pixels, 1)
    mean_picture = None if picture_sum is None or not one_size else picture_sum / len(pairs)

    def target_mean(x: Array) -> Array:
        if mean_picture is not None and mean_picture.shape[:2] == x.shape[:2]:
            return _from_levels(mean_picture, x.dtype)
        return np.broadcast_to(_from_levels(mean_colour, x.dtype), (*x.shape[:2], channels))

    def affine_colour(x: Array) -> Array:
        return _from_levels(_with_one(levels(x)) @ matrix, x.dtype).reshape(*x.shape[:2], channels)

    found: dict[str, Answer] = {"target_mean": target_mean, "affine_colour": affine_colour}
    return found if bands else {**found, "colour_map": _monge(gram, of_targets)}


def _own_levels(array: Array) -> Array:
    """Convert bands (H, W, C) of any depth to float64 in [0, 255], unrounded."""
    return array / (largest(array.dtype) / 255)


def _with_one(picture: Array) -> Array:
    flat = picture.reshape(-1, picture.shape[-1])
    return np.concatenate([flat, np.ones((len(flat), 1))], axis=1)


def _from_levels(values: Array, dtype: Any) -> Array:
    """Map grey levels, 0 to 255, to a type by its full range, integers rounded and floats in [0, 1]."""
    if dtype == np.float32:
        return np.clip(values / 255, 0, 1).astype(np.float32)
    return np.rint(np.clip(values, 0, 255) * (largest(dtype) / 255)).astype(dtype)


def fit_colour_map(inputs: Iterable[Array], targets: Iterable[Array]) -> Answer:
    """Return the linear map of colours that takes the mean and covariance of one set of pictures to another's.

    Monge's map between Gaussians; needs no pairs and no training. Pictures and answers are RGB (H, W, 3) of any depth.
    """
    return _monge(*(sum(map(_moments, side), np.zeros((4, 4))) for side in (inputs, targets)))


def _moments(picture: Array) -> Array:
    """Return the sums of products of all pixels' (red, green, blue, 1), (4, 4): moments up to the second."""
    flat = _with_one(grey_levels(picture))
    moments: Array = flat.T @ flat
    return moments


def _monge(of_inputs: Array, of_targets: Array) -> Answer:
    """Return the map between Gaussians with these moments."""
    (mean, covariance), (target_mean, target_covariance) = map(_mean_covariance, (of_inputs, of_targets))
    root = _root(covariance)
    inverse = np.linalg.inv(root)
    matrix = inverse @ _root(root @ target_covariance @ root) @ inverse

    def apply(picture: Array) -> Array:
        mapped = (grey_levels(picture).reshape(-1, 3) - mean) @ matrix + target_mean
        return _from_levels(mapped, picture.dtype).reshape(*picture.shape[:2], 3)

    return apply


def _mean_covariance(moments: Array) -> tuple[Array, Array]:
    """Return the mean and covariance of colours; 0.1 is added to variances, lest grey be singular."""
    mean = moments[3, :3] / moments[3, 3]
    return mean, moments[:3, :3] / moments[3, 3] - np.outer(mean, mean) + 0.1 * np.eye(3)


def _root(matrix: Array) -> Array:
    """Return the symmetric square root of a positive matrix."""
    values, vectors = np.linalg.eigh(matrix)
    root: Array = vectors * np.sqrt(np.maximum(values, 0)) @ vectors.T
    return root


def blurred(picture: Array) -> Array:
    """Return (H, W, 3) uint8 blurred with a Gaussian: the same but for detail."""
    import cv2

    return cv2.GaussianBlur(picture, (0, 0), max(BLUR * min(picture.shape[:2]), 0.5))
