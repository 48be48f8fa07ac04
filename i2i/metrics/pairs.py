"""How far an output is from its truth: each function takes two images (H, W, C) of one size, in 8 or 16 bits each.

Each image is compared in its own bit depth, by the full range of its type. Grey images and those with alpha are
compared as RGB, alpha on white.
"""

import math

import numpy as np

from i2i.errors import DataError
from i2i.images import Array, from_unit, largest, to_channels, to_unit

PSNR_CEILING = 100.0
"""PSNR of two equal images, instead of infinity."""
SSIM_WINDOW_PX = 11
"""Side of SSIM's window, and so the smallest side of images that have an SSIM."""
_SCALES = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # exponents of MS-SSIM, finest scale first
MS_SSIM_LEAST_PX = SSIM_WINDOW_PX * 2 ** (len(_SCALES) - 1)
"""Smallest side of images that have an MS-SSIM."""


def as_rgb8(array: Array) -> Array:
    """Convert (H, W, 1 to 4) in 8 or 16 bits to (H, W, 3) uint8, as sheets show it."""
    rgb = to_channels(array, 3)
    return rgb if rgb.dtype == np.uint8 else from_unit(to_unit(rgb))


def grey_levels(array: Array) -> Array:
    """Convert (H, W, 1 to 4) of any depth to (H, W, 3) float64 in [0, 255], unrounded."""
    return to_channels(array, 3) / (largest(array.dtype) / 255)


def l1(output: Array, truth: Array) -> float:
    """Return the mean absolute difference, in grey levels (0 to 255)."""
    return float(np.abs(grey_levels(output) - grey_levels(truth)).mean())


def psnr(output: Array, truth: Array) -> float:
    """Return the peak signal-to-noise ratio in dB, at most PSNR_CEILING."""
    mean_square = float(np.square((grey_levels(output) - grey_levels(truth)) / 255).mean())
    return min(PSNR_CEILING, -10 * math.log10(mean_square)) if mean_square else PSNR_CEILING


def ssim(output: Array, truth: Array) -> float:
    """Return the structural similarity, the mean of equation 13 over RGB: at most 1, and exactly 1 for equal images.

    Wang, Bovik, Sheikh and Simoncelli 2004: Gaussian window of 11 px and sigma 1.5, population covariance,
    K1 = 0.01, K2 = 0.03, averaged where the window lies inside the picture. Raises DataError for sides under 11 px.
    """
    _refuse_small("SSIM", truth, SSIM_WINDOW_PX)
    whole, _ = _similarity(grey_levels(output), grey_levels(truth))
    return float(whole.mean())


def ms_ssim(output: Array, truth: Array) -> float:
    """Return the structural similarity at five scales, the mean of equation 7 over RGB: at most 1.

    Wang, Simoncelli and Bovik 2003, with their exponents; each scale averages 2x2 pixels of the one before.
    A negative contrast-structure term counts as 0. Raises DataError for sides under 176 px.
    """
    _refuse_small("MS-SSIM", truth, MS_SSIM_LEAST_PX)
    x, y = grey_levels(output), grey_levels(truth)
    product = np.ones(3)
    for scale, exponent in enumerate(_SCALES):
        whole, contrast = _similarity(x, y)
        last = scale == len(_SCALES) - 1
        product *= np.maximum((whole if last else contrast).mean(axis=(0, 1)), 0) ** exponent
        x, y = _halved(x), _halved(y)
    return float(product.mean())


def _similarity(x: Array, y: Array) -> tuple[Array, Array]:
    """Return equation 13 of Wang et al. 2004 at every place, (H, W, 3), and its contrast-structure factor."""
    import cv2

    edge, kernel = SSIM_WINDOW_PX // 2, cv2.getGaussianKernel(SSIM_WINDOW_PX, 1.5, cv2.CV_64F)

    def local_mean(values: Array) -> Array:
        return cv2.sepFilter2D(values, cv2.CV_64F, kernel, kernel)[edge:-edge, edge:-edge]

    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    mean_x, mean_y = local_mean(x), local_mean(y)
    variance_x, variance_y = local_mean(x * x) - mean_x * mean_x, local_mean(y * y) - mean_y * mean_y
    covariance = local_mean(x * y) - mean_x * mean_y
    above, below = 2 * covariance + c2, variance_x + variance_y + c2
    luminance_above, luminance_below = 2 * mean_x * mean_y + c1, mean_x * mean_x + mean_y * mean_y + c1
    return luminance_above * above / (luminance_below * below), above / below


def _halved(values: Array) -> Array:
    """Return (H, W, C) at half the size, each pixel the mean of four; an odd last row or column is dropped."""
    height, width, channels = values.shape
    even = values[: height // 2 * 2, : width // 2 * 2]
    halves: Array = even.reshape(height // 2, 2, width // 2, 2, channels).mean(axis=(1, 3))
    return halves


def _refuse_small(metric: str, truth: Array, least_px: int) -> None:
    height, width = truth.shape[:2]
    if min(height, width) < least_px:
        raise DataError(f"{metric} needs sides of at least {least_px} px; these pictures are {width}x{height}.")
