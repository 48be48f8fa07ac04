"""Optimizers, and how long and at what rate to train."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import torch
from torch import nn

from i2i.config.settings import OptimizerSettings, ScheduleSettings
from i2i.errors import ConfigError


class Schedule(NamedTuple):
    """A schedule resolved to images seen: constant, then falling in a line over the last `decay_images`."""

    total_images: int
    decay_images: int
    epoch_images: int

    def factor(self, images: int) -> float:
        """Return what the rate is multiplied with after `images`.

        Changes once an epoch, as published with pix2pix: with n epochs of decay, the k-th of them has
        1 - k / (n + 1), so that the last still learns.
        """
        constant = (self.total_images - self.decay_images) / self.epoch_images
        decay = self.decay_images / self.epoch_images
        epoch = images // self.epoch_images
        return min(1.0, max(0.0, 1.0 - (epoch + 1 - constant) / (decay + 1)))


def resolve_schedule(settings: ScheduleSettings, epoch_images: int) -> Schedule:
    """Turn epochs into images, given the pictures in one epoch; raises ConfigError."""
    total = settings.images or (settings.epochs or 0) * epoch_images
    decay = settings.decay_images or (settings.decay_epochs or 0) * epoch_images
    if decay > total:
        raise ConfigError(f"schedule: a decay of {decay:,} images is longer than the whole training of {total:,}.")
    return Schedule(total, decay, epoch_images)


def make_optimizer(networks: Iterable[nn.Module], settings: OptimizerSettings) -> torch.optim.Optimizer:
    """Return Adam over the parameters of the networks, in torch's fused form, the fastest on every device."""
    parameters = [parameter for network in networks for parameter in network.parameters()]
    return torch.optim.Adam(parameters, lr=settings.lr, betas=settings.betas, fused=True)


def load_optimizer(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Restore an optimizer's state in the memory layout of its parameters, whichever it was saved in.

    torch's fused Adam walks through memory and never looks at strides: where the layouts differ, as after another
    `train.channels_last` or device, it updates weights with the moments of others, without a word. The settings
    stay those the optimizer was made with. Raises ValueError for moments that are not those of the parameters:
    nor does it look at sizes.
    """
    optimizer.load_state_dict(state)
    for group in optimizer.param_groups:
        group.update(optimizer.defaults)
    for parameter, moments in optimizer.state.items():
        shapes = {name: tuple(value.shape) for name, value in moments.items()}
        if shapes != {"step": (), "exp_avg": tuple(parameter.shape), "exp_avg_sq": tuple(parameter.shape)}:
            raise ValueError(f"a parameter of shape {tuple(parameter.shape)} has optimizer states of shapes {shapes}")
        for name in ("exp_avg", "exp_avg_sq"):
            moments[name] = torch.empty_like(parameter, requires_grad=False).copy_(moments[name])


def set_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Set the learning rate of every parameter group."""
    for group in optimizer.param_groups:
        group["lr"] = lr
