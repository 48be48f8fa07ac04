"""Count the modes of a toy distribution that a WGAN-GP finds, beside controls without its penalty.

Each seed trains on the ring of 8 Gaussians and on the grid of 25 (preset `wgan_gp_ring`), then with the critic
unbounded (loss.penalty none), then with the original minimax loss as well. Of 2,500 samples, one within 3
sigma of a centre is good; a mode with a good sample is found.
Points drawn uniformly from the square around the grid find many modes by chance, so their figures are printed, too.

    python tools/bench/toy_modes.py OUT [--toys ring grid] [--seeds 0 1 2 3 4] [--cases WGAN-GP unbounded minimax]

Prints the processor time of each training.
"""

import argparse
import time
from pathlib import Path

import numpy as np

from i2i import load_config, train
from i2i.data.toy import DRAWS, TOYS, modes_found
from i2i.runtime.generator import ImageGenerator

_UNBOUNDED = ["loss.penalty=none", "loss.penalty_weight=null"]
CASES = {"WGAN-GP": [], "unbounded": _UNBOUNDED, "minimax": [*_UNBOUNDED, "loss.adversarial=minimax"]}
IMAGES = {"ring": 256_000, "grid": 1_024_000}


def find_modes(toy: str, run: Path, seed: int, case: str) -> tuple[int, float]:
    """Train into `run`, and return (modes found, share of good samples)."""
    images = [f"schedule.images={IMAGES[toy]}", f"schedule.decay_images={IMAGES[toy] // 2}"]
    train(load_config("wgan_gp_ring", [f"data.toy={toy}", f"train.seed={seed}", *images, *CASES[case]]), run)
    generator = ImageGenerator.open(run, "cpu")
    return modes_found(toy, generator.points(generator.draw(range(DRAWS))))


def main() -> None:
    """Read the arguments, train and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--toys", nargs="+", choices=TOYS, default=list(TOYS))
    parser.add_argument("--seeds", nargs="+", type=int, default=list(range(5)))
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    given = parser.parse_args()
    for toy in given.toys:
        even = np.random.default_rng(0).uniform(-1.1, 1.1, (DRAWS, 2))
        modes, good = modes_found(toy, even)
        print(f"{toy}, even noise: {modes} of {len(TOYS[toy].centres)} modes, {good:.1%} good", flush=True)
        for name in given.cases:
            for seed in given.seeds:
                started = time.process_time()
                modes, good = find_modes(toy, given.out / f"{toy} {name} {seed}", seed, name)
                took = time.process_time() - started
                print(f"{toy}, {name}, seed {seed}: {modes} modes, {good:.1%} good, {took:.0f} s", flush=True)


if __name__ == "__main__":
    main()
