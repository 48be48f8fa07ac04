"""Ask what mixing styles mixes: the shape of one picture and the hue of another, on coloured Fashion-MNIST.

    python tools/bench/styles.py data/fashion OUT [--images N] [--seed S] [--hues N] [--set NAME=VALUE ...]

`data` is what datasets/fashion_mnist.py leaves. Trousers, bags and ankle boots are coloured in hues at random, and the
preset style_fashion, with SETTINGS, learns them without any label. A classifier of brightness
learns the three kinds from real pictures, and the hue is that of the mean of a picture's pixels, so that no network
judges it. 60 coarse latents are mixed with 60 fine ones, from 8, 16 and 32 px on, where the two differ in kind and, by
more than 60 degrees, in hue: each parent is the other's control. Prints how often the kind is that of the coarse parent
and of the fine one; how often the hue is within 30 degrees of theirs; how often a mix has both, the kind of the coarse
one and the hue of the fine one; and, as the control of that, the two exchanged.
"""

import argparse
import colorsys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from conditional import _table, read, right, train_classifier
from torch import nn

from i2i import load_config, train
from i2i.images import Array, read_image, write_image
from i2i.runtime.generator import ImageGenerator
from i2i.runtime.styles import mix, sides, truncate

KINDS = ("Trouser", "Bag", "Ankle boot")
SETTINGS = (
    "generator.skips=false",
    "generator.norm=instance",
    "loss.penalty_weight=1",
    "data.channels=3",
    "train.device=cpu",
)
PARENTS, SPREAD = 60, 30
"""Latents of each side of a mix, and those whose spread is measured."""
NEAR = 30
"""Degrees within which two hues are taken for the same; parents differ by more than twice as many."""
TRUNCATIONS = (1, 0.75, 0.5, 0.25, 0)


class Shares(NamedTuple):
    """How often a mix has the kind of its coarse and of its fine parent, and the hue.

    both: the kind of the coarse and the hue of the fine one; exchanged: the kind of the fine and the hue of the coarse.
    """

    coarse_kind: float
    fine_kind: float
    coarse_hue: float
    fine_hue: float
    both: float
    exchanged: float


def main() -> None:
    """Colour the pictures, train, mix and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--images", type=int, default=24_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--hues", type=int, help="so many instead of all, at equal distances")
    parser.add_argument("--set", dest="changes", action="append", default=[])
    given = parser.parse_args()
    changes = [f"train.seed={given.seed}", *given.changes]
    judge(*fit(given.data, given.out, KINDS, given.images, changes, given.hues))


def fit(
    data: Path,
    out: Path,
    kinds: tuple[str, ...],
    images: int,
    settings: Sequence[str] = (),
    hues: int | None = None,
) -> tuple[ImageGenerator, nn.Module]:
    """Colour the pictures of some kinds; return the model that learned them, and a classifier of the kinds."""
    tables = {split: _table(data / f"{split}.csv") for split in ("train", "test")}
    tables = {split: {name: kind for name, kind in table.items() if kind in kinds} for split, table in tables.items()}
    colour(data / "train", out / "pictures", sorted(tables["train"]), hues)
    reals = {split: read(data / split, table, kinds) for split, table in tables.items()}
    network = train_classifier(*reals["train"], len(kinds))
    print(f"classifier: {right(network, *reals['test']).float().mean():.3f} of real test pictures", flush=True)
    began = time.process_time()
    given = [f"data.path={out / 'pictures'}", f"schedule.images={images}", *SETTINGS]
    given += [f"log.samples_every_images={images}", f"log.checkpoint_every_images={images}"]
    train(load_config("style_fashion", [*given, *settings]), out / "run")
    print(f"{images} images, {time.process_time() - began:.0f} s of processor time")
    return ImageGenerator.open(out / "run", "cpu"), network


def colour(source: Path, out: Path, names: list[str], hues: int | None) -> None:
    """Write grey pictures in a hue of the circle, or one of `hues`, drawn for each: black stays black."""
    out.mkdir(parents=True)
    random = np.random.default_rng(0)
    for name in names:
        angle = random.random() if hues is None else random.integers(hues) / hues
        tint = np.array(colorsys.hsv_to_rgb(angle, 0.8, 1.0))
        write_image(out / name, (read_image(source / name)[:, :, :1] * tint).round().astype(np.uint8))


def apart(hues: Array, others: Array) -> Array:
    """Return the distances of hues on the circle, 0 to 180; all in degrees."""
    distances: Array = np.abs((hues - others + 180) % 360 - 180)
    return distances


def judge(generator: ImageGenerator, network: nn.Module) -> tuple[dict[int, Shares], list[float]]:
    """Print and return the shares by the side from which styles are fine ones, and the spread by the truncation."""
    blocks = generator.generator.blocks
    coarse, fine = generator.draw(range(PARENTS)), generator.draw(range(PARENTS, 2 * PARENTS))
    kinds, hues = zip(*(facts(generator, network, one) for one in (coarse, fine)), strict=True)
    rows, columns = np.nonzero((kinds[0][:, None] != kinds[1]) & (apart(hues[0][:, None], hues[1]) > 2 * NEAR))
    print(f"{2 * PARENTS} parents by kind: {', '.join(map(str, np.bincount(np.concatenate(kinds))))}")
    sextants = np.bincount(np.concatenate(hues).astype(int) // 60, minlength=6)
    print(f"by hue, from red in steps of 60 degrees: {', '.join(map(str, sextants))}")
    print(f"{len(rows)} of {PARENTS**2} pairs differ in both kind and hue")
    print("| from | kind of the coarse | of the fine | hue of the coarse | of the fine | both | exchanged |")
    print("|---|---|---|---|---|---|---|")
    shares, spreads = {}, []
    for px in sides(blocks):
        kind, tint = facts(generator, network, mix(coarse[rows], fine[columns], blocks, px))
        coarse_kind, fine_kind = kind == kinds[0][rows], kind == kinds[1][columns]
        coarse_hue, fine_hue = apart(tint, hues[0][rows]) < NEAR, apart(tint, hues[1][columns]) < NEAR
        every = (coarse_kind, fine_kind, coarse_hue, fine_hue, coarse_kind & fine_hue, fine_kind & coarse_hue)
        shares[px] = Shares(*(float(one.mean()) for one in every))
        print(f"| {px} px | " + " | ".join(f"{share:.3f}" for share in shares[px]) + " |")
    for value in TRUNCATIONS:
        pictures = generator.generate(truncate(coarse[:SPREAD], blocks, value))
        spreads.append(float(127.5 * pictures.std(axis=0).mean()))
        print(f"truncation {value}: spread {spreads[-1]:.1f} grey levels")
    return shares, spreads


def facts(generator: ImageGenerator, network: nn.Module, latents: Array) -> tuple[Array, Array]:
    """Return the kind of each picture, by its number, and the hue of the mean of its pixels in degrees."""
    images = generator.generate(latents).clip(-1, 1)
    with torch.inference_mode():
        brightness = torch.from_numpy(images.max(axis=1, keepdims=True))
        kinds = torch.cat([network(part).argmax(1) for part in brightness.split(500)]).numpy()
    means = (images.mean(axis=(2, 3)) + 1) / 2
    return kinds, np.array([360 * colorsys.rgb_to_hsv(*mean)[0] for mean in means])


if __name__ == "__main__":
    main()
