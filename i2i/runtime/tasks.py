"""What a folder run is to do: which input becomes which output.

Names are strings here: as paths, a million of them take a quarter of a minute and a gigabyte.
"""

# ruff: noqa: PTH116, PTH118

import bisect
import itertools
import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from i2i.runtime.outcome import Refused


class Task(NamedTuple):
    """One picture of a folder run."""

    source: Path
    output: Path


class Shard(NamedTuple):
    """One of several shares of a folder, numbered from 1."""

    number: int
    of: int


class Group:
    """Pictures under one folder, and the folder of their outputs, which have the same names but for `renamed`."""

    def __init__(self, source: Path, output: Path, names: list[str], renamed: dict[str, str]):
        self.source, self.output, self.names, self.renamed = source, output, names, renamed
        self.new = not output.exists()

    def task(self, name: str) -> Task:
        """Return the task of a name."""
        return Task(self.source / name, self.output / self.written(name))

    def written(self, name: str) -> str:
        """Return the name of an output."""
        return self.renamed.get(name, name)

    def exists(self, name: str) -> bool:
        """Whether the output of a name exists and is not empty, as a power cut may leave a new file."""
        if self.new:
            return False
        try:
            found = os.stat(os.path.join(self.output, self.written(name)))
            return found.st_size > 0 or stat.S_ISDIR(found.st_mode)  # an OME-Zarr appears whole
        except OSError:
            return False


class Tasks(Sequence[Task]):
    """The tasks of a run, each made from its name when asked for."""

    def __init__(self, groups: list[Group]):
        self.groups = groups
        self.refused: list[Refused] = []
        """Folders that cannot be listed, and links that --in-place does not replace."""
        self.notes: list[str] = []
        """What was left out of the inputs."""
        self.existing = 0
        """How many are left out because their outputs exist."""
        self.is_share = False
        """Whether the tasks are one share of several."""

    def close(self) -> None:
        """Count the names of each group; call it once no more are taken out."""
        self.ends = list(itertools.accumulate(len(group.names) for group in self.groups))

    def __len__(self) -> int:
        """Return the number of tasks."""
        return self.ends[-1]

    def __getitem__(self, index: Any) -> Any:
        """Return one task, or several as a list."""
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        index = range(len(self))[index]
        place = bisect.bisect(self.ends, index)
        group = self.groups[place]
        return group.task(group.names[index - self.ends[place]])
