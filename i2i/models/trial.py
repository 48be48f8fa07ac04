"""A stranger's ONNX model on trial: what it takes and makes, and one run on zeros, before any picture.

i2i.models.onnxfile has passed the graph; what only running it shows is found here, within limits of memory and
time: sizes that grow on the way, outputs of another shape, values that are no numbers.
"""

import contextlib
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np

from i2i.errors import ModelError
from i2i.images import Array
from i2i.models.mistaken import shown
from i2i.models.onnxfile import Interface, Value
from i2i.models.spec import METADATA_KEY, ModelSpec, spec_from_metadata

MEMORY_BYTES = 2 << 30
"""What a session and a run on a small picture may take, besides three copies of the weights."""
SECONDS = 60.0
"""What each of them may take."""
_GRACE_SECONDS = 2.0
_FLOAT, _UINT8 = 1, 2  # numbers of element types in onnx.proto


def described_spec(path: Path, interface: Interface) -> ModelSpec | None:
    """Return the description in a file, None where there is none, once inputs and outputs are what it says.

    Raises ModelError.
    """
    if METADATA_KEY not in interface.metadata:
        return None
    spec = spec_from_metadata(interface.metadata, path)
    wanted: list[tuple[int, tuple[int | None, ...]]]
    if noise := spec.latent_generator:
        made = () if noise.out_meaning == "points" else (noise.out_px, noise.out_px)
        wanted = [(_FLOAT, (None, noise.latent)), (_FLOAT, (None, noise.out_channels, *made))]
    else:
        if len(spec.generators) != 1:
            raise ModelError(f"{path} is described as holding two directions; an .onnx file holds one. Get it again.")
        one = next(iter(spec.generators.values()))
        sides = spec.fixed_size or (None, None)
        if spec.io == "image":
            wanted = [(_UINT8, (None, *sides, one.in_channels)), (_UINT8, (None, None, None, one.out_channels))]
        else:
            wanted = [(_FLOAT, (None, one.in_channels, *sides)), (_FLOAT, (None, one.out_channels, None, None))]
    if len(interface.inputs) != 1 or len(interface.outputs) != 1:
        raise ModelError(
            f"{path} has {len(interface.inputs)} inputs and {len(interface.outputs)} outputs; "
            "its description names one of each. Get it again."
        )
    for value, (element, shape) in zip((*interface.inputs, *interface.outputs), wanted, strict=True):
        if value.element != element or not _fits(value.shape, shape):
            raise ModelError(
                f"{path}: {shown(value.name)} is {value}, but its description says {Value('', element, shape)}.\n"
                "Export the model again, or get the file again."
            )
    return spec


def _fits(sides: tuple[int | None, ...] | None, wanted: tuple[int | None, ...]) -> bool:
    """Whether sides contradict nothing; what is free is seen when it runs."""
    if sides is None:
        return True
    return len(sides) == len(wanted) and all(None in (a, b) or a == b for a, b in zip(sides, wanted, strict=True))


def try_on_zeros(path: Path, session: Any, spec: ModelSpec) -> None:
    """Run a described model once on the smallest input it takes. Raises ModelError."""
    if noise := spec.latent_generator:
        sides = () if noise.out_meaning == "points" else (noise.out_px, noise.out_px)
        output = run_on_zeros(path, session, (1, noise.latent))
        check_output(path, output, (None, noise.out_channels, *sides))
        return
    one = next(iter(spec.generators.values()))
    least = -(-one.size_minimum // one.size_multiple) * one.size_multiple
    height, width = spec.fixed_size or (least, least)
    if spec.io == "image":
        output = run_on_zeros(path, session, (1, height, width, one.in_channels), np.uint8)
        check_output(path, output, (None, height, width, one.out_channels))
    else:
        output = run_on_zeros(path, session, (1, one.in_channels, height, width))
        check_output(path, output, (None, one.out_channels, height, width))


def run_on_zeros(path: Path, session: Any, shape: tuple[int, ...], dtype: Any = np.float32) -> Array:
    """Return what a model makes of zeros, within the limits of memory and time. Raises ModelError.

    shape: with a batch of 1, in place of which a model that takes only another gets that.
    """
    import onnxruntime

    batch = session.get_inputs()[0].shape[0]
    shape = (batch if isinstance(batch, int) else shape[0], *shape[1:])
    options = onnxruntime.RunOptions()
    options.log_severity_level = 4

    def run() -> Any:
        return session.run(None, {session.get_inputs()[0].name: np.zeros(shape, dtype)}, options)

    on_cpu = session.get_providers()[0] == "CPUExecutionProvider"
    try:
        outputs = limited(path, run, lambda: setattr(options, "terminate", True), on_cpu)
    except TimeoutError as error:
        raise ModelError(f"{path} takes more than {error} for zeros of shape {shape}.") from error
    except Exception as error:  # onnxruntime's exceptions share no base but Exception
        reason = shown(str(error).splitlines()[0], 160)
        raise ModelError(f"{path} does not run on zeros of shape {shape}: {reason}") from error
    return np.asarray(outputs[0])


def check_output(path: Path, output: Array, shape: tuple[int | None, ...]) -> None:
    """Raise ModelError unless an output has this shape (None: any side) and holds numbers."""
    if not _fits(output.shape, shape):
        kind = ": it is a classifier or the like" if output.ndim < 4 or output.shape[2:] == (1, 1) else ""
        raise ModelError(f"{path} makes {output.shape} where {shape} must come out{kind}.".replace("None", "?"))
    if not np.isfinite(output).all():
        raise ModelError(f"{path} makes NaN or infinity of zeros: its weights are damaged. Get it again.")


def limited(path: Path, work: Callable[[], Any], stop: Callable[[], None], on_cpu: bool) -> Any:
    """Return what `work` gives, which takes no more than SECONDS and, on a CPU, memory as below.

    stop: asks ONNX Runtime to end. It looks only between two operators, and where it folds constants not at all, so on
    a CPU a thread that goes on is left to itself; a GPU may take its time, as TensorRT does to build its programs.
    Raises TimeoutError, which says how long that was, and what `work` raises.
    """
    done: Future[Any] = Future()

    def run() -> None:
        try:
            with limited_memory(path) if on_cpu else contextlib.nullcontext():
                result = work()
        except BaseException as error:
            done.set_exception(error)
        else:
            done.set_result(result)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(SECONDS)
    late = thread.is_alive()
    if late:
        stop()
        thread.join(_GRACE_SECONDS if on_cpu else None)
    if late and (not done.done() or done.exception()):
        raise TimeoutError(f"{SECONDS:.0f} s")
    return done.result()


@contextlib.contextmanager
def limited_memory(path: Path) -> Iterator[None]:
    """Let this process take MEMORY_BYTES more and thrice what `path` has, no further (Linux; elsewhere no limit).

    Memory beyond is refused to whatever asks: here ONNX Runtime, which turns that into an error.
    """
    if sys.platform != "linux":
        yield
        return
    import resource

    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[5])
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limit = pages * resource.getpagesize() + MEMORY_BYTES + 3 * path.stat().st_size
    unlimited = resource.RLIM_INFINITY
    if any(given != unlimited and limit > given for given in (soft, hard)):  # there is a lower limit already
        yield
        return
    resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))
