"""What a clip in work carries from one frame to the next: its smoothing, and what recurrent models know."""

from collections.abc import Mapping, Sequence

from i2i.images import Array
from i2i.runtime.smoothing import Smoothing
from i2i.runtime.translator import Translator


class Carried:
    """The state of a clip, of models in order and a smoothing."""

    def __init__(self, translators: Sequence[Translator], smoothing: Smoothing):
        self.smoothing = smoothing
        self.recurrences = [one.recurrence for one in translators if one.recurrence]
        self.known: list[Array] = []
        """What recurrent models know for the frame after the last one that is written; models may be ahead of it."""

    def now(self) -> list[Array]:
        """Return what recurrent models know for the next frame that they get."""
        return [one.before for one in self.recurrences if one.before is not None]

    @property
    def state(self) -> dict[str, Array]:
        """What the next frame to write needs, by name."""
        return {**self.smoothing.state, **{f"known_{place}": one for place, one in enumerate(self.known)}}

    def restore(self, state: Mapping[str, Array]) -> None:
        """Go on from a `state`, or begin anew if it is empty."""
        self.smoothing.restore(state)
        for place, one in enumerate(self.recurrences):
            one.before = state.get(f"known_{place}")
        self.known = self.now()
