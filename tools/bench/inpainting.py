"""Measure the PSNR of filled holes, beside fills that need no training and controls that must fail.

    i2i train inpaint_emoji --data datasets/lineart --out runs/inpaint
    python tools/bench/inpainting.py runs/inpaint0,runs/inpaint1 [runs/other ...] [--splits test] [--sheet SHEET.png]

Commas join trainings of one setting with several seeds, whose scores of each picture are averaged.

Each test picture is saved as a PNG with its middle erased, filled as by `i2i translate`, and read back. Outside the
hole, the result must equal the picture bit for bit, or the script stops. Controls: the same network untrained, and the
first model given the surroundings of another picture. By how much the first setting is ahead of a fill, and by how much
steeper, comes with its 95% interval over pictures.
"""

import argparse
import functools
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

import i2i
from i2i.config.derive import CentreMask
from i2i.data.derive import derive
from i2i.data.folders import find_images
from i2i.data.items import read_picture
from i2i.images import Array, read_image, to_channels, write_image
from i2i.metrics.intervals import mean_interval
from i2i.metrics.pairs import psnr
from i2i.models.modelfile import read_spec, save_model
from i2i.networks import GENERATORS
from i2i.report.sheets import sheet_png

DATA = [str(Path(__file__).parents[2] / "datasets" / "lineart")]
SHOWN = 12


def pictures(split: str) -> list[Array]:
    """Return the colour halves of a split, (H, W, 3) uint8."""
    return [to_channels(read_picture(one), 3) for one in find_images(DATA, split, "B")]


class Score(NamedTuple):
    """PSNR of a fill inside the holes, in dB, and how steep it is beside the truth (see steepness).

    mean: mean over pictures, as everywhere in i2i. Two flat pictures, which the nearest pixel fills exactly, count as
    PSNR_CEILING. pooled: PSNR of the squared error over all holes, on which the two have little effect.
    psnrs, steps: PSNR and steepness of each picture, (pictures,).
    """

    mean: float
    pooled: float
    steep: float
    psnrs: Array
    steps: Array


def mean_score(scores: Sequence[Score]) -> Score:
    """Return the mean of several models' scores, that of each picture as well."""
    return Score(*(np.mean(values, axis=0) for values in zip(*scores, strict=True)))


def score(outputs: Sequence[Array], truths: Sequence[Array], holes: Sequence[Array]) -> Score:
    """Score images (H, W, 3) in their holes, (H, W) bool."""
    inside = [
        (output[hole][None], truth[hole][None]) for output, truth, hole in zip(outputs, truths, holes, strict=True)
    ]
    everywhere = (np.concatenate(side, axis=1) for side in zip(*inside, strict=True))
    psnrs, steps = np.array([psnr(*one) for one in inside]), steepness(outputs, truths, holes)
    return Score(float(psnrs.mean()), psnr(*everywhere), float(steps.mean()), psnrs, steps)


def nearest_known(erased: Array) -> Array:
    """Return (H, W, 4) filled with the colour of the nearest known pixel."""
    hole = erased[:, :, 3] == 0
    known, unknown = np.argwhere(~hole), np.argwhere(hole)
    nearest = known[np.square(unknown[:, None] - known[None]).sum(axis=2).argmin(axis=1)]
    filled = erased[:, :, :3].copy()
    filled[hole] = filled[tuple(nearest.T)]
    return filled


def diffused(erased: Array) -> Array:
    """Return (H, W, 4) filled by diffusion from its edge until it rests: each pixel is the mean of its neighbours.

    The border of the picture is mirrored.
    """
    hole = erased[:, :, 3] == 0
    filled = erased[:, :, :3].copy()
    filled[hole] = np.rint(_at_rest(hole.tobytes(), hole.shape) @ filled.reshape(-1, 3)).astype(np.uint8)
    return filled


@functools.cache
def _at_rest(mask: bytes, shape: tuple[int, int]) -> Array:
    """Return the weights (pixels of the hole, all pixels) by which known pixels make up those of a hole."""
    hole = np.frombuffer(mask, bool)
    places = np.arange(hole.size).reshape(shape)
    around = np.pad(places, 1, mode="edge")
    neighbours = np.stack([around[:-2, 1:-1], around[2:, 1:-1], around[1:-1, :-2], around[1:-1, 2:]], axis=-1)
    mean = np.zeros((hole.size, hole.size))
    np.add.at(mean, (places.reshape(-1, 1), neighbours.reshape(-1, 4)), 1 / 4)
    inside = np.eye(int(hole.sum())) - mean[hole][:, hole]
    weights = np.zeros((int(hole.sum()), hole.size))
    weights[:, ~hole] = np.linalg.solve(inside, mean[hole][:, ~hole])
    return weights


def steepness(outputs: Sequence[Array], truths: Sequence[Array], holes: Sequence[Array]) -> Array:
    """Return the mean size of the steps between neighbours in each hole, as a share of the mean in all truths.

    (pictures,). Blurred fills have a mean of less than 1.
    """
    made, true = ([_steps(*one) for one in zip(images, holes, strict=True)] for images in (outputs, truths))
    shares: Array = np.array(made) / np.mean(true)
    return shares


def _steps(image: Array, hole: Array) -> float:
    levels = image.astype(np.float64)
    down, right = np.abs(np.diff(levels, axis=0)), np.abs(np.diff(levels, axis=1))
    return float(down[hole[1:] & hole[:-1]].mean() + right[hole[:, 1:] & hole[:, :-1]].mean())


def constant(erased: Array, colour: Array) -> Array:
    """Return (H, W, 4) filled with a colour (3,), or from an image (H, W, 3)."""
    return np.where(erased[:, :, 3:] == 0, np.rint(colour), erased[:, :, :3]).astype(np.uint8)


def through_files(model: str | Path, inputs: Sequence[Array]) -> list[Array]:
    """Write the inputs as PNG files, fill each as `i2i translate` does, and read the outputs back."""
    translator = i2i.Translator.open(model)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number, erased in enumerate(inputs):
            write_image(folder / f"{number}.png", erased)
            translator(folder / f"{number}.png").save(folder / f"{number}.filled.png")
        return [read_image(folder / f"{number}.filled.png") for number in range(len(inputs))]


def untrained(model: str | Path, folder: Path) -> Path:
    """Write the model with untrained weights from another seed; return the file."""
    spec = read_spec(Path(model) / "model.safetensors" if Path(model).is_dir() else Path(model))
    part = spec.generators["A2B"]
    torch.manual_seed(1)
    save_model(folder / "untrained.safetensors", spec, {"A2B": GENERATORS[part.network](**part.arguments)})
    return folder / "untrained.safetensors"


def measure(
    model: str | Path, splits: Sequence[str] = ("test",), others: Sequence[str] = ()
) -> tuple[dict[str, Score], list[list[Array]]]:
    """Return the score of each fill, other models' too, and rows of erased | model | nearest | diffusion | truth.

    Raises AssertionError if an output differs from its picture outside the hole.
    """
    truths, training = [one for split in splits for one in pictures(split)], pictures("train")
    inputs = [derive(one, CentreMask(), 0) for one in truths]
    holes = [one[:, :, 3] == 0 for one in inputs]
    mean_picture = np.mean(training, axis=0)
    fills: dict[str, list[Array]] = {
        "model": through_files(model, inputs),
        **{other: through_files(other, inputs) for other in others},
        "nearest known pixel": [nearest_known(one) for one in inputs],
        "diffusion": [diffused(one) for one in inputs],
        "mean of what is known": [
            constant(one, truth[~hole].mean(axis=0)) for one, truth, hole in zip(inputs, truths, holes, strict=True)
        ],
        "mean training picture": [constant(one, mean_picture) for one in inputs],
        "mean training colour": [constant(one, mean_picture.mean(axis=(0, 1))) for one in inputs],
    }
    with tempfile.TemporaryDirectory() as folder:
        fills["control: untrained"] = through_files(untrained(model, Path(folder)), inputs)
    for name, outputs in fills.items():
        for output, truth, hole in zip(outputs, truths, holes, strict=True):
            assert np.array_equal(output[~hole], truth[~hole]), f"{name} changed known pixels"
    elsewhere = fills["model"][1:] + fills["model"][:1]
    fills["control: another picture's surroundings"] = elsewhere
    scores = {name: score(outputs, truths, holes) for name, outputs in fills.items()}
    columns = (inputs, fills["model"], fills["nearest known pixel"], fills["diffusion"], truths)
    return scores, [list(row) for row in zip(*columns, strict=True)]


def main() -> None:
    """Print the scores, best first, and write a sheet."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("models", nargs="+", type=lambda value: value.split(","))
    parser.add_argument("--splits", nargs="+", default=["test"])
    parser.add_argument("--sheet", type=Path)
    given = parser.parse_args()
    first, *others = [model for seeds in given.models for model in seeds]
    scores, rows = measure(first, given.splits, others)
    scores = {first if name == "model" else name: one for name, one in scores.items()}
    for seeds in given.models:
        if len(seeds) > 1:
            scores[f"mean of {', '.join(seeds)}"] = mean_score([scores[one] for one in seeds])
    model = mean_score([scores[one] for one in given.models[0]])
    varied = np.array([len(np.unique(row[-1][row[0][:, :, 3] == 0], axis=0)) > 1 for row in rows])
    shown, flat = " and ".join(given.splits), int((~varied).sum())
    print(f"{len(rows)} pictures of {shown}, {flat} of them with a hole of one colour; PSNR in dB")
    print("| fill | mean | without those | pooled | steep | first ahead by | without those | first steeper by |")
    print("|---|---|---|---|---|---|---|---|")
    for name, one in sorted(scores.items(), key=lambda item: -item[1].pooled):
        ahead = model.psnrs - one.psnrs
        gains = [_shown(values) for values in (ahead, ahead[varied], model.steps - one.steps)]
        figures = [one.mean, one.psnrs[varied].mean(), one.pooled, one.steep]
        print(f"| {name} | " + " | ".join([*(f"{figure:.2f}" for figure in figures), *gains]) + " |")
    if given.sheet:
        chosen = [rows[place] for place in np.linspace(0, len(rows) - 1, SHOWN).astype(int)]
        png = sheet_png(chosen, ["erased", "model", "nearest known", "diffusion", "truth"])
        given.sheet.write_bytes(png)


def _shown(values: Array) -> str:
    low, high = mean_interval(values.tolist())
    return f"{values.mean():.2f} ({low:.2f} to {high:.2f})"


if __name__ == "__main__":
    main()
