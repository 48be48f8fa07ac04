"""Tell from which of two pictures the patches of a texture model's samples are: the nearest source.

    python tools/bench/textures.py datasets/maps/train OUT [--images N]

Trains the preset texture_relief, narrower, on the relief of SOURCES, one run each. Prints the share of patches of 12 px
of what stands in a row whose nearest patch, by Euclidean distance, is in the first picture: samples of both models, and
the left halves of both pictures, each against the right halves of both. In colour, and by shape: in grey, with the mean
and the contrast of each patch taken out. A flat patch is nearest to the flattest picture, whatever made it, so an
untrained network proves nothing here; each model is the other's control.
"""

import argparse
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from i2i import load_config, train
from i2i.images import Array, read_image
from i2i.runtime.generator import ImageGenerator

SOURCES = ("y0865x4352", "y0609x0896")
SIDE, PATCHES, SAMPLES, IMAGES = 12, 2000, 16, 2400
SMALL = ["data.crop_px=32", "generator.doublings=3", "generator.width=16", "discriminator.width=16", "train.device=cpu"]
SMALL += ["discriminator.layers=2"]


def main() -> None:
    """Train and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--images", type=int, default=IMAGES)
    given = parser.parse_args()
    files = [given.data / f"{name}.jpg" for name in SOURCES]
    sources = [relief(file) for file in files]
    rows: list[tuple[str, list[Array], Sequence[Array]]] = [
        (f"samples of {file.stem}", fit(file, given.out, given.images), sources) for file in files
    ]
    left, right = zip(*(np.array_split(source, 2, axis=1) for source in sources), strict=True)
    rows += [(f"left half of {name}", [half], right) for name, half in zip(SOURCES, left, strict=True)]
    print(f"| patches of | nearest to {SOURCES[0]}, in colour | by shape |\n|---|---|---|")
    for name, pictures, others in rows:
        shares = [nearest_is_first(pictures, others, by_shape) for by_shape in (False, True)]
        print(f"| {name} | {shares[0]:.3f} | {shares[1]:.3f} |")


def relief(path: Path) -> Array:
    """Return the right half of a pair of the data set maps."""
    return np.array_split(read_image(path), 2, axis=1)[1]


def fit(picture: Path, out: Path, images: int) -> list[Array]:
    """Train on one picture; return samples."""
    data, run = out / f"{picture.stem}.data", out / picture.stem
    (data / "train").mkdir(parents=True)
    shutil.copy(picture, data / "train")
    rare = [f"schedule.images={images}", f"log.samples_every_images={images}", f"log.checkpoint_every_images={images}"]
    train(load_config("texture_relief", [f"data.path={data}", *SMALL, *rare]), run)
    generator = ImageGenerator.open(run, "cpu", (64, 64))
    return generator.pictures(generator.draw(range(SAMPLES)))


def nearest_is_first(pictures: Sequence[Array], sources: Sequence[Array], by_shape: bool) -> float:
    """Return the share of patches of pictures (H, W, C) that are nearest to a patch of the first source."""
    drawn = np.concatenate([patches(one, by_shape) for one in pictures])
    drawn = drawn[np.random.default_rng(0).permutation(len(drawn))[:PATCHES]]
    distances = np.stack([squares_to_nearest(drawn, patches(source, by_shape)) for source in sources])
    return float((distances.argmin(axis=0) == 0).mean())


def patches(picture: Array, by_shape: bool) -> Array:
    """Return all patches of a picture (H, W, C) as rows, (N, SIDE * SIDE * C) or, by shape, (N, SIDE * SIDE)."""
    values = picture.astype(np.float32)
    if by_shape:
        values = values.mean(axis=2, keepdims=True)
    windows = np.lib.stride_tricks.sliding_window_view(values, (SIDE, SIDE), axis=(0, 1))
    rows: Array = windows.reshape(-1, SIDE * SIDE * values.shape[2])
    if by_shape:
        rows = rows - rows.mean(axis=1, keepdims=True)
        rows = rows / np.maximum(rows.std(axis=1, keepdims=True), 1.0)
    return rows


def squares_to_nearest(rows: Array, others: Array) -> Array:
    """Return the square of each row's distance from the nearest of the others."""
    return (np.square(rows).sum(axis=1)[:, None] + np.square(others).sum(axis=1) - 2 * rows @ others.T).min(axis=1)


if __name__ == "__main__":
    main()
