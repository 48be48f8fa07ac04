"""Compare progressive growing with the same networks not grown, at equal images.

    python tools/bench/growth.py data/fashion OUT [--images N] [--seeds 0 1 2]

`data` is what datasets/fashion_mnist.py leaves. Both cases are the preset progressive_fashion; the control's algorithm
is `gan`, whose networks are whole from the first image on. With other lengths than the preset's, the growth keeps its
share of the training. Prints, for each case and seed, the KID of samples from pictures of the test split, on features
of random convolutions and with its 95% interval, and the processor time of the training.
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

from i2i import load_config, train
from i2i.images import read_image
from i2i.metrics.distributions import kid, kid_interval
from i2i.metrics.features import features
from i2i.runtime.generator import ImageGenerator

PRESET, WHOLE_IMAGES = "progressive_fashion", 60_000
SAMPLES = 2000


def main() -> None:
    """Train and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--images", type=int, default=WHOLE_IMAGES)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    given = parser.parse_args()
    real = features([read_image(path) for path in sorted((given.data / "test").iterdir())[:SAMPLES]], "random")
    print("| case | seed | KID, times 1,000 | 95% | processor time |\n|---|---|---|---|---|")
    for seed in given.seeds:
        for case in ("progressive", "gan"):
            run = given.out / f"{case}.{seed}"
            seconds = fit(run, settings(given.data, given.images, seed, case))
            generator = ImageGenerator.open(run, "cpu")
            made = features(generator.pictures(generator.draw(range(SAMPLES))), "random")
            low, high = kid_interval(real, made)
            name = "grown" if case == "progressive" else "whole from the start"
            figures = f"{1000 * kid(real, made):.2f} | {1000 * low:.2f} to {1000 * high:.2f}"
            print(f"| {name} | {seed} | {figures} | {seconds:.0f} s |", flush=True)


def settings(data: Path, images: int, seed: int, case: str) -> list[str]:
    """Return the overrides of the preset for a case and a length."""
    preset = load_config(PRESET)
    growth = {name: preset.loss.pop(name) for name in ("steady_images", "fade_images", "batch_at")}
    kept = [f"loss.{name}={growth[name] * images // WHOLE_IMAGES}" for name in ("steady_images", "fade_images")]
    same = [f"data.path={data / 'train'}", f"schedule.images={images}", f"train.seed={seed}", "train.device=cpu"]
    rare = [f"log.samples_every_images={images}", f"log.checkpoint_every_images={images}"]
    if case == "progressive":
        return [*same, *rare, *kept]
    batch = growth["batch_at"][max(growth["batch_at"])]  # the control is at the last side throughout
    return [*same, *rare, "algorithm=gan", f"train.batch={batch}", f"loss={_yaml(preset.loss)}"]


def _yaml(loss: dict[str, object]) -> str:
    return "{" + ", ".join(f"{name}: {value}" for name, value in loss.items()) + "}"


def fit(run: Path, overrides: Sequence[str]) -> float:
    """Train into a folder; return the seconds of processor time."""
    began = time.process_time()
    train(load_config(PRESET, overrides), run)
    return time.process_time() - began


if __name__ == "__main__":
    main()
