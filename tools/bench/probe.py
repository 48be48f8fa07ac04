"""What a discriminator learns of classes that nobody tells it: a linear probe on its features, beside controls.

    pip download scikit-learn --no-deps
    python datasets/digits.py scikit_learn-*.whl data/digits
    python tools/bench/probe.py data/digits [--seeds 0 1 2 3 4] [--steps 1000]

A GAN of perceptrons with i2i's non-saturating loss learns digits of 8x8 without labels. Then a linear map from D's
last features to the classes is fitted by ridge regression, to 100 labelled digits and to all, and classifies the test
split. The controls are the same D before training, and the pixels themselves.
"""

import argparse
import csv
import statistics
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from i2i.images import Array, read_image
from i2i.losses import ADVERSARIAL
from i2i.networks import MLPDiscriminator, MLPGenerator

SIDE, CLASSES, FEW, RIDGE = 8, 10, 100, 0.1


def load(root: Path, split: str) -> tuple[Tensor, Array]:
    """Return digits, (N, 64) in [-1, 1], and their classes."""
    with (root / f"{split}.csv").open(encoding="utf-8", newline="") as file:
        (_, *rows) = csv.reader(file)
    images = [read_image(root / split / name).squeeze().astype(np.float32) for name, _ in rows]
    step = images[0].shape[0] // SIDE
    small = [one.reshape(SIDE, step, SIDE, step).mean(axis=(1, 3)).ravel() / 127.5 - 1 for one in images]
    return torch.tensor(np.stack(small)), np.array([int(label) for _, label in rows])


def probe(features: Array, classes: Array, test_features: Array, test_classes: Array) -> float:
    """Return the share of test features that a linear map, fitted to the others, classifies right."""
    mean, std = features.mean(axis=0), features.std(axis=0) + 1e-6
    known, new = (np.c_[(one - mean) / std, np.ones(len(one))] for one in (features, test_features))
    gram = known.T @ known + RIDGE * len(known) * np.eye(known.shape[1])
    weights = np.linalg.solve(gram, known.T @ np.eye(CLASSES)[classes])
    return float(((new @ weights).argmax(axis=1) == test_classes).mean())


def learn(judge: MLPDiscriminator, images: Tensor, steps: int) -> None:
    """Train D, and a generator against it, on images without labels."""
    generator, loss = MLPGenerator(images.shape[1], latent=16), ADVERSARIAL["non_saturating"]
    of_d, of_g = (torch.optim.Adam(one.parameters(), 2e-4, betas=(0.5, 0.999)) for one in (judge, generator))
    for _ in range(steps):
        real, fake = images[torch.randint(len(images), (64,))], generator(torch.randn(64, 16))
        of_d.zero_grad()
        torch.stack(loss.d(judge(real).logits, judge(fake.detach()).logits)).sum().backward()
        of_d.step()
        of_g.zero_grad()
        loss.g(None, judge(fake).logits).backward()
        of_g.step()


def main() -> None:
    """Read the arguments, train and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--seeds", nargs="+", type=int, default=list(range(5)))
    parser.add_argument("--steps", type=int, default=1000)
    given = parser.parse_args()
    (images, classes), (test, test_classes) = load(given.data, "train"), load(given.data, "test")
    found: dict[str, list[tuple[float, float]]] = {"random D": [], "trained D": [], "pixels": []}
    for seed in given.seeds:
        torch.manual_seed(seed)
        few = np.random.default_rng(seed).permutation(len(images))[:FEW]
        judge = MLPDiscriminator(images.shape[1])

        def scores(features: Array, test_features: Array, few: Array = few) -> tuple[float, float]:
            some = probe(features[few], classes[few], test_features, test_classes)
            return some, probe(features, classes, test_features, test_classes)

        def features_of(images: Tensor, judge: MLPDiscriminator = judge) -> Array:
            with torch.no_grad():
                return np.asarray(judge(images).features[-1])

        found["pixels"].append(scores(images.numpy(), test.numpy()))
        found["random D"].append(scores(features_of(images), features_of(test)))
        learn(judge, images, given.steps)
        found["trained D"].append(scores(features_of(images), features_of(test)))
        row = ", ".join(f"{name} {rows[-1][0]:.3f} and {rows[-1][1]:.3f}" for name, rows in found.items())
        print(f"seed {seed}: {row}", flush=True)
    for name, rows in found.items():
        some, every = (statistics.median(one) for one in zip(*rows, strict=True))
        print(f"{name}: median {some:.3f} with {FEW} labels, {every:.3f} with all", flush=True)


if __name__ == "__main__":
    main()
