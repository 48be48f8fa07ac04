"""What goes into a network or comes out, as a model file describes it."""

from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from i2i.images import Layout, Range, band_names, channel_count
from i2i.images.layout import MOST_BANDS, BandName

Meaning = Literal["grey", "rgb", "rgba", "bands"]
MEANINGS: dict[int, Meaning] = {1: "grey", 3: "rgb", 4: "rgba"}


class PictureSpec(BaseModel):
    """What goes into a network or comes out: images, or points in the plane."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    channels: Annotated[int, Field(ge=1, le=MOST_BANDS)]
    """Channels of an image, or coordinates of a point."""
    meaning: Meaning | Literal["points"]
    """Meaning of the channels: colours and alpha, or bands, which are measurements."""
    bands: tuple[BandName, ...] = ()
    """The names of bands, in order; empty for pictures and points."""

    @model_validator(mode="after")
    def _has_channels_that_fit(self) -> Self:
        counts = {"grey": 1, "points": 2, "rgb": 3, "rgba": 4, "bands": len({*self.bands})}
        if counts[self.meaning] != self.channels or (self.bands and len(self.bands) != self.channels):
            raise ValueError(f"{self.meaning} cannot have {self.channels} channels")
        return self

    def layout(self, value_range: Range | None) -> Layout:
        """Return how files become such images; value_range: black and white."""
        return Layout(self.channels, self.bands, value_range)


def picture_spec(channels: int | Sequence[str]) -> PictureSpec:
    """Describe images of so many channels, or of bands with these names."""
    count, bands = channel_count(channels), band_names(channels)
    return PictureSpec(channels=count, meaning="bands" if bands else MEANINGS[count], bands=bands)
