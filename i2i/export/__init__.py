"""A model as one ONNX file, compared with torch on real pictures before it counts as exported.

With io "tensor" the input is `image`, float32 (batch, channels, height, width) in [-1, 1], and the output
`output`, the same. With io "image" both are uint8 (batch, height, width, channels) of any size, for use
without i2i: normalisation, padding and cropping are in the graph. Of a model that makes pictures from
noise the input is `latent`, float32 (batch, latent), and the proof is on seeds. The ModelSpec travels in the file's
metadata, so using it takes no flag.
"""

import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from torch import nn

from i2i import status
from i2i.algorithms import ALGORITHMS
from i2i.config import load_config
from i2i.data.derive import read_input
from i2i.data.previews import find_previews
from i2i.errors import ConfigError, DataError, UsageError, one_line
from i2i.export.graph import describe, make_graph, write_graph
from i2i.export.proof import Batch, Samples, finite, prove
from i2i.export.triton import triton_config
from i2i.files import atomic_write, check_output, write_text
from i2i.images import Array, from_unit, is_transparent, read_image, to_channels, to_unit
from i2i.images.listing import list_pictures
from i2i.models.mistaken import shown
from i2i.models.modelfile import MODEL_NAME, find_model, find_weights, read_spec
from i2i.models.spec import ModelSpec, Part
from i2i.runtime.backends import TorchBackend
from i2i.runtime.generator import ImageGenerator
from i2i.runtime.translator import Translator, pad, padded_side
from i2i.words import show_count

PROOF_PICTURES = 3
UNKNOWN_PX = 128
"""Side to prove at where the model does not say what it was trained at."""
MOST_PX = 512
"""Largest side to prove at: what a stranger's file says of its training must not take any memory that it likes."""
PROOF_SEEDS = 5
Io = Literal["tensor", "image"]
Precision = Literal["fp32", "fp16"]


def export_onnx(
    model: str | Path,
    output: str | Path,
    direction: str | None = None,
    verify: str | Path | None = None,
    overwrite: bool = False,
    io: Io = "tensor",
    precision: Precision = "fp32",
    size: tuple[int, int] | None = None,
) -> ModelSpec:
    """Write `model` (a run folder or .safetensors) as `output`; return its spec with the proof in it.

    The proof compares ONNX Runtime with torch on real pictures at three sizes, or at the one given, singly
    and as a batch; of a model that makes pictures from noise, on the latents of five seeds in batches of 1, 2 and 5.
    verify: a folder of pictures for it; by default the previews of the run that the model lies in.
    io, precision: what goes in and comes out, and what is computed in. size: one height and width, in pixels.
    Raises ExportError, and leaves no file, above the bound of i2i.export.proof; UsageError when `output` exists and
    `overwrite` is not given, and for a form that the model cannot have.
    """
    check_output(Path(output), overwrite, ".onnx")
    return _write(find_weights(model), {Path(output): direction}, verify, _Form(io, precision, size))[Path(output)]


def export_both(
    model: str | Path,
    output: str | Path,
    verify: str | Path | None = None,
    overwrite: bool = False,
    io: Io = "tensor",
    precision: Precision = "fp32",
    size: tuple[int, int] | None = None,
) -> dict[Path, ModelSpec]:
    """Write both directions of `model`: for `output` m.onnx, m.A2B.onnx and m.B2A.onnx, or neither.

    Returns the spec of each file; everything else is as in `export_onnx`.
    """
    suffix = Path(output).suffix
    outputs = {Path(output).with_suffix(f".{direction}{suffix}"): direction for direction in ("A2B", "B2A")}
    for path in outputs:
        check_output(path, overwrite, ".onnx")
    return _write(find_weights(model), outputs, verify, _Form(io, precision, size))


def export_triton(
    model: str | Path,
    repository: str | Path,
    direction: str | None = None,
    verify: str | Path | None = None,
    overwrite: bool = False,
    io: Io = "tensor",
    precision: Precision = "fp32",
    size: tuple[int, int] | None = None,
) -> tuple[Path, ModelSpec]:
    """Write `model` into a folder that Triton serves: NAME/1/model.onnx and NAME/config.pbtxt.

    NAME is that of the run folder or model file. Returns the path of the file and its spec. Raises UsageError for
    a name with odd characters; everything else is as in `export_onnx`.
    """
    source = find_model(Path(model)).resolve()
    name = source.parent.name if source.name == MODEL_NAME else source.stem
    if not re.fullmatch(r"[\w. -]+", name):  # it stands in config.pbtxt between quotes, and in the server's addresses
        raise UsageError(
            f"{shown(name)} cannot be the name of a model in Triton: use letters, digits, spaces and _.- only.\n"
            "Rename the run folder or model file."
        )
    config, output = Path(repository, name, "config.pbtxt"), Path(repository, name, "1", "model.onnx")
    check_output(config, overwrite)
    spec = export_onnx(model, output, direction, verify, overwrite, io, precision, size)
    write_text(config, triton_config(output, name))
    return output, spec


class _Form(NamedTuple):
    io: Io
    precision: Precision
    size: tuple[int, int] | None


class _Job(NamedTuple):
    """One file to write: its spec, the network that runs in it, and what it is proved on."""

    spec: ModelSpec
    network: nn.Module
    samples: Samples


def _write(
    source: Path, outputs: Mapping[Path, str | None], verify: str | Path | None, form: _Form
) -> dict[Path, ModelSpec]:
    """Write the file of each direction or, when one of them fails, none."""
    with status.doing("Opening the model and the pictures to prove it on"):
        jobs = {output: _job(source, direction, verify, form) for output, direction in outputs.items()}
    specs = {}
    with contextlib.ExitStack() as files:
        for output, job in jobs.items():
            temp = files.enter_context(atomic_write(output))
            with status.doing(f"Exporting {output.name}"):
                graph = make_graph(job.network, job.spec)
                write_graph(graph, temp)
            with status.doing(f"Comparing {output.name} with torch on {show_count(job.samples.pictures, 'picture')}"):
                proof = prove(temp, graph, job.network, job.spec, job.samples)
            specs[output] = job.spec.model_copy(update={"proof": proof})
            describe(temp, specs[output], graph.axes)
    return specs


def _job(source: Path, direction: str | None, verify: str | Path | None, form: _Form) -> _Job:
    if read_spec(source).task == "translate":
        return _translator_job(source, direction, verify, form)
    if direction is not None or verify is not None:
        raise UsageError(
            "This model makes pictures from noise: it has no direction, and noise proves its export.\n"
            "Leave out --direction and --verify."
        )
    if form.io == "image" or form.size:
        raise UsageError(
            "This model makes pictures of one size from noise, and takes none. Leave out --io image and --size."
        )
    return _generator_job(source, form)


def _translator_job(source: Path, direction: str | None, verify: str | Path | None, form: _Form) -> _Job:
    translator = Translator.open(source, direction, "cpu")
    generator, backend = translator.generator, translator.backend
    assert isinstance(backend, TorchBackend)
    if form.io == "tensor" and form.size:
        _check_size(form.size, generator)
    named, pictures_from = _proof_pictures(source, translator, verify)

    def to_network(batch: Array) -> Array:
        if form.io == "tensor":
            return batch
        height, width = (
            padded_side(side, generator.size_multiple, generator.size_minimum) for side in batch.shape[1:3]
        )
        return np.stack([pad(to_unit(pixels), height, width) for pixels in batch])

    def answer(batch: Array) -> Array:
        if form.io == "tensor":
            return finite(np.concatenate([backend.run(one[None]) for one in batch]))
        return np.stack([from_unit(finite(translator.run(to_unit(pixels)))) for pixels in batch])

    spec = translator.spec.model_copy(
        update={
            "parts": {translator.direction: generator},
            "io": form.io,
            "precision": form.precision,
            "fixed_size": form.size,
        }
    )
    batches = list(_batches(named, form, generator, translator.spec.trained_crop_px))
    return _Job(spec, backend.network, Samples(batches, answer, to_network, len(named), pictures_from))


def _generator_job(source: Path, form: _Form) -> _Job:
    generator = ImageGenerator.open(source, "cpu")
    backend = generator.backend
    assert isinstance(backend, TorchBackend)
    latents = generator.draw(range(PROOF_SEEDS))
    samples = Samples(
        [Batch(latents[:count], [f"seed {seed}" for seed in range(count)]) for count in (1, 2, PROOF_SEEDS)],
        lambda batch: finite(backend.run(batch)),
        lambda batch: batch,
        PROOF_SEEDS,
        f"seeds 0 to {PROOF_SEEDS - 1}",
    )
    return _Job(generator.spec.model_copy(update={"precision": form.precision}), backend.network, samples)


def _check_size(size: tuple[int, int], generator: Part) -> None:
    """Raise UsageError for a size that the network alone does not take, with the next that it does."""
    multiple, least = generator.size_multiple, generator.size_minimum
    height, width = (padded_side(side, multiple, least) for side in size)
    if (height, width) != size:
        raise UsageError(
            f"--size {size[0]}x{size[1]}: this network takes sides that are multiples of {multiple}, from {least} px.\n"
            f"Use --size {height}x{width}, or --io image, which pads inside the graph."
        )


def _batches(pictures: Sequence[tuple[str, Array]], form: _Form, generator: Part, trained_px: int) -> Iterator[Batch]:
    """Yield a batch of named (H, W, C) pictures at each of three sizes, or the one, and what is in it first alone.

    Each picture shows where most is in it. At the first size flat ones and a nearly flat one come besides: norms
    divide by their contrast, which is nothing.
    """
    if len(pictures) == 1:  # a batch of different ones shows whether they mix
        ((name, picture),) = pictures
        pictures = [(name, picture), (f"{name}, darkened", picture // 2)]
    multiple = generator.size_multiple
    base = padded_side(min(trained_px or UNKNOWN_PX, MOST_PX), multiple, generator.size_minimum)
    sizes = [(base, base), (base + multiple, base), (base, base + 2 * multiple)]
    if form.io == "image":  # needs padding: a little, and more than there is
        sizes[1:] = [(base + 1, base - 1), (max(base // 3, 1), base + multiple // 2)]
    if form.size:
        sizes = [form.size]

    def batch(chosen: Sequence[tuple[str, Array]], given: bool) -> Batch:
        padded = [pad(picture.transpose(2, 0, 1), height, width).transpose(1, 2, 0) for _, picture in chosen]
        inputs = np.stack(padded if form.io == "image" else [to_unit(picture) for picture in padded])
        return Batch(inputs, [name for name, _ in chosen], given)

    for height, width in sizes:
        several = batch([(name, busiest(picture, height, width)) for name, picture in pictures], given=True)
        yield several
        yield Batch(several.inputs[:1], several.names[:1])
    height, width = sizes[0]
    yield batch(_plain_pictures(height, width, generator.in_channels), given=False)


def _plain_pictures(height: int, width: int, channels: int) -> list[tuple[str, Array]]:
    """Return flat pictures and a nearly flat one, (H, W, C) uint8, and what to call them."""
    flat = np.full((height, width, channels), 128, np.uint8)
    ramp = (np.arange(width) * 3 // width).astype(np.uint8)[:, None]
    return [("a black picture", 0 * flat), ("a grey picture", flat), ("a gradient of two grey levels", flat + ramp)]


def busiest(picture: Array, height: int, width: int) -> Array:
    """Cut (H, W, C) to at most that size, where neighbouring pixels differ most; a flat one at its upper left."""
    height, width = min(height, picture.shape[0]), min(width, picture.shape[1])
    values = picture.sum(axis=2, dtype=np.int64)
    steps = np.abs(np.diff(values, axis=0, prepend=values[:1])) + np.abs(np.diff(values, axis=1, prepend=values[:, :1]))
    sums = np.pad(steps.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    windows = sums[height:, width:] - sums[:-height, width:] - sums[height:, :-width] + sums[:-height, :-width]
    top, left = np.unravel_index(windows.argmax(), windows.shape)
    return picture[top : top + height, left : left + width]


def _proof_pictures(
    source: Path, translator: Translator, verify: str | Path | None
) -> tuple[list[tuple[str, Array]], str]:
    """Return a few real inputs of the model, (H, W, C) uint8, by name, and where they come from."""
    value_range, notes = translator.spec.input_range, list[str]()
    if verify is not None:
        files = list_pictures(Path(verify), notes, skip_unreadable=True) if Path(verify).is_dir() else []
        if not files:
            wrong = "holds no pictures" if Path(verify).is_dir() else "is not a folder"
            left_out = "".join(f"\n{note}" for note in notes)
            raise UsageError(f"{verify} {wrong}. --verify takes a folder of inputs for the model.{left_out}")
        found = [(one_line(file.name), read_image(file, value_range=value_range)) for file in files[:PROOF_PICTURES]]
        fills = translator.generator.arguments.get("fills_holes", False)
        if fills and not any(is_transparent(array) for _, array in found):  # which would come out as they went in
            raise UsageError(f"This model fills holes, and {verify} holds no picture with a transparent one.")
        pictures_from = one_line(verify)
    else:
        settings = source.parent / "config.yaml"
        if not settings.exists():
            raise UsageError(
                f"{source} lies in no run folder. Add --verify FOLDER with pictures to prove the export on."
            )
        try:
            config = load_config(settings)
            kind = ALGORITHMS[config.algorithm].data
            previews = find_previews(config.data, kind, translator.direction, PROOF_PICTURES, notes)
        except (ConfigError, DataError) as error:
            reason = str(error).splitlines()[0]
            raise UsageError(
                f"The pictures of the run cannot be read: {reason}\nAdd --verify FOLDER with others."
            ) from error
        found = [(one_line(one.path.name), read_input(one, value_range)) for one in previews.inputs]
        pictures_from = previews.split
    for note in notes:
        status.say(f"Note: {note}")
    channels = translator.generator.in_channels
    return [(shown(name), from_unit(to_unit(to_channels(array, channels)))) for name, array in found], pictures_from
