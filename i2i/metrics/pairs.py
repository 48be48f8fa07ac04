"""How far an output is from its truth: each function takes two images (H, W, 1 to 4) of one size, of any depth.

Each image is compared in its own depth, by the full range of its type: nothing is rounded to 8 bits. Both are compared
in the channels of the one that has more: grey, RGB, or RGB on white and alpha, so that colours under transparent
pixels do not count. valid: where there is data, (H, W) bool, if not everywhere; other pixels do not count, nor do
SSIM's windows that touch them.
"""

import math
from typing import Any

import numpy as np

from i2i.errors import DataError
from i2i.images import Array, from_unit, largest, on_white, to_channels, to_unit

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


def own_levels(output: Array, truth: Array) -> tuple[Array, Array]:
    """Convert both to (H, W, C) float64 in [0, 255], unrounded, in the channels of the one that has more.

    C is 1 (grey), 3 (RGB) or 4 (RGB on white, and alpha).
    """
    channels = max(output.shape[2], truth.shape[2])
    channels = 4 if channels == 2 else channels  # grey with alpha
    return _levels(output, channels), _levels(truth, channels)


def _levels(array: Array, channels: int) -> Array:
    array = to_channels(array, channels)
    if channels == 4:
        array = np.concatenate([on_white(array[:, :, :3], array[:, :, 3:]), array[:, :, 3:]], axis=2)
    return array / (largest(array.dtype) / 255)


def l1(output: Array, truth: Array, valid: Array | None = None) -> float:
    """Return the mean absolute difference, in grey levels: 0 to 255 from black to white, whatever the depth."""
    one, other = own_levels(output, truth)
    return float(np.abs(one - other)[_all(valid)].mean())


def psnr(output: Array, truth: Array, valid: Array | None = None) -> float:
    """Return the peak signal-to-noise ratio in dB, at most PSNR_CEILING."""
    one, other = own_levels(output, truth)
    mean_square = float(np.square((one - other) / 255)[_all(valid)].mean())
    return min(PSNR_CEILING, -10 * math.log10(mean_square)) if mean_square else PSNR_CEILING


def ssim(output: Array, truth: Array, valid: Array | None = None) -> float:
    """Return the structural similarity, the mean of equation 13 over channels: at most 1; 1 for equal images.

    Wang, Bovik, Sheikh and Simoncelli 2004: Gaussian window of 11 px and sigma 1.5, population covariance,
    K1 = 0.01, K2 = 0.03, averaged where the window lies inside the picture. Raises DataError for sides under 11 px.
    """
    _refuse_small("SSIM", truth, SSIM_WINDOW_PX)
    whole, _ = _similarity(*own_levels(output, truth))
    return float(whole[_all(None if valid is None else whole_windows(valid))].mean())


def whole_windows(valid: Array) -> Array:
    """Return which of SSIM's windows hold only pixels with data, (H - 10, W - 10) bool; valid: (H, W) bool."""
    import cv2

    edge = SSIM_WINDOW_PX // 2
    least = cv2.erode(valid.astype(np.uint8), np.ones((SSIM_WINDOW_PX, SSIM_WINDOW_PX), np.uint8))
    return least[edge:-edge, edge:-edge] > 0


def _all(chosen: Array | None) -> Any:
    return ... if chosen is None else chosen


def ms_ssim(output: Array, truth: Array) -> float:
    """Return the structural similarity at five scales, the mean of equation 7 over channels: at most 1.

    Wang, Simoncelli and Bovik 2003, with their exponents; each scale averages 2x2 pixels of the one before.
    A negative contrast-structure term counts as 0. Raises DataError for sides under 176 px.
    """
    _refuse_small("MS-SSIM", truth, MS_SSIM_LEAST_PX)
    x, y = own_levels(output, truth)
    product = np.ones(x.shape[2])
    for scale, exponent in enumerate(_SCALES):
        whole, contrast = _similarity(x, y)
        last = scale == len(_SCALES) - 1
        product *= np.maximum((whole if last else contrast).mean(axis=(0, 1)), 0) ** exponent
        x, y = _halved(x), _halved(y)
    return float(product.mean())


def _similarity(x: Array, y: Array) -> tuple[Array, Array]:
    """Return equation 13 of Wang et al. 2004 at every place, (H, W, C), and its contrast-structure factor."""
    import cv2

    edge, kernel = SSIM_WINDOW_PX // 2, cv2.getGaussianKernel(SSIM_WINDOW_PX, 1.5, cv2.CV_64F)

    def local_mean(values: Array) -> Array:
        filtered = cv2.sepFilter2D(values, cv2.CV_64F, kernel, kernel)
        return filtered.reshape(values.shape)[edge:-edge, edge:-edge]  # OpenCV drops the axis of a single channel

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
