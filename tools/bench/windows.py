"""Time and memory of a TIFF that is translated in windows.

    python tools/bench/windows.py MODEL FOLDER --sides 20000 20000

Makes a picture of these sides, height and width, in FOLDER, if it is not there: a pattern and noise in RGB, 8 bits.
"""

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from i2i.images.encode import Array, Extras
from i2i.images.windows import write_tiff
from i2i.runtime.fit import Fit
from i2i.runtime.picture_options import PictureOptions
from i2i.runtime.pipeline import translate_files
from i2i.runtime.tasks import Task
from i2i.runtime.translator import Translator

_ROWS = 64


def rows(height: int, width: int) -> Iterator[Array]:
    """Yield a picture from top to bottom."""
    rng, across = np.random.default_rng(0), np.arange(width)[None, :, None]
    for top in range(0, height, _ROWS):
        count = min(_ROWS, height - top)
        wave = np.sin(across / [50, 70, 90] + (top + np.arange(count))[:, None, None] / 110)
        noise = rng.integers(0, 64, (count, width, 1))
        yield np.clip(96 * (1 + wave) + noise, 0, 255).astype(np.uint8)


def peak_mib() -> float:
    """Return the largest resident memory of this process so far, in MiB; not its parent's, as getrusage does."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024


def main() -> None:
    """Make the picture, translate it, and print one line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sides", type=int, nargs=2, default=(20000, 20000), metavar=("H", "W"))
    parser.add_argument("--tile-px", type=int)
    parser.add_argument("--whole", action="store_true", help="decode, translate and write it whole, for comparison")
    arguments = parser.parse_args()
    height, width = arguments.sides
    arguments.folder.mkdir(parents=True, exist_ok=True)
    source = arguments.folder / f"{height}x{width}.tif"
    if not source.exists():
        write_tiff(source, rows(height, width), (height, width), Extras(), bands=False)
    translator = Translator.open(arguments.model, device="cpu", fit=Fit("tile", None, arguments.tile_px))
    task, start = Task(source, arguments.folder / f"{height}x{width}_out.tif"), time.perf_counter()
    options, before = PictureOptions(windows=not arguments.whole, max_pixels=2**40), peak_mib()
    result = translate_files(translator, [task], options=options, workers=1)
    seconds = time.perf_counter() - start
    for refused in result.refused:
        print(refused)
    raw = height * width * 3 / 2**20
    print(
        f"{width}x{height} ({raw:,.0f} MiB of pixels): {seconds:,.0f} s, {height * width / 1e6 / seconds:.2f} Mpx/s, "
        f"peak {peak_mib():,.0f} MiB ({before:,.0f} before)"
    )


if __name__ == "__main__":
    main()
