"""Count what a semi-supervised discriminator learns from few labels and many pictures without one.

    python tools/bench/few_labels.py data/digits OUT [--labels 5] [--images N] [--seeds 0 1 2]

Five training pictures of each digit that datasets/digits.py leaves in data/digits keep their label. The preset
`semi_supervised_digits` learns from these and from all the others without a label. Then its discriminator sorts the
real test pictures. The control is the same network, trained for as many steps as a classifier of the labelled pictures
alone: first shown as they are, then shifted by up to 2 px. Prints the share that each gets right, and how often a
classifier that knows all labels finds the digit that the generator was asked for.
"""

import argparse
import csv
import statistics
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from codes import load_reader  # beside this script
from conditional import agreement, right, train_classifier
from torch import Tensor
from torch.nn import functional as F

from i2i import load_config, train
from i2i.images import read_image, to_unit
from i2i.networks import DCGANDiscriminator

DIGITS = tuple(map(str, range(10)))


class Found(NamedTuple):
    """Shares of test pictures that are told right, and of samples that are the digit asked for."""

    semi_supervised: float
    alone: float
    alone_shifted: float
    asked_for: float


def read(data: Path, split: str) -> tuple[list[str], Tensor, Tensor]:
    """Return the names of a split, its pictures (N, 1, H, W) in [-1, 1], and their digits (N,)."""
    with (data / f"{split}.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))[1:]
    images = np.stack([to_unit(read_image(data / split / name)) for name, _ in rows])
    return [name for name, _ in rows], torch.from_numpy(images), torch.tensor([int(label) for _, label in rows])


def choose(truth: Tensor, each: int, seed: int) -> Tensor:
    """Return the places of `each` pictures of every digit."""
    random = np.random.default_rng(seed)
    places = [random.permutation(np.flatnonzero(truth.numpy() == digit))[:each] for digit in range(10)]
    return torch.from_numpy(np.concatenate(places))


def learn_alone(images: Tensor, truth: Tensor, steps: int, batch: int, rate: float, shifts: bool) -> torch.nn.Module:
    """Return the discriminator's network with a head of classes, which learned from labelled pictures alone."""
    network = DCGANDiscriminator(images.shape[1], 32, 32, "none", spectral_norm=True, heads={"label": 10})
    optimizer = torch.optim.Adam(network.parameters(), rate, betas=(0.0, 0.99))
    for _ in range(steps):
        chosen = torch.randint(len(truth), (batch,))
        shown = images[chosen]
        if shifts:
            shown = shown.roll(torch.randint(-2, 3, (2,)).tolist(), (2, 3))
        optimizer.zero_grad()
        told = network(shown).heads
        assert told is not None
        F.cross_entropy(told["label"], truth[chosen]).backward()
        optimizer.step()
    return network.eval()


@torch.inference_mode()
def accuracy(network: torch.nn.Module, images: Tensor, truth: Tensor) -> float:
    """Return how many images the network's head puts into their class."""
    return float((network(images).heads["label"].argmax(1) == truth).float().mean())


def run(data: Path, out: Path, each: int, seed: int, settings: list[str]) -> Found:
    """Train, print and return what was learned."""
    started = time.process_time()
    names, images, truth = read(data, "train")
    _, *test = read(data, "test")
    labelled = choose(truth, each, seed)
    table, kept = out / f"labels_{10 * each}_{seed}.csv", set(labelled.tolist())
    out.mkdir(parents=True, exist_ok=True)
    rows = [(name, int(truth[k]) if k in kept else "") for k, name in enumerate(names)]
    with table.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("name", "label"), *rows])
    given = [f"data.path={data}", f"data.labels={table}", f"train.seed={seed}", "train.device=cpu", *settings]
    config = load_config("semi_supervised_digits", given)
    folder = out / f"semi_{10 * each}_{seed}"
    train(config, folder)
    steps = (config.schedule.images or 0) // config.train.batch
    torch.manual_seed(seed)
    few = images[labelled], truth[labelled]
    alone, shifted = (
        learn_alone(*few, steps, config.train.batch, config.optimizer.lr, shifts) for shifts in (False, True)
    )
    judge = train_classifier(images, truth, 10, steps=600, flips=False)
    told = [accuracy(network, *test) for network in (load_reader(folder), alone, shifted)]
    found = Found(told[0], told[1], told[2], statistics.mean(agreement(judge, folder, DIGITS)))
    known, took = float(right(judge, *test).float().mean()), time.process_time() - started
    print(f"seed {seed}, {10 * each} labels of {len(truth)}: semi-supervised {found.semi_supervised:.3f}, ", end="")
    print(f"labelled alone {found.alone:.3f}, shifted {found.alone_shifted:.3f}; all labels {known:.3f}")
    print(f"  {found.asked_for:.3f} of samples as asked for; {took:.0f} s of processor time", flush=True)
    return found


def main() -> None:
    """Read the arguments, train and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--labels", type=int, default=5, help="of each digit")
    parser.add_argument("--images", type=int)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    given = parser.parse_args()
    settings = [f"schedule.images={given.images}"] if given.images else []
    found = [run(given.data, given.out, given.labels, seed, settings) for seed in given.seeds]
    for name, values in zip(Found._fields, zip(*found, strict=True), strict=True):
        print(f"{name}: median {statistics.median(values):.3f}, worst {min(values):.3f}")


if __name__ == "__main__":
    main()
