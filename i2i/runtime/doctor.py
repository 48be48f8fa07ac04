"""What `i2i doctor` prints: versions, devices, and the known traps that this machine is in."""

import importlib.metadata
import importlib.util
import os
import platform
from collections.abc import Iterator
from typing import NamedTuple

from i2i.files import show_size
from i2i.machine import (
    PROVIDERS,
    TORCH_DEVICES,
    available_bytes,
    has_nvidia_gpu,
    is_installed,
    onnxruntime_packages,
    thread_count,
    why_no_provider,
    why_no_torch_device,
)
from i2i.version import __version__

PACKAGES = ("torch", "torchvision", "lightning-fabric", "numpy", "pillow", "opencv-python-headless", "onnx")
_OTHER_OPENCV = ("opencv-python", "opencv-contrib-python", "opencv-contrib-python-headless")


class Examination(NamedTuple):
    """Facts by name, and known traps that apply to this machine."""

    facts: dict[str, str]
    traps: list[str]


def examine() -> Examination:
    """Examine this machine; nothing is changed."""
    free = available_bytes()
    facts = {
        "i2i": f"{__version__}, Python {platform.python_version()}, {platform.platform()}",
        "packages": ", ".join(f"{name} {_version(name)}" for name in (*PACKAGES, *onnxruntime_packages())),
        "processor": f"{thread_count()} threads of {os.cpu_count()} may be used",
        "memory": f"{show_size(free)} free" if free else "unknown on this system",
        "NVIDIA GPU": "yes" if has_nvidia_gpu() else "none, or no driver",
        "ONNX Runtime": _devices(tuple(PROVIDERS), "onnxruntime"),
        "torch": _devices(TORCH_DEVICES, "torch"),
    }
    return Examination(facts, list(_traps()))


def _devices(devices: tuple[str, ...], module: str) -> str:
    """Name the devices that a library can use; a trap names those that are there but unused."""
    if importlib.util.find_spec(module) is None:
        return "not installed"
    why = why_no_torch_device if module == "torch" else why_no_provider
    return "runs on " + ", ".join(device for device in devices if why(device) is None)


def _traps() -> Iterator[str]:
    packages = onnxruntime_packages()
    if len(packages) > 1:
        yield (
            f"{' and '.join(packages)} are both installed; the last one has overwritten files of the others, and a "
            "GPU may go unused. Uninstall them all, then install one."
        )
    opencvs = [name for name in ("opencv-python-headless", *_OTHER_OPENCV) if is_installed(name)]
    if len(opencvs) > 1:
        yield f"{' and '.join(opencvs)} are the same module. Keep opencv-python-headless."
    if has_nvidia_gpu():
        for library, reason in (("ONNX Runtime", why_no_provider("cuda")), ("torch", why_no_torch_device("cuda"))):
            if reason:
                yield f"There is an NVIDIA GPU, but {library} will not use it: {reason}."
    told = os.environ.get("OMP_NUM_THREADS")
    if told and told.isdecimal() and int(told) < (os.cpu_count() or 1):
        yield f"OMP_NUM_THREADS={told} leaves other processors unused. That may be intended."
    if os.environ.get("CUDA_VISIBLE_DEVICES") == "":
        yield "CUDA_VISIBLE_DEVICES is empty, which hides every GPU."


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "missing"
