"""The whole road on the shipped pictures; `tools/quickstart` calls this once i2i is installed."""

import argparse
import os
import sys
import time
from pathlib import Path

from rich.console import Console

from i2i import evaluate, export_onnx, load, load_config, train
from i2i.cli import run_cleanly
from i2i.cli.evaluate import score_table
from i2i.data.folders import find_pairs
from i2i.evaluation import sides
from i2i.files import write_json
from i2i.images import write_image
from i2i.report import EVALUATION, EVALUATION_SHEET, write_report
from i2i.runtime.translator import plan, translate_files

DATA = "datasets/lineart"


def main() -> None:
    """Train, export, translate, score, report."""
    parser = argparse.ArgumentParser(prog="quickstart", description=__doc__)
    parser.add_argument("--images", type=int, help="training images, less than the preset's for a quick look")
    parser.add_argument("--out", type=Path, help="run folder (default: runs/quickstart in the checkout)")
    arguments = parser.parse_args()
    caller = Path(os.environ.get("I2I_CALLER", "."))  # tools/quickstart leaves the folder it was called from
    run = caller / arguments.out if arguments.out else Path("runs/quickstart").resolve()
    started = time.monotonic()
    fewer = [f"schedule.images={arguments.images}", "schedule.decay_images=0"] if arguments.images else []

    print(f"1/4  Training pix2pix, flat colour to line art, on {DATA}")
    train(load_config("lineart", [f"data.path={DATA}", *fewer]), run, resume=True)

    print("2/4  Exporting to ONNX, and comparing with torch")
    proof = export_onnx(run, run / "model.onnx", overwrite=True).proof
    assert proof is not None
    print(f"     equal within {proof.max_difference:.1e} (values in -1 to 1)")

    print("3/4  Translating the test pictures through ONNX Runtime")
    model = load(run / "model.onnx")
    for pair in find_pairs([DATA], "test"):
        source, _ = sides(pair, model.direction)
        write_image(run / "test" / "input" / f"{pair.name}.png", source)
    tasks = plan(run / "test" / "input", run / "test" / "output", model.generator.out_channels, overwrite=True)
    translate_files(model, tasks)

    print("4/4  Scoring them against the truth")
    scores = evaluate(run / "model.onnx", DATA, sheet=run / EVALUATION_SHEET)
    write_json(run / EVALUATION, scores.to_json())
    report = write_report(run)

    i2i = Path(sys.executable).with_name("i2i")
    Console().print(score_table(scores))
    print(f"""
Done in {(time.monotonic() - started) / 60:.1f} minutes.
  Report    {report}    (open it in a browser)
  Model     {run / "model.safetensors"}
  ONNX      {run / "model.onnx"}
  Pictures  {run / "test" / "output"}

Next:
  {i2i} translate PICTURE.png -m {run / "model.onnx"} -o drawing.png
  {i2i} train pix2pix --data YOUR_FOLDER --out runs/mine
  {i2i} --help""")


if __name__ == "__main__":
    sys.exit(run_cleanly(main))
