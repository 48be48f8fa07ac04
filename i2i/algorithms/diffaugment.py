"""DiffAugment: Zhao, Liu, Lin, Zhu, Han, "Differentiable Augmentation for Data-Efficient GAN Training", 2020.

The discriminator sees reals and fakes augmented, and the generator learns through the augmentation (eq. 3 to 5). Each
image has draws of its own; images that are stacked, as the two of a pair, share them, so that they move together.
Ranges are those of the authors' code, for images in [-1, 1]. Draws come from torch's generator, on the images' device.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

_SHIFT = 0.125
_HOLE = 0.5


def augment(images: Tensor, names: Sequence[str], stack: Sequence[int], probability: Tensor | None = None) -> Tensor:
    """Return images (N, C, H, W) in [-1, 1] augmented; stack: the channels of each image in C, one after another.

    probability: with which each augmentation changes an image, a scalar; None: always.
    """
    for name in names:
        changed = DIFFAUGMENT[name](images, stack)
        if probability is None:
            images = changed
        else:
            is_changed = torch.rand(len(images), device=images.device) < probability
            images = torch.where(is_changed.view(-1, 1, 1, 1), changed, images)
    return images


def colour(images: Tensor, stack: Sequence[int]) -> Tensor:
    """Add up to 0.5 to the brightness, scale the saturation by 0 to 2 and the contrast by 0.5 to 1.5; keep alpha."""
    brightness, saturation, contrast = torch.rand(3, len(images), 1, 1, 1, device=images.device)
    parts = []
    for image in images.split(list(stack), dim=1):
        colours = image[:, :3] + (brightness - 0.5)
        grey = colours.mean(dim=1, keepdim=True)
        colours = grey + (colours - grey) * (2 * saturation)
        mean = colours.mean(dim=(1, 2, 3), keepdim=True)
        colours = mean + (colours - mean) * (contrast + 0.5)
        parts += [colours, image[:, 3:]]
    return torch.cat(parts, dim=1)


def translation(images: Tensor, stack: Sequence[int]) -> Tensor:
    """Move by up to an eighth of each side, in whole pixels; what comes in is grey."""
    for axis in (2, 3):
        side = images.shape[axis]
        most = int(side * _SHIFT + 0.5)
        moves = _draw(images, 2 * most + 1) - most
        sources = torch.arange(side, device=images.device) - moves
        is_inside = (sources >= 0) & (sources < side)
        sources, is_inside = (_along(one, axis) for one in (sources.clamp(0, side - 1), is_inside))
        images = images.gather(axis, sources.expand_as(images)) * is_inside
    return images


def cutout(images: Tensor, stack: Sequence[int]) -> Tensor:
    """Make a hole of half of each side grey; its centre is anywhere in the image."""
    hole = torch.ones((), dtype=torch.bool, device=images.device)
    for axis in (2, 3):
        side = images.shape[axis]
        width = int(side * _HOLE + 0.5)
        first = _draw(images, side + 1 - width % 2) - width // 2
        places = torch.arange(side, device=images.device) - first
        hole = hole & _along((places >= 0) & (places < width), axis)
    return images * ~hole


DIFFAUGMENT: dict[str, Callable[[Tensor, Sequence[int]], Tensor]] = {
    "colour": colour,
    "translation": translation,
    "cutout": cutout,
}


def _draw(images: Tensor, count: int) -> Tensor:
    """Draw a whole number from 0 to count - 1 for each image, (N, 1)."""
    return (torch.rand(len(images), 1, device=images.device) * count).long()


def _along(values: Tensor, axis: int) -> Tensor:
    """Return values (N, side) in the shape of images, along their axis 2 or 3."""
    return values[:, None, :, None] if axis == 2 else values[:, None, None, :]
