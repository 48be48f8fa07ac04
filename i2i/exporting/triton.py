"""A model repository for NVIDIA's Triton Inference Server.

Its layout and the fields of config.pbtxt are those of Triton's model_config.proto; names, types and
sizes come from the exported file itself.
"""

import contextlib
from pathlib import Path
from typing import Any

from i2i.errors import UsageError
from i2i.files import utf8_name, write_text

MAX_BATCH = 8
"""Requests that Triton may join into one batch; memory grows with it."""
_PORTS = ("input ", "output ")
_TYPES = {"tensor(uint8)": "TYPE_UINT8", "tensor(float)": "TYPE_FP32"}


def triton_config(onnx_file: Path, name: str) -> str:
    """Return the config.pbtxt of an exported file under the name that clients will use."""
    import onnxruntime

    with utf8_name(onnx_file) as file:
        session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    (taken,), (given,) = session.get_inputs(), session.get_outputs()
    return f"""name: "{name}"
platform: "onnxruntime_onnx"
max_batch_size: {MAX_BATCH}
input [ {_port(taken)} ]
output [ {_port(given)} ]
# Requests of one size that wait at the same time go through together.
dynamic_batching {{ max_queue_delay_microseconds: 1000 }}
"""


def write_config(config: Path, onnx_file: Path, overwrite: bool) -> None:
    """Write config.pbtxt for a version, NAME/1/model.onnx; leave one that is there, unless it may be overwritten.

    Raises UsageError, and removes the version, if that config has other inputs or outputs.
    """
    text = triton_config(onnx_file, config.parent.name)
    if config.exists() and not overwrite:
        known = config.read_text(encoding="utf-8", errors="replace")
        if missing := [line for line in text.splitlines() if line.startswith(_PORTS) and line not in known]:
            onnx_file.unlink()
            with contextlib.suppress(OSError):  # it holds something else, too
                onnx_file.parent.rmdir()
            raise UsageError(
                f"{config} does not say {missing[0]}, as this version needs. Versions of a model take and give the "
                "same.\nExport in the form of the others, choose another folder, or add --overwrite for a new config."
            )
        return
    write_text(config, text)


def _port(value: Any) -> str:
    """Describe an input or output, without its first axis: Triton adds the batch itself."""
    dims = ", ".join(str(dim) if isinstance(dim, int) else "-1" for dim in value.shape[1:])
    return f'{{ name: "{value.name}" data_type: {_TYPES[value.type]} dims: [ {dims} ] }}'
