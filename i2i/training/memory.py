"""Running out of memory, explained in settings: what the training asked for, what was free, and what to lower."""

import contextlib
import re
from collections.abc import Iterator

import torch

from i2i.config.settings import Config
from i2i.errors import OutOfMemoryError
from i2i.files import show_size
from i2i.machine import available_bytes, is_out_of_memory

_SIZE = r"([\d.]+) ?(bytes|[KMGT]iB)"
_UNITS = {"bytes": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}


@contextlib.contextmanager
def memory_explained(config: Config, device: torch.device) -> Iterator[None]:
    """Turn torch's errors of a full memory into OutOfMemoryError.

    The training ends all the same: a smaller batch would change it, which is for the user to decide.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise OutOfMemoryError(_explain(str(error), config, device)) from error


def _explain(message: str, config: Config, device: torch.device) -> str:
    train, crop = config.train, "" if config.data.toy else f", data.crop_px {config.data.crop_px}"
    needed, free = _size("tried to allocate " + _SIZE, message), _free(message, device)
    amounts = [f"{show_size(needed)} more were asked for"] if needed is not None else []
    amounts += [f"{show_size(free)} were free"] if free is not None else []
    others = [] if config.data.toy else ["data.crop_px"]
    others += ["generator.width", "discriminator.width"]
    halves = f"train.batch={train.batch // 2} with train.accumulate={2 * train.accumulate} keeps the images of a step"
    saving = "" if train.activation_checkpointing else ", or set train.activation_checkpointing=true"
    if device.type == "cuda" and train.cuda_graphs and not train.bars_graphs:
        saving = f", set train.cuda_graphs=false{saving}"
    return (
        f"Out of memory on {device} with train.batch {train.batch}{crop}"
        f"{': ' if amounts else ''}{' and '.join(amounts)}.\n"
        f"Lower train.batch{f' ({halves})' if train.batch > 1 else ''}, {', '.join(others)}{saving}.\n"
        "To change a run that has begun, add --resume --allow-config-change; its networks must stay as they are."
    )


def _size(pattern: str, message: str) -> float | None:
    found = re.search(pattern, message, re.IGNORECASE)
    return float(found[1]) * _UNITS[found[2]] if found else None


def _free(message: str, device: torch.device) -> float | None:
    """Return the free bytes of the device, from CUDA's message or from Linux; None where unknown."""
    free = _size(f"of which {_SIZE} is free", message)
    if free is None and device.type == "cpu":
        free = available_bytes()
    return free
