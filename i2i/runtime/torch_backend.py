"""Networks in torch. It is imported only when one is used."""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Self

from i2i.errors import UsageError
from i2i.images import Array
from i2i.machine import TORCH_DEVICES, is_out_of_memory, why_no_torch_device
from i2i.models.spec import ModelSpec
from i2i.runtime.batches import Batches

if TYPE_CHECKING:
    from torch import nn

PicturePart = tuple[Array, tuple[int, int], tuple[tuple[int, int], tuple[int, int]]]
"""Values (1, C, H, W) float32 in [-1, 1], and `place` and `inner` of i2i.networks.big_maps.ImagePart."""


class TorchBackend:
    """A network as a torch module, which the caller has put into eval mode."""

    name = "torch"

    def __init__(self, network: "nn.Module", device: str, notes: list[str] | None = None, last: bool = False):
        """Wrap a network that is on `device`; notes: a list to share with the backend this one is made from.

        last: images go in with their channels last in memory, which takes up to a third less time on a CPU where no
        layer takes statistics, and longer elsewhere.
        """
        self.network, self.last = network, last
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

    def for_many(self, images: int) -> Self:
        """As in Backend: the same."""
        return self

    def run(self, batch: Array) -> Array:
        """As in Backend."""
        return self._batches(batch) if self._batches else self._compute(batch)

    def _compute(self, batch: Array) -> Array:
        import torch

        layout = torch.channels_last if self.last else torch.contiguous_format
        with _as_memory_error(), torch.inference_mode():
            images = torch.from_numpy(batch).to(self.device)
            images = images.contiguous(memory_format=layout) if images.ndim == 4 else images
            output: Array = self.network(images).float().cpu().numpy()
        return output

    def with_condition(self, condition: Array) -> "TorchBackend":
        """Return a backend of a network that is conditioned on (condition,) once and for all."""
        import torch

        from i2i.networks.film import fix_condition

        vector = torch.from_numpy(condition).to(self.device)
        return TorchBackend(fix_condition(self.network, vector), self.device, self.notes)

    @property
    def statistics_layers(self) -> int:
        """How many layers normalise by the image's own statistics."""
        from i2i.networks.big_maps import statistics_layers

        return statistics_layers(self.network)

    def frozen(self, images: Iterable[Array]) -> "TorchBackend":
        """Return a backend whose norm statistics are fixed at those of images, each (1, C, H, W) and of any size.

        A network that does not normalise by the image's own statistics is returned as it is. Raises MemoryError.
        """
        import torch

        from i2i.networks.big_maps import freeze

        if not self.statistics_layers:
            return self
        with _as_memory_error():
            tensors = (torch.from_numpy(image).to(self.device) for image in images)
            return self._of_tiles(freeze(self.network, *tensors))

    def frozen_in_parts(self, parts: "Callable[[], Iterator[PicturePart]]") -> "TorchBackend":
        """Return a backend whose norm statistics are fixed at those of a picture that never is in memory whole.

        parts: yields the picture in parts, once for each layer that uses its statistics. Raises MemoryError.
        """
        import torch

        from i2i.networks.big_maps import ImagePart, freeze_in_parts

        def tensors() -> Iterator[ImagePart]:
            for values, place, inner in parts():
                yield ImagePart(torch.from_numpy(values).to(self.device), place, inner)

        with _as_memory_error():
            return self._of_tiles(freeze_in_parts(self.network, tensors))

    def _of_tiles(self, frozen: "nn.Module") -> "TorchBackend":
        return TorchBackend(frozen, self.device, self.notes, last=self.device == "cpu")

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
