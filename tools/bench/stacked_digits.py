"""Count the modes of stacked digits that a GAN finds: vanilla beside packing, minibatch features and EBGAN.

    python tools/bench/stacked_digits.py data/digits OUT [--images N] [--seeds 0] [--cases vanilla packed ...]

Pictures have a digit in red and another one in green, drawn independently from those that datasets/digits.py leaves in
data/digits: 100 modes of equal probability (after the stacked MNIST of Metz et al. 2017, with three digits). A
classifier of single digits, which saw only real ones, names both digits of 2,000 samples. Prints how many of the 100
modes have a sample, the divergence of their shares from equal ones (0 where they are equal, log 100 = 4.61 of a single
mode), and the same of as many real pictures of the test split and of noise.
"""

import argparse
import statistics
import time
from pathlib import Path

import numpy as np
import torch
from conditional import train_classifier  # beside this script
from few_labels import read
from torch import Tensor, nn

from i2i import load_config, train
from i2i.images import Array, from_unit, write_image
from i2i.runtime.generator import ImageGenerator

PICTURES, SAMPLES = 4000, 2000
_SMALL = [
    *("data.channels=3", "generator.width=16", "generator.latent=32", "train.batch=32", "train.device=cpu"),
    *("optimizer.lr=0.001", "discriminator.width=8"),
]
_EBGAN = ["discriminator.name=autoencoder", "discriminator.width=16", "loss.adversarial=margin"]
CASES = {
    "vanilla": [],
    "packed": ["discriminator.packing=4"],
    "minibatch": ["discriminator.minibatch_discrimination=l1"],
    "minibatch-std": ["discriminator.minibatch_std=true"],
    "ebgan": [*_EBGAN, "loss.margin=10", "loss.repelling=0.1"],
    "ebgan-alone": [*_EBGAN, "loss.margin=10"],
    "ebgan-narrow": [*_EBGAN, "loss.margin=5", "loss.repelling=0.1"],
}
"""Changes to the preset `dcgan_fashion`, made small; without the repelling term, and with half of the margin."""


def stack(images: Tensor, count: int, seed: int) -> Array:
    """Return pictures (count, 3, H, W) in [-1, 1] of two digits each, in red and green."""
    chosen = np.random.default_rng(seed).integers(len(images), size=(2, count))
    red, green = (images[torch.from_numpy(one)] for one in chosen)
    return torch.cat([red, green, torch.full_like(red, -1.0)], dim=1).numpy()


@torch.inference_mode()
def modes(network: nn.Module, samples: Array) -> tuple[int, float]:
    """Return how many of the 100 pairs of digits are among samples (N, 3, H, W), and how unequal their shares are."""
    red, green = (network(torch.from_numpy(samples[:, one : one + 1])).argmax(1).numpy() for one in (0, 1))
    shares = np.bincount(10 * red + green, minlength=100) / len(samples)
    there = shares[shares > 0]
    return len(there), float((there * np.log(100 * there)).sum())


def run(case: str, data: Path, out: Path, seed: int, images: int) -> Array:
    """Train a case, and return samples."""
    folder = out / f"{case}{seed}"
    schedule = [f"schedule.images={images}", f"train.seed={seed}", f"data.path={data}"]
    logs = [f"log.{name}_every_images={images}" for name in ("samples", "checkpoint")]
    train(load_config("dcgan_fashion", [*_SMALL, *schedule, *logs, *CASES[case]]), folder)
    generator = ImageGenerator.open(folder, "cpu")
    return generator.generate(generator.draw(range(SAMPLES)))


def main() -> None:
    """Train the cases, and print what each finds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--images", type=int, default=32000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    given = parser.parse_args()
    _, images, truth = read(given.data, "train")
    _, *test = read(given.data, "test")
    network = train_classifier(images, truth, 10, flips=False)
    with torch.inference_mode():
        print(f"classifier: {float((network(test[0]).argmax(1) == test[1]).float().mean()):.3f} of real test digits")
    noise = np.random.default_rng(0).uniform(-1, 1, (SAMPLES, 3, 32, 32)).astype(np.float32)
    for name, samples in (("real test pictures", stack(test[0], SAMPLES, 1)), ("noise", noise)):
        print("{}: {} modes, divergence {:.2f}".format(name, *modes(network, samples)), flush=True)
    folder = given.out / "stacked"
    for number, picture in enumerate(stack(images, PICTURES, 0)):
        write_image(folder / f"{number:05}.png", from_unit(picture))
    for case in given.cases:
        found, began = [], time.process_time()
        for seed in given.seeds:
            found.append(modes(network, run(case, folder, given.out, seed, given.images)))
        each = ", ".join(f"{count} ({divergence:.2f})" for count, divergence in found)
        seconds = (time.process_time() - began) / len(found)
        middle = statistics.median(count for count, _ in found)
        print(f"{case}: {each}; median {middle}, {seconds:.0f} s each", flush=True)


if __name__ == "__main__":
    main()
