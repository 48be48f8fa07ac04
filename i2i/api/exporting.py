"""Export models from Python."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from i2i.api.results import Exported
from i2i.arguments import as_path
from i2i.errors import UsageError, speaks_python
from i2i.exporting import ExportOptions, export_model
from i2i.exporting.agreement import agreement
from i2i.exporting.options import Io, Precision
from i2i.models.spec import ModelSpec


@speaks_python
def export(
    model: str | Path,
    output: str | Path | None = None,
    direction: str | None = None,
    verify: str | Path | None = None,
    overwrite: bool = False,
    io: Io = "tensor",
    precision: Precision = "fp32",
    size: tuple[int, int] | None = None,
    labels: Sequence[str] = (),
    *,
    triton: str | Path | None = None,
    triton_version: int | None = None,
    licence: str | None = None,
    author: str | None = None,
    webgpu: bool = False,
    examples: str | Path | None = None,
) -> Exported:
    """Write a model, a run folder or a .safetensors file, as `output`, and prove that it equals torch.

    The suffix says what: .onnx a file for ONNX Runtime, .html a page that runs it in any browser, .pth weights for
    pytorch-CycleGAN-and-pix2pix. triton: in place of `output`, the folder of models that a Triton server serves.
    All others are fields of i2i.exporting.ExportOptions. Raises ExportError, and leaves no file, where torch and the
    file differ; UsageError for outputs that exist, and for what the model cannot be.
    """
    if output is None and triton is None:
        raise UsageError("Give `output`, a file in .onnx, .html or .pth, or `triton`, a folder.")
    model = as_path(model, "model")
    suffix = Path(output).suffix.lower() if output is not None else ""
    is_page = suffix in (".html", ".htm")
    file, page = (None, output) if is_page else (output, None)
    form, shown = (io, precision, size, labels), (licence, author, webgpu, examples)
    options = ExportOptions(file, triton, direction, verify, overwrite, *form, page, *shown, triton_version)
    if suffix == ".pth":
        from i2i.interop.exporting import export_weights

        options.refuse_for_weights("pytorch-CycleGAN-and-pix2pix")
        written = export_weights(model, output or "", direction, overwrite)
        return Exported(tuple(written), (), tuple(written.values()))
    if is_page:
        from i2i.exporting.page import export_page

        options.refuse_for_page()
        specs = tuple(export_page(model, options).values())
        return Exported((Path(output or ""),), specs, tuple(map(agreement, specs)))
    files = export_model(model, options)
    return Exported(tuple(files), tuple(files.values()), tuple(map(agreement, files.values())))


def export_onnx(model: str | Path, output: str | Path, *arguments: Any, **options: Any) -> ModelSpec:
    """Write a model as an ONNX file, as `export` does, and return its description: the earlier name of `export`."""
    return export(model, output, *arguments, **options).spec
