"""A picture file before and after a model: decoded to arrays, and encoded to the bytes of a file.

For each file a folder run calls, in this order and from any thread,

    with opened(path, options.max_pixels, options.layout) as source:
        count, pixels = counted(source, options)  # between the two, the run waits for memory
        picture = read(source, count, options)
    outputs = [translator.translate(frame, output_dtype(frame, suffix, options), str(path)) for frame in picture.inputs]
    content = encode(picture, outputs, suffix, generator, options)

where `suffix` is that of the output's name, which decides its format. Nothing here keeps any state. All of them
raise ImageError.
"""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from i2i.errors import ImageError
from i2i.images import (
    DEPTHS,
    FORMATS,
    Array,
    Range,
    Scale,
    decode_masked,
    from_unit,
    off_white,
    to_channels,
    to_labels,
    to_range,
    to_unit,
    unscaled,
)
from i2i.images.cog import to_cog
from i2i.images.encode import SEVERAL_FRAMES, Extras
from i2i.images.encode import encode as encode_frames
from i2i.images.geo import NOWHERE, Place
from i2i.images.metadata import fitting_profile, metadata, png_colours
from i2i.images.shards import read_file
from i2i.images.source import Source
from i2i.models.spec import Part
from i2i.runtime.described import axes_of, corner_of, is_ome, is_stack, marked, nodata_of, ome_of, place_with, placed
from i2i.runtime.holes import composited, cut_holes
from i2i.runtime.picture_options import DEFAULTS, NEVER_LOSSLESS, Alpha, holds_alpha, holds_labels
from i2i.runtime.picture_options import PictureOptions as PictureOptions

_FRAME_PIXELS = 4096
"""What a small frame counts as, since the network takes its time for the smallest, too; but not among ..."""
_FEW_FRAMES = 1000
"""... so many."""


@dataclass(frozen=True)
class DecodedPicture:
    """One picture file, decoded."""

    path: Path
    frames: tuple[Array, ...]
    """(H, W, 1 to 4) in uint8, uint16, or float32 in [0, 1]; see i2i.images."""
    kind: str
    """Its format, a value of FORMATS."""
    extras: Extras
    lossless: bool
    """Whether it is a lossless WebP."""
    left_out: int = 0
    """Frames and pages behind those that were read."""
    lost: tuple[str, ...] = ()
    """Names of metadata that no translation keeps, such as extra channels; see also `lost_place`."""
    place: Place = NOWHERE
    """Where it lies on the Earth, its pixel size and nodata value."""
    blanks: tuple[Array | None, ...] = ()
    """Of each frame, where it has no data, (H, W) bool; None: nowhere."""
    holes: tuple[Array, ...] = ()
    """(H, W) bool for each frame if there is a mask, ..."""
    inputs: tuple[Array, ...] = ()
    """... and what goes into the network: the frames themselves, or erased in the holes."""


def read(source: Source, count: int, options: PictureOptions) -> DecodedPicture:
    """Read the first `count` frames of a file; raises ImageError, also for floats outside the range."""
    frames, durations, blanks = list[Array](), [], list[Array | None]()
    place = source.place
    for frame in range(count):
        image, blank = decode_masked(source, options.layout, frame)
        frames.append(image)
        blanks.append(blank)
        durations.append(source.image.info.get("duration", 100))
    place = place_with(place, options.layout, any(blank is not None for blank in blanks))
    timed = count > 1 and source.kind != "TIFF"
    if timed and len({frame.shape[2] for frame in frames}) > 1:  # a GIF may begin opaque
        frames = [to_channels(frame, 4) for frame in frames]
    extras = replace(
        metadata(source.image) if options.keep_metadata else Extras(),
        icc=source.image.info.get("icc_profile"),
        png_colours=png_colours(source.path) if source.kind == "PNG" else b"",
        durations_ms=tuple(durations) if timed else (),
        loop=source.image.info.get("loop") if timed else None,
        axes=source.axes,
    )
    lossless = source.kind == "WEBP" and _is_lossless_webp(read_file(source.path))
    left_out, lost = 0, list[str]()
    with contextlib.suppress(Exception):  # damage behind what was read costs no picture
        lost = source.lost(options.keep_metadata)
        left_out = source.left_out() if options.frames == "first" else 0
    holes, inputs = cut_holes(options.mask, source.path, frames) if options.mask else ([], frames)
    picture = DecodedPicture(source.path, tuple(frames), source.kind, extras, lossless, left_out, tuple(lost))
    return replace(picture, holes=tuple(holes), inputs=tuple(inputs), place=place, blanks=tuple(blanks))


def finished(picture: DecodedPicture, outputs: Sequence[Array], generator: Part, alpha: Alpha | None) -> list[Array]:
    """Return what the network made of each frame, (H, W, C), as it is written: with alpha; around holes as it was."""
    if picture.holes:
        each = zip(outputs, picture.frames, picture.holes, strict=True)
        return [composited(*one, keep_alpha=alpha != "drop") for one in each]
    return [with_alpha(output, frame, generator, alpha) for output, frame in zip(outputs, picture.frames, strict=True)]


def counted(source: Source, options: PictureOptions) -> tuple[int, int]:
    """Return how many frames to read, and their pixels; raises ImageError if those are too many."""
    most = max(options.max_pixels // _FRAME_PIXELS, _FEW_FRAMES) + 1
    count = source.count_up_to(most) if options.frames == "all" else 1
    pixels = source.pixels(count)
    if count == 1 or (pixels <= options.max_pixels and count < most):
        return count, pixels
    held = f"of {pixels:,} pixels together" if count < most else f"or more, each counted as {_FRAME_PIXELS:,} pixels"
    raise ImageError(
        f"{source.path} holds {count:,} pictures {held}, over the limit of {options.max_pixels:,} pixels. "
        "Leave out --frames all, or raise --max-pixels."
    )


def with_alpha(output: Array, frame: Array, generator: Part, alpha: Alpha | None) -> Array:
    """Return an output (H, W, C) as it is written: with its own alpha, with that of its input `frame`, or opaque.

    Laid on white, each looks like the model's output, as far as colours of the input's alpha can if that is put back.
    alpha: as in PictureOptions. A cropped output takes the alpha of the input's centre.
    """
    if generator.in_bands or generator.out_bands:  # which have none
        return output
    if alpha == "drop":
        return to_channels(output, 3) if output.shape[2] == 4 else output
    if output.shape[2] == 4 or not _has_alpha(frame) or not (alpha == "keep" or generator.keeps_alpha):
        return output
    (height, width), (whole_height, whole_width) = output.shape[:2], frame.shape[:2]
    top, left = (whole_height - height) // 2, (whole_width - width) // 2
    own = frame[top : top + height, left : left + width, -1:]
    if own.dtype != output.dtype:
        own = from_unit(to_unit(own), output.dtype)
    return np.concatenate([off_white(output, own), own], axis=2)


def encode(
    picture: DecodedPicture,
    outputs: Sequence[Array],
    suffix: str,
    generator: Part,
    options: PictureOptions = DEFAULTS,
) -> bytes:
    """Return a file with `outputs`, (H, W, C) each, in place of the frames of `picture`; adds its alpha and profile."""
    kind = FORMATS[suffix.lower()]
    if len(outputs) > 1 and kind not in SEVERAL_FRAMES and not (kind == "ZARR" and is_stack(picture)):
        raise ImageError(f"{picture.path} holds {len(outputs)} pictures, {suffix} one. Add --format png or tiff.")
    if kind != "TIFF" and len({output.shape[:2] for output in outputs}) > 1:
        raise ImageError(f"{picture.path} has pages of different sizes, which {suffix} cannot hold. Add --format tiff.")
    if options.quality == "lossless" and kind in NEVER_LOSSLESS:
        raise ImageError(f"{picture.path}: {suffix} is never lossless. Add --format png, webp or tiff.")
    alpha, bands = options.alpha, bool(generator.out_bands)
    if not holds_alpha(suffix) and not bands:
        if alpha == "keep" and any(_has_alpha(array) for array in (*outputs, *picture.frames)):
            raise ImageError(f"{picture.path}: {suffix} holds no alpha. Leave out --alpha keep, or use .png.")
        alpha = "drop"
    values = generator.outputs.values if generator.outputs else ()
    whole = as_written(picture, finished(picture, outputs, generator, alpha), suffix, generator, options)
    bands = bands and not values
    if kind == "PNG" and len(whole) > 1:  # APNG could hold 16 bits, but neither library writes them
        if options.bit_depth == 16:
            raise ImageError(f"{picture.path}: animated PNGs are written with 8 bits, not 16. Add --format tiff.")
        whole = [frame if frame.dtype == np.uint8 else from_unit(to_unit(frame)) for frame in whole]
    quality = options.quality if isinstance(options.quality, int) else None
    lossless = options.quality == "lossless" or (options.quality is None and picture.lossless)
    icc = None if bands or values else fitting_profile(picture.extras.icc, whole[0].shape[2])
    extras = replace(picture.extras, icc=icc)
    nodata = nodata_of(picture, generator, kind)
    if nodata is not None and picture.blanks:
        whole = [marked(output, blank, nodata) for output, blank in zip(whole, picture.blanks, strict=True)]
    if kind == "TIFF" and len(whole) == 1:
        extras = placed(picture, whole[0], extras, generator.out_bands if bands else (), nodata)
    axes = axes_of(picture, generator, corner_of(picture.frames[0], whole[0]))
    extras = replace(extras, axes=axes)
    if kind == "TIFF" and is_ome(picture, suffix, options.cog):
        extras = replace(extras, ome=ome_of(axes, whole[0].shape[:2], whole[0], bands, len(whole) > 1))
    if options.cog and kind != "TIFF":
        raise ImageError(f"{picture.path}: --cog writes TIFFs, and {suffix} is none. Use .tif.")
    try:
        content = encode_frames(whole, kind, quality, lossless, extras, bands)
        return to_cog(content, nearest=bool(values)) if options.cog else content
    except MemoryError:
        raise
    except Exception as error:  # encoders raise whatever they like, for sides over their limit for instance
        raise ImageError(f"{picture.path} cannot be written as {suffix}: {str(error).rstrip('.')}.") from error


def as_written(
    picture: DecodedPicture, made: Sequence[Array], suffix: str, generator: Part, options: PictureOptions
) -> list[Array]:
    """Return the values that are written, (H, W, C): classes, those of files, or pixels in the input's range."""
    scale, values = (generator.outputs.scale, generator.outputs.values) if generator.outputs else (None, ())
    if values and not holds_labels(suffix, values):
        raise ImageError(f"{picture.path}: {suffix} does not keep the values of a label map. Add --format png.")
    if values:
        return [to_labels(output, values) for output in made]
    bands, kind = bool(generator.out_bands), FORMATS[suffix.lower()]
    if scale:
        return [in_values(output, scale, bands, options.bit_depth, kind) for output in made]
    ranged = zip(made, picture.frames, strict=True)
    return [_in_range(output, frame, options.input_range, bands) for output, frame in ranged]


def in_values(output: Array, scale: Scale, bands: bool, bit_depth: int | None, kind: str) -> Array:
    """Map an output, float32 in [0, 1], to the values that files of its side have, in their type.

    In another depth that is asked for, or the most that the format holds: floats have these values, too, and integers
    use all of their type.
    """
    depth = min(bit_depth or scale.depth, DEPTHS.get(kind, 8))
    if depth not in (scale.depth, 32):
        return from_unit(to_unit(output), {8: np.uint8, 16: np.uint16}[depth])
    alpha = output.shape[2] in (2, 4) and not bands
    top = 1 if scale.type == "float32" else np.iinfo(scale.type).max
    values = unscaled(output, scale, alpha)
    values[:, :, -1] *= top if alpha else 1
    return values.astype(np.float32) if depth == 32 else scale.of_type(values)


def _in_range(output: Array, frame: Array, value_range: Range | None, bands: bool) -> Array:
    """Map floats, and integers of the input's own type, to the range of the input; others use all of their type."""
    return to_range(output, value_range, bands) if output.dtype in (np.float32, frame.dtype) else output


def _has_alpha(array: Array) -> bool:
    return array.shape[2] in (2, 4)


def _is_lossless_webp(content: bytes) -> bool:
    """Whether the first picture in a WebP is lossless (RFC 9649, section 2)."""
    place = 12
    while place + 8 <= len(content):
        kind, size = content[place : place + 4], int.from_bytes(content[place + 4 : place + 8], "little")
        if kind in (b"VP8 ", b"VP8L"):
            return kind == b"VP8L"
        place += 8 + (16 if kind == b"ANMF" else size + size % 2)  # a frame's own chunks begin after 16 bytes
    return False
