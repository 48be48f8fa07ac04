"""Augmentation of whole batches on the device, by kornia (`data.augment: kornia`).

The loader resizes; this crops, flips and jitters. Pictures must therefore have one size after resizing.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from i2i.config.settings import Config, DataSettings, by_direction
from i2i.data.augment import jitter_ranges
from i2i.data.seeds import AUGMENT, derive_seed
from i2i.data.training_set import TrainingSet


class BatchAugment:
    """Augments each pair, or each image, with its own draw, which depends only on the seed of the call."""

    def __init__(self, settings: DataSettings):
        from kornia import augmentation as K

        crop = (settings.crop_px, settings.crop_px)
        steps: list[nn.Module] = [K.RandomCrop(crop, cropping_mode="slice")]
        if settings.flip:
            steps.append(K.RandomHorizontalFlip(p=0.5))
        self.steps = K.AugmentationSequential(*steps)
        self.jitter = K.ColorJitter(**jitter_ranges(settings.colour_jitter), p=1.0) if settings.colour_jitter else None

    def __call__(self, sides: tuple[Tensor, ...], seed: int) -> tuple[Tensor, ...]:
        """(input, target) or (images,), (N, C, H, W) in [-1, 1] each, to the same of the crop's size.

        Masks may follow, of the same size.
        """
        with torch.random.fork_rng(devices=[]):  # kornia draws on the CPU, whatever the device
            torch.default_generator.manual_seed(seed)  # not torch.manual_seed, which reseeds the GPUs too
            done = self.steps(*sides, data_keys=["input"] * len(sides))
            x, *rest = done if isinstance(done, list | tuple) else [done]
            if self.jitter is not None:
                count = x.shape[1]
                # kornia has no grey images; three equal channels stay equal
                colours = (x[:, :3].expand(-1, 3, -1, -1) + 1) / 2
                x = torch.cat([self.jitter(colours).clamp(0, 1)[:, :count] * 2 - 1, x[:, 3:]], dim=1)
        return (x, *rest)


def augment_batch(
    augment: BatchAugment, batch: Mapping[str, Tensor], data: TrainingSet, config: Config, first_image: int
) -> dict[str, Tensor]:
    """Augment the images of a batch on its device; draws depend on the number of its first image."""
    names, masks = data.own_names, data.image_names[len(data.own_names) :]
    if data.together:
        groups = [(*by_direction(config.data.direction_of_pairs, *names), *masks)]
    else:
        groups = [(name, *masks[side : side + 1]) for side, name in enumerate(names)]
    done: dict[str, Tensor] = {}
    for side, group in enumerate(groups):
        number = first_image if data.together else 2 * first_image + side
        seed = derive_seed(config.train.seed, AUGMENT, number)
        done |= dict(zip(group, augment(tuple(batch[name] for name in group), seed), strict=True))
    return {**batch, **done}
