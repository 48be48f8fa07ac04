"""Activation checkpointing: activations are recomputed in the backward pass, which saves memory and costs time.

Chen et al. 2016, "Training deep nets with sublinear memory cost", on torch.utils.checkpoint. The second
forward has the random state of the first, so dropout is the same. It must not update batch norm's running
statistics again, which torch leaves to us. Gradients are the same, bit for bit.
"""

import contextlib
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


def recompute(module: nn.Module) -> None:
    """Make `module` keep only its inputs for the backward pass; it must not change them in place."""
    forward: Callable[..., Any] = module.forward

    def checkpointed(*inputs: Any, **options: Any) -> Any:
        if not torch.is_grad_enabled():
            return forward(*inputs, **options)
        contexts = (contextlib.nullcontext(), _StatisticsKept(module))
        return checkpoint(forward, *inputs, use_reentrant=False, context_fn=lambda: contexts, **options)

    module.forward = checkpointed


def recompute_stages(network: nn.Module) -> None:
    """Apply `recompute` to each stage of a network: its children and the members of its module lists.

    An activation at the start of a stage no longer works in place: the second forward would apply it twice.
    """
    for child in network.children():
        for stage in child if isinstance(child, nn.ModuleList) else (child,):
            first = next(iter(stage.children()), stage)
            if getattr(first, "inplace", False):
                first.inplace = False  # type: ignore[assignment]
            recompute(stage)


class _StatisticsKept:
    """Runs a recomputation on copies of all buffers as they were before the first forward.

    Spectral norm divides by its buffers, which every forward updates. Changing and restoring the buffers
    themselves would upset autograd. It is entered for each recomputation; a second-order gradient takes several.
    """

    def __init__(self, module: nn.Module):
        self.before = [
            (one, {name: buffer.clone() for name, buffer in one.named_buffers(recurse=False)})
            for one in module.modules()
        ]
        self.kept: list[tuple[nn.Module, dict[str, Tensor]]] = []

    def __enter__(self) -> None:
        """Replace the buffers by copies."""
        self.kept = [(one, dict(one.named_buffers(recurse=False))) for one, _ in self.before]
        _put((one, {name: buffer.clone() for name, buffer in buffers.items()}) for one, buffers in self.before)

    def __exit__(self, *exception: object) -> None:
        """Restore the buffers."""
        _put(self.kept)


def _put(places: Iterable[tuple[nn.Module, dict[str, Tensor]]]) -> None:
    for module, buffers in places:
        for name, buffer in buffers.items():
            setattr(module, name, buffer)
