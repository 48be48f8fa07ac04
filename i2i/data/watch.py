"""Reading files with a time limit: a network folder that has gone does not fail, it never answers."""

import itertools
import threading
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from i2i import status
from i2i.errors import LoaderError

T = TypeVar("T")
R = TypeVar("R")

_NAMED = 4  # items in a message
_LOOK_S = 1.0


def watched(call: Callable[[T], R], items: Sequence[T], timeout_s: float, threads: int = 1) -> list[R]:
    """Return `call` of each item, in order, from threads; raises what a call raises.

    Raises LoaderError, which names the current items, when none was finished for `timeout_s`.
    """
    results: dict[int, R] = {}
    errors: list[BaseException] = []
    under_way: dict[int, T] = {}
    places = itertools.count()
    over = threading.Event()

    def work(own: int) -> None:
        try:
            while not over.is_set() and (place := next(places)) < len(items):
                under_way[own] = items[place]
                results[place] = call(items[place])
        except BaseException as error:  # raised in the caller's thread
            errors.append(error)
            over.set()
        under_way.pop(own, None)

    # Daemons: a thread that hangs in a read must not keep the process alive, as those of a ThreadPoolExecutor do.
    pool = [threading.Thread(target=work, args=(k,), daemon=True) for k in range(min(threads, len(items)))]
    for thread in pool:
        thread.start()
    finished, since = 0, time.monotonic()
    try:
        for thread in pool:
            while thread.is_alive():
                thread.join(min(_LOOK_S, timeout_s))
                if len(items) > 1:
                    status.count(len(results), len(items))
                if len(results) > finished:
                    finished, since = len(results), time.monotonic()
                elif thread.is_alive() and time.monotonic() - since >= timeout_s:
                    raise LoaderError(_silent(list(under_way.values()), timeout_s))
    finally:
        over.set()
    if errors:
        raise errors[0]
    return [results[place] for place in range(len(items))]


def _silent(items: Sequence[object], timeout_s: float) -> str:
    named = ", ".join(map(str, items[:_NAMED]))
    return (
        f"Nothing could be read for {timeout_s:g} s. Still waited for: {named}.\n"
        "See whether the disk or network folder answers; a training waits as long as data.timeout_s says."
    )
