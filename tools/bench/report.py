"""The processor time that a training spends on its report: python tools/bench/report.py FOLDER."""

import argparse
import time
from pathlib import Path

from i2i import load_config, train
from i2i.report.page import REPORT, write_report
from i2i.training import reporter

IMAGES, PREVIEWS = 400, 5
PRESET = "lineart"


def main() -> None:
    """Train `lineart` for a short while, with several previews, and print both times."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="a new folder for the run")
    out = parser.parse_args().folder
    spent: list[float] = []

    def timed(folder: Path) -> Path:
        began = time.process_time()
        page = write_report(folder)
        spent.append(time.process_time() - began)
        return page

    vars(reporter)["write_report"] = timed
    every = load_config(PRESET).log.samples_every_images
    changes = ["data.path=datasets/lineart", "train.device=cpu", f"schedule.images={IMAGES}", "schedule.decay_images=0"]
    changes += [f"log.samples_every_images={IMAGES // PREVIEWS}", "log.every_images=8"]
    began = time.process_time()
    train(load_config(PRESET, changes), out)
    training = time.process_time() - began - sum(spent)
    preview = max(spent)
    between = training / IMAGES * every
    print(f"a report: {1000 * preview:.0f} ms at most; {every} images between two previews: {between:.0f} s")
    print(f"share: {preview / between:.2%}; page: {(out / REPORT).stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
