"""This machine: cores, memory and devices, and whether memory ran out, found without loading torch or CUDA."""

import ctypes
import functools
import importlib.metadata
import importlib.util
import math
import os
import platform
import re
import sys
from collections.abc import Iterator
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
M_TRIM_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = -1, -4, -8  # of glibc's malloc.h
_OUT_OF_MEMORY = ("out of memory", "allocate memory", "ALLOC_FAILED", "bad_alloc", "bad allocation")
_NO_LIMIT = 1 << 60
"""Control groups of version 1 that set no limit state a number above this."""
_NVIDIA = ("cuda", "tensorrt")
_PACKAGES = {
    "cuda": "onnxruntime-gpu",
    "tensorrt": "onnxruntime-gpu and TensorRT",
    "coreml": "onnxruntime, on a Mac",
    "openvino": "onnxruntime-openvino",
}


def core_count() -> int:
    """Return how many cores this process may use under its affinity and a container's quota."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    shares = [math.ceil(share) for group in _own_groups("cpu") if (share := _quota(group))]
    return max(1, min([cores, *shares]))


def thread_count() -> int:
    """Return how many threads may compute: `core_count`, or fewer if OMP_NUM_THREADS says so."""
    told = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    return max(1, min(core_count(), int(told))) if told.isdecimal() else core_count()


def available_bytes() -> int | None:
    """Return how much memory is free for this process, in bytes; None if the system does not tell.

    It is the least of what Linux calls available and what each of the process's control groups has left: its limit
    minus what is in use, not counting file pages that can be dropped at once.
    """
    found = [_left(group) for group in _own_groups("memory")]
    meminfo = re.search(r"MemAvailable: *(\d+) kB", _text(Path("/proc/meminfo")))
    if meminfo:
        found.append(int(meminfo[1]) * 1024)
    return min((free for free in found if free is not None), default=None)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the machine or a device ran out of memory. Libraries have no common error for it, only common words."""
    return isinstance(error, MemoryError) or any(words in str(error) for words in _OUT_OF_MEMORY)


def keep_freed_memory() -> None:
    """Let this process keep the memory of freed tensors for the next ones; it has no effect unless malloc is glibc's.

    By default glibc returns every block above some size to the system and requests it again, zeroed page by page,
    which takes a tenth of a training step or more.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(M_MMAP_MAX, 0)  # M_MMAP_THRESHOLD goes up to 32 MiB only, which gradients of a U-Net reach
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
        mallopt(M_ARENA_MAX, 1)  # what one thread frees, another can take


@functools.cache
def has_intel_processor() -> bool:
    """Whether the processor is Intel's; true where the system does not tell."""
    found = re.search(r"vendor_id\s*: *(\S+)", _text(Path("/proc/cpuinfo")))
    return "Intel" in (found[1] if found else platform.processor() or "Intel")


def has_nvidia_gpu() -> bool:
    """Whether the NVIDIA driver reports at least one device; asks the driver, without CUDA or torch."""
    try:
        driver = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return False
    count = ctypes.c_int(0)
    return driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0 and count.value > 0


def onnxruntime_packages() -> list[str]:
    """Return the installed packages that contain the module onnxruntime; several overwrite each other's files."""
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
    """Say why ONNX Runtime cannot use a device, as far as is known before trying; None if it can."""
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
    """Say why ONNX Runtime could not start a device that it knows: which library is missing.

    Call it only after the failure: a provider's library that is opened before ONNX Runtime opens it would not find its
    host.
    """
    found = importlib.util.find_spec("onnxruntime")
    if device in (*_NVIDIA, "openvino") and found is not None and found.origin is not None and sys.platform == "linux":
        try:
            ctypes.CDLL(str(Path(found.origin).parent / "capi" / f"libonnxruntime_providers_{device}.so"))
        except OSError as error:
            return f"a library cannot be loaded: {error}"
    return "ONNX Runtime could not start it"


def why_no_torch_device(device: str) -> str | None:
    """Say why torch cannot use a device; None if it can."""
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


def _own_groups(controller: str) -> Iterator[Path]:
    """Yield the folders of this process's control groups, from its own up to the root; Linux only."""
    for line in _text(Path("/proc/self/cgroup")).splitlines():
        _, controllers, name = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        root = Path("/sys/fs/cgroup", controller) if controllers else Path("/sys/fs/cgroup")
        group = root / name.lstrip("/")
        # In a container the name may be the host's and lead nowhere; its parents are still worth a look.
        yield from (one for one in (group, *group.parents) if one.is_relative_to(root) and one.is_dir())


def _quota(group: Path) -> float:
    """Return the cores that a control group may use, 0 if it has no limit."""
    words = _text(group / "cpu.max").split()
    if not words:
        words = [_text(group / "cpu.cfs_quota_us").strip(), _text(group / "cpu.cfs_period_us").strip()]
    return int(words[0]) / int(words[1]) if len(words) == 2 and all(word.isdecimal() for word in words) else 0


def _left(group: Path) -> int | None:
    """Return the bytes that a control group may still use, None if it has no limit."""
    for limit_name, used_name in (
        ("memory.max", "memory.current"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes"),
    ):
        limit, used = _text(group / limit_name).strip(), _text(group / used_name).strip()
        if limit.isdecimal() and int(limit) < _NO_LIMIT:
            droppable = re.search(r"^inactive_file (\d+)", _text(group / "memory.stat"), re.MULTILINE)
            in_use = int(used or 0) - (int(droppable[1]) if droppable else 0)
            return max(int(limit) - max(in_use, 0), 0)
    return None


def _text(path: Path) -> str:
    """Return the text of a system file, or nothing if it is missing or unreadable."""
    try:
        return path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return ""
