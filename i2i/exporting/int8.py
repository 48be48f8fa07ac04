"""Static int8 quantisation of an exported file, behind a gate: near enough to fp32, and faster, or no file.

The scales come from the pictures of the export. Weights have a scale for each output channel and seven bits, so that
processors without VNNI do not overflow and give the same answers. The first and the last convolution and all else,
norms above all, stay in float.
"""

import contextlib
import logging
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from i2i.errors import ExportError, UsageError
from i2i.exporting.bounds import LEAST_DB, psnr_db
from i2i.exporting.proof import open_on_cpu
from i2i.images import Array
from i2i.models.spec import Int8Proof, ModelSpec

CALIBRATION = 32
"""Most pictures to measure scales and PSNR on: half of them for either."""
_ROUNDS = 5


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
    small = path.with_suffix(".int8")
    name = "latent" if spec.latent_generator else "image"
    try:
        _write(path, small, [{name: sample} for sample in samples[::2]])
        compared = samples[1::2]
        whole, quantised = (_runner(file, name) for file in (path, small))
        psnr = float(np.mean([psnr_db(quantised(one), whole(one), spec) for one in compared]))
        proof = Int8Proof(psnr_db=psnr, speed=_speed(whole, quantised, compared), pictures=len(compared))
        if psnr < LEAST_DB or proof.speed <= 1:
            raise ExportError(
                f"In int8, this network is {psnr:.1f} dB from fp32 (PSNR; {LEAST_DB:g} is the least) and takes "
                f"{1 / proof.speed:.2f} times its time on this processor.\n"
                "No file was written. Use --precision fp32, or --verify FOLDER for scales of other pictures."
            )
        small.replace(path)
    finally:
        small.unlink(missing_ok=True)
    return proof


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
