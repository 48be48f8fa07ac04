"""A stranger's ONNX model on trial: what it takes and makes, and one run on zeros, before any picture.

i2i.onnxfile has passed the graph; what only running it shows is found here, within limits of memory and
time: sizes that grow on the way, outputs of another shape, values that are no numbers.
"""

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np

from i2i.errors import ModelError
from i2i.images import Array, Channels
from i2i.mistaken import shown
from i2i.onnxfile import Interface, Value
from i2i.spec import MEANINGS, METADATA_KEY, UNDESCRIBED, GeneratorSpec, ModelSpec, spec_from_metadata

MEMORY_BYTES = 2 << 30
"""What a session and a run on a small picture may take, besides three copies of the weights."""
SECONDS = 60.0
"""What each of them may take."""
_GRACE_SECONDS = 2.0
_FLOAT, _UINT8 = 1, 2  # numbers of element types in onnx.proto
_LEAST_PX = 32
_MULTIPLES = tuple(2**power for power in range(10))


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


def _check_undescribed(path: Path, interface: Interface) -> None:
    """Raise ModelError unless a model without a description can be what most are: RGB or grey in, NCHW in [-1, 1]."""
    inputs, outputs = interface.inputs, interface.outputs
    if len(inputs) == 1 and len(outputs) == 1:
        taken, made = inputs[0].shape, outputs[0].shape
        if made is not None and (len(made) < 4 or made[2:] == (1, 1)):
            raise ModelError(f"{path} makes {outputs[0]}, no picture: it is a classifier or the like.")
        if (
            (inputs[0].element, outputs[0].element) == (_FLOAT, _FLOAT)
            and taken is not None
            and len(taken) == 4
            and taken[1] in (1, 3)
            and (taken[2] is None) == (taken[3] is None)
            and _fits(made, (None, None, None, None))
        ):
            return
    has = "; ".join(str(value) for value in inputs) or "nothing"
    raise ModelError(
        f"{path} takes {shown(has)} and holds no description by i2i.\n"
        "Without one, i2i runs models from one picture to another, float32 (N, 1 or 3, H, W) in [-1, 1]."
    )


def assumed_spec(path: Path, interface: Interface, session: Any) -> ModelSpec:
    """Describe a model that holds no description, by what it takes and by runs on zeros. Raises ModelError."""
    _check_undescribed(path, interface)
    shape = interface.inputs[0].shape
    assert shape is not None
    height, width = shape[2:]
    channels: Channels = 1 if shape[1] == 1 else 3
    fixed = (height, width) if height is not None and width is not None else None
    multiple = 1
    if fixed:
        output = run_on_zeros(path, session, (1, channels, *fixed))
    else:
        # The smallest multiple that comes out as it went in; sides not of the next one, or the smaller could pass.
        end = time.monotonic() + SECONDS  # of all these runs together
        for multiple in _MULTIPLES:
            if time.monotonic() > end:
                raise ModelError(f"{path} takes over {SECONDS:.0f} s for zeros.")
            side = (-(-_LEAST_PX // multiple) | 1) * multiple
            with contextlib.suppress(ModelError):
                output = run_on_zeros(path, session, (1, channels, side, side))
                if output.shape[2:] == (side, side):
                    break
        else:
            raise ModelError(
                f"{path} makes no picture as large as its input, of any side from {_LEAST_PX} to {_MULTIPLES[-1]} px."
            )
    check_output(path, output, (None, None, *(fixed or output.shape[2:])))
    if output.shape[1] not in (1, 3):
        raise ModelError(f"{path} makes {output.shape[1]} channels; without a description, 1 or 3 can be used.")
    made: Channels = 1 if output.shape[1] == 1 else 3
    generator = GeneratorSpec(
        network=UNDESCRIBED,
        arguments={},
        in_channels=channels,
        in_meaning=MEANINGS[channels],
        out_channels=made,
        out_meaning=MEANINGS[made],
        size_multiple=multiple,
        size_minimum=_LEAST_PX if not fixed else 1,
    )
    return ModelSpec(
        i2i_version=UNDESCRIBED,
        algorithm=UNDESCRIBED,
        generators={"A2B": generator},
        norm_statistics="image",
        trained_crop_px=0,
        trained_side_px=0,
        fixed_size=fixed,
    )


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
        raise ModelError(f"{path} takes over {error} for zeros of shape {shape}.") from error
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
