"""What runs a network: ONNX Runtime or torch, behind one call that takes and returns numpy arrays."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol, Self

from i2i import status
from i2i.errors import UsageError
from i2i.images import Array
from i2i.models.modelfile import find_model, is_onnx, read_spec
from i2i.models.spec import ModelSpec
from i2i.runtime.foreign import UNSAID, Values
from i2i.runtime.onnx_backend import OnnxBackend as OnnxBackend
from i2i.runtime.onnx_backend import try_file
from i2i.runtime.torch_backend import TorchBackend as TorchBackend
from i2i.runtime.torch_backend import torch_device as torch_device

BACKENDS = ("auto", "onnx", "torch")
DEVICES = ("auto", "cpu", "cuda", "mps", "tensorrt", "coreml", "openvino")


class Backend(Protocol):
    """One network of a model, on one device."""

    name: str
    """The library that runs it."""
    device: str
    """The device it really uses."""
    notes: list[str]
    """What the user should know about how it runs."""

    @property
    def threads(self) -> int:
        """How many threads one call of `run` uses on a CPU."""

    def run(self, batch: Array) -> Array:
        """Run the network on a batch, whose items do not affect one another. Safe to call from several threads.

        A network that translates takes and returns (N, C, H, W) float32 in [-1, 1], with sides as the spec asks; a
        file exported with --io image, (N, H, W, C) uint8. A network that generates takes (N, latent) float32, or
        maps (N, latent, rows, columns), and returns (N, C, H, W) in [-1, 1], or points (N, 2). Raises ModelError,
        and MemoryError when the device runs out of memory.
        """

    def with_threads(self, threads: int) -> Self:
        """Return the same backend with another number of CPU threads for each call of `run`."""

    def for_many(self, images: int) -> Self:
        """Return a backend for so many images, one by one: it may take longer to start, and then less for each.

        Outputs may differ in rounding, by a quarter of a grey level at most.
        """


def picking(direction: str | None) -> Callable[[ModelSpec], str]:
    """Return what picks a direction as `ModelSpec.pick` does; a command then says where it is the usual one of two."""

    def pick(spec: ModelSpec) -> str:
        chosen = spec.pick(direction)
        if direction is None and len(spec.generators) > 1:
            status.say(f"Note: {chosen}, which is usual for this model. For the other: --direction {chosen[::-1]}.")
        return chosen

    return pick


def open_backend(
    path: str | Path,
    pick: Callable[[ModelSpec], str],
    device: str = "auto",
    backend: str = "auto",
    threads: int | None = None,
    values: Values = UNSAID,
) -> tuple[ModelSpec, Backend, str]:
    """Open a run folder, a .safetensors, .onnx or .pth file; return its spec, its backend and the name of its part.

    The content decides how a file is opened, not its name.

    pick: chooses the part of the model to open, a direction or GENERATE. threads: CPU threads for each call, by default
    all. values: black and white in an .onnx file of another project; refused for files that state theirs.
    Raises ModelError and UsageError.
    """
    if device not in DEVICES:
        raise UsageError(f"Unknown device {device}. Use one of {', '.join(DEVICES)}.")
    if backend not in BACKENDS:
        raise UsageError(f"Unknown backend {backend}. Use one of {', '.join(BACKENDS)}.")
    values.check()
    file = find_model(Path(path))
    if is_onnx(file):
        if backend == "torch":
            raise UsageError(f"{file} runs in ONNX Runtime only. For torch, give the run folder or .safetensors file.")
        spec, form = try_file(file, device, threads, values)
        return spec, OnnxBackend(file, device, threads, form=form), pick(spec)
    values.refuse_for(file)
    if backend == "onnx":
        raise UsageError(
            f"{file} runs in torch only. For ONNX Runtime, export it and give that file:\n"
            f"i2i export {path} -o model.onnx"
        )
    spec = read_spec(file)
    part = pick(spec)
    torch_backend = TorchBackend.open(file, spec, part, device)
    return spec, torch_backend if threads is None else torch_backend.with_threads(threads), part
