"""Unrolled GAN: Metz, Poole, Pfau, Sohl-Dickstein 2017, "Unrolled Generative Adversarial Networks".

The generator learns against the discriminator as it will be after K more steps of its own Adam, and through those
steps: it foresees how the discriminator answers (eq. 5 to 7). Each step keeps its graph, so that time and memory grow
with K times the discriminator; this is for small networks.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from i2i.config.settings import Config
from i2i.errors import ConfigError

Weights = dict[str, Tensor]
"""The parameters and buffers of a network, by name."""
LARGEST = 1_000_000
"""The most parameters that are unrolled."""


def refuse_unrolling(config: Config, network: nn.Module) -> None:
    """Raise ConfigError where steps of the discriminator are to be unrolled, and cannot."""
    if not config.loss.get("unrolled_steps"):
        return
    count = sum(parameter.numel() for parameter in network.parameters())
    if count > LARGEST:
        raise ConfigError(
            f"loss.unrolled_steps is {config.loss['unrolled_steps']}, but the discriminator has {count:,} parameters, "
            f"and up to {LARGEST:,} are unrolled. Set discriminator.width lower, or loss.unrolled_steps to 0."
        )
    if config.optimizer.name != "adam":
        raise ConfigError(
            f"loss.unrolled_steps unrolls Adam, and optimizer.name is {config.optimizer.name}. Set it to adam, or "
            "loss.unrolled_steps to 0."
        )
    for name in ("activation_checkpointing", "compile", "cuda_graphs"):
        if getattr(config.train, name) is True:
            raise ConfigError(f"loss.unrolled_steps does not go with train.{name}. Set one of them to its default.")


def weights_of(network: nn.Module) -> Weights:
    """Return the weights of a network, detached and ready to be differentiated; buffers are copies."""
    weights = {name: one.detach() for name, one in network.named_parameters()}
    for one in weights.values():
        one.requires_grad = True
    return weights | {name: one.clone() for name, one in network.named_buffers()}


def unroll(
    network: nn.Module, optimizer: torch.optim.Optimizer, loss: Callable[[Weights], Tensor], steps: int
) -> Weights:
    """Return what `steps` steps of Adam on `loss` would make of the network's weights, as a function of all in `loss`.

    optimizer: the network's Adam, which goes on from its own moments here and is left as it is. Parameters without a
    part in the loss stay.
    """
    weights = weights_of(network)
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    moments = {
        names[id(parameter)]: _moments(optimizer, parameter)
        for group in optimizer.param_groups
        for parameter in group["params"]
        if id(parameter) in names
    }
    group = optimizer.param_groups[0]
    for _ in range(steps):
        wanted = list(moments)
        found = torch.autograd.grad(loss(weights), [weights[n] for n in wanted], create_graph=True, allow_unused=True)
        for name, gradient in zip(wanted, found, strict=True):
            if gradient is not None:
                weights[name], moments[name] = _adam(weights[name], gradient, moments[name], group)
    return weights


def _moments(optimizer: torch.optim.Optimizer, parameter: Tensor) -> tuple[Tensor, Tensor, float]:
    """Return Adam's two moments of a parameter, and how many steps it has taken; zeros before the first."""
    state = optimizer.state.get(parameter, {})
    if not state:
        return torch.zeros_like(parameter), torch.zeros_like(parameter), 0.0
    return state["exp_avg"].clone(), state["exp_avg_sq"].clone(), float(state["step"])


def _adam(
    weight: Tensor, gradient: Tensor, moments: tuple[Tensor, Tensor, float], group: Mapping[str, Any]
) -> tuple[Tensor, tuple[Tensor, Tensor, float]]:
    """Return a weight after a step of Adam, and its moments (Kingma and Ba 2015, algorithm 1)."""
    (first, second, steps), (beta, beta_square) = moments, group["betas"]
    first = beta * first + (1 - beta) * gradient
    second = beta_square * second + (1 - beta_square) * gradient.square()
    steps += 1
    # The small term under the root keeps its gradient finite where a gradient was always 0.
    size = (second / (1 - beta_square**steps) + 1e-24).sqrt() + group["eps"]
    return weight - group["lr"] * first / (1 - beta**steps) / size, (first, second, steps)
