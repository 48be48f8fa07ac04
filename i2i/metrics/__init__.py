"""Metrics of pairs, and the table of those that `i2i evaluate` computes."""

from collections.abc import Callable
from functools import partial
from typing import Literal, NamedTuple

from i2i.images import Array
from i2i.metrics.features import NETWORKS
from i2i.metrics.pairs import MS_SSIM_LEAST_PX, SSIM_WINDOW_PX, l1, ms_ssim, psnr, ssim
from i2i.metrics.perceptual import dists, lpips
from i2i.weights import KNOWN

ARROWS = {"lower": "↓", "higher": "↑"}
"""What is better, behind the name of a score."""


class Metric(NamedTuple):
    """A score of an output (H, W, C) against its truth."""

    score: Callable[[Array, Array], float]
    label: str
    better: Literal["lower", "higher"]
    decimals: int
    least_px: int = 1
    """Smallest side of an image that has this score."""
    weights: tuple[str, ...] = ()
    """Names of the weights that it needs, in i2i.weights."""

    def of(self, output: Array, truth: Array, bands: bool) -> float:
        """Return the score of images of the same size; of bands, the mean of each one's."""
        return sum(self.each(output, truth)) / truth.shape[2] if bands else self.score(output, truth)

    def each(self, output: Array, truth: Array) -> list[float]:
        """Return the score of each channel by itself, as a grey image."""
        return [self.score(output[:, :, k : k + 1], truth[:, :, k : k + 1]) for k in range(truth.shape[2])]

    def beats(self, one: float, other: float) -> bool:
        """Whether one score is better than another."""
        return one < other if self.better == "lower" else one > other


METRICS = {
    "l1": Metric(l1, "L1", "lower", 1),
    "psnr": Metric(psnr, "PSNR", "higher", 2),
    "ssim": Metric(ssim, "SSIM", "higher", 3, SSIM_WINDOW_PX),
    "ms_ssim": Metric(ms_ssim, "MS-SSIM", "higher", 3, MS_SSIM_LEAST_PX),
    "lpips": Metric(lpips, "LPIPS", "lower", 3, KNOWN["alexnet"].least_px, ("alexnet",)),
    "lpips_vgg": Metric(partial(lpips, network="vgg16"), "LPIPS-VGG", "lower", 3, KNOWN["vgg16"].least_px, ("vgg16",)),
    "dists": Metric(dists, "DISTS", "lower", 3, KNOWN["vgg16"].least_px, ("vgg16", "dists")),
}
SET_METRICS = {f"kid_{network}": network for network in NETWORKS}
"""KID of sets of pictures, by the network that computes the features."""
USUAL = ("l1", "psnr", "ssim")
"""The default metrics; `lpips` is added if its weights are present."""
