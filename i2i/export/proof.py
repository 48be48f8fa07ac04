"""That an exported file does what its model does: both answer the same inputs, and are compared.

The model answers one input at a time, as everywhere else; the file answers whole batches too, so that
a graph that mixes pictures shows.
"""

import contextlib
import copy
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from i2i.errors import ExportError
from i2i.export.graph import Graph, write_graph
from i2i.files import utf8_name
from i2i.images import Array, from_unit
from i2i.spec import ExportProof, ModelSpec


class Bound(NamedTuple):
    """How far a file may be from its model.

    worst: of any value. share: how many values may differ at all, as a part of all. of_layer: what counts as a
    difference in a layer within, relative to its largest value.
    """

    worst: float
    share: float
    of_layer: float


BOUNDS = {
    ("fp32", "tensor"): Bound(1e-4, 1.0, 1e-4),
    ("fp32", "image"): Bound(1, 1e-4, 1e-4),
    ("fp16", "tensor"): Bound(2 * 2 / 255, 1.0, 2 * 2 / 255),
    ("fp16", "image"): Bound(2, 1.0, 2 * 2 / 255),
}
"""By precision and io, in units of what comes out: values in [-1, 1], where a grey level is 2 / 255, or grey levels."""
MOST_SHARE = 1e-3
"""Where rounding itself turns more pixels than a bound's share, the share is widened up to this."""


class Samples(NamedTuple):
    """What a file is proved on.

    batches: inputs of the file. answer: what the model makes of a batch, one input after another. to_network: what
    goes into the network itself for a batch of inputs.
    """

    batches: Sequence[Array]
    answer: Callable[[Array], Array]
    to_network: Callable[[Array], Array]
    pictures: int
    source: str


def prove(onnx_file: Path, graph: Graph, network: nn.Module, spec: ModelSpec, samples: Samples) -> ExportProof:
    """Compare the file that `graph` was written to with what it came from, of which `network` is the network.

    Raises ExportError above the bound, naming the layer where the difference starts.
    """
    bound = BOUNDS[spec.precision, spec.io]
    answers = [samples.answer(batch) for batch in samples.batches]
    found = _compare(_session(onnx_file), graph.input, samples.batches, answers)
    share, of_torch = max(bound.share, 1 / found.values), None
    if spec.io == "image" and found.worst <= bound.worst and found.differing > share:
        of_torch = _turned_by_float32(network, samples, answers)
        share = widened(share, of_torch)
    if not found.worst <= bound.worst or found.differing > share:
        if spec.io == "image" and found.worst <= bound.worst:
            count = f"{found.differing * found.values:,.0f} of {found.values:,}"
            said = f"in {count} values; one in {1 / share:,.0f} is allowed"
        else:
            said = f"by up to {found.worst:.2g} ({spec.unit}, {samples.pictures} pictures)"
            said += f"; {bound.worst:.2g} is allowed"
        start = first_difference(graph, network, found.batch, samples.to_network(found.batch), bound.of_layer)
        if start == _NOWHERE and spec.io == "image":
            start += " Use --io tensor, which counts values before they are rounded."
        raise ExportError(f"ONNX Runtime differs from torch {said}.\n{start} No file was written.")
    return ExportProof(
        max_difference=found.worst,
        mean_difference=found.mean,
        differing=found.differing,
        torch_differing=of_torch,
        pictures=samples.pictures,
        source=samples.source,
    )


class _Found(NamedTuple):
    """How far a file is from its model.

    worst and mean: of all values. differing: how many values differ at all, as a part of all. batch: the input with
    the worst.
    """

    worst: float
    mean: float
    differing: float
    values: int
    batch: Array


def _compare(session: Any, name: str, batches: Sequence[Array], answers: Sequence[Array]) -> _Found:
    worst, total, differing, values, worst_batch = 0.0, 0.0, 0, 0, batches[0]
    for batch, answer in zip(batches, answers, strict=True):
        difference = np.abs(session.run(["output"], {name: batch})[0] - answer.astype(np.float32))
        if not difference.max() <= worst:  # so written, NaN counts too
            worst, worst_batch = float(np.maximum(worst, difference.max())), batch
        total, values = total + float(difference.sum(dtype=np.float64)), values + difference.size
        differing += int((difference != 0).sum())
    return _Found(worst, total / values, differing / values, values, worst_batch)


def _turned_by_float32(network: nn.Module, samples: Samples, answers: Sequence[Array]) -> float:
    """Return which part of the pixels torch makes otherwise in float64 than in float32, its `answers`."""
    exact, turned, values = copy.deepcopy(network).double(), 0, 0
    for batch, answer in zip(samples.batches, answers, strict=True):
        height, width = batch.shape[1:3]
        for one, expected in zip(samples.to_network(batch), answer, strict=True):
            with torch.inference_mode():
                (output,) = exact(torch.from_numpy(one[None]).double()).numpy()
            turned += int((from_unit(output[:, :height, :width]) != expected).sum())
            values += expected.size
    return turned / values


def widened(share: float, of_torch: float) -> float:
    """Return how large a part of the pixels may turn by a level, where torch's own float32 turns `of_torch`.

    Two computations in float32, each as far from the exact one, turn about one and a half times as many from each
    other. A graph that is wrong in earnest turns more than MOST_SHARE.
    """
    return max(share, min(2 * of_torch, MOST_SHARE))


def finite(values: Array) -> Array:
    """Return what a model gave, if all of it is numbers: NaN equals nothing. Raises ExportError."""
    if not np.isfinite(values).all():
        raise ExportError(
            "The model gives NaN or infinity for pictures that the export is proved on: its weights are damaged.\n"
            "No file was written. Train it again, or get the file again."
        )
    return values


def first_difference(graph: Graph, network: nn.Module, batch: Array, inner: Array, bound: float) -> str:
    """Say in which layer the graph begins to differ from `network`, given an input of each.

    The graph is exported again with what every layer gives as a further output.
    """
    with torch.inference_mode(), _watched(network) as seen:
        network(torch.from_numpy(inner))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "watched.onnx"
        names = tuple(f"layer.{name}" for name in seen)
        write_graph(graph._replace(module=_Watched(graph.module, graph.network)), path, ("output", *names))
        answers = _session(path).run(list(names), {graph.input: batch})
    for (name, tensor), answer in zip(seen.items(), answers, strict=True):
        expected = tensor.numpy()
        if not np.abs(answer - expected).max() <= bound * max(1.0, float(np.abs(expected).max())):
            if name == _INPUT:
                return "The difference starts before the first layer, in normalisation or padding."
            return f"The difference starts in the layer {name} ({type(network.get_submodule(name)).__name__})."
    return _NOWHERE


_INPUT = "input"
_NOWHERE = "It starts in no one layer: small differences add up."


class _Watched(nn.Module):
    """A module that also gives what is seen of the network in it."""

    def __init__(self, module: nn.Module, network: nn.Module):
        super().__init__()
        self.module = module
        self.network = network

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """What the module gives, then the rest."""
        with _watched(self.network) as seen:
            output = self.module(image)
        return output, *seen.values()


@contextlib.contextmanager
def _watched(network: nn.Module) -> Iterator[dict[str, Tensor]]:
    """Yield what becomes, with each pass, what goes into `network` and what each of its layers gives, in float32."""
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


def _session(path: Path) -> Any:
    """Open the file in ONNX Runtime on the CPU, alone: it may not quietly go elsewhere."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # warnings concern its own graph rewriting
    with utf8_name(path) as name:
        return onnxruntime.InferenceSession(name, options, providers=["CPUExecutionProvider"])
