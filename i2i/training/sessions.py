"""What a run notes of each time it is started, for its page: versions, device, date and sizes."""

import platform
import re
from datetime import datetime
from pathlib import Path

import torch
from lightning_fabric import Fabric

from i2i.algorithms import Algorithm
from i2i.report.record import note_session
from i2i.training.run import Run
from i2i.version import __version__
from i2i.words import show_count


def begin_session(run: Run, algorithm: Algorithm, fabric: Fabric, images: int) -> None:
    """Write run.json: facts of the run, and of this start after `images`."""
    facts = {
        "data": run.data.what,
        "data_sha256": run.data.digest,
        "total_images": run.schedule.total_images,
        "parameters": {
            name: sum(one.numel() for one in network.parameters()) for name, network in algorithm.networks.items()
        },
    }
    session = {
        "date": datetime.now().astimezone().isoformat(timespec="seconds"),
        "images": images,
        "device": describe_device(fabric),
        "i2i": __version__,
        "torch": torch.__version__,
        "Python": platform.python_version(),
    }
    note_session(run.folder, facts, session)


def describe_device(fabric: Fabric) -> str:
    """Return what computes, with its maker's name where the system tells it."""
    kind = fabric.device.type
    if kind == "cuda":
        name = torch.cuda.get_device_name(fabric.device)
    elif kind == "cpu":
        name = f"{_processor()}, {show_count(torch.get_num_threads(), 'thread')}"
    else:
        name = kind
    return f"{fabric.world_size} x {name}" if fabric.world_size > 1 else name


def _processor() -> str:
    """Return the processor's model, or CPU where Linux does not tell it."""
    try:
        found = re.search(r"^model name\s*: *(.+)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE)
    except OSError:
        found = None
    return found[1] if found else platform.processor() or "CPU"
