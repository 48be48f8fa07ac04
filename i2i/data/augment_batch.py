"""Augmentation of whole batches on the device, by kornia (`data.augment: kornia`).

The loader resizes and this cuts, mirrors and jitters, so pictures must have one size after resizing.
"""

import torch
from torch import Tensor, nn

from i2i.config.settings import DataSettings
from i2i.data.augment import jitter_ranges


class BatchAugment:
    """One draw for each pair, or each picture; depends on nothing but the seed it is called with."""

    def __init__(self, settings: DataSettings):
        from kornia import augmentation as K

        crop = (settings.crop_px, settings.crop_px)
        steps: list[nn.Module] = [K.RandomCrop(crop, cropping_mode="slice")]
        if settings.flip:
            steps.append(K.RandomHorizontalFlip(p=0.5))
        self.steps = K.AugmentationSequential(*steps)
        self.jitter = K.ColorJitter(**jitter_ranges(settings.colour_jitter), p=1.0) if settings.colour_jitter else None

    def __call__(self, sides: tuple[Tensor, ...], seed: int) -> tuple[Tensor, ...]:
        """(input, target) or (pictures,), (N, C, H, W) in [-1, 1] each, to the same cut to the crop."""
        with torch.random.fork_rng(devices=[]):  # kornia draws on the CPU, whatever the device
            torch.default_generator.manual_seed(seed)  # not torch.manual_seed, which reseeds the GPUs too
            done = self.steps(*sides, data_keys=["input"] * len(sides))
            x, *rest = done if isinstance(done, list | tuple) else [done]
            if self.jitter is not None:
                count = x.shape[1]
                # kornia knows no grey; three equal channels stay equal
                colours = (x[:, :3].expand(-1, 3, -1, -1) + 1) / 2
                x = torch.cat([self.jitter(colours).clamp(0, 1)[:, :count] * 2 - 1, x[:, 3:]], dim=1)
        return (x, *rest)
