"""Pictures that are found broken while training: each is named once, and too many of them end the run."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from i2i.errors import DataError
from i2i.words import show_count

if TYPE_CHECKING:
    from i2i.data.training_set import TrainingSet

MOST_BROKEN = 0.25
"""Share of the pictures, before training and during it."""


class BrokenPictures:
    """What was found broken while training, each named once; too large a share of the data stops the run.

    Resumed, it counts anew, since files may have been mended, and still names none twice.
    """

    def __init__(self, data: "TrainingSet"):
        self.known: set[str] = set()
        self.named: set[str] = set()
        self.total = sum(map(len, data.lists))

    def add(self, broken: Mapping[str, str]) -> list[str]:
        """Return a warning for each that is new; raises DataError when they have become too many."""
        new = [(name, reason) for name, reason in broken.items() if name not in self.known]
        warnings = []
        for name, reason in new:
            self.known.add(name)
            if name not in self.named:
                self.named.add(name)
                count = f"{len(self.known)} of {self.total} broken"
                warnings.append(f"{reason.rstrip('.')}; others take its turns ({count}).")
            if len(self.known) > MOST_BROKEN * self.total:
                count = f"{len(self.known):,} of {show_count(self.total, 'picture')}"
                raise DataError(f"{count} cannot be read, too many to go on. The last one: {reason}")
        return warnings

    def state_dict(self) -> list[str]:
        """Return what was named so far."""
        return sorted(self.named)

    def load_state_dict(self, state: list[str]) -> None:
        """Take up where `state_dict` left off."""
        self.named = set(state)
