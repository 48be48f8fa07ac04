"""Python's own listeners to a training: every row of metrics and every sheet of samples."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from i2i.errors import one_line


class Callback:
    """Override what you want to hear of. In place of a callback, a function takes the rows."""

    def on_row(self, row: Mapping[str, Any]) -> None:
        """Take a row of metrics.jsonl: images, epochs, seconds, split (train, val or warning), and values by name."""

    def on_samples(self, images: int, sheets: Mapping[str, Path]) -> None:
        """Take the sheets of samples after `images` seen: PNG files by direction."""


Listener = Callback | Callable[[Mapping[str, Any]], object]


class Callbacks:
    """The callbacks of a run, each until its first failure: none is worth a training."""

    def __init__(self, given: Sequence[Listener], tell: Callable[[str], None]):
        self.open, self.tell = list(given), tell

    def row(self, row: Mapping[str, Any]) -> None:
        """Pass on a row."""
        self._each(lambda one: one.on_row(dict(row)) if isinstance(one, Callback) else one(dict(row)))

    def samples(self, images: int, sheets: Mapping[str, Path]) -> None:
        """Pass on the sheets of samples."""
        self._each(lambda one: one.on_samples(images, sheets) if isinstance(one, Callback) else None)

    def _each(self, call: Callable[[Any], object]) -> None:
        for one in list(self.open):
            try:
                call(one)
            except Exception as error:  # the user's own
                self.open.remove(one)
                reason = one_line(f"{type(error).__name__}: {error}"[:300]).rstrip(".")
                self.tell(f"Warning: the callback {one!r} has failed, and the training goes on without it. {reason}.")
