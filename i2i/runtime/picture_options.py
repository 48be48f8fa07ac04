"""How pictures are read and written: the options, and the names and types of outputs that follow from them."""

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from i2i.errors import UsageError
from i2i.images import DEPTHS, FORMATS, MAX_PIXELS, PICTURE, Array, Layout, Range, Scale, holds
from i2i.images.axes import OME_TIFF
from i2i.images.cog import refuse_missing_gdal
from i2i.images.encode import SEVERAL_FRAMES
from i2i.images.omezarr_writing import load_zarr
from i2i.images.planes import Plane
from i2i.images.stacking import misfit
from i2i.models.spec import ModelSpec, Part
from i2i.runtime.holes import refuse_mask

Alpha = Literal["keep", "drop"]
NEVER_LOSSLESS = {"JPEG", "AVIF"}
_TYPES: dict[int, Any] = {8: np.uint8, 16: np.uint16, 32: np.float32}


@dataclass(frozen=True)
class PictureOptions:
    """How pictures are read and written; by default in their own format and depth."""

    format: str | None = None
    """A suffix without its dot; None: each picture's own."""
    quality: int | Literal["lossless"] | None = None
    """1 to 100 for JPEG, WebP and AVIF; None: encode.QUALITY, and lossless for a WebP that was."""
    bit_depth: Literal[8, 16, 32] | None = None
    """32: float. None: each picture's own, or the most that the format can hold."""
    alpha: Alpha | None = None
    """keep: write the model's own alpha or, if it makes none, the input's. drop: write opaque pictures, laid on
    white. None: keep if the model was trained so (Part.alpha) and the format can hold alpha."""
    keep_metadata: bool = False
    """Keep EXIF, XMP and resolution; an ICC profile is always kept."""
    frames: Literal["first", "all"] = "first"
    """Which frames of animations, and which pages."""
    input_range: Range | None = None
    """Black and white in 16-bit and float pictures, read or written; None: those of training, otherwise the full range
    of integers, and 0 to 1 for floats."""
    temporal: float = 0.0
    """Smooth animations and videos: the weight of what came before, from 0 to below 1; see runtime/smoothing.py."""
    max_pixels: int = MAX_PIXELS
    """Pictures with more pixels, in all frames together, are refused before they are decoded."""
    plane: Plane = ()
    """Which plane of TIFFs is the picture; empty: as in training."""
    stack: str | None = None
    """The pattern of files that make up one picture; None: as in training."""
    side: Literal["A", "B"] = "A"
    """Which side of pairs in tar shards goes in."""
    cog: bool = False
    """Write TIFFs, and these cloud-optimised."""
    windows: bool = False
    """Read and write TIFFs that go through in tiles window by window; their size has no limit."""
    suffix: str = ""
    """Goes between an output's name and its ending."""
    layout: Layout = PICTURE
    """How files become images; `for_model` sets it, and ..."""
    bands: tuple[str, ...] = ()
    """... the names of the bands that are written; empty for pictures; and ..."""
    scale: Scale | None = None
    """... what black and white are in them, if the model states it."""
    values: tuple[int, ...] = ()
    """... or those of the classes, if outputs are label maps."""
    mask: str | None = None
    """Which pixels a model that fills holes replaces (see holes.find_hole); None: what is transparent, if anything."""

    def __post_init__(self) -> None:
        """Raise UsageError for options that are invalid or contradict one another."""
        known = ", ".join(ending[1:] for ending in FORMATS)
        if self.format and f".{self.format}" not in FORMATS:
            raise UsageError(f"{self.format} is not a format that i2i writes. It writes {known}.")
        low, high = self.input_range or (0.0, 1.0)
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise UsageError(
                f"--input-range {low:g} {high:g} is not a range. Give black, then a larger value for white."
            )
        if self.cog:
            self._refuse_cog()
        if self.windows and (self.frames == "all" or self.mask):
            raise UsageError("--windows goes with neither --frames all nor --mask. Leave one of them out.")
        if self.stack and (reason := misfit(self.stack)):
            raise UsageError(f"--stack {reason}.")
        if Path(self.suffix).name != self.suffix:
            raise UsageError(f"--suffix {self.suffix} would change the folder. Give a part of a file name.")
        if not self.format:
            return
        kind = FORMATS[f".{self.format}"]
        if kind == "ZARR":
            load_zarr()  # before any picture is translated
        if self.bit_depth and self.bit_depth > DEPTHS.get(kind, 8):
            raise UsageError(f"{self.format} holds {DEPTHS.get(kind, 8)} bits at most, not {self.bit_depth}.")
        if self.frames == "all" and kind not in {*SEVERAL_FRAMES, "ZARR"}:
            raise UsageError(
                f"{self.format} holds one picture. With --frames all, use gif, png, webp, avif, tiff or ome.zarr."
            )
        if self.alpha == "keep" and not holds_alpha(f".{self.format}"):
            raise UsageError(f"{self.format} holds no alpha. Leave out --alpha keep, or use png, webp, avif or tiff.")
        if self.quality == "lossless" and kind in NEVER_LOSSLESS:
            raise UsageError(f"{self.format} is never lossless. With --quality lossless, use png, webp or tiff.")

    def _refuse_cog(self) -> None:
        refuse_missing_gdal()
        if self.format not in (None, "tiff"):
            raise UsageError(f"--cog writes TIFFs, not {self.format}. Leave one of the two out.")
        if self.frames == "all":
            raise UsageError("--cog writes one picture a file, and --frames all several. Leave one of the two out.")

    def for_model(
        self, spec: ModelSpec, part: Part, last: Part | None = None, direction: str = "A2B"
    ) -> "PictureOptions":
        """Return these options with what the model says of its inputs, and its range unless one is set.

        last: the part that makes the outputs, if it is another. direction: of the first.
        Raises UsageError for a mask that the model does not take.
        """
        if self.mask is not None:
            refuse_mask(self.mask, spec)
        value_range = self.input_range or spec.input_range
        layout = part.inputs.layout(value_range) if part.inputs else Layout(value_range=value_range)
        if self.input_range and layout.scale:
            layout = layout._replace(scale=Scale(ranges=(self.input_range,), type=layout.scale.type))
        each = self.frames == "all"  # depth and time, whichever training took
        plane = self.plane or tuple(one for one in layout.plane if not each or one[0] not in ("z", "t"))
        layout = layout._replace(plane=plane, stack=self.stack or layout.stack, each_plane=each)
        made = (last or part).outputs
        return replace(
            self,
            input_range=value_range,
            layout=layout,
            side="A" if direction == "A2B" else "B",
            bands=made.bands if made and not made.values else (),
            values=made.values if made else (),
            scale=made.scale if made else None,
        )


DEFAULTS = PictureOptions()


def output_suffix(suffix: str, channels: int, options: PictureOptions = DEFAULTS) -> str:
    """Return the output's suffix for a file with `suffix`: the one asked for, its own, or one that can hold it."""
    bands = bool(options.bands)
    if options.cog:
        return suffix if FORMATS.get(suffix.lower()) == "TIFF" else ".tif"
    other = options.format and FORMATS.get(suffix.lower()) != FORMATS[f".{options.format}"]
    if other or f".{options.format}" in OME_TIFF:
        suffix = f".{options.format}"
    if suffix.lower() == ".pgm" and channels == 3:
        return ".ppm"
    if options.values:
        return suffix if holds_labels(suffix, options.values) else ".png"
    depth = options.bit_depth or (options.scale.depth if options.scale else 8)
    if suits(suffix, depth, channels, bands):
        return suffix
    return ".tif" if depth == 32 or not holds(".png", depth, channels, bands) else ".png"


def suits(suffix: str, depth: int = 8, channels: int = 3, bands: bool = False) -> bool:
    """Whether a format can hold a translated picture; a GIF may, in 256 colours."""
    return holds(suffix, depth, channels, bands) or (suffix.lower() == ".gif" and depth == 8 and not bands)


def written_channels(generator: Part, options: PictureOptions) -> int:
    """Return how many channels the format of outputs must hold: 4 only if the model's own alpha is written."""
    if generator.outputs and generator.outputs.values:
        return 1
    if generator.out_bands:
        return generator.out_channels
    dropped = options.alpha == "drop" or (options.format and not holds_alpha(f".{options.format}"))
    return 3 if generator.out_channels == 4 and dropped else generator.out_channels


def output_dtype(pixels: Array, suffix: str, options: PictureOptions = DEFAULTS) -> Any:
    """Return uint8, uint16 or float32: the depth asked for, or that of `pixels`, or the most that the format holds."""
    if options.scale or options.values:  # rounded only once they are values
        return np.float32
    wanted = options.bit_depth or pixels.dtype.itemsize * 8
    return _TYPES[min(wanted, DEPTHS.get(FORMATS[suffix.lower()], 8))]


def holds_labels(suffix: str, values: tuple[int, ...]) -> bool:
    """Whether a format keeps these values of classes."""
    return FORMATS.get(suffix.lower()) in DEPTHS and holds(suffix, 8 if max(values) < 256 else 16, 1)


def holds_alpha(suffix: str) -> bool:
    """Whether a format can hold a translated picture with alpha."""
    return suits(suffix, channels=4)
