"""Augmentation of a pair, one draw for both sides, as in the pix2pix paper (section 6.2), or of one picture.

Resize so that the shorter side is `resize_px`, cut a random square of `crop_px`, mirror half of the
time; colour jitter, off in the presets, on the input of a pair only. Albumentations does it, torchvision
where that is not installed, and kornia (augment_batch) on whole batches; each depends on nothing but
the seed it is called with.
"""

import importlib.util
import os
import random
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from i2i.images import Array
from i2i.settings import DataSettings

# Ranges at strength 1; hue is a fraction of the colour circle.
JITTER = {"brightness": 0.5, "contrast": 0.5, "saturation": 0.5, "hue": 0.1}


class Augment(Protocol):
    """(input, target) or (picture,) to the same augmented: (H, W, C) integers in, float32 in [0, 1] out."""

    def __call__(self, pictures: tuple[Array, ...], seed: int) -> tuple[Array, ...]:
        """Return all pictures under one draw."""


def make_augment(settings: DataSettings) -> Augment:
    """Return the augmentation of the settings; with kornia, only the resizing that must come first."""
    if settings.augment == "kornia":
        return _torchvision(settings, random_parts=False)
    missing = settings.augment == "auto" and settings.colour_jitter and not has_albumentations()
    if settings.augment == "torchvision" or missing:
        return _torchvision(settings)
    return _albumentations(settings)


def has_albumentations() -> bool:
    """Whether albumentations is installed."""
    return importlib.util.find_spec("albumentations") is not None


def jitter_ranges(strength: float) -> dict[str, float]:
    """Return the ranges of colour jitter at `strength` (0 to 1), by torchvision's and kornia's names."""
    return {name: strength * value for name, value in JITTER.items()}


def as_float(array: Array) -> Array:
    """Map integers by their full range to float32 in [0, 1]."""
    return array.astype(np.float32) / np.float32(np.iinfo(array.dtype).max)


def _albumentations(settings: DataSettings) -> Augment:
    import cv2

    cv2.setNumThreads(0)  # workers are processes already
    jitter = _jitter(settings.colour_jitter) if settings.colour_jitter else None

    def resize(side: Array) -> Array:
        height, width = side.shape[:2]
        scale = (settings.resize_px or min(height, width)) / min(height, width)
        target = round(width * scale), round(height * scale)
        if target == (width, height):
            return side
        return cv2.resize(side, target, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)

    def augment(pictures: tuple[Array, ...], seed: int) -> tuple[Array, ...]:
        draw, crop = random.Random(seed), settings.crop_px
        # OpenCV knows uint8 and float32; 8-bit pictures stay integers through the resize, which is faster.
        sides = [resize(side if side.dtype == np.uint8 else as_float(side)) for side in pictures]
        height, width = sides[0].shape[:2]
        top, left = (int((side - crop + 1) * draw.random()) for side in (height, width))
        sides = [side[top : top + crop, left : left + crop].reshape(crop, crop, -1) for side in sides]
        if settings.flip and draw.random() < 0.5:
            sides = [side[:, ::-1] for side in sides]
        floats = [side if side.dtype == np.float32 else as_float(side) for side in sides]
        x, *rest = (np.clip(side, 0.0, 1.0) for side in floats)  # cubic enlarging overshoots at edges
        if jitter is not None:
            jitter.set_random_state(np.random.default_rng(seed), draw)
            colours = min(x.shape[2], 3)
            jittered = jitter(image=np.ascontiguousarray(x[:, :, :colours]))["image"]
            x = np.concatenate([jittered, x[:, :, colours:]], axis=2)
        return (x, *rest)

    return augment


def _jitter(strength: float) -> Any:
    os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"  # it asks the network for its newest version at import otherwise
    import albumentations as A

    return A.ColorJitter(**{name: _around(name, value) for name, value in jitter_ranges(strength).items()}, p=1.0)


def _around(name: str, value: float) -> tuple[float, float]:
    return (-value, value) if name == "hue" else (1 - value, 1 + value)


def _torchvision(settings: DataSettings, random_parts: bool = True) -> Augment:
    import torch
    from torchvision import tv_tensors
    from torchvision.transforms import v2

    steps: list[Callable[..., Any]] = []
    if settings.resize_px:
        steps.append(v2.Resize(settings.resize_px, v2.InterpolationMode.BICUBIC, antialias=True))
    if random_parts:
        steps.append(v2.RandomCrop(settings.crop_px))
        if settings.flip:
            steps.append(v2.RandomHorizontalFlip())
    both = v2.Compose([*steps, v2.Identity()])
    jitter = v2.ColorJitter(**jitter_ranges(settings.colour_jitter))

    def tensor(array: Array) -> Any:
        return tv_tensors.Image(torch.from_numpy(np.ascontiguousarray(as_float(array).transpose(2, 0, 1))))

    def array(image: Any) -> Array:
        return np.ascontiguousarray(image.clamp(0.0, 1.0).numpy().transpose(1, 2, 0))

    def augment(pictures: tuple[Array, ...], seed: int) -> tuple[Array, ...]:
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)  # not torch.manual_seed, which reseeds the GPUs too
            image, *rest = both([tensor(side) for side in pictures])
            if settings.colour_jitter and random_parts:
                colours = min(image.shape[0], 3)
                image = torch.cat([jitter(image[:colours]), image[colours:]])
        return (array(image), *(array(side) for side in rest))

    return augment
