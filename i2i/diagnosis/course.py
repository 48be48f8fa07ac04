"""What the course of a training shows, its log and its samples: a discriminator that has won, and an oscillation."""

from collections.abc import Sequence

import numpy as np

from i2i.diagnosis.facts import NotMeasured, RunFacts
from i2i.diagnosis.reading import Reading, worst
from i2i.images import Array
from i2i.report.record import ROW_KEYS
from i2i.training.diagnostics import Diagnostics


def discriminator_won(facts: RunFacts) -> Reading:
    """Return for what share of the training, up to its end, a discriminator has won.

    As the alarm of a training has it: right about nearly all pictures (alarms.d_accuracy) at almost no loss
    (alarms.d_loss), while no other term of the generator falls (Arjovsky and Bottou 2017: then its gradient vanishes).
    """
    rows = facts.losses
    names = [key.removesuffix("_real_accuracy") for key in rows[-1] if key.endswith("_real_accuracy")]
    if not names:
        raise NotMeasured("its loss has no logit at which a discriminator is undecided")
    watch = Diagnostics(facts.config, draws_noise=False)
    for row in rows:
        terms = {name: value for name, value in row.items() if name not in ROW_KEYS}
        watch.check_losses(row["images"], terms)
    last = rows[-1]["images"]
    since = {name: watch.won[name]["steps"] if name in watch.won else last for name in names}
    return worst(Reading((last - since[name]) / last, name) for name in names)


def oscillation(facts: RunFacts) -> Reading:
    """Return how far the pictures in samples/ move from one to the next: 0 not at all, 1 as if drawn anew.

    Over the second half of the training, the median of the mean absolute difference of two sheets that follow each
    other, over that of any two of their pixels; only pixels that ever change count, on copies of a quarter of the side.
    Players that circle around each other do not come to rest (Metz et al. 2017; Mescheder et al. 2018), and the means
    of their losses do not show it.
    """
    readings = [Reading(_movement(sheets[(len(sheets) - 1) // 2 :]), name) for name, sheets in facts.sheets.items()]
    return worst(readings)


def _movement(sheets: Sequence[Array]) -> float:
    """Return it for grey sheets (H, W) of one size."""
    import cv2

    small = np.stack([cv2.resize(one, None, fx=1 / 4, fy=1 / 4, interpolation=cv2.INTER_AREA) for one in sheets])
    values = small[:, small.max(axis=0) > small.min(axis=0)].astype(np.float64)
    if not values.size:
        return 0.0
    moved = np.abs(np.diff(values, axis=0)).mean(axis=1)
    shuffled = np.random.default_rng(0).permuted(values, axis=1)
    return float(np.median(moved / np.maximum(np.abs(values - shuffled).mean(axis=1)[1:], 1e-9)))
