"""Settings of the data that say which pictures there are, and how those of each side become images."""

from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from i2i.config.derive import DeriveSettings
from i2i.config.section import Positive, Section
from i2i.images import Channels, Layout, Layouts, Scale, band_names, channel_count
from i2i.images.layout import MOST_BANDS, BandName, ClassValue, Nodata
from i2i.images.planes import Axis
from i2i.images.stacking import misfit

Direction = Literal["A2B", "B2A"]
Percent = Annotated[float, Field(ge=0, le=100)]


class SourceSettings(Section):
    """Where the pictures are, and what belongs to them."""

    path: tuple[str, ...] = ()
    """One folder, or two: A's and B's; or tar shards or parquet files, see docs/science.md. `--data` sets it."""
    direction: Direction | None = None
    """Which side is translated into the other; null: A into B. CycleGAN learns both directions, and this is the one
    that the model takes where no `--direction` is given; null: it must be given."""
    disjoint: bool = False
    """Unpaired training on pairs: A from the first half of the names and B from the second, so that no picture
    meets its partner."""
    side: Literal["A", "B"] | None = None
    """Which side to learn from, if the data has two and the model generates pictures or inputs are derived."""
    derive: DeriveSettings | None = None
    """Pairs from single pictures: a picture is the target, B, and the input, A, is derived from it."""
    labels: str | None = None
    """Where the class of each picture comes from: `folders`, one subfolder for each class, or a CSV file with the
    header name,label[,label...] and a column for each label set."""
    unlabelled: bool = False
    """Whether pictures may be without a label: an empty cell in that file. Only loss.condition semi_supervised learns
    from such pictures."""
    text: str | None = None
    """The column of that file that holds text instead of a class."""
    classes: dict[str, dict[str, Annotated[int, Field(ge=0)]]] = Field(default_factory=dict)
    """The classes of each label set and how many pictures each has; filled in from the data."""
    texts: tuple[str, ...] = ()
    """Some of the texts, from which pictures without a text of their own are made; filled in from the data."""
    toy: Literal["ring", "grid"] | None = None
    """Points instead of pictures: 8 Gaussians on a ring, or 25 on a grid."""
    channels: Channels = 3
    """Channels of pictures without sides: 1 grey, 3 RGB, 4 RGB with alpha."""

    @field_validator("path", mode="before")
    @classmethod
    def _one_or_two(cls, value: object) -> object:
        paths = (value,) if isinstance(value, str) else value
        if isinstance(paths, Sequence) and len(paths) > 2:
            raise ValueError("at most two folders can be given, A's and B's")
        return paths

    @field_validator("derive", mode="before")
    @classmethod
    def _has_a_name(cls, value: object) -> object:
        if isinstance(value, str):
            raise ValueError(f"choose what to derive with data.derive.name={value}")
        return value


class SideSettings(SourceSettings):
    """What the channels of each side are, and what their values mean."""

    channels_a: Annotated[int, Field(ge=1, le=MOST_BANDS)] | tuple[BandName, ...] = 3
    """Channels of side A: 1 grey, 3 RGB, 4 RGB with alpha. Another number, or names as [red, green, nir], are bands:
    measurements that are never converted, read from .tif, .npy and .npz files with as many."""
    channels_b: Annotated[int, Field(ge=1, le=MOST_BANDS)] | tuple[BandName, ...] = 3
    """The same of side B."""
    select_a: tuple[Annotated[int, Field(ge=1, le=MOST_BANDS)], ...] = ()
    """Which channels of A's files are its bands, from 1, in this order, as [4, 3, 2]; [] is all. Inputs of the model
    are files with as many channels, too, and outputs hold the bands alone."""
    select_b: tuple[Annotated[int, Field(ge=1, le=MOST_BANDS)], ...] = ()
    """The same of side B."""
    plane_a: dict[Axis, Positive] = Field(default_factory=dict)
    """Which plane of A's TIFFs is the picture, as {z: 3, t: 1}, from 1: depth z, time t, channel c, or page."""
    plane_b: dict[Axis, Positive] = Field(default_factory=dict)
    """The same of side B."""
    stack_a: str | None = None
    """Several files of A as one picture, as {name}_B*.tif: its bands are in the files that differ in *."""
    stack_b: str | None = None
    """The same of side B."""
    composite_a: tuple[BandName, ...] = ()
    """Which of A's bands previews, sheets and reports show: three as red, green and blue, as [nir, red, green], or one.
    []: red, green and blue by name, else the first three. The model file keeps it."""
    composite_b: tuple[BandName, ...] = ()
    """The same of side B."""
    meaning_a: Literal["labels"] | None = None
    """labels: A's pictures are label maps, whose integers are the classes that data.channels_a names or counts. Classes
    are never interpolated, and a channel each for the network; outputs that are A's are label maps, too."""
    meaning_b: Literal["labels"] | None = None
    """The same of side B."""
    values_a: tuple[ClassValue, ...] = ()
    """The values of A's classes in files, as [10, 20, 95]; [] is 0, 1, 2, ..."""
    values_b: tuple[ClassValue, ...] = ()
    """The same of side B."""
    nodata_a: Nodata | None = None
    """The value of pixels of A without data, as -9999 or nan; NaN counts, too. They count in no loss, no score and no
    statistic, and outputs have no data there. null: what GDAL's tag in a TIFF says."""
    nodata_b: Nodata | None = None
    """The same of side B; outputs that are B's have this value where inputs have no data."""
    input_range: tuple[float, float] | None = None
    """Values of black and white in 16-bit and float files, as [0, 4095] for 12 bits; 8-bit files always use their full
    range. null: the full range of 16 bits, and 0 to 1 for floats. The model file keeps it."""
    normalise_a: Literal["percentiles", "zscore"] | tuple[float, float] | tuple[tuple[float, float], ...] | None = None
    """Black and white of each channel of A, in place of input_range. percentiles, or zscore (the mean less and plus
    three standard deviations), measures them on the training pictures and cuts values off there; [0, 4095] gives them
    for all channels, [[0, 4095], [270, 330]] for each. The model file keeps them, and outputs have values of files."""
    normalise_b: Literal["percentiles", "zscore"] | tuple[float, float] | tuple[tuple[float, float], ...] | None = None
    """The same of side B."""
    percentiles: tuple[Percent, Percent] = (0.5, 99.5)
    """Which percentiles are black and white."""
    scale_a: Scale | None = None
    """What data.normalise_a came to; filled in from the data."""
    scale_b: Scale | None = None
    """What data.normalise_b came to; filled in from the data."""

    @field_validator("channels_a", "channels_b")
    @classmethod
    def _names_differ(cls, value: int | tuple[str, ...]) -> int | tuple[str, ...]:
        if not isinstance(value, int) and not 1 <= len({*value}) == len(value) <= MOST_BANDS:
            raise ValueError(f"give at least one name, at most {MOST_BANDS}, and each once")
        return value

    @field_validator("composite_a", "composite_b", mode="before")
    @classmethod
    def _numbers_are_names(cls, value: object) -> object:
        return [str(one) for one in value] if isinstance(value, list | tuple) else value

    @field_validator("stack_a", "stack_b")
    @classmethod
    def _is_a_pattern(cls, value: str | None) -> str | None:
        if value and (reason := misfit(value)):
            raise ValueError(reason)
        return value

    @field_validator("percentiles")
    @classmethod
    def _ascend(cls, value: tuple[float, float]) -> tuple[float, float]:
        if value[0] >= value[1]:
            raise ValueError("give the lower percentile first")
        return value

    @field_validator("input_range")
    @classmethod
    def _black_below_white(cls, value: tuple[float, float] | None) -> tuple[float, float] | None:
        if value and value[0] >= value[1]:
            raise ValueError("give the value of black, then a larger one for white")
        return value

    @property
    def side_channels(self) -> tuple[int, int]:
        """How many channels A and B have."""
        return channel_count(self.channels_a), channel_count(self.channels_b)

    @property
    def direction_of_pairs(self) -> Direction:
        """The direction of pairs, and of what learns one only."""
        return self.direction or "A2B"

    @property
    def layouts(self) -> Layouts:
        """How the files of A and of B become images."""
        a, b = (_layout(self, side) for side in "ab")
        return a, b

    @property
    def layout(self) -> Layout:
        """How pictures without sides become images."""
        return Layout(self.channels, value_range=self.input_range)

    @model_validator(mode="after")
    def _selections_fit(self) -> Self:
        for side, count in zip("ab", self.side_channels, strict=True):
            select = getattr(self, f"select_{side}")
            if select and not len({*select}) == len(select) == count:
                raise ValueError(
                    f"select_{side} is {[*select]}; give {count} different channels, as channels_{side} says"
                )
        return self

    @model_validator(mode="after")
    def _composites_fit(self) -> Self:
        for side, layout in zip("ab", self.layouts, strict=True):
            chosen = getattr(self, f"composite_{side}")
            if chosen and (len(chosen) not in (1, 3) or {*chosen} - {*layout.bands} or layout.values):
                known = "has " + (", ".join(layout.bands) if not layout.values and layout.bands else "none")
                raise ValueError(f"composite_{side} names three bands, or one, of side {side.upper()}, which {known}")
        return self

    @model_validator(mode="after")
    def _label_maps_fit(self) -> Self:
        for side, count in zip("ab", self.side_channels, strict=True):
            values, named = getattr(self, f"values_{side}"), f"meaning_{side}"
            if not getattr(self, named):
                if values:
                    raise ValueError(f"values_{side} are those of classes; set {named}=labels")
                continue
            if count < 2 or (values and not len({*values}) == len(values) == count):
                raise ValueError(f"{named} is labels; name two classes or more in channels_{side}, and each value once")
            for other in (f"normalise_{side}", f"select_{side}"):
                if getattr(self, other):
                    raise ValueError(f"{named} is labels, which are no measurements; leave {other} out")
        return self


def _layout(data: SideSettings, side: str) -> Layout:
    """Return how the files of one side become images."""
    names = ("channels", "scale", "select", "nodata")
    channels, scale, select, nodata = (getattr(data, f"{name}_{side}") for name in names)
    count, bands, values = channel_count(channels), band_names(channels, select), ()
    if getattr(data, f"meaning_{side}"):
        values = getattr(data, f"values_{side}") or tuple(range(count))
        bands = tuple(map(str, values)) if isinstance(channels, int) else tuple(channels)
    plane, stack = tuple(sorted(getattr(data, f"plane_{side}").items())), getattr(data, f"stack_{side}")
    shown = getattr(data, f"composite_{side}")
    return Layout(count, bands, data.input_range, scale, select, nodata, values, plane, stack, shown)
