"""Measure `i2i translate` of tiles of 256 px on workers of this machine, with and without Ray.

    python tools/bench/cluster.py FOLDER MODEL.onnx --tiles 2000        # needs i2i-toolkit[ray]

Each row is one command: pictures a second by the clock, without the start; the whole by the clock; and the processor
time of all its processes, from which core-hours of a million tiles follow, the start and end of a command left out. The
difference of two counts of tiles gives the time of a tile, so a row takes two commands.
"""

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image

WORKERS = (1, 2, 4)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description="Measure i2i translate on workers of this machine.")
    parser.add_argument("folder", type=Path, help="Where tiles and outputs go.")
    parser.add_argument("model")
    parser.add_argument("--tiles", type=int, default=2000)
    parser.add_argument("--ways", nargs="+", default=["threads", "ray"], choices=["threads", "ray"])
    options = parser.parse_args()
    few = options.tiles // 8
    shutil.rmtree(options.folder, ignore_errors=True)
    for name, count in (("few", few), ("many", options.tiles)):
        make_tiles(options.folder / name, count)
    print("| way | workers | pictures/s | whole, s | processor, s | ms a tile | core-hours a million |")
    print(f"|{'---|' * 7}", flush=True)
    for way in options.ways:
        for workers in WORKERS:
            rows = [run(options, name, way, workers) for name in ("few", "many")]
            (_, _, before), (speed, whole, processor) = rows
            tile_s = (processor - before) / (options.tiles - few)
            cells = [way, str(workers), f"{speed:.1f}", f"{whole:.0f}", f"{processor:.0f}", f"{1000 * tile_s:.1f}"]
            print(f"| {' | '.join(cells)} | {tile_s * 1e6 / 3600:.1f} |", flush=True)


def make_tiles(folder: Path, count: int) -> None:
    """Write tiles of smooth colours."""
    folder.mkdir(parents=True, exist_ok=True)
    draw = np.random.default_rng(0)
    for number in range(count):
        small = draw.integers(0, 256, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(small).resize((256, 256), Image.Resampling.BICUBIC).save(folder / f"{number:07}.png")


def run(options: argparse.Namespace, name: str, way: str, workers: int) -> tuple[float, float, float]:
    """Translate a folder; return pictures a second, and seconds by the clock and of the processor."""
    out = options.folder / "out"
    shutil.rmtree(out, ignore_errors=True)
    words = [sys.executable, "-m", "i2i", "translate", str(options.folder / name), "-m", options.model, "-o", str(out)]
    words += ["--json", "--workers", str(workers), *(["--ray", "auto"] if way == "ray" else [])]
    began, spent = time.monotonic(), dict[int, float]()
    told = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=told) as process:
        while process.poll() is None:
            for pid in family(process.pid):
                spent[pid] = max(spent.get(pid, 0.0), busy_s(pid))
            time.sleep(0.2)
        assert process.stdout
        answer = json.loads(process.stdout.read())["result"]
    assert answer["written"] == answer["pictures"], answer["failures"]
    return answer["written"] / answer["seconds"], time.monotonic() - began, sum(spent.values())


def family(process: int) -> list[int]:
    """Return a process and all that descend from it."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has ended
            parents[int(path.parent.name)] = int(path.read_text(encoding="utf-8").rpartition(")")[2].split()[1])
    found = [process]
    for one in found:
        found += [pid for pid, parent in parents.items() if parent == one]
    return found


def busy_s(process: int) -> float:
    """Return the processor time of a process, in seconds; 0 if it has ended."""
    with contextlib.suppress(OSError):
        words = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")
    return 0.0


if __name__ == "__main__":
    main()
