"""Compare the preset modern_generate with dcgan at equal processor time, on the shipped sets at 32 px.

    python tools/bench/modern_generate.py OUT [--seconds S] [--seeds 0 1 2] [--sets emoji ground] [--cases ...]

emoji: the colour side of datasets/lineart, at half its size; ground: squares of the satellite photos of datasets/maps.
Each training is stopped, as by Ctrl+C, after S seconds of processor time. Prints KID and coverage of 1,000 samples
against the pictures of the test split, on features of random convolutions, and writes a sheet of 64 beside each run.
"""

import argparse
import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from i2i import load_config
from i2i.data.augment import resize
from i2i.errors import Stopped
from i2i.images import Array, read_image, write_image
from i2i.metrics.distributions import density_coverage, kid, kid_interval
from i2i.metrics.features import features
from i2i.runtime.generator import ImageGenerator
from i2i.training.start import train

SIDE_PX, SAMPLES = 32, 1000
CASES = {
    "modern_generate": ("modern_generate", ()),
    "dcgan": ("dcgan_emoji", ()),  # of width 32, with batches of 32
    "dcgan, batch 64": ("dcgan_emoji", ("train.batch=64",)),
    "dcgan, EMA": ("dcgan_emoji", ("train.ema_half_life_images=2000",)),
}
"""By name, a preset and its changes."""


class Pictures(NamedTuple):
    """A set: the folder in datasets/, the side of each file that counts, and the side in px to resize it to."""

    folder: str
    side: str
    resize_px: int | None


SETS = {"emoji": Pictures("lineart", "B", SIDE_PX), "ground": Pictures("maps", "A", None)}


def main() -> None:
    """Train and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=list(SETS))
    parser.add_argument("--cases", nargs="+", default=["modern_generate", "dcgan"], choices=list(CASES))
    given = parser.parse_args()
    print("| set | case | seed | images | KID, times 1,000 | 95% | coverage | processor time |")
    print("|---|---|---|---|---|---|---|---|")
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell ignores in the background
    real = {name: features(reals(SETS[name]), "random") for name in given.sets}
    for seed in given.seeds:
        for name in given.sets:
            for case in given.cases:
                run = given.out / f"{name}_{case}_{seed}".replace(", ", "_").replace(" ", "_")
                images, seconds = fit(case, SETS[name], run, seed, given.seconds)
                print(
                    f"| {name} | {case} | {seed} | {images:,} | {score(run, real[name])} | {seconds:.0f} s |",
                    flush=True,
                )


def reals(pictures: Pictures) -> list[Array]:
    """Return the squares of SIDE_PX of the test split."""
    found = []
    for path in sorted((Path("datasets") / pictures.folder / "test").iterdir()):
        left, right = np.hsplit(read_image(path), 2)
        picture = resize(left if pictures.side == "A" else right, pictures.resize_px)
        rows = np.vsplit(picture, len(picture) // SIDE_PX)
        found += [square for row in rows for square in np.hsplit(row, row.shape[1] // SIDE_PX)]
    return found


def fit(case: str, pictures: Pictures, run: Path, seed: int, most_s: float) -> tuple[int, float]:
    """Train a case into a folder for that much processor time; return the images and the seconds."""
    preset, changes = CASES[case]
    data = [f"data.path=datasets/{pictures.folder}", f"data.side={pictures.side}", "data.flip=true"]
    data += [f"data.resize_px={pictures.resize_px or 'null'}", f"data.crop_px={SIDE_PX}"]
    rest = ["schedule.images=100000000", "schedule.decay_images=0", "log.every_images=320"]
    rest += ["log.samples_every_images=100000000", "log.checkpoint_every_images=100000000"]
    config = load_config(preset, [*data, *rest, f"train.seed={seed}", "train.device=cpu", *changes])
    seen, begun = [0], time.process_time()

    def stop_in_time(row: Mapping[str, Any]) -> None:
        seen[0] = row["images"]
        if time.process_time() - begun >= most_s:
            os.kill(os.getpid(), signal.SIGINT)

    try:
        train(config, run, callbacks=[stop_in_time])
    except Stopped:
        if time.process_time() - begun < most_s:  # not by us
            raise
    return seen[0], time.process_time() - begun


def score(run: Path, real: Array) -> str:
    """Return the figures of a line of the table; write a sheet of samples."""
    generator = ImageGenerator.open(run, "cpu")
    pictures = generator.pictures(generator.draw(range(SAMPLES)))
    rows = [np.concatenate(list(pictures[start : start + 16]), axis=1) for start in range(0, 64, 16)]
    write_image(run.with_suffix(".png"), np.concatenate(rows))
    made = features(pictures, "random")
    low, high = kid_interval(real, made)
    coverage = density_coverage(real, made[: len(real)])[1]
    return f"{1000 * kid(real, made):.2f} | {1000 * low:.2f} to {1000 * high:.2f} | {coverage:.3f}"


if __name__ == "__main__":
    main()
