"""Colours of videos: what the tags of a frame mean, and its pixels, converted both ways by FFmpeg's swscale."""

from typing import Any, NamedTuple

import numpy as np

from i2i.errors import ImageError
from i2i.images.encode import Array
from i2i.images.pixels import turn

# Code points of ITU-T H.273.
_RGB, _BT709, _UNKNOWN, _BT601 = 0, 1, 2, 6
_FULL, _LIMITED = 2, 1
_HDR_TRANSFERS = {16: "PQ", 18: "HLG"}
_BT2020_PRIMARIES, _BT2020_MATRICES = 9, (9, 10, 14)
_SCALERS = {1: 1, 4: 4, 5: 5, 6: 5, 7: 7}
"""swscale's own numbers for the matrices."""
_WHITE_16 = 65280
"""What swscale means by white in 16 bits."""


class Colours(NamedTuple):
    """What the values of a video mean, as code points of ITU-T H.273; models change none of it."""

    matrix: int = _BT709
    primaries: int = _BT709
    transfer: int = _BT709


def refuse_hdr(name: str, frame: Any) -> None:
    """Raise ImageError for a frame of PyAV in PQ, HLG or bt2020."""
    transfer = _HDR_TRANSFERS.get(frame.color_trc)
    wide = frame.color_primaries == _BT2020_PRIMARIES or frame.colorspace in _BT2020_MATRICES
    if transfer or wide:
        raise ImageError(
            f"{name} is HDR or has wide colours ({transfer or 'bt2020'}), and models take SDR in bt709. "
            "Convert it first, for instance with FFmpeg's zscale and tonemap."
        )


def colours_of(frame: Any) -> Colours:
    """Return the tags of a frame, with what players assume where there are none."""
    large = frame.width >= 1280 or frame.height > 576
    usual = _BT709 if large else _BT601
    matrix = frame.colorspace if frame.colorspace in _SCALERS else usual
    return Colours(matrix, frame.color_primaries or _UNKNOWN, frame.color_trc or _UNKNOWN)


def to_array(frame: Any, orientation: int, side: int | None = None) -> Array:
    """Return a frame of PyAV as an upright array (H, W, 3), or 4 with alpha, in uint8 or uint16.

    side: reduce it to a square of so many pixels. orientation: as EXIF numbers them. It is not read from each frame,
    since reading side data keeps PyAV's frame, with all its pixels, until Python collects cycles.
    """
    parts = frame.format.components
    deep, alpha = max(one.bits for one in parts) > 8, any(one.is_alpha for one in parts)
    rgb = frame.format.is_rgb
    made = _scaler().reformat(
        frame,
        side,
        side,
        format=("rgba64le" if alpha else "rgb48le") if deep else ("rgba" if alpha else "rgb24"),
        src_colorspace=None if rgb else _SCALERS[colours_of(frame).matrix],
        src_color_range=_FULL if _is_full(frame) else _LIMITED,
        dst_color_range=_FULL,
        interpolation=_interpolation(reduces=side is not None),
    )
    array = made.to_ndarray()
    if deep:
        array = np.minimum(array.astype(np.uint32) * 65535 // _WHITE_16, 65535).astype(np.uint16)
    return turn(array, orientation)


def to_frame(array: Array, kind: str, colours: Colours) -> Any:
    """Return (H, W, 3) in uint8 or uint16 as a frame of PyAV in limited range; kind: its pixel format."""
    import av

    if array.dtype == np.uint16:
        array = (array.astype(np.uint32) * _WHITE_16 // 65535).astype(np.uint16)
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(array), "rgb24" if array.dtype == np.uint8 else "rgb48le")
    return _scaler().reformat(
        frame,
        format=kind,
        dst_colorspace=_SCALERS[colours.matrix],
        src_color_range=_FULL,
        dst_color_range=_LIMITED,
        interpolation=_interpolation(),
    )


def _is_full(frame: Any) -> bool:
    """Whether its values use the full range, from black to white."""
    kind = frame.format
    return kind.is_rgb or frame.color_range == _FULL or kind.name.startswith("yuvj")


def _scaler() -> Any:
    from av.video.reformatter import VideoReformatter

    return VideoReformatter()


def _interpolation(reduces: bool = False) -> int:
    """Return the flags of swscale for exact colours."""
    from av.video.reformatter import Interpolation as By

    return int((By.AREA if reduces else By.BICUBIC) | By.ACCURATE_RND | By.FULL_CHR_H_INP | By.FULL_CHR_H_INT)
