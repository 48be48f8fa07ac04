"""Augmentation of a pair, one draw for both sides, as in the pix2pix paper (section 6.2), or of one picture.

Resize so that the shorter side is `resize_px` (nothing random, so it can be cached), cut a random square
of `crop_px`, mirror half of the time; colour jitter, off in the presets, on the input of a pair only.
Albumentations jitters, torchvision where that is not installed; kornia (augment_batch) does all but the
resizing, on whole batches. Each depends on nothing but the seed it is called with, and touches no global
generator: the loader's thread draws while the training's does.
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

# Ranges at strength 1; hue is a fraction of the colour circle.
JITTER = {"brightness": 0.5, "contrast": 0.5, "saturation": 0.5, "hue": 0.1}


class Augment(Protocol):
    """(input, target) or (picture,) to the same augmented, (H, W, C) each.

    Integers stay integers; a jittered input is float32 in [0, 1].
    """

    def __call__(self, pictures: tuple[Array, ...], seed: int) -> tuple[Array, ...]:
        """Return all pictures under one draw."""


def resize(array: Array, shorter_px: int | None) -> Array:
    """Return (H, W, C), integers or float32 in [0, 1], with the shorter side at `shorter_px`; None leaves them.

    Bicubic with antialiasing: within two levels of Pillow's.
    """
    height, width = array.shape[:2]
    scale = (shorter_px or min(height, width)) / min(height, width)
    return resize_to(array, (round(height * scale), round(width * scale)))


def resize_to(array: Array, sides: tuple[int, int]) -> Array:
    """Return the same with sides of (height, width) pixels."""
    if sides == array.shape[:2]:
        return array
    import torch
    from torch.nn.functional import interpolate

    # torch knows uint8 and floats, and has a fast kernel for uint8.
    known = array if array.dtype == np.uint8 else array.astype(np.float32)
    # The batch's axis comes first, or torch does not see that channels are innermost, and returns them outermost.
    image = torch.from_numpy(np.require(known, requirements=["C", "W"])[None]).permute(0, 3, 1, 2)
    done = interpolate(image, sides, mode="bicubic", antialias=True)[0].permute(1, 2, 0).numpy()
    if array.dtype == np.uint8:
        return done
    done = done.clip(0, largest(array.dtype))
    return done if array.dtype == np.float32 else np.rint(done).astype(array.dtype)


def make_augment(settings: DataSettings) -> Augment:
    """Return all that is random in the augmentation of the settings; nothing with kornia, whose turn comes later."""
    if settings.augment == "kornia":
        return lambda pictures, seed: pictures
    crop, flip = settings.crop_px, settings.flip
    jitter = _make_jitter(settings) if settings.colour_jitter else None

    def augment(pictures: tuple[Array, ...], seed: int) -> tuple[Array, ...]:
        draw = random.Random(seed)
        top, left = (int((side - crop + 1) * draw.random()) for side in pictures[0].shape[:2])
        sides = [side[top : top + crop, left : left + crop] for side in pictures]
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
"""(H, W, 1 or 3) float32 in [0, 1], a seed and its stream of draws, to the same shape in other colours."""


def _make_jitter(settings: DataSettings) -> Jitter:
    ranges = jitter_ranges(settings.colour_jitter)
    missing = settings.augment == "auto" and not has_albumentations()
    return _torchvision(ranges) if settings.augment == "torchvision" or missing else _albumentations(ranges)


def _albumentations(ranges: dict[str, float]) -> Jitter:
    os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"  # it asks the network for its newest version at import otherwise
    import albumentations as A

    transform = A.ColorJitter(**{name: _around(name, value) for name, value in ranges.items()}, p=1.0)
    lock = threading.Lock()  # its generators are its own, and the threads of a loader share it

    def jitter(array: Array, seed: int, draw: random.Random) -> Array:
        with lock:
            transform.set_random_state(np.random.default_rng(seed), draw)
            done: Array = transform(image=array)["image"]
        return done

    return jitter


def _torchvision(ranges: dict[str, float]) -> Jitter:
    import torch
    from torchvision.transforms.v2 import functional as F

    # Its ColorJitter draws from the global generator, which is the training's.
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
