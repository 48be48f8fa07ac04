"""What goes into a network or comes out, as a model file describes it."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from i2i.images import Layout, Range, Scale, band_names
from i2i.images.layout import MOST_BANDS, BandName, ClassValue, Nodata
from i2i.images.planes import Plane

Meaning = Literal["grey", "rgb", "rgba", "bands", "labels"]
MEANINGS: dict[int, Meaning] = {1: "grey", 3: "rgb", 4: "rgba"}


class PictureSpec(BaseModel):
    """What goes into a network or comes out: images, or points in the plane."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    channels: Annotated[int, Field(ge=1, le=MOST_BANDS)]
    """Channels of an image, or coordinates of a point."""
    meaning: Meaning | Literal["points"]
    """Meaning of the channels: colours and alpha, bands, which are measurements, or the classes of label maps."""
    bands: tuple[BandName, ...] = ()
    """The names of bands or classes, in order; empty for pictures and points."""
    scale: Scale | None = None
    """Black and white of each channel in files; null: those of the model's input_range."""
    select: tuple[Annotated[int, Field(ge=1, le=MOST_BANDS)], ...] = ()
    """Which channels of a file are the bands, from 1; empty: all."""
    nodata: Nodata | None = None
    """The value of pixels without data; null: what a file says."""
    values: tuple[ClassValue, ...] = ()
    """Those of classes in label maps, which have one channel; empty for all others."""

    plane: Annotated[Plane, Field(max_length=4)] = ()
    """Which plane of a TIFF with several is the picture: axes and the place on each, from 1."""
    stack: Annotated[str, Field(max_length=200)] | None = None
    """The pattern of files that make up one picture."""
    composite: Annotated[tuple[BandName, ...], Field(max_length=3)] = ()
    """The names of the bands that previews and sheets show, three as red, green and blue, or one; empty: by name."""

    @model_validator(mode="after")
    def _has_channels_that_fit(self) -> Self:
        counts = {"grey": 1, "points": 2, "rgb": 3, "rgba": 4} | dict.fromkeys(("bands", "labels"), len({*self.bands}))
        if counts[self.meaning] != self.channels or (self.bands and len(self.bands) != self.channels):
            raise ValueError(f"{self.meaning} cannot have {self.channels} channels")
        if len({*self.values}) != len(self.values) or len(self.values) != self.channels * (self.meaning == "labels"):
            raise ValueError(f"{self.meaning} of {self.channels} channels cannot have {len(self.values)} class values")
        if {*self.composite} - {*self.bands} or len(self.composite) == 2:
            raise ValueError(f"bands {', '.join(self.composite)} cannot be shown")
        return self

    def layout(self, value_range: Range | None) -> Layout:
        """Return how files become such images; value_range: black and white."""
        return Layout(
            self.channels,
            self.bands,
            value_range,
            self.scale,
            self.select,
            self.nodata,
            self.values,
            self.plane,
            self.stack,
            self.composite,
        )


def picture_spec(images: int | Layout) -> PictureSpec:
    """Describe images of so many channels, or of a layout."""
    layout = images if isinstance(images, Layout) else Layout(images, band_names(images))
    count = layout.channels or 0
    meaning = "labels" if layout.values else "bands" if layout.bands else MEANINGS[count]
    names = ("bands", "scale", "select", "nodata", "values", "plane", "stack", "composite")
    same = {name: getattr(layout, name) for name in names}
    return PictureSpec(channels=count, meaning=meaning, **same)
