"""A model as one ONNX file, compared with torch on real pictures before it counts as exported.

With io "tensor" the input is `image`, float32 (batch, channels, height, width) in [-1, 1], and the output `output`,
the same. With io "image" both are uint8 (batch, height, width, channels) of any size, for use without i2i:
normalisation, padding and cropping are in the graph. A model that generates pictures from noise takes `latent`,
float32 (batch, latent), and is proved on seeds. The file's metadata hold the ModelSpec, so using it takes no flag.
"""

import re
from pathlib import Path

from i2i import status
from i2i.errors import UsageError
from i2i.exporting.options import ExportOptions as ExportOptions
from i2i.exporting.origin import name_of, origin_of
from i2i.files import check_output
from i2i.models.mistaken import shown
from i2i.models.modelfile import find_weights
from i2i.models.spec import ModelSpec


def export_model(model: str | Path, options: ExportOptions) -> dict[Path, ModelSpec]:
    """Export `model` (a run folder or .safetensors); return the spec, with the proof in it, of each file by its path.

    With direction "both", `output` m.onnx becomes m.A2B.onnx and m.B2A.onnx, or neither. With `triton`, the folder
    gets NAME/1/model.onnx, or that of `triton_version`, and NAME/config.pbtxt, where NAME is that of the run folder or
    model file. A config that is there already stays as it is, if it has the same inputs and outputs.

    The proof compares ONNX Runtime with torch on real pictures at three sizes, or at the one given, singly and as a
    batch; for a model that generates pictures from noise, on the latents of five seeds in batches of 1, 2 and 5.
    Raises ExportError, and leaves no file, above the bound of i2i.exporting.proof; UsageError for outputs that exist,
    for a form that the model cannot have, for a NAME that Triton does not take, and for a version whose inputs or
    outputs are not those of the config.
    """
    config = _triton_config_file(model, Path(options.triton)) if options.triton else None
    version = config.parent / str(options.triton_version or 1) / "model.onnx" if config else None
    outputs = {version: options.direction} if version else _outputs(options)
    for path in outputs:
        check_output(path, options.overwrite, ".onnx")
    source = find_weights(model)
    with status.loading_torch():  # what is wrong above is refused before
        from i2i.exporting.writing import write_files

    specs = write_files(source, outputs, options, origin_of(model, options))
    if config and version:
        from i2i.exporting.triton import write_config

        write_config(config, version, options.overwrite)
    return specs


def _outputs(options: ExportOptions) -> dict[Path, str | None]:
    """Return the files to write, and the direction of each."""
    assert options.output is not None
    output = Path(options.output)
    if options.direction != "both":
        return {output: options.direction}
    return {output.with_suffix(f".{direction}{output.suffix}"): direction for direction in ("A2B", "B2A")}


def _triton_config_file(model: str | Path, repository: Path) -> Path:
    """Return the config.pbtxt of a model in a Triton repository; raises UsageError if it cannot be written."""
    name = name_of(model)
    if not re.fullmatch(r"[\w. -]+", name):  # config.pbtxt holds it between quotes, and the server's addresses hold it
        raise UsageError(
            f"{shown(name)} cannot be the name of a model in Triton: use letters, digits, spaces and _.- only.\n"
            "Rename the run folder or model file."
        )
    config = repository / name / "config.pbtxt"
    check_output(config, overwrite=True)
    return config
