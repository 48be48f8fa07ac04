"""Check with a separate classifier whether a conditional GAN generates the class it is asked for.

The classifier learns from real pictures, and is first scored on unseen real ones. Two trainings follow that differ in
one setting: the discriminator sees the labels, or they are withheld from it (loss.condition none), so that the
generator has no reason to heed them. --conditions none trains the control alone.

    python tools/bench/conditional.py fashion data/fashion OUT [--images N] [--seed S] [--learning-steps N]
    python tools/bench/conditional.py digits data/digits OUT [--images N] [--seed S]
    python tools/bench/conditional.py emoji datasets/lineart OUT [--images N] [--seed S]

Prints the share of samples that the classifier puts into the requested class, overall and by class, beside
1 / classes, and the processor time of each training.
"""

import argparse
import csv
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from i2i import load_config, train
from i2i.data.augment import resize
from i2i.images import read_image, to_unit
from i2i.runtime.generator import ImageGenerator

SIDE, BATCH, EACH = 32, 128, 100
CONDITIONS = ("projection", "none")
GROUPS = ("Food & Drink", "People & Body", "Symbols")
"""Large groups of emoji that a classifier can tell apart."""


class Case(NamedTuple):
    """Real images for the classifier (training, test); and images and settings of the GAN's training."""

    training: tuple[Tensor, Tensor]
    test: tuple[Tensor, Tensor]
    classes: tuple[str, ...]
    images: int
    settings: list[str]
    steps: int = 400
    flips: bool = True

    def learn(self) -> nn.Module:
        """Return a classifier that learned from the real images."""
        return train_classifier(*self.training, len(self.classes), self.steps, self.flips)


def digits(data: Path, out: Path) -> Case:
    """Return the ten digits that datasets/digits.py leaves in `data`, which are no longer themselves when mirrored."""
    return fashion(data, out)._replace(images=32_000, steps=600, flips=False)


def fashion(data: Path, out: Path) -> Case:
    """Return the ten classes that datasets/fashion_mnist.py leaves in `data`."""
    training, test = (_table(data / f"{split}.csv") for split in ("train", "test"))
    classes = tuple(sorted(set(training.values())))
    settings = [f"data.path={data / 'train'}", f"data.labels={data / 'train.csv'}"]
    learned, unseen = (read(data / split, of, classes) for split, of in (("train", training), ("test", test)))
    return Case(learned, unseen, classes, 40_000, settings, steps=1500)


def emoji(data: Path, out: Path) -> Case:
    """Return three groups of `datasets/lineart`, in colour, and copy their pictures into `out` for the GAN."""
    groups = {name: group for name, group in _table(data / "groups.csv").items() if group in GROUPS}
    folders = {split: out / "pictures" / split for split in ("train", "val", "test")}
    for split, folder in folders.items():
        folder.mkdir(parents=True, exist_ok=True)
        for file in sorted((data / split).glob("*.png")):
            if file.name in groups:
                shutil.copy(file, folder)
    parts = {split: read(folder, groups, GROUPS, left=64) for split, folder in folders.items()}
    learned = tuple(torch.cat(both) for both in zip(parts["train"], parts["val"], strict=True))
    settings = [f"data.path={out / 'pictures'}", f"data.labels={data / 'groups.csv'}", "data.side=B"]
    settings += ["data.channels=3", f"data.resize_px={SIDE}", "data.flip=true"]
    return Case((learned[0], learned[1]), parts["test"], GROUPS, 20_000, settings)


CASES = {"fashion": fashion, "digits": digits, "emoji": emoji}


def _table(path: Path) -> dict[str, str]:
    with path.open(encoding="utf-8", newline="") as file:
        return dict(list(csv.reader(file))[1:])


def read(folder: Path, labels: Mapping[str, str], classes: Sequence[str], left: int = 0) -> tuple[Tensor, Tensor]:
    """Return the labelled pictures from column `left` on as (N, C, 32, 32) in [-1, 1], and their classes (N,)."""
    files = sorted(file for file in folder.glob("*.png") if file.name in labels)
    images = [to_unit(resize(read_image(file)[:, left:], SIDE)) for file in files]
    return torch.from_numpy(np.stack(images)), torch.tensor([classes.index(labels[file.name]) for file in files])


def train_classifier(images: Tensor, truth: Tensor, classes: int, steps: int = 400, flips: bool = True) -> nn.Module:
    """Return a small convolutional network, trained on images (N, C, 32, 32), flipped and shifted by up to 2 px."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for before, after in ((images.shape[1], 32), (32, 64), (64, 96)):
        layers += [nn.Conv2d(before, after, 3, 2, 1), nn.BatchNorm2d(after), nn.ReLU()]
    network = nn.Sequential(*layers, nn.Flatten(), nn.Dropout(0.3), nn.Linear(96 * 16, classes))
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps)
    for step in range(steps):
        chosen = torch.randint(len(truth), (BATCH,))
        shown = images[chosen].roll(torch.randint(-2, 3, (2,)).tolist(), (2, 3))
        optimizer.zero_grad()
        F.cross_entropy(network(shown.flip(3) if flips and step % 2 else shown), truth[chosen]).backward()
        optimizer.step()
        schedule.step()
    return network.eval()


@torch.inference_mode()
def right(network: nn.Module, images: Tensor, truth: Tensor) -> Tensor:
    """Return for each image whether the classifier agrees with `truth` (N,)."""
    return torch.cat([network(part).argmax(1) for part in images.split(500)]) == truth


def agreement(network: nn.Module, model: Path, classes: Sequence[str]) -> list[float]:
    """Return for each requested class the share of samples that the classifier puts into it."""
    generator = ImageGenerator.open(model, "cpu")
    shares = []
    for number, name in enumerate(classes):
        samples = torch.from_numpy(generator.generate(generator.draw(range(EACH), [name])))
        shares.append(float(right(network, samples, torch.full((EACH,), number)).float().mean()))
    return shares


def run(
    case: Case, network: nn.Module, out: Path, seed: int, images: int, conditions: Sequence[str] = CONDITIONS
) -> dict[str, list[float]]:
    """Train with labels shown to and withheld from the discriminator; return the agreement of each by class."""
    found = {}
    for condition in conditions:
        settings = [*case.settings, f"schedule.images={images}", f"loss.condition={condition}", f"train.seed={seed}"]
        started = time.process_time()
        train(load_config("conditional_fashion", settings), out / condition)
        found[condition] = agreement(network, out / condition, case.classes)
        print(f"condition {condition}: {np.mean(found[condition]):.3f} agree, chance is {1 / len(case.classes):.3f}")
        seconds = time.process_time() - started
        print(f"  {_show(case, found[condition])}; {images} images, {seconds:.0f} s of processor time", flush=True)
    return found


def _show(case: Case, shares: Sequence[float]) -> str:
    return ", ".join(f"{name} {share:.2f}" for name, share in zip(case.classes, shares, strict=True))


def main() -> None:
    """Read the arguments, train and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("case", choices=CASES)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--images", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--conditions", nargs="+", default=CONDITIONS, help="ways in which D takes the labels")
    parser.add_argument("--learning-steps", type=int, help="of the classifier")
    parser.add_argument("--set", action="append", default=[], help="further settings")
    given = parser.parse_args()
    case = CASES[given.case](given.data, given.out)
    case = case._replace(steps=given.learning_steps or case.steps, settings=[*case.settings, *given.set])
    network = case.learn()
    told = right(network, *case.test).float()
    by_class = [float(told[case.test[1] == number].mean()) for number in range(len(case.classes))]
    print(f"classifier: {float(told.mean()):.1%} of {len(told)} real test pictures")
    print(f"  {_show(case, by_class)}", flush=True)
    run(case, network, given.out, given.seed, given.images or case.images, given.conditions)


if __name__ == "__main__":
    main()
