"""Random latents for training, drawn on the device from the same priors as in i2i.runtime.latents."""

import functools
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from i2i.models.spec import LatentBlock
from i2i.models.texts import hash_text


def draw(blocks: Sequence[LatentBlock], images: Tensor, given: Mapping[str, Tensor], places: int = 0) -> Tensor:
    """Return a latent for each of `images` (N, ...): (N, latent), of their type and device.

    given: blocks that are known instead of drawn, by name, (N, size) each. places: on each side of the map of latents
    that the network takes, which is drawn, (N, latent, places, places), where its places differ.
    """
    whole = [block.at(places**2) for block in blocks]
    parts = [given[block.name] if block.name in given else PRIORS[block.prior](block, images) for block in whole]
    if any(block.each_place for block in blocks):
        shapes = [(len(images), block.size, places, places) for block in blocks]
        each = zip(blocks, parts, shapes, strict=True)
        parts = [
            part.view(shape) if block.each_place else part[:, :, None, None].expand(shape)
            for block, part, shape in each
        ]
    return torch.cat(parts, dim=1) if len(parts) > 1 else parts[0]


def _one_hot(block: LatentBlock, images: Tensor) -> Tensor:
    shares = _shares(block.shares or (1 / block.size,) * block.size, images.device)
    numbers = torch.multinomial(shares, len(images), replacement=True)
    return F.one_hot(numbers, block.size).to(images.dtype)


@functools.lru_cache(maxsize=64)
def _shares(shares: tuple[float, ...], device: torch.device) -> Tensor:
    """Return probabilities on a device; they are copied there once, since a recorded step copies nothing."""
    return torch.tensor(shares, device=device)


def _text(block: LatentBlock, images: Tensor) -> Tensor:
    texts = torch.from_numpy(np.stack([hash_text(text, block.size) for text in block.texts]))
    return texts.to(images)[torch.randint(len(texts), (len(images),), device=images.device)]


PRIORS: dict[str, Callable[[LatentBlock, Tensor], Tensor]] = {
    "normal": lambda block, images: torch.randn(len(images), block.size, device=images.device, dtype=images.dtype),
    "uniform": lambda block, images: 2 * torch.rand(len(images), block.size, device=images.device).to(images.dtype) - 1,
    "one_hot": _one_hot,
    "text": _text,
    "constant": lambda block, images: torch.full((len(images), block.size), block.value, device=images.device).to(
        images.dtype
    ),
}
