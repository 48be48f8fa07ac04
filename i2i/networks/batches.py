"""What a discriminator sees of several images at once, so that it notices if they are too much alike."""

import torch
from torch import Tensor

_GROUP = 4


def group_size(count: int) -> int:
    """Return how many of `count` images `append_spread` compares with each other; 1 is none."""
    return next(size for size in range(min(_GROUP, count), 0, -1) if count % size == 0)


def append_spread(features: Tensor) -> Tensor:
    """Append a channel to (N, C, ...): how much the images of a group differ, (N, C + 1, ...).

    It is the standard deviation of each value within the group, averaged over all values (Karras et al. 2018,
    section 3). Groups have four images, or the most below that which divides N.
    """
    size = group_size(len(features))
    groups = features.float().unflatten(0, (size, -1))
    # The small term keeps the gradient of the root finite where the images are equal.
    spread = (groups.var(dim=0, correction=0) + 1e-8).sqrt().flatten(1).mean(dim=1).repeat(size)
    channel = spread.view(-1, *[1] * (features.dim() - 1)).expand(-1, 1, *features.shape[2:])
    return torch.cat([features, channel.to(features.dtype)], dim=1)


def pack(images: Tensor, count: int) -> Tensor:
    """Join the channels of `count` images: (N, C, ...) to (N / count, count * C, ...) (Lin et al. 2018, PacGAN).

    Where N is no multiple, as in the last step of a training, the first images are repeated at the end.
    """
    if count == 1:
        return images
    whole = -(-len(images) // count) * count
    if whole > len(images):
        images = torch.cat([images] * -(-whole // len(images)))[:whole]
    return images.reshape(whole // count, -1, *images.shape[2:])


def unpack(packs: Tensor, count: int) -> Tensor:
    """Part what `pack` joined: (N / count, count * C, ...) to (N, C, ...)."""
    return packs if count == 1 else packs.reshape(len(packs) * count, -1, *packs.shape[2:])
