"""Proof that an exported file does what its model does: both answer the same inputs, and the answers are compared.

The model answers one input at a time, as everywhere else; the file also answers whole batches, which reveals a graph
that mixes pictures. If they differ by more than usual, float64 decides: on some pictures no float32 is exact, and
there a file may be as far off as torch itself, times SLACK.
"""

import contextlib
import copy
import functools
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from i2i.errors import ExportError
from i2i.exporting.bounds import BOUNDS, MOST, SLACK, Bound
from i2i.exporting.graph import Graph, write_graph
from i2i.files import utf8_name
from i2i.images import Array
from i2i.models.spec import ExportProof, ModelSpec


class Finished(NamedTuple):
    """A file that exists already, on some device.

    run: returns its outputs for a batch. bound: of that device.
    """

    run: Callable[[Array], Array]
    bound: Bound


class ProofBatch(NamedTuple):
    """Inputs of one size, the name of each, and whether they were given, not made up."""

    inputs: Array
    names: Sequence[str]
    given: bool = True


class Reference(NamedTuple):
    """The model that a file must equal.

    spec: of the file to write. network: what it is written from. batches: inputs of the file. answer: returns the
    model's outputs for a batch, computed one by one. to_network: returns what goes into the network itself for a batch
    of inputs. pictures, source: how many pictures were given, and where they come from. samples: more inputs, one
    picture each, for an int8 file alone.
    """

    spec: ModelSpec
    network: nn.Module
    batches: Sequence[ProofBatch]
    answer: Callable[[Array], Array]
    to_network: Callable[[Array], Array]
    pictures: int
    source: str
    samples: Sequence[Array] = ()


def prove(onnx_file: Path, graph: Graph, reference: Reference, finished: Finished | None = None) -> ExportProof:
    """Compare the file that `graph` was written to with the model it came from.

    finished: for a file that exists already. Raises ExportError above the bound, naming the picture and the layer where
    the difference starts.
    """
    spec, network = reference.spec, reference.network
    bound = finished.bound if finished else BOUNDS[spec.precision, spec.io]
    run = finished.run if finished else _on_cpu(onnx_file, graph.input)
    exact = _Exact(network, spec)
    worst, total, differing, values, of_torch, proving = 0.0, 0.0, 0, 0, None, False
    for batch in reference.batches:
        outputs = run(batch.inputs)
        answers = reference.answer(batch.inputs)
        for place, (output, answer) in enumerate(zip(outputs, answers, strict=True)):
            difference = np.abs(output - answer.astype(np.float32))
            allowed = bound.rounding
            if not _within(difference, bound):
                error, rounding = exact.compare(reference.to_network(batch.inputs[place : place + 1]), output)
                allowed = max(bound.rounding, SLACK * rounding)
                if not error <= allowed:
                    inner = reference.to_network(batch.inputs)
                    layer = "" if finished else first_difference(graph, network, batch.inputs, inner, bound.of_layer)
                    words = _difference(spec, batch.names[place], difference, error, allowed)
                    raise ExportError(f"ONNX Runtime differs from torch {words}\n{_advice(spec, layer, finished)}")
                of_torch = max(of_torch or 0.0, rounding)
            proving = proving or (batch.given and allowed <= MOST)
            worst, total = max(worst, float(difference.max())), total + float(difference.sum(dtype=np.float64))
            differing, values = differing + int((difference != 0).sum()), values + difference.size
    if not proving:
        raise ExportError(
            f"{spec.precision} is not exact enough on any of the pictures to tell a correct file from a wrong one: "
            f"torch is up to {of_torch:.1g} off its float64.\n"
            f"{'' if finished else 'No file was written. Add --verify FOLDER with others.'}".rstrip()
        )
    return ExportProof(
        max_difference=worst,
        mean_difference=total / values,
        differing=differing / values,
        torch_rounding=of_torch,
        pictures=reference.pictures,
        source=reference.source,
    )


def _within(difference: Array, bound: Bound) -> bool:
    """Whether an output is so near torch's answer that no exact one is needed; NaN is not."""
    return bool(difference.max() <= bound.worst) and int((difference != 0).sum()) <= max(
        bound.share * difference.size, 1
    )


class _Exact:
    """The network in float64, made when an output first needs it."""

    def __init__(self, network: nn.Module, spec: ModelSpec):
        self.network, self.spec = network, spec

    @functools.cached_property
    def _networks(self) -> tuple[nn.Module, nn.Module]:
        same = self.network if self.spec.precision == "fp32" else copy.deepcopy(self.network).half()
        return copy.deepcopy(self.network).double(), same

    def compare(self, inner: Array, output: Array) -> tuple[float, float]:
        """Return how far the file's `output` and torch in the file's precision are from the exact output, in [-1, 1].

        inner: (1, ...), the network's input. Of an 8-bit value, only the part that rounding to a whole level does not
        explain counts.
        """
        with torch.inference_mode():
            exact, rounded = (network(torch.from_numpy(inner))[0].double().numpy() for network in self._networks)
        rounding = float(np.abs(rounded - exact).max())
        if self.spec.io == "tensor":
            return float(np.abs(output - exact).max()), rounding
        height, width = output.shape[:2]
        levels = (np.clip(exact[:, :height, :width], -1, 1).transpose(1, 2, 0) + 1) * 127.5
        return float(np.abs(output - levels).max() - 0.5) / 127.5, rounding


def _difference(spec: ModelSpec, name: str, difference: Array, error: float, allowed: float) -> str:
    """Say which picture a file fails on, and by how much."""
    if spec.io == "image":
        count = f"{int((difference != 0).sum()):,} of {difference.size:,} values"
        how = f"in {count}, by up to {difference.max():.0f} grey levels, on {name}"
    else:
        how = f"by up to {difference.max():.2g} (values in -1 to 1) on {name}"
    return f"{how}: {error:.2g} off the exact values, and {allowed:.2g} is allowed."


def _advice(spec: ModelSpec, layer: str, finished: Finished | None) -> str:
    """Say where the difference starts, and what to do."""
    if finished:
        return "Do not use the file on this device. Try other versions of onnxruntime and of the driver."
    coarse = spec.precision == "fp16" and layer == _NOWHERE
    following = "Use --precision fp32" if coarse else "Try other versions of torch and onnxruntime"
    return f"{layer} No file was written.\n{following}, or --verify FOLDER to prove it on other pictures."


def finite(values: Array) -> Array:
    """Return the outputs of a model if they are finite: NaN equals nothing. Raises ExportError."""
    if not np.isfinite(values).all():
        raise ExportError(
            "The model returns NaN or infinity for pictures that the export is proved on: its weights are damaged.\n"
            "No file was written. Train it again, or get the file again."
        )
    return values


def first_difference(graph: Graph, network: nn.Module, batch: Array, inner: Array, bound: float) -> str:
    """Say in which layer the graph begins to differ from `network`, given an input of each.

    The graph is exported again with the output of every layer as a further output.
    """
    with torch.inference_mode(), _watched(network) as seen:
        network(torch.from_numpy(inner))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "watched.onnx"
        names = tuple(f"layer.{name}" for name in seen)
        write_graph(graph._replace(module=_Watched(graph.module, graph.network)), path, ("output", *names))
        answers = open_on_cpu(path).run(list(names), {graph.input: batch})
    for (name, tensor), answer in zip(seen.items(), answers, strict=True):
        expected = tensor.numpy()
        if not np.abs(answer - expected).max() <= bound * max(1.0, float(np.abs(expected).max())):
            if name == _INPUT:
                return "The difference starts before the first layer, in normalisation or padding."
            return f"The difference starts in the layer {name} ({type(network.get_submodule(name)).__name__})."
    return _NOWHERE


_INPUT = "input"
_NOWHERE = "It starts in no single layer: small differences add up."


class _Watched(nn.Module):
    """A module that also returns what goes on in the network inside it."""

    def __init__(self, module: nn.Module, network: nn.Module):
        super().__init__()
        self.module = module
        self.network = network

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Return the module's output, then the input and every layer's output of the network."""
        with _watched(self.network) as seen:
            output = self.module(image)
        return output, *seen.values()


@contextlib.contextmanager
def _watched(network: nn.Module) -> Iterator[dict[str, Tensor]]:
    """Yield a dict that each pass fills with the input of `network` and the output of each layer, in float32."""
    seen: dict[str, Tensor] = {}

    def keep(name: str, tensor: Tensor) -> None:
        seen[name] = tensor.float().clone()  # the next layer may work in place

    def watch(name: str) -> Callable[[nn.Module, Any, Tensor], None]:
        return lambda layer, inputs, output: keep(name, output)

    handles = [network.register_forward_pre_hook(lambda network, inputs: keep(_INPUT, inputs[0]))]
    for name, layer in network.named_modules():
        if not list(layer.children()) and not isinstance(layer, (nn.Identity, nn.Dropout)):
            handles.append(layer.register_forward_hook(watch(name)))
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def _on_cpu(path: Path, name: str) -> Callable[[Array], Array]:
    """Return what runs a file on the CPU, given the name of its input."""
    session = open_on_cpu(path)

    def run(batch: Array) -> Array:
        (outputs,) = session.run(["output"], {name: batch})
        made: Array = outputs
        return made

    return run


def open_on_cpu(path: Path, threads: int = 0) -> Any:
    """Open a file in ONNX Runtime on the CPU alone, so that it cannot silently run elsewhere; 0 threads: its choice."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # warnings concern its own graph rewriting
    options.intra_op_num_threads = threads
    with utf8_name(path) as name:
        return onnxruntime.InferenceSession(name, options, providers=["CPUExecutionProvider"])
