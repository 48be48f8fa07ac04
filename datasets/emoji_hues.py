"""Colour the emoji of datasets/lineart in six hues, with captions, for training on text.

    python datasets/emoji_hues.py datasets/lineart data/hues

OUT gets train/red-1f335.png and so on, from the training pictures of SOURCE, and captions.csv with a caption of each
picture, "red cactus": its hue and the name of its emoji in Unicode. Of each emoji, five hues are in train/ and one is
in test/, so that test/ holds combinations that no training picture shows.
"""

import argparse
import colorsys
import csv
import sys
import unicodedata
from pathlib import Path

import numpy as np

from i2i.cli import run_cleanly
from i2i.errors import DataError, UsageError
from i2i.files import atomic_folder
from i2i.images import Array, read_image
from i2i.images.encode import encode

HUES = {"red": 0, "yellow": 60, "green": 120, "cyan": 180, "blue": 240, "magenta": 300}
"""Angles on the colour circle, in degrees."""
PAPER = 245
"""Grey level from which on a pixel of a drawing is taken for its white background."""
WITHOUT_NAME = {0xFE0F, 0x20E3, 0x200D}
"""Code points of a sequence that only say how to draw it."""


def main(arguments: list[str] | None = None) -> None:
    """Read the training pictures, and write both splits and the captions."""
    parser = argparse.ArgumentParser(
        prog="emoji_hues", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", type=Path, metavar="SOURCE", help="datasets/lineart")
    parser.add_argument("out", type=Path, metavar="OUT", help="new folder")
    parser.add_argument("--limit", type=int, help="keep only N emoji, evenly chosen")
    options = parser.parse_args(arguments)
    if options.limit is not None and options.limit < 1:
        raise UsageError(f"--limit {options.limit} keeps nothing. Give 1 or more, or leave it out.")
    for split, count in convert(options.source, options.out, options.limit).items():
        print(f"{options.out / split}: {count} pictures")


def convert(source: Path, out: Path, limit: int | None = None) -> dict[str, int]:
    """Write both splits and captions.csv into the new folder `out`; return the number of pictures of each split.

    limit: keep so many emoji. Raises DataError if there are none, UsageError if `out` exists.
    """
    files = sorted((source / "train").glob("*.png"))
    if not files:
        raise DataError(f"{source} holds no train/*.png. Give the folder datasets/lineart.")
    files = files[:: max(1, len(files) // (limit or len(files)))][:limit]
    counts, rows = {"train": 0, "test": 0}, [("name", "caption")]
    with atomic_folder(out) as temp:
        for split in counts:
            (temp / split).mkdir()
        for place, file in enumerate(files):
            both = read_image(file)
            drawing = both[:, both.shape[1] // 2 :]
            for number, (hue, degrees) in enumerate(HUES.items()):
                split = "test" if number == place % len(HUES) else "train"
                name = f"{hue}-{file.name}"
                (temp / split / name).write_bytes(encode([tint(drawing, degrees)], "PNG"))
                rows.append((name, f"{hue} {name_of(file.stem)}"))
                counts[split] += 1
        with (temp / "captions.csv").open("w", encoding="utf-8", newline="") as table:
            csv.writer(table).writerows(rows)
    return counts


def name_of(stem: str) -> str:
    """Return the name in Unicode of an emoji, given its code points as in 1f468-200d-1f33e: man ear of rice."""
    codes = [int(code, 16) for code in stem.split("-")]
    names = [unicodedata.name(chr(code), "").lower() for code in codes if code not in WITHOUT_NAME]
    return " ".join(filter(None, names)) or "emoji"


def tint(drawing: Array, degrees: float) -> Array:
    """Return a drawing (H, W, 3), uint8, on its white background in shades of one hue."""
    grey = drawing.mean(axis=2, keepdims=True)
    shade = 0.35 + 0.65 * grey / 255  # black lines stay visible in their hue
    coloured = 255 * shade * np.array(colorsys.hsv_to_rgb(degrees / 360, 0.9, 1.0))
    return np.where(drawing.min(axis=2, keepdims=True) >= PAPER, 255, coloured).round().astype(np.uint8)


if __name__ == "__main__":
    sys.exit(run_cleanly(main))
