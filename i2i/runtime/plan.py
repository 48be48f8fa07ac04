"""How one picture goes through a network: whole, in strips or in tiles, settled from its size before any pixel work.

Memory is estimated, not measured, by figures that are the same on every machine: the output must not depend on
what else is running.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from i2i.errors import ImageError, ModelError, OutOfMemoryError
from i2i.models.spec import ModelSpec, Part
from i2i.runtime.fit import AUTO, Fit, padded_side

Way = Literal["whole", "strips", "tiles"]
Sides = tuple[int, int]
"""Height and width in pixels."""

WHOLE_BYTES = 4 * 2**30
"""A picture estimated to take more than this goes through in tiles."""
WHOLE_PIXELS = 2**21
"""So does one of more pixels than this, far more than any model is trained at, that takes more than a tile may."""
TILE_BYTES = 2**29
"""What a tile may take."""
OVERLAP_PX = 256
_LARGEST_TILE_PX = 1024
"""Larger tiles would save little time, and the rows of tiles that are open take memory too."""
_MOST_PADDING = 8
"""A picture too large to go through whole is refused if padding gives it this many times its pixels."""


class Plan(NamedTuple):
    """What becomes of one picture. All sides are (height, width) in pixels."""

    name: str
    """What errors call the picture."""
    source: Sides
    """Its own sides."""
    sides: Sides
    """Sides of what is translated: `source`, cropped or resized as Fit asks."""
    resizes: bool
    """Whether `source` is resized to `sides` and back, not cropped."""
    way: Way
    """whole: in one call. strips: in one call that computes strip by strip. tiles: a call for each tile."""
    padded: Sides
    """`sides` padded on the right and at the bottom: to what the network takes or, in tiles, to what they cover."""
    tile_px: int
    """Largest side of a tile."""
    tile: Sides
    """Sides of the tiles."""
    statistics_px: int
    """Tiles take norm statistics from a copy with as many pixels as a square of this side."""
    memory_bytes: int
    """Estimate of what the network takes at a time."""


@dataclass
class Planner:
    """Makes the Plan of every picture that goes through one model.

    fit: how pictures come to sizes that the network takes. model: what errors call the model.
    Raises ModelError if pictures are to be resized to a scale that the model does not state.
    """

    spec: ModelSpec
    generator: Part
    fit: Fit = AUTO
    model: str | Path = "this model"

    def __post_init__(self) -> None:
        """Choose the tiles; they shrink when memory runs out, for all later pictures."""
        if self.fit.how == "resize":
            known_sides(self.spec, 1, 1)  # raises here what it would raise for every picture
        self.statistics_px = tile_side(self.generator)
        self.tile_px = rounded_tile(self.generator, self.fit.tile_px or self.statistics_px)

    def plan(self, height: int, width: int, name: str = "The picture", way: Way | None = None) -> Plan:
        """Plan a picture of these sides; way: one to take whatever the estimate says.

        Raises ImageError for a picture too small to crop or too long to pad, and ModelError for one that an exported
        file cannot take.
        """
        sides = self._fitted(height, width, name)
        way = way or self._way(sides, name)
        if way == "tiles" and self.spec.io == "image":
            raise ModelError(
                f"{name} needs tiles, but {self.model} was exported for whole pictures, with padding inside.\n"
                "Export it again with --io tensor, or use smaller pictures or --fit resize."
            )
        covered = padded_sides(self.generator, *sides)
        tile_px = self.tile_px
        return Plan(
            name,
            (height, width),
            sides,
            self.fit.how == "resize",
            way,
            covered if way == "tiles" else self.padded(*sides, name),
            tile_px,
            self.spec.fixed_size or (min(tile_px, covered[0]), min(tile_px, covered[1])),
            self.statistics_px,
            self._memory_bytes(way, covered[0] * covered[1]),
        )

    def padded(self, height: int, width: int, name: str) -> Sides:
        """Return the sides that one call of the backend takes for such a picture; raises ModelError if it is larger."""
        if self.spec.fixed_size is None:
            return (height, width) if self.spec.io == "image" else padded_sides(self.generator, height, width)
        high, wide = self.spec.fixed_size
        if height > high or width > wide:
            sides = f"{high}" if high == wide else f"{wide}x{high}"
            tile = " or --fit tile" if self.spec.io == "tensor" else ""
            raise ModelError(
                f"{name} is {width}x{height}, but {self.model} was exported with fixed sides of {sides}.\n"
                f"Export it again with --size dynamic, or use --fit resize{tile}."
            )
        return high, wide

    def after_out_of_memory(self, plan: Plan, device: str) -> tuple[Plan, str]:
        """Return a plan that takes less memory than one that ran out of it, and a note of what changes.

        Raises OutOfMemoryError if there is none.
        """
        too_large = f"{plan.name} is {plan.sides[1]}x{plan.sides[0]}: too large for the memory of {device}"
        if plan.way == "strips":
            raise OutOfMemoryError(
                f"{too_large}, even in strips.\nLeave out --tile exact, and it goes through in tiles."
            )
        if plan.way == "whole" and self.fit.how == "pad":
            raise OutOfMemoryError(f"{too_large}.\nLeave out --fit pad, and it goes through in tiles.")
        if plan.way == "whole":
            self.tile_px = min(self.tile_px, rounded_tile(self.generator, max(plan.sides) // 2))
            note = f"Out of memory on {device}: large pictures go through in tiles."
            return self.plan(*plan.source, plan.name, self._divided), note
        smaller = rounded_tile(self.generator, plan.tile_px // 2)
        if smaller == plan.tile_px or self.spec.fixed_size:
            raise OutOfMemoryError(
                f"{plan.name}: not even tiles of {plan.tile_px} px fit into the memory of {device}.\n"
                "Close other programs, or use another device."
            )
        # Half of what this plan had: another thread may have run out of memory at the same time.
        self.tile_px = min(self.tile_px, smaller)
        self.statistics_px = min(self.statistics_px, plan.statistics_px // 2)
        note = f"Out of memory on {device}: tiles are {smaller} px now, not {plan.tile_px}."
        return self.plan(*plan.source, plan.name, "tiles"), note

    @property
    def _divided(self) -> Way:
        return "strips" if self.fit.tile == "exact" else "tiles"

    def _fitted(self, height: int, width: int, name: str) -> Sides:
        if self.fit.how == "crop":
            return cropped_sides(self.spec, self.generator, height, width, name)
        return known_sides(self.spec, height, width) if self.fit.how == "resize" else (height, width)

    def _way(self, sides: Sides, name: str) -> Way:
        height, width = sides
        high, wide = padded_sides(self.generator, height, width)
        too_big = is_too_big(self.spec, self.generator, high * wide)
        if too_big and high * wide > _MOST_PADDING * height * width:
            raise ImageError(
                f"{name} is {width}x{height}; padded to {self.generator.size_multiple} px, which this "
                "model needs, it is too large. Cut it into shorter pieces."
            )
        if self.fit.how == "tile" or (self.fit.how != "pad" and too_big):
            return self._divided
        return "whole"

    def _memory_bytes(self, way: Way, pixels: int) -> int:
        """Return about what the network takes for so many padded pixels; strips hold the maps between stages whole."""
        whole = estimated_bytes(self.generator, pixels)
        if way != "tiles":
            return whole
        return min(whole, max(TILE_BYTES, estimated_bytes(self.generator, (self.fit.tile_px or 0) ** 2)))


def estimated_bytes(generator: Part, pixels: int) -> int:
    """Return an upper bound of what a run on so many pixels takes, by measurements (docs/benchmarks.md)."""
    return pixels * (72 + 26 * int(generator.arguments.get("width", 64)))


def is_too_big(spec: ModelSpec, generator: Part, pixels: int) -> bool:
    """Whether a picture padded to so many pixels goes through in tiles. Files with --io image cannot, so take more."""
    most = WHOLE_BYTES if pixels <= WHOLE_PIXELS or spec.io == "image" else TILE_BYTES
    return estimated_bytes(generator, pixels) > most


def padded_sides(generator: Part, height: int, width: int) -> Sides:
    """Return the smallest sides the network takes that hold a picture; one 1 px high becomes hundreds of times it."""
    multiple, least = generator.size_multiple, generator.size_minimum
    return padded_side(height, multiple, least), padded_side(width, multiple, least)


def tile_side(generator: Part) -> int:
    """Return the side of a tile estimated to take TILE_BYTES, or of the smallest tile if that takes more."""
    multiple = generator.size_multiple
    known = min(math.isqrt(TILE_BYTES // estimated_bytes(generator, 1)), _LARGEST_TILE_PX) // multiple * multiple
    return rounded_tile(generator, max(known, overlap_side(multiple) + multiple))


def rounded_tile(generator: Part, tile_px: int) -> int:
    """Return the smallest side from `tile_px` that the network takes and that leaves tiles room to overlap."""
    return padded_side(tile_px, generator.size_multiple, max(2 * generator.size_multiple, generator.size_minimum))


def overlap_side(multiple: int) -> int:
    """Return by how much tiles overlap: OVERLAP_PX, rounded up to a multiple."""
    return -(-OVERLAP_PX // multiple) * multiple


def cropped_sides(spec: ModelSpec, generator: Part, height: int, width: int, name: str) -> Sides:
    """Return the largest sides within a picture's that need no padding; raises ImageError if there are none."""
    if spec.fixed_size:
        return min(height, spec.fixed_size[0]), min(width, spec.fixed_size[1])
    multiple, least = generator.size_multiple, generator.size_minimum
    if min(height, width) < max(least, multiple):
        raise ImageError(
            f"{name} is {width}x{height}, but sides that this model takes begin at {max(least, multiple)} px.\n"
            "There is nothing to crop; use --fit pad or --fit resize."
        )
    return height // multiple * multiple, width // multiple * multiple


def known_sides(spec: ModelSpec, height: int, width: int) -> Sides:
    """Return a picture's sides at the scale of training, or as they fit into a file of fixed size.

    Raises ModelError if the model does not state that scale.
    """
    if spec.fixed_size:
        scale = min(spec.fixed_size[0] / height, spec.fixed_size[1] / width)
    elif spec.trained_side_px:
        scale = spec.trained_side_px / min(height, width)
    else:
        raise ModelError("This model does not say at which scale it was trained: leave out --fit resize.")
    return max(round(height * scale), 1), max(round(width * scale), 1)
