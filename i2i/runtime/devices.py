"""Where a model can run here, and if not, why not: asked without loading torch or CUDA."""

import ctypes
import importlib.metadata
import importlib.util
import math
import os
import re
import sys
from pathlib import Path

from i2i import status

PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
}
"""ONNX Runtime's names."""
TORCH_DEVICES = ("cuda", "mps", "cpu")
"""Best first."""
_NVIDIA = ("cuda", "tensorrt")
_PACKAGES = {
    "cuda": "onnxruntime-gpu",
    "tensorrt": "onnxruntime-gpu and TensorRT",
    "coreml": "onnxruntime, on a Mac",
    "openvino": "onnxruntime-openvino",
}


def cpu_count() -> int:
    """Return how many threads may compute: what affinity, a container's quota and OMP_NUM_THREADS leave."""
    counts = [len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1]
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
        counts.append(math.ceil(int(quota) / int(period)))
    except (OSError, ValueError):  # no such file, or "max": no quota
        pass
    told = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    return max(1, min([*counts, *([int(told)] if told.isdecimal() else [])]))


def available_bytes() -> int | None:
    """Return how much memory is free for this process, in bytes; None where the system does not tell."""
    found = []
    for path, pattern in (("/proc/meminfo", r"MemAvailable: *(\d+) kB"), ("/sys/fs/cgroup/memory.max", r"(\d+)")):
        try:
            match = re.search(pattern, Path(path).read_text(encoding="ascii"))
        except OSError:
            continue
        if match:
            found.append(int(match[1]) * (1024 if "meminfo" in path else 1))
    return min(found, default=None)


def has_nvidia_gpu() -> bool:
    """Whether the NVIDIA driver counts at least one device; asks the driver, without CUDA or torch."""
    try:
        driver = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return False
    count = ctypes.c_int(0)
    return driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0 and count.value > 0


def onnxruntime_packages() -> list[str]:
    """Return the installed packages that bring the module onnxruntime; more than one overwrite each other's files."""
    names = ("onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino", "onnxruntime-directml")
    return [name for name in names if is_installed(name)]


def is_installed(package: str) -> bool:
    """Whether pip knows a package."""
    try:
        importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def why_no_provider(device: str) -> str | None:
    """Say why ONNX Runtime cannot take a device, as far as can be seen before trying; None if it can."""
    import onnxruntime

    if device not in PROVIDERS:
        return f"ONNX Runtime has no device {device}"
    if PROVIDERS[device] not in onnxruntime.get_available_providers():
        packages = onnxruntime_packages()
        if len(packages) > 1:
            return (
                f"{' and '.join(packages)} are both installed, and one has overwritten the other; "
                f"uninstall them all, then install {_PACKAGES[device]}"
            )
        return f"this onnxruntime has no {PROVIDERS[device]}; it comes with {_PACKAGES[device]}"
    if device in _NVIDIA and not has_nvidia_gpu():
        return "there is no NVIDIA GPU or driver"
    return None


def why_not_started(device: str) -> str:
    """Say why ONNX Runtime could not start a device that it knows: the library that is missing.

    To be called after it failed: a provider's library that is opened before ONNX Runtime opens it
    would find no host to talk to.
    """
    found = importlib.util.find_spec("onnxruntime")
    if device in (*_NVIDIA, "openvino") and found is not None and found.origin is not None and sys.platform == "linux":
        try:
            ctypes.CDLL(str(Path(found.origin).parent / "capi" / f"libonnxruntime_providers_{device}.so"))
        except OSError as error:
            return f"a library cannot be loaded: {error}"
    return "ONNX Runtime could not start it"


def why_no_torch_device(device: str) -> str | None:
    """Say why torch cannot take a device; None if it can."""
    with status.loading_torch():
        import torch

    if device not in TORCH_DEVICES:
        return f"torch translates on {', '.join(TORCH_DEVICES)}; export the model and give the .onnx file"
    if device == "mps" and not torch.backends.mps.is_available():
        return "torch finds no Apple GPU"
    if device == "cuda" and not torch.cuda.is_available():
        if torch.version.cuda is None:
            return "this torch was built without CUDA"
        if not has_nvidia_gpu():
            return "there is no NVIDIA GPU or driver"
        return f"torch finds no GPU; its CUDA {torch.version.cuda} may be newer than the driver"
    return None
