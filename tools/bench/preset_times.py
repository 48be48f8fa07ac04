"""How long does each preset train on one core? Milliseconds of processor time an image, times the preset's images.

    OMP_NUM_THREADS=1 python tools/bench/preset_times.py [--presets ring ...]

Without names, all presets but those for a GPU, which count epochs or take 256 px. Each trains for a few dozen
steps with its own settings, on shipped pictures in the form that it takes. Time counts from the first log on, with
loading and logs, and without previews, checkpoints and the report. Networks that grow do so at the same shares of these
steps as of the whole training.
"""

import argparse
import contextlib
import csv
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from i2i import load_config
from i2i.config.settings import Config
from i2i.data.augment import resize
from i2i.images import read_image, write_image
from i2i.training.start import train

EVERY, LOGS, MOST_MINUTES = 16, 4, 20
"""Steps between logs, a multiple of what any preset does every so many steps; logs; and what is long."""
POINTS_TIMES = 16
"""How many times as many steps of points, which take milliseconds."""
PICTURES, SIDE_PX, CLIP_FRAMES = 120, 32, 24
DATASETS = Path(__file__).parents[2] / "datasets"
_EMOJI, _MAPS = [f"data.path={DATASETS / 'lineart'}"], [f"data.path={DATASETS / 'maps'}"]
_GREY, _LABELS = ["data.path=grey"], ["data.path=grey", "data.labels=grey/train.csv"]
_CAPTIONS = ["data.path=hues", "data.labels=hues/captions.csv"]
_OF_EMOJI = ("lineart", "lineart_cut", "colorize", "inpaint_emoji", "dcgan_emoji", "cppn_emoji")
_OF_GREY = ("dcgan_fashion", "progressive_fashion", "style_fashion", "ebgan_digits", "infogan_digits")
DATA: dict[str, list[str]] = {
    **dict.fromkeys(_OF_EMOJI, _EMOJI),
    "modern_generate": [*_EMOJI, "data.side=B"],
    **dict.fromkeys(("maps", "maps_cut", "maps_unpaired"), _MAPS),
    "texture_relief": ["data.path=relief"],
    "clips": ["data.path=clips"],
    **dict.fromkeys((*_OF_GREY, "vae_digits", "vae_gan_digits"), _GREY),
    **dict.fromkeys(("conditional_fashion", "plug_and_play_digits"), _LABELS),
    "semi_supervised_digits": ["data.path=grey", "data.labels=grey/few.csv"],
    "cogan_digits": ["data.path=domains"],
    "stackgan_emoji": _CAPTIONS,
    "stackgan_emoji_64": [*_CAPTIONS, "train.after=runs/stackgan_emoji"],
    **{name: [] for name in ("ring", "wgan_gp_ring", "infogan_ring")},
    "wgan_ring": ["loss.n_critic_long=null"],  # else no generator step would come in the few that are timed
}
"""By preset, the settings of its data, relative to the folder that `write_data` fills."""


def write_data(folder: Path) -> None:
    """Write shipped pictures in the forms that presets take."""
    files = sorted((DATASETS / "lineart" / "train").glob("*.png"))[:PICTURES]
    tables: dict[str, list[tuple[str, str]]] = {
        "grey/train.csv": [("name", "label")],
        "grey/few.csv": [("name", "label")],
        "hues/captions.csv": [("name", "caption")],
    }
    for number, file in enumerate(files):
        outline, picture = (read_image(file)[:, half] for half in (slice(None, 64), slice(64, None)))
        small, label, name = resize(outline, SIDE_PX)[:, :, :1], str(number % 10), f"{number:04}.png"
        write_image(folder / "grey" / "train" / name, small)
        write_image(folder / "domains" / ("plain", "outline")[number % 2] / name, small)
        write_image(folder / "hues" / "train" / name, picture)
        for side, frame in (("A", outline), ("B", picture)):
            write_image(folder / "clips" / f"train{side}" / str(number // CLIP_FRAMES) / name, frame)
        tables["grey/train.csv"].append((name, label))
        tables["grey/few.csv"].append((name, label if number < 50 else ""))
        tables["hues/captions.csv"].append((name, f"red thing {label}"))
    write_image(folder / "relief" / "train" / "hills.png", read_image(DATASETS / "maps" / "train" / "y0865x4352.jpg"))
    for table, rows in tables.items():
        with (folder / table).open("w", encoding="utf-8", newline="") as file_of_rows:
            csv.writer(file_of_rows).writerows(rows)


def shorten(preset: str, data: list[str]) -> tuple[Config, int]:
    """Return a short training of a preset, and the images of the whole one."""
    whole = load_config(preset, data)
    total = whole.schedule.images
    assert total is not None
    every = EVERY * whole.train.step_images * (POINTS_TIMES if whole.data.toy else 1)
    images = (1 + LOGS) * every
    short = [f"schedule.images={images}", "schedule.decay_images=0", f"log.every_images={every}", "train.device=cpu"]
    short += [f"log.{name}_every_images={images}" for name in ("samples", "checkpoint")]
    grown = {name: value for name, value in whole.loss.items() if name in ("steady_images", "fade_images")}
    short += [f"loss.{name}={value * images // total}" for name, value in grown.items()]
    return load_config(preset, [*data, *short]), total


def time_image(config: Config, run: Path) -> float:
    """Train into a folder; return the milliseconds of processor time an image."""
    logs: list[tuple[int, float]] = []

    def note(row: Mapping[str, Any]) -> None:
        if row["split"] == "train":
            logs.append((row["images"], time.process_time()))

    train(config, run, callbacks=[note])
    (first, began), (last, ended) = logs[0], logs[-1]
    return 1000 * (ended - began) / (last - first)


def main() -> None:
    """Train and print the table."""
    parser = argparse.ArgumentParser(description="How long does each preset train on one core?")
    parser.add_argument("--presets", nargs="+", choices=DATA, default=list(DATA))
    given = parser.parse_args()
    torch.set_num_threads(1)
    print("| preset | images | in a step | ms an image | minutes |\n|---|--:|--:|--:|--:|")
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        write_data(Path())
        for preset in given.presets:
            config, total = shorten(preset, DATA[preset])
            each_ms = time_image(config, Path("runs", preset))
            minutes = each_ms * total / 60_000
            shown = f"**{minutes:.1f}**" if minutes > MOST_MINUTES else f"{minutes:.1f}"
            print(f"| {preset} | {total:,} | {config.train.step_images} | {each_ms:.3g} | {shown} |", flush=True)


if __name__ == "__main__":
    main()
