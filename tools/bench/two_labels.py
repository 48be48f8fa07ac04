"""Does a conditional GAN obey two label sets at once? Digits, each black on white and white on black.

A classifier learns both labels from real pictures, and is first scored on unseen ones. Then there is a training for
each way in which the discriminator takes the labels; with none it does not see them: the control.

    python datasets/digits.py scikit_learn-*.whl data/digits
    python tools/bench/two_labels.py data/digits OUT [--conditions projection none ...] [--images N] [--seed S]

Prints the share of samples that show the digit asked for, the paper asked for, and both; then what happens to the same
noise when one of the labels is exchanged: how often that label changes as asked, and the other stays.
"""

import argparse
import csv
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from conditional import train_classifier  # beside this script
from torch import Tensor, nn

from i2i import load_config, train
from i2i.images import read_image, to_unit, write_image
from i2i.runtime.generator import ImageGenerator

DIGITS, PAPERS = tuple(map(str, range(10))), ("black", "white")
EACH = 25
"""Samples of each of the 20 combinations."""


class Obedience(NamedTuple):
    """Shares of samples: right in both labels and in each; and changed as asked, with the other label kept."""

    both: float
    digit: float
    paper: float
    digit_alone: float
    paper_alone: float


def prepare(digits: Path, out: Path) -> None:
    """Write the digits of both splits as they are and inverted, and labels.csv, a table of their labels."""
    rows = [("name", "digit", "paper")]
    for split in ("train", "test"):
        (out / split).mkdir(parents=True)
        for file in sorted((digits / split).glob("*.png")):
            picture, digit = read_image(file), file.stem[-1]
            for paper, shown in (("black", picture), ("white", 255 - picture)):
                write_image(out / split / f"{file.stem}_{paper}.png", shown)
                rows.append((f"{file.stem}_{paper}.png", digit, paper))
    with (out / "labels.csv").open("w", encoding="utf-8", newline="") as written:
        csv.writer(written).writerows(rows)


def read(folder: Path) -> tuple[Tensor, Tensor]:
    """Return images (N, 1, 32, 32) in [-1, 1] and their class: 2 * digit + paper, (N,)."""
    files = sorted(folder.glob("*.png"))
    truth = [2 * int(file.stem.split("_")[1]) + PAPERS.index(file.stem.split("_")[2]) for file in files]
    return torch.from_numpy(np.stack([to_unit(read_image(file)) for file in files])), torch.tensor(truth)


@torch.inference_mode()
def classify(network: nn.Module, images: Tensor) -> Tensor:
    """Return the digit and the paper of images, (N, 2)."""
    found = torch.cat([network(part).argmax(1) for part in images.split(500)])
    return torch.stack([found // 2, found % 2], dim=1)


def measure(network: nn.Module, model: Path) -> Obedience:
    """Ask a model for every combination, with the same noise for all of them."""
    generator = ImageGenerator.open(model, "cpu")
    found = torch.empty(len(DIGITS), len(PAPERS), EACH, 2, dtype=torch.long)
    for d, digit in enumerate(DIGITS):
        for p, paper in enumerate(PAPERS):
            latents = generator.draw(range(EACH), [f"digit={digit}", f"paper={paper}"])
            found[d, p] = classify(network, torch.from_numpy(generator.generate(latents)))
    digit_right = found[..., 0] == torch.arange(len(DIGITS))[:, None, None]
    paper_right = found[..., 1] == torch.arange(len(PAPERS))[:, None]
    other_digit = digit_right.roll(-1, 0) & (found[..., 1] == found[..., 1].roll(-1, 0))
    other_paper = paper_right.flip(1) & (found[..., 0] == found[..., 0].flip(1))
    shares = (digit_right & paper_right, digit_right, paper_right, other_digit, other_paper)
    return Obedience(*(float(one.float().mean()) for one in shares))


def learn(pictures: Path, steps: int = 600) -> nn.Module:
    """Return a classifier of both labels; print how many real test pictures it gets right."""
    network = train_classifier(*read(pictures / "train"), 2 * len(DIGITS), steps, flips=False)
    images, truth = read(pictures / "test")
    right = classify(network, images) == torch.stack([truth // 2, truth % 2], dim=1)
    share = right.all(1).float().mean()
    print(f"classifier: both labels right in {share:.1%} of {len(truth)} real test pictures", flush=True)
    return network


def run(out: Path, network: nn.Module, condition: str, images: int, settings: Sequence[str]) -> Obedience:
    """Train on what `prepare` left in `out`; print and return how well the model obeys."""
    started = time.process_time()
    given = [f"data.path={out / 'pictures'}", f"data.labels={out / 'pictures' / 'labels.csv'}", "train.device=cpu"]
    given += ["generator.width=16", "discriminator.width=16", f"schedule.images={images}"]
    train(load_config("conditional_fashion", [*given, f"loss.condition={condition}", *settings]), out / condition)
    found = measure(network, out / condition)
    print(f"condition {condition}, {images} images, {time.process_time() - started:.0f} s of processor time:")
    print(f"  both {found.both:.3f}, digit {found.digit:.3f}, paper {found.paper:.3f}; another digit on the same")
    print(f"  paper {found.digit_alone:.3f}, another paper for the same digit {found.paper_alone:.3f}", flush=True)
    return found


def main() -> None:
    """Read the arguments, train and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("digits", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--conditions", nargs="+", default=["projection", "concatenation", "auxiliary", "none"])
    parser.add_argument("--images", type=int, default=24_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", action="append", default=[], help="further settings")
    given = parser.parse_args()
    prepare(given.digits, given.out / "pictures")
    network = learn(given.out / "pictures")
    print("chance: both 0.050, digit 0.100, paper 0.500", flush=True)
    for condition in given.conditions:
        run(given.out, network, condition, given.images, [f"train.seed={given.seed}", *given.set])


if __name__ == "__main__":
    main()
