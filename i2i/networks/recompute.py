"""Less memory for more time: what a forward pass leaves behind for the backward pass is computed again there.

Chen et al. 2016, "Training deep nets with sublinear memory cost", on torch.utils.checkpoint. The second
pass sees the random state of the first, so dropout is the same; and it must not count batch norm's
running statistics twice, which torch leaves to us. Gradients are the same, bit for bit.
"""

import contextlib
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


def recompute(module: nn.Module) -> None:
    """Make `module` keep nothing but its inputs for the backward pass. It must not change them in place."""
    forward: Callable[..., Any] = module.forward

    def light(*inputs: Any) -> Any:
        if not torch.is_grad_enabled():
            return forward(*inputs)
        contexts = (contextlib.nullcontext(), _StatisticsKept(module))
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


class _StatisticsKept:
    """Let what runs inside work on copies of all buffers as they were before the first pass.

    Spectral norm divides by what its buffers hold, and a later forward moves them on; and changing and restoring
    the buffers themselves would upset autograd. It is entered anew for each recomputation, of which a gradient of
    a gradient takes several.
    """

    def __init__(self, module: nn.Module):
        self.before = [
            (one, {name: buffer.clone() for name, buffer in one.named_buffers(recurse=False)})
            for one in module.modules()
        ]
        self.kept: list[tuple[nn.Module, dict[str, Tensor]]] = []

    def __enter__(self) -> None:
        """Put copies in the buffers' places."""
        self.kept = [(one, dict(one.named_buffers(recurse=False))) for one, _ in self.before]
        _put((one, {name: buffer.clone() for name, buffer in buffers.items()}) for one, buffers in self.before)

    def __exit__(self, *exception: object) -> None:
        """Put the buffers back."""
        _put(self.kept)


def _put(places: Iterable[tuple[nn.Module, dict[str, Tensor]]]) -> None:
    for module, buffers in places:
        for name, buffer in buffers.items():
            setattr(module, name, buffer)
