"""Metrics, and the table that `i2i evaluate` goes through."""

from i2i.metrics.pairs import l1, psnr, ssim

METRICS = {"l1": l1, "psnr": psnr, "ssim": ssim}
