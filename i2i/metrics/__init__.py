"""Metrics of pairs, and the table of those that `i2i evaluate` computes."""

from collections.abc import Callable
from functools import partial
from typing import Literal, NamedTuple

from i2i.errors import DataError
from i2i.images import Array
from i2i.metrics.features import NETWORKS
from i2i.metrics.label_maps import accuracy, ious, mean_iou, recalls
from i2i.metrics.pairs import MS_SSIM_LEAST_PX, SSIM_WINDOW_PX, l1, ms_ssim, psnr, ssim, whole_windows
from i2i.metrics.perceptual import dists, lpips
from i2i.weights import KNOWN

ARROWS = {"lower": "↓", "higher": "↑"}
"""What is better, behind the name of a score."""


class Metric(NamedTuple):
    """A score of an output (H, W, C) against its truth."""

    score: Callable[..., float]
    """Of two images and, if `masks`, where they have data: (H, W) bool, or None for everywhere."""
    label: str
    better: Literal["lower", "higher"]
    decimals: int
    least_px: int = 1
    """Smallest side of an image that has this score."""
    weights: tuple[str, ...] = ()
    """Names of the weights that it needs, in i2i.weights."""
    masks: bool = False
    """Whether it can leave out pixels without data."""
    counted: Callable[[Array], Array] = lambda valid: valid
    """Which pixels, or windows of them, count, given which have data; both bool."""
    by_class: Callable[..., list[float]] | None = None
    """Of a score of label maps, that of each class; NaN where there is none."""

    def of(self, output: Array, truth: Array, bands: bool, valid: Array | None = None) -> float:
        """Return the score of images of the same size; of bands, the mean of each one's.

        valid: where there is data, (H, W) bool; None: everywhere. Raises DataError where it cannot leave out pixels.
        """
        if bands and not self.by_class:
            return sum(self.each(output, truth, valid)) / truth.shape[2]
        if valid is None:
            return self.score(output, truth)
        if not self.masks:
            raise DataError(f"Some pixels have no data, and {self.label} cannot leave them out; l1, psnr and ssim can.")
        return self.score(output, truth, valid)

    def suits(self, side_px: int, masked: bool) -> bool:
        """Whether images with this side have this score, also if some pixels have no data."""
        return self.least_px <= side_px and (self.masks or not masked)

    def counts(self, valid: Array | None) -> bool:
        """Whether images with data in these pixels have this score."""
        return valid is None or bool(self.counted(valid).any())

    def each(self, output: Array, truth: Array, valid: Array | None = None) -> list[float]:
        """Return the score of each channel by itself, as a grey image, or of each class."""
        if self.by_class:
            return self.by_class(output, truth, valid)
        channels = (slice(k, k + 1) for k in range(truth.shape[2]))
        return [self.of(output[:, :, one], truth[:, :, one], False, valid) for one in channels]

    def beats(self, one: float, other: float) -> bool:
        """Whether one score is better than another."""
        return one < other if self.better == "lower" else one > other


METRICS = {
    "l1": Metric(l1, "L1", "lower", 1, masks=True),
    "psnr": Metric(psnr, "PSNR", "higher", 2, masks=True),
    "ssim": Metric(ssim, "SSIM", "higher", 3, SSIM_WINDOW_PX, masks=True, counted=whole_windows),
    "ms_ssim": Metric(ms_ssim, "MS-SSIM", "higher", 3, MS_SSIM_LEAST_PX),
    "lpips": Metric(lpips, "LPIPS", "lower", 3, KNOWN["alexnet"].least_px, ("alexnet",)),
    "lpips_vgg": Metric(partial(lpips, network="vgg16"), "LPIPS-VGG", "lower", 3, KNOWN["vgg16"].least_px, ("vgg16",)),
    "dists": Metric(dists, "DISTS", "lower", 3, KNOWN["vgg16"].least_px, ("vgg16", "dists")),
    "accuracy": Metric(accuracy, "accuracy", "higher", 3, masks=True, by_class=recalls),
    "iou": Metric(mean_iou, "IoU", "higher", 3, masks=True, by_class=ious),
}
OF_LABELS = tuple(name for name, metric in METRICS.items() if metric.by_class)
"""The default metrics of label maps."""
SET_METRICS = {f"kid_{network}": network for network in NETWORKS}
"""KID of sets of pictures, by the network that computes the features."""
USUAL = ("l1", "psnr", "ssim")
"""The default metrics; `lpips` is added if its weights are present."""
