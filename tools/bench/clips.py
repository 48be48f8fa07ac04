"""Compare a recurrent model of clips with the same generator frame by frame: L1 and warping error.

    python tools/bench/clips.py OUT [--images N] [--seed S] [--pan]

Clips are made of the shipped emoji, four on a canvas that moves by up to one pixel each way from frame to frame, or
with --pan always by one to the right; inputs have fresh noise in every frame. Since the shifts are known, so is what an
output should have become in the next frame: the warping error is the mean difference of an output from the one before
it, moved by the shift, where both show the same part of the canvas. The control sees as many frames, each by itself.
Outputs come from `i2i translate` on folders.
"""

import argparse
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

import i2i
from i2i.data.folders import find_images
from i2i.data.items import read_picture
from i2i.images import Array, read_image, to_channels, write_image

EMOJI = [str(Path(__file__).parents[2] / "datasets" / "lineart")]
SIDE, MOST, NOISE = 64, 1, 100
"""Of a frame in pixels, of a shift in pixels, and standard deviation of the noise in grey levels."""
CLIPS = {"train": (60, 12), "test": (10, 24)}
"""How many clips, and of how many frames each."""

Shift = tuple[int, int]


class Clip(NamedTuple):
    """Frames (H, W, 3) uint8, clean and with noise, and by how much the canvas moves before each but the first."""

    clean: list[Array]
    noisy: list[Array]
    shifts: list[Shift]


def make_clip(pictures: list[Array], frames: int, random: np.random.Generator, pan: bool) -> Clip:
    """Return a clip of four of the pictures, (64, 64, 3) each; pan: always move to the right."""
    four = [pictures[place] for place in random.choice(len(pictures), 4, replace=False)]
    canvas = np.vstack([np.hstack(four[:2]), np.hstack(four[2:])])
    shifts = [(int(down), int(right)) for down, right in random.integers(-MOST, MOST + 1, (frames - 1, 2))]
    shifts = [(0, MOST)] * (frames - 1) if pan else shifts
    places = np.cumsum([(0, 0), *shifts], axis=0)
    clean = [np.roll(canvas, tuple(place), (0, 1))[:SIDE, :SIDE] for place in places]
    noisy = [np.clip(np.rint(one + random.normal(0, NOISE, one.shape)), 0, 255).astype(np.uint8) for one in clean]
    return Clip(clean, noisy, shifts)


def make_data(folder: Path, pan: bool) -> list[Clip]:
    """Write the clips of both splits, A with noise and B without; return those of the test."""
    clips = list[Clip]()
    for number, (split, (count, frames)) in enumerate(CLIPS.items()):
        random = np.random.default_rng(number)
        pictures = [to_channels(read_picture(one), 3) for one in find_images(EMOJI, split, "B")]
        clips = [make_clip(pictures, frames, random, pan) for _ in range(count)]
        for place, clip in enumerate(clips):
            for side, images in (("A", clip.noisy), ("B", clip.clean)):
                for frame, image in enumerate(images):
                    write_image(folder / f"{split}{side}" / f"{place:03}" / f"{frame:03}.png", image)
    return clips


def warping_error(frames: list[Array], shifts: list[Shift]) -> float:
    """Return the mean difference of frames from those before them, moved by the shifts, in grey levels."""
    errors = []
    for before, after, (down, right) in zip(frames[:-1], frames[1:], shifts, strict=True):
        moved = np.roll(before.astype(float), (down, right), (0, 1))
        inner = tuple(slice(max(move, 0), SIDE + min(move, 0)) for move in (down, right))
        errors.append(np.abs(after - moved)[inner].mean())
    return float(np.mean(errors))


class Score(NamedTuple):
    """L1 of all frames, of the first and of the last half, and the warping error, in grey levels."""

    l1: float
    first: float
    later: float
    warping: float


def score(outputs: list[list[Array]], clips: list[Clip]) -> Score:
    """Score the frames of each clip."""
    errors = np.array(
        [
            [np.abs(made.astype(float) - truth).mean() for made, truth in zip(frames, clip.clean, strict=True)]
            for frames, clip in zip(outputs, clips, strict=True)
        ]
    )
    warping = [warping_error(frames, clip.shifts) for frames, clip in zip(outputs, clips, strict=True)]
    half = errors.shape[1] // 2
    return Score(errors.mean(), errors[:, 0].mean(), errors[:, half:].mean(), float(np.mean(warping)))


def through(model: Path, data: Path, clips: list[Clip], out: Path) -> list[list[Array]]:
    """Translate the folders of the test; return the frames of each clip."""
    i2i.translate_files(data / "testA", out, model, overwrite=True)
    return [
        [read_image(out / f"{place:03}" / f"{frame:03}.png") for frame in range(len(clip.clean))]
        for place, clip in enumerate(clips)
    ]


def settings(images: int, seed: int, data: Path, recurrent: bool) -> list[str]:
    """Return the changes of the preset; the control gets the frames of a step as a batch of single ones."""
    frames = i2i.load_config("clips").data.clip_frames
    each, batch = (1, 4) if recurrent else (frames, 4 * frames)
    changes = [f"data.path={data}", "data.crop_px=32", f"train.seed={seed}", f"train.batch={batch}", "train.device=cpu"]
    changes += [f"schedule.images={each * images}", f"schedule.decay_images={each * images // 2}"]
    changes += [f"log.{name}_every_images={10 * each * images}" for name in ("samples", "checkpoint")]
    if recurrent:
        return changes
    weights = {name: i2i.load_config("clips").loss[name] for name in ("l1", "gan")}
    loss = [f"loss.{name}={value}" for name, value in weights.items()]
    return [*changes, "algorithm=pix2pix", "data.clip_frames=1", "loss.adversarial=least_squares", *loss]


def compare(out: Path, images: int, seed: int, pan: bool) -> dict[str, Score]:
    """Train both; return their scores, and those of the inputs and of the truths."""
    data = out / "data"
    clips = make_data(data, pan)
    outputs = {"inputs": [clip.noisy for clip in clips], "truths": [clip.clean for clip in clips]}
    for name, recurrent in (("recurrent", True), ("frame by frame", False)):
        run, began = out / f"{name.split()[0]}{seed}", time.process_time()
        i2i.train(i2i.load_config("clips", settings(images, seed, data, recurrent)), run)
        print(f"{name}: {time.process_time() - began:.0f} s of processor time", flush=True)
        outputs[name] = through(run, data, clips, out / f"outputs {run.name}")
    return {name: score(frames, clips) for name, frames in outputs.items()}


def main() -> None:
    """Print the scores."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--images", type=int, default=6000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--pan", action="store_true")
    given = parser.parse_args()
    found = compare(given.out, given.images, given.seed, given.pan)
    print("   L1  of first frames  of the later half  warping error")
    for name, (l1, first, later, warping) in found.items():
        print(f"{l1:5.2f}  {first:15.2f}  {later:17.2f}  {warping:13.2f}  {name}")


if __name__ == "__main__":
    main()
