"""What the processes of one training do together. With a single process, every function does nothing.

A process is a rank, from 0 on; each has one device. Rank 0 writes the run and talks to the user.
"""

import atexit
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed, nn

from i2i import errors
from i2i.errors import DataError, DevicesError, I2IError, Stopped

TIMEOUT = timedelta(minutes=10)
"""How long a rank waits for the others, samples and checkpoints of rank 0 included, before it gives up."""
_ANSWER = timedelta(seconds=5)

T = TypeVar("T")


def world_size() -> int:
    """Return how many ranks there are."""
    return distributed.get_world_size() if _connected() else 1


def rank() -> int:
    """Return the number of this rank."""
    return distributed.get_rank() if _connected() else 0


def all_reduce_mean(tensors: Sequence[Tensor]) -> None:
    """Replace tensors of one device and type, of any shapes, by their means over the ranks: the same bits on each."""
    if world_size() == 1 or not tensors:
        return
    flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
    distributed.all_reduce(flat)
    flat /= world_size()
    for tensor, mean in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
        tensor.copy_(mean.view(tensor.shape))


def all_reduce_max(value: int) -> int:
    """Return the largest value of any rank, the same on all. No rank returns before all have called it."""
    if world_size() == 1:
        return value
    values = torch.tensor(value)  # on the CPU, whatever the device
    distributed.all_reduce(values, distributed.ReduceOp.MAX)
    return int(values)


def barrier() -> None:
    """Wait until every rank has come here."""
    all_reduce_max(0)


def broadcast_networks(networks: Sequence[nn.Module]) -> None:
    """Give every rank the weights and buffers of rank 0: another processor may round the same draws differently."""
    if world_size() > 1:
        for network in networks:
            for tensor in network.state_dict().values():
                distributed.broadcast(tensor, 0)


def broadcast(value: T) -> T:
    """Return rank 0's value on every rank."""
    values = [value]
    if world_size() > 1:
        distributed.broadcast_object_list(values, 0)
    return values[0]


def all_gather(value: T) -> list[T]:
    """Return every rank's value on every rank, in their order."""
    values: list[Any] = [value]
    if world_size() > 1:
        values = [None] * world_size()
        distributed.all_gather_object(values, value)
    return values


def under_torchrun() -> bool:
    """Whether torchrun started this process."""
    return distributed.is_available() and distributed.is_torchelastic_launched()


def refuse_differences(value: T, what: str) -> None:
    """Raise DataError where the ranks do not all have the same `value`."""
    values = all_gather(value)
    others = [str(number) for number, other in enumerate(values) if other != values[0]]
    if others:
        raise DataError(
            f"Process {', '.join(others)} has other names in {what} than process 0.\n"
            "Give every machine the same data, under the same path."
        )


def first_error(own: I2IError | None) -> BaseException:
    """Return the error of the first rank that has one, on all ranks; every rank must call it."""
    texts = all_gather(own and _to_text(own))
    first = next(text for text in texts if text)
    return own if own and texts[rank()] == first else _from_text(first)


@contextmanager
def fail_together() -> Iterator[None]:
    """End all ranks when one fails, with one message and the exit code of the first error.

    The first to fail leaves its error in the store that all ranks share. Then its connections break, which
    wakes any rank that waits for it. Rank 0 raises that error; the others exit in silence. Before the ranks
    are connected, the first one of each machine raises its own.
    """
    atexit.unregister(_disconnect)  # a wait of this training may be under way if it ends
    try:
        yield
        barrier()  # the others wait here for what rank 0 writes
        atexit.register(_disconnect)
    except BaseException as error:
        final = _final_error(_explain_lost_connection(error)) if _connected() else _of_first_on_machine(error)
        if final is error:
            raise
        raise final from error


def _final_error(error: BaseException) -> BaseException:
    """Return what this rank ends with: the error itself, that of another rank, or a silent exit."""
    store = distributed.distributed_c10d._get_default_store()
    has_message = not isinstance(error, Exception) or isinstance(error, I2IError | OSError)  # without a traceback
    own = _to_text(error)
    try:
        first = store.compare_set("i2i/error", "", own).decode()
        first_error = _from_text(first)
        if rank() == 0:
            store.set("i2i/reported", "")
            return error if first == own else first_error
        if first == own and not has_message:
            return error
        if first == own:
            _disconnect()  # wakes the others; NCCL would wait for pending work
            store.wait(["i2i/reported"], _ANSWER)
    except RuntimeError:  # rank 0, which keeps the store, is gone or busy
        return error
    # When a child ends with another code than 0, Fabric kills all ranks, rank 0 before it can report the error.
    return SystemExit(0 if _local_rank() else getattr(first_error, "exit_code", 1))


def _to_text(error: BaseException) -> str:
    """Return an error of this rank as text for `_from_text`."""
    if isinstance(error, Stopped):
        return json.dumps({"rank": rank(), "signum": error.signum, "images": error.images})
    if isinstance(error, I2IError | OSError):
        return json.dumps({"rank": rank(), "kind": type(error).__name__, "text": str(error)})
    return json.dumps({"rank": rank()})


def _from_text(text: str) -> BaseException:
    """Return the error that a rank wrote; one without a message for the user becomes a silent exit."""
    content = json.loads(text)
    if "signum" in content:
        return Stopped(content["signum"], content["images"])
    kind = getattr(errors, content.get("kind", ""), None)
    if not (isinstance(kind, type) and issubclass(kind, I2IError)):
        kind = I2IError  # of an OSError
    return kind(content["text"]) if "text" in content else SystemExit(1)


def _of_first_on_machine(error: BaseException) -> BaseException:
    return SystemExit(1) if under_torchrun() and _local_rank() else error


def _local_rank() -> int:
    return int(os.environ.get("LOCAL_RANK", 0))  # set by Fabric and by torchrun


def _explain_lost_connection(error: BaseException) -> BaseException:
    """Return gloo's or NCCL's error about a lost connection in our words, and any other error unchanged."""
    if isinstance(error, distributed.DistError) or (isinstance(error, RuntimeError) and "gloo" in str(error)):
        return DevicesError(
            "The processes of this training lost each other: one has died, or did not answer for "
            f"{TIMEOUT.seconds // 60} minutes.\nAdd --resume to go on from the newest checkpoint."
        )
    return error


def _disconnect() -> None:
    """End gloo's threads before the interpreter: one that frees a tensor later aborts the process (pytorch#179291)."""
    if _connected() and distributed.get_backend() == "gloo":
        distributed.destroy_process_group()


def _connected() -> bool:
    return distributed.is_available() and distributed.is_initialized()
