"""What training learns from: paired or unpaired pictures, images, or toy points, by image number.

Image numbers count what training has seen: number n is picture n mod N of epoch n div N, epochs run
into one another without a short batch, and order, partner, crop and flip are drawn from the seed and n,
and from nothing else. So is what takes the turn of a picture that cannot be read: another one, drawn anew
for every such n; all other turns stay as they are.
"""

import functools
import hashlib
import itertools
import statistics
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from i2i import status
from i2i.config.settings import Config
from i2i.data.augment import Augment, as_float, make_augment
from i2i.data.broken import MOST_BROKEN
from i2i.data.cache import Channels, Item, Pictures
from i2i.data.folders import (
    Pair,
    Seen,
    odd_halves,
    refuse_missing,
    refuse_small,
)
from i2i.data.labels import Classes, Labels, decode_text, find_labels
from i2i.data.notes import Side, is_transparent, notes
from i2i.errors import ConfigError, DataError
from i2i.images import Array, Header
from i2i.images.listing import list_pictures
from i2i.words import name_some, show_count

SIDES: tuple[Literal["A", "B"], ...] = ("A", "B")
# The independent streams of random numbers that depend on a run's seed.
ORDER, AUGMENT, PARTNER, HISTORY, RANKS, SUBSTITUTE, DERIVE = range(7)

_TRIES = 20  # pictures in a row that cannot be read before there is no use in going on


def derive_seed(seed: int, stream: int, number: int) -> int:
    """Return a 64-bit seed for draw `number` of a stream, independent of all others."""
    return int(np.random.SeedSequence((seed, stream, number)).generate_state(1, np.uint64)[0]) >> 1


class Loaded(NamedTuple):
    """A batch of named tensors, one row an image number; and what had to be replaced in it, with the reason."""

    batch: dict[str, Tensor]
    broken: Mapping[str, str]


class TrainingSet(Dataset[dict[str, Tensor]]):
    """Data found and checked; `set[n]` is what image number n shows, named tensors."""

    pictures_named: ClassVar[tuple[str, ...]]
    """Which of the names are pictures, float (C, H, W) in [-1, 1]: what augmentation on the device may touch."""
    together: ClassVar[bool] = False
    """Whether the pictures of one image number are augmented with one draw."""
    names: list[str]
    """Of all pictures, in their order: what draws depend on."""
    lists: tuple[Sequence[Item], ...] = ()
    """What an image number shows one each of: pairs; or A's and B's pictures."""
    channels: tuple[Channels, ...] = ()
    """Of each list's items."""
    channels_setting: ClassVar[Literal["channels", "channels_b"]] = "channels"
    """Where there is one list: which setting gives them."""
    transparent: tuple[bool, ...] = ()
    """Of A and B, or of the one list: whether pictures have alpha that is not full everywhere."""
    epoch_images: int
    """Pictures of the longer side."""
    side_px: int
    """Median of the shorter sides of the pictures as networks see them, before the crop."""
    what: str
    """The data in words: 400 pairs."""
    labels: tuple[Labels | None, ...] = ()
    """Of each list, where its items have labels."""

    def __init__(self, config: Config):
        self.config = config
        self.seed = config.train.seed
        self.pictures = Pictures(config.data)
        self.seen = Seen()  # what headers say beside sizes
        self.notes: list[str] = []  # what the user should know of how the data was taken
        refuse_missing(config.data)
        if config.data.colour_jitter and not self.together:
            raise ConfigError("data.colour_jitter changes the inputs of pairs, and there are no pairs. Set it to 0.")

    def list_folder(self, folder: Path) -> list[Path]:
        """Return the pictures in a folder, and note what is left out; raises DataError."""
        with status.doing(f"Listing the pictures in {folder}"):
            return list_pictures(folder, self.notes, self.config.data.skip_broken, seen=status.count)

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        """Return what image number `number` shows."""
        return {name: torch.from_numpy(array) for name, array in self.show(number, {}).items()}

    def load(self, numbers: Sequence[int]) -> Loaded:
        """Return the batch of these image numbers; raises DataError when too many in a row cannot be read."""
        broken: dict[str, str] = {}
        shown = [self.show(number, broken) for number in numbers]
        # Stacked by numpy: torch would start threads of its own beside the training's.
        return Loaded({name: torch.from_numpy(np.stack([one[name] for one in shown])) for name in shown[0]}, broken)

    def show(self, number: int, broken: dict[str, str]) -> dict[str, Array]:
        """Return what image number `number` shows, by name; note what is `broken`, with the reason."""
        way = 1 if self.config.data.direction == "A2B" else -1  # augmentation takes the input first
        sides: list[Array] = []
        facts: dict[str, Array] = {}
        for index, place in enumerate(self.places(number)):
            draw = len(self.lists) * number + index
            arrays, place = self._take(index, place, draw, broken)
            facts |= self._facts(index, place)
            augmented = self.augment(arrays[::way], derive_seed(self.seed, AUGMENT, draw))
            sides += map(_to_unit, self.complete(augmented[::way], draw))
        return {**dict(zip(self.pictures_named, sides, strict=True)), **facts}

    def complete(self, pictures: tuple[Array, ...], draw: int) -> tuple[Array, ...]:
        """Return what an item shows, (H, W, C) each, given its augmented pictures; draw: of what is random in it."""
        return pictures

    def _facts(self, index: int, place: int) -> dict[str, Array]:
        """Return what is known of the item at `place` of a list, by names that say of which list, if there are two."""
        labels = self.labels[index] if self.labels else None
        if labels is None:
            return {}
        name, suffix = self.lists[index][place].name, f"_{'ab'[index]}" if len(self.lists) > 1 else ""
        facts = {f"label{suffix}": labels.numbers[name]} if labels.classes else {}
        return facts | ({f"text{suffix}": labels.texts[name]} if labels.texts else {})

    @property
    def classes(self) -> Classes:
        """The classes of each label set, with how many pictures each has: a fact that algorithms build on."""
        one, *others = [labels.classes for labels in self.labels if labels] or [{}]
        if any([*other] != [*one] or any([*other[name]] != [*one[name]] for name in one) for other in others):
            raise DataError("A and B have other classes. Give data.classes, so that both are read alike.")
        return one

    def label(self) -> None:
        """Find the labels of all items, once `lists` is there; raises DataError and ConfigError."""
        found = tuple(find_labels([item.name for item in items], self.config.data) for items in self.lists)
        self.labels = found if any(found) else ()

    def _take(self, index: int, place: int, draw: int, broken: dict[str, str]) -> tuple[tuple[Array, ...], int]:
        """Read from a list what is at `place`, or, while that is broken, at a place drawn for `draw`; and say where."""
        items, reason = self.lists[index], ""
        for candidate in self._candidates(place, draw, len(items)):
            try:
                return self.pictures.read(items[candidate], self.channels[index]), candidate
            except DataError as error:
                if isinstance(error.__cause__, MemoryError):  # which no picture is to blame for
                    raise MemoryError(str(error)) from error
                broken[str(items[candidate])] = reason = str(error)
        raise DataError(f"{_TRIES} pictures in a row cannot be read. The last one: {reason}")

    def _candidates(self, place: int, draw: int, count: int) -> Iterator[int]:
        yield place
        others = np.random.default_rng(derive_seed(self.seed, SUBSTITUTE, draw))
        yield from (int(other) for other in others.integers(count, size=_TRIES - 1))

    def places(self, number: int) -> tuple[int, ...]:
        """Return where in each list to find what image number `number` shows."""
        return (self.shuffled(number),)

    def files(self, number: int) -> tuple[Item, ...]:
        """Return what image number `number` is read from, unless that is broken."""
        return tuple(items[place] for items, place in zip(self.lists, self.places(number), strict=True))

    @property
    def digest(self) -> str:
        """A digest of all names, and of their labels where they have some."""
        labelled = [f"{name}={numbers.tolist()}" for one in self.labels if one for name, numbers in one.numbers.items()]
        texts = [decode_text(text) for one in self.labels if one for text in one.texts.values()]
        every = "\n".join([*self.names, *labelled, *texts])
        return hashlib.sha256(every.encode("utf-8", "surrogateescape")).hexdigest()

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

    def accept(self, sizes: Sequence[Header | None]) -> None:
        """Refuse pictures that the crop does not fit into, that kornia cannot stack, or that no cache holds.

        sizes: of all items of all lists, None for broken ones. Notes their scale, and what the user should know.
        """
        data = self.config.data
        items = [item for one in self.lists for item in one]
        broken = self._refuse_broken(items, sizes)
        if data.resize_px is None:
            advice = "Set data.resize_px to enlarge them, or lower data.crop_px."
            refuse_small(items, sizes, data.crop_px, f"the crop of {data.crop_px} px", advice)
        good = [size for size in sizes if size]
        if data.augment == "kornia" and self.config.train.step_images > 1 and len(set(good)) > 1:
            raise ConfigError("data.augment kornia needs pictures of one size. Use albumentations, or train.batch 1.")
        self.side_px = data.resize_px or int(statistics.median(min(size) for size in good))
        channels = [each for one, each in zip(self.lists, self.channels, strict=True) for _ in one]
        known = [(item, size, each) for item, size, each in zip(items, sizes, channels, strict=True) if size]
        taken = self.pictures.reserve(known, self.config.train.devices)
        if warning := odd_halves(items, sizes):
            self.notes.append(warning)
        checked = "decoded" if data.full_check else "checked by their headers (--full-check decodes them)"
        self.notes += [f"All {'others' if broken else 'files'} were {checked}.", *([taken] if taken else [])]
        sides = self._sides({item for item, _, _ in known})
        self.transparent = tuple(is_transparent(side, self.seen, data) for side in sides)
        self.notes += notes(sides, self.transparent, self.seen, data)

    def _sides(self, usable: AbstractSet[Item]) -> list[Side]:
        """Return the usable pictures of each side, by the setting that gives their channels."""
        found = []
        for one, channels in zip(self.lists, self.channels, strict=True):
            items = [item for item in one if item in usable]
            for side, count in zip(SIDES, channels, strict=False):
                found.append((count, [item.side(side) if isinstance(item, Pair) else item for item in items]))
        names = [(f"All pictures of {side}", f"data.channels_{side.lower()}") for side in SIDES]
        names = names if len(found) == 2 else [("All pictures", f"data.{self.channels_setting}")]
        return [Side(*name, *each) for name, each in zip(names, found, strict=True)]

    def _refuse_broken(self, items: Sequence[Item], sizes: Sequence[Header | None]) -> bool:
        """Whether some are broken, as a note then says; raises DataError where too many are, or all of a side."""
        rest = iter(sizes)
        for side, one in zip("AB", self.lists, strict=False):
            if not any(list(itertools.islice(rest, len(one)))):
                raise DataError(f"No picture of {side} can be used; the first of {len(one)} is {one[0]}. Mend them.")
        broken = [str(item) for item, size in zip(items, sizes, strict=True) if size is None]
        total = show_count(len(items), "pair" if self.together else "picture")
        count = f"{len(broken):,} of {total} {'is' if len(broken) == 1 else 'are'} broken"
        if len(broken) > MOST_BROKEN * len(items):
            head = f"{count}, where data.skip_broken does without {MOST_BROKEN:.0%} at most:"
            listed = name_some(head, broken, lines=True)
            raise DataError(f"{listed}\nMend or remove them; with data.skip_broken=false the reasons are named.")
        if broken:
            self.notes.append(name_some(f"{count} and skipped:", broken))
        return bool(broken)


@functools.lru_cache(maxsize=2)
def _order(seed: int, epoch: int, count: int) -> Array:
    return np.random.default_rng(derive_seed(seed, ORDER, epoch)).permutation(count)


def _to_unit(array: Array) -> Array:
    """Map what augmentation returns, (H, W, C), to float32 (C, H, W) in [-1, 1]."""
    planes = np.ascontiguousarray(array.transpose(2, 0, 1))  # first, since bytes are a quarter of floats
    values = as_float(planes)
    values *= 2
    values -= 1
    return values
