"""What a recurrent model knows of a clip: the frame before, and what it made of that (see Part.recurrent)."""

from pathlib import Path
from typing import Any

import numpy as np

from i2i.images import Array, from_unit, largest, to_unit
from i2i.models.spec import Part

NOTHING = 0.5
"""What stands before the first frame, 0 in [-1, 1]."""


class Recurrence:
    """Carries one frame of a clip over to the next; frames come in order, one call of each method for each."""

    def __init__(self, part: Part):
        self.channels = part.in_channels, part.out_channels
        self.clip: object = None
        self.before: Array | None = None
        """The frame before and what was made of it, (H, W, in + out channels) float32 in [0, 1]; None: none yet."""

    def begin(self, clip: object) -> None:
        """Forget what came before, if it was of another clip."""
        if clip != self.clip:
            self.clip, self.before = clip, None

    def joined(self, frame: Array) -> Array:
        """Return what the network gets for a frame (H, W, in channels), in [0, 1]; another size begins anew."""
        sides = frame.shape[:2]
        if self.before is None or self.before.shape[:2] != sides:
            self.before = np.full((*sides, sum(self.channels)), NOTHING, np.float32)
        scale = np.float32(largest(frame.dtype))
        return np.concatenate([frame.astype(np.float32) / scale, self.before], axis=2)

    def keep(self, joined: Array, output: Array, dtype: Any) -> Array:
        """Remember a frame and its output (H, W, out channels) float32, for the next; return the output in `dtype`."""
        self.before = np.concatenate([joined[:, :, : self.channels[0]], output], axis=2)
        return output if np.dtype(dtype) == np.float32 else from_unit(to_unit(output), dtype)


def clip_of_picture(path: Path, frames: int) -> object:
    """Return what the frames of a picture belong to: its folder or, of an animation, itself."""
    return path if frames > 1 else path.parent
