"""Encode pixels in every format that i2i writes.

Pillow writes most of them. i2i.images.png writes PNG: it is several times as fast, and knows 16-bit colour. tifffile
writes TIFF, also 16-bit and float colour together with a profile.
"""

import io
import itertools
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from i2i.images.axes import Axes
from i2i.images.png import Array as Array
from i2i.images.png import chunk, encode_png
from i2i.images.ppm import encode_deep_ppm
from i2i.images.tiff_codecs import load_tifffile

QUALITY = {"JPEG": 95, "WEBP": 95, "AVIF": 90}
"""Default quality of the lossy formats, 1 to 100."""
SEVERAL_FRAMES = {"PNG", "GIF", "WEBP", "AVIF", "TIFF"}
"""Formats that hold animations, or pages."""

_WEBP_LOSSLESS = {"lossless": True, "quality": 0, "method": 0, "exact": True}  # exact: keep hidden colours
_STRIP_BYTES = 1 << 20
_DESCRIPTION = 270
_INCH = 2  # the unit of a resolution, as TIFF numbers it
_STAND_INS = {34665: 34664, 34853: 34852}
"""Unused tags that sort like those of the EXIF and GPS directories."""


@dataclass(frozen=True)
class Extras:
    """What a file holds besides its pixels; a format drops what it cannot store."""

    icc: bytes | None = None
    exif: bytes | None = None
    """As Pillow gives it, without orientation."""
    xmp: bytes | None = None
    dpi: tuple[float, float] | None = None
    png_colours: bytes = b""
    """PNG only: whole chunks, joined, that define its colours, except the ICC profile."""
    texts: tuple[tuple[str, str], ...] = ()
    """PNG only: keywords and their texts."""
    durations_ms: tuple[float, ...] = ()
    """Duration of each frame of an animation."""
    loop: int | None = None
    """How often an animation plays; 0: for ever, None: not specified."""
    tags: tuple[tuple[int, str, int, Any, bool], ...] = ()
    """TIFF only: further tags of the first page, as tifffile writes them."""
    resolution: tuple[float, float, int] | None = None
    """TIFF only, without `dpi`: pixels a unit across and down, and the unit as TIFF numbers it."""
    axes: Axes | None = None
    """OME-Zarr and OME-TIFF: what axes and channels mean."""
    ome: bytes | None = None
    """TIFF only: the OME-XML that describes it; of bands, each is then a page of its own."""


def encode(
    frames: Sequence[Array],
    kind: str,
    quality: int | None = None,
    lossless: bool = False,
    extras: Extras | None = None,
    bands: bool = False,
) -> bytes:
    """Encode one picture, or the frames of several, as a file of `kind` (a value of images.FORMATS).

    frames: (H, W, C) in uint8, uint16 or float32 (TIFF, NPY and OME-Zarr only), C as in i2i.images.image. Formats
    outside SEVERAL_FRAMES take one, and OME-Zarr those that follow one another along `extras.axes.planes`; it is a zip
    of the files of its folder. quality: 1 to 100, by default QUALITY. lossless: WebP only. bands: whether channels are
    bands, of which TIFF, NPY, NPZ and OME-Zarr hold any number. Raises what the encoders raise.
    """
    extras = extras or Extras()
    if kind == "TIFF":
        return _tiff(frames, extras, bands)
    if kind == "PNG":
        return _png(frames, extras)
    if kind == "ZARR":
        from i2i.images.omezarr_writing import encode_zarr

        return encode_zarr(frames, extras.axes or Axes())
    if kind in ("NPY", "NPZ"):
        return _numpy(frames[0], kind, bands)
    if kind == "PPM" and frames[0].dtype == np.uint16:
        return encode_deep_ppm(frames[0])
    options: dict[str, Any] = {}
    if kind in QUALITY:
        options = {"quality": quality or QUALITY[kind], "icc_profile": extras.icc}
        options |= {"exif": extras.exif} if extras.exif else {}
        options |= {"xmp": extras.xmp} if extras.xmp else {}
    if kind == "JPEG":
        options |= {"subsampling": 0} | ({"dpi": extras.dpi} if extras.dpi else {})
    elif kind == "AVIF":
        options |= {"subsampling": "4:4:4", "speed": 8}
    elif kind == "WEBP" and lossless:
        options |= _WEBP_LOSSLESS
    images = [_gif_frame(frame) if kind == "GIF" else to_pil(frame) for frame in frames]
    return _pillow(images, kind, extras, options)


def to_pil(array: Array) -> Image.Image:
    """Return (H, W, C) uint8 as a PIL image."""
    return Image.fromarray(array[:, :, 0] if array.shape[2] == 1 else array)


def _pillow(images: Sequence[Image.Image], kind: str, extras: Extras, options: dict[str, Any]) -> bytes:
    if len(images) > 1:
        options = options | {"save_all": True, "append_images": images[1:]}
        if extras.durations_ms:
            options["duration"] = list(extras.durations_ms)
        if extras.loop is not None:
            options["loop"] = extras.loop
        if kind == "GIF":
            options["disposal"] = 2  # else the previous frame shows through transparent pixels
    buffer = io.BytesIO()
    images[0].save(buffer, kind, **options)
    return buffer.getvalue()


def _png(frames: Sequence[Array], extras: Extras) -> bytes:
    if len(frames) > 1:
        content = _pillow([to_pil(frame) for frame in frames], "PNG", extras, {"compress_level": 1})
    else:
        content = encode_png(frames[0])
    chunks = extras.png_colours
    if extras.icc:
        chunks += chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(extras.icc))
    if extras.dpi:
        chunks += chunk(b"pHYs", struct.pack(">IIB", *(round(value / 0.0254) for value in extras.dpi), 1))
    if extras.exif:
        chunks += chunk(b"eXIf", extras.exif.removeprefix(b"Exif\0\0"))
    if extras.xmp:
        chunks += chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + extras.xmp)
    for name, text in extras.texts:
        chunks += chunk(b"iTXt", name.encode("latin-1", "replace") + b"\0\0\0\0\0" + text.encode("utf-8", "replace"))
    head = 8 + 25  # the signature, and IHDR, which must come first
    return content[:head] + chunks + content[head:]


def _numpy(array: Array, kind: str, bands: bool) -> bytes:
    if array.shape[2] == 2 and not bands:  # the file could not say that the second is alpha
        array = array[:, :, [0, 0, 0, 1]]
    array = array[:, :, 0] if array.shape[2] == 1 else array
    buffer = io.BytesIO()
    if kind == "NPZ":
        np.savez_compressed(buffer, image=array)
    else:
        np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def _gif_frame(array: Array) -> Image.Image:
    """Reduce (H, W, C) to 256 colours: unchanged if it has no more, else the nearest, dithered."""
    if array.shape[2] == 1:
        return to_pil(array)
    alpha = array[:, :, -1] if array.shape[2] in (2, 4) else None
    colours = array[:, :, [0, 0, 0]] if array.shape[2] == 2 else np.ascontiguousarray(array[:, :, :3])
    most = 256 if alpha is None else 255
    codes = colours @ np.array([65536, 256, 1])
    if alpha is not None:
        codes = np.where(alpha < 128, codes[alpha >= 128][:1].sum(), codes)  # hidden pixels take no colour
    values, index = np.unique(codes, return_inverse=True)
    if len(values) <= most:
        image = Image.fromarray(index.reshape(codes.shape).astype(np.uint8))
        image.putpalette(np.stack([values >> 16, values >> 8 & 255, values & 255], axis=1).astype(np.uint8).tobytes())
    else:
        image = Image.fromarray(colours).quantize(most)
    if alpha is not None:
        index = np.where(alpha < 128, np.uint8(255), np.asarray(image))
        palette = image.getpalette() or []
        image = Image.fromarray(index)
        image.putpalette(bytes(palette).ljust(768, b"\0"))
        image.info["transparency"] = 255
    return image


def _tiff(frames: Sequence[Array], extras: Extras, bands: bool) -> bytes:
    """Write pages with deflate, which every reader of TIFF knows."""
    tifffile = load_tifffile()
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer, byteorder="<", ome=False) as writer:
        tags = [*_exif_tags(extras.exif, buffer)] if extras.exif else []
        tags = [tag for tag in tags if tag[0] != _DESCRIPTION or not extras.ome]
        resolution = (*extras.dpi, _INCH) if extras.dpi else extras.resolution
        if extras.xmp:
            tags.append((700, "B", len(extras.xmp), extras.xmp, False))
        for place, frame in enumerate(split(frames) if extras.ome and bands else frames):
            writer.write(
                **tiff_layout(frame, bands),
                compression="zlib",
                compressionargs={"level": 1},
                resolution=resolution and resolution[:2],
                resolutionunit=resolution and resolution[2],
                iccprofile=extras.icc,
                extratags=[*tags, *([] if place else extras.tags)],
                description=None if place else extras.ome,
                software=False,
                metadata=None,
                maxworkers=1,
            )
    if extras.exif:
        _name_directories(buffer)
    return buffer.getvalue()


def split(frames: Sequence[Array]) -> list[Array]:
    """Return each channel of frames (H, W, C) as a page of its own, (H, W, 1)."""
    return [frame[:, :, place : place + 1] for frame in frames for place in range(frame.shape[2])]


def tiff_layout(array: Array, bands: bool) -> dict[str, Any]:
    """Return the arguments for one page that follow from its pixels."""
    if array.shape[2] == 2 and not bands and array.dtype != np.uint8:  # few readers know deep grey with alpha
        array = array[:, :, [0, 0, 0, 1]]
    _, width, channels = array.shape
    extras = ["unspecified"] * (channels - 1) if bands else ["unassalpha"] if channels in (2, 4) else None
    return {
        "data": array[:, :, 0] if channels == 1 else array,
        "photometric": "rgb" if channels >= 3 and not bands else "minisblack",
        "planarconfig": "contig" if channels > 1 else None,
        "extrasamples": extras,
        "predictor": array.dtype != np.float32,  # few readers know the one for floats
        "rowsperstrip": max(1, _STRIP_BYTES // (width * channels * array.itemsize)),
    }


def _exif_tags(exif: bytes, buffer: io.BytesIO) -> Iterator[tuple[int, str, int, Any, bool]]:
    """Yield the EXIF tags for every page, and write their directories to the buffer."""
    found = Image.Exif()
    found.load(exif)
    for tag in found:
        if tag not in _STAND_INS:
            text = found[tag] if isinstance(found[tag], bytes) else str(found[tag]).encode("ascii", "replace")
            yield (tag, "s", 0, text, False)
            continue
        directory = ImageFileDirectory_v2()
        for inner, value in found.get_ifd(tag).items():
            directory[inner] = value
        place = buffer.seek(0, io.SEEK_END)
        buffer.write(directory.tobytes(place))
        yield (_STAND_INS[tag], "I", 1, place, False)


def _name_directories(buffer: io.BytesIO) -> None:
    """Replace the stand-ins with the tags of the EXIF directories, which tifffile does not write."""
    tifffile = load_tifffile()
    buffer.seek(0)
    with tifffile.TiffFile(buffer) as written:
        found = [page.aspage().tags for page in written.pages]
    for tags, (tag, stand_in) in itertools.product(found, _STAND_INS.items()):
        if stand_in in tags:
            buffer.seek(tags[stand_in].offset)
            buffer.write(struct.pack("<H", tag))
