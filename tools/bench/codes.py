"""Check what InfoGAN's codes say, and what they say without the information term (loss.information 0), the control.

    python tools/bench/codes.py ring OUT [--images N] [--seed S]
    python tools/bench/codes.py digits data/digits OUT [--images N] [--seed S] [--weights 1 0] [--set loss.continuous=0]

Prints for each training how often Q recovers the categorical code of fakes, the correlation of continuous codes with
what Q reads, and what the code has to do with the truth, which no training saw:

ring: the information in nats that the code of a fake gives of its mode; log 8 = 2.08 where each class is one mode.
digits: Q sorts the real test pictures that datasets/digits.py leaves into classes; purity is the share of pictures
whose digit is the most frequent one of their class. Fashion-MNIST does, too. Any map of pictures to classes is purer
than classes at random, so the purity of random heads is printed, in Q's place on the same features, and on those of the
network before training: the mean of 100 and the middle 90 of them; then the mean of classes at random.
"""

import argparse
import csv
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from i2i import ImageGenerator, load_config, train
from i2i.algorithms import ALGORITHMS
from i2i.data.toy import TOYS
from i2i.images import Array, read_image, to_unit
from i2i.networks import Discriminator
from i2i.training.checkpoint import list_checkpoints, load_checkpoint

SAMPLES, RANDOM_HEADS = 2000, 100


class Codes(NamedTuple):
    """Of samples: the class of the code (N,), what Q reads (N,), the samples, and a correlation for each other code."""

    given: Array
    read: Array
    samples: Array
    correlations: list[float]

    @property
    def recovered(self) -> float:
        """Share of the codes that Q reads right."""
        return float((self.given == self.read).mean())


def load_reader(run: Path, trained: bool = True) -> Discriminator:
    """Return the discriminator of a run, ready for inference: as its newest checkpoint holds it, or as made anew."""
    config = load_config(run / "config.yaml")
    torch.manual_seed(config.train.seed)
    network = ALGORITHMS[config.algorithm](config).networks["discriminator"]
    if trained:
        newest = list_checkpoints(run / "checkpoints")[-1]
        network.load_state_dict(load_checkpoint(newest)["stepper"]["networks"]["discriminator"])
    assert isinstance(network, Discriminator)
    return network.eval()


@torch.inference_mode()
def heads(reader: Discriminator, images: Tensor) -> dict[str, Array]:
    """Return what the heads say of images, or points, by name."""
    parts = [reader(part).heads for part in images.split(256)]
    return {name: torch.cat([part[name] for part in parts]).numpy() for name in parts[0]}


def read_codes(run: Path, reader: Discriminator) -> Codes:
    """Return the codes of the first seeds, and what Q makes of their samples."""
    generator = ImageGenerator.open(run, "cpu")
    latents = generator.draw(range(SAMPLES))
    samples = generator.generate(latents)
    found, blocks = heads(reader, torch.from_numpy(samples)), generator.generator.blocks
    ends = dict(zip([one.name for one in blocks], np.cumsum([one.size for one in blocks]), strict=True))
    drawn = {name: latents[:, ends[name] - values.shape[1] : ends[name]] for name, values in found.items()}
    pairs = zip(drawn["continuous"].T, found["continuous"].T, strict=True) if "continuous" in found else ()
    correlations = [float(np.corrcoef(one, other)[0, 1]) for one, other in pairs]
    return Codes(drawn["category"].argmax(1), found["category"].argmax(1), samples, correlations)


def counts(one: Array, other: Array) -> Array:
    """Return how often each class of `one` meets each of `other`, (classes, classes)."""
    table = np.zeros((int(one.max()) + 1, int(other.max()) + 1))
    np.add.at(table, (one, other), 1)
    return table


def information(table: Array) -> float:
    """Return the mutual information in nats of the two variables that were counted."""
    joint = table / table.sum()
    alone = joint.sum(1, keepdims=True) * joint.sum(0, keepdims=True)
    seen = joint > 0
    return float((joint[seen] * np.log(joint[seen] / alone[seen])).sum())


def purity(table: Array) -> float:
    """Return the share of those that belong to the most frequent truth of their class, a row."""
    return float(table.max(axis=1).sum()) / float(table.sum())


@torch.inference_mode()
def purity_of_random_heads(reader: Discriminator, images: Tensor, truth: Array, classes: int) -> str:
    """Return how pure the classes of random linear layers are, on the features that Q reads."""
    features = torch.cat([reader(part).features[-1].flatten(1) for part in images.split(256)])
    found = []
    for seed in range(RANDOM_HEADS):
        torch.manual_seed(seed)
        found.append(purity(counts(nn.Linear(features.shape[1], classes)(features).argmax(1).numpy(), truth)))
    low, high = np.quantile(found, (0.05, 0.95))
    return f"{np.mean(found):.3f} ({low:.3f} to {high:.3f})"


def purity_at_random(truth: Array, classes: int) -> float:
    """Return the mean purity of classes drawn evenly."""
    random = np.random.default_rng(0)
    return float(np.mean([purity(counts(random.integers(classes, size=len(truth)), truth)) for _ in range(100)]))


def ring_truth(codes: Codes, run: Path, data: Path | None) -> str:
    """Return what the codes of fakes say of their modes."""
    modes = np.linalg.norm(codes.samples[:, None] - TOYS["ring"].centres, axis=2).argmin(1)
    return f"{information(counts(codes.given, modes)):.2f} nats on the mode, of {np.log(8):.2f}"


def digits_truth(codes: Codes, run: Path, data: Path | None) -> str:
    """Return how pure Q's classes of the real test pictures are, and those of random heads."""
    assert data is not None
    with (data / "test.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))[1:]
    images = torch.from_numpy(np.stack([to_unit(read_image(data / "test" / name)) for name, _ in rows]))
    names = sorted({label for _, label in rows})
    truth = np.array([names.index(label) for _, label in rows])
    trained, untrained = (load_reader(run, trained) for trained in (True, False))
    said = heads(trained, images)["category"]
    random, before = (purity_of_random_heads(one, images, truth, said.shape[1]) for one in (trained, untrained))
    return (
        f"purity {purity(counts(said.argmax(1), truth)):.3f} on {len(rows)} real pictures of {len(names)} classes; "
        f"random heads {random}, before training {before}, at random {purity_at_random(truth, said.shape[1]):.3f}"
    )


CASES = {"ring": ring_truth, "digits": digits_truth}


def run(
    case: str, data: Path | None, out: Path, settings: Sequence[str], weights: Sequence[float] = (1.0, 0.0)
) -> dict[float, tuple[Codes, str]]:
    """Train with each weight of the information term; print and return what the codes of each say."""
    found = {}
    for weight in weights:
        given = [f"data.path={data}"] if data else []
        given += [f"loss.information={weight}", f"loss.information_continuous={weight / 10}", *settings]
        started = time.process_time()
        folder = out / f"information_{weight:g}"
        train(load_config(f"infogan_{case}", given), folder)
        codes = read_codes(folder, load_reader(folder))
        found[weight] = codes, CASES[case](codes, folder, data)
        others = "".join(f", {one:.2f}" for one in codes.correlations)
        print(f"information {weight:g}: Q recovers {codes.recovered:.3f}{others}; {found[weight][1]}", flush=True)
        print(f"  {time.process_time() - started:.0f} s of processor time")
    return found


def main() -> None:
    """Read the arguments, train and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("case", choices=CASES)
    parser.add_argument("folders", type=Path, nargs="+", metavar="[DATA] OUT")
    parser.add_argument("--images", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--weights", type=float, nargs="+", default=[1.0, 0.0], help="of the information term")
    parser.add_argument("--set", action="append", default=[], help="further settings")
    given = parser.parse_args()
    *data, out = given.folders
    if len(data) != (given.case == "digits"):
        parser.error("digits takes DATA and OUT, ring takes OUT alone")
    settings = [f"train.seed={given.seed}", "train.device=cpu", *given.set]
    settings += [f"schedule.images={given.images}"] if given.images else []
    run(given.case, data[0] if data else None, out, settings, given.weights)


if __name__ == "__main__":
    main()
