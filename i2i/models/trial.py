"""Try a stranger's ONNX model before it gets any picture: check inputs and outputs, and run it once on zeros.

i2i.models.onnxfile has checked the graph. Running it shows the rest: sizes that grow on the way, outputs of the wrong
shape, non-finite values. It runs in a child process with limits on time and, on Linux, on memory, so that neither a
crash nor an endless run reaches this process.
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
"""Memory for a session and a run on a small image on a CPU, besides three copies of the weights."""
SECONDS = 60.0
"""Time limit for opening a model, and for each run."""
_DEVICE_SECONDS = 600.0
"""The same for a model for another device: its fixed size may be large, and slow on a CPU."""
_START_SECONDS = 60.0
_STEPS = 16
"""More runs than a trial has. A child whose parent died ends after the processor time of as many."""
_FLOAT, _UINT8 = 1, 2  # numbers of element types in onnx.proto


def described_spec(path: Path, interface: Interface) -> ModelSpec | None:
    """Return the description in a file, or None, after comparing it with inputs and outputs.

    Raises ModelError.
    """
    if METADATA_KEY not in interface.metadata:
        return None
    spec = spec_from_metadata(interface.metadata, path)
    wanted: list[tuple[int, tuple[int | None, ...]]]
    if noise := spec.latent_generator:
        places: tuple[None, ...] = (None, None) if noise.place_px else ()
        made = places or (() if noise.out_meaning == "points" else (noise.out_px, noise.out_px))
        wanted = [(_FLOAT, (None, noise.latent, *places)), (_FLOAT, (None, noise.out_channels, *made))]
    else:
        if len(spec.generators) != 1:
            raise ModelError(f"{path} has a description of two directions; an .onnx file holds one. Get it again.")
        one = next(iter(spec.generators.values()))
        sides = spec.fixed_size or (None, None)
        if spec.io == "image":
            wanted = [(_UINT8, (None, *sides, one.in_channels)), (_UINT8, (None, None, None, one.out_channels))]
        else:
            wanted = [(_FLOAT, (None, one.network_channels, *sides)), (_FLOAT, (None, one.out_channels, None, None))]
    if len(interface.inputs) != 1 or len(interface.outputs) != 1:
        raise ModelError(
            f"{path} has {len(interface.inputs)} inputs and {len(interface.outputs)} outputs; "
            "its description has one of each. Get it again."
        )
    for value, (element, shape) in zip((*interface.inputs, *interface.outputs), wanted, strict=True):
        if value.element != element or not _fits(value.shape, shape):
            raise ModelError(
                f"{path}: {shown(value.name)} is {value}, but its description says {Value('', element, shape)}.\n"
                "Export the model again, or get the file again."
            )
    return spec


def _fits(sides: tuple[int | None, ...] | None, wanted: tuple[int | None, ...]) -> bool:
    """Whether sides do not contradict; the run checks free ones."""
    if sides is None:
        return True
    return len(sides) == len(wanted) and all(None in (a, b) or a == b for a, b in zip(sides, wanted, strict=True))


class Output(NamedTuple):
    """The output of a model for zeros."""

    shape: tuple[int, ...]
    finite: bool


class NotRunError(ModelError):
    """A model does not run on zeros of one shape; it may run on another."""


class Trial:
    """A model opened in a child process; a context manager.

    A crash of ONNX Runtime or an endless run becomes a ModelError here.
    """

    def __init__(self, path: Path, interface: Interface, threads: int, on_cpu: bool = True):
        """Open a model, always on the CPU; raises ModelError. on_cpu: False if it is for another device."""
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
            import onnxruntime  # noqa: F401 - needed later; loads here while it loads there

            self._hear("to start", _START_SECONDS)
            self._say({})
            answer = self._hear("to open", self.seconds)
            if "error" in answer:
                raise ModelError(f"{path} is not a model file: {shown(answer['error'], 200)}")
            self._stack = stack.pop_all()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the child."""
        self._stack.close()

    def run(self, shape: tuple[int, ...], dtype: Any = np.float32) -> Output:
        """Return the output for zeros. Raises ModelError.

        shape: with a batch of 1; a model with another fixed batch gets that batch.
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
        with contextlib.suppress(OSError):  # the child has ended; its answer will be missing
            self.process.stdin.write(json.dumps(words).encode() + b"\n")

    def _hear(self, purpose: str, seconds: float) -> dict[str, Any]:
        """Return the child's next answer; raises ModelError if it takes too long or ends, and for every later call."""
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
            else f"{self.path} crashes ONNX Runtime {purpose} ({how}): the file is damaged or hostile. Get it again."
        )
        raise self.failure


@contextlib.contextmanager
def _child() -> Iterator["subprocess.Popen[bytes]"]:
    """Run trial_child.py without Python's start-up files, and without Ctrl-C, which this process handles."""
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
        places = noise.places((noise.out_px, noise.out_px)) if noise.place_px else ()
        check_output(trial.path, trial.run((1, noise.latent, *places)), (None, noise.out_channels, *sides))
        return
    one = next(iter(spec.generators.values()))
    least = -(-one.size_minimum // one.size_multiple) * one.size_multiple
    height, width = spec.fixed_size or (least, least)
    if spec.io == "image":
        output = trial.run((1, height, width, one.in_channels), np.uint8)
        check_output(trial.path, output, (None, height, width, one.out_channels))
    else:
        output = trial.run((1, one.network_channels, height, width))
        check_output(trial.path, output, (None, one.out_channels, height, width))


def check_output(path: Path, output: Output, shape: tuple[int | None, ...]) -> None:
    """Raise ModelError unless an output has this shape (None: any side) and holds numbers."""
    if not _fits(output.shape, shape):
        kind = ": it is a classifier or the like" if len(output.shape) < 4 or output.shape[2:] == (1, 1) else ""
        raise ModelError(f"{path} returns {output.shape} instead of {shape}{kind}.".replace("None", "?"))
    if not output.finite:
        raise ModelError(f"{path} returns NaN or infinity for zeros: its weights are damaged. Get it again.")
