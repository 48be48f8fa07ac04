"""Train, export, use and report on the shipped pictures; `tools/quickstart` calls this once i2i is installed."""

import argparse
import os
import sys
import time
from pathlib import Path
from typing import NamedTuple

from rich.console import Console

from i2i import ImageGenerator, Translator, export, load_config, train
from i2i.cli import run_cleanly
from i2i.cli.tables import score_table
from i2i.data.folders import find_pairs
from i2i.evaluation import evaluate_pairs, keep_evaluation, sides
from i2i.files import write_bytes
from i2i.generation import choose, write_grid, write_walk
from i2i.images import write_image
from i2i.report.page import write_report
from i2i.runtime.folder import list_tasks
from i2i.runtime.pipeline import translate_files


class Demo(NamedTuple):
    """One demonstration: the preset, its data, and the direction in which the model is then used.

    own: the preset to try next on one's own pictures. settings: changes to the preset.
    """

    preset: str
    data: str
    what: str
    direction: str | None
    folder: str
    own: str
    settings: tuple[str, ...] = ()


SMALL = ("data.direction=B2A", "data.resize_px=68", "data.crop_px=64", "schedule.images=8000")
"""What makes `modern` a training of a few minutes, on pictures of 64 px."""
DEMOS = {
    "pix2pix": Demo(
        "modern",
        "datasets/lineart",
        "flat colour to line art",
        "B2A",
        "quickstart",
        "modern",
        (*SMALL, "schedule.decay_images=4000", "log.checkpoint_every_images=4000"),
    ),
    "cyclegan": Demo(
        "maps_unpaired", "datasets/maps", "photos to relief, unpaired", "A2B", "quickstart_cyclegan", "modern_unpaired"
    ),
    "dcgan": Demo("dcgan_emoji", "datasets/lineart", "emoji from noise", None, "quickstart_dcgan", "dcgan"),
}


def main() -> None:
    """Train, export, use, report."""
    parser = argparse.ArgumentParser(prog="quickstart", description=__doc__)
    parser.add_argument("word", nargs="?", choices=list(DEMOS), default="pix2pix", help="what to train")
    parser.add_argument("--images", type=int, help="training images, fewer than the preset's for a quick look")
    parser.add_argument("--out", type=Path, help="run folder (default: runs/quickstart* in the checkout)")
    arguments = parser.parse_args()
    demo = DEMOS[arguments.word]
    caller = Path(os.environ.get("I2I_CALLER", "."))  # the folder that tools/quickstart was called from
    run = caller / arguments.out if arguments.out else Path("runs", demo.folder).resolve()
    started = time.monotonic()
    fewer = [f"schedule.images={arguments.images}", "schedule.decay_images=0"] if arguments.images else []

    print(f"1/4  Training {arguments.word}, {demo.what}, on {demo.data}")
    train(load_config(demo.preset, [f"data.path={demo.data}", *demo.settings, *fewer]), run, resume=True)

    print("2/4  Exporting to ONNX, and comparing with torch")
    proof = export(run, run / "model.onnx", demo.direction, overwrite=True).spec.proof
    assert proof is not None
    print(f"     equal within {proof.max_difference:.1e} (values in -1 to 1)")

    made = translate_and_score(run, demo) if demo.direction else generate(run)
    i2i = Path(sys.executable).with_name("i2i")
    use = (
        f"{i2i} translate PICTURE.png -m {run / 'model.onnx'} -o translated.png"
        if demo.direction
        else f"{i2i} generate -m {run / 'model.onnx'} -n 64 --seed 1 -o grid.png"
    )
    print(f"""
Done in {(time.monotonic() - started) / 60:.1f} minutes.
  Report    {write_report(run)}    (open it in a browser)
  Model     {run / "model.safetensors"}
  ONNX      {run / "model.onnx"}
  Pictures  {made}

Next:
  {use}
  {i2i} train {demo.own} --data YOUR_FOLDER --out runs/mine
  {i2i} --help""")


def translate_and_score(run: Path, demo: Demo) -> Path:
    """Translate the test pictures with the exported model and score them; return the folder of the outputs."""
    print("3/4  Translating the test pictures with ONNX Runtime")
    model = Translator.open(run / "model.onnx")
    for pair in find_pairs([demo.data], "test"):
        source, _ = sides(pair, model.direction)
        write_image(run / "test" / "input" / f"{pair.name}.png", source)
    tasks = list_tasks(run / "test" / "input", run / "test" / "output", model.generator.out_channels, overwrite=True)
    translate_files(model, tasks)

    print("4/4  Scoring them against the truth")
    scores = evaluate_pairs(run, demo.data, direction=demo.direction, sheet=True, worst=True)
    Console().print(score_table(scores))
    keep_evaluation(run, "pairs", scores.to_json(), [demo.data], "test", scores.worst)
    assert scores.sheet is not None
    write_bytes(run / "evaluation.png", scores.sheet)
    return run / "test" / "output"


def generate(run: Path) -> Path:
    """Make a grid and an interpolation with the exported model; return the folder of the outputs."""
    model = ImageGenerator.open(run / "model.onnx")
    print("3/4  Making a grid of 64 with ONNX Runtime")
    write_grid(model, choose(model, range(1, 65), None), run / "generated" / "grid.png", overwrite=True)
    print("4/4  Interpolating from one to the next")
    write_walk(model, choose(model, range(1, 5), None), run / "generated" / "walk.webp", loop=True, overwrite=True)
    return run / "generated"


if __name__ == "__main__":
    sys.exit(run_cleanly(main))
