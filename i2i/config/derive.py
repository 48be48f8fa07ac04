"""Settings of `data.derive`: how i2i.data.derive makes the input of a pair from its target.

Lengths are fractions of the picture's sides, so that a setting means the same at every size.
"""

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from i2i.config.section import Section

if TYPE_CHECKING:
    from i2i.config.settings import DataSettings

Share = Annotated[float, Field(gt=0, lt=1)]
Count = Annotated[int, Field(ge=1, le=100)]


class DeriveSection(Section):
    """Base of the settings of every derivation."""

    input_channels: ClassVar[tuple[int, ...]] = ()
    """Which channels the derived input may have; empty: those of the target."""

    def misfit(self, data: "DataSettings") -> str | None:
        """Return why another setting of the data does not fit and what to do; None if all fit."""
        wanted = self.input_channels or (data.channels_b,)
        if data.direction == "B2A":
            return "makes A, the input, from B; set data.direction to A2B"
        if self.input_channels and data.layouts[1].bands:
            return "needs pictures, and data.channels_b are bands"
        if data.channels_a not in wanted:
            known = " or ".join(map(str, wanted))
            noun = "channel" if wanted == (1,) else "channels"
            return f"makes inputs of {known} {noun}; set data.channels_a to {wanted[0]}"
        if data.augment == "kornia":
            return "needs each picture cropped by itself, but kornia crops batches; set data.augment to auto"
        if data.colour_jitter:
            return "makes the inputs, which colour_jitter would change; set data.colour_jitter to 0"
        return None


class Mask(DeriveSection):
    """Base of masks, which cut holes: the input is RGB with alpha, which is 0 in the hole."""

    input_channels = (4,)

    def misfit(self, data: "DataSettings") -> str | None:
        """As in the base; the target must be RGB, so that only the hole is transparent."""
        if data.channels_b != 3:
            return "cuts holes into RGB pictures; set data.channels_b to 3"
        return super().misfit(data)


class CentreMask(Mask):
    """One hole in the middle, as in the first experiments of Pathak et al. 2016."""

    name: Literal["centre_mask"] = "centre_mask"
    """Name of the derivation."""
    side: Share = 0.5
    """Height and width of the hole, as fractions of the picture's."""


class RectangleMask(Mask):
    """Rectangular holes at random places, which may overlap."""

    name: Literal["rectangle_mask"] = "rectangle_mask"
    """Name of the derivation."""
    most: Count = 3
    """Largest number of rectangles in a picture; the smallest is 1."""
    side: tuple[Share, Share] = (0.15, 0.4)
    """Shortest and longest side of a rectangle, as fractions of the picture's."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.side[0] > self.side[1]:
            raise ValueError(f"side is {list(self.side)}; give the shortest, then the longest")
        return self


class FreeFormMask(Mask):
    """Holes like brush strokes, after the free-form masks of Yu et al. 2019 (algorithm 1)."""

    name: Literal["free_form_mask"] = "free_form_mask"
    """Name of the derivation."""
    most: Count = 3
    """Largest number of strokes in a picture; the smallest is 1."""
    width: Share = 0.12
    """Width of a stroke, as a fraction of the picture's shorter side."""


class Grey(DeriveSection):
    """The picture without colour, for colourisation."""

    input_channels = (1,)

    name: Literal["grey"] = "grey"
    """Name of the derivation."""


class Edges(DeriveSection):
    """Black lines on white where brightness changes (Canny 1986)."""

    input_channels = (1, 3)

    name: Literal["edges"] = "edges"
    """Name of the derivation."""
    low: Annotated[float, Field(ge=0)] = 100.0
    """Canny's lower threshold, at which an edge continues, ..."""
    high: Annotated[float, Field(gt=0)] = 200.0
    """... and the upper one, at which it begins: sums of absolute 3x3 Sobel responses in 8-bit grey levels."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.low > self.high:
            raise ValueError(f"low is {self.low:g}, above high, {self.high:g}")
        return self


class Blur(DeriveSection):
    """The picture out of focus."""

    name: Literal["blur"] = "blur"
    """Name of the derivation."""
    sigma_px: Annotated[float, Field(gt=0, le=100)] = 2.0
    """Standard deviation of the Gaussian, in pixels."""


class LowResolution(DeriveSection):
    """The picture shrunk and enlarged again, both bicubic, for super-resolution."""

    name: Literal["low_resolution"] = "low_resolution"
    """Name of the derivation."""
    factor: Annotated[int, Field(ge=2, le=32)] = 4
    """Factor by which the picture shrinks."""


DeriveSettings = Annotated[
    CentreMask | RectangleMask | FreeFormMask | Grey | Edges | Blur | LowResolution, Field(discriminator="name")
]

DERIVE_SETTINGS: dict[str, type[Section]] = {
    "centre_mask": CentreMask,
    "rectangle_mask": RectangleMask,
    "free_form_mask": FreeFormMask,
    "grey": Grey,
    "edges": Edges,
    "blur": Blur,
    "low_resolution": LowResolution,
}
