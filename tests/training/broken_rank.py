"""`i2i`, but the data of rank 1 breaks at its third image; see test_ranks.py."""

import os

from i2i.cli import main
from i2i.data.sets import PairSet
from i2i.errors import ImageError

original = PairSet.__getitem__


def getitem(data, number):
    """Read a pair, or break."""
    if os.environ.get("LOCAL_RANK") == "1" and number >= 5:
        raise ImageError("b.png went.")
    return original(data, number)


if __name__ == "__main__":
    PairSet.__getitem__ = getitem  # type: ignore[method-assign]
    main()
