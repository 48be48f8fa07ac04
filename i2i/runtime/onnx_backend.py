"""Exported networks in ONNX Runtime.

ONNX Runtime silently falls back to the CPU, so the provider of a session is compared with the one asked for.
"""

import copy
import functools
from pathlib import Path
from typing import Any, Self

import numpy as np

from i2i.errors import ModelError, UsageError
from i2i.files import utf8_name
from i2i.images import Array
from i2i.machine import (
    PROVIDERS,
    has_nvidia_gpu,
    is_out_of_memory,
    thread_count,
    why_no_provider,
    why_not_started,
)
from i2i.models import tried
from i2i.models.mistaken import shown
from i2i.models.onnxfile import check_onnx
from i2i.models.spec import ModelSpec
from i2i.models.trial import Trial, described_spec, try_on_zeros
from i2i.runtime.batches import MOST, Batches
from i2i.runtime.foreign import OutputWatch, TensorFormat, Values, assumed
from i2i.runtime.quick_session import MANY, QuickSession

_LARGE_BATCH_BYTES = 8 * 2**20


class OnnxBackend:
    """A network as an .onnx file."""

    name = "onnxruntime"

    def __init__(
        self,
        path: Path,
        device: str = "auto",
        threads: int | None = None,
        notes: list[str] | None = None,
        form: TensorFormat | None = None,
    ):
        """Open a file that has been tried (see `try_file`); raises UsageError and ModelError.

        threads: CPU threads for each call of `run`, by default all. notes: a list to share with the backend this one
        is made from. form: how a model of another project writes images; None if the file describes it.
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
        self._batches = Batches(self._in_fixed_batches, self.notes, self._fixed_batch or MOST) if together else None
        self._quick: QuickSession | None = None

    def with_threads(self, threads: int) -> Self:
        """As in Backend."""
        if self.device != "cpu" or threads == self.threads:
            return self
        other = type(self)(self.path, self.device, threads, self.notes, self.form)
        other._watch = self._watch
        return other._with_quick_session() if self._quick else other

    def for_many(self, images: int) -> Self:
        """As in Backend: convolutions may be Winograd's, if the first image comes out equal."""
        plain = self.device == "cpu" and not self._batches and not self.form
        return self._with_quick_session() if plain and images >= MANY else self

    def _with_quick_session(self) -> Self:
        other = copy.copy(self)
        other._quick = QuickSession(
            self.path, functools.partial(_open_session, device=self.device, threads=self.threads)
        )
        return other

    def run(self, batch: Array) -> Array:
        """As in Backend."""
        return self._batches(batch) if self._batches else self._in_fixed_batches(batch)

    def _in_fixed_batches(self, batch: Array) -> Array:
        """Compute a batch of any length, for a file with a fixed batch size in several calls, the last one filled."""
        size = self._fixed_batch or len(batch)
        if len(batch) == size:
            return self._compute(batch)
        parts = [batch[start : start + size] for start in range(0, len(batch), size)]
        full = [np.concatenate([part, np.repeat(part[-1:], size - len(part), axis=0)]) for part in parts]
        return np.concatenate([self._compute(part) for part in full])[: len(batch)]

    def _compute(self, batch: Array) -> Array:
        if self.form:
            batch = self.form.encode(batch)
        try:
            inputs = {self.session.get_inputs()[0].name: batch}
            outputs: list[Any] = (
                self._quick.run(self.session, inputs, self._options(batch))
                if self._quick
                else self.session.run(None, inputs, self._options(batch))
            )
        except Exception as error:  # onnxruntime's exceptions share no base but Exception
            reason = str(error).splitlines()[0]
            raise MemoryError(reason) if is_out_of_memory(error) else ModelError(f"{self.path}: {reason}") from error
        output: Array = np.asarray(outputs[0])
        if self._watch:
            self._watch.see(output)
        return self.form.decode(output) if self.form else output

    def _options(self, batch: Array) -> Any:
        """Return run options; after a large batch, a CPU session frees the memory it would keep for the next one."""
        import onnxruntime

        options = onnxruntime.RunOptions()
        if self.device == "cpu" and batch.nbytes > _LARGE_BATCH_BYTES:
            options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
        return options


def try_file(file: Path, device: str, threads: int | None, values: Values) -> tuple[ModelSpec, TensorFormat | None]:
    """Check an .onnx file and run it on zeros in a child process, unless it passed before; return its description.

    The format is that of files without a description, which are tried each time to find it, else None. Raises
    ModelError and UsageError.
    """
    on_cpu = _chosen(device) == "cpu"
    interface = check_onnx(file)
    spec = described_spec(file, interface)
    if spec is None:
        with Trial(file, interface, threads or thread_count(), on_cpu) as trial:
            return assumed(file, interface, trial, values)
    values.refuse_for(file)
    known_by = tried.digest(file, interface)
    if not tried.has_passed(known_by, on_cpu):
        with Trial(file, interface, threads or thread_count(), on_cpu) as trial:
            try_on_zeros(spec, trial)
        tried.remember(known_by, on_cpu)
    return spec, None


def _chosen(device: str) -> str:
    """Return which of DEVICES to start in ONNX Runtime; raises UsageError if it cannot."""
    chosen = device
    if device == "auto":
        chosen = "cuda" if has_nvidia_gpu() and why_no_provider("cuda") is None else "cpu"
    reason = why_no_provider(chosen)
    if reason:
        raise UsageError(f"Device {device} was asked for, but {reason}. Use auto or cpu, or see `i2i doctor`.")
    return chosen


def _open_session(path: Path, device: str, threads: int, content: bytes | None = None) -> Any:
    """Open an ONNX Runtime session on one of DEVICES; raises UsageError and ModelError.

    content: what to open in place of the file's own. The session may have fallen back to the CPU: the caller must
    compare.
    """
    import onnxruntime

    chosen = _chosen(device)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # warnings concern its own graph rewriting
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.load_model_format", "ONNX")  # the format checked, whatever the suffix
    options.add_session_config_entry("session.force_spinning_stop", "1")  # idle threads would keep cores busy
    wanted = {"tensorrt": ["tensorrt", "cuda", "cpu"], "cpu": ["cpu"]}.get(chosen, [chosen, "cpu"])
    own = {"openvino": {"device_type": "CPU", "num_of_threads": str(threads)}}  # it does not read the session's
    providers = [(PROVIDERS[one], own.get(one, {})) for one in wanted]
    if "cuda" in wanted:
        onnxruntime.preload_dlls()
    try:
        with utf8_name(path) as name:
            return onnxruntime.InferenceSession(content or name, options, providers=providers)
    except Exception as error:  # as above
        raise ModelError(f"{path} is not a model file: {shown(str(error).splitlines()[0], 200)}") from error
