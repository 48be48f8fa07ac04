"""A model as one ONNX file, compared with torch on real pictures before it counts as exported.

Input `image`, float32 (batch, channels, height, width) in [-1, 1]; output `output`, the same. Of a model
that makes pictures from noise the input is `latent`, float32 (batch, latent), and the proof is on seeds.
The ModelSpec travels in the file's metadata, so using it takes no flag.
"""

import contextlib
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from i2i.algorithms import ALGORITHMS
from i2i.config import load_config
from i2i.data.folders import read_picture
from i2i.data.previews import find_previews
from i2i.errors import ConfigError, DataError, ExportError, UsageError
from i2i.files import atomic_write, check_output
from i2i.images import Array, list_pictures, read_image, to_channels, to_unit
from i2i.modelfile import find_model, read_spec
from i2i.runtime.backends import Backend, OnnxBackend, TorchBackend
from i2i.runtime.generator import ImageGenerator
from i2i.runtime.latents import seed_latents
from i2i.runtime.translator import Translator, pad, padded_side
from i2i.spec import ExportProof, ModelSpec, spec_to_metadata

OPSET = 18
TOLERANCE = 1e-4
"""Largest difference allowed between ONNX Runtime and torch on the CPU, of values in [-1, 1]."""
PROOF_PICTURES = 3
UNKNOWN_PX = 128
"""Side to prove at where the model does not say what it was trained at."""
PROOF_SEEDS = 5


def export_onnx(
    model: str | Path,
    output: str | Path,
    direction: str | None = None,
    verify: str | Path | None = None,
    overwrite: bool = False,
) -> ModelSpec:
    """Write `model` (a run folder or .safetensors) as `output`; return its spec with the proof in it.

    The proof compares ONNX Runtime with torch on real pictures at three sizes, singly and as a batch; of a
    model that makes pictures from noise, on the latents of five seeds in batches of 1, 2 and 5.
    verify: a folder of pictures for it; by default the previews of the run that the model lies in.
    Raises ExportError, and leaves no file, above TOLERANCE; UsageError when `output` exists and
    `overwrite` is not given.
    """
    check_output(Path(output), overwrite, ".onnx")
    return _write(_source(model), {Path(output): direction}, verify)[Path(output)]


def export_both(
    model: str | Path, output: str | Path, verify: str | Path | None = None, overwrite: bool = False
) -> dict[Path, ModelSpec]:
    """Write both directions of `model`: for `output` m.onnx, m.A2B.onnx and m.B2A.onnx, or neither.

    Returns the spec of each file; everything else is as in `export_onnx`.
    """
    suffix = Path(output).suffix
    outputs = {Path(output).with_suffix(f".{direction}{suffix}"): direction for direction in ("A2B", "B2A")}
    for path in outputs:
        check_output(path, overwrite, ".onnx")
    return _write(_source(model), outputs, verify)


class _Job(NamedTuple):
    """One file to write: what runs in it and what it is proved on.

    shape: of an example input; no free axis may be 1 in it or become 1 on the way, or it would be fixed at 1.
    axes: the free ones, of input and output alike. batches: inputs to compare on, float32 as the spec says.
    """

    backend: TorchBackend
    spec: ModelSpec
    input: str
    shape: tuple[int, ...]
    axes: dict[int, str]
    batches: list[Array]
    pictures: int
    pictures_from: str


def _source(model: str | Path) -> Path:
    source = find_model(Path(model))
    if source.suffix == ".onnx":
        raise UsageError(f"{source} is an ONNX file already. Give the run folder or the .safetensors file.")
    return source


def _write(source: Path, outputs: Mapping[Path, str | None], verify: str | Path | None) -> dict[Path, ModelSpec]:
    """Write the file of each direction or, when one of them fails, none."""
    jobs = {output: _job(source, direction, verify) for output, direction in outputs.items()}
    specs = {}
    with contextlib.ExitStack() as files:
        for output, job in jobs.items():
            temp = files.enter_context(atomic_write(output))
            _write_graph(job, temp)
            specs[output] = job.spec.model_copy(update={"proof": _prove(job, temp)})
            _describe(temp, specs[output], job.axes)
    return specs


def _job(source: Path, direction: str | None, verify: str | Path | None) -> _Job:
    if read_spec(source).task == "translate":
        return _translator_job(source, direction, verify)
    if direction is not None or verify is not None:
        raise UsageError(
            "This model makes pictures from noise: it has no direction, and noise proves its export.\n"
            "Leave out --direction and --verify."
        )
    return _generator_job(source)


def _translator_job(source: Path, direction: str | None, verify: str | Path | None) -> _Job:
    translator = Translator.open(source, direction, "cpu")
    generator, backend = translator.generator, translator.backend
    assert isinstance(backend, TorchBackend)
    pictures, pictures_from = _proof_pictures(source, translator, verify)
    return _Job(
        backend,
        translator.spec.model_copy(update={"generators": {translator.direction: generator}}),
        "image",
        (2, generator.in_channels, 2 * generator.size_multiple, 2 * generator.size_multiple),
        {0: "batch", 2: "height", 3: "width"},
        list(_at_three_sizes(translator, pictures)),
        len(pictures),
        pictures_from,
    )


def _generator_job(source: Path) -> _Job:
    generator = ImageGenerator.open(source, "cpu")
    assert isinstance(generator.backend, TorchBackend)
    latents = seed_latents(range(PROOF_SEEDS), generator.latent)
    return _Job(
        generator.backend,
        generator.spec,
        "latent",
        (2, generator.latent),
        {0: "batch"},
        [latents[:1], latents[:2], latents],
        PROOF_SEEDS,
        f"seeds 0 to {PROOF_SEEDS - 1}",
    )


def _at_three_sizes(translator: Translator, pictures: Sequence[Array]) -> Iterator[Array]:
    """Bring (C, H, W) pictures to three sizes; yield them as one batch of each, and the first one singly."""
    multiple = translator.generator.size_multiple
    base = padded_side(translator.spec.trained_crop_px or UNKNOWN_PX, multiple, translator.generator.size_minimum)
    for height, width in ((base, base), (base + multiple, base), (base, base + 2 * multiple)):
        batch = np.stack([pad(picture[:, :height, :width], height, width) for picture in pictures])
        yield from (batch, batch[:1])


def _prove(job: _Job, onnx_file: Path) -> ExportProof:
    """Compare a graph with the network it came from; raises ExportError above TOLERANCE."""
    worst, mean = compare(job.backend, onnx_file, job.batches)
    if not worst <= TOLERANCE:  # so written, NaN fails too
        raise ExportError(
            f"ONNX Runtime differs from torch by up to {worst:.2g} (values in -1 to 1, {job.pictures} pictures); "
            f"{TOLERANCE:g} is allowed. No file was written."
        )
    return ExportProof(max_difference=worst, mean_difference=mean, pictures=job.pictures, source=job.pictures_from)


def compare(backend: Backend, onnx_file: Path, batches: Sequence[Array]) -> tuple[float, float]:
    """Run float32 batches through the backend and the file; return (largest, mean) difference."""
    onnx = OnnxBackend(onnx_file, "cpu")
    worst, means = 0.0, []
    for batch in batches:
        difference = np.abs(onnx.run(batch) - backend.run(batch))
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
            config = load_config(settings)
            kind = ALGORITHMS[config.algorithm].data
            previews = find_previews(config.data, kind, translator.direction, PROOF_PICTURES)
        except (ConfigError, DataError) as error:
            reason = str(error).splitlines()[0]
            raise UsageError(
                f"The pictures of the run cannot be read: {reason}\nAdd --verify FOLDER with others."
            ) from error
        arrays, pictures_from = [read_picture(picture) for picture in previews.inputs], previews.split
    return [to_unit(to_channels(array, translator.generator.in_channels)) for array in arrays], pictures_from


def _write_graph(job: _Job, path: Path) -> None:
    """Export the network with its free axes."""
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        torch.onnx.export(
            job.backend.network.eval(),
            (torch.zeros(job.shape),),
            path,
            input_names=[job.input],
            output_names=["output"],
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
            dynamic_shapes=(job.axes,),
            verbose=False,
        )


def _describe(path: Path, spec: ModelSpec, axes: Mapping[int, str]) -> None:
    """Give the file its metadata and plain axis names, and check it whole."""
    import onnx

    model: Any = onnx.load(path)
    for axis, name in axes.items():
        model.graph.output[0].type.tensor_type.shape.dim[axis].dim_param = name
    onnx.helper.set_model_props(model, spec_to_metadata(spec))
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)
