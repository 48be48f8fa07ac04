"""Write animations, GIF and APNG, frame by frame: of clips, whose frames need not fit into memory together."""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image

from i2i.images.encode import Array

_BASE = {"gif": Fraction(1, 100), "apng": Fraction(1, 1000)}
"""Unit of time of each kind; that of APNG is ours."""
_LEAST_S = {"gif": Fraction(1, 50), "apng": Fraction(1, 90)}
"""Browsers show a frame that states less for a tenth of a second."""


def write_animation(frames: Iterable[Array], starts: Sequence[Fraction], end: Fraction, output: Path, kind: str) -> int:
    """Write frames (H, W, 3) uint8; return how many were left out, being too short.

    starts, end: when each begins and the last one ends, in seconds. kind: gif or apng.
    """
    stream = None
    shown = _long_enough(starts, _LEAST_S[kind])
    last, base = end - starts[max(shown)], _BASE[kind]
    options = {"plays": "0", "final_delay": f"{last.numerator}/{last.denominator}"}
    if kind == "gif":
        options = {"loop": "0", "final_delay": str(max(round(last / base), 1))}
    with av.open(f"file:{output}", "w", format=kind, options=options) as target:
        for number, array in enumerate(frames):
            if number in shown:
                stream = stream or _open(target, kind, array, base)
                frame = _indexed(array) if kind == "gif" else av.VideoFrame.from_ndarray(array, "rgb24")
                frame.pts, frame.time_base = round(starts[number] / base), base
                target.mux(stream.encode(frame))
        assert stream is not None
        target.mux(stream.encode(None))
    return len(starts) - len(shown)


def _long_enough(starts: Sequence[Fraction], least: Fraction) -> set[int]:
    """Return the numbers of frames that begin so long after the last one of them."""
    found = [0]
    for number, start in enumerate(starts):
        if start - starts[found[-1]] >= least:
            found.append(number)
    return set(found)


def _open(target: Any, kind: str, array: Array, base: Fraction) -> Any:
    stream = target.add_stream(kind, rate=round(1 / base))
    stream.height, stream.width = array.shape[:2]
    stream.pix_fmt = "pal8" if kind == "gif" else "rgb24"
    stream.codec_context.time_base = base
    return stream


def _indexed(array: Array) -> Any:
    """Return a frame of PyAV with 256 colours of its own."""
    image = Image.fromarray(np.ascontiguousarray(array)).quantize(256)
    colours = np.zeros((256, 4), np.uint8)
    colours[:, 0] = 255  # alpha comes first
    palette = np.array(image.getpalette(), np.uint8).reshape(-1, 3)
    colours[: len(palette), 1:] = palette
    return av.VideoFrame.from_ndarray((np.asarray(image), colours), "pal8")
