"""Optimizers and their gradients, and how long and at what learning rate to train."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from i2i.config.optimizers import AdamSettings, OptimizerSettings, RMSpropSettings, SGDSettings
from i2i.config.section import Ramp
from i2i.config.settings import ScheduleSettings
from i2i.errors import ConfigError


class Schedule(NamedTuple):
    """A schedule in images seen: a constant rate, or a ramp, then a linear decay over the last `decay_images`."""

    total_images: int
    decay_images: int
    epoch_images: int
    ramp: Ramp | None = None

    def factor(self, images: int) -> float:
        """Return the factor on the learning rate after `images`.

        The decay changes it once an epoch, as published with pix2pix: with n epochs of decay, it is 1 - k / (n + 1) in
        the k-th of them, so that the last one still learns. The ramp changes it with each step (Huang et al. 2024,
        their code).
        """
        constant = (self.total_images - self.decay_images) / self.epoch_images
        decay = self.decay_images / self.epoch_images
        epoch = images // self.epoch_images
        factor = min(1.0, max(0.0, 1.0 - (epoch + 1 - constant) / (decay + 1)))
        return factor * self.ramp.at(images) if self.ramp else factor


def resolve_schedule(settings: ScheduleSettings, epoch_images: int) -> Schedule:
    """Turn epochs into images, given the images in one epoch; raises ConfigError."""
    total = settings.images or (settings.epochs or 0) * epoch_images
    decay = settings.decay_images or (settings.decay_epochs or 0) * epoch_images
    if decay > total:
        raise ConfigError(
            f"schedule: a decay of {decay:,} images is longer than the whole training of {total:,}. "
            f"Set schedule.decay_images, too, for example to {total // 2}."
        )
    return Schedule(total, decay, epoch_images, settings.lr_ramp)


def _skip_broken(optimizer: torch.optim.Optimizer, *_: Any) -> None:
    """Make all gradients 0 where `found_inf` is 1, without waiting for the device."""
    found_inf = getattr(optimizer, "found_inf", None)
    if found_inf is not None:
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.grad.masked_fill_(found_inf.bool(), 0.0)


def _adam(parameters: list[Tensor], settings: AdamSettings, capturable: bool) -> torch.optim.Optimizer:
    lr: float | Tensor = torch.tensor(settings.lr, device=parameters[0].device) if capturable else settings.lr
    return torch.optim.Adam(parameters, lr=lr, betas=settings.betas, fused=True, capturable=capturable)


def _rmsprop(parameters: list[Tensor], settings: RMSpropSettings, capturable: bool) -> torch.optim.Optimizer:
    optimizer = torch.optim.RMSprop(parameters, lr=settings.lr, alpha=settings.alpha)
    optimizer.register_step_pre_hook(_skip_broken)  # torch's fused optimizers read found_inf; it has no fused form
    return optimizer


def _sgd(parameters: list[Tensor], settings: SGDSettings, capturable: bool) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, lr=settings.lr, momentum=settings.momentum, fused=True)


class Kind(NamedTuple):
    """make: (parameters, settings, capturable) to the optimizer. moments: what it keeps in the shape of a parameter.

    counts: whether it counts the steps of each parameter, too. capturable: whether a CUDA graph can hold its step.
    """

    make: Callable[[list[Tensor], Any, bool], torch.optim.Optimizer]
    moments: tuple[str, ...]
    counts: bool
    capturable: bool


OPTIMIZERS: dict[str, Kind] = {
    "adam": Kind(_adam, ("exp_avg", "exp_avg_sq"), counts=True, capturable=True),
    "rmsprop": Kind(_rmsprop, ("square_avg",), counts=True, capturable=False),
    "sgd": Kind(_sgd, ("momentum_buffer",), counts=False, capturable=False),
}


def make_optimizer(
    networks: Iterable[nn.Module], settings: OptimizerSettings, capturable: bool = False
) -> torch.optim.Optimizer:
    """Return the optimizer over the parameters of the networks, in torch's fused form where it has one, the fastest.

    capturable: for CUDA graphs, with the learning rate on the device.
    """
    parameters: list[Tensor] = [parameter for network in networks for parameter in network.parameters()]
    return OPTIMIZERS[settings.name].make(parameters, settings, capturable)


def load_optimizer(optimizer: torch.optim.Optimizer, state: dict[str, Any], name: str) -> None:
    """Restore an optimizer's state in the memory format of its parameters, whichever it was saved in.

    torch's fused optimizers walk through memory and ignore strides: where the formats differ, as after a change of
    `train.channels_last` or of the device, they silently update weights with the moments of others. The settings
    stay those the optimizer was made with. Raises ValueError for moments of other shapes than the parameters,
    which fused optimizers do not notice either, and for the state of another optimizer. name: in OPTIMIZERS.
    """
    kind = OPTIMIZERS[name]
    scalars: dict[str, tuple[int, ...]] = {"step": ()} if kind.counts else {}
    kept = {*kind.moments, *scalars}
    for moments in state["state"].values():
        if set(moments) != kept:
            raise ValueError(f"optimizer states {', '.join(moments)} are not {name}'s, {', '.join(sorted(kept))}")
    optimizer.load_state_dict(state)
    for group in optimizer.param_groups:
        group.update(optimizer.defaults)
    for parameter, moments in optimizer.state.items():
        shapes = {one: tuple(value.shape) for one, value in moments.items()}
        if shapes != scalars | dict.fromkeys(kind.moments, tuple(parameter.shape)):
            raise ValueError(f"a parameter of shape {tuple(parameter.shape)} has optimizer states of shapes {shapes}")
        for one in kind.moments:
            moments[one] = torch.empty_like(parameter, requires_grad=False).copy_(moments[one])


def set_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Set the learning rate of every parameter group."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(lr)
        else:
            group["lr"] = lr


def set_decay(optimizer: torch.optim.Optimizer, settings: OptimizerSettings, images: int) -> None:
    """Set Adam's decay rate of the square after `images`, if it follows a ramp (Huang et al. 2024, their code)."""
    if isinstance(settings, AdamSettings) and settings.beta2_ramp:
        for group in optimizer.param_groups:
            group["betas"] = (settings.betas[0], settings.beta2_ramp.at(images))


def gradient_norm(gradients: list[Tensor]) -> Tensor:
    """Return the 2-norm of all gradients together, on their device.

    On a CPU it is a sum of dot products, which read memory at full speed; torch's norm takes three to five
    times as long there.
    """
    if any(gradient.device.type != "cpu" for gradient in gradients):
        return torch.nn.utils.get_total_norm(gradients)
    flat = [_in_memory_order(gradient) for gradient in gradients]
    return torch.stack([torch.dot(values, values) for values in flat]).sum().sqrt()


def _in_memory_order(values: Tensor) -> Tensor:
    if values.dim() == 4 and values.is_contiguous(memory_format=torch.channels_last):
        values = values.permute(0, 2, 3, 1)
    return values.flatten()
