"""Convert the IDX files of Fashion-MNIST into folders of PNG files for training on single pictures.

    python datasets/fashion_mnist.py /usr/share/datasets/fashion-mnist data/fashion

SOURCE holds train-images-idx3-ubyte, train-labels-idx1-ubyte and the two t10k files at any depth, plain or .gz. OUT
gets train/00000_9.png (number, label) and test/..., grey, 8 bits, 32 px. train.csv and test.csv name the class of each
picture, for data.labels.
"""

import argparse
import csv
import gzip
import math
import sys
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

from i2i.cli import run_cleanly
from i2i.errors import DataError, UsageError
from i2i.files import atomic_folder
from i2i.images.encode import Array, encode

SPLITS = {"train": "train", "test": "t10k"}  # our name, and that in the file names
PAD_PX = 2  # 28 px can be halved twice, 32 px five times, as networks do
CLASSES = ("T-shirt", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
MAX_BYTES = 1 << 30  # of one unpacked file; MNIST and its relatives are smaller


def main(arguments: list[str] | None = None) -> None:
    """Read, check and write both splits."""
    parser = argparse.ArgumentParser(
        prog="fashion_mnist", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", type=Path, metavar="SOURCE", help="folder with the IDX files at any depth")
    parser.add_argument("out", type=Path, metavar="OUT", help="new folder")
    parser.add_argument("--size", type=int, default=28 + 2 * PAD_PX, help="side in px (default: 32)")
    parser.add_argument("--limit", type=int, help="keep only the first N of each split")
    options = parser.parse_args(arguments)
    if not 8 <= options.size <= 1024:
        raise UsageError(f"--size {options.size} is out of range. Give 8 to 1024 px.")
    if options.limit is not None and options.limit < 1:
        raise UsageError(f"--limit {options.limit} keeps nothing. Give 1 or more, or leave it out.")
    for split, count in convert(options.source, options.out, options.size, options.limit).items():
        print(f"{options.out / split}: {count} pictures of {options.size} px")


def convert(source: Path, out: Path, size_px: int = 32, limit: int | None = None) -> dict[str, int]:
    """Write both splits into the new folder `out`; return the number of pictures of each.

    size_px: side of a picture. limit: keep the first `limit` of each split. Raises DataError if a file is missing, cut
    or no IDX file, UsageError if `out` exists. After an error, there is no `out`.
    """
    counts = {}
    with atomic_folder(out) as temp:
        for split, prefix in SPLITS.items():
            images_path, labels_path = (find(source, f"{prefix}-{kind}") for kind in ("images-idx3", "labels-idx1"))
            images, labels = read_idx(images_path, 3), read_idx(labels_path, 1)
            if len(images) != len(labels):
                raise DataError(f"{images_path} holds {len(images)} pictures, but {labels_path} {len(labels)} labels.")
            folder = temp / split
            folder.mkdir()
            rows = [("name", "label")]
            for number, (image, label) in enumerate(zip(images[:limit], labels[:limit], strict=True)):
                content = encode([fit(image, size_px)[:, :, None]], "PNG")
                rows.append((f"{number:05}_{label}.png", CLASSES[label] if label < len(CLASSES) else str(label)))
                (folder / rows[-1][0]).write_bytes(content)
            with (temp / f"{split}.csv").open("w", encoding="utf-8", newline="") as file:
                csv.writer(file).writerows(rows)
            counts[split] = len(images[:limit])
    return counts


def find(source: Path, name: str) -> Path:
    """Return the only file `name`, plain or .gz, at any depth in `source`; raises DataError."""
    if not source.is_dir():
        unpack = " Unpack it first: dpkg-deb -x FILE FOLDER." if source.suffix == ".deb" else ""
        raise DataError(f"{source} is not a folder.{unpack}")
    wanted = (f"{name}-ubyte", f"{name}-ubyte.gz")
    found = sorted(path for path in source.rglob(f"{name}-ubyte*") if path.name in wanted and path.is_file())
    if not found:
        raise DataError(f"{source} holds neither {wanted[0]} nor {wanted[1]}, at any depth.")
    if len(found) > 1:
        raise DataError(f"{source} holds both {found[0]} and {found[1]}. Give the folder of one.")
    return found[0]


def read_idx(path: Path, axes: int) -> Array:
    """Return the uint8 array of an IDX file: magic number, length of each axis (32 bits, big-endian), data.

    Raises DataError unless the file has `axes` axes and the length that its header says.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            magic, header = file.read(4), file.read(4 * axes)
            if int.from_bytes(magic, "big") != 0x0800 + axes or len(header) < 4 * axes:  # 8 stands for unsigned bytes
                raise DataError(f"{path} is not an IDX file of bytes with {axes} axes: its header is wrong.")
            shape = tuple(int(length) for length in np.frombuffer(header, ">u4"))
            promised = math.prod(shape)
            if not 0 < promised <= MAX_BYTES:
                raise DataError(f"{path} claims to hold {shape} bytes; 1 to {MAX_BYTES:,} are read.")
            data = file.read(promised + 1)
    except (EOFError, zlib.error, gzip.BadGzipFile, ValueError) as error:
        raise DataError(f"{path} is damaged: {error}. Fetch it again.") from error
    if len(data) != promised:
        length = "more" if len(data) > promised else f"only {len(data):,}"
        raise DataError(f"{path} should hold {promised:,} bytes of data, but holds {length}. Fetch it again.")
    return np.frombuffer(data, np.uint8).reshape(shape)


def fit(image: Array, size_px: int) -> Array:
    """Pad a uint8 image (H, W) with black, and resize it if it is not (size_px, size_px) then."""
    padded = np.pad(image, PAD_PX)
    if padded.shape == (size_px, size_px):
        return padded
    return np.asarray(Image.fromarray(padded).resize((size_px, size_px), Image.Resampling.LANCZOS))


if __name__ == "__main__":
    sys.exit(run_cleanly(main))
