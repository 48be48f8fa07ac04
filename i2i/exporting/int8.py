"""An exported file in int8, behind a gate: near enough to fp32, and faster or smaller, or no file.

int8 computes in it (static quantisation). The scales come from the pictures of the export. Weights have a scale for
each output channel and seven bits, so that processors without VNNI do not overflow and give the same answers. The first
and the last convolution and all else, norms above all, stay in float.

int8_weights only stores weights in int8, with eight bits, and computes in float as before. It gains no speed, but stays
nearer to fp32, and two machines agree as closely as in fp32. With static int8 they do not: a last digit of float32
decides how a value is rounded, and all later values follow.
"""

import contextlib
import logging
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from i2i import status
from i2i.errors import ExportError, UsageError
from i2i.exporting.bounds import LEAST_DB, psnr_db
from i2i.exporting.proof import open_on_cpu
from i2i.images import Array
from i2i.models.spec import Int8Proof, ModelSpec
from i2i.words import show_count

CALIBRATION = 32
"""Most pictures to measure scales and PSNR on: half of them for either."""
_FEW = 16
"""Fewer of them tell little, as a note says: on the six of its sheet, lineart was 40.3 dB off, on 38 others 36.5."""
_ROUNDS = 5
_LEVELS = 127
"""Of a weight in int8, above 0 and below."""
_LEAST_WEIGHTS = 1024
"""Smaller weights stay in float, as they would save nothing."""
_MOST_SIZE = 0.5
"""Of a file with weights in int8, beside that in fp32."""


def quantise(path: Path, spec: ModelSpec, samples: Sequence[Array]) -> Int8Proof:
    """Quantise the fp32 file at `path` in place, and return what it lost and gained.

    samples: inputs of the file, one picture each, two or more. The scales are those of every other one, and the others
    are compared with fp32. Raises UsageError for a single one, ExportError below LEAST_DB, without a gain in time, and
    for networks without inner convolutions.
    """
    if len(samples) < 2:
        raise UsageError(
            "--precision int8 needs two pictures or more, some for its scales and others to compare with fp32; got "
            f"{len(samples)}.\nAdd --verify FOLDER with more."
        )
    if len(samples) < _FEW:
        status.say(
            f"Note: Only {show_count(len(samples), 'picture')} set the scales of int8 and measure its loss.\n"
            f"Add --verify FOLDER with {CALIBRATION} inputs or a data folder."
        )
    name = "latent" if spec.latent_generator else "image"
    with _beside(path) as small:
        _write(path, small, [{name: sample} for sample in samples[::2]])
        compared = _compare(path, small, spec, samples[1::2])
        proof = compared.model_copy(update={"scales_from": len(samples[::2])})
        if proof.psnr_db < LEAST_DB or proof.speed <= 1:
            raise ExportError(
                f"In int8, this network is {proof.psnr_db:.1f} dB from fp32 (PSNR; {LEAST_DB:g} is the least) and "
                f"takes {1 / proof.speed:.2f} times its time on this processor.\n"
                "No file was written. Use --precision int8_weights or fp32, or --verify FOLDER for scales of other "
                "pictures."
            )
        small.replace(path)
    return proof


def quantise_weights(path: Path, spec: ModelSpec, samples: Sequence[Array]) -> Int8Proof:
    """Store the weights of the fp32 file at `path` in int8, in place, and return what it lost and gained.

    samples: inputs of the file, one picture each, compared with fp32. Raises ExportError below LEAST_DB, and for
    networks whose weights are few.
    """
    with _beside(path) as small:
        _write_weights(path, small)
        if small.stat().st_size > path.stat().st_size * _MOST_SIZE:
            raise ExportError(
                "This network has few large weights, and int8 would not halve its file.\n"
                "No file was written. Use --precision fp16 or fp32."
            )
        proof = _compare(path, small, spec, samples)
        if proof.psnr_db < LEAST_DB:
            raise ExportError(
                f"With weights in int8, this network is {proof.psnr_db:.1f} dB from fp32 (PSNR; {LEAST_DB:g} is the "
                "least).\nNo file was written. Use --precision fp16 or fp32."
            )
        small.replace(path)
    return proof


@contextlib.contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """Yield the path of a file that is removed, unless it took the place of `path`."""
    small = path.with_suffix(".int8")
    try:
        yield small
    finally:
        small.unlink(missing_ok=True)


def _compare(path: Path, small: Path, spec: ModelSpec, samples: Sequence[Array]) -> Int8Proof:
    """Return how the file `small` differs from the one at `path`, in pixels and in time."""
    name = "latent" if spec.latent_generator else "image"
    whole, quantised = (_runner(file, name) for file in (path, small))
    psnr = float(np.mean([psnr_db(quantised(one), whole(one), spec) for one in samples]))
    return Int8Proof(psnr_db=psnr, speed=_speed(whole, quantised, samples), pictures=len(samples))


def _write_weights(path: Path, small: Path) -> None:
    """Write the file with its large weights in int8, and scales by their first axis.

    Cast and Mul turn them into float again. ONNX Runtime does that once, as it opens the file; DequantizeLinear, which
    says the same, it would compute with every picture (a fifth more time of a U-Net of 256 px).
    """
    import onnx
    from onnx import helper, numpy_helper

    model: Any = onnx.load(path)
    graph, nodes = model.graph, []
    for weights in list(graph.initializer):
        values = numpy_helper.to_array(weights)
        if values.dtype != np.float32 or values.ndim < 2 or values.size < _LEAST_WEIGHTS:
            continue
        scales = np.abs(values).max(axis=tuple(range(1, values.ndim)), keepdims=True) / _LEVELS
        whole = np.rint(values / np.where(scales, scales, 1)).astype(np.int8)
        name = weights.name
        graph.initializer.remove(weights)
        for suffix, array in (("_int8", whole), ("_scales", scales.astype(np.float32))):
            graph.initializer.append(numpy_helper.from_array(array, name + suffix))
        nodes.append(helper.make_node("Cast", [f"{name}_int8"], [f"{name}_float"], to=onnx.TensorProto.FLOAT))
        nodes.append(helper.make_node("Mul", [f"{name}_float", f"{name}_scales"], [name]))
    for place, node in enumerate(nodes):
        graph.node.insert(place, node)
    onnx.save(model, small)


def _write(path: Path, small: Path, inputs: Sequence[dict[str, Array]]) -> None:
    """Write the quantised file, with scales measured on `inputs`; raises ExportError."""
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Inputs(CalibrationDataReader):
        def __init__(self) -> None:
            self.left = iter(inputs)

        def get_next(self) -> dict[str, Array] | None:
            return next(self.left, None)

    graph: Any = onnx.load(path).graph
    constants = {one.name for one in graph.initializer}
    kinds = ("Conv", "ConvTranspose")
    layers = [node.name for node in graph.node if node.op_type in kinds and node.input[1] in constants]
    if len(layers) < 3:
        raise ExportError(
            "This network has no convolutions between its first and last that int8 could make faster.\n"
            "No file was written. Use --precision fp32."
        )
    with _silent():
        quantize_static(
            path,
            small,
            Inputs(),
            quant_format=QuantFormat.QDQ,
            nodes_to_quantize=layers[1:-1],
            op_types_to_quantize=kinds,
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )


def _runner(path: Path, name: str) -> Any:
    session = open_on_cpu(path, threads=1)
    return lambda batch: session.run(["output"], {name: batch})[0]


def _speed(whole: Any, quantised: Any, samples: Sequence[Array]) -> float:
    """Return how many times as fast the quantised file is: the median of turns, in processor time on one thread."""
    ratios = []
    for _ in range(_ROUNDS):
        spent = []
        for run in (whole, quantised):
            begun = time.process_time()
            for sample in samples:
                run(sample)
            spent.append(time.process_time() - begun)
        ratios.append(spent[0] / max(spent[1], 1e-9))
    return float(np.median(ratios))


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Leave out its advice on preparing graphs, which asks for what an exported file has already."""
    was = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(was)
