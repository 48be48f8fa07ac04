"""Count the modes of a toy distribution that a GAN finds: WGAN-GP beside controls, or each cure within equal time.

Each seed trains on the ring of 8 Gaussians and on the grid of 25. Of 2,500 samples, one within 3 sigma of a centre is
good; a mode with a good sample is found. Points drawn uniformly from the square around the grid find many modes by
chance, so their figures are printed, too.

    python tools/bench/toy_modes.py OUT [--toys ring grid] [--seeds 0 1 2 3 4] [--cases WGAN-GP unbounded minimax]

trains preset `wgan_gp_ring` for a number of points, then with the critic unbounded (loss.penalty none), then with the
original minimax loss as well, and prints the processor time of each training.

    python tools/bench/toy_modes.py --seconds 12 [--toys ring] [--seeds 0 1 2 3 4] [--cases vanilla unrolled ...]

trains each case for so many seconds of processor time, with a rate that falls to 0 over the second half, and prints
the median and the worst of the seeds.
"""

import argparse
import statistics
import time
from pathlib import Path

import numpy as np
import torch

from i2i import load_config, train
from i2i.algorithms import ALGORITHMS, resolve
from i2i.data.toy import DRAWS, TOYS, draw, modes_found
from i2i.runtime.generator import ImageGenerator
from i2i.training.optim import make_optimizer, set_rate

_UNBOUNDED = ["loss.penalty=none", "loss.penalty_weight=null"]
CASES = {"WGAN-GP": [], "unbounded": _UNBOUNDED, "minimax": [*_UNBOUNDED, "loss.adversarial=minimax"]}
IMAGES = {"ring": 256_000, "grid": 1_024_000}
_VANILLA = [*_UNBOUNDED, "loss.adversarial=non_saturating", "loss.n_critic=1", "optimizer.betas=[0.5, 0.999]"]
CURES = {
    "vanilla": _VANILLA,
    "unrolled": [*_VANILLA, "loss.adversarial=minimax", "loss.unrolled_steps=2"],
    "minibatch": [*_VANILLA, "discriminator.minibatch_discrimination=l1", "train.batch=64"],
    "packed": [*_VANILLA, "discriminator.packing=2"],
    "WGAN": ["loss.penalty=clip", "loss.penalty_weight=null", "loss.clip=0.1", "loss.n_critic=5"],
    "WGAN-GP": [],
    "EBGAN": [*_VANILLA, "discriminator.name=mlp_autoencoder", "loss.adversarial=margin", "loss.margin=0.1"],
    "R3GAN": ["loss.adversarial=relativistic", "loss.penalty=zero_centred", "loss.penalty_weight=1", "loss.n_critic=1"],
}
"""Changes to the preset `wgan_gp_ring`. Energies are distances, and the margin is a quarter of that of two centres on
the grid. A clip of 0.01, as in preset `wgan_ring`, leaves the critic of points almost flat."""


def find_modes(toy: str, run: Path, seed: int, case: str) -> tuple[int, float]:
    """Train into `run`, and return (modes found, share of good samples)."""
    images = [f"schedule.images={IMAGES[toy]}", f"schedule.decay_images={IMAGES[toy] // 2}"]
    train(load_config("wgan_gp_ring", [f"data.toy={toy}", f"train.seed={seed}", *images, *CASES[case]]), run)
    generator = ImageGenerator.open(run, "cpu")
    return modes_found(toy, generator.points(generator.draw(range(DRAWS))))


def find_modes_within(seconds: float, toy: str, seed: int, changes: list[str]) -> tuple[int, float, int]:
    """Train for so long, in processor time; return (modes found, share of good samples, steps).

    Algorithm, losses and optimizers are those of a training; the engine with its checks and logs would take half of
    the time of networks as small as these.
    """
    config = resolve(load_config("wgan_gp_ring", [f"data.toy={toy}", *changes]))
    torch.manual_seed(seed)
    algorithm = ALGORITHMS[config.algorithm](config)
    of_phase = {one.name: [algorithm.networks[name] for name in one.trains] for one in algorithm.phases}
    optimizers = {name: make_optimizer(networks, config.optimizer) for name, networks in of_phase.items()}
    algorithm.adversaries["D"].optimizer = optimizers["discriminator"]
    random, started, steps = np.random.default_rng(seed), time.process_time(), 0
    while (share := (time.process_time() - started) / seconds) < 1:
        steps += 1
        batch = {"image": torch.from_numpy(draw(toy, config.train.batch, random))}
        for phase in (one for one in algorithm.phases if one.is_due(steps)):
            for name, network in algorithm.networks.items():
                network.requires_grad_(name in phase.trains)
            set_rate(optimizers[phase.name], config.optimizer.lr * min(1.0, 2 - 2 * share))
            optimizers[phase.name].zero_grad()
            terms, weights = algorithm.losses(phase.name, batch, algorithm.forward(batch)), algorithm.weights()
            torch.stack([weights[name] * term for name, term in terms.items() if name in weights]).sum().backward()
            optimizers[phase.name].step()
    with torch.no_grad():
        made = algorithm.networks["generator"](torch.randn(DRAWS, config.generator.latent))  # type: ignore[union-attr]
    return (*modes_found(toy, made.numpy()), steps)


def compare(toy: str, seconds: float, cases: list[str], seeds: list[int]) -> None:
    """Train each case and seed for so long and print each; then print a row of each case, by the median and worst."""
    found: dict[str, list[tuple[int, float, int]]] = {name: [] for name in cases}
    for seed in seeds:
        for name in cases:
            modes, good, steps = find_modes_within(seconds, toy, seed, CURES[name])
            found[name].append((modes, good, steps))
            print(f"{toy}, {name}, seed {seed}: {modes} modes, {good:.1%} good, {steps} steps", flush=True)
    print("| case | modes, median | worst | good, median | worst | steps |")
    for name, rows in found.items():
        modes_of, goods, counts = zip(*rows, strict=True)
        medians = [statistics.median(one) for one in (modes_of, goods, counts)]
        print(
            f"| {name} | {medians[0]:g} | {min(modes_of)} | {medians[1]:.1%} | {min(goods):.1%} | {medians[2]:.0f} |",
            flush=True,
        )


def main() -> None:
    """Read the arguments, train and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, nargs="?")
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--toys", nargs="+", choices=TOYS, default=list(TOYS))
    parser.add_argument("--seeds", nargs="+", type=int, default=list(range(5)))
    parser.add_argument("--cases", nargs="+", choices={**CASES, **CURES})
    given = parser.parse_args()
    if (given.out is None) == (given.seconds is None):
        parser.error("give either OUT or --seconds")
    for toy in given.toys:
        even = np.random.default_rng(0).uniform(-1.1, 1.1, (DRAWS, 2))
        modes, good = modes_found(toy, even)
        print(f"{toy}, even noise: {modes} of {len(TOYS[toy].centres)} modes, {good:.1%} good", flush=True)
        if given.seconds:
            compare(toy, given.seconds, given.cases or list(CURES), given.seeds)
            continue
        for name in given.cases or CASES:
            for seed in given.seeds:
                started = time.process_time()
                modes, good = find_modes(toy, given.out / f"{toy} {name} {seed}", seed, name)
                took = time.process_time() - started
                print(f"{toy}, {name}, seed {seed}: {modes} modes, {good:.1%} good, {took:.0f} s", flush=True)


if __name__ == "__main__":
    main()
