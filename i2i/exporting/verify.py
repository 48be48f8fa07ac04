"""Proof that a finished file does on this machine what its model does: `i2i export --verify MODEL.onnx`.

With torch and the model that the file was exported from, it is the proof of the export, on the device asked for.
Without them, the file answers its self-test, and on any other device it must agree with the CPU.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from i2i import status
from i2i.errors import ExportError, ModelError, UsageError, speaks_python
from i2i.exporting.bounds import BOUNDS, LEAST_DB, SLACK, Bound, psnr_db
from i2i.exporting.options import ExportOptions
from i2i.exporting.selftest import made_up_pictures, sample, self_test_input
from i2i.images import Array
from i2i.machine import is_installed
from i2i.models.modelfile import MODEL_NAME, find_weights, is_onnx, read_spec
from i2i.models.spec import GENERATE, ExportProof, ModelSpec
from i2i.runtime.backends import OnnxBackend, open_backend

_MADE_UP_PX = 256


class Verified(NamedTuple):
    """What a finished file was compared with on a device, all of it within its bounds.

    proof: the comparison with torch, None without torch or the model. self_test, cpu: the largest difference from
    torch's answers in the file, and from the CPU, in units of the output; None where they were not compared.
    notes: what was not compared, and why.
    """

    spec: ModelSpec
    device: str
    proof: ExportProof | None = None
    self_test: float | None = None
    cpu: float | None = None
    notes: Sequence[str] = ()


@speaks_python
def verify_onnx(file: str | Path, device: str = "auto", model: str | Path | None = None) -> Verified:
    """Prove an exported `file` on a device, one of DEVICES in i2i.runtime.backends.

    model: the run folder or .safetensors that it was exported from; None: one that lies beside it, if any. Raises
    ExportError above the bounds, ModelError for damaged files, and UsageError where there is nothing to compare with.
    """
    path = Path(file)
    if not path.is_file() or not is_onnx(path):
        raise UsageError(f"{path} is not an .onnx file. --verify takes one, or a folder of pictures for an export.")
    with status.doing(f"Opening {path.name}"):
        spec, backend, _ = open_backend(path, lambda spec: GENERATE, device)
    assert isinstance(backend, OnnxBackend)
    if backend.form:
        raise UsageError(
            f"{path} is not of i2i: it does not say what it must be equal to. Compare it where it comes from."
        )
    notes = list(backend.notes)
    source = _source(path, model, spec, notes)
    if source is not None and spec.int8:
        notes.append("An int8 file is not equal to its model, so it was compared with its own answers at the export.")
    elif source is not None:
        # Other devices compute float32 with less: NVIDIA's in TF32.
        bound = BOUNDS["fp16" if backend.device != "cpu" else spec.precision, spec.io]
        return Verified(spec, backend.device, _prove(path, source, spec, backend, bound), notes=notes)
    return _without_torch(path, spec, backend, notes)


def _source(path: Path, model: str | Path | None, spec: ModelSpec, notes: list[str]) -> Path | None:
    """Return the model file that `path` was exported from; None where there is none, or no torch, with a note."""
    if not is_installed("torch"):
        if model is not None:
            raise UsageError(f"Comparing {path} with {model} needs torch. Leave the model out, or install i2i[train].")
        notes.append("torch is not installed, so the file was not compared with its model.")
        return None
    if model is not None:
        source = find_weights(model)
        if difference := _differs(source, spec):
            raise UsageError(f"{path} was not exported from {source} as it is now: {difference}.")
        return source
    beside = [one for one in (path.with_name(MODEL_NAME), path.with_suffix(".safetensors")) if one.is_file()]
    for one in beside:
        try:
            difference = _differs(one, spec)
        except ModelError as error:
            difference = str(error).splitlines()[0]
        if not difference:
            return one
        notes.append(f"{one} lies beside the file, but it was not exported from it as it is now: {difference}.")
    if not beside:
        notes.append("No model lies beside the file, so it was not compared with one. Give the run: i2i export RUN ...")
    return None


def _differs(source: Path, spec: ModelSpec) -> str:
    """Say in what a model differs from the one that a file describes; empty if it may be that one."""
    own = read_spec(source)
    for name, part in spec.parts.items():
        if name not in own.parts:
            return f"it has no {name}"
        if (own.parts[name].network, own.parts[name].arguments) != (part.network, part.arguments):
            return "its network is another"
    if own.images_seen != spec.images_seen:
        return f"it has seen {own.images_seen:,} images, and the file {spec.images_seen:,}"
    return ""


def _prove(path: Path, source: Path, spec: ModelSpec, backend: OnnxBackend, bound: Bound) -> ExportProof:
    """Compare the file on the device of `backend` with torch, as at its export."""
    with status.loading_torch():
        from i2i.exporting.graph import make_graph
        from i2i.exporting.proof import Finished, prove
        from i2i.exporting.writing import reference_of

    (name, part), *_ = spec.parts.items()
    labels = [f"{block.name}={block.classes[0]}" for block in part.blocks] if part.kind == "translate" else []
    direction = name if part.kind == "translate" else None
    options = ExportOptions(path, None, direction, None, False, spec.io, spec.precision, spec.fixed_size, labels)
    try:
        reference = reference_of(source, direction, options)
    except UsageError:  # the pictures of the run are elsewhere
        pictures = made_up_pictures(_MADE_UP_PX, _MADE_UP_PX, part.network_channels)
        named = [(f"made-up picture {number}", picture) for number, picture in enumerate(pictures, 1)]
        reference = reference_of(source, direction, options, (named, "made-up ones"))
    with status.doing(f"Comparing {path.name} on {backend.device} with torch"):
        return prove(path, make_graph(reference.network, reference.spec), reference, Finished(backend.run, bound))


def _without_torch(path: Path, spec: ModelSpec, backend: OnnxBackend, notes: list[str]) -> Verified:
    """Compare the file's outputs with the answers in it, and with those of the CPU."""
    if not spec.self_test and backend.device == "cpu":
        raise UsageError(
            f"There is nothing to compare {path} with on a CPU: {notes[-1]}\n"
            "It is of an earlier version, whose files hold no self-test. Export it again, or name another --device."
        )
    unit = 1.0 if spec.io == "tensor" else 127.5
    allowed = unit * max(BOUNDS["fp16", "tensor"].worst, SLACK * ((spec.proof and spec.proof.torch_rounding) or 0))
    given = self_test_input(spec)
    with status.doing(f"Running {path.name} on {backend.device}"):
        made = backend.run(given)
    found: dict[str, Any] = {}
    if spec.self_test:
        found["self_test"] = np.array(sample(made)), np.array(spec.self_test)
    if backend.device != "cpu":
        found["cpu"] = made, OnnxBackend(path, "cpu").run(given)
    for what, (one, other) in found.items():
        found[what] = difference = _largest(one, other)
        rounds = spec.precision == "int8"  # differently on every device
        agrees = difference < np.inf and psnr_db(one, other, spec) >= LEAST_DB if rounds else difference <= allowed
        if not agrees:
            answers = "its own answers at the export" if spec.int8 else "torch's answers in the file"
            whom = "the CPU" if what == "cpu" else answers
            limit = f"{LEAST_DB:g} dB (PSNR) are" if rounds else f"{allowed:.2g} is"
            raise ExportError(
                f"{path} on {backend.device} differs from {whom} by up to {difference:.2g} {spec.unit}; "
                f"{limit} allowed.\nDo not use it there. Try other versions of onnxruntime and of the driver."
            )
    return Verified(spec, backend.device, notes=notes, **found)


def _largest(one: Array, other: Array) -> float:
    if one.shape != other.shape:
        return float("inf")
    return float(np.abs(one.astype(np.float64) - other).max())
