"""Convert the handwritten digits that scikit-learn ships into folders of PNG files for training on single pictures.

    pip download scikit-learn --no-deps
    python datasets/digits.py scikit_learn-*.whl data/digits

SOURCE is a wheel of scikit-learn, the folder of an installed one, or its digits.csv.gz alone. OUT gets
train/00001_7.png (number, label) and test/..., grey, 8 bits, 32 px: 1,797 digits, every fifth for test. train.csv and
test.csv name the class of each picture, for data.labels.
"""

import argparse
import csv
import gzip
import sys
import zipfile
import zlib
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image

from i2i.cli import run_cleanly
from i2i.errors import DataError
from i2i.files import atomic_folder
from i2i.images.encode import Array, encode

NAME = "digits.csv.gz"
MOST_BYTES = 1 << 24  # of the unpacked table; it has half a megabyte
GREYS, SIDE_PX, SIZE_PX = 16, 8, 32
TEST_EVERY = 5


def main(arguments: list[str] | None = None) -> None:
    """Read, check and write both splits."""
    parser = argparse.ArgumentParser(
        prog="digits", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", type=Path, metavar="SOURCE", help=f"wheel or folder of scikit-learn, or {NAME}")
    parser.add_argument("out", type=Path, metavar="OUT", help="new folder")
    options = parser.parse_args(arguments)
    for split, count in convert(options.source, options.out).items():
        print(f"{options.out / split}: {count} pictures of {SIZE_PX} px")


def convert(source: Path, out: Path) -> dict[str, int]:
    """Write both splits into the new folder `out`; return the number of pictures of each.

    Raises DataError if the table is missing or damaged, UsageError if `out` exists. After an error, there is no `out`.
    """
    images, labels = read(source)
    rows: dict[str, list[tuple[str, int]]] = {"train": [], "test": []}
    with atomic_folder(out) as temp:
        for split in rows:
            (temp / split).mkdir()
        for number, (image, label) in enumerate(zip(images, labels, strict=True)):
            split = "test" if number % TEST_EVERY == 0 else "train"
            rows[split].append((f"{number:05}_{label}.png", int(label)))
            (temp / split / rows[split][-1][0]).write_bytes(encode([enlarge(image)[:, :, None]], "PNG"))
        for split, of_split in rows.items():
            with (temp / f"{split}.csv").open("w", encoding="utf-8", newline="") as file:
                csv.writer(file).writerows([("name", "label"), *of_split])
    return {split: len(of_split) for split, of_split in rows.items()}


def read(source: Path) -> tuple[Array, Array]:
    """Return the digits, (N, 8, 8) from 0 to 16, and their labels (N,); raises DataError."""
    try:
        with gzip.open(_open(source)) as file:
            text = file.read(MOST_BYTES)
        if not text:
            raise ValueError("it is empty")
        table = np.loadtxt(text.decode("ascii").splitlines(), delimiter=",", dtype=np.int64, ndmin=2)
    except (EOFError, zlib.error, ValueError, OSError, zipfile.BadZipFile) as error:
        raise DataError(f"{source} cannot be read: {error}") from error
    images, labels = table[:, :-1], table[:, -1]
    if (
        images.shape[1] != SIDE_PX**2
        or np.min(images) < 0
        or np.max(images) > GREYS
        or not set(labels) <= set(range(10))
    ):
        raise DataError(f"{source} does not hold digits of {SIDE_PX}x{SIDE_PX} with values from 0 to {GREYS}.")
    return images.reshape(-1, SIDE_PX, SIDE_PX), labels


def _open(source: Path) -> IO[bytes]:
    """Return the table's compressed file; raises DataError where there is none, and OSError."""
    if source.is_dir():
        found = sorted(source.rglob(NAME))
        if not found:
            raise DataError(f"{source} holds no {NAME}, at any depth.")
        return found[0].open("rb")
    if source.suffix != ".whl":
        return source.open("rb")
    wheel = zipfile.ZipFile(source)
    found_names = [name for name in wheel.namelist() if name.endswith(f"/{NAME}")]
    if not found_names:
        raise DataError(f"{source} holds no {NAME}. Give a wheel of scikit-learn.")
    return wheel.open(found_names[0])


def enlarge(image: Array) -> Array:
    """Return an image (8, 8) from 0 to 16 as uint8 (32, 32), white on black, between the pixels bilinear."""
    grey = np.round(image * (255 / GREYS)).astype(np.uint8)
    return np.asarray(Image.fromarray(grey).resize((SIZE_PX, SIZE_PX), Image.Resampling.BILINEAR))


if __name__ == "__main__":
    sys.exit(run_cleanly(main))
