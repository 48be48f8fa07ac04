"""What runs a generator: ONNX Runtime or torch, the same call for both, numpy in and numpy out.

Each names the device it really uses: ONNX Runtime falls back to the CPU without a word, so the
provider that a session got is compared with the one that was asked for.
"""

import ctypes
import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from i2i.errors import ModelError, UsageError
from i2i.images import Array
from i2i.modelfile import find_model, read_spec
from i2i.spec import ModelSpec, spec_from_metadata

if TYPE_CHECKING:
    from torch import nn

DEVICES = ("auto", "cpu", "cuda", "mps")


class Backend(Protocol):
    """A generator of one direction, or that from noise."""

    device: str
    """Where it really runs."""

    def run(self, batch: Array) -> Array:
        """Pictures (N, C, H, W) float32 in [-1, 1], sides as the spec asks, to the same.

        Of a generator from noise: (N, latent) float32 to (N, C, H, W) in [-1, 1], or to points (N, 2). Of a
        file exported with --io image: (N, H, W, C) uint8 to the same.
        """


class TorchBackend:
    """A generator as a torch module; the caller has put it into eval mode."""

    def __init__(self, network: "nn.Module", device: str):
        self.network = network
        self.device = device

    @classmethod
    def open(cls, path: Path, spec: ModelSpec, direction: str, device: str = "auto") -> "TorchBackend":
        """Load one direction of a .safetensors file, or GENERATE, onto a device; raises ModelError."""
        from i2i.modelfile import load_generator

        chosen = torch_device(device)
        return cls(load_generator(path, spec, direction).to(chosen), chosen)

    def run(self, batch: Array) -> Array:
        """As in Backend."""
        import torch

        with torch.inference_mode():
            output: Array = self.network(torch.from_numpy(batch).to(self.device)).float().cpu().numpy()
        return output


def torch_device(device: str) -> str:
    """Return the torch device for one of DEVICES; raises UsageError when it is not there."""
    import torch

    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if device == "auto":
        return next(name for name, found in there.items() if found)
    if not there[device]:
        raise UsageError(f"Device {device} was asked for, but torch finds none here. Use auto or cpu.")
    return device


class OnnxBackend:
    """A generator as an exported ONNX file."""

    def __init__(self, path: Path, device: str = "auto"):
        import onnxruntime

        if device == "mps":
            raise UsageError("ONNX Runtime has no device mps. Use auto, cpu or cuda.")
        if device == "cuda" and "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
            raise UsageError("Device cuda was asked for, but this onnxruntime has no CUDA. Install onnxruntime-gpu.")
        if device == "cuda" and not has_nvidia_gpu():
            raise UsageError("Device cuda was asked for, but there is no NVIDIA GPU or driver. Use auto or cpu.")
        use_cuda = device == "cuda" or (device == "auto" and has_nvidia_gpu())
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # warnings concern its own graph rewriting
        providers = ["CPUExecutionProvider"]
        if use_cuda:
            onnxruntime.preload_dlls()
            providers.insert(0, "CUDAExecutionProvider")
        try:
            self.session = onnxruntime.InferenceSession(path, options, providers=providers)
        except Exception as error:  # onnxruntime's exceptions share no base but Exception
            raise ModelError(f"{path} is not a model file: {str(error).splitlines()[0]}") from error
        self.device = {"CUDAExecutionProvider": "cuda"}.get(self.session.get_providers()[0], "cpu")
        if device == "cuda" and self.device != "cuda":
            raise UsageError("Device cuda was asked for, but ONNX Runtime could not start it. Use cpu.")
        self.path = path

    @functools.cached_property
    def spec(self) -> ModelSpec:
        """The description in the file; raises ModelError where there is none."""
        return spec_from_metadata(self.session.get_modelmeta().custom_metadata_map, self.path)

    def run(self, batch: Array) -> Array:
        """As in Backend."""
        outputs: list[Any] = self.session.run(None, {self.session.get_inputs()[0].name: batch})
        output: Array = np.asarray(outputs[0])
        return output


def open_backend(
    path: str | Path, pick: Callable[[ModelSpec], str], device: str = "auto"
) -> tuple[ModelSpec, Backend, str]:
    """Open a run folder, a .safetensors or an .onnx file; return its spec, what runs it, and which part was opened.

    pick: says which part of the model that the spec describes to open, a direction or GENERATE.
    Raises ModelError and UsageError.
    """
    if device not in DEVICES:
        raise UsageError(f"{device} is no device. Use one of {', '.join(DEVICES)}.")
    file = find_model(Path(path))
    if file.suffix == ".onnx":
        backend = OnnxBackend(file, device)
        return backend.spec, backend, pick(backend.spec)
    spec = read_spec(file)
    part = pick(spec)
    return spec, TorchBackend.open(file, spec, part, device), part


def has_nvidia_gpu() -> bool:
    """Whether the NVIDIA driver counts at least one device; asks the driver, without CUDA or torch."""
    try:
        driver = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return False
    count = ctypes.c_int(0)
    return driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0 and count.value > 0
