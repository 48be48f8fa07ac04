"""Measure what black and white are in the training pictures (`data.normalise_a`, `data.normalise_b`).

At most MOST pictures of a side are read, from all over it, and of each at most VALUES pixels, evenly spaced. Pixels
without data do not count.
"""

from collections.abc import Sequence

import numpy as np

from i2i import status
from i2i.config.settings import Config, DataSettings
from i2i.data.folders import find_sides, in_time, refuse_missing, spread
from i2i.data.items import Picture
from i2i.data.watch import watched
from i2i.errors import ConfigError, DataError, ImageError
from i2i.images import MAX_PIXELS, Array, Scale
from i2i.images.decode import opened
from i2i.images.image import blank_of

MOST, VALUES = 1000, 4096
DEVIATIONS = 3.0
"""Standard deviations from the mean to black and to white: networks make values in a bounded range."""


def with_scales(config: Config) -> Config:
    """Return `config` with the scale of each side that is to be normalised; one that is there already stays.

    Raises ConfigError and DataError.
    """
    data = config.data
    missing = [side for side in "ab" if getattr(data, f"normalise_{side}") and not getattr(data, f"scale_{side}")]
    if not missing:
        return config
    refuse_missing(data)
    sides = in_time(data, lambda paths: find_sides(paths, "train", data.disjoint, layouts=data.layouts))
    found = dict(zip("ab", sides, strict=True))
    scales = {f"scale_{side}": _scale(data, side, found[side]) for side in missing}
    return config.model_copy(update={"data": data.model_copy(update=scales)})


def _scale(data: DataSettings, side: str, pictures: Sequence[Picture]) -> Scale:
    how, setting = getattr(data, f"normalise_{side}"), f"data.normalise_{side}"
    measured = isinstance(how, str)
    chosen = spread(pictures, MOST if measured else 1)
    with status.doing(f"Measuring the values of {side.upper()}"):
        samples = [one for one in watched(_sample, chosen, data.timeout_s) if one is not None]
    if not samples:
        raise DataError(f"No picture of {side.upper()} can be read, so {setting} has nothing to measure.")
    kind = np.result_type(*(one.dtype for one in samples)).name
    if not measured:
        ranges = how if isinstance(how[0], tuple) else (how,)
        if len(ranges) not in (1, samples[0].shape[1]):
            raise ConfigError(f"{setting} gives {len(ranges)} ranges, and files have {samples[0].shape[1]} channels.")
        return _made(ranges, False, kind, setting)
    values = np.concatenate(samples).astype(np.float64)
    if not pictures[0].layout.bands:  # colours are measured together, lest they change
        values = values.reshape(-1, 1)
    if how == "percentiles":
        low, high = np.percentile(values, data.percentiles, axis=0)
    else:
        mean, deviation = values.mean(axis=0), values.std(axis=0)
        low, high = mean - DEVIATIONS * deviation, mean + DEVIATIONS * deviation
    return _made(zip(low.tolist(), high.tolist(), strict=True), True, kind, setting)


def _made(ranges: object, clips: bool, kind: str, setting: str) -> Scale:
    try:
        return Scale.model_validate({"ranges": tuple(ranges), "clips": clips, "type": kind})  # type: ignore[arg-type]
    except ValueError as error:
        raise ConfigError(f"{setting}: a channel has one value throughout, or white is not above black.") from error


def _sample(picture: Picture) -> Array | None:
    """Return some pixels, (N, C), as stored and without alpha; None where the file cannot be read."""
    bands = picture.layout.bands
    try:
        with opened(picture.path, MAX_PIXELS, picture.layout) as source:
            array = picture.layout.taken(source.decode(), picture.path)
            blank = blank_of(source, array, picture.layout)
    except ImageError:  # reported where all headers are checked
        return None
    half = array.shape[1] // 2
    part = {"A": slice(half), "B": slice(half, None), None: slice(None)}[picture.half]
    keep: Array = np.isfinite(array).min(axis=2)
    keep &= True if blank is None else ~blank
    pixels = array[:, part][keep[:, part]]
    if not bands and array.shape[2] in (2, 4):
        pixels = pixels[:, :-1]
    return pixels[:: max(1, len(pixels) // VALUES)] if len(pixels) else None
