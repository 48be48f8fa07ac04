"""Time and memory of a TIFF that is translated in windows.

    python tools/bench/windows.py MODEL FOLDER --sides 20000 20000
    python tools/bench/windows.py MODEL FOLDER --sides 100000 100000 --tile exact --tile-px 2048 --check

Makes a picture of these sides, height and width, in FOLDER, if it is not there: the photos of datasets/maps four times
as large and darker towards the bottom right, in tiles of a BigTIFF with a georeference, about 0.7 bytes a pixel. Prints
the tiles of each pass as they go. With `--check`, compares outputs with those of windows that go through by themselves
with the same norm statistics, and looks for seams.
"""

import argparse
import itertools
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import tifffile
from PIL import Image
from rasterio.windows import Window

from i2i import status
from i2i.images import from_unit, read_image, to_unit
from i2i.runtime.backends import TorchBackend
from i2i.runtime.fit import Fit
from i2i.runtime.picture_options import PictureOptions
from i2i.runtime.pipeline import translate_files
from i2i.runtime.tasks import Task
from i2i.runtime.tiles import Line, planned_lines
from i2i.runtime.translator import Translator

_TILE_PX, _LEVELS, _PHOTOS = 512, 32, 64
_PLACE: Any = [
    (33550, "d", 3, (10.0, 10.0, 0.0), True),  # 10 m a pixel, ...
    (33922, "d", 6, (0, 0, 0, 600000.0, 5000000.0, 0), True),
    (34735, "H", 16, (1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, 32633), True),  # ... in UTM 33N
]


def make(path: Path, height: int, width: int) -> None:
    """Write a picture, tile by tile."""
    with tifffile.TiffWriter(path, bigtiff=True) as writer:
        writer.write(
            _tiles(height, width),
            shape=(height, width, 3),
            dtype=np.uint8,
            tile=(_TILE_PX, _TILE_PX),
            photometric="rgb",
            compression="zlib",
            predictor=True,
            metadata=None,
            extratags=_PLACE,
        )


def _tiles(height: int, width: int) -> Iterator[bytes]:
    photos = [
        read_image(path)[:, : read_image(path).shape[1] // 2]
        for path in sorted(Path("datasets/maps/train").iterdir())[:_PHOTOS]
    ]
    large = [Image.fromarray(photo).resize((_TILE_PX, _TILE_PX), Image.Resampling.BICUBIC) for photo in photos]
    rng, made = np.random.default_rng(0), dict[tuple[int, int], bytes]()
    down, across = -(-height // _TILE_PX), -(-width // _TILE_PX)
    for row, column in itertools.product(range(down), range(across)):
        key = int(rng.integers(len(large))), _LEVELS * (row + column) // (down + across)
        if key not in made:
            steps = np.rint(np.asarray(large[key[0]]) * (1 - key[1] / 48)).astype(np.uint8)
            steps[:, 1:] -= steps[:, :-1].copy()
            made[key] = zlib.compress(steps.tobytes())
        yield made[key]


def peak_mib() -> float:
    """Return the largest resident memory of this process so far, in MiB; not its parent's, as getrusage does."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024


def keep_frozen() -> list[TorchBackend]:
    """Return a list that gets the backend of tiles, with the norm statistics of the picture, once it is made."""
    kept, make_backend = list[TorchBackend](), TorchBackend._of_tiles

    def made(backend: TorchBackend, network: Any) -> TorchBackend:
        kept.append(make_backend(backend, network))
        return kept[-1]

    TorchBackend._of_tiles = made  # type: ignore[assignment, method-assign]
    return kept


def check(task: Task, backend: TorchBackend, lines: tuple[Line, Line], multiple: int, count: int) -> None:
    """Compare places where four tiles meet, and others, with what one tile around them gives by itself."""
    rng, margin, reach = np.random.default_rng(1), 512, 768
    meeting = [[end for _, end in line.inner[:-1]] for line in lines]
    with rasterio.open(task.source) as before, rasterio.open(task.output) as after:
        assert (before.crs, before.transform, before.shape) == (after.crs, after.transform, after.shape)
        print(f"georeference kept: {after.crs}, {tuple(after.transform)[:6]}, tiles of {after.block_shapes[0]}")
        for number in range(count):
            crossing = number % 2 == 0
            places = [
                int(rng.choice(ends)) if crossing else int(rng.integers(reach, side - reach))
                for ends, side in zip(meeting, before.shape, strict=True)
            ]
            top, left = (min(place, side - reach) - reach for place, side in zip(places, before.shape, strict=True))
            around = Window(left // multiple * multiple, top // multiple * multiple, 2 * reach, 2 * reach)
            alone = from_unit(backend.run(to_unit(before.read(window=around).transpose(1, 2, 0))[None])[0])
            found = after.read(window=around).transpose(1, 2, 0)
            inner = slice(margin, -margin)
            difference = np.abs(found[inner, inner].astype(int) - alone[inner, inner])
            kind = "where four tiles meet" if crossing else "anywhere"
            print(
                f"{kind}, row {places[0]:,}, column {places[1]:,}: at most {difference.max()} of 255 levels, "
                f"{(difference > 0).mean():.1e} of the values"
            )


def main() -> None:
    """Make the picture, translate it, and print one line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sides", type=int, nargs=2, default=(20000, 20000), metavar=("H", "W"))
    parser.add_argument("--tile", choices=["frozen", "exact"])
    parser.add_argument("--tile-px", type=int)
    parser.add_argument("--check", type=int, default=0, metavar="N", help="windows of the output to check")
    parser.add_argument("--whole", action="store_true", help="decode, translate and write it whole, for comparison")
    arguments = parser.parse_args()
    height, width = arguments.sides
    arguments.folder.mkdir(parents=True, exist_ok=True)
    source = arguments.folder / f"{height}x{width}.tif"
    if not source.exists():
        make(source, height, width)
    translator = Translator.open(arguments.model, device="cpu", fit=Fit("tile", arguments.tile, arguments.tile_px))
    task = Task(source, arguments.folder / f"{height}x{width}_out.tif")
    start, processor = time.perf_counter(), time.process_time()
    frozen = keep_frozen()
    options, before = PictureOptions(windows=not arguments.whole, max_pixels=2**40), peak_mib()
    with status.shown():
        result = translate_files(translator, [task], options=options, workers=1)
    seconds, processor = time.perf_counter() - start, time.process_time() - processor
    for refused in result.refused:
        print(refused)
    raw = height * width * 3 / 2**20
    print(
        f"{width}x{height} ({raw:,.0f} MiB of pixels): {seconds:,.0f} s, {processor:,.0f} s of the processor, "
        f"{1e9 * processor / height / width:.0f} ms a megapixel, peak {peak_mib():,.0f} MiB ({before:,.0f} before)",
        flush=True,
    )
    if arguments.check:
        plan = translator.planner.plan(height, width, way="tiles")
        lines = planned_lines(plan, translator.spec, translator.generator, translator.backend)
        check(task, frozen[0], lines, translator.generator.size_multiple, arguments.check)


if __name__ == "__main__":
    main()
