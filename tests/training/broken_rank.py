"""`i2i`, but the data of rank 1 breaks at image 5, or with HANG in the environment never comes; see test_ranks.py."""

import os
import time

from i2i.cli import main
from i2i.data.training_set import TrainingSet
from i2i.errors import DataError

original = TrainingSet.show


def show(data, number, broken):
    """Read a pair, or break."""
    if os.environ.get("LOCAL_RANK") == "1" and number >= 5:
        if "HANG" in os.environ:
            print("hangs", flush=True)
            time.sleep(600)
        raise DataError("b.png went.")
    return original(data, number, broken)


if __name__ == "__main__":
    TrainingSet.show = show  # type: ignore[method-assign]
    main()
