"""Metrics, and the table of those that `i2i evaluate` computes."""

from i2i.metrics.pairs import l1, psnr, ssim

METRICS = {"l1": l1, "psnr": psnr, "ssim": ssim}
