"""Time and memory of what comes before the first picture, against the number of pictures.

    python tools/bench/names.py FOLDER --counts 1000 10000 100000 1000000

Makes folders of so many A|B files in FOLDER, hard links to a few pictures, if they are not there. Each cell is a
process of its own: `train` finds and checks the data of a training and loads the first batch, `translate` lists which
input becomes which output, `evaluate` finds the pairs. Prints the processor seconds, those that passed, and the peak of
memory above that of the imports.
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from i2i.images import write_image

_LINKS = 50_000
"""Names of one file, at most; file systems have limits."""
WORK = ("train", "translate", "evaluate")


def make(folder: Path, count: int) -> None:
    """Make the A|B files of a training."""
    train = folder / "train"
    if train.exists():
        return
    new = folder / "new"
    new.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        if number % _LINKS == 0:
            source = folder / f"picture_{number}.png"
            write_image(source, np.random.default_rng(number).integers(0, 256, (64, 128, 3), np.uint8))
        os.link(source, new / f"{number:07d}.png")
    new.rename(train)


def peak_mib() -> float:
    """Return the largest resident memory of this process so far, in MiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024


def do(work: str, folder: Path) -> None:
    """Do one piece of work, and print its seconds and memory."""
    from i2i import load_config
    from i2i.data.folders import find_pairs
    from i2i.data.sets import make_set
    from i2i.runtime.folder import list_tasks

    config = load_config("lineart", [f"data.path={folder}", "train.device=cpu"])
    before, start, used = peak_mib(), time.perf_counter(), time.process_time()
    if work == "train":
        made = make_set("paired", config)
        assert len(made.load([0, 1, 2, 3]).batch) >= 2
    elif work == "translate":
        assert len(list_tasks(folder / "train", folder / "out", 3))
    else:
        assert len(find_pairs([str(folder)], "train"))
    wall, used = time.perf_counter() - start, time.process_time() - used
    print(f"{used:.2f} s ({wall:.2f}), {peak_mib() - before:,.0f} MiB")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--counts", type=int, nargs="+", default=[1_000, 10_000, 100_000, 1_000_000])
    parser.add_argument("--work", choices=WORK, help="do this alone, in this process")
    given = parser.parse_args()
    if given.work:
        do(given.work, given.folder)
        return
    print(f"| pictures | {' | '.join(WORK)} |\n|---|{'---|' * len(WORK)}")
    for count in given.counts:
        folder = given.folder / f"{count}"
        make(folder, count)
        cells = []
        for work in WORK:
            words = [sys.executable, __file__, str(folder), "--work", work]
            cells.append(subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip())
        print(f"| {count:,} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
