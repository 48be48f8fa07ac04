"""Broken pictures, before and during a training: each is named once, and too many of them end the run."""

import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from i2i.data.items import Item
from i2i.errors import DataError
from i2i.images import Header
from i2i.words import name_some, show_count

if TYPE_CHECKING:
    from i2i.data.training_set import TrainingSet

MOST_BROKEN = 0.25
"""Share of the pictures, before training and during it."""


def refuse_too_many_broken(lists: Sequence[Sequence[Item]], sizes: Sequence[Header | None], noun: str) -> list[str]:
    """Return a note on the items that are broken before training, if any.

    sizes: of all items of all lists, None for broken ones. Raises DataError when they exceed MOST_BROKEN, or
    are all items of a list.
    """
    items, rest = [item for one in lists for item in one], iter(sizes)
    for side, one in zip("AB", lists, strict=False):
        if not any(list(itertools.islice(rest, len(one)))):
            raise DataError(f"No picture of {side} can be used; the first of {len(one)} is {one[0]}. Repair them.")
    broken = [str(item) for item, size in zip(items, sizes, strict=True) if size is None]
    count = f"{len(broken):,} of {show_count(len(items), noun)} {'is' if len(broken) == 1 else 'are'} broken"
    if len(broken) > MOST_BROKEN * len(items):
        head = f"{count}, but data.skip_broken skips {MOST_BROKEN:.0%} at most:"
        listed = name_some(head, broken, lines=True)
        raise DataError(f"{listed}\nRepair or remove them; with data.skip_broken=false the reasons are named.")
    return [name_some(f"{count} and skipped:", broken)] if broken else []


class BrokenPictures:
    """Pictures found broken during training, each named once; too large a share of the data ends the run.

    A resumed run counts again from zero, since files may have been repaired, but names none twice.
    """

    def __init__(self, data: "TrainingSet"):
        self.known: set[str] = set()
        self.named: set[str] = set()
        self.total = sum(map(len, data.lists))

    def add(self, broken: Mapping[str, str]) -> list[str]:
        """Return a warning for each new one; raises DataError when there are too many."""
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
        """Return the names so far."""
        return sorted(self.named)

    def load_state_dict(self, state: list[str]) -> None:
        """Restore what `state_dict` returned."""
        self.named = set(state)
