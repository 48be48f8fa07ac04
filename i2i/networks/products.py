"""Matrix products for training on a CPU, by the library that is faster there.

torch's own go to MKL, which has its AVX-512 kernels for Intel's processors only and computes with AVX2 on others: half
their peak, or a tenth where a matrix is narrow. oneDNN has one set of kernels for all. So products go to oneDNN on
processors with AVX-512 that are not Intel's, and to torch elsewhere. The choice depends on the processor alone, so a
training that goes on there repeats bit for bit.
"""

import functools
from typing import Any

import torch
from torch import Tensor

from i2i.machine import has_intel_processor


@functools.cache
def has_faster_products() -> bool:
    """Whether oneDNN's products in float32 are faster than torch's on this processor."""
    known = hasattr(torch.ops.mkldnn, "_linear_pointwise")  # torch's name for it, for its own compiler
    return known and torch.backends.cpu.get_cpu_capability() == "AVX512" and not has_intel_processor()


def product(one: Tensor, other: Tensor) -> Tensor:
    """(A, B) and (B, C) on the CPU to (A, C); it can be differentiated any number of times."""
    if one.dtype != torch.float32 or torch.compiler.is_compiling() or not has_faster_products():
        return one @ other
    made: Tensor = _Product.apply(one, other)
    return made


class _Product(torch.autograd.Function):
    """oneDNN's product."""

    @staticmethod
    def forward(context: Any, one: Tensor, other: Tensor) -> Tensor:
        """Return the product, or the view of its transpose, which copies the smaller operand at most."""
        context.save_for_backward(one, other)
        if _to_copy(one) <= _to_copy(other.t()):
            return _rows_times_rows(one, other.t())
        return _rows_times_rows(other.t(), one).t()

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """Return the gradients of both, themselves products."""
        one, other = context.saved_tensors
        wanted = context.needs_input_grad
        return (
            product(gradient, other.t()) if wanted[0] else None,
            product(one.t(), gradient) if wanted[1] else None,
        )


def _to_copy(rows: Tensor) -> int:
    """Return how many values oneDNN's first operand costs to copy: its rows must lie in memory one after another."""
    return 0 if rows.is_contiguous() else rows.numel()


def _rows_times_rows(one: Tensor, other: Tensor) -> Tensor:
    """(A, B) and (C, B), in any layout, to (A, C)."""
    made: Tensor = torch.ops.mkldnn._linear_pointwise(one, other, None, "none", [], "")
    return made


def batched_product(one: Tensor, other: Tensor) -> Tensor:
    """(N, A, B) and (N, B, C) to (N, A, C), without a gradient."""
    if one.dtype != torch.float32 or not has_faster_products():
        return one @ other
    return torch.stack([_rows_times_rows(*pair) for pair in zip(one, other.transpose(1, 2), strict=True)])
