"""Export a model's weights as a file that pytorch-CycleGAN-and-pix2pix loads."""

from pathlib import Path

from i2i import status
from i2i.errors import ExportError, UsageError
from i2i.files import atomic_write, check_output
from i2i.models.modelfile import find_model, is_onnx, load_generator, read_spec
from i2i.runtime.backends import picking


def export_weights(
    model: str | Path, output: str | Path, direction: str | None = None, overwrite: bool = False
) -> dict[Path, str]:
    """Write `model` (a run folder, .safetensors or .pth) to `output`, a .pth file with that project's tensor names.

    direction: required if the model has both, and neither is usual; "both" writes NAME_A.pth for A2B and NAME_B.pth
    for B2A, as that project's CycleGAN expects. Returns the options with which that project loads each file.
    Raises ExportError for a network that the project lacks, and UsageError; then nothing is written.
    """
    source, output = find_model(Path(model)), Path(output)
    if is_onnx(source):
        raise UsageError(f"{source} is an ONNX file. Give the run folder or the model file that it came from.")
    with status.loading_torch():
        import torch

        from i2i.interop.pytorch_cyclegan_pix2pix import revert, their_options
    spec = read_spec(source)
    if direction == "both":
        parts = {output.with_stem(f"{output.stem}_{way[0]}"): spec.pick(way) for way in ("A2B", "B2A")}
    else:
        parts = {output: picking(direction)(spec)}
    tensors, options = {}, {}
    for path, way in parts.items():
        check_output(path, overwrite, ".pth")
        network = load_generator(source, spec, way)
        try:
            tensors[path], options[path] = revert(network), their_options(network)
        except ExportError as error:
            raise ExportError(f"{source}: {error}") from error
    if spec.norm_statistics == "running":
        options = {path: f"{words} --eval" for path, words in options.items()}
    for path, named in tensors.items():
        with atomic_write(path) as temp:
            torch.save(named, temp)
    return options
