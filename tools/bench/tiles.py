"""Measure what tiles cost: the seams between them, and the difference from the picture translated whole.

Each model translates a square mosaic of the photos of datasets/maps whole, then in tiles: own (each tile with its own
norm statistics, as in an .onnx file), frozen, and exact.

- seam: how much neighbouring pixels differ where tiles fade into each other, divided by how much they differ
  elsewhere, divided by the same ratio of the picture translated whole. 1 means no seam.
- difference: from the picture translated whole, in grey levels (0..255).

    python tools/bench/tiles.py runs/a runs/b [--px 2048] [--tile-px 512 1024] [--out FOLDER]
"""

import argparse
import time
from pathlib import Path
from typing import Self

import numpy as np

from i2i.images import Array, read_image, write_image
from i2i.runtime.fit import Fit
from i2i.runtime.plan import Planner
from i2i.runtime.tiles import in_tiles, tile_lines
from i2i.runtime.translator import Translator

PHOTOS = Path(__file__).parents[2] / "datasets" / "maps"


def mosaic(height: int, width: int) -> Array:
    """Return (height, width, 3) uint8: the photos of datasets/maps side by side, every second one mirrored."""
    photos = [read_image(path) for path in sorted(PHOTOS.glob("*/*.jpg"))]
    photos = [photo[:, : photo.shape[1] // 2] for photo in photos]  # A, the left half, is the photo
    side = photos[0].shape[0]
    rows = []
    for top in range(0, height, side):
        row = []
        for left in range(0, width, side):
            photo = photos[(top // side * 31 + left // side) % len(photos)]
            row.append(photo[:: -1 if top // side % 2 else 1, :: -1 if left // side % 2 else 1])
        rows.append(np.concatenate(row, axis=1)[:, :width])
    return np.concatenate(rows)[:height]


class Own:
    """A backend whose tiles keep their own norm statistics, as in an .onnx file."""

    def __init__(self, translator: Translator):
        self.name, self.device, self.threads = translator.backend.name, translator.backend.device, 1
        self.notes: list[str] = []
        self.run = translator.backend.run

    def with_threads(self, threads: int) -> Self:
        """Return itself: it always has one thread."""
        return self

    def for_many(self, images: int) -> Self:
        """Return itself."""
        return self


def seam(picture: Array, fades: Array) -> float:
    """Return the roughness of (H, W, C) in the columns where `fades`, (W,) bool, is true, over that elsewhere."""
    rough = np.abs(np.diff(picture.astype(np.float32), axis=1)).mean(axis=(0, 2))
    return float(rough[fades[1:]].mean() / rough[~fades[1:]].mean())


def measure(model: str, picture: Array, tiles: list[int], out: Path | None) -> None:
    """Print a row of the table for every way to translate with `model`."""
    translator = Translator.open(model, device="cpu", fit=Fit("pad"))
    generator = translator.generator
    begin = time.perf_counter()
    whole = translator.translate(picture)
    print(f"| {model} | whole | | | | | {time.perf_counter() - begin:.0f} |", flush=True)
    for tile_px, how in [(px, how) for how in ("own", "frozen") for px in tiles] + [(0, "exact")]:
        begin = time.perf_counter()
        if how == "exact":
            made = Translator.open(model, device="cpu", fit=Fit("tile", "exact")).translate(picture)
        else:
            backend = Own(translator) if how == "own" else translator.backend
            planner = Planner(translator.spec, generator, Fit("tile", tile_px=tile_px))
            planner.statistics_px = tiles[-1]
            plan = planner.plan(picture.shape[0], picture.shape[1])
            made = in_tiles(plan, translator.spec, generator, backend, picture, np.uint8)
        seconds = time.perf_counter() - begin
        difference = made.astype(np.float32) - whole
        ratio = ""
        if how != "exact":
            line = tile_lines(plan.padded, plan.tile, generator.size_multiple, how != "own")[1]
            fades = np.zeros(plan.padded[1], bool)
            for origin, weights in zip(line.origins, line.weights, strict=True):
                fades[origin : origin + line.tile] |= (weights > 0) & (weights < 1)
            fades = fades[: picture.shape[1]]
            ratio = f"{seam(made, fades) / seam(whole, fades):.3f}"
        print(
            f"| {model} | {how} | {tile_px or ''} | {ratio} | {np.abs(difference).mean():.2f} "
            f"| {np.abs(difference).max():.0f} | {seconds:.0f} |",
            flush=True,
        )
        if out:
            write_image(out / f"{Path(model).name}.{how}.{tile_px}.png", made)
    if out:
        write_image(out / f"{Path(model).name}.whole.png", whole)


def main() -> None:
    """Print the table for all models."""
    parser = argparse.ArgumentParser()
    parser.add_argument("models", nargs="+")
    parser.add_argument("--px", type=int, default=2048)
    parser.add_argument("--tile-px", type=int, nargs="+", default=[512, 1024])
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    picture = mosaic(arguments.px, arguments.px)
    print("| model | tiles | px | seam | mean difference | largest | seconds |")
    print("|---|---|---|---|---|---|---|")
    for model in arguments.models:
        measure(model, picture, arguments.tile_px, arguments.out)


if __name__ == "__main__":
    main()
