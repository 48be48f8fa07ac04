"""Compare the preset modern_generate with DCGAN at equal processor time, on Fashion-MNIST at 32 px.

    python tools/bench/modern_generate.py data/fashion OUT [--images N] [--seeds 0 1 2]

`data` is what datasets/fashion_mnist.py leaves. modern_generate trains on N images with changes for a CPU;
dcgan_fashion then gets the same processor time, by its speed over the first part of it. Prints KID and coverage of
samples, against pictures of the test split, on features of random convolutions.
"""

import argparse
import time
from pathlib import Path

from i2i import load_config, train
from i2i.images import Array, read_image
from i2i.metrics.distributions import density_coverage, kid, kid_interval
from i2i.metrics.features import features
from i2i.runtime.generator import ImageGenerator

SAMPLES = 2000
TRIAL_IMAGES = 2560
SMALL = ["data.channels=1", "data.crop_px=32", "data.resize_px=32", "data.flip=false"]
SMALL += ["generator.width=8", "discriminator.width=8", "generator.blocks=1", "discriminator.blocks=1"]
SMALL += ["train.batch=16", "train.ema_half_life_images=2000"]
SMALL += ["loss.penalty_weight={from: 0.05, to: 0.005, over_images: %d}"]
SMALL += ["optimizer.beta2_ramp={from: 0.9, to: 0.99, over_images: %d}", "schedule.decay_images=0", "optimizer.lr=5e-4"]


def main() -> None:
    """Train and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--images", type=int, default=30_000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    given = parser.parse_args()
    real = features([read_image(path) for path in sorted((given.data / "test").iterdir())[:SAMPLES]], "random")
    print("| preset | seed | images | KID, times 1,000 | 95% | coverage | processor time |")
    print("|---|---|---|---|---|---|---|")
    for seed in given.seeds:
        small = [one % given.images if "%" in one else one for one in SMALL]
        run = given.out / f"modern_generate.{seed}"
        seconds = fit("modern_generate", given.data, run, seed, given.images, small)
        report("modern_generate", seed, given.images, real, run, seconds)
        trial = fit("dcgan_fashion", given.data, given.out / f"trial.{seed}", seed, TRIAL_IMAGES, [])
        images = int(TRIAL_IMAGES * seconds / trial)
        run = given.out / f"dcgan_fashion.{seed}"
        report("dcgan_fashion", seed, images, real, run, fit("dcgan_fashion", given.data, run, seed, images, []))


def fit(preset: str, data: Path, run: Path, seed: int, images: int, more: list[str]) -> float:
    """Train a preset into a folder; return the seconds of processor time."""
    same = [f"data.path={data / 'train'}", f"schedule.images={images}", f"train.seed={seed}", "train.device=cpu"]
    rare = [f"log.samples_every_images={images}", f"log.checkpoint_every_images={images}"]
    began = time.process_time()
    train(load_config(preset, [*more, *same, *rare]), run)
    return time.process_time() - began


def report(preset: str, seed: int, images: int, real: Array, run: Path, seconds: float) -> None:
    """Print a line of the table."""
    generator = ImageGenerator.open(run, "cpu")
    made = features(generator.pictures(generator.draw(range(SAMPLES))), "random")
    low, high = kid_interval(real, made)
    figures = f"{1000 * kid(real, made):.2f} | {1000 * low:.2f} to {1000 * high:.2f}"
    coverage = density_coverage(real, made)[1]
    print(f"| `{preset}` | {seed} | {images:,} | {figures} | {coverage:.3f} | {seconds:.0f} s |", flush=True)


if __name__ == "__main__":
    main()
