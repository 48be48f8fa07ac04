"""Training data by image number: paired or unpaired pictures, single images, or toy points.

Image numbers count what a training has seen: number n is item n mod N of epoch n div N. Epochs follow one
another without a short batch. Order, partner, crop and flip depend on the seed and n alone. So does the
substitute of a picture that cannot be read: another one, drawn for each such n; all other numbers keep
their items.
"""

import functools
import hashlib
import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from i2i import status
from i2i.config.settings import Config
from i2i.data.augment import Augment, as_float, make_augment
from i2i.data.broken import refuse_too_many_broken
from i2i.data.cache import Channels, Pictures
from i2i.data.checking import Seen, odd_halves, refuse_sizes
from i2i.data.folders import refuse_missing
from i2i.data.items import Item
from i2i.data.labels import LEAST, Classes, Labels, common_classes, decode_text, find_labels
from i2i.data.notes import enlarged, is_transparent, notes, sides_of
from i2i.data.seeds import AUGMENT, ORDER, SUBSTITUTE, derive_seed
from i2i.errors import ConfigError, DataError
from i2i.images import Array, Header
from i2i.images.listing import list_pictures

_TRIES = 20  # pictures in a row that cannot be read before giving up


class Loaded(NamedTuple):
    """A batch of named tensors, a row for each image number; and which pictures had to be replaced, with the reason."""

    batch: dict[str, Tensor]
    broken: Mapping[str, str]


class TrainingSet(Dataset[dict[str, Tensor]]):
    """The data of a training, found and checked; `set[n]` is image number n as named tensors."""

    own_names: ClassVar[tuple[str, ...]]
    """The names of the images of an image number."""
    valid_names: ClassVar[tuple[str, ...]] = ()
    """Of each list, where its images have data, if they may be without; (1, H, W), 1 or 0."""
    image_names: tuple[str, ...]
    """Which tensors are images, float (C, H, W) in [-1, 1]; augmentation on the device changes only these."""
    together: ClassVar[bool] = False
    """Whether all images of an image number are augmented with the same draw."""
    names: list[str]
    """Of all items, in order; draws depend on it."""
    lists: tuple[Sequence[Item], ...] = ()
    """An image number shows one item of each: one list of pairs or pictures, or those of A and of B."""
    channels: tuple[Channels, ...] = ()
    """Of the items of each list."""
    channels_setting: ClassVar[Literal["channels", "channels_b"]] = "channels"
    """Which setting gives them, if there is one list of pictures."""
    transparent: tuple[bool, ...] = ()
    """Of A and B, or of the one list: whether pictures have alpha below the full value anywhere."""
    epoch_images: int
    """The length of an epoch: of the longer list."""
    side_px: int
    """Median of the shorter sides of the images at the scale of training, before the crop."""
    what: str
    """The data in words: 400 pairs."""
    labels: tuple[Labels | None, ...] = ()
    """Of the items of each list, if they have labels."""

    def __init__(self, config: Config, split: str = "train"):
        """Find and check the data of a split."""
        self.config, self.split, self.seed = config, split, config.train.seed
        self.image_names = self.own_names
        self.pictures = Pictures(config.data)
        self.seen = Seen()  # what headers say besides sizes
        self.notes: list[str] = []  # for the user, on how the data was understood
        refuse_missing(config.data)
        if config.data.colour_jitter and not self.together:
            raise ConfigError("data.colour_jitter changes the inputs of pairs, and there are no pairs. Set it to 0.")

    def list_folder(self, folder: Path) -> list[Path]:
        """Return the pictures in a folder, and note which files are left out; raises DataError."""
        with status.doing(f"Listing the pictures in {folder}"):
            return list_pictures(folder, self.notes, self.config.data.skip_broken, seen=status.count)

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        """Return image number `number`."""
        return {name: torch.from_numpy(array) for name, array in self.show(number, {}).items()}

    def load(self, numbers: Sequence[int]) -> Loaded:
        """Return the batch of these image numbers; raises DataError when too many in a row cannot be read."""
        broken: dict[str, str] = {}
        shown = [self.show(number, broken) for number in numbers]
        # Stacked by numpy: torch would start more threads beside those of the training.
        return Loaded({name: torch.from_numpy(np.stack([one[name] for one in shown])) for name in shown[0]}, broken)

    def show(self, number: int, broken: dict[str, str]) -> dict[str, Array]:
        """Return image number `number` as named arrays; add what cannot be read to `broken`, with the reason."""
        way = 1 if self.config.data.direction_of_pairs == "A2B" else -1  # augmentation takes the input first
        sides, valid = list[Array](), list[Array]()
        facts: dict[str, Array] = {}
        for index, place in enumerate(self.places(number)):
            draw, count = len(self.lists) * number + index, len(self.channels[index])
            arrays, place = _taken(self, index, place, draw, broken)
            facts |= self._facts(index, place)
            ordered = (*arrays[:count][::way], *arrays[count:])
            augmented = self.augment(ordered, derive_seed(self.seed, AUGMENT, draw))
            sides += map(_to_unit, self.complete(augmented[:count][::way], draw))
            valid += (_planes(one) for one in augmented[count:])
        return {**dict(zip(self.image_names, [*sides, *valid], strict=True)), **facts}

    def read(self, index: int, place: int) -> tuple[Array, ...]:
        """Read the images of the item at `place` of a list, as `Pictures.read` does; raises DataError."""
        return self.pictures.read(self.lists[index][place], self.channels[index])

    def complete(self, pictures: tuple[Array, ...], draw: int) -> tuple[Array, ...]:
        """Return what an item shows, (H, W, C) each, given its augmented pictures; draw: of what is random in it."""
        return pictures

    def _facts(self, index: int, place: int) -> dict[str, Array]:
        """Return label and text of the item at `place` of a list; their names tell the list, if there are two."""
        labels = self.labels[index] if self.labels else None
        suffix = f"_{'ab'[index]}" if len(self.lists) > 1 else ""
        return labels.of(self.lists[index][place].name, suffix) if labels else {}

    @property
    def classes(self) -> Classes:
        """The classes of each label set, and how many pictures each has."""
        return common_classes([labels for labels in self.labels if labels])

    def label(self) -> None:
        """Find the labels of all items, once `lists` is set; raises DataError and ConfigError."""
        least = LEAST if self.split == "train" else 0
        found = tuple(find_labels([item.name for item in items], self.config.data, least) for items in self.lists)
        self.labels = found if any(found) else ()

    def places(self, number: int) -> tuple[int, ...]:
        """Return the place in each list of the items of image number `number`."""
        return (self.shuffled(number),)

    def files(self, number: int) -> tuple[Item, ...]:
        """Return the items of image number `number`, before any substitute."""
        return tuple(items[place] for items, place in zip(self.lists, self.places(number), strict=True))

    @property
    def digest(self) -> str:
        """A digest of all names and labels."""
        labelled = [f"{name}={numbers.tolist()}" for one in self.labels if one for name, numbers in one.numbers.items()]
        texts = [decode_text(text) for one in self.labels if one for text in one.texts.values()]
        every = "\n".join([*self.names, *labelled, *texts])
        return hashlib.sha256(every.encode("utf-8", "surrogateescape")).hexdigest()

    def shuffled(self, number: int) -> int:
        """Return the place of image number `number` in a list as long as an epoch, in the random order of its epoch."""
        epoch, position = divmod(number, self.epoch_images)
        return int(_order(self.seed, epoch, self.epoch_images)[position])

    @functools.cached_property
    def augment(self) -> Augment:
        """Made on first use, in the worker, since a closure cannot be sent there."""
        return make_augment(self.config.data)

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what each worker makes for itself."""
        return {name: value for name, value in self.__dict__.items() if name != "augment"}

    def accept(self, sizes: Sequence[Header | None]) -> None:
        """Refuse pictures that the crop, kornia or the cache cannot take; note their scale and what else was found.

        sizes: of all items of all lists, None for broken ones.
        """
        config, data = self.config, self.config.data
        items = [item for one in self.lists for item in one]
        if self.seen.nodata and self.valid_names:
            self.pictures.masked = True
            self.image_names = (*self.own_names, *self.valid_names)
        broken = refuse_too_many_broken(self.lists, sizes, "pair" if self.together else "picture")
        refuse_sizes(items, sizes, config)
        self.side_px = data.resize_px or int(statistics.median(min(size) for size in sizes if size))
        channels = [each for one, each in zip(self.lists, self.channels, strict=True) for _ in one]
        known = [(item, size, each) for item, size, each in zip(items, sizes, channels, strict=True) if size]
        cached = self.pictures.reserve(known, config.train.devices)
        self.notes += filter(None, (odd_halves(items, sizes), enlarged(sizes, data)))
        checked = "decoded" if data.full_check else "checked by their headers (--full-check decodes them)"
        self.notes += [*broken, f"All {'others' if broken else 'files'} were {checked}.", *([cached] if cached else [])]
        sides = sides_of(self.lists, self.channels, {item for item, _, _ in known}, self.channels_setting)
        self.transparent = tuple(is_transparent(side, self.seen, data) for side in sides)
        self.notes += notes(sides, self.transparent, self.seen, data)


def _taken(
    data: TrainingSet, index: int, place: int, draw: int, broken: dict[str, str]
) -> tuple[tuple[Array, ...], int]:
    """Read the item at `place` of a list, or a substitute drawn for `draw` if it is broken; return its place."""
    items, reason = data.lists[index], ""
    for candidate in _candidates(data.seed, place, draw, len(items)):
        try:
            return data.read(index, candidate), candidate
        except DataError as error:
            if isinstance(error.__cause__, MemoryError):  # not the picture's fault
                raise MemoryError(str(error)) from error
            broken[str(items[candidate])] = reason = str(error)
    raise DataError(f"{_TRIES} pictures in a row cannot be read. The last one: {reason}")


def _candidates(seed: int, place: int, draw: int, count: int) -> Iterator[int]:
    """Yield `place`, then the places of its substitutes."""
    yield place
    others = np.random.default_rng(derive_seed(seed, SUBSTITUTE, draw))
    yield from (int(other) for other in others.integers(count, size=_TRIES - 1))


@functools.lru_cache(maxsize=2)
def _order(seed: int, epoch: int, count: int) -> Array:
    return np.random.default_rng(derive_seed(seed, ORDER, epoch)).permutation(count)


def _planes(array: Array) -> Array:
    """Map an augmented image, (H, W, C), to float32 (C, H, W) in [0, 1]."""
    return as_float(np.ascontiguousarray(array.transpose(2, 0, 1)))  # transposed as bytes: a quarter of the memory


def _to_unit(array: Array) -> Array:
    """Map an augmented image, (H, W, C), to float32 (C, H, W) in [-1, 1]."""
    values = _planes(array) * np.float32(2)  # not in place: one float channel may still be the cache's own
    values -= 1
    return values
