"""What the outputs of a model show: translations beside their inputs and targets, and samples beside real pictures."""

from collections.abc import Iterator

import numpy as np

from i2i.config.derive import Mask
from i2i.data.toy import TOYS, modes_found
from i2i.diagnosis.facts import NEIGHBOURS, NotMeasured, RunFacts, Translations, as_rgb
from i2i.diagnosis.reading import Reading, worst
from i2i.images import Array
from i2i.metrics.diagnostics import brightness_correlation, diversity, hue_correlation
from i2i.metrics.distributions import distances as distances_between
from i2i.models.spec import GENERATE

_THUMB_PX = 16
_KINDS = 8
_FEW = 0.2
_NEIGHBOUR_BINS = (2, 3, 4)
_LEAST_BIN = 5
_LUMA = np.array([0.299, 0.587, 0.114])


def mode_collapse(facts: RunFacts) -> Reading:
    """Return how much samples differ from one another, as a share of how much real pictures do.

    Mean distance of two samples over that of two real pictures, as in the log.
    """
    return Reading(diversity(facts.samples, facts.reals)["diversity"])


def dropped_modes(facts: RunFacts) -> Reading:
    """Return the share of the data that samples leave out.

    On points: of the modes that no sample is near (Srivastava et al. 2017). On pictures: of the real pictures in those
    of 8 clusters that get less than a fifth of their share of the samples (after Richardson and Weiss 2018, who count
    clusters with another share).
    """
    toy, samples = facts.config.data.toy, facts.samples
    if toy:
        found, _ = modes_found(toy, samples)
        return Reading(1 - found / len(TOYS[toy].centres), toy)
    return Reading(_missing_share(_thumbs(as_rgb(facts.reals)), _thumbs(as_rgb(samples))))


def ignores_input(facts: RunFacts) -> Reading:
    """Return how much outputs of different inputs differ, as a share of how much pictures of their side do."""
    return worst(
        (Reading(diversity(one.outputs, one.targets)["diversity"], one.direction) for one in facts.translations()),
        highest=False,
    )


def identity_copied(facts: RunFacts) -> Reading:
    """Return how far outputs are from their inputs, as a share of how far targets are: L1 over L1.

    Targets are the truths, or where the data is unpaired, other pictures of their side.
    """
    if isinstance(facts.config.data.derive, Mask):
        raise NotMeasured("known pixels are kept on purpose")
    return worst((Reading(_moved(one), one.direction) for one in facts.translations()), highest=False)


def hues_exchanged(facts: RunFacts) -> Reading:
    """Return how red against green or yellow against blue, whichever is worse, correlates with truths, or inputs.

    Below zero, what should be red is green, or what should be yellow blue, however right the brightness is.
    """
    readings = []
    for one in facts.translations():
        correlation = hue_correlation(one.outputs, one.inputs if one.truths is None else one.truths)
        if correlation is not None:
            readings.append(Reading(correlation, one.direction))
    if not readings:
        raise NotMeasured("one side is grey")
    return worst(readings, highest=False)


def colours_inverted(facts: RunFacts) -> Reading:
    """Return the mean correlation of the brightness of outputs with that of their truths, or inputs if unpaired.

    Below zero, what should be light is dark. Unpaired translation can learn it: an inverted picture looks real, too.
    """
    readings = []
    for one in facts.translations():
        others = one.inputs if one.truths is None else one.truths
        readings.append(Reading(brightness_correlation(one.outputs, others), one.direction))
    return worst(readings, highest=False)


def checkerboard(facts: RunFacts) -> Reading:
    """Return how far outputs stand out at the Nyquist frequency of an upsampling stage, as a multiple of targets.

    The energy at periods of 2, 4, ... pixels, over that of the frequencies beside them, is compared with the same of
    real pictures; the highest stage counts. A stage with unequal overlap repeats its kernel there (Odena, Dumoulin and
    Olah 2016).
    """
    readings = []
    for part, made, real in _made_and_real(facts):
        stages = upsampling_stages(facts, part)
        periods = [2 ** (1 + stage) for stage in range(stages)]
        for period in (one for one in periods if min(made.shape[1:3]) // one >= _LEAST_BIN):
            usual = max(_stands_out(real, period), 1.0)  # below 1 where the spectrum of pictures falls
            readings.append(Reading(_stands_out(made, period) / usual, f"{part}, {period} px"))
    if not readings:
        raise NotMeasured("the network has no upsampling stage, or pictures are too small")
    return worst(readings)


def memorised(facts: RunFacts) -> Reading:
    """Return how near outputs are to a training picture, as a share of how near unseen real pictures are.

    Medians of the distance of 16 px thumbnails to the nearest training picture, also a mirrored one; unseen are those
    of val, or for samples without val each training picture among the others (after Meehan, Chaudhuri and Dasgupta
    2020).
    """
    if facts.config.data.toy:
        raise NotMeasured("points are not pictures")
    if facts.spec.generators and facts.held_out is None:
        raise NotMeasured(f"{facts.without_val}, and translations should be near training pictures")
    many = facts.batch(facts.data, NEIGHBOURS)
    readings = []
    for part, made, unseen in _made_and_real(facts):
        name = {"A": "a", "B": "b"}[part[-1]] if facts.spec.generators else "image"
        known = _thumbs(as_rgb(many[name].numpy()))
        if facts.held_out is not None and not facts.spec.generators:
            unseen = as_rgb(facts.batch(facts.held_out, len(made))[name].numpy())
        own = known if facts.held_out is None else _thumbs(unseen)
        usual = _nearest(own, known, among_themselves=facts.held_out is None)
        readings.append(Reading(_nearest(_thumbs(made), known) / max(usual, 1e-9), part))
    return worst(readings, highest=False)


def upsampling_stages(facts: RunFacts, part: str) -> int:
    """Return how often the network of a part doubles the sides of its maps."""
    from torch import nn

    modules = facts.network(part).modules()
    return sum(isinstance(one, nn.Upsample | nn.PixelShuffle) or _is_strided(one) for one in modules)


def _is_strided(module: object) -> bool:
    from torch import nn

    return isinstance(module, nn.ConvTranspose2d) and module.stride[0] == 2


def _made_and_real(facts: RunFacts) -> Iterator[tuple[str, Array, Array]]:
    """Yield what each part made and the real pictures it is compared with, RGB (N, H, W, 3) uint8."""
    if facts.spec.generators:
        yield from ((one.direction, one.outputs, one.targets) for one in facts.translations())
    elif facts.config.data.toy:
        raise NotMeasured("points are not pictures")
    else:
        yield GENERATE, as_rgb(facts.samples), as_rgb(facts.reals)


def _moved(one: Translations) -> float:
    inputs, outputs = (side.astype(np.float64) for side in (one.inputs, one.outputs))
    targets = one.targets if one.truths is None else one.truths
    return float(np.abs(outputs - inputs).mean() / max(np.abs(targets - inputs).mean(), 1e-9))


def _thumbs(pictures: Array) -> Array:
    """Return small copies, (N, 16 * 16 * 3) float32."""
    import cv2

    sides = (_THUMB_PX, _THUMB_PX)
    return np.stack([cv2.resize(one, sides, interpolation=cv2.INTER_AREA).ravel() for one in pictures]).astype("f4")


def _nearest(queries: Array, known: Array, among_themselves: bool = False) -> float:
    """Return the median distance of each of `queries` to the nearest of `known` or their mirrored copies."""
    mirrored = known.reshape(-1, _THUMB_PX, _THUMB_PX, 3)[:, :, ::-1].reshape(known.shape)
    distances = distances_between(queries, known)
    if among_themselves:
        np.fill_diagonal(distances, np.inf)
    return float(np.median(np.minimum(distances.min(axis=1), distances_between(queries, mirrored).min(axis=1))))


def _missing_share(reals: Array, samples: Array) -> float:
    """Return the share of reals in clusters that get less than _FEW of their share of the samples."""
    import cv2

    cv2.setRNGSeed(0)
    criteria = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 100, 1e-3)
    _, _, centres = cv2.kmeans(reals, _KINDS, np.zeros(len(reals), np.int32), criteria, 5, cv2.KMEANS_PP_CENTERS)
    real, made = (
        np.bincount(distances_between(some, np.asarray(centres)).argmin(axis=1), minlength=_KINDS) / len(some)
        for some in (reals, samples)
    )
    return float(real[made < _FEW * real].sum())


def _stands_out(pictures: Array, period: int) -> float:
    """Return the energy at a period in pixels over that beside it: the geometric mean over pictures and directions."""
    grey = pictures @ _LUMA
    height, width = (side // period * period for side in grey.shape[1:])
    grey = grey[:, :height, :width]
    window = np.outer(np.hanning(height + 1)[:-1], np.hanning(width + 1)[:-1])
    power = np.abs(np.fft.fft2((grey - grey.mean(axis=(1, 2), keepdims=True)) * window)) ** 2
    power += np.square(window).sum() / 12  # of rounding to 8 bits, so that flat pictures do not divide by nothing
    y, x = height // period, width // period
    ratios = []
    for dy, dx in ((y, 0), (0, x), (y, x), (y, -x)):
        steps = [(np.sign(dy) * k, np.sign(dx) * k) for near in _NEIGHBOUR_BINS for k in (near, -near)]
        beside = np.mean([np.log(power[:, (dy + sy) % height, (dx + sx) % width]) for sy, sx in steps], axis=0)
        ratios.append(np.log(power[:, dy % height, dx % width]) - beside)
    return float(np.exp(max(ratio.mean() for ratio in ratios)))
