#!/usr/bin/env python3
"""Measure what loading a pair costs, and how far its pixels are from the published order.

    python tools/bench/loader.py
    python tools/bench/loader.py --data datasets/maps/train --resize 143 --crop 128

The published order, as pytorch-CycleGAN-and-pix2pix describes it: open the A|B file with Pillow, convert it to RGB and
cut it in two. Then, for each half: bicubic to 286 x 286, one crop of 256, one flip, a float tensor in [-1, 1]. Without
--data, A|B JPEGs of 1200 x 600 are made from the tiles of datasets/maps.

One process, one thread. The candidates take turns, file by file. Times are medians of processor time.
"""

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import i2i
from i2i.data.items import Pair
from i2i.data.seeds import AUGMENT, derive_seed
from i2i.data.sets import PairSet
from i2i.images import Array, read_image
from i2i.machine import keep_freed_memory

ROOT = Path(__file__).parent.parent.parent
SIDE_PX = 600


def published(path: Path, resize_px: int, crop_px: int, draw: random.Random) -> list[torch.Tensor]:
    """Load one pair in the published order, as two tensors (3, crop_px, crop_px) in [-1, 1]."""
    from torchvision import transforms

    to_tensor = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.5,) * 3, (0.5,) * 3)])
    both = Image.open(path).convert("RGB")
    half = both.width // 2
    top, left = (int((resize_px - crop_px + 1) * draw.random()) for _ in range(2))
    flip = draw.random() < 0.5
    sides = []
    for start in (0, half):
        side = both.crop((start, 0, start + half, both.height)).resize((resize_px, resize_px), Image.Resampling.BICUBIC)
        side = side.crop((left, top, left + crop_px, top + crop_px))
        if flip:
            side = side.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        sides.append(to_tensor(side))
    return sides


def make_pairs(folder: Path, count: int) -> None:
    """Write `count` A|B JPEGs of 600 px a side, mosaics of the map tiles."""
    tiles = [read_image(path) for path in sorted((ROOT / "datasets" / "maps" / "train").glob("*.jpg"))]
    side = tiles[0].shape[0]
    across = -(-SIDE_PX // side)
    draws = np.random.default_rng(0)
    for number in range(count):
        chosen = draws.permutation(len(tiles))[: across**2].reshape(across, across)
        halves = []
        for half in (slice(0, side), slice(side, 2 * side)):
            rows = [np.concatenate([tiles[tile][:, half] for tile in row], axis=1) for row in chosen]
            halves.append(np.concatenate(rows)[:SIDE_PX, :SIDE_PX])
        pair: Array = np.concatenate(halves, axis=1)
        Image.fromarray(pair).save(folder / f"{number:03d}.jpg", quality=90)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, help="a folder of A|B files")
    parser.add_argument("--resize", type=int, default=286)
    parser.add_argument("--crop", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=10)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()  # as every training does; it helps all candidates
    with tempfile.TemporaryDirectory() as temp:
        folder = Path(temp) / "train"
        folder.mkdir()
        if arguments.data:
            for path in sorted(arguments.data.iterdir())[:20]:
                (folder / path.name).symlink_to(path.resolve())
        else:
            make_pairs(folder, 20)
        measure(Path(temp), arguments.resize, arguments.crop, arguments.rounds)


def measure(root: Path, resize_px: int, crop_px: int, rounds: int) -> None:
    """Print the times of the candidates, and the distance of ours from the published order."""
    files = sorted((root / "train").iterdir())
    settings = [f"data.path={root}", "data.direction=A2B", f"data.resize_px={resize_px}", f"data.crop_px={crop_px}"]
    settings.append(f"data.cache_path={root / 'cache'}")
    sets = {
        cache: PairSet(i2i.load_config("pix2pix", [*settings, f"data.cache={cache}"]))
        for cache in ("none", "ram", "disk")
    }
    candidates: dict[str, Callable[[int], object]] = {
        "published order": lambda n: published(files[n % len(files)], resize_px, crop_px, random.Random(n))
    }
    candidates |= {f"i2i, data.cache {cache}": data.__getitem__ for cache, data in sets.items()}
    for load in candidates.values():  # import what they need, and fill the caches
        for number in range(len(files)):
            load(number)
    times: dict[str, list[float]] = {name: [] for name in candidates}
    for number in range(rounds * len(files)):
        for name, load in candidates.items():
            start = time.process_time()
            load(number)
            times[name].append(time.process_time() - start)
    base = statistics.median(times["published order"])
    for name, values in times.items():
        middle = statistics.median(values)
        print(f"{name:22s} {middle * 1000:7.2f} ms a pair, {base / middle:5.1f} times as fast")
    differences = [distance(sets["none"], number, resize_px, crop_px) for number in range(len(files))]
    print(
        f"distance from the published order in grey levels: at most {max(d.max() for d in differences):.0f}, "
        f"on average {np.mean([d.mean() for d in differences]):.4f}"
    )


def distance(data: PairSet, number: int, resize_px: int, crop_px: int) -> Array:
    """Return the absolute differences, in grey levels, of both on the pair of image `number`, with one draw."""
    (pair,) = data.files(number)
    assert isinstance(pair, Pair)
    theirs = published(pair.a, resize_px, crop_px, random.Random(derive_seed(data.seed, AUGMENT, number)))
    difference = torch.cat(theirs).numpy() - torch.cat(list(data[number].values())).numpy()
    return np.rint(np.abs(difference) * 127.5)


if __name__ == "__main__":
    main()
