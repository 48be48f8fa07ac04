"""Tell whether a texture model keeps a pattern that repeats in step over a distance, with its waves and without.

    python tools/bench/waves.py OUT [--images N] [--seed S]

The picture has dots every 12 px, each in a shade of its own. The preset texture_relief, narrower, with a place of the
map every 8 px, learns it twice: with generator.waves 4, and without, the control. Prints how much grey samples of 256
px correlate with themselves moved to the right by some whole periods, with the mean of each row taken out: 0 by chance.
The last row is of the picture itself.
"""

import argparse
import time
from pathlib import Path

import numpy as np

from i2i import load_config, train
from i2i.images import Array, write_image
from i2i.runtime.generator import ImageGenerator

PERIOD, SIDE, SAMPLES = 12, 256, 8
PERIODS = (1, 4, 16)
SMALL = ["data.side=null", "data.crop_px=32", "generator.doublings=3", "generator.width=16", "discriminator.width=16"]
SMALL += ["discriminator.layers=2", "train.device=cpu"]


def dots(side: int = SIDE) -> Array:
    """Return the picture, (side, side, 3) uint8."""
    rows, columns = np.ogrid[:side, :side]
    off = (rows % PERIOD - PERIOD / 2 + 0.5) ** 2 + (columns % PERIOD - PERIOD / 2 + 0.5) ** 2
    count = side // PERIOD + 1
    shades = np.random.default_rng(0).integers(-40, 41, (count, count))[rows // PERIOD, columns // PERIOD]
    dot = np.array([200, 120, 60]) + shades[..., None]
    return np.where(off[..., None] < (PERIOD / 3) ** 2, dot, np.array([40, 60, 90])).astype(np.uint8)


def in_step(picture: Array, periods: int) -> float:
    """Return the correlation of a picture (H, W, 3) with itself moved by so many periods to the right."""
    grey = picture.astype(float).mean(axis=2)
    grey -= grey.mean(axis=1, keepdims=True)
    return float(np.corrcoef(grey[:, periods * PERIOD :].ravel(), grey[:, : -periods * PERIOD].ravel())[0, 1])


def fit(waves: int, data: Path, run: Path, images: int, seed: int) -> list[Array]:
    """Train, and return samples."""
    rare = [f"schedule.images={images}", f"log.samples_every_images={images}", f"log.checkpoint_every_images={images}"]
    changes = [f"data.path={data}", f"generator.waves={waves}", f"train.seed={seed}"]
    train(load_config("texture_relief", [*SMALL, *changes, *rare]), run)
    generator = ImageGenerator.open(run, "cpu", (SIDE, SIDE))
    return generator.pictures(generator.draw(range(SAMPLES)))


def main() -> None:
    """Train both, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--images", type=int, default=16000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    write_image(given.out / "data" / "train" / "dots.png", dots())
    found = {}
    for name, waves in (("4 waves", 4), ("no waves", 0)):
        began = time.process_time()
        run = given.out / name.replace(" ", "_")
        found[name] = fit(waves, given.out / "data", run, given.images, given.seed)
        write_image(given.out / f"{run.name}.png", found[name][0])
        print(f"{name}: {time.process_time() - began:.0f} s of processor time", flush=True)
    found["the picture"] = [dots()]
    print(f"| periods to the right | {' | '.join(map(str, PERIODS))} |")
    for name, pictures in found.items():
        each = [np.mean([in_step(one, periods) for one in pictures]) for periods in PERIODS]
        print(f"| {name} | {' | '.join(f'{one:.2f}' for one in each)} |")


if __name__ == "__main__":
    main()
