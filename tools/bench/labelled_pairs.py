"""Does a label decide what a translation looks like? Each coloured emoji has two outlines: black and white ink.

Two trainings of pix2pix follow that differ in one setting: with the labels, and without (the control), where both
targets of an input are equally right.

    python tools/bench/labelled_pairs.py datasets/lineart OUT [--images N] [--seed S]

Prints on the test split the mean L1 (0..255) to the target with the ink asked for and to the other one, and that of a
picture that is grey everywhere.
"""

import argparse
import csv
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from i2i import Translator, load_config, train
from i2i.images import Array, read_image, write_image

INKS = ("black", "white")


def prepare(data: Path, out: Path) -> Path:
    """Write each pair twice, its outline as it is and inverted, and a table of the inks; return its path."""
    rows = [("name", "ink")]
    for split in ("train", "test"):
        (out / split).mkdir(parents=True)
        for file in sorted((data / split).glob("*.png")):
            both = read_image(file)
            half = both.shape[1] // 2
            for ink, outline in zip(INKS, (both[:, :half], 255 - both[:, :half]), strict=True):
                write_image(out / split / f"{file.stem}_{ink}.png", np.concatenate([outline, both[:, half:]], axis=1))
                rows.append((f"{file.stem}_{ink}.png", ink))
    with (out / "labels.csv").open("w", encoding="utf-8", newline="") as written:
        csv.writer(written).writerows(rows)
    return out / "labels.csv"


def targets(folder: Path) -> list[tuple[Array, dict[str, Array]]]:
    """Return the coloured picture and the outline of each ink for every test picture, (H, W, C) uint8."""
    found = []
    for file in sorted(folder.glob("*_black.png")):
        pictures = {ink: read_image(file.with_name(file.name.replace("_black", f"_{ink}"))) for ink in INKS}
        half = pictures["black"].shape[1] // 2
        found.append((pictures["black"][:, half:], {ink: one[:, :half] for ink, one in pictures.items()}))
    return found


def distance(one: Array, other: Array) -> float:
    """Return the mean L1 of two pictures (H, W, C), in grey levels."""
    return float(np.abs(one.astype(float).mean(2) - other.astype(float).mean(2)).mean())


def run(data: Path, out: Path, images: int, seed: int, more: Sequence[str] = ()) -> dict[str, float]:
    """Train both, print, and return how far each is from what was asked for: the mean L1 over both inks."""
    pictures = out / "pictures"
    table, shown = prepare(data, pictures), targets(pictures / "test")
    grey = np.full_like(shown[0][1]["black"], 128)
    means = {"grey": float(np.mean([distance(grey, one) for _, both in shown for one in both.values()]))}
    settings = [f"data.path={pictures}", "data.direction=B2A", "data.channels_a=1", "data.crop_px=32"]
    settings += ["data.resize_px=36", "generator.width=16", "generator.depth=3", "discriminator.width=16"]
    settings += [f"schedule.images={images}", f"schedule.decay_images={images // 2}", f"train.seed={seed}", *more]
    for name, label in (("labelled", [f"data.labels={table}"]), ("withheld", [])):
        started = time.process_time()
        train(load_config("modern", [*settings, *label]), out / name)
        seconds, found = time.process_time() - started, []
        for asked, other in (INKS, INKS[::-1]):
            model = Translator.open(out / name, device="cpu", labels=[asked] if label else [])
            made = [(model.translate(picture), both) for picture, both in shown]
            that, opposite = (np.mean([distance(one, both[ink]) for one, both in made]) for ink in (asked, other))
            print(f"{name}, asked for {asked}: {that:.1f} to that, {opposite:.1f} to the other", flush=True)
            found.append(that)
        means[name] = float(np.mean(found))
        print(f"{name}: {means[name]:.1f} to what was asked for; {images} images, {seconds:.0f} s of processor time")
    print(f"grey everywhere: {means['grey']:.1f}")
    return means


def main() -> None:
    """Read the arguments, train and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--images", type=int, default=6000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", action="append", default=[], help="further settings")
    given = parser.parse_args()
    run(given.data, given.out, given.images, given.seed, given.set)


if __name__ == "__main__":
    main()
