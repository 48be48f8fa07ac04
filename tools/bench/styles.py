"""Ask what mixing styles mixes: the shape of one picture and the hue of another, on coloured Fashion-MNIST.

    python tools/bench/styles.py data/fashion OUT [--images N] [--seed S] [--set generator.skips=false ...]

`data` is what datasets/fashion_mnist.py leaves. Trousers, bags and ankle boots are coloured in three hues at random,
and the preset style_fashion learns them without any label. A classifier learns the three kinds from real pictures, and
the hue is that of the mean of a picture's pixels, so that no network judges it. For mixes of 30 coarse and 30 fine
latents, from 8, 16 and 32 px on, prints how often the kind is that of the coarse parent and of the fine one, and the
hue likewise; and, as chance, how often the two parents have the same.
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
HUES = (0, 120, 240)
"""In degrees."""
PARENTS = 30
TRUNCATIONS = (1, 0.75, 0.5, 0.25, 0)


class Shares(NamedTuple):
    """How often a mix has the kind of its coarse and of its fine parent, and the hue."""

    coarse_kind: float
    fine_kind: float
    coarse_hue: float
    fine_hue: float


def main() -> None:
    """Colour the pictures, train, mix and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--images", type=int, default=60_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", dest="changes", action="append", default=[])
    given = parser.parse_args()
    generator, network = fit(given.data, given.out, KINDS, given.images, [f"train.seed={given.seed}", *given.changes])
    judge(generator, network)


def fit(
    data: Path, out: Path, kinds: tuple[str, ...], images: int, settings: Sequence[str] = ()
) -> tuple[ImageGenerator, nn.Module]:
    """Colour the pictures of some kinds; return the model that learned them, and a classifier of the kinds."""
    tables = {split: _table(data / f"{split}.csv") for split in ("train", "test")}
    for split, table in tables.items():
        tables[split] = {name: kind for name, kind in table.items() if kind in kinds}
        colour(data / split, out / "pictures" / split, sorted(tables[split]))
    reals = {split: read(out / "pictures" / split, tables[split], kinds) for split in tables}
    network = train_classifier(*reals["train"], len(kinds))
    print(f"classifier: {right(network, *reals['test']).float().mean():.3f} of real test pictures", flush=True)
    began = time.process_time()
    given = [f"data.path={out / 'pictures' / 'train'}", "data.channels=3", f"schedule.images={images}"]
    given += [f"log.samples_every_images={images}", f"log.checkpoint_every_images={images}", "train.device=cpu"]
    train(load_config("style_fashion", [*given, *settings]), out / "run")
    print(f"{images} images, {time.process_time() - began:.0f} s of processor time")
    return ImageGenerator.open(out / "run", "cpu"), network


def colour(source: Path, out: Path, names: list[str]) -> None:
    """Write grey pictures in one of HUES, drawn for each: black stays black."""
    out.mkdir(parents=True)
    random = np.random.default_rng(0)
    for name in names:
        tint = np.array(colorsys.hsv_to_rgb(HUES[random.integers(len(HUES))] / 360, 0.8, 1.0))
        write_image(out / name, (read_image(source / name)[:, :, :1] * tint).round().astype(np.uint8))


def hue(picture: Array) -> int:
    """Return the number of the nearest of HUES to the mean of a picture's pixels, (H, W, 3) uint8."""
    found = colorsys.rgb_to_hsv(*picture.reshape(-1, 3).mean(axis=0) / 255)[0] * 360
    return int(np.argmin([abs((found - one + 180) % 360 - 180) for one in HUES]))


def judge(generator: ImageGenerator, network: nn.Module) -> tuple[dict[int, Shares], list[float]]:
    """Print and return the shares by the side from which styles are fine ones, and the spread by the truncation."""
    blocks = generator.generator.blocks
    coarse, fine = generator.draw(range(PARENTS)), generator.draw(range(PARENTS, 2 * PARENTS))
    rows, columns = np.repeat(np.arange(PARENTS), PARENTS), np.tile(np.arange(PARENTS), PARENTS)
    parents = [facts(generator, network, one) for one in (coarse, fine)]
    same = [float((parents[0][what][rows] == parents[1][what][columns]).mean()) for what in (0, 1)]
    print(f"two parents: the same kind in {same[0]:.3f}, the same hue in {same[1]:.3f}")
    print("| from | kind of the coarse one | of the fine one | hue of the coarse one | of the fine one |")
    print("|---|---|---|---|---|")
    found, spreads = {}, []
    for px in sides(blocks):
        mixed = facts(generator, network, mix(coarse[rows], fine[columns], blocks, px))
        found[px] = Shares(
            *(
                float((mixed[what] == parents[parent][what][places]).mean())
                for what in (0, 1)
                for parent, places in ((0, rows), (1, columns))
            )
        )
        print(f"| {px} px | " + " | ".join(f"{share:.3f}" for share in found[px]) + " |")
    for value in TRUNCATIONS:
        pictures = generator.generate(truncate(coarse, blocks, value))
        spreads.append(float(127.5 * pictures.std(axis=0).mean()))
        print(f"truncation {value}: spread {spreads[-1]:.1f} grey levels")
    return found, spreads


def facts(generator: ImageGenerator, network: nn.Module, latents: Array) -> tuple[Array, Array]:
    """Return the kind and the hue of each picture, by their numbers."""
    images = torch.from_numpy(generator.generate(latents))
    with torch.inference_mode():
        kinds = torch.cat([network(part).argmax(1) for part in images.split(500)]).numpy()
    return kinds, np.array([hue(picture) for picture in generator.pictures(latents)])


if __name__ == "__main__":
    main()
