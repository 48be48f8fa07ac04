"""Samples over the course of a training, small enough that a page holds many of them."""

import base64
import functools
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from i2i.report.record import RunRecord

MOST_FRAMES = 24
"""Sheets on a page, of all runs and directions together; each direction of a run has four at least."""
_LEAST_FRAMES = 4
_FRAME_PIXELS = 300_000
_SHEET_PIXELS = 2_000_000
"""The newest sheet of each direction, and that of the worst pairs, may be larger than the others."""
_QUALITY = 80


def frames(runs: Sequence[RunRecord], most: int = MOST_FRAMES) -> list[dict[str, Any]]:
    """Return for each direction {"direction", "runs": [{"run", "frames": [{"images", "src"}]}]}.

    Of many sheets some are taken, evenly, always with the first and the newest. Files that are no pictures are left
    out.
    """
    directions = list(dict.fromkeys(direction for run in runs for direction in run.samples))
    each = max(_LEAST_FRAMES, most // max(1, sum(len(run.samples) for run in runs)))
    found = []
    for direction in directions:
        of_runs = []
        for place, run in enumerate(runs):
            sheets = _some(run.samples.get(direction, []), each)
            shown = [
                {"images": images, "src": src}
                for number, (images, path) in enumerate(sheets, 1)
                if (src := picture_src(path, _SHEET_PIXELS if number == len(sheets) else _FRAME_PIXELS))
            ]
            if shown:
                of_runs.append({"run": place, "frames": shown})
        if of_runs:
            found.append({"direction": direction, "runs": of_runs})
    return found


def picture_src(path: Path, most_pixels: int = _SHEET_PIXELS) -> str | None:
    """Return a picture as a data: address, reduced where it has too many pixels; None for a file that is none."""
    try:
        stat = path.stat()
        return _encoded(path, stat.st_mtime_ns, stat.st_size, most_pixels)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):  # Pillow raises them for damaged files
        return None


@functools.lru_cache(maxsize=128)  # a training rewrites its page with the same sheets again and again
def _encoded(path: Path, modified_ns: int, size: int, most_pixels: int) -> str:
    with Image.open(path) as opened:
        picture = opened.convert("RGB")
    scale = (most_pixels / (picture.width * picture.height)) ** 0.5
    if scale < 1:
        smaller = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
        picture = picture.resize(smaller, Image.Resampling.BOX, reducing_gap=None)
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=_QUALITY, method=2)
    return f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


def _some(sheets: Sequence[tuple[int, Path]], most: int) -> Sequence[tuple[int, Path]]:
    places = np.linspace(0, len(sheets) - 1, min(len(sheets), most)).round().astype(int)
    return [sheets[place] for place in places]
