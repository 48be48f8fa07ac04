"""What a clip in work has on the disk: a folder of segments beside its output, from which a later run goes on."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np

from i2i.errors import UsageError, one_line
from i2i.files import atomic_write, read_json, write_json
from i2i.images import Array
from i2i.images.video_writing import SEGMENT, count_frames

_PLAN, _STATE = "plan.json", "state.npz"


class ClipParts:
    """Segments of one output, whole files each, named by their first frames.

    plan: what the output depends on, as JSON holds it. overwrite: drop the segments of another plan, which otherwise
    raise UsageError.
    """

    def __init__(self, output: Path, plan: dict[str, Any], overwrite: bool):
        self.folder = output.with_name(f"{output.name}.parts")
        self.segments: list[Path] = []
        self.done = 0
        """Frames that are done."""
        if self.folder.exists() and read_json(self.folder / _PLAN) != plan:
            if not overwrite:
                raise UsageError(
                    f"{one_line(self.folder)} holds the work of a command with another source, model or options.\n"
                    "Repeat that command to finish it, or add --overwrite to begin again."
                )
            shutil.rmtree(self.folder)
        if not self.folder.exists():
            self.folder.mkdir(parents=True)
            write_json(self.folder / _PLAN, plan)
        while (segment := self.next_segment()).exists():
            self.add(segment, count_frames(segment))

    def read_state(self) -> dict[str, Array]:
        """Return what `write_state` kept for the next frame; empty at the beginning."""
        if not (path := self._state(0)).exists():
            return {}
        with np.load(path, allow_pickle=False) as found:
            return dict(found)

    def write_state(self, frames: int, state: Mapping[str, Array]) -> None:
        """Keep what the frame after so many more needs to know of those before it, by name."""
        if state:
            with atomic_write(self._state(frames)) as temp, temp.open("wb") as file:
                np.savez(file, **cast(dict[str, Any], state))

    def _state(self, frames: int) -> Path:
        return self.folder / f"{self.done + frames:09}-{_STATE}"

    def next_segment(self) -> Path:
        """Return the path of the segment that begins with the next frame."""
        return self.folder / f"{self.done:09}{SEGMENT}"

    def add(self, segment: Path, frames: int) -> None:
        """Count a segment that is whole."""
        self._state(0).unlink(missing_ok=True)
        self.segments.append(segment)
        self.done += frames

    def remove(self) -> None:
        """Remove the folder, once the output is whole."""
        shutil.rmtree(self.folder)
