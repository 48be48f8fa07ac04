"""Compare recipes at equal processor time: plain, plain plus one change, modern, modern minus one change.

    python tools/bench/ablation.py OUT --case "line art to colour" --rows plain modern --seeds 0 1 2
    python tools/bench/ablation.py OUT --case "line art to colour" --rows modern --set loss.l1=50 --as "L1 50"
    python tools/bench/ablation.py OUT --split test --table

Every row trains for the seconds of its case, in processor time, on one thread, with the learning rate constant over
the first half and falling to zero over the second. Scores go to OUT/results.jsonl, a line for each row, seed and split.
What is there already is not done again; so a run that was stopped goes on. Choose on val; `--split test` is for the
table. KID x 1000 is on AlexNet's features, which need `i2i weights get alexnet`, as LPIPS does; --networks and
--metrics choose others. The rows `input copied` and `colour map` are controls without a model. Cases, rows and loop
stand in one script of some 360 lines.
"""

import argparse
import json
import statistics
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from i2i import load_config
from i2i.algorithms import ALGORITHMS
from i2i.config.settings import Config, by_direction
from i2i.data.folders import find_sides, spread
from i2i.data.items import read_picture
from i2i.data.loader import batches
from i2i.evaluation import make_ruler
from i2i.evaluation.baselines import fit_colour_map
from i2i.evaluation.ruler import reference_features
from i2i.images import Array
from i2i.metrics import METRICS
from i2i.metrics.distributions import kid
from i2i.metrics.features import features
from i2i.networks.layers import set_norm_statistics
from i2i.report.sheets import sheet_png
from i2i.runtime.translator import Translator
from i2i.training.engine import Engine
from i2i.training.fabric import make_fabric
from i2i.training.run import Run


class Case(NamedTuple):
    """A task: its data, the presets, the settings that all rows share, and the directions that are scored."""

    data: str
    plain: str
    modern: str
    seconds: float
    directions: tuple[str, ...]
    settings: tuple[str, ...] = ()
    plain_settings: tuple[str, ...] = ()
    sea: bool = False
    """Whether to score how well sea is told from land, in reliefs."""


SQUARES = ("data.resize_px=68", "data.crop_px=64")
CASES = {
    "colour to line art": Case("datasets/lineart", "lineart", "modern", 120, ("B2A",), SQUARES),
    "line art to colour": Case("datasets/lineart", "lineart", "modern", 120, ("A2B",), SQUARES),
    "known map": Case(
        "data/known_map",  # which tools/bench/known_map.py writes
        "maps_unpaired",
        "modern_unpaired",
        150,
        ("A2B", "B2A"),
        ("data.disjoint=true", *SQUARES),
        ("generator.norm=instance", "loss.identity=0"),
    ),
    "maps without pairs": Case(
        "datasets/maps",
        "maps_unpaired",
        "modern_unpaired",
        300,
        ("A2B",),
        ("data.disjoint=true", "data.resize_px=null", "data.crop_px=64"),
        sea=True,
    ),
}
CASES["maps without pairs, both directions"] = CASES["maps without pairs"]._replace(directions=("A2B", "B2A"))
SEA = 8
"""At sea, the reliefs of datasets/maps have more blue than green by this many levels; few pixels are near it."""
Rows = dict[str, tuple[str, tuple[str, ...]]]
"""By name: the preset to start from, plain and modern being those of the case, and what is changed in it."""
D_OF_MODERN = ("discriminator.norm=none", "discriminator.spectral_norm=true")
D_OF_PLAIN = ("discriminator.norm=batch", "discriminator.spectral_norm=false")
ADAM_OF_MODERN, ADAM_OF_PLAIN = (
    (f"optimizer.lr={rate}", f"optimizer.betas=[0.5,{beta}]") for rate, beta in (("8.0e-4", 0.99), ("4.0e-4", 0.999))
)
UNET_OF_PLAIN = ("generator={name: unet, depth: 6, width: 32, upsample: resize}",)
MATCHING = "loss.terms.feature_matching"
PAIRS: Rows = {
    "plain": ("plain", ()),
    "plain + U-Net": ("plain", ("generator={name: modern_unet}",)),
    "plain + spectral norm in D": ("plain", D_OF_MODERN),
    "plain + least squares, L1 30": ("plain", ("loss.adversarial=least_squares", "loss.l1=30")),
    "plain + Adam": ("plain", ADAM_OF_MODERN),
    "plain + EMA": ("plain", ("train.ema_half_life_images=2000",)),
    "plain + feature matching": ("plain", (f"{MATCHING}=50",)),
    "plain + LPIPS": ("plain", ("loss.terms.lpips=5",)),
    "modern": ("modern", ()),
    "modern - U-Net": ("modern", UNET_OF_PLAIN),
    "modern - spectral norm in D": ("modern", D_OF_PLAIN),
    "modern - least squares, L1 30": ("modern", ("loss.adversarial=non_saturating", "loss.l1=100")),
    "modern - Adam": ("modern", ADAM_OF_PLAIN),
    "modern - EMA": ("modern", ("train.ema_half_life_images=null",)),
    "modern - feature matching": ("modern", (f"{MATCHING}=0",)),
    "modern - adversarial term": ("modern", (f"{MATCHING}=0", "loss.gan=0")),
    "modern + LPIPS": ("modern", ("loss.terms.lpips=5",)),
    "modern + LPIPS, GAN 3": ("modern", ("loss.terms.lpips=5", "loss.gan=3")),
    "modern + LPIPS - feature matching": ("modern", ("loss.terms.lpips=5", f"{MATCHING}=0")),
    "modern + random features": ("modern", ("loss.terms.random_features=50",)),
    "modern + NLPD": ("modern", ("loss.terms.nlpd=10",)),
    "modern + two scales": ("modern", ("discriminator.scales=2",)),
    "modern, D of 70 px": ("modern", ("discriminator.layers=3",)),
    "modern, D of 16 px": ("modern", ("discriminator.layers=1",)),
    "modern, pixel shuffle": ("modern", ("generator.upsample=pixel_shuffle",)),
    "modern, nearest": ("modern", ("generator.upsample=nearest",)),
    "modern, two convolutions": ("modern", ("generator.convolutions=2",)),
    "modern, attention": ("modern", ("generator.attention=true",)),
    "modern, residual": ("modern", ("generator.residual=true",)),
    "modern, hinge": ("modern", ("loss.adversarial=hinge",)),
}
SKIPS = "generator={name: modern_unet, depth: 3, blocks: 2, head_init: xavier}"
RESNET = "generator={name: resnet, blocks: 3, width: 16, norm: group, upsample: resize, init: xavier}"
UNPAIRED: Rows = {
    "plain": ("plain", ()),
    "plain + generator with skips": ("plain", (SKIPS,)),
    "plain + spectral norm in D": ("plain", D_OF_MODERN),
    "plain + Adam": ("plain", ("optimizer.lr=1.0e-3", "optimizer.betas=[0.5,0.99]")),
    "plain + EMA": ("plain", ("train.ema_half_life_images=1000",)),
    "modern": ("modern", ()),
    "modern - generator with skips": ("modern", (RESNET,)),
    "modern - spectral norm in D": ("modern", ("discriminator.spectral_norm=false",)),
    "modern - Adam": ("modern", ("optimizer.lr=2.0e-4", "optimizer.betas=[0.5,0.999]")),
    "modern - EMA": ("modern", ("train.ema_half_life_images=null",)),
    "modern, colours changed": ("modern", ("generator.recolour=changed",)),
    "modern - recolouring": ("modern", ("generator.recolour=null",)),
    "modern, cycle 10": ("modern", ("loss.cycle_a=10", "loss.cycle_b=10")),
    "modern, identity 0.5": ("modern", ("loss.identity=0.5",)),
    "modern, cycle 10, identity 0.5": ("modern", ("loss.cycle_a=10", "loss.cycle_b=10", "loss.identity=0.5")),
    "modern, identity 2": ("modern", ("loss.identity=2",)),
    "modern, residual": ("modern", ("generator.residual=true",)),
    "modern, residual, identity 0.5": ("modern", ("generator.residual=true", "loss.identity=0.5")),
    "modern, D of 70 px, identity 0.5": ("modern", ("discriminator.layers=3", "loss.identity=0.5")),
    "modern, pool of 50": ("modern", ("loss.history=50",)),
}
CUT_LAYERS = "loss.layers=[input, down.0, down.1, blocks.0, blocks.1]"
ONE_WAY: Rows = {  # for cases of one direction
    "modern_cut": ("modern_cut", ()),  # FastCUT with skips and Adam at 8e-4, betas 0.5 and 0.99
    "FastCUT": ("maps_cut", ()),
    "FastCUT, generator with skips": ("maps_cut", (SKIPS, CUT_LAYERS)),
}
CONTROLS = ("input copied", "colour map", "colour map of train")
"""Rows without a model: the input itself, and the linear map of colours that gives the inputs the mean and covariance
of the truths, or inputs of train those of other targets of train, which is what a training without pairs can know."""
NOTHING = {"processor_s": 0.0, "clock_s": 0.0, "images": 0, "ms_an_image": 0.0}


def rows_of(case: Case) -> Rows:
    """Return the rows that suit a case."""
    if case.modern == "modern":
        return PAIRS
    return UNPAIRED | (ONE_WAY if len(case.directions) == 1 else {})


def configured(case: Case, row: tuple[str, tuple[str, ...]], changes: Sequence[str], seed: int) -> Config:
    """Return the settings of a row."""
    base, own = row
    preset = {"plain": case.plain, "modern": case.modern}.get(base, base)
    settings = case.plain_settings if base == "plain" else ()
    direction = [f"data.direction={case.directions[0]}"]
    every = [f"data.path={case.data}", "train.device=cpu", f"train.seed={seed}", "data.cache=ram"]
    return load_config(preset, [*every, *direction, *case.settings, *settings, *own, *changes])


def prepare(config: Config, folder: Path) -> tuple[Run, Engine]:
    """Return a run and its engine; nothing is written."""
    run = Run(config, folder)
    torch.manual_seed(config.train.seed)
    algorithm = ALGORITHMS[run.config.algorithm](run.config)
    for network in algorithm.networks.values():
        set_norm_statistics(network, run.norm_statistics)
    return run, Engine(make_fabric(run.config), algorithm)


def train(config: Config, folder: Path, seconds: float, total_images: float | None = None) -> dict[str, float]:
    """Train for these processor seconds or this many images, write the model into `folder`, and return what it took."""
    run, engine = prepare(config, folder)
    images, share, endless = 0, 0.0, 10**9
    clock, begun = time.perf_counter(), time.process_time()
    loader = batches(run.data, run.config, 0, endless, engine.fabric.device.type)
    for loaded in loader:
        share = images / total_images if total_images else (time.process_time() - begun) / seconds
        if share >= 1:
            break
        assert loaded is not None
        engine.algorithm.begin(images, endless)
        batch = {name: one.to(engine.fabric.device) for name, one in loaded.batch.items()}
        engine.train_step(batch, min(1.0, 2 - 2 * share))
        images += run.config.train.step_images
    loader.close()
    spent = time.process_time() - begun
    run.save_model(engine.algorithm, engine.model_networks, images)
    step = 1000 * spent / images
    return {"processor_s": spent, "clock_s": time.perf_counter() - clock, "images": images, "ms_an_image": step}


def costs(case: Case, rows: Rows, rounds: int = 3, steps: int = 3) -> dict[str, float]:
    """Return the processor time of a train step of each row, in ms an image: the median of turns that rows take."""
    turns: dict[str, list[float]] = {name: [] for name in rows}
    for _ in range(rounds):
        for name, row in rows.items():
            run, engine = prepare(configured(case, row, (), 0), Path("nowhere"))
            (batch,) = (
                loaded.batch for loaded in batches(run.data, run.config, 0, run.config.train.batch, "cpu") if loaded
            )
            engine.train_step(batch)
            begun = time.process_time()
            for _ in range(steps):
                engine.train_step(batch)
            turns[name].append(1000 * (time.process_time() - begun) / steps / run.config.train.batch)
    return {name: statistics.median(values) for name, values in turns.items()}


def answer(case: Case, row: str, model: Path, direction: str, shown: list[Array], truths: list[Array]) -> list[Array]:
    """Return what a row makes of the inputs: those of CONTROLS without a model."""
    if row == "input copied":
        return shown
    if row == "colour map":
        return list(map(fit_colour_map(iter(shown), iter(truths)), shown))
    if row == "colour map of train":
        known = by_direction(direction, *find_sides([case.data], "train", disjoint=True))
        return list(map(fit_colour_map(*(map(read_picture, side) for side in known)), shown))
    return [*map(Translator.open(model, direction, "cpu").translate, shown)]


def sea_told(made: Sequence[Array], truths: Sequence[Array]) -> float:
    """Return how well sea is told from land: the mean of the share of sea and the share of land that are right.

    One colour for all has 0.5, and sea and land exchanged have less.
    """
    found, true = (np.concatenate([one.ravel() for one in map(at_sea, side)]) for side in (made, truths))
    return float((found[true].mean() + (~found[~true]).mean()) / 2)


def at_sea(picture: Array) -> Array:
    """Return which pixels of a relief, (H, W, 3) uint8, are sea: (H, W) bool."""
    return picture[..., 2].astype(int) - picture[..., 1] > SEA


def score(case: Case, row: str, model: Path, options: argparse.Namespace, sheet: Path) -> dict[str, float]:
    """Return the scores of a row on a split, by direction and name, and write a sheet of examples."""
    found: dict[str, float] = {}
    split = options.split
    for direction in case.directions:
        inputs, targets = by_direction(direction, *find_sides([case.data], split))
        shown, truths = ([read_picture(one) for one in side] for side in (inputs, targets))
        made = answer(case, row, model, direction, shown, truths)
        for name in options.metrics:
            scores = [METRICS[name].score(one, truth) for one, truth in zip(made, truths, strict=True)]
            found[f"{direction} {name}"] = float(np.mean(scores))
        if case.sea and direction == "A2B":
            found[f"{direction} sea"] = sea_told(made, truths)
        for network in options.networks:
            ruler = make_ruler(network)
            _, real = reference_features(targets, ruler, None)
            found[f"{direction} kid_{network}"] = 1000 * float(kid(real, features(made, *ruler)))
        rows = spread([[*row] for row in zip(shown, made, truths, strict=True)], 16)
        sheet.with_name(f"{sheet.stem}-{direction}.png").write_bytes(sheet_png(rows, ["input", "output", "truth"]))
    return found


def results(out: Path) -> list[dict[str, Any]]:
    """Return all lines of the results."""
    path = out / "results.jsonl"
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []


def work(options: argparse.Namespace) -> None:
    """Train and score every row and seed that is not done yet."""
    case, title = CASES[options.case], options.case
    if options.data:
        case, title = case._replace(data=options.data), f"{title}, {Path(options.data).name}"
    seconds = options.seconds or case.seconds
    rows = rows_of(case)
    known = json.loads(options.costs.read_text("utf-8")) if options.costs else {}
    for seed in options.seeds:
        for name in options.rows:
            row = options.name or name
            key = {"case": title, "row": row, "seed": seed, "seconds": seconds, "split": options.split}
            if any(key.items() <= done.items() for done in results(options.out)):
                continue
            folder = options.out / f"{title}, {row}, {seconds:g} s, seed {seed}".replace(" ", "_")
            cost = folder / "cost.json"
            if not cost.exists():
                folder.mkdir(parents=True, exist_ok=True)
                spent = NOTHING
                if row not in CONTROLS:
                    config = configured(case, rows[name], [f"train.device={options.device}", *options.set], seed)
                    spent = train(config, folder, seconds, 1000 * seconds / known[row] if known else None)
                cost.write_text(json.dumps(spent), "utf-8")
            model, sheet = folder / "model.safetensors", folder / options.split
            scores = score(case, row, model, options, sheet)
            line = json.dumps(key | json.loads(cost.read_text("utf-8")) | scores)
            with (options.out / "results.jsonl").open("a", encoding="utf-8") as file:
                file.write(line + "\n")
            print(line, flush=True)


def table(lines: list[dict[str, Any]], split: str) -> Iterator[str]:
    """Yield a table for each case, with a line for each row and seed."""
    for case, seconds in sorted({(one["case"], one["seconds"]) for one in lines}):
        of_case = [one for one in lines if (one["case"], one["seconds"], one["split"]) == (case, seconds, split)]
        if not of_case:
            continue
        names = [name for name in of_case[0] if name[:4] in ("A2B ", "B2A ") and "psnr" not in name]
        yield f"\n{case}, {seconds:g} s of processor time, {split}\n"
        yield f"| row | seed | images | ms an image | {' | '.join(names)} |\n|{'---|' * (4 + len(names))}"
        for one in sorted(of_case, key=lambda one: (one["row"], one["seed"])):
            cells = [f"{one[name]:.{1 if 'l1' in name or 'kid' in name else 3}f}" for name in names]
            head = f"| {one['row']} | {one['seed']} | {one['images']:,} | {one['ms_an_image']:.2f}"
            yield f"{head} | {' | '.join(cells)} |"


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(description="Compare recipes at equal processor time.")
    parser.add_argument("out", type=Path)
    parser.add_argument("--case", choices=list(CASES))
    parser.add_argument(
        "--rows", nargs="+", default=["plain", "modern"], choices=[*PAIRS | UNPAIRED | ONE_WAY, *CONTROLS]
    )
    parser.add_argument("--data", help="Another folder in place of the case's.")
    parser.add_argument("--set", action="append", default=[], help="A change to the row, as in `i2i train`.")
    parser.add_argument("--as", dest="name", help="What to call the changed row.")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--seconds", type=float, help="Processor time of a training, in place of the case's.")
    parser.add_argument("--split", choices=["val", "test"], default="val")
    parser.add_argument("--networks", nargs="+", default=["alexnet"], help="Features for KID: alexnet, vgg16, ...")
    parser.add_argument("--metrics", nargs="+", default=["l1", "ssim", "lpips"], choices=list(METRICS))
    parser.add_argument("--table", action="store_true", help="Print what is done.")
    parser.add_argument(
        "--costs", type=Path, help="What --cost printed: train for as many images as fit, on any device."
    )
    parser.add_argument("--device", default="cpu", help="Where to train.")
    parser.add_argument("--cost", action="store_true", help="Print the processor time of each row's train step.")
    return parser


def main() -> None:
    """Train and score rows, or print the table of what is done."""
    options = make_parser().parse_args()
    torch.set_num_threads(1)
    if options.cost:
        case = CASES[options.case]
        print(json.dumps(costs(case, rows_of(case)), indent=1))
    elif options.table:
        print("\n".join(table(results(options.out), options.split)))
    else:
        work(options)


if __name__ == "__main__":
    main()
