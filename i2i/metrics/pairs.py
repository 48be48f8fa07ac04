"""How far an output is from its truth: each function takes two (H, W, C) uint8 pictures of one shape.

Grey and alpha pictures are compared as RGB, alpha on white; 16-bit ones are rounded to 8 bits first.
"""

import math

import numpy as np

from i2i.images import Array, from_unit, to_channels, to_unit

PSNR_CEILING = 100.0  # of two equal pictures, whose PSNR has no number


def as_rgb8(array: Array) -> Array:
    """Bring (H, W, 1..4) in 8 or 16 bits to the (H, W, 3) uint8 that metrics and sheets use."""
    rgb = to_channels(array, 3)
    return rgb if rgb.dtype == np.uint8 else from_unit(to_unit(rgb))


def l1(output: Array, truth: Array) -> float:
    """Mean absolute difference, in grey levels (0 to 255)."""
    return float(np.abs(as_rgb8(output).astype(np.int16) - as_rgb8(truth)).mean())


def psnr(output: Array, truth: Array) -> float:
    """Peak signal-to-noise ratio in dB, at most PSNR_CEILING."""
    error = (as_rgb8(output).astype(np.float64) - as_rgb8(truth)) / 255
    mean_square = float(np.square(error).mean())
    return min(PSNR_CEILING, -10 * math.log10(mean_square)) if mean_square else PSNR_CEILING


def ssim(output: Array, truth: Array) -> float:
    """Structural similarity (Wang et al. 2004), torchmetrics' with a Gaussian window of 11 px; sides from 11 px."""
    import torch
    from torchmetrics.functional.image import structural_similarity_index_measure

    a, b = (torch.from_numpy(np.ascontiguousarray(as_rgb8(x).transpose(2, 0, 1)))[None] / 255 for x in (output, truth))
    return float(structural_similarity_index_measure(a, b, data_range=1.0))
