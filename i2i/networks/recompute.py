"""Less memory for more time: what a forward pass leaves behind for the backward pass is computed again there.

Chen et al. 2016, "Training deep nets with sublinear memory cost", on torch.utils.checkpoint. The second
pass sees the random state of the first, so dropout is the same; and it must not count batch norm's
running statistics twice, which torch leaves to us. Gradients are the same, bit for bit.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint


def recompute(module: nn.Module) -> None:
    """Make `module` keep nothing but its inputs for the backward pass. It must not change them in place."""
    forward: Callable[..., Any] = module.forward

    def light(*inputs: Any) -> Any:
        if not torch.is_grad_enabled():
            return forward(*inputs)
        contexts = (contextlib.nullcontext(), _statistics_kept(module))
        return checkpoint(forward, *inputs, use_reentrant=False, context_fn=lambda: contexts)

    module.forward = light


def recompute_stages(network: nn.Module) -> None:
    """Do so for each stage of a network: its children, and the members of its lists.

    The activation that a stage begins with no longer works in place: the second pass would find it done.
    """
    for child in network.children():
        for stage in child if isinstance(child, nn.ModuleList) else (child,):
            first = next(iter(stage.children()), stage)
            if getattr(first, "inplace", False):
                first.inplace = False  # type: ignore[assignment]
            recompute(stage)


@contextlib.contextmanager
def _statistics_kept(module: nn.Module) -> Iterator[None]:
    """Let what runs inside work on copies of all buffers; changing and restoring them would upset autograd."""
    kept = [(one, dict(one.named_buffers(recurse=False))) for one in module.modules()]
    try:
        for one, buffers in kept:
            for name, buffer in buffers.items():
                setattr(one, name, buffer.clone())
        yield
    finally:
        for one, buffers in kept:
            for name, buffer in buffers.items():
                setattr(one, name, buffer)
