"""Compare how sharp samples of several runs are: their gradient energy, beside that of real pictures.

    python tools/bench/sharpness.py data/digits/test RUN [RUN ...] [--samples N]

The energy is the mean squared difference of neighbouring pixels, for values in [-1, 1]. Blurred pictures have less of
it, and noisy ones more, so it only compares pictures that look like the real ones. The control are the real pictures
themselves, blurred by a 3x3 mean.
"""

import argparse
from pathlib import Path

import numpy as np

from i2i import ImageGenerator
from i2i.images import Array, read_image, to_unit
from i2i.images.listing import list_pictures


def gradient_energy(images: Array) -> float:
    """Return the mean squared difference of neighbours, down and across, of images (N, C, H, W)."""
    return float((np.square(np.diff(images, axis=2)).mean() + np.square(np.diff(images, axis=3)).mean()) / 2)


def blurred(images: Array) -> Array:
    """Return each pixel's mean with its eight neighbours, the edge repeated."""
    padded = np.pad(images, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="edge")
    height, width = images.shape[2:]
    shifts = [padded[:, :, down : down + height, across : across + width] for down in range(3) for across in range(3)]
    mean: Array = np.mean(shifts, axis=0)
    return mean


def main() -> None:
    """Read the arguments and print a line for each set of pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reals", type=Path)
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN")
    parser.add_argument("--samples", type=int, default=1000)
    given = parser.parse_args()
    reals = np.stack([to_unit(read_image(path)) for path in list_pictures(given.reals)])
    print(f"{len(reals)} real pictures: {gradient_energy(reals):.4f}; blurred: {gradient_energy(blurred(reals)):.4f}")
    for run in given.runs:
        generator = ImageGenerator.open(run, "cpu")
        samples = generator.generate(generator.draw(range(given.samples)))
        images = generator.spec.images_seen
        print(f"{generator.spec.algorithm} after {images:,} images: {gradient_energy(samples):.4f}", flush=True)


if __name__ == "__main__":
    main()
