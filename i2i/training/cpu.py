"""What makes a step quick on a CPU: how weights lie in memory."""

import torch
from torch import Tensor, nn

_WINDOW_S, _WINDOW_STEPS = 30.0, 5  # over which a speed is taken: both at least
_SLOW, _QUICK = 1 / 3, 1 / 2  # of the best speed: below the one twice in a row is slow, above the other is over it

LARGE_WEIGHTS = 4_000_000
"""From so many weights on, a convolution is slower on a CPU in channels_last, since they are rearranged every step."""


def lay_out(network: nn.Module, layout: torch.memory_format, large_too: bool) -> None:
    """Put the weights of convolutions into a memory layout, in place; the large ones only if `large_too`."""
    for parameter in network.parameters():
        if parameter.dim() == 4 and (large_too or parameter.numel() < LARGE_WEIGHTS):
            parameter.data = parameter.data.contiguous(memory_format=layout)


def gradient_norm(gradients: list[Tensor]) -> Tensor:
    """Return the 2-norm of all gradients together, on their device.

    On a CPU as dot products, which read memory at its full rate: there torch's norm takes three to five times as long.
    """
    if any(gradient.device.type != "cpu" for gradient in gradients):
        return torch.nn.utils.get_total_norm(gradients)
    flat = [_in_memory_order(gradient) for gradient in gradients]
    return torch.stack([torch.dot(values, values) for values in flat]).sum().sqrt()


def _in_memory_order(values: Tensor) -> Tensor:
    if values.dim() == 4 and values.is_contiguous(memory_format=torch.channels_last):
        values = values.permute(0, 2, 3, 1)
    return values.flatten()


class SlowDown:
    """Notices when the steps of a training on a CPU take several times as long as they did."""

    def __init__(self, threads: int):
        """Take the number of threads that compute; one alone waits for no other."""
        self.threads = threads
        self.best = 0.0  # images a second
        self.slow_windows = 0
        self.said = False
        self.images, self.seconds, self.steps = 0, 0.0, 0  # of the window under way

    def add(self, images: int, seconds: float) -> list[str]:
        """Count a step, without what came between it and the next; return a warning, once until the speed is back."""
        self.images, self.seconds, self.steps = self.images + images, self.seconds + seconds, self.steps + 1
        if self.threads < 2 or self.seconds < _WINDOW_S or self.steps < _WINDOW_STEPS:
            return []
        speed = self.images / self.seconds
        self.images, self.seconds, self.steps = 0, 0.0, 0
        self.best = max(self.best, speed)
        self.slow_windows = self.slow_windows + 1 if speed < _SLOW * self.best else 0
        self.said = self.said and speed < _QUICK * self.best
        if self.slow_windows < 2 or self.said:
            return []
        self.said = True
        return [
            f"training has slowed to {speed:.2g} images a second, from {self.best:.2g}. Other programs seem to use the "
            f"processor, so that its {self.threads} threads wait for each other. Stop those programs; or press Ctrl-C "
            "and go on with --resume, with OMP_NUM_THREADS=1 in front of the command."
        ]
