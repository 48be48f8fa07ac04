"""Measure a training step beside busy processes, against its fair share of the processor.

    python tools/bench/beside.py                     # 10 minutes for `modern`; other work only widens the spread
    python tools/bench/beside.py --preset lineart --loads 0 2 2x2 --ways "1 thread" "2 threads, asleep"
    sudo python tools/bench/beside.py --loads 0 --first --seconds 0.4 --rounds 15        # without other work

Each way (threads, how they wait, scheduling) has a process of its own, with the Engine's train step on batches of eight
random images of 64 px. The ways take turns; all others wait for their turn asleep. The busy processes run during the
turns of their row: `2` are two that count, `2x2` two that convolve with torch, on two threads each.

The fair share of T threads is the processor time that T threads get which wait for nobody: they take turns like the
ways, from a process of the same kind. It says what the scheduler gives whatever else the machine does; that is not T
times the time of a busy thread where it shares cores out among sessions (`sched_autogroup`) or groups. `of fair` is the
processor time of the images of a round, at what one thread needs for an image in the row, over that share. It falls
where threads wait for each other, and where they spin. Cells are medians of the rounds. `waited` is how long threads
that could compute waited for a core. `terms` are the first digits of a digest of the losses of three steps: ways that
show the same ones round alike. Each way and each busy process has a session of its own, as programs have.

With `--first`, the ways come before all else on the machine, as if they had it alone; keep the turns short. It
rests after each for as long.
"""

import argparse
import ctypes
import hashlib
import json
import os
import statistics
import struct
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import NamedTuple

LOADS = ["0", "1", "2", "3", "4", "1x2", "2x2"]
BATCH = 8
COUNT = """
import os
parent = os.getppid()
while os.getppid() == parent:  # so that none is left behind
    sum(range(100_000))
"""
CONVOLVE = """
import os, torch
parent = os.getppid()
images, weights = torch.randn(8, 64, 32, 32), torch.randn(64, 64, 3, 3)
while os.getppid() == parent:
    torch.nn.functional.conv2d(images, weights)
"""
_SCHED_SETATTR = 314  # on x86-64; the time of an ordinary thread's slice can be set from Linux 6.12 on


class Way(NamedTuple):
    """How a side computes."""

    threads: int
    environment: dict[str, str]
    scheduling: str = ""


ASLEEP = {"OMP_WAIT_POLICY": "PASSIVE"}
WAYS = {
    "1 thread": Way(1, ASLEEP),
    "2 threads, spinning": Way(2, {}),  # torch's default
    "2 threads, asleep": Way(2, ASLEEP),
    "2, as i2i": Way(2, ASLEEP | {"GOMP_SPINCOUNT": "3000"}, "watched"),
    "2, 300 turns": Way(2, {"GOMP_SPINCOUNT": "300"}),
    "2, 1,000 turns": Way(2, {"GOMP_SPINCOUNT": "1000"}),
    "2, 2,000 turns": Way(2, {"GOMP_SPINCOUNT": "2000"}),
    "2, 3,000 turns": Way(2, {"GOMP_SPINCOUNT": "3000"}),
    "2, 10,000 turns": Way(2, {"GOMP_SPINCOUNT": "10000"}),
    "2, a core each": Way(2, ASLEEP | {"OMP_PROC_BIND": "true"}),
    "2, both on one core": Way(2, ASLEEP, "one core"),
    "2, slices of 0.1 ms": Way(2, ASLEEP, "slices"),
    "2, SCHED_BATCH": Way(2, ASLEEP, "batch"),
}


FREE = "free, {}"
"""Threads that wait for nobody, whose processor time is the fair share of as many."""


class Turn(NamedTuple):
    """What one turn of a way measured, each a second of the clock."""

    images: float
    processor_s: float
    waited_s: float


def main() -> None:
    """Print a table, or serve as one of the ways."""
    parser = argparse.ArgumentParser(description="Measure a training step beside busy processes.")
    parser.add_argument("--preset", default="modern")
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=list(WAYS), metavar="WAY")
    parser.add_argument("--loads", nargs="+", default=LOADS, metavar="LOAD", help="Such as 0, 3 or 2x2.")
    parser.add_argument("--rounds", type=int, default=5, help="Turns of each way beside each load.")
    parser.add_argument("--seconds", type=float, default=2.0, help="Length of a turn.")
    parser.add_argument("--first", action="store_true", help="Come before all other work; Linux lets root alone.")
    parser.add_argument("--side", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side and options.side in WAYS:
        serve(WAYS[options.side], options.preset, options.seconds)
        return
    if options.side:
        serve_free(int(options.side.split()[-1]), options.seconds)
        return
    print("| busy | load average | way | images/s | of fair | processor, s/s | waited, s/s | terms |")
    print(f"|{'---|' * 8}", flush=True)
    free = {FREE.format(threads) for threads in {WAYS[way].threads for way in options.ways}}
    sides = {way: start(way, options) for way in (*options.ways, *sorted(free))}
    digests = {way: warmed_up(way, side, options.first) for way, side in sides.items()}
    for load in options.loads:
        beside(load, sides, digests, options.rounds, options.seconds if options.first else 0)
    for side in sides.values():
        side.stdin.close()  # type: ignore[union-attr]
        side.wait()


def start(way: str, options: argparse.Namespace) -> "subprocess.Popen[str]":
    """Start a way's process, which says when it is ready."""
    own = WAYS.get(way, Way(1, {}))
    told = {**own.environment, "OMP_NUM_THREADS": str(own.threads)}
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_"))}
    words = [sys.executable, __file__, "--side", way, "--preset", options.preset, "--seconds", str(options.seconds)]
    both = subprocess.PIPE
    return subprocess.Popen(words, stdin=both, stdout=both, text=True, env=kept | told, start_new_session=True)


def warmed_up(way: str, side: "subprocess.Popen[str]", first: bool) -> str:
    """Schedule a way's threads, let it take its first steps, and return what it says of their losses."""
    assert side.stdin
    assert side.stdout
    if not side.stdout.readline():
        sys.exit(f"{way}: the process has ended; see above.")
    scheduling = WAYS[way].scheduling if way in WAYS else ""
    for thread in threads(side.pid):
        schedule(thread, scheduling, first)
    print("warm up", file=side.stdin, flush=True)
    digest = side.stdout.readline().strip()
    for thread in threads(side.pid):  # those that it has started since
        schedule(thread, scheduling, first)
    return digest


def schedule(thread: int, scheduling: str, first: bool) -> None:
    """Apply a way's scheduling to a thread."""
    if first:
        os.sched_setscheduler(thread, os.SCHED_FIFO, os.sched_param(1))
    if scheduling == "one core":
        os.sched_setaffinity(thread, {0})
    elif scheduling == "batch":
        os.sched_setscheduler(thread, os.SCHED_BATCH, os.sched_param(0))
    elif scheduling == "slices":
        attributes = struct.pack("IIQiIQQQ", 48, 0, 0, 0, 0, 100_000, 0, 0)
        if ctypes.CDLL(None).syscall(_SCHED_SETATTR, thread, attributes, 0):
            sys.exit("This kernel takes no slice. Leave that way out.")


def beside(
    load: str, sides: "dict[str, subprocess.Popen[str]]", digests: dict[str, str], rounds: int, rest_s: float
) -> None:
    """Let the ways take turns beside a load, and print a row for each."""
    count, _, each = load.partition("x")
    told = {**os.environ, "OMP_NUM_THREADS": each or "1"}
    words = [sys.executable, "-c", CONVOLVE if each else COUNT]
    others = [subprocess.Popen(words, env=told, start_new_session=True) for _ in range(int(count))]
    turns: dict[str, list[Turn]] = {way: [] for way in sides}
    try:
        time.sleep(5 if each else 1)  # torch loads
        average = Path("/proc/loadavg").read_text(encoding="ascii").split()[0]
        for number in range(rounds):
            for way in list(sides)[:: -1 if number % 2 else 1]:
                turns[way].append(turn(sides[way]))
                time.sleep(rest_s)
    finally:
        for one in others:
            one.kill()
            one.wait()
    cost_s = statistics.median(one.processor_s / one.images for one in turns[next(iter(sides))])
    for way in digests:
        if way not in WAYS:
            continue
        images, processor, waited = (statistics.median(values) for values in zip(*turns[way], strict=True))
        free = turns[FREE.format(WAYS[way].threads)]
        fair = [one.images * cost_s / other.processor_s for one, other in zip(turns[way], free, strict=True)]
        share = f"{statistics.median(fair):.0%}"
        cells = [load, average, way, f"{images:.1f}", share, f"{processor:.2f}", f"{waited:.2f}", digests[way]]
        print(f"| {' | '.join(cells)} |", flush=True)


def turn(side: "subprocess.Popen[str]") -> Turn:
    """Let a way train, or free threads compute, for a while."""
    assert side.stdin
    assert side.stdout
    before, began = times(side.pid), time.perf_counter()
    print("turn", file=side.stdin, flush=True)
    images = json.loads(side.stdout.readline())
    clock, after = time.perf_counter() - began, times(side.pid)
    return Turn(images / clock, *((now - then) / clock for now, then in zip(after, before, strict=True)))


def threads(process: int) -> list[int]:
    """Return the threads of a process."""
    return [int(path.name) for path in Path(f"/proc/{process}/task").iterdir()]


def times(process: int) -> tuple[float, float]:
    """Return how long the threads of a process have computed and waited for a core, in seconds."""
    lines = [
        Path(f"/proc/{process}/task/{thread}/schedstat").read_text(encoding="ascii") for thread in threads(process)
    ]
    computed, waited = zip(*(map(int, line.split()[:2]) for line in lines), strict=True)
    return sum(computed) / 1e9, sum(waited) / 1e9


def serve_free(count: int, seconds: float) -> None:
    """Answer each line after so many threads have computed for a while, none of which waits for another."""
    numbers = bytes(1 << 20)

    def compute(end: float) -> None:
        while time.perf_counter() < end:
            hashlib.sha256(numbers).digest()  # without the interpreter's lock

    print("ready", flush=True)
    with ThreadPoolExecutor(count) as pool:  # whose threads stay, so that their times can be read
        for line in sys.stdin:
            end = time.perf_counter() + (seconds if line == "turn\n" else 0.01)
            wait([pool.submit(compute, end) for _ in range(count)])
            print(0, flush=True)


def serve(way: Way, preset: str, seconds: float) -> None:
    """Serve as one way: answer each line with the images of a turn."""
    import torch
    from train_step import Case, make_ours

    from i2i.training.waiting import Waiting

    torch.set_num_threads(way.threads)
    torch.manual_seed(0)
    step, batch = make_ours(Case(preset, ("data.resize_px=64", "data.crop_px=64"), BATCH), (), "cpu")
    print("ready", flush=True)
    sys.stdin.readline()
    terms = [float(term) for _ in range(3) for term in step(batch).values()]
    print(hashlib.sha256(str(terms).encode()).hexdigest()[:6], flush=True)
    waiting = Waiting(way.threads if way.scheduling == "watched" else 1)
    for _ in sys.stdin:
        began, images = time.perf_counter(), 0
        while time.perf_counter() - began < seconds:
            step(batch)
            images += BATCH
            waiting.look()
        print(images, flush=True)


if __name__ == "__main__":
    main()
