"""Networks in torch. It is imported only when one is used."""

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Self

from i2i.errors import UsageError
from i2i.images import Array
from i2i.machine import TORCH_DEVICES, is_out_of_memory, why_no_torch_device
from i2i.models.spec import ModelSpec
from i2i.runtime.batches import Batches

if TYPE_CHECKING:
    from torch import nn


class TorchBackend:
    """A network as a torch module, which the caller has put into eval mode."""

    name = "torch"

    def __init__(self, network: "nn.Module", device: str, notes: list[str] | None = None):
        """Wrap a network that is on `device`; notes: a list to share with the backend this one is made from."""
        self.network = network
        self.device = device
        self.notes: list[str] = [] if notes is None else notes
        self._batches = None if device == "cpu" else Batches(self._compute, self.notes)

    @classmethod
    def open(cls, path: Path, spec: ModelSpec, direction: str, device: str = "auto") -> Self:
        """Load one direction of a .safetensors file, or GENERATE, onto a device; raises ModelError and UsageError."""
        from i2i.models.modelfile import load_generator

        chosen = torch_device(device)
        return cls(load_generator(path, spec, direction).to(chosen), chosen)

    @property
    def threads(self) -> int:
        """As in Backend."""
        import torch

        return torch.get_num_threads()

    def with_threads(self, threads: int) -> Self:
        """As in Backend; torch has one such number for the whole process."""
        import torch

        torch.set_num_threads(threads)
        return self

    def run(self, batch: Array) -> Array:
        """As in Backend."""
        return self._batches(batch) if self._batches else self._compute(batch)

    def _compute(self, batch: Array) -> Array:
        import torch

        with _as_memory_error(), torch.inference_mode():
            output: Array = self.network(torch.from_numpy(batch).to(self.device)).float().cpu().numpy()
        return output

    def with_condition(self, condition: Array) -> "TorchBackend":
        """Return a backend of a network that is conditioned on (condition,) once and for all."""
        import torch

        from i2i.networks.film import fix_condition

        vector = torch.from_numpy(condition).to(self.device)
        return TorchBackend(fix_condition(self.network, vector), self.device, self.notes)

    def frozen(self, images: Iterable[Array]) -> "TorchBackend":
        """Return a backend whose norm statistics are fixed at those of images, each (1, C, H, W) and of any size.

        A network that does not normalise by the image's own statistics is returned as it is. Raises MemoryError.
        """
        import torch

        from i2i.networks.big_maps import freeze, uses_own_statistics

        if not uses_own_statistics(self.network):
            return self
        with _as_memory_error():
            tensors = (torch.from_numpy(image).to(self.device) for image in images)
            return TorchBackend(freeze(self.network, *tensors), self.device, self.notes)

    def in_strips(self) -> "TorchBackend":
        """Return a backend that computes one image strip by strip: less memory, more time."""
        from i2i.networks.big_maps import in_strips

        return TorchBackend(in_strips(self.network), self.device, self.notes)


def torch_device(device: str) -> str:
    """Return the torch device for one of DEVICES; raises UsageError if it is missing."""
    if device == "auto":
        return next(name for name in TORCH_DEVICES if why_no_torch_device(name) is None)
    reason = why_no_torch_device(device)
    if reason:
        raise UsageError(f"Device {device} was asked for, but {reason}. Use auto or cpu, or see `i2i doctor`.")
    return device


@contextlib.contextmanager
def _as_memory_error() -> Iterator[None]:
    """Raise torch's out-of-memory errors as MemoryError."""
    try:
        yield
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise MemoryError(str(error).splitlines()[0]) from error
