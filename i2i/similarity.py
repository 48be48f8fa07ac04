"""How much two images are alike: losses of images (N, C, H, W) in [-1, 1], as plain functions that return a scalar.

They need no network; those that compare the features of one are in i2i.losses.
"""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F


def gradient(output: Tensor, target: Tensor) -> Tensor:
    """Mean difference of the sizes of steps between neighbouring pixels (Mathieu et al. 2016, eq. 6 with alpha = 1)."""
    down, across = (F.l1_loss(output.diff(dim=axis).abs(), target.diff(dim=axis).abs()) for axis in (2, 3))
    return down + across


def ssim(output: Tensor, target: Tensor) -> Tensor:
    """1 - SSIM of images (N, C, H, W) in [-1, 1], at least SSIM_WINDOW_PX wide (Wang et al. 2004, eq. 13)."""
    luminance, structure = _similarities(output, target)
    return 1 - (luminance * structure).mean()


def structure(output: Tensor, target: Tensor) -> Tensor:
    """The same without the comparison of brightness: contrast and structure alone (Wang et al. 2004, eq. 9 and 10)."""
    return 1 - _similarities(output, target)[1].mean()


SSIM_WINDOW_PX = 11
_C1, _C2 = (0.01 * 2) ** 2, (0.03 * 2) ** 2  # for values from -1 to 1


def _similarities(one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """Return SSIM's maps of luminance, and of contrast and structure together, where the window fits."""
    places = torch.arange(SSIM_WINDOW_PX, device=one.device, dtype=one.dtype) - SSIM_WINDOW_PX // 2
    line = torch.softmax(-places.square() / (2 * 1.5**2), dim=0)
    images = torch.cat([one, other, one * one, other * other, one * other])
    across = line.expand(one.shape[1], 1, 1, -1)
    means = F.conv2d(F.conv2d(images, across, groups=one.shape[1]), across.mT, groups=one.shape[1])
    mean, other_mean, square, other_square, product = means.chunk(5)
    luminance = (2 * mean * other_mean + _C1) / (mean.square() + other_mean.square() + _C1)
    variances = square - mean.square() + other_square - other_mean.square()
    return luminance, (2 * (product - mean * other_mean) + _C2) / (variances + _C2)


_NLPD_FILTER = (0.05, 0.25, 0.4, 0.25, 0.05)
_NLPD = (  # of each level: sigma, then the weights of the neighbours below, right, left, 2 to the left, above
    (0.0248, 0.1011, 0.1493, 0.1460, 0.0072, 0.1015),
    (0.0185, 0.0757, 0.1986, 0.1846, 0.0, 0.0837),
    (0.0179, 0.0477, 0.2138, 0.2243, 0.0, 0.0467),
    (0.0191, 0.0, 0.2503, 0.2616, 0.0, 0.0),
    (0.0220, 0.0, 0.2598, 0.2552, 0.0, 0.0),
    (0.2782, 0.0, 0.2215, 0.0717, 0.0, 0.0),
)
_NLPD_PLACES = ((3, 2), (2, 3), (2, 1), (2, 0), (1, 2))  # row and column of each neighbour in a window of 5 px


def nlpd(output: Tensor, target: Tensor) -> Tensor:
    """Normalised Laplacian pyramid distance of images (N, C, H, W) in [-1, 1] (Laparra et al. 2016, section 2).

    Each channel is a pyramid of its own, of up to six levels, the coarsest at least 2 px wide. Hepburn et al. 2020
    ("Enforcing perceptual consistency on GANs") train pix2pix with it.
    """
    images = (torch.cat([output, target]).flatten(0, 1)[:, None] + 1) / 2
    levels = [_normalised(band, *numbers) for band, numbers in _laplacian_pyramid(images)]
    roots = []
    for level in levels:
        one, other = level.unflatten(0, (2, *output.shape[:2])).unbind()
        # The small term keeps the gradient of the root finite where the images are equal.
        roots.append(((one - other).square().flatten(1).mean(dim=1) + 1e-12).sqrt())
    return torch.stack(roots).mean()


def _laplacian_pyramid(images: Tensor) -> Iterator[tuple[Tensor, tuple[float, ...]]]:
    """Yield the bands of images (N, 1, H, W) with their numbers (Burt and Adelson 1983); what is left comes last."""
    line = images.new_tensor(_NLPD_FILTER)
    kernel = torch.outer(line, line)[None, None]
    count = min(len(_NLPD), min(images.shape[2:]).bit_length() - 1)
    for numbers in _NLPD[: count - 1]:
        height, width = images.shape[2:]
        coarse = F.conv2d(_mirror_border(images), kernel, stride=2)
        wide = F.conv_transpose2d(F.pad(coarse, (1, 1, 1, 1), mode="replicate"), 4 * kernel, stride=2, padding=2)
        yield images - wide[:, :, 2 : 2 + height, 2 : 2 + width], numbers
        images = coarse
    yield images, _NLPD[-1]


def _mirror_border(images: Tensor) -> Tensor:
    """Continue images by their two outermost pixels on each side, mirrored."""
    for axis in (2, 3):
        first, last = images.narrow(axis, 0, 2).flip(axis), images.narrow(axis, -2, 2).flip(axis)
        images = torch.cat([first, images, last], dim=axis)
    return images


def _normalised(band: Tensor, sigma: float, *neighbours: float) -> Tensor:
    """Divide a band by the weighted absolute values around each pixel."""
    kernel = band.new_zeros(1, 1, 5, 5)
    for (row, column), weight in zip(_NLPD_PLACES, neighbours, strict=True):
        kernel[0, 0, row, column] = weight
    return band / (sigma + F.conv2d(band.abs(), kernel, padding=2))
