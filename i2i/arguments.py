"""What Python calls pass, checked where it enters: paths, names and seeds."""

import operator
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from i2i.errors import UsageError


def as_path(value: Any, name: str) -> Path:
    """Return a path; raises UsageError, which calls it `name`, for what is none, and for an empty one."""
    if not isinstance(value, (str, os.PathLike)):
        raise UsageError(f"{name} takes a path, a string or a Path; got {kind_of(value)}.")
    if not str(value):
        raise UsageError(f"{name} is empty. Give a path.")
    return Path(value)


def as_paths(value: Any, name: str) -> list[str]:
    """Return one path, or each of several; raises UsageError as `as_path`."""
    if isinstance(value, (str, os.PathLike)) or not isinstance(value, Iterable) or hasattr(value, "__array__"):
        value = [value]
    several = list(value)
    for one in several:
        as_path(one, name)
    return [str(one) for one in several]  # not as a Path, which would change an address


def as_names(value: str | Iterable[str] | None) -> tuple[str, ...]:
    """Return several names, or one that was given as a string alone; none for None."""
    return (value,) if isinstance(value, str) else tuple(value or ())


def as_seeds(value: Any, name: str) -> list[int]:
    """Return the seeds from 0 to a number, or the several given; raises UsageError for none, and what is none."""
    try:
        seeds = list(value) if isinstance(value, Iterable) else list(range(operator.index(value)))
        seeds = [operator.index(seed) for seed in seeds]
    except TypeError:
        raise UsageError(f"{name} takes how many, or a list of whole numbers; got {kind_of(value)}.") from None
    if not seeds:
        raise UsageError(f"{name} takes how many, at least 1, or a list of whole numbers; got none.")
    return seeds


def kind_of(value: Any) -> str:
    """Return what a value is, in a few words for a message."""
    if value is None or isinstance(value, (bool, int, float)):
        return str(value)
    shape = getattr(value, "shape", None)
    return type(value).__name__ + (f" of shape {tuple(shape)}" if shape is not None else "")
