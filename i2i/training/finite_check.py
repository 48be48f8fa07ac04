"""The finite check: no step updates weights with a loss or gradient that is NaN or infinite, and none is saved."""

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from i2i.algorithms.base import Algorithm, Batch
from i2i.errors import NonFiniteError

MOST_SKIPPED = 25
"""Steps in a row that mixed fp16 may skip: a scale of 65,536 halved that often is far below 1."""


class FiniteCheck:
    """Checks the losses and gradient norms of each step, and counts the updates that mixed fp16 skips."""

    def __init__(self) -> None:
        self.skipped_steps = 0
        self.in_a_row = 0

    def check(self, terms: dict[str, Tensor], scaled: bool) -> dict[str, Tensor]:
        """Return the scalars of one step that are finite. This is the only place where a step waits for the device.

        scaled: gradients carry the loss scale of mixed fp16, which starts too large and skips an update now
        and then, on purpose. Raises NonFiniteError for a loss, for a gradient without that excuse, and for
        MOST_SKIPPED skipped steps in a row.
        """
        finite = torch.stack(list(terms.values())).isfinite().tolist()
        broken = [name for name, good in zip(terms, finite, strict=True) if not good]
        if not broken:
            self.in_a_row = 0
            return terms
        if not scaled or not all(name.startswith("grad.") for name in broken):
            raise NonFiniteError(f"{', '.join(broken)}: not finite")
        self.skipped_steps += 1
        self.in_a_row += 1
        if self.in_a_row >= MOST_SKIPPED:
            raise NonFiniteError(f"{', '.join(broken)}: not finite at any scale of fp16, {MOST_SKIPPED} steps in a row")
        return {name: term for name, term in terms.items() if name not in broken}

    def state_dict(self) -> dict[str, int]:
        """Return the counts."""
        return {"skipped_steps": self.skipped_steps, "in_a_row": self.in_a_row}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Restore the counts."""
        self.skipped_steps, self.in_a_row = state["skipped_steps"], state["in_a_row"]


def any_non_finite(terms: Mapping[str, Tensor]) -> Tensor:
    """Return float32 1 where any scalar is NaN or infinite, else 0, on their device and without waiting for it."""
    return (~torch.stack(list(terms.values())).isfinite().all()).float()


def non_finite_networks(networks: Mapping[str, nn.Module]) -> list[str]:
    """Return the names of the networks with a weight, or a running statistic, that is NaN or infinite."""
    return [name for name, network in networks.items() if broken_weights({name: network.state_dict()})]


def broken_weights(networks: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the tensors with a value that is NaN or infinite; networks: by name, tensors by name."""
    return [
        f"weights {name}.{key}"
        for name, tensors in networks.items()
        for key, tensor in tensors.items()
        if isinstance(tensor, Tensor) and not tensor.isfinite().all()
    ]


def broken_layers(algorithm: Algorithm, batch: Batch) -> list[str]:
    """Return the layers that turn a training batch into values that are not finite, in order."""
    found: dict[str, None] = {}

    def listen(name: str, output: object) -> None:
        if isinstance(output, Tensor) and not output.isfinite().all():
            found[f"output of {name}"] = None

    with contextlib.ExitStack() as hooks:
        for network, modules in algorithm.networks.items():
            for name, module in modules.named_modules():
                if not any(True for _ in module.children()):
                    place = f"{network}.{name}"
                    hook = module.register_forward_hook(lambda _, inputs, output, place=place: listen(place, output))
                    hooks.callback(hook.remove)
        run_losses(algorithm, batch)
    return [*found]


def find_source(algorithm: Algorithm, batch: Batch) -> str:
    """Return where values first are not finite, a weight or a layer, in a step on a batch that failed.

    Empty where only gradients are not finite, or where the step cannot be repeated.
    """
    # Without running statistics, which the step itself spoiled.
    if broken := broken_weights({name: dict(one.named_parameters()) for name, one in algorithm.networks.items()}):
        return broken[0]
    size = algorithm.config.train.batch
    with contextlib.suppress(RuntimeError):  # as out of memory: what the training stopped for is told all the same
        for start in range(0, len(next(iter(batch.values()))), size):
            part = {name: tensor[start : start + size] for name, tensor in batch.items()}
            if broken := broken_layers(algorithm, part):
                return broken[0]
    return ""


def run_losses(algorithm: Algorithm, batch: Batch, roles: Sequence[str] = ("generator", "discriminator")) -> None:
    """Run what a training step computes up to the losses of its phases, but for penalties."""
    for adversary in algorithm.adversaries.values():
        adversary.is_lazy = True  # its penalty, which needs gradients, has a phase of its own
    with torch.no_grad():
        outputs = algorithm.forward(batch)
        for phase in algorithm.phases:
            if phase.role in roles and not phase.optimizer:
                algorithm.losses(phase.name, batch, outputs)
