"""What runs a generator: ONNX Runtime or torch, the same call for both, numpy in and numpy out.

Each names the device it really uses: ONNX Runtime falls back to the CPU without a word, so the
provider that a session got is compared with the one that was asked for.
"""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

import numpy as np

from i2i.errors import ModelError, UsageError
from i2i.files import utf8_name
from i2i.images import Array
from i2i.machine import (
    PROVIDERS,
    TORCH_DEVICES,
    has_nvidia_gpu,
    is_out_of_memory,
    thread_count,
    why_no_provider,
    why_no_torch_device,
    why_not_started,
)
from i2i.models.mistaken import shown
from i2i.models.modelfile import find_model, is_onnx, read_spec
from i2i.models.onnxfile import check_onnx
from i2i.models.spec import ModelSpec
from i2i.models.trial import Trial, described_spec, try_on_zeros
from i2i.runtime.batches import MOST, Batches
from i2i.runtime.foreign import UNSAID, Form, OutputWatch, Values, assumed

if TYPE_CHECKING:
    from torch import nn

BACKENDS = ("auto", "onnx", "torch")
DEVICES = ("auto", "cpu", "cuda", "mps", "tensorrt", "coreml", "openvino")
_LARGE_BATCH_BYTES = 8 * 2**20


class Backend(Protocol):
    """A generator of one direction, or that from noise."""

    name: str
    """The library that runs it."""
    device: str
    """Where it really runs."""
    notes: list[str]
    """What the user should know of how it runs."""

    @property
    def threads(self) -> int:
        """How many threads compute one call of `run` on a CPU."""

    def run(self, batch: Array) -> Array:
        """Pictures (N, C, H, W) float32 in [-1, 1], sides as the spec asks, to the same; N apart from one another.

        Of a generator from noise: (N, latent) float32 to (N, C, H, W) in [-1, 1], or to points (N, 2). Of a
        file exported with --io image: (N, H, W, C) uint8 to the same. May be called from several threads.
        Raises MemoryError where the device's memory runs out, and ModelError.
        """

    def with_threads(self, threads: int) -> Self:
        """Return the same with another number of threads that one call of `run` computes with on a CPU."""


class TorchBackend:
    """A generator as a torch module; the caller has put it into eval mode."""

    name = "torch"

    def __init__(self, network: "nn.Module", device: str, notes: list[str] | None = None):
        """Take a network; notes: a list that goes on to be filled, as that of the backend this one is made of."""
        self.network = network
        self.device = device
        self.notes: list[str] = [] if notes is None else notes
        self._batches = None if device == "cpu" else Batches(self._run, self.notes)

    @classmethod
    def open(cls, path: Path, spec: ModelSpec, direction: str, device: str = "auto") -> Self:
        """Load one direction of a .safetensors file, or GENERATE, onto a device; raises ModelError."""
        from i2i.models.modelfile import load_generator

        chosen = torch_device(device)
        return cls(load_generator(path, spec, direction).to(chosen), chosen)

    @property
    def threads(self) -> int:
        """As in Backend."""
        import torch

        return torch.get_num_threads()

    def with_threads(self, threads: int) -> Self:
        """As in Backend; torch has one such number for the whole process."""
        import torch

        torch.set_num_threads(threads)
        return self

    def run(self, batch: Array) -> Array:
        """As in Backend."""
        return self._batches(batch) if self._batches else self._run(batch)

    def _run(self, batch: Array) -> Array:
        import torch

        with _memory_named(), torch.inference_mode():
            output: Array = self.network(torch.from_numpy(batch).to(self.device)).float().cpu().numpy()
        return output

    def frozen(self, picture: Array) -> "TorchBackend":
        """Return the same with norm statistics fixed at those of a picture (1, C, H, W), if it uses a picture's own.

        Raises MemoryError.
        """
        import torch

        from i2i.networks.big_maps import freeze, uses_own_statistics

        if not uses_own_statistics(self.network):
            return self
        with _memory_named():
            return TorchBackend(
                freeze(self.network, torch.from_numpy(picture).to(self.device)), self.device, self.notes
            )

    def in_strips(self) -> "TorchBackend":
        """Return the same for one picture at a time, with less memory in more time."""
        from i2i.networks.big_maps import in_strips

        return TorchBackend(in_strips(self.network), self.device, self.notes)


def torch_device(device: str) -> str:
    """Return the torch device for one of DEVICES; raises UsageError when it is not there."""
    if device == "auto":
        return next(name for name in TORCH_DEVICES if why_no_torch_device(name) is None)
    reason = why_no_torch_device(device)
    if reason:
        raise UsageError(f"Device {device} was asked for, but {reason}. Use auto or cpu, or see `i2i doctor`.")
    return device


@contextlib.contextmanager
def _memory_named() -> Iterator[None]:
    """Turn what torch raises where memory runs out into MemoryError."""
    try:
        yield
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise MemoryError(str(error).splitlines()[0]) from error


class OnnxBackend:
    """A generator as an exported ONNX file."""

    name = "onnxruntime"

    def __init__(
        self,
        path: Path,
        device: str = "auto",
        threads: int | None = None,
        notes: list[str] | None = None,
        form: Form | None = None,
    ):
        """Open a file, which must have been tried: see `open_backend`. Raises UsageError and ModelError.

        threads: how many one call of `run` computes with on a CPU, by default all.
        notes: a list that goes on to be filled, as that of the backend this one is made of.
        form: how a model of another project writes pictures; None: as the description in the file says.
        """
        self.path = path
        self.threads = threads or thread_count()
        self.notes: list[str] = [] if notes is None else notes
        self.form = form
        self._watch = OutputWatch(form.output_range, self.notes) if form else None
        self.session = _open_session(path, device, self.threads)
        names = {provider: name for name, provider in PROVIDERS.items()}
        self.device = names.get(self.session.get_providers()[0], "cpu")
        if device not in ("auto", self.device):
            raise UsageError(
                f"Device {device} was asked for, but {why_not_started(device)}. Use auto or cpu, or see `i2i doctor`."
            )
        if device == "auto" and self.device == "cpu" and has_nvidia_gpu():
            reason = why_no_provider("cuda") or why_not_started("cuda")
            self.notes.append(f"There is an NVIDIA GPU, but {reason}. This runs on the CPU.")
        axis = self.session.get_inputs()[0].shape[0]
        self._fixed_batch = axis if isinstance(axis, int) else None
        together = self.device != "cpu" or (self._fixed_batch or 1) > 1
        self._batches = Batches(self._run, self.notes, self._fixed_batch or MOST) if together else None

    def with_threads(self, threads: int) -> Self:
        """As in Backend."""
        if self.device != "cpu" or threads == self.threads:
            return self
        other = type(self)(self.path, self.device, threads, self.notes, self.form)
        other._watch = self._watch
        return other

    def run(self, batch: Array) -> Array:
        """As in Backend."""
        return self._batches(batch) if self._batches else self._run(batch)

    def _run(self, batch: Array) -> Array:
        size = self._fixed_batch or len(batch)
        if len(batch) == size:
            return self._run_whole(batch)
        parts = [batch[start : start + size] for start in range(0, len(batch), size)]
        full = [np.concatenate([part, np.repeat(part[-1:], size - len(part), axis=0)]) for part in parts]
        return np.concatenate([self._run_whole(part) for part in full])[: len(batch)]

    def _run_whole(self, batch: Array) -> Array:
        if self.form:
            batch = self.form.encode(batch)
        try:
            inputs = {self.session.get_inputs()[0].name: batch}
            outputs: list[Any] = self.session.run(None, inputs, self._options(batch))
        except Exception as error:  # onnxruntime's exceptions share no base but Exception
            reason = str(error).splitlines()[0]
            raise MemoryError(reason) if is_out_of_memory(error) else ModelError(f"{self.path}: {reason}") from error
        output: Array = np.asarray(outputs[0])
        if self._watch:
            self._watch.see(output)
        return self.form.decode(output) if self.form else output

    def _options(self, batch: Array) -> Any:
        """Return run options: after a large picture, a CPU session gives back the memory it would keep for the next."""
        import onnxruntime

        options = onnxruntime.RunOptions()
        if self.device == "cpu" and batch.nbytes > _LARGE_BATCH_BYTES:
            options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
        return options


def _chosen(device: str) -> str:
    """Return which of DEVICES to start in ONNX Runtime; raises UsageError where it has none such."""
    chosen = device
    if device == "auto":
        chosen = "cuda" if has_nvidia_gpu() and why_no_provider("cuda") is None else "cpu"
    reason = why_no_provider(chosen)
    if reason:
        raise UsageError(f"Device {device} was asked for, but {reason}. Use auto or cpu, or see `i2i doctor`.")
    return chosen


def _open_session(path: Path, device: str, threads: int) -> Any:
    """Open an ONNX Runtime session on one of DEVICES; raises UsageError and ModelError.

    ONNX Runtime itself takes the CPU silently where a device does not start: compare afterwards.
    """
    import onnxruntime

    chosen = _chosen(device)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # warnings concern its own graph rewriting
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.load_model_format", "ONNX")  # as checked, whatever the name ends in
    options.add_session_config_entry("session.force_spinning_stop", "1")  # between calls its threads held cores busy
    wanted = {"tensorrt": ["tensorrt", "cuda", "cpu"], "cpu": ["cpu"]}.get(chosen, [chosen, "cpu"])
    if "cuda" in wanted:
        onnxruntime.preload_dlls()
    try:
        with utf8_name(path) as name:
            return onnxruntime.InferenceSession(name, options, providers=[PROVIDERS[one] for one in wanted])
    except Exception as error:  # as above
        raise ModelError(f"{path} is not a model file: {shown(str(error).splitlines()[0], 200)}") from error


def open_backend(
    path: str | Path,
    pick: Callable[[ModelSpec], str],
    device: str = "auto",
    backend: str = "auto",
    threads: int | None = None,
    values: Values = UNSAID,
) -> tuple[ModelSpec, Backend, str]:
    """Open a run folder, a .safetensors, .onnx or .pth file; return its spec, what runs it, and which part was opened.

    Files are opened by what they hold, whatever their names.

    pick: says which part of the model that the spec describes to open, a direction or GENERATE.
    threads: how many one call computes with on a CPU, by default all. values: what black and white are in an .onnx
    file of another project, and refused for files that say it. Raises ModelError and UsageError.
    """
    if device not in DEVICES:
        raise UsageError(f"{device} is not a device. Use one of {', '.join(DEVICES)}.")
    if backend not in BACKENDS:
        raise UsageError(f"{backend} is not a backend. Use one of {', '.join(BACKENDS)}.")
    values.check()
    file = find_model(Path(path))
    if is_onnx(file):
        if backend == "torch":
            raise UsageError(f"{file} runs in ONNX Runtime only. For torch, give the run folder or .safetensors file.")
        spec, form = _tried(file, device, threads or thread_count(), values)
        return spec, OnnxBackend(file, device, threads, form=form), pick(spec)
    _refuse_values(file, values)
    if backend == "onnx":
        raise UsageError(
            f"{file} runs in torch only. For ONNX Runtime, export it and give that file:\n"
            f"i2i export {path} -o model.onnx"
        )
    spec = read_spec(file)
    part = pick(spec)
    torch_backend = TorchBackend.open(file, spec, part, device)
    return spec, torch_backend if threads is None else torch_backend.with_threads(threads), part


def _tried(file: Path, device: str, threads: int, values: Values) -> tuple[ModelSpec, Form | None]:
    """Check an .onnx file and run it on zeros in a child process; return its description.

    The form is that of files without a description; raises ModelError and UsageError.
    """
    on_cpu = _chosen(device) == "cpu"
    interface = check_onnx(file)
    spec = described_spec(file, interface)
    if spec is not None:
        _refuse_values(file, values)
    with Trial(file, interface, threads, on_cpu) as trial:
        if spec is None:
            return assumed(file, interface, trial, values)
        try_on_zeros(spec, trial)
        return spec, None


def _refuse_values(file: Path, values: Values) -> None:
    """Raise UsageError where the user says what a file says itself."""
    if values != UNSAID:
        raise UsageError(
            f"{file} states which values it takes and makes. Leave out --value-range and --output-value-range,\n"
            "which are for .onnx files of other projects."
        )
