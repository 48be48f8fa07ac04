"""Make a data set for CycleGAN with a known true map, from the colour halves of datasets/lineart.

B is A with its channels rotated (red to green, green to blue, blue to red) and its contrast lowered to 60%. The splits
are those of datasets/lineart. With `data.disjoint: true`, training sees no picture of A in B, so a model that
translates well has found the change without a pair.

    python tools/bench/known_map.py OUT
    i2i train cyclegan --data OUT ...
"""

import sys
from pathlib import Path

import numpy as np

from i2i.data.folders import find_sides
from i2i.data.items import read_picture
from i2i.images import Array, to_channels, write_image

CONTRAST = 0.6


def change(picture: Array) -> Array:
    """Return the counterpart in B of an image, (H, W, 3) uint8."""
    rotated = picture[:, :, [2, 0, 1]].astype(np.float64)
    return np.rint((rotated - 127.5) * CONTRAST + 127.5).astype(np.uint8)


def main(out: Path) -> None:
    """Write trainA, trainB, valA, ... into `out`."""
    for split in ("train", "val", "test"):
        _, colours = find_sides(["datasets/lineart"], split)
        for picture in colours:
            array = to_channels(read_picture(picture), 3)
            write_image(out / f"{split}A" / f"{picture.name}.png", array)
            write_image(out / f"{split}B" / f"{picture.name}.png", change(array))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
