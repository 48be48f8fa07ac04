"""A model as one ONNX file, compared with torch on real pictures before it counts as exported.

Input `image`, float32 (batch, channels, height, width) in [-1, 1]; output `output`, the same. The
ModelSpec travels in the file's metadata, so using it takes no flag.
"""

import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from i2i.config import load_config
from i2i.data.folders import find_preview_pairs, preview_split, read_pair
from i2i.errors import ConfigError, DataError, ExportError, UsageError
from i2i.files import atomic_write, refuse_existing
from i2i.images import Array, list_pictures, read_image, to_channels, to_unit
from i2i.runtime.backends import OnnxBackend, TorchBackend
from i2i.runtime.translator import Translator, find_model, pad, padded_side
from i2i.settings import by_direction
from i2i.spec import ExportProof, ModelSpec, spec_to_metadata

OPSET = 18
TOLERANCE = 1e-4
"""Largest difference allowed between ONNX Runtime and torch on the CPU, of values in [-1, 1]."""
PROOF_PICTURES = 3


def export_onnx(
    model: str | Path,
    output: str | Path,
    direction: str | None = None,
    verify: str | Path | None = None,
    overwrite: bool = False,
) -> ModelSpec:
    """Write `model` (a run folder or .safetensors) as `output`; return its spec with the proof in it.

    The proof compares ONNX Runtime with torch on real pictures at three sizes, singly and as a batch.
    verify: a folder of pictures for it; by default the previews of the run that the model lies in.
    Raises ExportError, and leaves no file, above TOLERANCE; UsageError when `output` exists and
    `overwrite` is not given.
    """
    source, output = find_model(Path(model)), Path(output)
    if source.suffix == ".onnx":
        raise UsageError(f"{source} is an ONNX file already. Give the run folder or the .safetensors file.")
    if output.suffix != ".onnx":
        raise UsageError(f"{output} does not end in .onnx.")
    refuse_existing(output, overwrite)
    translator = Translator.open(source, direction, "cpu")
    pictures, pictures_from = _proof_pictures(source, translator, verify)
    one_direction = translator.spec.model_copy(update={"generators": {translator.direction: translator.generator}})
    with atomic_write(output) as temp:
        _write_graph(translator, temp)
        worst, mean = compare(translator, temp, pictures)
        if not worst <= TOLERANCE:  # so written, NaN fails too
            raise ExportError(
                f"ONNX Runtime differs from torch by up to {worst:.2g} (values in -1 to 1, {len(pictures)} pictures); "
                f"{TOLERANCE:g} is allowed. No file was written."
            )
        proof = ExportProof(max_difference=worst, mean_difference=mean, pictures=len(pictures), source=pictures_from)
        spec = one_direction.model_copy(update={"proof": proof})
        _describe(temp, spec)
    return spec


def compare(translator: Translator, onnx_file: Path, pictures: Sequence[Array]) -> tuple[float, float]:
    """Run (C, H, W) float32 pictures in [-1, 1] through both at three sizes; return (largest, mean) difference."""
    onnx = OnnxBackend(onnx_file, "cpu")
    multiple = translator.generator.size_multiple
    base = padded_side(translator.spec.trained_crop_px, multiple, translator.generator.size_minimum)
    worst, means = 0.0, []
    for height, width in ((base, base), (base + multiple, base), (base, base + 2 * multiple)):
        batch = np.stack([pad(picture[:, :height, :width], height, width) for picture in pictures])
        for part in (batch, batch[:1]):
            difference = np.abs(onnx.run(part) - translator.backend.run(part))
            worst = float(np.maximum(worst, difference.max()))  # unlike max(), keeps NaN
            means.append(float(difference.mean()))
    return worst, float(np.mean(means))


def _proof_pictures(source: Path, translator: Translator, verify: str | Path | None) -> tuple[list[Array], str]:
    """Return a few real inputs of the model, (C, H, W) float32 in [-1, 1], and where they come from."""
    if verify is not None:
        files = list_pictures(Path(verify)) if Path(verify).is_dir() else []
        if not files:
            raise UsageError(f"{verify} is no folder with pictures. --verify takes inputs for the model.")
        arrays, pictures_from = [read_image(file) for file in files[:PROOF_PICTURES]], str(verify)
    else:
        settings = source.parent / "config.yaml"
        if not settings.exists():
            raise UsageError(
                f"{source} lies in no run folder. Add --verify FOLDER with pictures to prove the export on."
            )
        try:
            paths = load_config(settings).data.path
            pairs, pictures_from = find_preview_pairs(paths, PROOF_PICTURES), preview_split(paths)
        except (ConfigError, DataError) as error:
            reason = str(error).splitlines()[0]
            raise UsageError(
                f"The pictures of the run cannot be read: {reason}\nAdd --verify FOLDER with others."
            ) from error
        arrays = [by_direction(translator.direction, *read_pair(pair))[0] for pair in pairs]
    return [to_unit(to_channels(array, translator.generator.in_channels)) for array in arrays], pictures_from


def _write_graph(translator: Translator, path: Path) -> None:
    """Export the generator with free batch, height and width."""
    import torch

    assert isinstance(translator.backend, TorchBackend)
    network = translator.backend.network.eval()
    side = 2 * translator.generator.size_multiple  # no dimension may be 1 on the way, or it would be fixed at 1
    example = torch.zeros(2, translator.generator.in_channels, side, side)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        torch.onnx.export(
            network,
            (example,),
            path,
            input_names=["image"],
            output_names=["output"],
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
            dynamic_shapes=({0: "batch", 2: "height", 3: "width"},),
            verbose=False,
        )


def _describe(path: Path, spec: ModelSpec) -> None:
    """Give the file its metadata and plain axis names, and check it whole."""
    import onnx

    model: Any = onnx.load(path)
    for axis, name in ((0, "batch"), (2, "height"), (3, "width")):
        model.graph.output[0].type.tensor_type.shape.dim[axis].dim_param = name
    onnx.helper.set_model_props(model, spec_to_metadata(spec))
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)
