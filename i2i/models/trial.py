"""A stranger's ONNX model on trial: what it takes and makes, and one run on zeros, before any picture.

i2i.models.onnxfile has passed the graph; what only running it shows is found here: sizes that grow on the way, outputs
of another shape, non-finite values. It is run in a child process with limits of memory (on Linux; elsewhere
there is none) and time, so that neither a crash nor a runaway reaches this one.
"""

import contextlib
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np

from i2i.errors import ModelError
from i2i.files import utf8_name
from i2i.models.mistaken import shown
from i2i.models.onnxfile import Interface, Value
from i2i.models.spec import METADATA_KEY, ModelSpec, spec_from_metadata

MEMORY_BYTES = 2 << 30
"""What a session and a run on a small picture may take on a CPU, besides three copies of the weights."""
SECONDS = 60.0
"""What opening a model, and each run, may take."""
_DEVICE_SECONDS = 600.0
"""The same of a model for another device: its one size may be slow on a CPU, and large."""
_START_SECONDS = 60.0
_STEPS = 16
"""More than a trial has. A child whose parent died ends after the processor time of so many."""
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


class Output(NamedTuple):
    """What a model makes of zeros."""

    shape: tuple[int, ...]
    finite: bool


class NotRunError(ModelError):
    """A model does not run on zeros of some shape; others may be tried."""


class Trial:
    """A model opened in a child process, to be closed with `with`.

    A crash of ONNX Runtime, or a model without end, is then one ModelError here.
    """

    def __init__(self, path: Path, interface: Interface, threads: int, on_cpu: bool = True):
        """Open a model, always on the CPU; raises ModelError. on_cpu: False where it is to run on another device."""
        self.path, self.interface = path, interface
        self.seconds = SECONDS if on_cpu else _DEVICE_SECONDS
        self.failure: ModelError | None = None
        with contextlib.ExitStack() as stack:
            setup = {
                "file": stack.enter_context(utf8_name(path)),
                "threads": threads,
                "import_path": [str(folder) for folder in sys.path],
                "memory_bytes": MEMORY_BYTES + 3 * path.stat().st_size if on_cpu else None,
                "cpu_seconds": round(self.seconds * _STEPS * threads),
            }
            self.process = stack.enter_context(_child())
            self._say(setup)
            import onnxruntime  # noqa: F401 - it will be needed, and loads here while it loads there

            self._hear("to start", _START_SECONDS)
            self._say({})
            answer = self._hear("to open", self.seconds)
            if "error" in answer:
                raise ModelError(f"{path} is not a model file: {shown(answer['error'], 200)}")
            self._stack = stack.pop_all()

    def __enter__(self) -> Self:
        """As contexts do."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the child."""
        self._stack.close()

    def run(self, shape: tuple[int, ...], dtype: Any = np.float32) -> Output:
        """Return what the model makes of zeros. Raises ModelError.

        shape: with a batch of 1, in place of which a model that takes only another gets that.
        """
        axes = self.interface.inputs[0].shape
        shape = (axes[0] if axes and axes[0] else shape[0], *shape[1:])
        self._say({"shape": shape, "dtype": np.dtype(dtype).name})
        answer = self._hear(f"for zeros of shape {shape}", self.seconds)
        if "error" in answer:
            raise NotRunError(f"{self.path} does not run on zeros of shape {shape}: {shown(answer['error'], 160)}")
        return Output(tuple(answer["shape"]), answer["finite"])

    def _say(self, words: Mapping[str, Any]) -> None:
        assert self.process.stdin
        with contextlib.suppress(OSError):  # of one that has ended: its answer will be missing
            self.process.stdin.write(json.dumps(words).encode() + b"\n")

    def _hear(self, purpose: str, seconds: float) -> dict[str, Any]:
        """Return the child's next answer; raises ModelError where it takes longer, or ends, and from then on."""
        if self.failure:
            raise self.failure
        late = threading.Event()

        def expire() -> None:
            late.set()
            self.process.kill()

        clock = threading.Timer(seconds, expire)
        clock.start()
        try:
            assert self.process.stdout
            line = self.process.stdout.readline()
        finally:
            clock.cancel()
        if line:
            answer: dict[str, Any] = json.loads(line)
            return answer
        code = self.process.wait()
        how = signal.strsignal(-code) if code < 0 else f"exit code {code}"
        self.failure = ModelError(
            f"{self.path} takes more than {seconds:.0f} s {purpose}."
            if late.is_set()
            else f"{self.path} ends ONNX Runtime {purpose} ({how}): the file is damaged or hostile. Get it again."
        )
        raise self.failure


@contextlib.contextmanager
def _child() -> Iterator["subprocess.Popen[bytes]"]:
    """Run trial_child.py without Python's start-up files, and out of reach of Ctrl-C, which this process handles."""
    command = [sys.executable, "-I", "-S", str(Path(__file__).with_name("trial_child.py"))]
    flags = getattr(subprocess, "CREATE_NO_WINDOW", 0)
    with subprocess.Popen(
        command,
        bufsize=0,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        creationflags=flags,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def try_on_zeros(spec: ModelSpec, trial: Trial) -> None:
    """Run a described model once on the smallest input it takes. Raises ModelError."""
    if noise := spec.latent_generator:
        sides = () if noise.out_meaning == "points" else (noise.out_px, noise.out_px)
        check_output(trial.path, trial.run((1, noise.latent)), (None, noise.out_channels, *sides))
        return
    one = next(iter(spec.generators.values()))
    least = -(-one.size_minimum // one.size_multiple) * one.size_multiple
    height, width = spec.fixed_size or (least, least)
    if spec.io == "image":
        output = trial.run((1, height, width, one.in_channels), np.uint8)
        check_output(trial.path, output, (None, height, width, one.out_channels))
    else:
        output = trial.run((1, one.in_channels, height, width))
        check_output(trial.path, output, (None, one.out_channels, height, width))


def check_output(path: Path, output: Output, shape: tuple[int | None, ...]) -> None:
    """Raise ModelError unless an output has this shape (None: any side) and holds numbers."""
    if not _fits(output.shape, shape):
        kind = ": it is a classifier or the like" if len(output.shape) < 4 or output.shape[2:] == (1, 1) else ""
        raise ModelError(f"{path} makes {output.shape} where {shape} must come out{kind}.".replace("None", "?"))
    if not output.finite:
        raise ModelError(f"{path} makes NaN or infinity of zeros: its weights are damaged. Get it again.")
