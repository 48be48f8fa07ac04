"""Does StackGAN make what the words say, and what do its two ideas change?

    python tools/bench/stackgan.py data/hues OUT [--images N] [--seed S] [--case NAME]

DATA is what datasets/emoji_hues.py writes. Three trainings differ in one setting each: the whole objective, no reals
with a wrong text (loss.wrong_text false), and no divergence (loss.kl 0). A fourth is the second stage, on the first
stage of the whole objective. For each, prints

- hue right: the share of pictures whose hue is the one asked for, with captions of test/, whose combinations of hue and
  emoji no training picture shows; 1 in 6 is chance. The hue is that of the mean chroma, so no network judges.
- spread: how much the pictures of one caption differ with the seed, as the standard deviation of a value over 16 seeds,
  in grey levels, the mean over 50 captions; then the same where only the augmentation's noise changes.
"""

import argparse
import csv
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from i2i import load_config, train
from i2i.images import Array
from i2i.runtime.generator import ImageGenerator

CASES = {
    "whole": ("stackgan_emoji", []),
    "no wrong text": ("stackgan_emoji", ["loss.wrong_text=false"]),
    "no divergence": ("stackgan_emoji", ["loss.kl=0"]),
    "second stage": ("stackgan_emoji_64", []),
}
"""Preset and settings of each."""
HUES = ("red", "yellow", "green", "cyan", "blue", "magenta")
"""At 0, 60, 120, 180, 240 and 300 degrees of the colour circle."""
CAPTIONS, SEEDS = 50, 16


class Scores(NamedTuple):
    """Hue right, a share; the spread, and that of the augmentation alone, in grey levels."""

    hue_right: float
    spread: float
    augmentation: float


def held_out(data: Path) -> list[str]:
    """Return the captions of test/."""
    with (data / "captions.csv").open(encoding="utf-8", newline="") as file:
        captions = dict(list(csv.reader(file))[1:])
    return [captions[path.name] for path in sorted((data / "test").glob("*.png"))]


def score(model: Path, captions: list[str]) -> Scores:
    """Return how a model does on captions that begin with a hue; each gets a seed of its own."""
    generator = ImageGenerator.open(model, "cpu")
    asked = np.concatenate([generator.draw([seed], text=text) for seed, text in enumerate(captions)])
    words = hue_of(generator.generate(asked))
    right = float(np.mean([word == text.split()[0] for word, text in zip(words, captions, strict=True)]))
    noise = generator.generator.blocks[0].size
    spreads = []
    for text in captions[:: max(1, len(captions) // CAPTIONS)]:
        latents = generator.draw(range(SEEDS), text=text)
        fixed = latents.copy()
        fixed[:, :noise] = latents[0, :noise]
        spreads.append([_spread(generator.generate(rows)) for rows in (latents, fixed)])
    return Scores(right, *np.mean(spreads, axis=0))


def _spread(pictures: Array) -> float:
    """Return the standard deviation over pictures (N, C, H, W) in [-1, 1], the mean over values, in grey levels."""
    return float(pictures.std(axis=0).mean() * 127.5)


def hue_of(pictures: Array) -> list[str]:
    """Return the word for the hue of each picture (N, 3, H, W) in [-1, 1]: that of the mean chroma, "" for grey."""
    red, green, blue = ((pictures[:, channel] + 1) / 2 for channel in range(3))
    chroma = red - (green + blue) / 2 + 1j * np.sqrt(3) / 2 * (green - blue)  # its angle is the hue
    means = chroma.reshape(len(pictures), -1).mean(axis=1)
    return [HUES[round(np.degrees(np.angle(one)) / 60) % 6] if abs(one) > 0.02 else "" for one in means]


def run(data: Path, out: Path, case: str, *settings: str) -> Scores:
    """Train a case into a folder of `out` and return its scores on the held-out captions."""
    preset, changes = CASES[case]
    where = [f"data.path={data}", f"data.labels={data / 'captions.csv'}", "data.cache=ram"]
    after = [f"train.after={out / 'whole'}"] if preset == "stackgan_emoji_64" else []
    model = train(load_config(preset, [*where, *after, *settings, *changes]), out / case.replace(" ", "_"))
    return score(model, held_out(data))


def main() -> None:
    """Read the arguments, train and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--images", type=int, help="length of each training; the default is the preset's")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--case", choices=CASES, help="only this one")
    parser.add_argument("--set", action="append", default=[], help="further settings")
    given = parser.parse_args()
    length = [f"schedule.images={given.images}", f"schedule.decay_images={given.images // 3}"] if given.images else []
    print("| case | hue right | spread | by the augmentation | processor time |\n|---|---|---|---|---|", flush=True)
    for case in [given.case] if given.case else CASES:
        started = time.process_time()
        found = run(given.data, given.out, case, *length, f"train.seed={given.seed}", *given.set)
        seconds = time.process_time() - started
        print(
            f"| {case} | {found.hue_right:.3f} | {found.spread:.1f} | {found.augmentation:.1f} | {seconds:.0f} s |",
            flush=True,
        )


if __name__ == "__main__":
    main()
