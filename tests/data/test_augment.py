"""Augmentation: one draw for both sides, whatever library draws."""

import importlib.util
import random

import numpy as np
import pytest
import torch
from PIL import Image

from i2i.config.settings import DataSettings
from i2i.data import augment as module
from i2i.data.augment import as_float, make_augment, resize
from i2i.data.augment_batch import BatchAugment
from tests.conftest import picture

LIBRARIES = ["albumentations", "torchvision", "kornia"]


def augment_pair(library, x, y, seed, **settings):
    """Run one pair through a library; kornia as the engine does, resized first and as a batch."""
    data = DataSettings(**{"resize_px": 40, "crop_px": 32, **settings, "augment": library})
    return augment(data, (x, y), seed)


def augment(data, pictures, seed):
    pictures = tuple(resize(picture, data.resize_px) for picture in pictures)
    pictures = tuple(as_float(picture) for picture in make_augment(data)(pictures, seed))
    if data.augment != "kornia":
        return pictures
    tensors = tuple(torch.from_numpy(side.transpose(2, 0, 1))[None] * 2 - 1 for side in pictures)
    return tuple((t[0].numpy().transpose(1, 2, 0) + 1) / 2 for t in BatchAugment(data)(tensors, seed))


@pytest.mark.parametrize("library", LIBRARIES)
def test_both_sides_get_one_draw(library):
    same = picture(50, 64)
    views = set()
    for seed in range(12):
        x, y = augment_pair(library, same, same, seed)
        assert x.shape == (32, 32, 3)
        assert x.dtype == np.float32
        assert 0 <= x.min() <= x.max() <= 1
        np.testing.assert_allclose(x, y, atol=1e-6)
        views.add(x.tobytes())
    assert len(views) == 12  # and every seed another view


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_draw_depends_on_the_seed_alone(library):
    x, y = picture(50, 64), picture(50, 64, 1, np.uint16, seed=3)
    first = augment_pair(library, x, y, 5, colour_jitter=0.5)
    augment_pair(library, x, y, 6, colour_jitter=0.5)
    torch.rand(3), np.random.rand(3)  # noqa: NPY002 - global generators must not matter
    again = augment_pair(library, x, y, 5, colour_jitter=0.5)
    for one, two in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, two)
    assert first[1].shape == (32, 32, 1)


@pytest.mark.parametrize("library", LIBRARIES)
def test_global_generators_are_left_alone(library):
    x = picture(50, 64)
    torch.manual_seed(0)
    before = torch.get_rng_state()
    augment_pair(library, x, x, 5, colour_jitter=0.5)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_picture_alone_is_augmented_as_in_a_pair(library):
    x = picture(50, 64)
    data = DataSettings(resize_px=40, crop_px=32, augment=library)
    for seed in range(4):
        (alone,) = augment(data, (x,), seed)
        np.testing.assert_allclose(alone, augment(data, (x, x), seed)[0], atol=1e-6)


@pytest.mark.parametrize("library", LIBRARIES)
def test_jitter_changes_the_input_alone(library):
    x = picture(50, 64, seed=2)
    plain = augment_pair(library, x, x, 7)
    jittered = augment_pair(library, x, x, 7, colour_jitter=0.8)
    np.testing.assert_allclose(jittered[1], plain[1], atol=1e-6)
    assert np.abs(jittered[0] - plain[0]).mean() > 0.01


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_every_kind_of_picture(library, channels, dtype):
    x, y = picture(50, 64, channels, dtype), picture(50, 64, 3, np.uint8)
    done, _ = augment_pair(library, x, y, 1, colour_jitter=0.5 if channels == 1 else 0)
    assert done.shape == (32, 32, channels)


@pytest.mark.parametrize("library", LIBRARIES)
def test_crops_and_flips_cover_what_they_should(library):
    """A picture whose values are its coordinates shows where each crop lay and whether it was mirrored."""
    side, crop = 8, 4
    rows, columns = np.mgrid[:side, :side] * 36
    x = np.stack([rows, columns, rows * 0], axis=2).astype(np.uint8)
    seen = set()
    for seed in range(400):
        done, _ = augment_pair(library, x, x, seed, resize_px=None, crop_px=crop)
        levels = np.rint(done * 255 / 36).astype(int)
        flipped = levels[0, 0, 1] > levels[0, -1, 1]
        seen.add((levels[0, 0, 0], min(levels[0, 0, 1], levels[0, -1, 1]), flipped))
    assert len(seen) == 5 * 5 * 2  # every corner, both ways: the draws of crop and flip are independent


def test_libraries_cut_and_mirror_alike():
    """Jitter has equal strength: the same ranges, drawn in another order."""
    x = picture(50, 64)
    plain = [augment_pair(library, x, x, 3)[0] for library in ("auto", "albumentations", "torchvision")]
    for other in plain[1:]:
        np.testing.assert_array_equal(plain[0], other)
    changes = [
        np.mean([np.abs(augment_pair(library, x, x, k, colour_jitter=1)[0] - plain[0]).mean() for k in range(20)])
        for library in ("albumentations", "torchvision")
    ]
    assert changes[0] == pytest.approx(changes[1], rel=0.5)


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("height", [286, 640])
def test_resizing_is_bicubic_as_pillow_does_it(channels, dtype, height):
    x = np.concatenate([picture(300, 420, channels, np.uint8, seed) for seed in (0, 5)])
    planes = [Image.fromarray(np.ascontiguousarray(x[:, :, k])) for k in range(channels)]  # each by itself, as alpha is
    expected = np.stack(
        [plane.resize((height * 420 // 600, height), Image.Resampling.BICUBIC) for plane in planes], axis=2
    )
    done = resize(x if dtype == np.uint8 else x.astype(np.uint16) * 257, height * 420 // 600)
    assert done.dtype == dtype
    levels = done.astype(float) / (1 if dtype == np.uint8 else 257)
    difference = np.abs(levels - expected)
    assert difference.mean() < 0.3
    assert dtype == np.uint16 or difference.max() <= 1  # 8-bit resizers, Pillow's too, clip between rows and columns


def test_auto_falls_back_to_torchvision(monkeypatch):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        module.importlib.util, "find_spec", lambda name: None if name == "albumentations" else find_spec(name)
    )
    x = picture(50, 64)
    settings = {"resize_px": 40, "crop_px": 32, "colour_jitter": 0.5}
    fallback = make_augment(DataSettings(**settings))((x,), 3)[0]
    torchvision = make_augment(DataSettings(**settings, augment="torchvision"))((x,), 3)[0]
    np.testing.assert_array_equal(fallback, torchvision)


@pytest.mark.parametrize(("channels", "dtype"), [(1, np.uint8), (4, np.uint8), (3, np.uint16)])
def test_crops_and_flips_are_those_of_albumentations(channels, dtype):
    """Compare with albumentations' own Compose, which shares one pair of generators among all transforms."""
    import albumentations as A

    x, y = picture(50, 64, channels, dtype), picture(50, 64, seed=3)
    both = A.Compose([A.RandomCrop(32, 32), A.HorizontalFlip()], additional_targets={"target": "image"})
    for seed in range(8):
        shared = np.random.default_rng(seed), random.Random(seed)
        for transform in both.transforms:
            transform.set_random_state(*shared)
        done = both(image=as_float(x), target=y)
        expected = [as_float(side) for side in done.values()]
        for one, two in zip(augment_pair("auto", x, y, seed, resize_px=None), expected, strict=True):
            np.testing.assert_array_equal(one, two)
