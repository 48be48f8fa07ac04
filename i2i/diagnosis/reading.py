"""What a check returns: a number, and what it is the number of."""

from collections.abc import Iterable
from typing import NamedTuple


class Reading(NamedTuple):
    """A number, and where it was found: a network, a direction, a layer."""

    number: float
    where: str = ""


def worst(readings: Iterable[Reading], highest: bool = True) -> Reading:
    """Return the highest of several, or the lowest."""
    return (max if highest else min)(readings, key=lambda reading: reading.number)
