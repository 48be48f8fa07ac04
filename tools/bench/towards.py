"""Check with another classifier where walks towards a class lead, with and without their prior.

    python tools/bench/towards.py data/digits OUT [--images N] [--seed S] [--steps 200]

The preset `plug_and_play_digits` learns from the digits that datasets/digits.py leaves in data/digits. Five latents
for each digit walk towards it, as `i2i generate --towards` does, then without the denoising prior; then both pulled
30 times as hard, with three times the prior; and at last the pixels of pictures walk, without any prior or generator.
The model's own classifier sorts the pictures, and so does another one, of another architecture, that had no part in the
walk. Prints how often each finds the digit asked for, and how far from 0 the latents end.
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from conditional import right, train_classifier  # beside this script
from few_labels import read
from torch import Tensor, nn

from i2i import ImageGenerator, load_config, train
from i2i.models.spec import CLASSIFY
from i2i.runtime.towards import PULL, STEPS, Guide, Pull

EACH = 5
HARD = PULL._replace(condition=30.0)
CASES = {
    "with the prior": PULL,
    "without": PULL._replace(prior=0.0),
    "with the prior, pulled 30 times as hard": HARD._replace(prior=0.3),
    "without, pulled 30 times as hard": HARD._replace(prior=0.0),
}


class Score(NamedTuple):
    """How often the model's own and another classifier find the digit, and the mean norm of the latents."""

    own: float
    other: float
    norm: float


def score(guide: Guide, generator: ImageGenerator, other: nn.Module, steps: int, pull: Pull) -> Score:
    """Return where walks of latents lead."""
    moved = [guide(generator.draw(range(EACH)), [str(digit)], range(EACH), steps, pull) for digit in range(10)]
    latents = np.concatenate(moved)
    images = torch.from_numpy(generator.generate(latents))
    return Score(*sort(guide, other, images), float(np.linalg.norm(latents, axis=1).mean()))


def sort(guide: Guide, other: nn.Module, images: Tensor) -> tuple[float, float]:
    """Return how often each classifier finds the digits asked for, EACH of every digit in order."""
    truth = torch.arange(10).repeat_interleave(EACH)
    own, others = (float(right(network, images, truth).float().mean()) for network in (guide.networks[CLASSIFY], other))
    return own, others


def walk_pixels(guide: Guide, generator: ImageGenerator, steps: int) -> Tensor:
    """Return made pictures after a walk of their pixels along the classifier's gradient, each towards its digit."""
    truth = torch.arange(10).repeat_interleave(EACH)
    images = torch.from_numpy(np.concatenate([generator.generate(generator.draw(range(EACH)))] * 10))
    for _ in range(steps):
        images.requires_grad_()
        likelihood = guide.networks[CLASSIFY](images).log_softmax(dim=1).gather(1, truth[:, None]).sum()
        (gradient,) = torch.autograd.grad(likelihood, images)
        images = (images.detach() + PULL.condition * gradient).clamp(-1, 1)
    return images


def run(
    data: Path,
    out: Path,
    settings: Sequence[str],
    steps: int = STEPS,
    cases: Sequence[str] = tuple(CASES),
    learning_steps: int = 600,
) -> dict[str, Score]:
    """Train unless `out` holds a model; print and return the score of each case.

    learning_steps: of the other classifier.
    """
    started = time.process_time()
    if not out.exists():
        given = [f"data.path={data}", f"data.labels={data / 'train.csv'}", "train.device=cpu", *settings]
        train(load_config("plug_and_play_digits", given), out)
    _, images, truth = read(data, "train")
    _, *test = read(data, "test")
    other = train_classifier(images, truth, 10, learning_steps, flips=False)
    own = Guide.open(out, "cpu").networks[CLASSIFY]
    known = [float(right(network, *test).float().mean()) for network in (own, other)]
    print(f"real test pictures: own classifier {known[0]:.3f}, other {known[1]:.3f}", flush=True)
    guide, generator = Guide.open(out, "cpu"), ImageGenerator.open(out, "cpu")
    found = {name: score(guide, generator, other, steps, CASES[name]) for name in cases}
    found["pixels, without"] = Score(*sort(guide, other, walk_pixels(guide, generator, steps)), float("nan"))
    for name, one in found.items():
        print(
            f"{name}: own classifier {one.own:.3f}, other {one.other:.3f}, norm of latents {one.norm:.1f}", flush=True
        )
    print(f"{time.process_time() - started:.0f} s of processor time")
    return found


def main() -> None:
    """Read the arguments, train and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--images", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=STEPS)
    given = parser.parse_args()
    images = [f"schedule.images={given.images}"] if given.images else []
    run(given.data, given.out, [f"train.seed={given.seed}", *images], given.steps)


if __name__ == "__main__":
    main()
