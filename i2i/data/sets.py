"""What training learns from: paired or unpaired pictures, images, or toy points, by image number.

Image numbers count what training has seen: number n is picture n mod N of epoch n div N, epochs run
into one another without a short batch, and order, partner, crop and flip are drawn from the seed and n,
and from nothing else.
"""

import functools
import hashlib
import statistics
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from i2i.data import toy
from i2i.data.augment import Augment, make_augment
from i2i.data.folders import (
    Pair,
    Picture,
    check_pairs,
    check_pictures,
    find_images,
    find_pairs,
    find_sides,
    read_pair,
    read_picture,
    refuse_small,
)
from i2i.errors import ConfigError, DataError, UsageError
from i2i.images import Array, Header, to_channels
from i2i.settings import Config, DataKind, DataSettings, by_direction

# The independent streams of random numbers that hang on a run's seed.
ORDER, AUGMENT, PARTNER, HISTORY, RANKS = range(5)


def derive_seed(seed: int, stream: int, number: int) -> int:
    """Return a 64-bit seed for draw `number` of a stream, independent of all others."""
    return int(np.random.SeedSequence((seed, stream, number)).generate_state(1, np.uint64)[0]) >> 1


class TrainingSet(Dataset[tuple[Tensor, ...]]):
    """Data found and checked; `set[n]` is what image number n shows, one float tensor in [-1, 1] a side."""

    together: ClassVar[bool] = False
    """Whether the sides of one image number are augmented with one draw."""
    names: list[str]
    """Of all pictures, in their order: what draws depend on."""
    epoch_images: int
    """Pictures of the longer side."""
    side_px: int
    """Median of the shorter sides of the pictures as networks see them, before the crop."""
    what: str
    """The data in words: 400 pairs."""
    note: str = ""
    """What the user should know of how it was taken."""

    def __init__(self, config: Config):
        self.config = config
        self.seed = config.train.seed
        if not config.data.path and not config.data.toy:
            raise UsageError("No data was given. Add --data FOLDER.")
        if config.data.colour_jitter and not self.together:
            raise ConfigError("data.colour_jitter changes the inputs of pairs, and here are none. Set it to 0.")

    @abstractmethod
    def __getitem__(self, number: int) -> tuple[Tensor, ...]:
        """Return what image number `number` shows."""

    @abstractmethod
    def files(self, number: int) -> tuple[Picture | Pair, ...]:
        """Return what image number `number` is read from."""

    @property
    def digest(self) -> str:
        """A digest of all names."""
        return hashlib.sha256("\n".join(self.names).encode()).hexdigest()

    def shuffled(self, number: int) -> int:
        """Return the position of image number `number` in a list of the length of an epoch, in its epoch's order."""
        epoch, position = divmod(number, self.epoch_images)
        return int(_order(self.seed, epoch, self.epoch_images)[position])

    @functools.cached_property
    def augment(self) -> Augment:
        """Made where it is first used: in the worker, to which no closure can be sent."""
        return make_augment(self.config.data)

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what a worker makes for itself."""
        return {name: value for name, value in self.__dict__.items() if name != "augment"}

    def refuse(self, items: Sequence[Pair] | Sequence[Picture], sizes: Sequence[Header]) -> None:
        """Refuse pictures that the crop does not fit into, or that kornia cannot stack; note their scale."""
        data = self.config.data
        if data.resize_px is None:
            advice = "Set data.resize_px to enlarge them, or lower data.crop_px."
            refuse_small(items, sizes, data.crop_px, f"the crop of {data.crop_px} px", advice)
        if data.augment == "kornia" and self.config.train.step_images > 1 and len(set(sizes)) > 1:
            raise ConfigError("data.augment kornia needs pictures of one size. Use albumentations, or train.batch 1.")
        self.side_px = data.resize_px or int(statistics.median(min(size) for size in sizes))


class PairSet(TrainingSet):
    """Pairs: (a, b), each (C, H, W), under one draw."""

    together = True

    def __init__(self, config: Config):
        super().__init__(config)
        self.pairs = find_pairs(config.data.path, "train")
        self.names = [pair.name for pair in self.pairs]
        self.epoch_images = len(self.pairs)
        self.what = f"{len(self.pairs)} pairs"
        self.refuse(self.pairs, check_pairs(self.pairs))

    def __getitem__(self, number: int) -> tuple[Tensor, ...]:
        """Return the pair with image number `number`, augmented."""
        data = self.config.data
        (pair,) = self.files(number)
        a, b = read_pair(pair)
        a, b = to_channels(a, data.channels_a), to_channels(b, data.channels_b)
        x, y = self.augment(by_direction(data.direction, a, b), derive_seed(self.seed, AUGMENT, number))
        return tuple(_tensor(side) for side in by_direction(data.direction, x, y))

    def files(self, number: int) -> tuple[Pair]:
        """Return the pair."""
        return (self.pairs[self.shuffled(number)],)


class UnpairedSet(TrainingSet):
    """Pictures of two sides that do not belong together: (a, b), each (C, H, W), each under its own draw.

    An epoch shows every picture of the longer side once, each with a partner drawn from the shorter one.
    """

    def __init__(self, config: Config):
        super().__init__(config)
        self.sides = find_sides(config.data.path, "train", config.data.disjoint)
        self.names = [f"{side}:{picture.name}" for side, one in zip("AB", self.sides, strict=True) for picture in one]
        self.epoch_images = max(map(len, self.sides))
        self.what = " and ".join(f"{len(one)} pictures of {side}" for side, one in zip("AB", self.sides, strict=True))
        both = [*self.sides[0], *self.sides[1]]
        self.refuse(both, check_pictures(both))

    def __getitem__(self, number: int) -> tuple[Tensor, ...]:
        """Return a picture of each side."""
        data = self.config.data
        tensors = []
        for index, picture in enumerate(self.files(number)):
            array = to_channels(read_picture(picture), (data.channels_a, data.channels_b)[index])
            (array,) = self.augment((array,), derive_seed(self.seed, AUGMENT, 2 * number + index))
            tensors.append(_tensor(array))
        return tuple(tensors)

    def files(self, number: int) -> tuple[Picture, Picture]:
        """Return the picture of the longer side, in its order, and the drawn partner, as (a, b)."""
        a, b = map(len, self.sides)
        partner = int(np.random.default_rng(derive_seed(self.seed, PARTNER, number)).integers(min(a, b)))
        places = (self.shuffled(number), partner) if a >= b else (partner, self.shuffled(number))
        return self.sides[0][places[0]], self.sides[1][places[1]]


class ImageSet(TrainingSet):
    """Pictures without sides: (real,), (C, H, W)."""

    def __init__(self, config: Config):
        super().__init__(config)
        self.pictures = find_images(config.data.path, "train", config.data.side)
        if len(self.pictures) < 2:
            raise DataError(f"{self.pictures[0]} is the only picture there; a GAN learns what many have in common.")
        self.names = [picture.name for picture in self.pictures]
        self.epoch_images = len(self.pictures)
        self.what = f"{len(self.pictures)} pictures"
        sizes = check_pictures(self.pictures)
        self.refuse(self.pictures, sizes)
        if not config.data.side and all(size.width == 2 * size.height for size in sizes):
            self.note = "All pictures are twice as wide as high. If they are A|B files, choose a side with data.side."

    def __getitem__(self, number: int) -> tuple[Tensor, ...]:
        """Return the picture with image number `number`, augmented."""
        (picture,) = self.files(number)
        array = to_channels(read_picture(picture), self.config.data.channels)
        (array,) = self.augment((array,), derive_seed(self.seed, AUGMENT, number))
        return (_tensor(array),)

    def files(self, number: int) -> tuple[Picture]:
        """Return the picture."""
        return (self.pictures[self.shuffled(number)],)


class PointSet(TrainingSet):
    """Points of a toy distribution, drawn without end: (point,), (2,)."""

    epoch_images = toy.BLOCK

    def __init__(self, config: Config):
        super().__init__(config)
        assert config.data.toy is not None
        self.toy = config.data.toy
        self.names = [self.toy]
        self.side_px = 0
        self.what = f"points of the {self.toy}"

    def __getitem__(self, number: int) -> tuple[Tensor, ...]:
        """Return point number `number`."""
        block, place = divmod(number, toy.BLOCK)
        return (torch.from_numpy(_points(self.toy, derive_seed(self.seed, ORDER, block))[place]),)

    def files(self, number: int) -> tuple[Picture, ...]:
        """Return nothing: points are drawn."""
        return ()


# What not every kind of data reads; set where it is not read, it would be silently without effect.
READ_BY: dict[str, tuple[DataKind, ...]] = {
    "disjoint": ("unpaired",),
    "side": ("images",),
    "channels": ("images",),
    "channels_a": ("paired", "unpaired"),
    "channels_b": ("paired", "unpaired"),
}


def make_set(kind: DataKind, config: Config) -> TrainingSet:
    """Find and check the training data of a config; raises ConfigError, DataError and UsageError."""
    for name, kinds in READ_BY.items():
        if kind not in kinds and getattr(config.data, name) != DataSettings.model_fields[name].default:
            raise ConfigError(
                f"data.{name} is {getattr(config.data, name)}, but {config.algorithm} learns from {kind} data, which "
                "has no use for it. Leave it out."
            )
    if config.data.toy:
        if kind != "images":
            raise ConfigError(f"data.toy is {config.data.toy}, but {config.algorithm} learns from pictures.")
        if config.data.path:
            raise ConfigError(f"data.toy is {config.data.toy}, which takes no data folder. Leave one of the two out.")
        return PointSet(config)
    if kind == "paired":
        return PairSet(config)
    return UnpairedSet(config) if kind == "unpaired" else ImageSet(config)


@functools.lru_cache(maxsize=2)
def _order(seed: int, epoch: int, count: int) -> Array:
    return np.random.default_rng(derive_seed(seed, ORDER, epoch)).permutation(count)


@functools.lru_cache(maxsize=2)
def _points(name: str, seed: int) -> Array:
    return toy.draw(name, toy.BLOCK, np.random.default_rng(seed))


def _tensor(array: Array) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array.transpose(2, 0, 1))).mul_(2).sub_(1)
