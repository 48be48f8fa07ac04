"""The finite check: no step updates weights with a loss or gradient that is NaN or infinite, and none is saved."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

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
    """Return the names of the networks with a weight that is NaN or infinite."""
    return [name for name, network in networks.items() if not all(t.isfinite().all() for t in network.parameters())]
