"""Train the models that ship with i2i, score them on their test splits, and write them to models/ with their cards.

    python tools/train_models.py                     # all, on whatever device is there
    python tools/train_models.py lineart --images 8000
    python tools/train_models.py --compare           # score the shipped files again beside their cards
    python tools/train_models.py --check             # train all again, and fail if a score is not that of its card
    python tools/train_models.py relief_unpaired --check --seed 1 --runs runs/seed_1

Weights are stored in half precision; what is scored is the stored file. A training may happen on another machine:
--trained takes the runs in --runs as they are.
"""

import argparse
import functools
import platform
import shlex
import sys
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from i2i import ImageGenerator, Translator, load_config, train
from i2i.cli import run_cleanly
from i2i.config.settings import Config
from i2i.data.folders import find_images, find_pairs, spread
from i2i.evaluation import evaluate_pairs, sides
from i2i.evaluation.ruler import make_ruler
from i2i.evaluation.sets import evaluate_sets, evaluate_translations
from i2i.files import read_json_lines, write_bytes, write_text
from i2i.generation import choose, write_grid
from i2i.images import Array
from i2i.models.modelfile import MODEL_NAME, load_tensors, read_spec, save_tensors
from i2i.models.shipped import SHEET, Card, read_card, shipped_folder, shipped_names
from i2i.report.sheets import sheet_png

LINEART = "MIT, Microsoft (Fluent Emoji)"
MAPS = "public domain, NASA and Natural Earth"
GALLERY = Path(__file__).parent.parent / "docs" / "models.md"
SAMPLES = 1000
"""Pictures from noise that are scored, and as many test pictures that they are compared with."""
TOLERANCES = {"l1": 0.05, "psnr": 0.05, "ssim": 0.05, "lpips": 0.1, "kid": 0.5}
"""How far a score of a model that was trained again may be from that of its card, as a share of it."""
UNPAIRED_TOLERANCES = TOLERANCES | {"l1": 0.1, "psnr": 0.1, "ssim": 0.1, "kid": 0.75}
"""The same without pairs: some more than three seeds departed from the card, which docs/benchmarks.md shows."""
SHOWN = 6
"""Test pictures in the picture of a model."""


class Recipe(NamedTuple):
    """How a shipped model is trained."""

    title: str
    preset: str
    data: str
    rights: str
    settings: tuple[str, ...]
    limits: str
    use: str
    tolerances: dict[str, float] = TOLERANCES


ICONS = (
    *("data.resize_px=68", "data.crop_px=64", "generator.depth=4"),
    *("generator.head_init=xavier", "generator.upsample=nearest"),
    *("schedule.images=48000", "schedule.decay_images=24000"),
)
"""Settings of both models of the icons."""
RECIPES = {
    "lineart": Recipe(
        "flat colour to line art",
        "modern",
        "datasets/lineart",
        LINEART,
        ("data.direction=B2A", *ICONS),
        "Knows flat icons. Photographs become sketchy outlines; text is not kept legible.",
        "i2i translate icon.png -m lineart -o drawing.png",
    ),
    "colour": Recipe(
        "line art to flat colour",
        "modern",
        "datasets/lineart",
        LINEART,
        ("data.direction=A2B", *ICONS),
        "Guesses colours from what 400 icons taught it: blue signs, yellow faces. What it never saw gets a mixture.",
        "i2i translate drawing.png -m colour -o coloured.png",
    ),
    "relief": Recipe(
        "satellite photo to shaded relief",
        "modern",
        "datasets/maps",
        MAPS,
        (
            *(
                "data.direction=A2B",
                "data.resize_px=null",
                "data.crop_px=128",
                "generator.depth=4",
                "generator.head_init=xavier",
                "generator.upsample=nearest",
            ),
            *("schedule.images=24000", "schedule.decay_images=12000"),
        ),
        "Knows the earth from orbit, about 10 km a pixel. Clouds and cities were not in its pictures.",
        "i2i translate satellite.png -m relief -o relief.png",
    ),
    "relief_unpaired": Recipe(
        "satellite photo to shaded relief and back, learnt without pairs",
        "modern_unpaired",
        "datasets/maps",
        MAPS,
        (
            *("data.direction=A2B", "data.disjoint=true", "data.resize_px=null", "data.crop_px=64"),
            "data.flip=false",  # the light of reliefs comes from the left
            *("generator.width=24", "generator.recolour=null", "generator.residual=true"),
            *("loss.diffaugment=[translation,cutout]", "schedule.images=9000", "schedule.decay_images=4500"),
        ),
        "Learnt from photos and reliefs of different places, so heights are guesses from colour.",
        "i2i translate satellite.png -m relief_unpaired -o relief.png",
        UNPAIRED_TOLERANCES,
    ),
    "fashion": Recipe(
        "clothes from noise, by class",
        "conditional_fashion",
        "data/fashion",
        "MIT, Zalando (Fashion-MNIST)",
        ("data.labels=data/fashion/train.csv", "schedule.images=160000", "schedule.decay_images=60000"),
        "Grey pictures of 32 px, of ten classes.",
        "i2i generate -m fashion --label Sneaker -n 16 --seed 1 -o sneakers.png",
    ),
}


def main() -> None:
    """Train what was asked for, or compare what is there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(RECIPES)} (default: all)")
    parser.add_argument("--runs", type=Path, default=Path("runs/shipped"), help="folder of the run folders")
    parser.add_argument("--images", type=int, help="training images in place of the preset's")
    parser.add_argument("--seed", type=int, default=0, help="of the training; 0 is that of the cards")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--hardware", default=f"{platform.machine()} processor", help="what the cards say it was")
    parser.add_argument("--trained", action="store_true", help="take the models in --runs as they are")
    parser.add_argument("--compare", action="store_true", help="score shipped models again, and train nothing")
    parser.add_argument("--check", action="store_true", help="compare what is trained with the cards; ship nothing")
    arguments = parser.parse_args()
    if unknown := [name for name in arguments.names if name not in RECIPES]:
        parser.error(f"unknown model {unknown[0]}; choose from {', '.join(RECIPES)}")
    far = []
    for name in arguments.names or RECIPES:
        run = arguments.runs / name
        if not (arguments.compare or arguments.trained):
            train(configure(RECIPES[name], arguments.images, arguments.device, arguments.seed), run, resume=True)
        if arguments.compare:
            compare(name, shipped_folder() / f"{name}.safetensors")
        elif arguments.check:
            halve(run / MODEL_NAME, file := run / f"{name}.safetensors")
            far += compare(name, file)
        else:
            ship(name, run, arguments.hardware)
    if not (arguments.compare or arguments.check):
        write_text(GALLERY, gallery())
    if far:
        sys.exit(f"Too far from the cards: {', '.join(far)}.")


def configure(recipe: Recipe, images: int | None, device: str, seed: int = 0) -> Config:
    """Return the settings of a recipe's training."""
    words = [f"data.path={recipe.data}", f"train.device={device}", f"train.seed={seed}", *recipe.settings]
    if images:
        words += [f"schedule.images={images}", f"schedule.decay_images={images // 2}"]
    return load_config(recipe.preset, words)


def halve(model: Path, file: Path) -> None:
    """Write a model file in half precision."""
    spec, halves = read_spec(model), {}
    for part in spec.parts:
        tensors = load_tensors(model, part)
        halves[part] = {key: each.half() if each.is_floating_point() else each for key, each in tensors.items()}
    save_tensors(file, spec, halves)


def ship(name: str, run: Path, hardware: str) -> None:
    """Write the model of a finished run in half precision, with its picture, scores and card."""
    recipe, file = RECIPES[name], shipped_folder() / f"{name}.safetensors"
    spec = read_spec(run / MODEL_NAME)
    halve(run / MODEL_NAME, file)
    write_picture(name, file)
    rows = list(read_json_lines(run / "metrics.jsonl"))
    words = list(recipe.settings)
    if f"schedule.images={spec.images_seen}" not in words:
        words = [word for word in words if not word.startswith("schedule.")]
        words += [f"schedule.images={spec.images_seen}", f"schedule.decay_images={spec.images_seen // 2}"]
    card = Card(
        title=recipe.title,
        data=f"{recipe.data}, train split",
        licence="MIT, as i2i",
        rights=recipe.rights,
        limits=recipe.limits,
        command=f"i2i train {recipe.preset} --data {recipe.data} "
        + " ".join(f"--set {shlex.quote(word)}" for word in words),
        trained=f"{spec.images_seen:,} images in {rows[-1]['seconds']:.0f} s on {hardware}",
        scores=score(name, file),
        use=recipe.use,
    )
    text = yaml.safe_dump(card.model_dump(), sort_keys=False, allow_unicode=True, width=110)
    write_text(file.with_suffix(".yaml"), text)
    print(f"{file}: {file.stat().st_size / 1e6:.2f} MB, {card.scores}")


def score(name: str, file: Path) -> dict[str, float]:
    """Return the scores of a model file on the test split of its data."""
    recipe, spec = RECIPES[name], read_spec(file)
    if not spec.generators:
        generator = ImageGenerator.open(file)
        made = [functools.partial(_sample, generator, seed) for seed in range(1, SAMPLES + 1)]
        real = spread(find_images([recipe.data], "test"), SAMPLES)
        scored = evaluate_sets("samples against pictures of test", made, real, make_ruler())
        return {f"kid_{scored.ruler.network}": round(1000 * scored.model.scores["kid"], 2)}
    scores: dict[str, float] = {}
    for direction in spec.generators:
        suffix = f"_{direction}" if len(spec.generators) > 1 else ""
        pairs = evaluate_pairs(file, recipe.data, direction=direction)
        sets = evaluate_translations(file, recipe.data, direction=direction)
        named: dict[str, Any] = {**pairs.model, f"kid_{sets.ruler.network}": 1000 * sets.model.scores["kid"]}
        scores |= {f"{metric}{suffix}": round(value, 4) for metric, value in named.items()}
    return scores


def _sample(generator: ImageGenerator, seed: int) -> Array:
    """Return the picture of a seed."""
    return generator.pictures(generator.draw([seed]))[0]


def write_picture(name: str, file: Path) -> None:
    """Write what a model makes of test pictures, or of noise, beside it."""
    picture = file.with_suffix(".png")
    if not read_spec(file).generators:
        generator = ImageGenerator.open(file)
        write_grid(generator, choose(generator, range(1, 33), None), picture, overwrite=True)
        return
    translator = Translator.open(file, next(iter(read_spec(file).generators)))
    rows = []
    for pair in spread(find_pairs([RECIPES[name].data], "test"), SHOWN):
        source, truth = sides(pair, translator.direction)
        rows.append((source, translator.translate(source), truth))
    write_bytes(picture, sheet_png(rows, SHEET))


def gallery() -> str:
    """Return docs/models.md: every card with its picture."""
    parts = [
        "# Models to try",
        "These small models ship with i2i, for a first look and as weights to start from (`--init-from NAME`, with the "
        "settings `generator` of its command). Use them by name wherever a command takes a model. `i2i models` lists "
        "them, `i2i models NAME` prints a card.\n\n"
        "`python tools/train_models.py` trains them, scores the stored half-precision files on the test splits, and "
        "writes their cards and this page. L1 counts in 0 to 255; KID is times 1000, on features of AlexNet.",
    ]
    for name in shipped_names():
        card, file = read_card(name), shipped_folder() / f"{name}.safetensors"
        scores = ", ".join(f"{metric} {value:g}" for metric, value in card.scores.items())
        rows = [
            f"## {name}",
            f"{card.title[0].upper()}{card.title[1:]}: {file.stat().st_size / 1e6:.1f} MB.",
            f"```sh\n{card.use}\n```",
            f"![{card.title}: test pictures](../models/{name}.png)",
            f"- Trained on {card.data} ({card.rights}): {card.trained}.\n- Scores on the test split: {scores}.\n"
            f"- Limits: {card.limits}\n- Licence: {card.licence}.\n- Command: `{card.command}`",
        ]
        parts += rows
    return "\n\n".join(parts) + "\n"


def compare(name: str, file: Path) -> list[str]:
    """Print the scores of a card beside those of a file, scored now; return those that are too far off."""
    far = []
    for (metric, told), now in zip(read_card(name).scores.items(), score(name, file).values(), strict=True):
        print(f"{name:16} {metric:16} card {told:9.4f}  now {now:9.4f}  {now / told:.3f} times")
        if abs(now / told - 1) > RECIPES[name].tolerances[metric.partition("_")[0]]:
            far.append(f"{name} {metric}")
    return far


if __name__ == "__main__":
    sys.exit(run_cleanly(main))
