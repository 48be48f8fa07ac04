"""Several processes that train one model: what each does for all. Of one process alone, every function is nothing.

A process is a rank, from 0 on; each has one device. Rank 0 writes the run and speaks to the user.
"""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import torch
from lightning_fabric.plugins.environments import LightningEnvironment, TorchElasticEnvironment
from lightning_fabric.strategies import DDPStrategy
from torch import Tensor, distributed, nn

from i2i import errors
from i2i.config.settings import Config
from i2i.errors import ConfigError, DataError, DevicesError, I2IError, Stopped

TIMEOUT = timedelta(minutes=10)
"""How long a rank waits for the others, samples and checkpoints of rank 0 included, before it gives up."""
_ANSWER = timedelta(seconds=5)

T = TypeVar("T")


class Ranks(DDPStrategy):
    """Fabric's processes and device of each, without DistributedDataParallel around the networks.

    Its reducer expects every network to run forward once and to get all of its gradients in each
    backward. A GAN breaks both: CycleGAN runs a generator three times before one backward, phases take
    turns with requires_grad, and a discriminator passes on gradients that are not for itself. The engine
    therefore averages the gradients of the networks that a phase trains itself, once it has them
    (`average`): the same sums, exact in all these cases, for the price of not overlapping them with backward.
    """

    def setup_module(self, module: nn.Module) -> nn.Module:
        """Leave the network as it is."""
        return module


def under_torchrun() -> bool:
    """Whether torchrun started this process."""
    return TorchElasticEnvironment.detect()


def with_launched_ranks(config: Config) -> Config:
    """Take `train.devices` and `train.nodes` from torchrun where it started us; raises ConfigError."""
    train = config.train
    if under_torchrun():
        world, local = int(os.environ["WORLD_SIZE"]), int(os.environ["LOCAL_WORLD_SIZE"])
        found = {"devices": local, "nodes": world // local}
        for name, count in found.items():
            if getattr(train, name) not in (1, count):
                raise ConfigError(
                    f"train.{name} is {getattr(train, name)}, but torchrun started {local} processes on each of "
                    f"{world // local} machines. Leave train.{name} out; it is taken from torchrun."
                )
        return config.model_copy(update={"train": train.model_copy(update=found)})
    missing = [name for name in ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK") if name not in os.environ]
    if train.nodes > 1 and missing:
        raise ConfigError(
            f"train.nodes is {train.nodes}, but {', '.join(missing)} is not set in the environment: the address and a "
            "free port of the first machine, and the number of this machine from 0 on.\nSet them, or start with "
            "torchrun."
        )
    return config


def make_strategy(device: str, ranks: int) -> dict[str, Any]:
    """Return what Fabric needs for this many ranks on `device`.

    CPU tensors go through gloo on every device, so that no agreement between the ranks waits for a GPU.
    """
    # Told, not guessed: Fabric would otherwise take any process of a SLURM job for one that srun started.
    environment = TorchElasticEnvironment() if under_torchrun() else LightningEnvironment()
    if ranks == 1:
        return {"plugins": [environment]}
    backend = "cpu:gloo,cuda:nccl" if device == "cuda" else "gloo"
    return {"strategy": Ranks(process_group_backend=backend, timeout=TIMEOUT), "plugins": [environment]}


def count() -> int:
    """Return how many ranks there are."""
    return distributed.get_world_size() if _connected() else 1


def rank() -> int:
    """Return the number of this rank."""
    return distributed.get_rank() if _connected() else 0


def average(tensors: Sequence[Tensor]) -> None:
    """Replace tensors of one device and type, of any shapes, by their means over the ranks: the same bits on each."""
    if count() == 1 or not tensors:
        return
    flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
    distributed.all_reduce(flat)
    flat /= count()
    for tensor, mean in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
        tensor.copy_(mean.view(tensor.shape))


def spread(modules: Sequence[nn.Module]) -> None:
    """Give every rank the weights and buffers of rank 0: one seed may draw other last bits on another processor."""
    if count() > 1:
        for module in modules:
            for tensor in module.state_dict().values():
                distributed.broadcast(tensor, 0)


def from_rank_0(value: T) -> T:
    """Return rank 0's value on every rank."""
    values = [value]
    if count() > 1:
        distributed.broadcast_object_list(values, 0)
    return values[0]


def gather(value: T) -> list[T]:
    """Return every rank's value on every rank, in their order."""
    values: list[Any] = [value]
    if count() > 1:
        values = [None] * count()
        distributed.all_gather_object(values, value)
    return values


def refuse_differences(value: T, what: str) -> None:
    """Raise DataError where the ranks do not all have the same `value`."""
    values = gather(value)
    others = [str(number) for number, other in enumerate(values) if other != values[0]]
    if others:
        raise DataError(
            f"Process {', '.join(others)} has other names in {what} than process 0.\n"
            "Give every machine the same data, under the same path."
        )


def largest(value: int) -> int:
    """Return the largest value that any rank has: the same answer on all. Nobody goes on before all are here."""
    if count() == 1:
        return value
    values = torch.tensor(value)  # on the CPU, whatever the device
    distributed.all_reduce(values, distributed.ReduceOp.MAX)
    return int(values)


def first_error(own: I2IError | None) -> BaseException:
    """Return the error of the first rank that has one, on all ranks; every rank must call it."""
    texts = gather(own and _written(own))
    first = next(text for text in texts if text)
    return own if own and texts[rank()] == first else _read(first)


@contextmanager
def one_voice() -> Iterator[None]:
    """End all ranks when one fails, with one message and the exit code of the first error.

    The first to fail leaves its error where the others find it, and its connections break, which wakes
    whoever waits for it. Rank 0 raises that error; the others leave in silence. Before they are connected,
    the first rank of each machine speaks.
    """
    try:
        yield
        largest(0)  # leave together: the others wait here for what rank 0 writes
    except BaseException as error:
        last_words = _last_words(_plain(error)) if _connected() else _first_of_machine(error)
        if last_words is error:
            raise
        raise last_words from error


def _last_words(error: BaseException) -> BaseException:
    """Return what this rank is to end with: the error itself, that of another rank, or a silent exit."""
    store = distributed.distributed_c10d._get_default_store()
    can_be_told = not isinstance(error, Exception) or isinstance(error, I2IError | OSError)  # without a traceback
    own = _written(error)
    try:
        first = store.compare_set("i2i/error", "", own).decode()
        first_error = _read(first)
        if rank() == 0:
            store.set("i2i/told", "")
            return error if first == own else first_error
        if first == own and not can_be_told:
            return error
        if first == own:
            if distributed.get_backend() == "gloo":
                distributed.destroy_process_group()  # closes the connections; NCCL would wait for what is under way
            store.wait(["i2i/told"], _ANSWER)
    except RuntimeError:  # rank 0, which keeps the store, is gone or busy
        return error
    # Fabric kills all, rank 0 before its last words included, when a child of it ends with another code than 0.
    return SystemExit(0 if _local_rank() else getattr(first_error, "exit_code", 1))


def _written(error: BaseException) -> str:
    """Return an error of this rank as text from which `_read` makes it again."""
    if isinstance(error, Stopped):
        return json.dumps({"rank": rank(), "signum": error.signum, "images": error.images})
    if isinstance(error, I2IError | OSError):
        return json.dumps({"rank": rank(), "kind": type(error).__name__, "text": str(error)})
    return json.dumps({"rank": rank()})


def _read(text: str) -> BaseException:
    """Return the error that a rank wrote; what has no words for the user is a silent exit."""
    told = json.loads(text)
    if "signum" in told:
        return Stopped(told["signum"], told["images"])
    kind = getattr(errors, told.get("kind", ""), None)
    if not (isinstance(kind, type) and issubclass(kind, I2IError)):
        kind = I2IError  # of an OSError
    return kind(told["text"]) if "text" in told else SystemExit(1)


def _first_of_machine(error: BaseException) -> BaseException:
    return SystemExit(1) if under_torchrun() and _local_rank() else error


def _local_rank() -> int:
    return int(os.environ.get("LOCAL_RANK", 0))  # set by Fabric and by torchrun


def _plain(error: BaseException) -> BaseException:
    """Return a lost connection in words that are not gloo's or NCCL's, and any other error as it is."""
    if isinstance(error, distributed.DistError) or (isinstance(error, RuntimeError) and "gloo" in str(error)):
        return DevicesError(
            "The processes of this training lost each other: one has died, or did not answer for "
            f"{TIMEOUT.seconds // 60} minutes.\nAdd --resume to go on from the newest checkpoint."
        )
    return error


def _connected() -> bool:
    return distributed.is_available() and distributed.is_initialized()
