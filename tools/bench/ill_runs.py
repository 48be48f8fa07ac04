"""Healthy runs and made illnesses for tools/bench/diagnose.py: short trainings, and runs that are changed later."""

import contextlib
import shutil
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from i2i import load_config, train
from i2i.data.toy import TOYS
from i2i.diagnosis import RunFacts
from i2i.errors import NonFiniteError
from i2i.images import read_image, write_image
from i2i.networks.layers import BatchNorm, set_norm_statistics

DATA = Path(__file__).parents[2] / "datasets"
_32 = [
    *("data.resize_px=32", "data.crop_px=32", "data.cache=ram", "train.device=cpu"),
    "log.checkpoint_every_images=1000000",
]
_OFTEN = ["log.every_images=80", "log.samples_every_images=120"]
_PIX2PIX = [
    *(*_32, "generator.depth=5", "generator.width=16", "discriminator.width=16", "discriminator.layers=1"),
    *("optimizer.lr=1e-3", *_OFTEN, "log.sample_count=8"),
]
_CYCLE = [
    *(*_32, "generator.blocks=1", "generator.width=8", "generator.norm=instance", "discriminator.width=16"),
    *("optimizer.lr=5e-4", "discriminator.layers=1", "log.every_images=20", "log.sample_count=8"),
    "log.samples_every_images=40",
]
_EMOJI = [
    *(*_32, "generator.width=16", "discriminator.width=8", "schedule.images=19200"),
    *("log.every_images=640", "log.samples_every_images=1280", "log.sample_count=16"),
    *("schedule.decay_images=9600", "train.ema_half_life_images=1000"),
]
_DCGAN = [
    *("data.path=DATA/fashion", *_32, "generator.width=16", "discriminator.width=16", "optimizer.lr=1e-3"),
    *("schedule.images=16000", "schedule.decay_images=8000", "train.ema_half_life_images=1000"),
    *("log.every_images=640", "log.samples_every_images=1600"),
]
_RING = ["schedule.images=192000", "train.device=cpu", "log.samples_every_images=19200"]
_FALLING = [*_RING, "schedule.decay_images=96000"]
_SHORT = ["schedule.images=16", "schedule.decay_images=0"]
_LINEART = f"data.path={DATA / 'lineart'}"
_MAPS = [f"data.path={DATA / 'maps'}", *_CYCLE, "schedule.images=400", "schedule.decay_images=200"]
_MODERN = [
    *(_LINEART, "data.direction=B2A", *_32, "generator.depth=4", "generator.width=12", "discriminator.width=16"),
    *("schedule.images=1200", "schedule.decay_images=600", "train.ema_half_life_images=200"),
    *(*_OFTEN, "log.sample_count=8", "generator.upsample=nearest"),  # the preset's, when these runs were measured
]

HEALTHY: dict[str, tuple[str, list[str]]] = {
    "pix2pix": ("lineart", [_LINEART, *_PIX2PIX, "schedule.images=1200", "schedule.decay_images=600"]),
    "pix2pix, batch 1": (
        "lineart",
        [
            *(_LINEART, *_PIX2PIX, "train.batch=1", "schedule.images=120", "schedule.decay_images=60"),
            *("log.every_images=8", "log.samples_every_images=12"),
        ],
    ),
    "cyclegan": ("maps_unpaired", _MAPS),
    "modern": ("modern", _MODERN),
    "cut": ("maps_cut", [*_MAPS, "loss.layers=[input, down.0, down.1]"]),
    "dcgan": ("dcgan_fashion", _DCGAN),
    "wgan_gp": ("wgan_gp_ring", _FALLING),
}
"""By family: a preset, and what makes it short."""
TRAINED: dict[str, tuple[str, list[str]]] = {
    "won": ("dcgan_emoji", [_LINEART, *_EMOJI, "optimizer.lr=4e-5", "optimizer.lr_discriminator=8e-4"]),
    "young": ("dcgan_emoji", [_LINEART, *_EMOJI]),
    "collapse": ("ring", [*_FALLING, "optimizer.lr_discriminator=0.01"]),
    "oscillation": (
        "ring",
        [*_RING, "schedule.decay_images=0", "optimizer.lr=2e-3", "optimizer.betas=[0.9, 0.999]"],
    ),
    "overfits": (
        "dcgan_emoji",
        [
            *("data.path=DATA/few", *_32, "data.flip=false", "generator.width=16", "discriminator.width=32"),
            *("train.batch=12", "optimizer.lr_discriminator=5e-4", "schedule.images=4800", "log.every_images=240"),
            *("schedule.decay_images=2400", "log.samples_every_images=1200"),  # falls, or a step may throw D off
        ],
    ),
    "exploded": ("lineart", [_LINEART, *_PIX2PIX, *_SHORT, "schedule.images=80", "optimizer.lr=1e12"]),
    "large": ("lineart", ["data.path=DATA/large", *_PIX2PIX, *_SHORT, "data.cache=none"]),
    "steganography": (
        "cyclegan",
        [
            *("data.path=DATA/flat", *_CYCLE, "loss.identity=0", "loss.cycle_b=1", "train.batch=4"),
            *("data.disjoint=false", "schedule.epochs=null", "schedule.decay_epochs=null"),
            *("schedule.images=800", "schedule.decay_images=400"),
        ],
    ),
}
"""The same for illnesses that a setting or the data makes; DATA is the folder of `make_data`."""


def make_data(folder: Path, fashion: Path) -> Path:
    """Make the data that is not as it is shipped: `fashion`, `few` pairs, a `flat` side B, and `large` files.

    fashion: train and test as datasets/fashion_mnist.py writes them; test becomes val. `few` has 12 pairs to train on.
    B of `flat` is one grey picture again and again: to bring A back from it, a CycleGAN can only hide it there.
    """
    if folder.exists():
        return folder
    for split, name in (("train", "train"), ("test", "val")):
        shutil.copytree(fashion / split, folder / "fashion" / name)
    for path in sorted((DATA / "lineart" / "train").glob("*.png"))[:16]:
        write_image(folder / "large" / "train" / path.name, np.kron(read_image(path), np.ones((23, 23, 1), np.uint8)))
    for split, count in (("train", 12), ("val", 1000)):
        paths = sorted((DATA / "lineart" / split).glob("*.png"))
        (folder / "few" / split).mkdir(parents=True)
        for path in paths[:count]:
            shutil.copy(path, folder / "few" / split)
        for path in paths[:100]:
            colour = read_image(path)[:, 64:]
            write_image(folder / "flat" / f"{split}A" / path.name, colour)
            write_image(folder / "flat" / f"{split}B" / path.name, np.full_like(colour, 128))
    return folder


def run_of(out: Path, family: str, seed: int) -> Path:
    """Return a run folder, trained if it is not there yet; one that ends in non-finite values counts."""
    run = out / f"{family.replace(', ', '-').replace(' ', '')}-{seed}"
    if not (run / "metrics.jsonl").is_file():
        preset, changes = (HEALTHY | TRAINED)[family]
        data = make_data(out / "data", out / "fashion")
        changes = [change.replace("DATA/", f"{data}/") for change in changes]
        began = time.process_time()
        with contextlib.suppress(NonFiniteError):
            train(load_config(preset, [f"train.seed={seed}", *changes]), run)
        print(f"trained {run.name} in {time.process_time() - began:.0f} s of processor time", flush=True)
    return run


class Changed(nn.Module):
    """What a network makes, changed by a function of its output and input."""

    def __init__(self, network: nn.Module, change: Callable[[Tensor, Tensor], Tensor]):
        super().__init__()
        self.network, self.change = network, change

    def forward(self, x: Tensor) -> Tensor:
        """Return it."""
        return self.change(self.network(x), x)


def changed(run: Path, change: Callable[[Tensor, Tensor], Tensor]) -> RunFacts:
    """Return the facts of a run whose networks make something else."""
    facts = RunFacts(run, device="cpu")
    made = {part: Changed(facts.network(part), change) for part in facts.spec.parts}
    facts.__dict__["network"] = made.__getitem__
    return facts


def with_samples(run: Path, samples: Callable[[RunFacts], np.ndarray]) -> RunFacts:
    """Return the facts of a run whose samples are others."""
    facts = RunFacts(run, device="cpu")
    facts.__dict__["samples"] = samples(facts).astype(np.float32)
    return facts


def stamped(output: Tensor, x: Tensor) -> Tensor:
    """Add a pattern of 2 px and 10 grey levels."""
    wave = torch.cos(torch.pi * torch.arange(output.shape[-1]))
    return output + 10 / 127.5 * torch.outer(wave, wave)


def hidden(run: Path) -> RunFacts:
    """Return the facts of a CycleGAN that writes the input into a flat picture, 1/100 as strong, and reads it back."""
    facts = RunFacts(run, device="cpu")
    ways = {"A2B": lambda _, x: 0.5 + x / 100, "B2A": lambda _, x: (x - 0.5) * 100}
    made = {part: Changed(facts.network(part), way) for part, way in ways.items()}
    facts.__dict__["network"] = made.__getitem__
    return facts


def copied(run: Path) -> RunFacts:
    """Return the facts of a translation that answers with training pictures, whatever the input."""
    facts = RunFacts(run, device="cpu")
    pictures = facts.batch(facts.data)[facts.config.data.direction_of_pairs[-1].lower()]
    made = {part: Changed(facts.network(part), lambda y, x: pictures[: len(x)]) for part in facts.spec.parts}
    facts.__dict__["network"] = made.__getitem__
    return facts


def drifted(run: Path) -> RunFacts:
    """Return the facts of a run whose running variances have grown tenfold, and whose means by a deviation."""
    facts = RunFacts(run, device="cpu")
    networks = {part: facts.network(part) for part in facts.spec.parts}
    for network in networks.values():
        for module in network.modules():
            if isinstance(module, BatchNorm) and module.running_mean is not None and module.running_var is not None:
                module.running_mean += module.running_var.sqrt()
                module.running_var *= 10
    facts.__dict__["network"] = networks.__getitem__
    return facts


def by(statistics: Literal["image", "running"]) -> "Maker":
    """Return what gives the facts of a run whose batch norm has other statistics than suit its training."""

    def facts_of(run: Path) -> RunFacts:
        facts = RunFacts(run, device="cpu")
        networks = {part: facts.network(part) for part in facts.spec.parts}
        for network in networks.values():
            set_norm_statistics(network, statistics)
        facts.__dict__["network"] = networks.__getitem__
        return facts

    return facts_of


def broken(run: Path) -> RunFacts:
    """Return the facts of a run with a layer of weights that are NaN."""
    facts = RunFacts(run, device="cpu")
    next(iter(facts.state["stepper"]["networks"]["generator"].values())).fill_(float("nan"))
    return facts


def noisy(images: np.ndarray) -> np.ndarray:
    """Return images with noise of 3 grey levels."""
    return images + np.random.default_rng(0).normal(0, 3 / 127.5, images.shape)


def some_modes(facts: RunFacts) -> np.ndarray:
    """Return the points of five of eight modes."""
    points = facts.samples
    near = np.linalg.norm(points[:, None] - TOYS["ring"].centres, axis=2).argmin(axis=1)
    return points[near < 5]


def some_colours(facts: RunFacts) -> np.ndarray:
    """Return real pictures, the darkest quarter alone."""
    images = facts.reals
    order = images.mean(axis=(1, 2, 3)).argsort()[: len(images) // 4]
    return noisy(np.concatenate([images[order]] * 4))


Maker = Callable[[Path], RunFacts]


def outputs(title: str, change: Callable[[Tensor, Tensor], Tensor], *families: str) -> dict[str, tuple[str, Maker]]:
    """Return an illness of some families: their outputs, changed."""
    return {f"{family}, {title}": (family, partial(changed, change=change)) for family in families}


ILL: dict[str, dict[str, tuple[str, Maker]]] = {
    "discriminator has won": {"DCGAN on emoji, D's rate x 20": ("won", RunFacts)},
    "oscillation": {"ring, rate x 4, betas 0.9": ("oscillation", RunFacts)},
    "mode collapse": {
        "ring, D's rate x 20": ("collapse", RunFacts),
        "DCGAN on Fashion-MNIST, one sample": (
            "dcgan",
            lambda run: with_samples(run, lambda f: noisy(np.repeat(f.samples[:1], 256, 0))),
        ),
    },
    "dropped modes": {
        "ring, 5 of 8 modes": ("wgan_gp", lambda run: with_samples(run, some_modes)),
        "DCGAN, 600 steps on emoji": ("young", RunFacts),
        "Fashion-MNIST, the darkest quarter": ("dcgan", lambda run: with_samples(run, some_colours)),
    },
    "output ignores input": outputs("constant", lambda y, x: torch.full_like(y, 0.5), "pix2pix", "cyclegan"),
    "identity copied": outputs("input + 10%", lambda y, x: 0.9 * x + 0.1 * y, "pix2pix", "cyclegan"),
    "colours inverted": outputs("1 - output", lambda y, x: -y, "pix2pix", "cyclegan"),
    "hues exchanged": outputs("input with red and blue exchanged", lambda y, x: x.flip(1), "cyclegan", "cut"),
    "checkerboard": {
        "pix2pix, 10 levels stamped": ("pix2pix", lambda run: changed(run, stamped)),
        "DCGAN as it is, Fashion-MNIST": ("dcgan", RunFacts),
        "DCGAN as it is, emoji": ("young", RunFacts),
    },
    "steganography": {
        "CycleGAN to a flat picture": ("steganography", RunFacts),
        "hidden at 1/100": ("cyclegan", hidden),
    },
    "memorised pictures": {
        "pix2pix, training pictures": ("pix2pix", copied),
        "DCGAN, training pictures": ("dcgan", lambda run: with_samples(run, lambda f: noisy(f.reals))),
    },
    "discriminator overfits": {"DCGAN, 12 emoji": ("overfits", RunFacts)},
    "non-finite values": {
        "weights are NaN": ("pix2pix", broken),
        "pix2pix, rate 1e12": ("exploded", RunFacts),
    },
    "data-bound": {"pix2pix, files of 3000 x 1500 px": ("large", RunFacts)},
    "norm statistics differ": {
        "pix2pix, drifted": ("pix2pix", drifted),
        "DCGAN, drifted": ("dcgan", drifted),
        "pix2pix, image after batches of 8": ("pix2pix", by("image")),
        "DCGAN, image after batches of 64": ("dcgan", by("image")),
        "pix2pix, running after batches of 1": ("pix2pix, batch 1", by("running")),
    },
}
"""By illness and title: a family, and what changes its facts."""
