"""Does a label decide what a translation looks like? Each coloured emoji has two outlines: black and white ink.

Two trainings of pix2pix follow that differ in one setting: with the labels, and without (the control), where both
targets of an input are equally right.

    python tools/bench/labelled_pairs.py datasets/lineart OUT [--images N] [--seed S]

Prints on the test split the mean L1 (0..255) to the target with the ink asked for and to the other one; for the
control, to both targets, and to their mean, which is grey everywhere.
"""

import argparse
import csv
import time
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


def main() -> None:
    """Read the arguments, train and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--images", type=int, default=6000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", action="append", default=[], help="further settings")
    given = parser.parse_args()
    pictures = given.out / "pictures"
    table, shown = prepare(given.data, pictures), targets(pictures / "test")
    grey = np.full_like(shown[0][1]["black"], 128)
    from_grey = [distance(grey, one) for _, both in shown for one in both.values()]
    print(f"grey: {np.mean(from_grey):.1f} to both", flush=True)
    settings = [f"data.path={pictures}", "data.direction=B2A", "data.channels_a=1", "data.crop_px=32"]
    settings += ["data.resize_px=36", "generator.width=16", "generator.depth=3", "discriminator.width=16"]
    settings += [f"train.seed={given.seed}"]
    settings += [f"schedule.images={given.images}", f"schedule.decay_images={given.images // 2}", *given.set]
    for name, label in (("labelled", [f"data.labels={table}"]), ("withheld", [])):
        started = time.process_time()
        train(load_config("modern", [*settings, *label]), given.out / name)
        seconds = time.process_time() - started
        found = {}
        for asked, other in (INKS, INKS[::-1]):
            model = Translator.open(given.out / name, device="cpu", labels=[asked] if label else [])
            made = [(model.translate(picture), both) for picture, both in shown]
            found[asked] = [float(np.mean([distance(one, both[ink]) for one, both in made])) for ink in (asked, other)]
            to_grey = float(np.mean([distance(one, grey) for one, _ in made]))
            print(
                f"{name}, asked for {asked}: {found[asked][0]:.1f} to that, {found[asked][1]:.1f} to the other, "
                f"{to_grey:.1f} to grey; {given.images} images, {seconds:.0f} s of processor time",
                flush=True,
            )


if __name__ == "__main__":
    main()
