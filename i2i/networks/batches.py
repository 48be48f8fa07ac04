"""Several images at once: what a discriminator sees of them, so that it notices if they are alike, and joint passes."""

from typing import Literal

import torch
from torch import Tensor, nn

from i2i.networks.layers import has_batch_norm

MinibatchDistance = Literal["none", "l1", "l2"]
KERNELS, KERNEL_SIZE = 100, 5
_GROUP = 4


class MinibatchDiscrimination(nn.Module):
    """How close each image is to the others of its batch, by distances that are learned (Salimans et al. 2016, 3.2).

    channels: of the features. distance: "l1" as in the paper, or "l2".
    An image is not compared with itself, as in the authors' code; in the paper's sum this adds 1 to each value.
    """

    def __init__(self, channels: int, distance: Literal["l1", "l2"]):
        super().__init__()
        self.distance = distance
        self.kernels = nn.Linear(channels, KERNELS * KERNEL_SIZE, bias=False)  # T

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, ...), of which the mean over all places counts, to (N, KERNELS): o(x), from 0 to N - 1."""
        matrices = self.kernels(features.flatten(2).mean(dim=2) if features.dim() > 2 else features)
        rows = matrices.float().unflatten(1, (KERNEL_SIZE, KERNELS)).unbind(dim=1)  # of M, each of all kernels
        # The small term keeps the gradient of the root finite where the images are equal.
        distances = torch.full((), 1e-12 if self.distance == "l2" else 0.0, device=features.device)
        for row in rows:  # all in one tensor take twice as long
            difference = row[:, None] - row
            distances = distances + (difference.abs() if self.distance == "l1" else difference.square())
        if self.distance == "l2":
            distances = distances.sqrt()
        itself = torch.eye(len(features), dtype=torch.bool, device=features.device)
        return torch.exp(-distances).masked_fill(itself[:, :, None], 0.0).sum(dim=1)


class BatchChannels(nn.Module):
    """Append to features what their batch shows: minibatch standard deviation, minibatch discrimination, or nothing.

    channels: of the features. added: how many channels it appends.
    """

    def __init__(self, channels: int, std: bool, discrimination: MinibatchDistance):
        super().__init__()
        self.std = std
        self.discrimination = None if discrimination == "none" else MinibatchDiscrimination(channels, discrimination)
        self.added = std + (KERNELS if self.discrimination else 0)

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, ...) to (N, C + added, ...)."""
        shown = append_spread(features) if self.std else features
        if self.discrimination is None:
            return shown
        closeness = self.discrimination(features).to(features.dtype)
        closeness = closeness.view(*closeness.shape, *[1] * (features.dim() - 2))
        return torch.cat([shown, closeness.expand(-1, -1, *features.shape[2:])], dim=1)


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


def together(network: nn.Module, *batches: Tensor, **options: Tensor | None) -> tuple[Tensor, ...]:
    """Return what a network makes of several batches (N, C, H, W), each as if it went through alone.

    Where no layer mixes images, they go through at once: a batch of two takes a CPU a sixth less time than two of one.
    options: what else the network takes, the same for each batch.
    """
    if len(batches) == 1 or has_batch_norm(network):
        return tuple(network(one, **options) for one in batches)
    repeated = {name: None if one is None else torch.cat([one] * len(batches)) for name, one in options.items()}
    made: Tensor = network(torch.cat(batches), **repeated)
    return made.split([len(one) for one in batches])
