"""Seeds of every draw of a training: functions of the run's seed, a stream and a number, and of nothing else."""

import numpy as np

# Independent streams of random numbers, all from the seed of a run.
ORDER, AUGMENT, PARTNER, HISTORY, RANKS, SUBSTITUTE, DERIVE = range(7)


def derive_seed(seed: int, stream: int, number: int) -> int:
    """Return a 63-bit seed for draw `number` of a stream, independent of all others."""
    return int(np.random.SeedSequence((seed, stream, number)).generate_state(1, np.uint64)[0]) >> 1
