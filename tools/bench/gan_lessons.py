"""What the lectures say of GANs, each beside a control: the figures of docs/gan.md, computed with i2i's own losses.

python tools/bench/gan_lessons.py [game] [foresight] [disjoint] [saturation] [quality]

All but `quality` take seconds; that one trains three GANs on the ring of 8 Gaussians, with three seeds each.
"""

import math
import statistics
import sys
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from i2i import load_config
from i2i.algorithms import ALGORITHMS, resolve
from i2i.algorithms.unrolling import unroll
from i2i.config.settings import Config
from i2i.data.toy import draw
from i2i.images import Array
from i2i.losses import ADVERSARIAL, PENALTIES
from i2i.networks import MLPDiscriminator, MLPGenerator
from i2i.training.engine import Engine
from i2i.training.fabric import make_fabric

GAMES = {"xy game": "wasserstein", "Dirac-GAN, minimax": "minimax", "Dirac-GAN, non-saturating": "non_saturating"}
"""The games with reals at 0, G() = x and D(z) = y z; with Wasserstein's loss, G minimises -x y and D x y."""
DISTANCES = (0.5, 1.0, 2.0, 4.0, 8.0)
LOGITS = (0.0, -2.0, -5.0, -10.0, -20.0)
STEPS_OF_D, SEEDS = (0, 50, 200, 1000), range(5)
_NEAR_ITS_BEST = [
    *("train.device=cpu", "optimizer.lr=1e-4", "optimizer.lr_discriminator=1e-3", "optimizer.betas=[0.5, 0.9]"),
    *("loss.n_critic=5", "loss.n_critic_long={steps: 300, first: 1, every: 100000}"),
]
QUALITY = {
    "WGAN-GP": [*_NEAR_ITS_BEST, "loss.penalty_weight=1"],
    "WGAN": [*_NEAR_ITS_BEST, "loss.penalty=clip", "loss.penalty_weight=null", "loss.clip=0.1"],
    "non-saturating": [
        *_NEAR_ITS_BEST,
        *("loss.adversarial=non_saturating", "loss.penalty=none", "loss.penalty_weight=null"),
    ],
}
"""Changes to the preset `wgan_gp_ring`: a slow generator, and a discriminator that keeps near its best."""


def total(terms: tuple[Tensor, Tensor]) -> Tensor:
    """Return D's loss from its two terms."""
    return terms[0] + terms[1]


def play(loss: str, alternating: bool, gamma: float, steps: int = 500, rate: float = 0.1) -> float:
    """Play a game by gradient descent from (1, 1); return the distance from the equilibrium, (0, 0), at the end.

    gamma: weight of R1 (Mescheder et al. 2018, eq. 9); 0 is without.
    """
    x, y = torch.ones(1, 1, requires_grad=True), torch.ones(1, 1, requires_grad=True)
    real = torch.zeros(1, 1)

    def of_d() -> Tensor:
        terms = total(ADVERSARIAL[loss].d(real * y, x.detach() * y))
        return terms + gamma * PENALTIES["r1"](lambda at: at * y, real, x) if gamma else terms

    for _ in range(steps):
        (up,) = torch.autograd.grad(of_d(), y)
        if alternating:
            with torch.no_grad():
                y -= rate * up
        (down,) = torch.autograd.grad(ADVERSARIAL[loss].g(None, x * y), x)
        with torch.no_grad():
            x -= rate * down
            if not alternating:
                y -= rate * up
    return math.hypot(float(x.detach()), float(y.detach()))


class Line(nn.Module):
    """D(z) = y z, from y = 1."""

    def __init__(self) -> None:
        super().__init__()
        self.y = nn.Parameter(torch.ones(1, 1))


def foresee(loss: str, steps: int, turns: int = 500, rate: float = 0.1) -> float:
    """Play a game from (1, 1) in turn, D by Adam; return the mean distance from (0, 0) over the last 100 turns.

    steps: of D's Adam that G foresees, with the loss of i2i's unrolling; 0 is without.
    """
    network, x, real, distances = Line(), torch.ones(1, 1, requires_grad=True), torch.zeros(1, 1), []
    optimizer = torch.optim.Adam(network.parameters(), rate, betas=(0.5, 0.9))

    def terms(y: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        return ADVERSARIAL[loss].d(real * y, fake * y)

    def of_d(weights: dict[str, Tensor]) -> Tensor:
        return total(terms(weights["y"], x))

    for _ in range(turns):
        optimizer.zero_grad()
        total(terms(network.y, x.detach())).backward()
        optimizer.step()
        y = unroll(network, optimizer, of_d, steps)["y"]
        (down,) = torch.autograd.grad(ADVERSARIAL[loss].g(None, x * y) - terms(y, x)[0], x)
        with torch.no_grad():
            x -= rate * down
        distances.append(math.hypot(float(x.detach()), float(network.y.detach())))
    return statistics.mean(distances[-100:])


def jensen_shannon(real_logits: Tensor, fake_logits: Tensor) -> float:
    """Return JS in nats from the best D's logits: log 2 minus half of its loss (Goodfellow et al. 2014, theorem 1)."""
    return math.log(2) - float(total(ADVERSARIAL["minimax"].d(real_logits, fake_logits))) / 2


def divergences(distance: float, draws: int = 200_000) -> tuple[float, float, float]:
    """Return JS and Wasserstein's distance of two points, and JS of two Gaussians of sigma 1 as far apart.

    Of points, the best D is sure of each, wherever they are; the best critic of slope 1 is the line through both.
    The Gaussians overlap, and their best logit is log p - log q.
    """
    sure = torch.tensor([40.0])
    points = jensen_shannon(sure, -sure)
    place = torch.tensor([distance])
    wasserstein = -float(total(ADVERSARIAL["wasserstein"].d(-0 * place, -place)))
    noise = torch.randn(draws, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    real, fake = ((distance / 2 - at) * distance for at in (noise, noise + distance))
    return points, wasserstein, jensen_shannon(real, fake)


def gradient_on_logit(loss: str, logit: float) -> float:
    """Return the size of the gradient of G's loss with respect to the logit of one fake."""
    fake = torch.tensor([logit], dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(ADVERSARIAL[loss].g(None, fake), fake)
    return float(gradient.abs())


def gradients_on_networks(steps: tuple[int, ...] = STEPS_OF_D, seed: int = 0) -> list[tuple[int, list[float]]]:
    """Train D against a generator that stays, on the ring; return after `steps` each the 2-norms of G's gradient.

    In each list: D's mean logit of fakes, the gradient with the minimax loss, and with the non-saturating one.
    """
    torch.manual_seed(seed)
    generator, judge = MLPGenerator(latent=2, width=64, layers=2), MLPDiscriminator(width=64, layers=2)
    optimizer = torch.optim.Adam(judge.parameters(), 1e-3)
    random, found = np.random.default_rng(seed), []
    weights = list(generator.parameters())
    for step in range(max(steps) + 1):
        real, fake = torch.from_numpy(draw("ring", 256, random)), generator(torch.randn(256, 2))
        if step in steps:
            logits = judge(fake).logits
            row = [float(logits.mean().detach())]
            for loss in ("minimax", "non_saturating"):
                parts = torch.autograd.grad(ADVERSARIAL[loss].g(None, logits), weights, retain_graph=True)
                row.append(math.sqrt(sum(float(part.square().sum()) for part in parts)))
            found.append((step, row))
        optimizer.zero_grad()
        total(ADVERSARIAL["minimax"].d(judge(real).logits, judge(fake.detach()).logits)).backward()
        optimizer.step()
    return found


def energy_distance(one: Array, other: Array) -> float:
    """Return the energy distance of two sets of points (N, 2): 0 where they are alike (Szekely and Rizzo 2013)."""

    def mean(a: Array, b: Array) -> float:
        return float(np.linalg.norm(a[:, None] - b, axis=2).mean())

    return 2 * mean(one, other) - mean(one, one) - mean(other, other)


def ranks_agree(one: Sequence[float], other: Sequence[float]) -> float:
    """Return Spearman's rank correlation of two lists without ties."""
    places = [np.argsort(np.argsort(values)).tolist() for values in (one, other)]
    return statistics.correlation(*places)


def follow(config: Config, turns: int = 160, every: int = 8) -> tuple[float, float, float]:
    """Train on the ring for `turns` of the generator; return the first and last energy distance, and
    how D's loss with its sign changed follows it: Spearman's rank correlation."""
    torch.manual_seed(config.train.seed)
    engine = Engine(make_fabric(config), ALGORITHMS[config.algorithm](config))
    random, distances, estimates, seen = np.random.default_rng(config.train.seed), [], [], []
    real, z = draw("ring", 1000, random), torch.randn(1000, 2)
    turn = 0
    while turn < turns:
        terms = engine.train_step({"image": torch.from_numpy(draw("ring", config.train.batch, random))})
        seen.append(-float(terms["D_real"] + terms["D_fake"]))
        turn += "G_GAN" in terms
        if "G_GAN" in terms and turn % every == 0:
            with torch.no_grad():
                made = engine.networks["generator"](z).numpy()
            distances.append(energy_distance(made, real))
            estimates.append(float(np.mean(seen[-config.loss["n_critic"] * every // 2 :])))
    return distances[0], distances[-1], ranks_agree(distances, estimates)


def tell_game() -> None:
    """Print where every game ends."""
    print(f"after 500 steps of rate 0.1 from a distance of {math.hypot(1, 1):.2f}:")
    for name, loss in GAMES.items():
        for way in ("simultaneous", "alternating"):
            without, cured = (play(loss, way == "alternating", gamma) for gamma in (0.0, 1.0))
            print(f"  {name}, {way}: {without:.3g} without R1, {cured:.2g} with it")


def tell_foresight() -> None:
    """Print how far games end from the equilibrium, by the steps that the generator foresees."""
    for name, loss in list(GAMES.items())[:2]:
        without, one, five = (foresee(loss, steps) for steps in (0, 1, 5))
        print(f"{name}, D by Adam: {without:.3g} without, {one:.2g} with one step foreseen, {five:.2g} with five")


def tell_disjoint() -> None:
    """Print the divergences of points and of Gaussians, by distance."""
    for distance in DISTANCES:
        js, wasserstein, overlapping = divergences(distance)
        print(f"distance {distance:g}: JS {js:.4f}, Wasserstein {wasserstein:.2f}; Gaussians, JS {overlapping:.4f}")


def tell_saturation() -> None:
    """Print the gradients of both losses, on logits and on networks."""
    for logit in LOGITS:
        sizes = [gradient_on_logit(loss, logit) for loss in ("minimax", "non_saturating")]
        print(f"logit {logit:g}: gradient {sizes[0]:.2g} with minimax, {sizes[1]:.2g} non-saturating")
    of_seeds = [[row for _, row in gradients_on_networks(STEPS_OF_D, seed)] for seed in SEEDS]
    for step, rows in zip(STEPS_OF_D, zip(*of_seeds, strict=True), strict=True):
        shown = [f"{statistics.median(one):.2g} ({min(one):.2g} to {max(one):.2g})" for one in zip(*rows, strict=True)]
        print(f"{step} steps of D, median (all of {len(rows)} seeds): mean logit {shown[0]}", end="; ")
        print(f"G's gradient {shown[1]} with minimax, {shown[2]} non-saturating", flush=True)


def tell_quality(seeds: Sequence[int] = (0, 1, 2)) -> None:
    """Train, and print how the discriminator's loss follows the distance, for each seed and by the median."""
    for name, changes in QUALITY.items():
        found = []
        for seed in seeds:
            first, last, ranks = follow(resolve(load_config("wgan_gp_ring", [*changes, f"train.seed={seed}"])))
            found.append(ranks)
            print(f"{name}, seed {seed}: distance {first:.3f} to {last:.3f}, rank correlation {ranks:.2f}", flush=True)
        print(f"{name}: median rank correlation {statistics.median(found):.2f}, worst {min(found):.2f}", flush=True)


LESSONS = {
    "game": tell_game,
    "foresight": tell_foresight,
    "disjoint": tell_disjoint,
    "saturation": tell_saturation,
    "quality": tell_quality,
}


if __name__ == "__main__":
    for lesson in sys.argv[1:] or LESSONS:
        print(f"{lesson}:")
        LESSONS[lesson]()
