"""How steady a model draws what stays still in a clip, by where its norm statistics come from.

python tools/bench/flicker.py MODEL [PICTURE]: clips of 16 frames made of one picture, or of coloured blocks. Printed
are the variance over time, and in brackets the mean square of successive differences, in grey levels squared, where
the picture stays still; for a cut, the mean difference from each frame alone.
"""

import sys
from collections.abc import Callable

import numpy as np
from PIL import Image

from i2i.images import Array
from i2i.images.frames import thumbnail
from i2i.runtime.clip_light import scenes_of
from i2i.runtime.clip_statistics import for_clip
from i2i.runtime.translator import Translator

COUNT, PX = 16, 256


def picture(path: str | None) -> Array:
    """Return the left square of a picture, (PX, PX, 3) in 0 to 255, or coloured blocks."""
    if path is None:
        return np.kron(np.random.default_rng(0).integers(0, 256, (12, 32, 3)), np.ones((8, 8, 1)))
    image = Image.open(path).convert("RGB")
    return np.asarray(image.crop((0, 0, image.height, image.height)).resize((PX, PX)), float)


def clips(still: Array) -> dict[str, list[Array]]:
    """Return clips by name, frames (H, W, 3) uint8."""
    height, width = still.shape[:2]
    ramp = np.linspace(0.4, 1, COUNT)
    other = (255 - np.roll(still[::-1], 37, 1)) * 0.35

    def part(number: int) -> Array:
        frame = still.copy()
        frame[:, 5 * width // 8 :] *= ramp[number]
        return frame

    def crossing(number: int) -> Array:
        frame = 0.6 * still
        frame[height // 3 : 7 * height // 12, width // 2 + 6 * number :][:, : width // 5] = 255
        return frame

    makers: dict[str, Callable[[int], Array]] = {
        "all gets brighter": lambda number: still * ramp[number],
        "a part gets brighter": part,
        "a bright object crosses": crossing,
        "a lamp": lambda number: still * (0.8 + 0.1 * np.sin(2 * number)),
        "a fade to black": lambda number: still * max(1 - number / (COUNT - 2), 0),
        "a cut": lambda number: still if number < COUNT // 2 else other,
    }
    return {name: [np.rint(make(number)).astype(np.uint8) for number in range(COUNT)] for name, make in makers.items()}


def in_scenes(model: Translator, frames: list[Array]) -> list[Array]:
    """Translate frames as i2i does."""
    made = []
    for scene in scenes_of([thumbnail(frame) for frame in frames]):
        lights = {number: scene.light(number) for number in range(scene.start, scene.stop)}
        steady = for_clip(model, [lights[number].undone(frames[number]) for number in scene.samples(8)])
        made += [one.put_back(steady.translate(one.undone(frames[at]), np.uint8)) for at, one in lights.items()]
    return made


def running(model: Translator, frames: list[Array], near: int) -> list[Array]:
    """Translate frames with statistics of those around each, `near` before and behind it."""
    around = [frames[max(at - near, 0) : at + near + 1] for at in range(COUNT)]
    return [for_clip(model, some).translate(frame) for some, frame in zip(around, frames, strict=True)]


def main() -> None:
    """Print one row for each clip."""
    model = Translator.open(sys.argv[1], device="cpu", threads=1)
    print("clip | each frame alone | of the clip | running mean of 3 | running mean of 9 | as i2i does it")
    for name, frames in clips(picture(sys.argv[2] if len(sys.argv) > 2 else None)).items():
        alone, steady = [model.translate(frame) for frame in frames], for_clip(model, frames[::2])
        whole = [steady.translate(frame) for frame in frames]
        row = [alone, whole, running(model, frames, 1), running(model, frames, 4), in_scenes(model, frames)]
        still = slice(frames[0].shape[1] // 4 if name in ("a part gets brighter", "a bright object crosses") else None)
        values = [np.array(one, float)[:, :, still] for one in row]
        if name == "a cut":
            print(name, *(f"{np.abs(one - values[0]).mean():.1f}" for one in values), sep=" | ", flush=True)
            continue
        shown = (f"{one.var(0).mean():,.1f} ({np.square(np.diff(one, axis=0)).mean():,.1f})" for one in values)
        print(name, *shown, sep=" | ", flush=True)


if __name__ == "__main__":
    main()
