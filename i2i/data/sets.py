"""The kinds of training data, and the table of them."""

import functools
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from i2i.config.settings import Config, DataKind, DataSettings, by_direction
from i2i.data import toy
from i2i.data.augment import as_float
from i2i.data.checking import check_pairs, check_pictures
from i2i.data.derive import derive
from i2i.data.folders import find_clips, find_images, find_pairs, find_sides, in_time
from i2i.data.items import Item
from i2i.data.labels import FOLDERS, some_texts
from i2i.data.recolouring import with_recolouring
from i2i.data.scales import with_scales
from i2i.data.seeds import DERIVE, ORDER, PARTNER, derive_seed
from i2i.data.training_set import TrainingSet
from i2i.errors import ConfigError, DataError
from i2i.images import Array, Header, channel_words, to_channels
from i2i.words import show_count


class PairSet(TrainingSet):
    """Pairs: a and b, each (C, H, W), augmented by the same draw."""

    own_names = ("a", "b")
    valid_names: ClassVar[tuple[str, ...]] = ("valid",)
    together = True

    def __init__(self, config: Config, split: str = "train"):
        super().__init__(config, split)
        pairs = in_time(config.data, lambda paths: find_pairs(paths, split, self.list_folder, config.data.layouts))
        self.lists, self.channels = (pairs,), (config.data.side_channels,)
        self.names = [pair.name for pair in pairs]
        self.epoch_images = len(pairs)
        self.what = show_count(len(pairs), "pair")
        self.label()
        self.accept(check_pairs(pairs, config.data, seen=self.seen))


class ClipSet(PairSet):
    """Frames in order: a and b, each (data.clip_frames * C, H, W), frame after frame, all augmented by the same draw.

    Image number n shows the frames from one pair of its epoch on, or the last ones of its clip.
    """

    def accept(self, sizes: Sequence[Header | None]) -> None:
        """Find the clips, besides; refuse those that are too short, or that have several sizes."""
        if self.config.data.colour_jitter:
            raise ConfigError(
                "data.colour_jitter changes single pictures, and data.clip_frames takes several. Set it to 0."
            )
        super().accept(sizes)
        clips = find_clips(self.names, sizes, self.config.data.clip_frames)
        self.firsts = [min(place, clip.stop - self.config.data.clip_frames) for clip in clips for place in clip]
        self.what = f"{show_count(len(self.names), 'frame')} of {show_count(len(clips), 'clip')}"

    def read(self, index: int, place: int) -> tuple[Array, ...]:
        """Read the frames that begin at `place`, on the side of A and on that of B."""
        first = self.firsts[place]
        frames = [super(ClipSet, self).read(index, first + one) for one in range(self.config.data.clip_frames)]
        return tuple(map(_joined, zip(*frames, strict=True)))


def _joined(frames: tuple[Array, ...]) -> Array:
    """Return frames (H, W, C) behind one another along the channels, in their type if they have the same."""
    alike = len({frame.dtype for frame in frames}) == 1
    return np.concatenate(frames if alike else [as_float(frame) for frame in frames], axis=2)


class UnpairedSet(TrainingSet):
    """Unpaired pictures of two sides: a and b, each (C, H, W), augmented by draws of their own.

    An epoch shows every picture of the larger side once, each with a partner drawn from the smaller one.
    """

    own_names, valid_names = ("a", "b"), ("valid_a", "valid_b")

    def __init__(self, config: Config, split: str = "train"):
        super().__init__(config, split)
        disjoint = config.data.disjoint and split == "train"
        layouts = config.data.layouts
        sides = in_time(config.data, lambda paths: find_sides(paths, split, disjoint, self.list_folder, layouts))
        self.lists = sides
        self.channels = tuple((count,) for count in config.data.side_channels)
        self.names = [f"{side}:{picture.name}" for side, one in zip("AB", self.lists, strict=True) for picture in one]
        self.epoch_images = max(map(len, self.lists))
        self.what = " and ".join(
            f"{show_count(len(one), 'picture')} of {side}" for side, one in zip("AB", self.lists, strict=True)
        )
        self.label()
        self.accept(check_pictures([*sides[0], *sides[1]], config.data, seen=self.seen))

    def places(self, number: int) -> tuple[int, ...]:
        """Return the places (a, b) of the larger side's next picture and of its drawn partner."""
        a, b = map(len, self.lists)
        partner = int(np.random.default_rng(derive_seed(self.seed, PARTNER, number)).integers(min(a, b)))
        return (self.shuffled(number), partner) if a >= b else (partner, self.shuffled(number))


class ImageSet(TrainingSet):
    """Pictures without sides: image, (C, H, W)."""

    own_names: ClassVar[tuple[str, ...]] = ("image",)
    valid_names: ClassVar[tuple[str, ...]] = ("valid",)

    def __init__(self, config: Config, split: str = "train"):
        super().__init__(config, split)
        derived = self.channels_setting == "channels_b"
        layout = config.data.layouts[1] if derived else config.data.layout
        pictures = in_time(
            config.data, lambda paths: find_images(paths, split, config.data.side, self.list_folder, layout)
        )
        self.lists, self.channels = (pictures,), ((layout.channels or 0,),)
        self.names = [picture.name for picture in pictures]
        self.epoch_images = len(pictures)
        self.what = show_count(len(pictures), "picture")
        self.label()
        sizes = check_pictures(pictures, config.data, seen=self.seen)
        self.accept(sizes)
        if len(pictures) == 1 and sizes[0] and not _has_crops(sizes[0], config.data):
            raise DataError(
                f"{pictures[0]} is the only picture, and no larger than a crop. Training needs at least two, or a "
                "larger one."
            )
        if config.data.side and len(config.data.path) == 2:
            side, place = config.data.side, config.data.path["AB".index(config.data.side)]
            self.notes.append(f"The two data folders are A's and B's; data.side is {side}: only {place} is read.")
        if not config.data.side and all(size.width == 2 * size.height for size in sizes if size):
            self.notes.append(
                "All pictures are twice as wide as high. If they are A|B files, choose a side with data.side."
            )


def _has_crops(size: Header, data: DataSettings) -> bool:
    """Whether crops of a picture, resized as the data says, differ."""
    shorter, longer = sorted((size.height, size.width))
    return longer * (data.resize_px or shorter) / shorter > data.crop_px


class DerivedSet(ImageSet):
    """Pairs from single pictures: b is the picture, a is derived from it; each (C, H, W)."""

    own_names = ("a", "b")
    channels_setting = "channels_b"

    def __init__(self, config: Config, split: str = "train"):
        super().__init__(config, split)
        self.transparent *= 2  # both show the background of the picture

    def complete(self, pictures: tuple[Array, ...], draw: int) -> tuple[Array, ...]:
        """Return the input, derived with a draw of its own, and the target."""
        data, (target,) = self.config.data, pictures
        assert data.derive is not None
        derived = derive(target, data.derive, derive_seed(self.seed, DERIVE, draw))
        return to_channels(derived, data.side_channels[0]), target


class PointSet(TrainingSet):
    """An endless supply of points from a toy distribution: image, (2,)."""

    own_names = ()
    epoch_images = toy.BLOCK

    def __init__(self, config: Config):
        super().__init__(config)
        assert config.data.toy is not None
        self.toy = config.data.toy
        self.names = [self.toy]
        self.side_px = 0
        self.what = f"points of the {self.toy}"

    def show(self, number: int, broken: dict[str, str]) -> dict[str, Array]:
        """Return point number `number`."""
        block, place = divmod(number, toy.BLOCK)
        return {"image": _points(self.toy, derive_seed(self.seed, ORDER, block))[place]}

    def files(self, number: int) -> tuple[Item, ...]:
        """Return nothing: points are drawn."""
        return ()


# Settings that only some kinds of data read. For others they are refused: they would have no effect.
READ_BY: dict[str, tuple[str, ...]] = {
    "disjoint": ("unpaired",),
    "side": ("images", "derived"),
    "channels": ("images",),
    "channels_a": ("paired", "unpaired", "derived"),
    "channels_b": ("paired", "unpaired", "derived"),
    "select_a": ("paired", "unpaired"),
    "select_b": ("paired", "unpaired"),
    "plane_a": ("paired", "unpaired"),
    "plane_b": ("paired", "unpaired"),
    "stack_a": ("paired", "unpaired"),
    "stack_b": ("paired", "unpaired"),
    "meaning_a": ("paired", "unpaired"),
    "meaning_b": ("paired", "unpaired"),
    "values_a": ("paired", "unpaired"),
    "values_b": ("paired", "unpaired"),
    "nodata_a": ("paired", "unpaired"),
    "clip_frames": ("paired",),
    "nodata_b": ("paired", "unpaired", "derived"),
    "normalise_a": ("paired", "unpaired"),
    "normalise_b": ("paired", "unpaired"),
    "derive": ("derived",),
}


SETS: dict[str, type[TrainingSet]] = {
    "paired": PairSet,
    "derived": DerivedSet,
    "unpaired": UnpairedSet,
    "images": ImageSet,
}
"""By what an algorithm learns from; `data.derive` turns paired into derived."""


def make_set(kind: DataKind, config: Config, split: str = "train") -> TrainingSet:
    """Find and check the data of a config; raises ConfigError, DataError and UsageError.

    split: another than train for what compares with it; never to train on. Points have none.
    """
    refuse_settings(kind, config)
    config = with_scales(config)
    if config.data.toy:
        return PointSet(config)
    return (ClipSet if config.data.clip_frames > 1 else SETS[_source(kind, config)])(config, split)


def refuse_settings(kind: DataKind, config: Config) -> None:
    """Raise ConfigError for settings of the data that would have no effect, or do not fit one another."""
    data, source = config.data, _source(kind, config)
    for name, readers in READ_BY.items():
        value = getattr(data, name)
        if source not in readers and value != DataSettings.model_fields[name].get_default(call_default_factory=True):
            shown = value.name if name == "derive" else value
            raise ConfigError(
                f"data.{name} is {shown}, but {config.algorithm} learns from {source} data, which does not read it. "
                "Leave it out."
            )
    if data.derive and (reason := data.derive.misfit(data)):  # where inputs are derived at all
        raise ConfigError(f"data.derive.name is {data.derive.name}, which {reason}.")
    inputs = by_direction(data.direction_of_pairs, *data.layouts)[0]
    if data.colour_jitter and inputs.bands:
        raise ConfigError(
            f"data.colour_jitter changes colours, and the inputs are {channel_words(len(inputs.bands), inputs.bands)}. "
            "Set it to 0."
        )
    if data.text and data.labels in (None, FOLDERS):
        raise ConfigError(
            f"data.text is {data.text}, which is a column of a CSV file, but data.labels names no such file."
        )
    if data.classes and not data.labels:
        raise ConfigError(
            "data.classes is set, but data.labels is not. Set data.labels to folders or a CSV file, or leave both out."
        )
    if data.toy and kind != "images":
        raise ConfigError(f"data.toy is {data.toy}, but {config.algorithm} learns from pictures.")
    if data.toy and (data.path or data.labels):
        other = "labels" if data.labels else "folder"
        raise ConfigError(f"data.toy is {data.toy}, which needs no data {other}. Leave one of the two out.")


def _source(kind: DataKind, config: Config) -> str:
    return "derived" if kind == "paired" and config.data.derive else kind


def with_facts(config: Config, data: TrainingSet) -> Config:
    """Return `config` completed with what is found in the data and algorithms depend on: classes, texts, colours."""
    found: dict[str, Any] = {"classes": data.classes, "texts": some_texts([labels for labels in data.labels if labels])}
    found |= {name: getattr(data.config.data, name) for name in ("scale_a", "scale_b")}
    facts = {name: fact for name, fact in found.items() if fact}
    config = config.model_copy(update={"data": config.data.model_copy(update=facts)}) if facts else config
    return with_recolouring(config, data)


@functools.lru_cache(maxsize=2)
def _points(name: str, seed: int) -> Array:
    return toy.draw(name, toy.BLOCK, np.random.default_rng(seed))
