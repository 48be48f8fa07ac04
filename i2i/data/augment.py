"""Augmentation of a pair, one draw for both sides, as in the pix2pix paper (section 6.2), or of one image.

Resize the shorter side to `resize_px` (not random, so it can be cached), crop a random square of `crop_px`,
flip half of the time; colour jitter, off in the presets, changes only the input of a pair. Albumentations
jitters, or torchvision where that is not installed. kornia (augment_batch) does all but the resizing, on whole
batches. All depend on nothing but the seed of the call, and use no global generator: the loader's thread
draws at the same time as the training's.
"""

import importlib.util
import os
import random
import threading
from collections.abc import Callable
from typing import Protocol

import numpy as np

from i2i.config.settings import DataSettings
from i2i.images import Array, largest
from i2i.images.label_maps import nearest_to

# Ranges at strength 1; hue is a fraction of the colour circle.
JITTER = {"brightness": 0.5, "contrast": 0.5, "saturation": 0.5, "hue": 0.1}


class Augment(Protocol):
    """(input, target) or (image,) to the same augmented, (H, W, C) each.

    Integers stay integers; a jittered input is float32 in [0, 1].
    """

    def __call__(self, images: tuple[Array, ...], seed: int) -> tuple[Array, ...]:
        """Return all images, augmented with one draw."""


def resize(array: Array, shorter_px: int | None, nearest: bool = False) -> Array:
    """Resize (H, W, C), integers or float32 in [0, 1], to a shorter side of `shorter_px`; None keeps the size.

    Bicubic with antialiasing: within two levels of Pillow's result. nearest: take the nearest pixel, as of classes.
    """
    height, width = array.shape[:2]
    scale = (shorter_px or min(height, width)) / min(height, width)
    return resize_to(array, (round(height * scale), round(width * scale)), nearest)


def resize_to(array: Array, sides: tuple[int, int], nearest: bool = False) -> Array:
    """Return the same with sides of (height, width) pixels."""
    if sides == array.shape[:2]:
        return array
    if nearest:
        return nearest_to(array, *sides)
    import torch
    from torch.nn.functional import interpolate

    # torch resizes uint8, with a fast kernel, and floats.
    known = array if array.dtype == np.uint8 else array.astype(np.float32)
    # With the batch axis first, torch sees that channels are innermost, and keeps them there.
    image = torch.from_numpy(np.require(known, requirements=["C", "W"])[None]).permute(0, 3, 1, 2)
    done = interpolate(image, sides, mode="bicubic", antialias=True)[0].permute(1, 2, 0).numpy()
    if array.dtype == np.uint8:
        return done
    done = done.clip(0, largest(array.dtype))
    return done if array.dtype == np.float32 else np.rint(done).astype(array.dtype)


def resize_valid(blank: Array | None, sides: tuple[int, int], resized: Callable[[Array], Array]) -> Array:
    """Return which pixels of a resized image come from data alone, (H, W, 1) uint8, 255 or 0.

    blank: where the image, of these sides, has no data; None: nowhere. resized: what is done to the image.
    """
    values = np.full((*sides, 1), 0.5, np.float32)
    if blank is not None:
        values[blank] = 1.0  # not 0 and 1, since resizing cuts off what lies beyond them
    return np.where(abs(resized(values) - 0.5) < 1e-3, np.uint8(255), np.uint8(0))


def make_augment(settings: DataSettings) -> Augment:
    """Return the random part of the augmentation that the settings ask for; with kornia, which comes later, nothing."""
    if settings.augment == "kornia":
        return lambda images, seed: images
    crop, flip = settings.crop_px, settings.flip
    jitter = _make_jitter(settings) if settings.colour_jitter else None

    def augment(images: tuple[Array, ...], seed: int) -> tuple[Array, ...]:
        draw = random.Random(seed)
        top, left = (int((side - crop + 1) * draw.random()) for side in images[0].shape[:2])
        sides = [side[top : top + crop, left : left + crop] for side in images]
        if flip and draw.random() < 0.5:
            sides = [side[:, ::-1] for side in sides]
        if jitter is not None:
            x, colours = as_float(sides[0]), min(sides[0].shape[2], 3)
            jittered = jitter(np.ascontiguousarray(x[:, :, :colours]), seed, draw)
            sides[0] = np.concatenate([jittered, x[:, :, colours:]], axis=2)
        return tuple(sides)

    return augment


def has_albumentations() -> bool:
    """Whether albumentations is installed."""
    return importlib.util.find_spec("albumentations") is not None


def jitter_ranges(strength: float) -> dict[str, float]:
    """Return the ranges of colour jitter at `strength` (0 to 1), by torchvision's and kornia's names."""
    return {name: strength * value for name, value in JITTER.items()}


def as_float(array: Array) -> Array:
    """Map integers by their full range to float32 in [0, 1]; float32 stays as it is."""
    if array.dtype == np.float32:
        return array
    return array.astype(np.float32) / np.float32(np.iinfo(array.dtype).max)


Jitter = Callable[[Array, int, random.Random], Array]
"""(H, W, 1 or 3) float32 in [0, 1], a seed and a generator with that seed, to the same shape in other colours."""


def _make_jitter(settings: DataSettings) -> Jitter:
    ranges = jitter_ranges(settings.colour_jitter)
    missing = settings.augment == "auto" and not has_albumentations()
    return _torchvision(ranges) if settings.augment == "torchvision" or missing else _albumentations(ranges)


def _albumentations(ranges: dict[str, float]) -> Jitter:
    os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"  # else it looks for updates on the network at import
    import albumentations as A

    transform = A.ColorJitter(**{name: _around(name, value) for name, value in ranges.items()}, p=1.0)
    lock = threading.Lock()  # the threads of a loader share its random generators

    def jitter(array: Array, seed: int, draw: random.Random) -> Array:
        with lock:
            transform.set_random_state(np.random.default_rng(seed), draw)
            done: Array = transform(image=array)["image"]
        return done

    return jitter


def _torchvision(ranges: dict[str, float]) -> Jitter:
    import torch
    from torchvision.transforms.v2 import functional as F

    # Its ColorJitter draws from the global generator, which belongs to the training.
    changes = {
        "brightness": F.adjust_brightness,
        "contrast": F.adjust_contrast,
        "saturation": F.adjust_saturation,
        "hue": F.adjust_hue,
    }

    def jitter(array: Array, seed: int, draw: random.Random) -> Array:
        image = torch.from_numpy(array).permute(2, 0, 1)
        for name in draw.sample(list(changes), len(changes)):
            image = changes[name](image, draw.uniform(*_around(name, ranges[name])))
        done: Array = image.clamp(0, 1).permute(1, 2, 0).numpy()
        return done

    return jitter


def _around(name: str, value: float) -> tuple[float, float]:
    return (-value, value) if name == "hue" else (1 - value, 1 + value)
