"""`i2i info`."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import click

from i2i import status
from i2i.cli import json_output, options
from i2i.cli.commands import ModelCommand
from i2i.words import and_more, show_count

if TYPE_CHECKING:
    from i2i.models.spec import ModelSpec, Origin, Part, PictureSpec


_LISTED = 100
"""Classes of a label set, as `--label` takes them."""


@click.command(
    cls=ModelCommand,
    short_help="Describe a model file or a run folder.",
    epilog="""\b
Examples:
  i2i info runs/lineart
  i2i info model.onnx --json
""",
)
@options.model
@json_output.flag
def info(model: str, as_json: bool) -> None:
    """Describe a model: a run folder, .safetensors, .onnx or .pth file."""
    backend, operators = None, {}
    with status.shown():
        with status.doing("Loading libraries"):
            from pathlib import Path

            from i2i.exporting.agreement import agreement
            from i2i.models.modelfile import find_model, is_onnx, read_spec
            from i2i.models.onnxfile import check_onnx
            from i2i.models.spec import GENERATE
            from i2i.runtime.backends import OnnxBackend, open_backend

        file = find_model(Path(model))
        if is_onnx(file):
            spec, backend, _ = open_backend(file, lambda spec: GENERATE, "cpu")
            operators = check_onnx(file).operators
        else:
            spec = read_spec(file)
    if as_json:
        found = {"operators": operators} if operators else {}
        json_output.print_json("info", {"file": str(file), **spec.model_dump(mode="json"), **found})
        return
    if isinstance(backend, OnnxBackend) and backend.form:
        click.echo(f"{file}: no description by i2i; this is what runs on zeros show")
        click.echo(f"  is given {backend.form}; if it takes other values, use --value-range")
    else:
        trained = f", trained on {show_count(spec.images_seen, 'image')}" if spec.images_seen else ""
        click.echo(f"{file}: {spec.algorithm}{trained}, by i2i {spec.i2i_version}")
    for line in _part_lines(spec):
        click.echo(line)
    if spec.trained_side_px:  # 0 for points, and for imported weights
        click.echo(
            f"  trained on {spec.trained_crop_px} px squares of pictures "
            f"whose shorter side is {spec.trained_side_px} px"
        )
    if spec.derivation:
        how = spec.derivation.settings.model_dump()
        click.echo(f"  trained on pairs from single pictures: {how.pop('name')} ({_listed(how)})".removesuffix(" ()"))
    if _has_batch_norm(spec):
        click.echo(f"  at inference: batch norm by {spec.norm_statistics} statistics")
    for line in _origin_lines(spec.origin):
        click.echo(line)
    if spec.proof:
        click.echo(f"  exported for {'pixels' if spec.io == 'image' else 'tensors'} in {spec.precision}")
        click.echo(f"  export: {agreement(spec)}")
    if operators:
        click.echo(f"  operators: {', '.join(f'{name} {count}' for name, count in operators.items())}")


def _origin_lines(origin: "Origin | None") -> Iterator[str]:
    """Yield what an exported file says of where it comes from."""
    if origin:
        author = f" by {origin.author}" if origin.author else ""
        licence = f"licence {origin.licence}" if origin.licence else "no licence stated"
        yield f"  exported from {origin.name}{author}; {licence}"
        if origin.date:
            yield f"  trained on {origin.date}"
        if origin.data_sha256:
            yield f"  digest of the training pictures: {origin.data_sha256}"


def _part_lines(spec: "ModelSpec") -> Iterator[str]:
    """Yield what each part of a model takes and makes."""
    for direction, generator in spec.generators.items():
        usual = " (usual)" if direction == spec.usual else ""
        yield (
            f"  {direction}{usual}: {_meaning(generator.inputs)} to {_meaning(generator.outputs)}, "
            f"{generator.network} ({_listed(generator.arguments)})"
        )
        yield f"       {_sides(spec, generator)}"
        if not (generator.in_bands or generator.out_bands):
            yield f"       {_alpha(generator)}"
        if generator.recurrent:
            yield "       takes frames in order: the frame before and its output are further inputs"
        yield from _label_lines(generator)
    if noise := spec.latent_generator:
        px = noise.out_px
        made = "points" if noise.out_meaning == "points" else f"{noise.out_meaning} of {px}x{px} px"
        made += f" or any sides in steps of {noise.place_px}" if noise.place_px else ""
        each = " at each place" if any(block.each_place for block in noise.blocks) else ""
        yield f"  from noise, {noise.latent} numbers{each}, to {made}, {noise.network} ({_listed(noise.arguments)})"
        yield from _label_lines(noise)
    if one := spec.encoder:
        px = one.size_minimum
        takes = f"from {one.in_meaning} of {px}x{px} px to {one.latent} numbers"
        yield f"  {takes}, {one.network} ({_listed(one.arguments)})"
    if judge := spec.classifier:
        takes = f"from {judge.in_meaning} of {judge.size_minimum}x{judge.size_minimum} px to labels"
        yield f"  {takes}, {judge.network} ({_listed(judge.arguments)})"


def _meaning(images: "PictureSpec | None") -> str:
    """Say what images of a part are; bands and classes by their names."""
    if images is None:
        return "nothing"
    named = f"{and_more(images.bands, _LISTED)} ({images.meaning})" if images.bands else images.meaning
    if not images.scale:
        return named
    return f"{named} with {', '.join(f'{low:g} to {high:g}' for low, high in images.scale.ranges)}"


def _label_lines(part: "Part") -> Iterator[str]:
    """Yield a line for each label set that a part knows."""
    for block in part.blocks:
        if block.classes:
            yield f"       {block.name}: {and_more(block.classes, _LISTED)}"
        elif block.texts:
            yield f"       {block.name}: {and_more(block.texts, _LISTED)}"


def _sides(spec: "ModelSpec", generator: "Part") -> str:
    """Say which sides the model takes, in pixels."""
    if spec.fixed_size:
        height, width = spec.fixed_size
        return f"takes {width}x{height} px (width x height); smaller pictures are padded to that and cropped back"
    multiple, least = generator.size_multiple, generator.size_minimum
    if multiple == least == 1:
        return "takes sides of any length"
    where = "inside the file" if spec.io == "image" else "and cropped back"
    if multiple == 1:
        return f"sides are padded to {least} px at least {where}"
    smallest = f", {least} px at least," if least > multiple else ""
    return f"sides are padded to multiples of {multiple} px{smallest} {where}"


def _alpha(generator: "Part") -> str:
    """Say what happens to alpha."""
    if generator.in_channels == 4 and generator.out_channels == 4:
        return "takes alpha and makes its own"
    if generator.in_channels == 4:
        return "takes alpha; outputs are opaque"
    laid = "transparent pictures are composited on white"
    if generator.out_channels == 4:
        return f"{laid}; outputs have an alpha of their own"
    return f"{laid}; outputs {'get their alpha back' if generator.keeps_alpha else 'are opaque'}"


def _has_batch_norm(spec: "ModelSpec") -> bool:
    """Whether `norm_statistics` means anything; for undescribed networks it is unknown."""
    noise = spec.latent_generator
    if noise:
        usual = "batch" if noise.network == "dcgan" or noise.arguments.get("batch_norm") else "none"
        return noise.arguments.get("norm", usual) == "batch"
    return any(one.arguments.get("norm") == "batch" for one in spec.generators.values())


def _listed(arguments: Mapping[str, Any]) -> str:
    """Return the arguments of a network as text; an untrusted file may contain anything there."""
    from i2i.models.mistaken import shown

    return shown(", ".join(f"{name} {value}" for name, value in arguments.items()), 500)
