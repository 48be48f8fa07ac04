"""Measure what surrounds the train steps of a training: loading, logs, previews, checkpoints and the report.

    OMP_NUM_THREADS=1 python tools/bench/surroundings.py lineart datasets/lineart
    OMP_NUM_THREADS=1 python tools/bench/surroundings.py pix2pix datasets/lineart --set data.resize_px=286

It trains a few steps with everything due every few of them, takes the median processor time of each, and says which
share of the steps it is with the preset's own intervals. Waiting for the loader is by the clock. A preset that counts
epochs is taken to have 40,000 images.
"""

import argparse
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from i2i.config import load_config
from i2i.training import loop, start
from i2i.training.engine import Engine

EVENTS = 3


def main() -> None:
    """Train and print a table."""
    parser = argparse.ArgumentParser(description="Measure what surrounds the train steps of a training.")
    parser.add_argument("preset")
    parser.add_argument("data")
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE")
    parser.add_argument("--steps", type=int, default=24)
    options = parser.parse_args()
    changes = [f"data.path=[{options.data}]", *options.set]
    usual = load_config(options.preset, changes)
    images = options.steps * usual.train.step_images
    every = images // EVENTS
    short = [f"log.{name}_images={every}" for name in ("every", "samples_every", "checkpoint_every")]
    short += [
        f"schedule.images={images}",
        "schedule.epochs=null",
        "schedule.decay_images=0",
        "schedule.decay_epochs=null",
    ]
    taken = measure(load_config(options.preset, [*changes, *short]))
    median = {name: statistics.median(seconds[1:] or seconds) for name, seconds in taken.items()}
    step_s = median["step"] / usual.train.step_images
    total = usual.schedule.images or 40_000
    costs = {
        "logs": median["logs"] / usual.log.every_images,
        "previews and validation": median["previews and validation"] / usual.log.samples_every_images,
        "checkpoints": median["checkpoints"] / usual.log.checkpoint_every_images,
        "report": sum(taken["end"]) / total,
        "waiting for the loader": median["waiting for the loader"] / usual.train.step_images,
    }
    print(f"\n{options.preset}: a step takes {1000 * median['step']:.0f} ms; {total:,} images in all.\n")
    print("| what | ms each time | share of the steps |\n|---|--:|--:|")
    for name, seconds in costs.items():
        each = sum(taken["end"]) if name == "report" else median[name]
        print(f"| {name} | {1000 * each:.1f} | {seconds / step_s:.2%} |")
    print(f"| all | | {sum(costs.values()) / step_s:.2%} |")


def measure(config: Any) -> dict[str, list[float]]:
    """Train; return the seconds of each event."""
    taken: dict[str, list[float]] = defaultdict(list)
    places = [
        (Engine, "train_step", "step"),
        (loop.Training, "_log", "logs"),
        (loop.Training, "_validate", "previews and validation"),
        (loop.Training, "_save", "checkpoints"),
        (start, "_finish", "end"),
    ]
    for owner, name, event in places:
        setattr(owner, name, timed(getattr(owner, name), taken[event]))
    batches = loop.agreed_batches

    def waiting(*arguments: Any) -> Iterator[Any]:
        source = batches(*arguments)
        while True:
            begun = time.perf_counter()
            try:
                loaded = next(source)
            except StopIteration:
                return
            taken["waiting for the loader"].append(time.perf_counter() - begun)
            yield loaded

    setattr(loop, "agreed_batches", waiting)  # noqa: B010  # as a type checker would not have it otherwise
    with tempfile.TemporaryDirectory() as folder:
        start.train(config, Path(folder) / "run")
    return taken


def timed(function: Callable[..., Any], seconds: list[float]) -> Callable[..., Any]:
    """Return `function`, which then notes the processor time of each call."""

    def call(*arguments: Any, **options: Any) -> Any:
        begun = time.process_time()
        try:
            return function(*arguments, **options)
        finally:
            seconds.append(time.process_time() - begun)

    return call


if __name__ == "__main__":
    main()
