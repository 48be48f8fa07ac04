"""Whether pictures are frames of clips: numbered in each folder, and like their neighbours."""

import re
from collections.abc import Sequence
from itertools import groupby, pairwise
from pathlib import PurePath

import numpy as np

from i2i.images.frames import clip_of
from i2i.metrics.looks import Look

LEAST_FRAMES = 6
"""Fewest frames of a clip: as many as one step of the preset `clips` shows."""


_SHARE = 0.9
"""Of neighbours that must be alike: of emoji in the order of their code points, half are."""


def are_clips(looks: Sequence[Look]) -> bool:
    """Whether the pictures of every folder have one size and count up, and neighbours differ half as much as others.

    looks: of one side, in order of their names.
    """
    clips = [list(clip) for _, clip in groupby(looks, lambda look: clip_of(look.picture.name))]
    if not clips or not all(map(_is_numbered, clips)):
        return False
    near = [np.abs(one.thumb - other.thumb).mean() for clip in clips for one, other in pairwise(clip)]
    half = len(looks) // 2
    far = [np.abs(one.thumb - looks[place - half].thumb).mean() for place, one in enumerate(looks)]
    return bool(np.quantile(near, _SHARE) < np.median(far) / 2)


def _is_numbered(clip: Sequence[Look]) -> bool:
    """Whether names are one text with numbers at the end that go up by about the same step, and sizes are one."""
    found = [re.fullmatch(r"(.*?)(\d+)", PurePath(look.picture.name).stem, re.ASCII) for look in clip]
    if len(clip) < LEAST_FRAMES or None in found or len({look.size for look in clip}) > 1:
        return False
    steps = np.diff([int(one[2]) for one in found if one])
    return len({one[1] for one in found if one}) == 1 and steps.min() > 0 and steps.max() <= 2 * steps.min()
