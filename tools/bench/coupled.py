"""Check with a separate classifier whether CoGAN makes pairs: the same digit plain and as an outline, from one latent.

    python tools/bench/coupled.py data/digits OUT [--images N] [--seed S]

Of the training pictures that datasets/digits.py leaves in data/digits, one half stays as it is, and the other becomes
outlines: a dilation by 3x3 less the picture, as in the authors' code. So no picture has its partner. A classifier of
each domain learns from real pictures. Then preset `cogan_digits` is trained as it is, and with nothing shared, the
control. Prints how many latents of 1,000 give the same digit in both domains, and how many do with another latent's
outline; then the correlation of a latent's outline with the outline of its plain picture, and with that of another.
"""

import argparse
import csv
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from conditional import right, train_classifier  # beside this script
from PIL import Image, ImageFilter
from torch import Tensor, nn
from torch.nn import functional as F

from i2i import ImageGenerator, load_config, train
from i2i.images import Array, read_image, to_unit, write_image

DOMAINS, PAIRS = ("outline", "plain"), 1000
CASES = {"shared": [], "nothing shared": ["generator.own_layers=4", "discriminator.own_layers=4"]}


class Agreement(NamedTuple):
    """The share of latents with the same digit in both domains, and the correlation of pixels; shuffled, too."""

    digits: float
    shuffled: float
    pixels: float
    shuffled_pixels: float


def outline(picture: Array) -> Array:
    """Return the outline of a picture (H, W, 1) uint8: its dilation less itself."""
    wider = np.asarray(Image.fromarray(picture[:, :, 0]).filter(ImageFilter.MaxFilter(3)))
    return (wider - picture[:, :, 0])[:, :, None]


def read(data: Path, split: str) -> tuple[list[Array], list[int]]:
    """Return the pictures of a split (H, W, 1) uint8, and their digits."""
    with (data / f"{split}.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))[1:]
    return [read_image(data / split / name) for name, _ in rows], [int(label) for _, label in rows]


def write_domains(pictures: list[Array], folder: Path) -> None:
    """Write every other picture as it is, and the outline of each other one, into a subfolder each."""
    for number, picture in enumerate(pictures):
        domain = DOMAINS[number % 2]
        write_image(folder / domain / f"{number:05}.png", picture if domain == "plain" else outline(picture))


def as_batch(pictures: list[Array]) -> Tensor:
    """Return pictures as (N, 1, H, W) in [-1, 1]."""
    return torch.from_numpy(np.stack([to_unit(one) for one in pictures]))


def fit(out: Path, case: str, settings: Sequence[str]) -> Path:
    """Train a case on the domains in `out`; return the run."""
    given = [f"data.path={out / 'pictures'}", "train.device=cpu", *CASES[case], *settings]
    folder = out / case.replace(" ", "_")
    train(load_config("cogan_digits", given), folder)
    return folder


def learn_digits(data: Path) -> list[nn.Module]:
    """Return a classifier of outlines and one of plain digits; print how many unseen ones they tell."""
    networks = []
    for domain in DOMAINS:
        batches = []
        for split in ("train", "test"):
            pictures, digits = read(data, split)
            shown = [outline(one) for one in pictures] if domain == "outline" else pictures
            batches.append((as_batch(shown), torch.tensor(digits)))
        networks.append(train_classifier(*batches[0], 10, steps=600, flips=False))
        accuracy = float(right(networks[-1], *batches[1]).float().mean())
        print(f"classifier, {domain}: {accuracy:.1%} of {len(batches[1][1])} real test pictures", flush=True)
    return networks


def pairs(run: Path) -> tuple[Tensor, Tensor]:
    """Return the outlines and the plain pictures of the first latents, (N, 1, H, W) in [-1, 1] each."""
    generator = ImageGenerator.open(run, "cpu")
    outlines, plain = (generator.generate(generator.draw(range(PAIRS), [name])) for name in DOMAINS)
    return torch.from_numpy(outlines), torch.from_numpy(plain)


def correlate(outlines: Tensor, plain: Tensor) -> tuple[float, float]:
    """Return the mean correlation of each outline with that of its plain picture, and with that of another one's."""
    wanted = F.max_pool2d(plain, 3, stride=1, padding=1) - plain
    own, shuffled = (float(correlation(outlines.roll(step, 0), wanted).mean()) for step in (0, 1))
    return own, shuffled


@torch.inference_mode()
def agree(run: Path, networks: list[nn.Module]) -> Agreement:
    """Return how well the two pictures of a latent agree."""
    both = pairs(run)
    digits = [network(made).argmax(1) for network, made in zip(networks, both, strict=True)]
    shares = [float((digits[0].roll(step) == digits[1]).float().mean()) for step in (0, 1)]
    own, shuffled = correlate(*both)
    return Agreement(shares[0], shares[1], own, shuffled)


def correlation(one: Tensor, other: Tensor) -> Tensor:
    """Return the correlation of the pixels of each two images (N, ...), (N,)."""
    a, b = (images.flatten(1) - images.flatten(1).mean(dim=1, keepdim=True) for images in (one, other))
    return F.cosine_similarity(a, b)


def run(data: Path, out: Path, networks: list[nn.Module], settings: Sequence[str]) -> dict[str, Agreement]:
    """Train both cases; print and return how well pairs agree by the classifiers of both domains."""
    if not (out / "pictures").exists():
        write_domains(read(data, "train")[0], out / "pictures")
    found = {}
    for name in CASES:
        started = time.process_time()
        found[name] = agree(fit(out, name, settings), networks)
        digits, shuffled, *pixels = found[name]
        took = time.process_time() - started
        print(f"{name}: {digits:.3f} of pairs show the same digit, {shuffled:.3f} of shuffled ones", end="; ")
        print(f"pixels correlate by {pixels[0]:.3f}, {pixels[1]:.3f} shuffled; {took:.0f} s", flush=True)
    return found


def main() -> None:
    """Read the arguments, train and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--images", type=int)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    images = [f"schedule.images={given.images}"] if given.images else []
    run(given.data, given.out, learn_digits(given.data), [f"train.seed={given.seed}", *images])


if __name__ == "__main__":
    main()
